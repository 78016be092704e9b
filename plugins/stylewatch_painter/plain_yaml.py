"""Reading and merging of the values of recipes and settings, which are written in YAML.

Unlike in YAML 1.1, numbers such as 0100 and 0x40, dates and times are text. Anybody who can drop
files can write settings: therefore tags are refused, and sizes, depths, numbers and characters are
limited.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.error import Mark
from yaml.events import CollectionEndEvent, CollectionStartEvent, NodeEvent
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.reader import ReaderError
from yaml.tokens import DocumentEndToken, DocumentStartToken

from stylewatch_painter.validation import Location, brief, quoted, refusing

_TAG = "tag:yaml.org,2002:"
"""Prefix of the tags of YAML's own types."""

MOST_NODES = 10_000
DEEPEST = 50

LONGEST_NUMBER = 1000
"""Maximum number of characters of a number."""

_MERGE = f"{_TAG}merge"
_NULL = f"{_TAG}null"
_NUMBERS = frozenset({f"{_TAG}int", f"{_TAG}float"})

_NO_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
"""Pattern for characters that text must not have, such as control characters. YAML can express them
by escapes such as `"\\0"`."""

_BARE_ADDRESS = re.compile(r"([^#'\"]*[: ]|)(\[[0-9A-Fa-f:.]{2,45}\]:[0-9]{1,5})(\s*(?:#.*)?)")
"""Pattern for a line that ends with an IPv6 address and a port, such as `listen: [::1]:8787`, which
YAML takes for a list with something after it."""

_MOST_ADDRESSES = 3
"""Maximum number of addresses without quotes that are repaired in a text."""

_TOO_LARGE = "this is too large or too deep for settings"

_TEXT_ONLY = frozenset({f"{_TAG}timestamp", f"{_TAG}value"})
_INTEGER = re.compile("[-+]?(0|[1-9][0-9_]*)$")
_FLOAT = re.compile(
    r"[-+]?([0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)([eE][-+][0-9]+)?$"
    r"|[-+]?\.(inf|Inf|INF)$|\.(nan|NaN|NAN)$"
)
_PATTERNS = {f"{_TAG}int": _INTEGER, f"{_TAG}float": _FLOAT}
"""Patterns for numbers, in place of those of YAML 1.1, in which 0x400 is 1024 and `1:30.` is 90."""


class YamlError(ValueError):
    """A text is not valid YAML, or it uses YAML that is not allowed.

    The message has the name of the file and, if known, the line.
    """


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which reads dates, times, and numbers like 0100 or 0x40 as text.

    No setting is a date or a time, but a name can look like one. YAML 1.1 would read 0100 and 0x40
    as 64.
    """


_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, _PATTERNS.get(tag, pattern)) for tag, pattern in resolvers if tag not in _TEXT_ONLY
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@dataclass(frozen=True)
class Document:
    """The values of a YAML file, and the line (from 1) on which each value begins."""

    file_name: str
    plain: Mapping[str, Any] = field(default_factory=dict)
    lines: Mapping[Location, int] = field(default_factory=dict)

    def line(self, where: Location) -> int | None:
        """Return the line of the value at `where`, or else of its nearest parent that has one.

        None means that no line is known.
        """
        for end in range(len(where), -1, -1):
            if where[:end] in self.lines:
                return self.lines[where[:end]]
        return None

    def place(self, where: Location) -> str:
        """Return the place of the value at `where`, such as `job.yaml line 3`.

        If no line is known, the result is the name of the file.
        """
        line = self.line(where)
        return f"{self.file_name} line {line}" if line else self.file_name


def parse(text: str, file_name: str) -> Document:
    """Parse `text`, a mapping whose keys are text; empty text is an empty mapping.

    `file_name` is for messages. Raises YamlError if the text is not YAML, is no such mapping, has a
    tag, has a key twice, or exceeds a limit.
    """
    with refusing(YamlError, file_name):
        node = _compose(text, file_name)
        if node is None or node.tag == _NULL:
            return Document(file_name)
        if not isinstance(node, MappingNode):
            raise YamlError(f"{file_name} should hold lines of `key: value`")
        walk = _Walk(file_name)
        plain = walk.value(node, ())
        return Document(file_name, plain, walk.lines)


def value(text: str) -> Any:
    """Parse `text` as one YAML value; return None if it is empty.

    In a value without quotes, everything that YAML would read as a comment, an anchor or a document
    mark is part of the text. Raises YamlError if a comment or a document mark stands beside another
    value, and if the text is not YAML, has a tag, has a key twice, or exceeds a limit.
    """
    with refusing(YamlError, "the value"):
        node = _compose(text, "the value")
        whole = text.strip()
        if node is None or (_is_bare(node) and node.value != whole):
            return whole or None
        if not (_is_bare(node) or _is_one_value(text)):
            raise YamlError(
                "this is a value with something beside it, such as a comment: leave that out or, "
                "if it is part of a text, put the text in quotes"
            )
        return _Walk("the value").value(node, ())


def _is_bare(node: Node) -> bool:
    """Return whether a node is a scalar without quotes."""
    return isinstance(node, ScalarNode) and node.style is None


def _is_one_value(text: str) -> bool:
    """Return whether `text` has neither a comment nor a document mark."""
    end = 0
    try:
        for token in yaml.scan(text, _Loader):
            between = text[end : token.start_mark.index]
            if between.strip() or isinstance(token, DocumentStartToken | DocumentEndToken):
                return False
            end = token.end_mark.index
    except yaml.MarkedYAMLError:
        return True  # it is an address without quotes
    return True


def _error(file_name: str, mark: Mark, sentence: str) -> YamlError:
    return YamlError(brief(f"{file_name} line {mark.line + 1}: {sentence}"))


def _with_address(text: str, number: int) -> str:
    """Return `text` with quotes around the address at the end of the line `number`, from 0.

    The result is empty if no address ends that line.
    """
    lines = text.split("\n")  # YAML has more kinds of line ends, so `number` may be too large
    match = _BARE_ADDRESS.fullmatch(lines[number]) if number < len(lines) else None
    if match is None:
        return ""
    lines[number] = f"{match[1]}'{match[2]}'{match[3]}"
    return "\n".join(lines)


def _compose(text: str, file_name: str, more: int = _MOST_ADDRESSES) -> Node | None:
    """Parse `text` into a node of PyYAML; return None for empty text.

    If a line is not valid YAML and ends with an IPv6 address and a port without quotes, put these
    in quotes and try again, up to `more` times. Raises YamlError for other text that is not YAML,
    for a tag, and beyond a limit.
    """
    left = MOST_NODES
    depth = 0
    events: Iterator[Any] = yaml.parse(text, _Loader)  # unlike composing, this needs no recursion
    try:
        for event in events:
            left -= isinstance(event, NodeEvent)
            depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
            if left < 0 or depth > DEEPEST:
                raise _error(file_name, event.start_mark, _TOO_LARGE)
            tag = getattr(event, "tag", None)
            if tag is not None:
                written = quoted(tag.replace(_TAG, "!!", 1))
                sentence = f"settings have no tags, got {written}: write the value alone"
                raise _error(file_name, event.start_mark, sentence)
        return yaml.compose(text, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        if more and mark and (quoted_text := _with_address(text, mark.line)):
            return _compose(quoted_text, file_name, more - 1)
        place = f" line {mark.line + 1}" if mark else ""
        problem = brief(str(error.problem))
        # Not chained: a trace of `error` would quote the line, which may hold a secret.
        raise YamlError(f"{file_name}{place}: this is not YAML: {problem}") from None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise YamlError(
            f"{file_name} line {line}: this is not YAML: text cannot have the character "
            f"U+{error.character:04X}"
        ) from None


class _Walk:
    """Converter of nodes to plain values, which also collects the line of each value.

    The content of an anchor counts towards the maximum number of nodes each time an alias repeats
    it.
    """

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
        yield from self._merged(node, where)  # first: the mapping's own keys replace merged ones
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                continue
            key = self._key(key_node)
            line = key_node.start_mark.line + 1
            if key in seen:
                shown = "a key" if "://" in key else quoted(key)  # URLs hold passwords
                raise self._error(key_node, f"{shown} occurs twice, first on line {seen[key]}")
            seen[key] = line
            self.lines[*where, key] = line
            yield key, self.value(value_node, (*where, key))

    def _merged(self, node: MappingNode, where: Location) -> Iterator[tuple[str, Any]]:
        """Yield the pairs that `<<` adds to a mapping.

        They count towards the maximum number of nodes, because nested `<<` may double them.
        """
        merged = [value for key, value in node.value if key.tag == _MERGE]
        for value_node in merged:
            if len(merged) > 1 or not isinstance(value_node, MappingNode):
                raise self._error(value_node, "`<<` takes one mapping, such as `*name`")
            for key, value in self.value(value_node, (*where, "<<")).items():
                self.lines[*where, key] = self.lines[*where, "<<", key]
                yield key, value

    def _key(self, node: Node) -> str:
        if not isinstance(node, ScalarNode):
            raise self._error(node, "a key should be text, got a list or a mapping")
        key = self._scalar(node)
        if not isinstance(key, str):
            raise self._error(node, f'a key should be text: write "{node.value}", in quotes')
        return key

    def _scalar(self, node: Node) -> Any:
        text = node.value
        if node.tag in _NUMBERS and len(text) > LONGEST_NUMBER:
            raise self._error(
                node, f"a number has {len(text)} characters; the limit is {LONGEST_NUMBER}"
            )
        match = _NO_TEXT.search(text)
        if match:
            raise self._error(node, f"text cannot have the character U+{ord(match[0]):04X}")
        try:
            return self._scalars.construct_object(node)
        except Exception as error:  # constructors of PyYAML raise many kinds
            kind = node.tag.removeprefix(_TAG)
            raise self._error(node, f"{quoted(text)} cannot be read as {kind}") from error

    def _error(self, node: Node, sentence: str) -> YamlError:
        return _error(self._file_name, node.start_mark, sentence)


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of `below` into which `above` is merged, recursively.

    A mapping in `above` is merged into a mapping at the same path, unless both have a `kind` and
    the kinds differ. Every other value in `above` replaces the value at its path.
    """
    merged = deepcopy(dict(below))
    merge_into(merged, above)
    return merged


def merge_into(below: dict[str, Any], above: Mapping[str, Any]) -> None:
    """Merge `above` into `below` in place, as `merge` does, but without a deep copy of `below`."""
    for key, value in above.items():
        old = below.get(key)
        if isinstance(old, dict) and isinstance(value, Mapping) and not _of_other_kinds(old, value):
            below[key] = dict(old)  # a copy: by an anchor a YAML file may hold a mapping twice
            merge_into(below[key], value)
        else:
            below[key] = deepcopy(value)


def _of_other_kinds(below: Mapping[str, Any], above: Mapping[str, Any]) -> bool:
    """Return whether both mappings have a `kind`, of any type, and the kinds differ."""
    return "kind" in below and "kind" in above and bool(below["kind"] != above["kind"])


def remove(plain: dict[str, Any], paths: Iterable[Location]) -> bool:
    """Remove from `plain`, for each of `paths`, the deepest existing key of a mapping on the path.

    Return False if no path has such a key. An item of a list is never removed: the deepest key is
    then that of the list.
    """
    found: dict[Location, tuple[dict[str, Any], str]] = {}
    for path in paths:
        inner: Any = plain
        for part in path:
            if isinstance(inner, dict) and part in inner:
                found[path] = inner, str(part)
            elif not (isinstance(inner, list | tuple) and part in range(len(inner))):
                break
            inner = inner[part]
    for mapping, key in found.values():
        mapping.pop(key, None)
    return bool(found)
