"""A series: a job for each combination of the values that `--sweep` gives."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from stylewatch_daemon.base.errors import UsageError
from stylewatch_daemon.cli import options
from stylewatch_daemon.files.names import candidates, safe
from stylewatch_daemon.views.formatting import as_text

MOST_MEMBERS = 64
"""Maximum number of jobs in a series."""

_NOT_SWEPT = ("name", "final", "priority", "set")

_LONGEST_VALUE = 60
"""Maximum number of characters of a value in the name of a job."""

_LONGEST_ROW = 6
"""Maximum number of pictures in a single row if one field is swept; more are put in a square."""

Sweep = Mapping[str, Sequence[Any]]
"""Values of each swept field of a job, which is named as for `--set`."""


@dataclass(frozen=True)
class Member:
    """One job of a series: its `name`, safe for a folder, and its own `values`."""

    name: str
    values: Mapping[str, Any]

    @property
    def label(self) -> str:
        """Text that lists the values, one per line."""
        lines = (f"{key.split('.')[-1]} {as_text(value)}" for key, value in self.values.items())
        return "\n".join(lines)

    @property
    def overrides(self) -> dict[str, Any]:
        """The values by the dotted keys of config.yaml."""
        return {options.full_key(key): value for key, value in self.values.items()}


def parse_sweep(sweeps: Sequence[str] | None) -> Sweep:
    """Parse `--sweep KEY=V1,V2 ...`; raises UsageError."""
    sweep: dict[str, Sequence[Any]] = {}
    for text in sweeps or ():
        key, values = options.parse_pair(text, "--sweep", "KEY=V1,V2, as strength=0.3,0.5", "[{}]")
        name = re.sub(r"^job\.(set\.)?", "", key)
        if not key.startswith("job."):
            raise UsageError(
                f"--sweep {key}: `{key}` is a daemon setting; it can't be set for a job"
            )
        if name in _NOT_SWEPT:
            raise UsageError(f"--sweep: {name} is the same for a whole series: sweep other fields")
        if name in sweep:
            raise UsageError(
                f"--sweep {name} is given twice: give all values at once, as {name}=V1,V2"
            )
        sweep[name] = values
    if (count := math.prod(map(len, sweep.values()))) > MOST_MEMBERS:
        raise UsageError(
            f"--sweep: this makes {count} jobs, and a series has at most {MOST_MEMBERS}: ask for "
            "fewer"
        )
    return sweep


def members(sweep: Sweep) -> Sequence[Member]:
    """Return a member for each combination, with unique names; the last field varies fastest."""
    made: dict[str, Member] = {}
    for combination in product(*sweep.values()):
        values = dict(zip(sweep, combination, strict=True))
        fields = (f"{key}={as_text(value)[:_LONGEST_VALUE]}" for key, value in values.items())
        names = candidates(safe(",".join(fields)))
        name = next(name for name in names if name.casefold() not in made)
        made[name.casefold()] = Member(name, values)
    return [*made.values()]


def columns(sweep: Sweep) -> int:
    """Return the number of pictures in a row of the sheet.

    This is the number of values of the last field; many values of a single field make a square.
    """
    *before, last = (len(values) for values in sweep.values())
    return last if before or last <= _LONGEST_ROW else math.ceil(math.sqrt(last))
