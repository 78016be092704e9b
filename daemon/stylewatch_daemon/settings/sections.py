"""The sections of config.yaml, but for `job`: their keys, defaults, and what is allowed."""

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    WithJsonSchema,
    model_validator,
)

from stylewatch_daemon.settings.job import Name
from stylewatch_painter.recipes.recipe import Strict

_LONGEST = 1_000_000
"""Seconds, 11 days: the system cannot wait for 25 at once."""

_MOST = 10**15

Seconds = Annotated[float, Field(ge=0, le=_LONGEST)]
SomeSeconds = Annotated[float, Field(gt=0, le=_LONGEST)]
PositiveInt = Annotated[int, Field(gt=0, le=_MOST)]
NonNegativeInt = Annotated[int, Field(ge=0, le=_MOST)]


def _yes_or_no(value: object) -> object:
    """To YAML a plain yes is True."""
    return {True: "yes", False: "no"}.get(value, value) if isinstance(value, bool) else value


def _octal(value: object) -> object:
    """To YAML 0664 is a number, written in octal."""
    return f"{value:04o}" if isinstance(value, int) and not isinstance(value, bool) else value


def _is_mode(text: str) -> str:
    if re.fullmatch("06[0-7]{2}", text) is None or int(text, 8) & 0o111:
        raise ValueError(
            "should be the mode of a file, in octal with a 0 in front and at least 0600, as 0664; "
            "folders get the bits to enter them by themselves"
        )
    return text


Mode = Annotated[
    str,
    BeforeValidator(_octal),
    AfterValidator(_is_mode),
    WithJsonSchema({"type": ["string", "integer"], "pattern": "^06[0-7]{2}$"}),
]
"""The permissions of a file, as 0664."""


def _days(value: object) -> object:
    """`30 days` is 30."""
    found = re.fullmatch(r"(\d{1,6}) days?", value) if isinstance(value, str) else None
    return int(found[1]) if found else value


Keep = Annotated[
    Literal["keep"] | Annotated[int, Field(ge=0, le=1_000_000)],
    BeforeValidator(_days),
    WithJsonSchema(
        {"anyOf": [{"type": "integer", "minimum": 0}, {"pattern": r"^keep$|^\d+ days?$"}]}
    ),
]
"""A number of days, `30 days` too, or `keep` for ever."""


class Inbox(Strict):
    """A folder that is watched, where its paintings go, and what becomes of its pictures."""

    path: Path = Path("inbox")
    outbox: Path = Path("outbox")
    after: Literal["archive", "keep", "delete"] = "archive"
    weight: Annotated[float, Field(ge=1e-6, le=1e6)] = 1.0


class State(Strict):
    """Where the daemon keeps what is its own: the ledger, claimed pictures, checkpoints."""

    path: Path = Path("state")


class Watch(Strict):
    """How the inboxes are watched."""

    quiet_s: Seconds = 2.0
    rescan_s: SomeSeconds = 60.0
    polling: Annotated[Literal["auto", "yes", "no"], BeforeValidator(_yes_or_no)] = "auto"
    ignore: tuple[str, ...] = ()
    truncated_s: Seconds = 60.0


class Pairing(Strict):
    """The style of a photograph that comes alone: a name in the library `styles`, or `all`."""

    default_style: str | None = None
    styles: Path = Path("styles")


def _each_once(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) < len(names):
        raise ValueError("should name each device once")
    return names


def _whole_above_one(gpus: float) -> float:
    if gpus > 1 and not gpus.is_integer():
        raise ValueError("should be a share of a GPU, as 0.25, or a whole number of them")
    return gpus


class Executor(Strict):
    """Where jobs are painted: by processes of this machine, or by those of a Ray cluster."""

    kind: Literal["local", "ray"] = "local"
    devices: (
        Literal["auto"]
        | Annotated[tuple[Name, ...], Field(min_length=1), AfterValidator(_each_once)]
    ) = "auto"
    idle_s: Seconds = 60.0
    batch: Literal["auto"] | Annotated[int, Field(ge=1, le=64)] = "auto"
    address: Annotated[str, Field(min_length=1)] = "auto"
    gpus_per_job: Annotated[float, Field(ge=0, le=10_000), AfterValidator(_whole_above_one)] = 1.0
    labels: dict[str, str] = Field(default={})
    resources: dict[str, Annotated[float, Field(gt=0, le=_MOST)]] = Field(default={})

    @model_validator(mode="after")
    def _of_its_kind(self) -> "Executor":
        """Nothing is said that would do nothing."""
        other = "ray" if self.kind == "local" else "local"
        for key in _OF_KIND[other]:
            if getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f"{key} is for kind: {other}, and kind is {self.kind}")
        return self


_OF_KIND = {"local": ("devices",), "ray": ("address", "gpus_per_job", "labels", "resources")}
"""Settings that only one kind of executor has."""


_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12,
          "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}  # fmt: skip
_WITH_UNIT = re.compile(r"(\d{1,15}(?:\.\d+)?) ?([kMGT]i?)B?")


def _bytes(value: object) -> object:
    """`6GB` is 6000000000."""
    found = _WITH_UNIT.fullmatch(value) if isinstance(value, str) else None
    return int(float(found[1]) * _UNITS[found[2]]) if found else value


Bytes = Annotated[
    PositiveInt,
    BeforeValidator(_bytes),
    WithJsonSchema(
        {"anyOf": [{"type": "integer", "minimum": 1},
                   {"type": "string", "pattern": r"^\d+(\.\d+)? ?[kMGT]i?B?$"}]}
    ),
]  # fmt: skip
"""A number of bytes, `6GB` and `500 MB` too, and `6GiB`."""


class Limits(Strict):
    """What is too much."""

    max_pixels: PositiveInt = 250_000_000
    attempts: PositiveInt = 3
    step_timeout_s: SomeSeconds | None = None
    free_bytes: NonNegativeInt = 256_000_000
    memory: Bytes | None = None
    out_of_memory: Literal["wait", "smaller", "cpu"] = "wait"


_LAST_GROUP = 2**32 - 2


class Outbox(Strict):
    """Who may read and write what is published; None leaves that to the system."""

    mode: Mode | None = None
    group: (
        Annotated[str, Field(min_length=1)] | Annotated[int, Field(ge=0, le=_LAST_GROUP)] | None
    ) = None


class Retention(Strict):
    """How many days finished jobs keep what can be done without."""

    stages: Keep = "keep"
    inputs: Keep = "keep"
    ledger: Keep = "keep"


class Log(Strict):
    """What the daemon tells of its work, on stderr."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["console", "json"] = "console"
