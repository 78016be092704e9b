"""Sweeps: fields of a job with several values each, and the jobs of the series they make."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

from stylewatch_daemon.files.names import candidates, safe

MOST = 64
"""Jobs of a series."""

_NOT_SWEPT = ("sweep", "name", "final", "flat", "priority", "set")
_LONGEST_VALUE = 60
"""Characters of a value in a job's name."""

_LONGEST_ROW = 6
"""Columns of a sheet of one field, before its members are arranged in a square."""


def _check(value: object) -> object:
    if not isinstance(value, Mapping):
        raise ValueError("should be fields with lists of values, as {strength: [0.3, 0.5, 0.7]}")
    if len(value) > MOST:
        raise ValueError(f"a series has at most {MOST} fields, got {len(value)}")
    fields: dict[str, tuple[Any, ...]] = {}
    for key, values in value.items():
        if key in _NOT_SWEPT:
            raise ValueError(f"{key} is the same for a whole series: sweep other fields")
        if not isinstance(values, list | tuple) or not values:
            raise ValueError(f"{key} should have a list of values, as [1, 2, 3]")
        fields[key] = tuple(values)
    count = math.prod(len(values) for values in fields.values())
    if count > MOST:
        raise ValueError(f"this makes {count} jobs, and a series has at most {MOST}: ask for fewer")
    return fields


Sweep = Annotated[
    dict[str, tuple[Any, ...]],
    BeforeValidator(_check),
    WithJsonSchema(
        {"type": "object", "additionalProperties": {"type": "array", "items": {}, "minItems": 1}}
    ),
]
"""Fields of a job, named as with `--set`, with their values; two fields make every combination."""


@dataclass(frozen=True)
class Member:
    """One job of a series: its `name`, safe for a folder, and its own `values`."""

    name: str
    values: Mapping[str, Any]

    @property
    def label(self) -> str:
        """The values for a reader, one per line."""
        lines = (f"{key.split('.')[-1]} {as_text(value)}" for key, value in self.values.items())
        return "\n".join(lines)

    def over(self, plain: Mapping[str, Any], of_job: Callable[[str], bool]) -> dict[str, Any]:
        """Put these values on top of the job.yaml `plain`; keys not `of_job` go into `set`."""
        above: dict[str, Any] = {}
        for key, value in self.values.items():
            section, dot, name = key.partition(".")
            if of_job(key):
                below = above.get(section, plain.get(section))
                inside = {**below, name: value} if isinstance(below, Mapping) else {name: value}
                above[section] = inside if dot else value
        beaten = {*self.values, *(("start",) if "init" in above else ())}
        kept = {
            key: value
            for key, value in dict(plain.get("set") or {}).items()
            if key not in self.values and key.split(".")[-1] not in beaten
        }
        of_recipe = {key: value for key, value in self.values.items() if not of_job(key)}
        rest = {key: value for key, value in plain.items() if key != "sweep"}
        return {**rest, **above, "set": {**kept, **of_recipe}}


def members(sweep: Mapping[str, Sequence[Any]]) -> tuple[Member, ...]:
    """Return a member for each combination, the last field changing first, with unique names."""
    combinations = product(*sweep.values())
    return tuple(_named(dict(zip(sweep, values, strict=True)) for values in combinations))


def columns(sweep: Mapping[str, Sequence[Any]]) -> int:
    """Return the columns of a sheet: the values of the last field, or about a square."""
    *before, last = (len(values) for values in sweep.values())
    return last if before or last <= _LONGEST_ROW else math.ceil(math.sqrt(last))


def as_text(value: Any) -> str:
    """Write a value as people do: `0.5`, `yes`, `0.75,0.25`."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "null"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ",".join(map(as_text, value))
    if isinstance(value, Mapping):
        return ",".join(f"{key}:{as_text(inner)}" for key, inner in value.items())
    return str(value)


def _named(combinations: Iterator[Mapping[str, Any]]) -> Iterator[Member]:
    taken: set[str] = set()
    for values in combinations:
        fields = (f"{key}={as_text(value)[:_LONGEST_VALUE]}" for key, value in values.items())
        names = candidates(safe(",".join(fields)))
        name = next(name for name in names if name.casefold() not in taken)
        taken.add(name.casefold())
        yield Member(name, values)
