"""Reading of settings in YAML, with the line of every mistake.

Anybody who can drop files can write settings: tags are refused, and sizes, depths, numbers and
characters are limited.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from yaml.error import Mark
from yaml.events import CollectionEndEvent, CollectionStartEvent, NodeEvent
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.reader import ReaderError

from stylewatch_daemon.base.errors import SettingsError
from stylewatch_painter.plain_yaml import TAG, Document, Loader
from stylewatch_painter.validation import Location, brief, mistakes, quoted, refusing

Model = TypeVar("Model", bound=BaseModel)

LONGEST = 1_000_000
"""Maximum bytes of a file of settings."""

MOST_NODES = 10_000
DEEPEST = 50

LONGEST_NUMBER = 1000
"""Maximum number of characters of a number."""

_MERGE, _NULL = f"{TAG}merge", f"{TAG}null"
_NUMBERS = frozenset({f"{TAG}int", f"{TAG}float"})

_NO_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
"""Pattern for characters that no name, path or message can have; YAML escapes such as `"\\0"` can
express them."""

_BARE_ADDRESS = re.compile(
    r"(?:(?<=: )|(?<=:  )|\A)(\[[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*\]:[0-9]{1,5})(?=\s*(?:#.*)?$)",
    re.MULTILINE,
)
"""Pattern for an IPv6 address with a port, which YAML takes for a list with something after it."""

_TOO_LARGE = "this is too large or too deep for settings"


def _error(file_name: str, mark: Mark, sentence: str) -> SettingsError:
    return SettingsError(brief(f"{file_name} line {mark.line + 1}: {sentence}"))


def read(path: Path) -> Document:
    """Read the file `path`; raises SettingsError if it cannot be read or is not YAML."""
    return parse_bytes(content_of(path), str(path), LONGEST)


def content_of(path: Path) -> bytes:
    """Return the bytes of the file `path`, one more than LONGEST at most; raises SettingsError."""
    try:
        with path.open("rb") as file:
            return file.read(LONGEST + 1)
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror or error}") from error


def parse_bytes(content: bytes, file_name: str, longest: int) -> Document:
    """Parse the bytes of a file, at most `longest`; raises SettingsError as `parse` does."""
    if len(content) > longest:
        raise SettingsError(f"{file_name} is longer than {longest} bytes, the limit of settings")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SettingsError(f"{file_name} is not text in UTF-8: save it as such") from error
    return parse(text, file_name)


def parse(text: str, file_name: str) -> Document:
    """Parse `text`, a mapping with text for keys; empty text is an empty mapping.

    Raises SettingsError if it is not YAML, has a key twice, or exceeds a limit.
    """
    with refusing(SettingsError, file_name):
        node = _compose(text, file_name)
        if node is None or node.tag == _NULL:
            return Document(file_name)
        if not isinstance(node, MappingNode):
            raise SettingsError(f"{file_name} should hold lines of `key: value`")
        walk = _Walk(file_name)
        plain = walk.value(node, ())
        return Document(file_name, plain, walk.lines)


def value(text: str) -> Any:
    """Parse `text` as one YAML value, as for `--set KEY=`; raises SettingsError."""
    with refusing(SettingsError, "the value"):
        node = _compose(text, "the value")
        return None if node is None else _Walk("the value").value(node, ())


def _compose(text: str, file_name: str) -> Node | None:
    """Return the node of `text`, without tags and within the limits; raises SettingsError."""
    text = _BARE_ADDRESS.sub(r"'\1'", text)
    left, depth = MOST_NODES, 0
    events: Iterator[Any] = yaml.parse(text, Loader)  # unlike composing, this needs no recursion
    try:
        for event in events:
            left -= isinstance(event, NodeEvent)
            depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
            if left < 0 or depth > DEEPEST:
                raise _error(file_name, event.start_mark, _TOO_LARGE)
            if (tag := getattr(event, "tag", None)) is not None:
                written = quoted(tag.replace(TAG, "!!", 1))
                sentence = f"settings have no tags, got {written}: write the value alone"
                raise _error(file_name, event.start_mark, sentence)
        return yaml.compose(text, Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f" line {mark.line + 1}" if mark else ""
        problem = brief(str(error.problem))
        # Not chained: a trace of `error` would quote the line, which may hold a secret.
        raise SettingsError(f"{file_name}{place}: this is not YAML: {problem}") from None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise SettingsError(
            f"{file_name} line {line}: this is not YAML: text cannot have the character "
            f"U+{error.character:04X}"
        ) from None


class _Walk:
    """Conversion of nodes to plain values with their lines; an alias counts as its content."""

    def __init__(self, file_name: str) -> None:
        self.lines: dict[Location, int] = {}
        self._file_name = file_name
        self._left = MOST_NODES
        self._scalars = yaml.constructor.SafeConstructor()

    def value(self, node: Node, where: Location) -> Any:
        self._left -= 1
        if self._left < 0 or len(where) > DEEPEST:
            raise self._error(node, _TOO_LARGE)
        self.lines.setdefault(where, node.start_mark.line + 1)
        if isinstance(node, MappingNode):
            return dict(self._pairs(node, where))
        if isinstance(node, SequenceNode):
            return [self.value(item, (*where, i)) for i, item in enumerate(node.value)]
        return self._scalar(node)

    def _pairs(self, node: MappingNode, where: Location) -> Iterator[tuple[str, Any]]:
        seen: dict[str, int] = {}
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                raise self._error(key_node, "`<<` is not supported; repeat a mapping with `*name`")
            if not isinstance(key_node, ScalarNode):
                raise self._error(key_node, "a key should be text, got a list or a mapping")
            key, line = self._scalar(key_node), key_node.start_mark.line + 1
            if not isinstance(key, str):
                sentence = f'a key should be text: write "{key_node.value}", in quotes'
                raise self._error(key_node, sentence)
            if key in seen:
                shown = "a key" if "://" in key else quoted(key)  # URLs hold passwords
                raise self._error(key_node, f"{shown} occurs twice, first on line {seen[key]}")
            seen[key] = line
            self.lines[*where, key] = line
            yield key, self.value(value_node, (*where, key))

    def _scalar(self, node: Node) -> Any:
        text = node.value
        if node.tag in _NUMBERS and len(text) > LONGEST_NUMBER:
            raise self._error(
                node, f"a number has {len(text)} characters; the limit is {LONGEST_NUMBER}"
            )
        if match := _NO_TEXT.search(text):
            raise self._error(node, f"text cannot have the character U+{ord(match[0]):04X}")
        try:
            return self._scalars.construct_object(node)
        except Exception as error:  # constructors of PyYAML raise many kinds
            kind = node.tag.removeprefix(TAG)
            raise self._error(node, f"{quoted(text)} cannot be read as {kind}") from error

    def _error(self, node: Node, sentence: str) -> SettingsError:
        return _error(self._file_name, node.start_mark, sentence)


def check(
    model: type[Model], document: Document, context: Mapping[str, object] | None = None
) -> Model:
    """Check `document` against `model`, whose validators get `context`.

    Raises SettingsError with every mistake at once, one line each.
    """
    with refusing(SettingsError, document.file_name):
        try:
            return model.model_validate(document.plain, context=context)
        except ValidationError as error:
            # Not chained: pydantic quotes the input, and settings hold secrets.
            raise SettingsError("\n".join(describe(error, model, document))) from None


def describe(error: ValidationError, model: type[BaseModel], document: Document) -> list[str]:
    """Return a line for each mistake in `document`, sorted: `job.yaml line 3: steps: ...`."""
    found = sorted(mistakes(error, model), key=lambda mistake: document.line(mistake.loc) or 0)
    return [f"{document.place(mistake.loc)}: {mistake}" for mistake in found]
