"""Plain values of recipes and settings: a YAML loader, and how mappings are merged.

0100 is not octal, and dates and times are text.
"""

import re
from collections import Counter
from collections.abc import Hashable, Mapping
from copy import deepcopy
from typing import Any

import yaml

TAG = "tag:yaml.org,2002:"
"""Prefix of the tags of YAML's own types."""

_TEXT_ONLY = frozenset({f"{TAG}timestamp", f"{TAG}value"})
_INTEGER = re.compile("[-+]?(0|[1-9][0-9_]*|0b[01_]+|0x[0-9a-fA-F_]+)$")


class Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which reads dates and times, and numbers such as 0100, as text.

    No setting is a date or a time, but a name can look like one. YAML 1.1 would read 0100 as 64.
    A key that occurs twice in a mapping is an error.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Construct a mapping; raises ConstructorError if a key occurs twice."""
        counts = Counter(str(key.value) for key, _ in node.value)
        if twice := [key for key, count in counts.items() if count > 1]:
            raise yaml.constructor.ConstructorError(
                problem=f"{twice[0]!r} occurs twice", problem_mark=node.start_mark
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
        if both and len({mapping["kind"] for mapping in both if "kind" in mapping}) <= 1:
            below[key] = dict(both[0])  # a YAML file may have it twice, by an anchor
            merge_into(below[key], value)
        else:
            below[key] = deepcopy(value)
