"""A sweep: fields of a job over several values, and the members of the series that it makes."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

from stylewatch_daemon.files.names import candidates, safe

MOST = 64
"""Jobs of a series."""

_OF_THE_WHOLE = ("sweep", "name", "final", "flat", "priority", "set")
_LONGEST = 60  # letters of a value in a name


def _checked(value: object) -> object:
    """The fields with their values; raises ValueError for what makes no series."""
    if not isinstance(value, Mapping):
        raise ValueError("should be fields with lists of values, as {strength: [0.3, 0.5, 0.7]}")
    if len(value) > MOST:
        raise ValueError(f"a series has at most {MOST} fields, got {len(value)}")
    fields: dict[str, tuple[Any, ...]] = {}
    for key, values in value.items():
        if key in _OF_THE_WHOLE:
            raise ValueError(f"{key} is one for a whole series: sweep other fields")
        if not isinstance(values, list | tuple) or not values:
            raise ValueError(f"{key} should have a list of values, as [1, 2, 3]")
        fields[key] = tuple(values)
    count = math.prod(len(values) for values in fields.values())
    if count > MOST:
        raise ValueError(f"this makes {count} jobs, and a series has at most {MOST}: ask for fewer")
    return fields


Sweep = Annotated[
    dict[str, tuple[Any, ...]],
    BeforeValidator(_checked),
    WithJsonSchema(
        {"type": "object", "additionalProperties": {"type": "array", "items": {}, "minItems": 1}}
    ),
]
"""Fields of a job, named as with `--set`, each with its values; two fields make every pairing."""


@dataclass(frozen=True)
class Member:
    """One job of a series: its `name`, fit for a folder, and the `values` that are its own."""

    name: str
    values: Mapping[str, Any]

    @property
    def label(self) -> str:
        """The values for a person to read, a line for each."""
        lines = (f"{key.split('.')[-1]} {said(value)}" for key, value in self.values.items())
        return "\n".join(lines)

    def over(self, plain: Mapping[str, Any], of_job: Callable[[str], bool]) -> dict[str, Any]:
        """The job.yaml `plain` with these values; what is not `of_job` is the recipe's."""
        above: dict[str, Any] = {}
        for key, value in self.values.items():
            section, dot, name = key.partition(".")
            if of_job(key):
                around = above.get(section, plain.get(section))
                inside = {**around, name: value} if isinstance(around, Mapping) else {name: value}
                above[section] = inside if dot else value
        beaten = {*self.values, *(("start",) if "init" in above else ())}
        kept = {
            key: value
            for key, value in dict(plain.get("set") or {}).items()
            if key not in self.values and key.split(".")[-1] not in beaten
        }
        swept = {key: value for key, value in self.values.items() if not of_job(key)}
        rest = {key: value for key, value in plain.items() if key != "sweep"}
        return {**rest, **above, "set": {**kept, **swept}}


def members(sweep: Mapping[str, Sequence[Any]]) -> tuple[Member, ...]:
    """Every pairing of the values, the last field changing first; names are told apart."""
    return tuple(_named([dict(zip(sweep, one, strict=True)) for one in product(*sweep.values())]))


def columns(sweep: Mapping[str, Sequence[Any]]) -> int:
    """How many members go into a row of a sheet: those of the last field, or about a square."""
    *before, last = (len(values) for values in sweep.values())
    return last if before or last <= _ROW else math.ceil(math.sqrt(last))


_ROW = 6


def said(value: Any) -> str:
    """A value as people write it: `0.5`, `yes`, `0.75,0.25`."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "null"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ",".join(said(one) for one in value)
    if isinstance(value, Mapping):
        return ",".join(f"{key}:{said(one)}" for key, one in value.items())
    return str(value)


def _named(found: Sequence[Mapping[str, Any]]) -> Iterator[Member]:
    taken: set[str] = set()
    for values in found:
        told = ",".join(f"{key}={said(one)[:_LONGEST]}" for key, one in values.items())
        name = next(one for one in candidates(safe(told)) if one.casefold() not in taken)
        taken.add(name.casefold())
        yield Member(name, values)
