"""Settings in YAML, read so that every mistake in them can be told with its line."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from stylewatch_daemon.errors import SettingsError
from stylewatch_painter.mistakes import Location, mistakes

Model = TypeVar("Model", bound=BaseModel)

MOST_NODES = 10_000
DEEPEST = 50

_MAP, _LIST = "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"
_TIMESTAMP, _MERGE = "tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:merge"
_NULL = "tag:yaml.org,2002:null"


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
    """PyYAML's safe one, to which a date is text: no setting is a date, but a name may be."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIMESTAMP]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read(path: Path, file_name: str | None = None) -> Document:
    """The document in the file `path`, called `file_name` (its own name) where mistakes are told.

    Raises SettingsError where it cannot be read or is not YAML.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path} is not text in UTF-8: save it as such") from error
    return parse(text, file_name or path.name)


def parse(text: str, file_name: str) -> Document:
    """The document in `text`, a mapping with text for keys; empty text is an empty mapping.

    Raises SettingsError: it is no YAML, or says a key twice, or grows out of all measure.
    """
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
    node = _compose(text, "the value")
    return None if node is None else _Walk("the value").value(node, ())


def _compose(text: str, file_name: str) -> Node | None:
    try:
        loader = _Loader(text)
        return loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f" line {mark.line + 1}" if mark else ""
        # None, since a trace of `error` would quote the line, and with it what is secret there.
        raise SettingsError(f"{file_name}{place}: this is not YAML: {error.problem}") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise SettingsError(f"{file_name} is not YAML: {error}".replace("\n", " ")) from error


class _Walk:
    """Turns nodes into plain values and notes their lines; an alias counts as all it repeats."""

    def __init__(self, file_name: str) -> None:
        self.lines: dict[Location, int] = {}
        self._file_name = file_name
        self._left = MOST_NODES
        self._scalars = _Loader("")

    def value(self, node: Node, where: Location) -> Any:
        self._left -= 1
        if self._left < 0 or len(where) > DEEPEST:
            raise self._error(node, "this is too large or too deep for settings")
        self.lines.setdefault(where, node.start_mark.line + 1)
        if isinstance(node, MappingNode) and node.tag == _MAP:
            return dict(self._pairs(node, where))
        if isinstance(node, SequenceNode) and node.tag == _LIST:
            return [self.value(one, (*where, i)) for i, one in enumerate(node.value)]
        if isinstance(node, ScalarNode):
            return self._scalar(node)
        raise self._error(node, f"settings have no place for {node.tag}")

    def _pairs(self, node: MappingNode, where: Location) -> Iterator[tuple[str, Any]]:
        seen: dict[str, int] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node)
            line = key_node.start_mark.line + 1
            if key in seen:
                raise self._error(key_node, f"{key!r} is said twice, first on line {seen[key]}")
            seen[key] = line
            self.lines[*where, key] = line
            yield key, self.value(value_node, (*where, key))

    def _key(self, node: Node) -> str:
        if node.tag == _MERGE:
            raise self._error(node, "`<<` is not understood here; repeat a mapping with `*name`")
        key = self._scalar(node) if isinstance(node, ScalarNode) else node.value
        if not isinstance(key, str):
            raise self._error(node, f"a key should be text, got {key!r}")
        return key

    def _scalar(self, node: ScalarNode) -> Any:
        try:
            return self._scalars.construct_object(node)
        except (yaml.YAMLError, ValueError) as error:
            raise self._error(node, f"{node.value!r} cannot be understood as {node.tag}") from error

    def _error(self, node: Node, sentence: str) -> SettingsError:
        return SettingsError(f"{self._file_name} line {node.start_mark.line + 1}: {sentence}")


def check(model: type[Model], document: Document, below: Mapping[str, Any] | None = None) -> Model:
    """The `model` that `document` says, laid over the plain mapping `below`.

    Raises SettingsError with every mistake at once, a line of text for each.
    """
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
