"""Plain values of recipes and settings: a YAML loader, and how mappings are merged.

0100 is not octal, and dates and times are text.
"""

import re
from collections import Counter
from collections.abc import Hashable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from stylewatch_painter.validation import Location

TAG = "tag:yaml.org,2002:"
"""Prefix of the tags of YAML's own types."""

_TEXT, _MERGE = f"{TAG}str", f"{TAG}merge"
_TEXT_ONLY = frozenset({f"{TAG}timestamp", f"{TAG}value"})
_INTEGER = re.compile("[-+]?(0|[1-9][0-9_]*|0b[01_]+|0x[0-9a-fA-F_]+)$")


class Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which reads dates and times, and numbers such as 0100, as text.

    No setting is a date or a time, but a name can look like one. YAML 1.1 would read 0100 as 64.
    A key that occurs twice in a mapping is an error, and so is one that is no text.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Construct a mapping; raises ConstructorError for a key that is wrong, with its place."""
        counts = Counter(str(key.value) for key, _ in node.value)
        if twice := [key for key, count in counts.items() if count > 1]:
            raise yaml.constructor.ConstructorError(
                problem=f"{twice[0]!r} occurs twice", problem_mark=node.start_mark
            )
        for key, _ in node.value:
            if isinstance(key, ScalarNode) and key.tag not in (_TEXT, _MERGE):
                raise yaml.constructor.ConstructorError(
                    problem=f'a key should be text: write "{key.value}", in quotes',
                    problem_mark=key.start_mark,
                )
        return super().construct_mapping(node, deep)


Loader.yaml_implicit_resolvers = {
    first: [
        (tag, _INTEGER if tag == f"{TAG}int" else pattern)
        for tag, pattern in resolvers
        if tag not in _TEXT_ONLY
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@dataclass(frozen=True)
class Document:
    """The values of a YAML file, and the line (from 1) on which each of them begins."""

    file_name: str
    plain: Mapping[str, Any] = field(default_factory=dict)
    lines: Mapping[Location, int] = field(default_factory=dict)

    def line(self, where: Location) -> int | None:
        """Return the line of the value at `where`, or of the nearest parent that has a line."""
        for end in range(len(where), -1, -1):
            if where[:end] in self.lines:
                return self.lines[where[:end]]
        return None

    def place(self, where: Location) -> str:
        """Return the place of the value at `where`: `job.yaml line 3` if the line is known."""
        line = self.line(where)
        return f"{self.file_name} line {line}" if line else self.file_name


MOST_LINES = 10_000
"""Maximum number of values whose lines are noted: aliases may multiply them."""


def lines_of(top: Node) -> dict[Location, int]:
    """Return the line of each value in a document, by its path; a key's line is its value's."""
    found: dict[Location, int] = {(): top.start_mark.line + 1}
    waiting: list[tuple[Location, Node]] = [((), top)]
    while waiting and len(found) < MOST_LINES:
        where, node = waiting.pop()
        if isinstance(node, SequenceNode):
            inner = [((*where, i), item, item) for i, item in enumerate(node.value)]
        elif isinstance(node, MappingNode):
            merged = [value for key, value in node.value if key.tag == _MERGE]
            waiting += [(where, value) for value in merged if isinstance(value, MappingNode)]
            inner = [
                ((*where, key.value), key, value)
                for key, value in node.value
                if isinstance(key, ScalarNode) and key.tag != _MERGE
            ]
        else:
            continue
        for place, begin, value in inner:
            found.setdefault(place, begin.start_mark.line + 1)
            waiting.append((place, value))
    return found


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return `above` merged over `below`, recursively; a mapping with another `kind` replaces."""
    merged = deepcopy(dict(below))
    merge_into(merged, above)
    return merged


def merge_into(below: dict[str, Any], above: Mapping[str, Any]) -> None:
    """Merge `above` into `below` in place, in time proportional to the size of `above`."""
    for key, value in above.items():
        old = below.get(key)
        both = (old, value) if isinstance(old, dict) and isinstance(value, Mapping) else ()
        kinds = [mapping["kind"] for mapping in both if "kind" in mapping]  # of any type
        if both and kinds[1:] in ([], kinds[:1]):
            below[key] = dict(both[0])  # a YAML file may have it twice, by an anchor
            merge_into(below[key], value)
        else:
            below[key] = deepcopy(value)
