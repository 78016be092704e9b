"""Settings in YAML, read so that every mistake in them can be told with its line.

Files come from anybody who can drop pictures: tags are refused, and sizes, depths, numbers and
characters are limited.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from yaml.error import Mark
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.reader import ReaderError

from stylewatch_daemon.errors import SettingsError
from stylewatch_painter.validation import Location, brief, mistakes, quoted, refusing

Model = TypeVar("Model", bound=BaseModel)

LONGEST = 1_000_000
"""Bytes of a file of settings."""

MOST_NODES = 10_000
DEEPEST = 50

LONGEST_NUMBER = 1000
"""Characters of a number."""

_TAG = "tag:yaml.org,2002:"
_MERGE, _NULL = f"{_TAG}merge", f"{_TAG}null"
_NUMBERS = frozenset({f"{_TAG}int", f"{_TAG}float"})
_TEXT_ONLY = frozenset({f"{_TAG}timestamp", f"{_TAG}value"})

_NO_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
"""Characters that no name, path or message can have; escapes as `"\\0"` can say them."""

_TOO_LARGE = "this is too large or too deep for settings"


@dataclass(frozen=True)
class Document:
    """What a YAML file says, and on which line (from 1) each of its values begins."""

    file_name: str
    plain: Mapping[str, Any] = field(default_factory=dict)
    lines: Mapping[Location, int] = field(default_factory=dict)

    def line(self, where: Location) -> int | None:
        """The line of the value at `where`, or of the nearest thing around it that has one."""
        for end in range(len(where), -1, -1):
            if where[:end] in self.lines:
                return self.lines[where[:end]]
        return None


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader without tags, and with limits to what it composes.

    A date is text: no setting is a date, but a name may be.
    """

    def __init__(self, text: str, file_name: str) -> None:
        super().__init__(text)
        self._file_name = file_name
        self._left, self._depth = MOST_NODES, 0

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        """The next node; raises SettingsError where it has a tag, or is one too many."""
        peek: Callable[[], Any] = self.peek_event  # which has no type of its own
        event = peek()
        self._left -= 1
        self._depth += 1
        if self._left < 0 or self._depth > DEEPEST:
            raise _error(self._file_name, event.start_mark, _TOO_LARGE)
        if (tag := getattr(event, "tag", None)) is not None:
            written = quoted(tag.replace(_TAG, "!!", 1))
            raise _error(
                self._file_name,
                event.start_mark,
                f"settings have no tags, got {written}: write the value alone",
            )
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _TEXT_ONLY]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _error(file_name: str, mark: Mark, sentence: str) -> SettingsError:
    return SettingsError(brief(f"{file_name} line {mark.line + 1}: {sentence}"))


def read(path: Path, file_name: str | None = None) -> Document:
    """The document in the file `path`, called `file_name` (its own name) where mistakes are told.

    Raises SettingsError where it cannot be read or is not YAML.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LONGEST + 1)
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror or error}") from error
    return parse_bytes(content, file_name or path.name, LONGEST)


def parse_bytes(content: bytes, file_name: str, longest: int) -> Document:
    """The document in the bytes of a file, which has `longest` of them at most.

    Raises SettingsError as `parse` does.
    """
    if len(content) > longest:
        raise SettingsError(f"{file_name} is longer than {longest} bytes: that is no settings")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SettingsError(f"{file_name} is not text in UTF-8: save it as such") from error
    return parse(text, file_name)


def parse(text: str, file_name: str) -> Document:
    """The document in `text`, a mapping with text for keys; empty text is an empty mapping.

    Raises SettingsError: it is no YAML, or says a key twice, or goes beyond a limit.
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
    """What `text` means as one YAML value, as after `--set KEY=`; SettingsError if nothing."""
    with refusing(SettingsError, "the value"):
        node = _compose(text, "the value")
        return None if node is None else _Walk("the value").value(node, ())


def _compose(text: str, file_name: str) -> Node | None:
    try:
        return _Loader(text, file_name).get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f" line {mark.line + 1}" if mark else ""
        problem = brief(str(error.problem))
        # None, since a trace of `error` would quote the line, and with it what is secret there.
        raise SettingsError(f"{file_name}{place}: this is not YAML: {problem}") from None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise SettingsError(
            f"{file_name} line {line}: this is not YAML: text cannot have the character "
            f"U+{error.character:04X}"
        ) from None


class _Walk:
    """Turns nodes into plain values and notes their lines; an alias counts as all it repeats."""

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
            return [self.value(one, (*where, i)) for i, one in enumerate(node.value)]
        return self._scalar(node)

    def _pairs(self, node: MappingNode, where: Location) -> Iterator[tuple[str, Any]]:
        seen: dict[str, int] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node)
            line = key_node.start_mark.line + 1
            if key in seen:
                raise self._error(
                    key_node, f"{quoted(key)} is said twice, first on line {seen[key]}"
                )
            seen[key] = line
            self.lines[*where, key] = line
            yield key, self.value(value_node, (*where, key))

    def _key(self, node: Node) -> str:
        if node.tag == _MERGE:
            raise self._error(node, "`<<` is not understood here; repeat a mapping with `*name`")
        key = self._scalar(node) if isinstance(node, ScalarNode) else node.value
        if not isinstance(key, str):
            raise self._error(node, f"a key should be text, got {quoted(key)}")
        return key

    def _scalar(self, node: Node) -> Any:
        text = node.value
        if node.tag in _NUMBERS and len(text) > LONGEST_NUMBER:
            raise self._error(
                node, f"a number has {len(text)} characters; the limit is {LONGEST_NUMBER}"
            )
        if found := _NO_TEXT.search(text):
            raise self._error(node, f"text cannot have the character U+{ord(found[0]):04X}")
        try:
            return self._scalars.construct_object(node)
        except Exception as error:  # whatever a constructor of PyYAML raises
            kind = node.tag.removeprefix(_TAG)
            raise self._error(node, f"{quoted(text)} cannot be read as {kind}") from error

    def _error(self, node: Node, sentence: str) -> SettingsError:
        return _error(self._file_name, node.start_mark, sentence)


def check(model: type[Model], document: Document, below: Mapping[str, Any] | None = None) -> Model:
    """The `model` that `document` says, laid over the plain mapping `below`.

    Raises SettingsError with every mistake at once, a line of text for each.
    """
    with refusing(SettingsError, document.file_name):
        try:
            return model.model_validate({**(below or {}), **document.plain})
        except ValidationError as error:
            # None, since pydantic quotes what it met, and there are secrets among the settings.
            raise SettingsError("\n".join(told(error, model, document))) from None


def told(error: ValidationError, model: type[BaseModel], document: Document) -> list[str]:
    """`job.yaml line 3: steps: ...` for each mistake in `document`, in the order of the lines."""
    placed = [(document.line(one.loc), str(one)) for one in mistakes(error, model)]
    return [
        f"{document.file_name} line {line}: {text}" if line else f"{document.file_name}: {text}"
        for line, text in sorted(placed, key=lambda pair: pair[0] or 0)
    ]
