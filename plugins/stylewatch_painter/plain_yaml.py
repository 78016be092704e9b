"""A YAML loader for recipes and settings: 0100 is not octal, and dates and times are text."""

import re

import yaml

TAG = "tag:yaml.org,2002:"
"""Prefix of the tags of YAML's own types."""

_TEXT_ONLY = frozenset({f"{TAG}timestamp", f"{TAG}value"})
_INTEGER = re.compile("[-+]?(0|[1-9][0-9_]*|0b[01_]+|0x[0-9a-fA-F_]+)$")


class Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which reads dates and times, and numbers such as 0100, as text.

    No setting is a date or a time, but a name can look like one. YAML 1.1 would read 0100 as 64.
    """


Loader.yaml_implicit_resolvers = {
    first: [
        (tag, _INTEGER if tag == f"{TAG}int" else pattern)
        for tag, pattern in resolvers
        if tag not in _TEXT_ONLY
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
