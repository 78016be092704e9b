"""The table of what is tried: each setting, with texts that are right, at a limit, and wrong."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel

from stylewatch_daemon.settings.config import Config

ANY, REFUSED = object(), object()
"""Whatever all ways agree on; no value."""


@dataclass(frozen=True)
class Row:
    """A text for a key, and the value that people mean by it, ANY or REFUSED."""

    key: str
    text: str
    value: Any = ANY


@dataclass(frozen=True)
class Setting:
    """A key with the types in its annotation and its limits."""

    key: str
    types: frozenset[Any]
    choices: tuple[Any, ...]
    limits: tuple[Any, ...]


_NO_VALUES = ("inboxes", "job.set", "backends", "alerts.urls")
"""Keys with values of many keys, or secrets: `--set` refuses the last."""


def _parts(annotation: Any) -> Iterator[Any]:
    """Yield types, choices and limits in an annotation."""
    if get_origin(annotation) is Literal:
        yield from (("choice", choice) for choice in get_args(annotation))
        return
    if hasattr(annotation, "__metadata__"):
        for each in annotation.__metadata__:
            yield from (("limit", limit) for limit in _limits(each))
        yield from _parts(annotation.__origin__)
        return
    if get_origin(annotation) in (tuple, dict, list):
        yield "type", get_origin(annotation)
        return
    inner = get_args(annotation)
    if not inner and isinstance(annotation, type):
        yield "type", annotation
    for part in inner:
        yield from _parts(part)


def _limits(metadata: Any) -> Iterator[Any]:
    if isinstance(metadata, Ge | Gt | Le | Lt):
        yield metadata
    for each in getattr(metadata, "metadata", ()):
        yield from _limits(each)


def settings(model: type[BaseModel] = Config, start: str = "") -> Iterator[Setting]:
    """Yield all settings below a model, with dotted keys."""
    for name, field in model.model_fields.items():
        key = f"{start}{name}"
        if key in _NO_VALUES:
            continue
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from settings(annotation, f"{key}.")
            continue
        parts = [*_parts(annotation)]
        parts += [("limit", limit) for each in field.metadata for limit in _limits(each)]
        yield Setting(
            key,
            frozenset(each for kind, each in parts if kind == "type"),
            tuple(each for kind, each in parts if kind == "choice"),
            tuple(each for kind, each in parts if kind == "limit"),
        )


BYTES = ("limits.max_bytes", "limits.free_bytes", "limits.memory", "web.upload")
"""Keys of amounts of bytes."""

AMOUNTS = {
    "1000000": 10**6, "0.5GB": 5 * 10**8, "1.5GB": 15 * 10**8, "1,5 GB": 15 * 10**8,
    "1.5 GB": 15 * 10**8, "2GiB": 2 << 30, "2 Gi": 2 << 30, "500 MB": 5 * 10**8, "500mb": 5 * 10**8,
    "100k": 10**5, "100 KB": 10**5, '"1,000,000"': REFUSED, "500.000.000": REFUSED, "50%": REFUSED,
    "6GB of RAM": REFUSED, "4GB/2": REFUSED, "4 GB or so": REFUSED, "GB": REFUSED, "-5": REFUSED,
    "1e6": ANY, "1.5": REFUSED, "0x10": ANY, "1,5": REFUSED, "1,5,5 GB": REFUSED, "٣GB": REFUSED,
}  # fmt: skip
NUMBERS = ("1", "0", "-1", "1.5", "1,5", "1.5.5", "50%", "1e3", ".5", "5.", "nan", ".nan", ".inf",
           "-.inf", "1e400", "0x10", "1_000", "yes", "~", "''", "[1]", "{a: 1}", "one", "1 000",
           "٣", "99999999999999999999", "0.0000001")  # fmt: skip
WORDS = ("x", "''", "~", "yes", "12", "1.5", "[a]", "{a: 1}", "2026-11-28", "a b", "Größe", "null",
         "'a\tb'")  # fmt: skip
PATHS = ("x", "~/x", "'~'", "/srv/x", "../x", "./x", "a/../x", "''", "12", "yes", "[a]", "{a: b}",
         "~nobody-of-that-name/x", "'a\tb'", "1.5")  # fmt: skip
LISTS = ("[]", "x", "[x]", "[1, x]", "[[x]]", "{a: b}", "''", "12", "[~]", "[yes]",
         "a,b")  # fmt: skip
OWN = {
    "web.listen": ("127.0.0.1:8787", "[::1]:8787", "'[::1]:8787'", "::1:8787", "localhost:8787",
                   "8787", "0.0.0.0:8787", "unix:/run/x", "unix:x", "127.0.0.1", ":8787",
                   "127.0.0.1:99999", "host:80"),
    "executor.hours": ("22:00-07:00", "22-7", "22:00 - 7:00", "22:00\N{EN DASH}07:00",
                       "18:30-24:00", "7-7", "25:00-3:00", "22:60-7", "10pm-7am", "22:00",
                       "24:30-7", "0-24", "22:00-07:00:00", "night"),
    "job.size": ("640", "640px", "640x480", "640 x 480", "x400", "400x", "512-short", "0.25mp",
                 "0,25mp", "0.25 MP", "0", "-1", "50%", "1e3", "640.5", "1920X1080", "1_000",
                 "0x40", "+64", "640\N{MULTIPLICATION SIGN}480"),
    "job.style_size": ("640", "area", "50%", "50 %", "[50%, area]", "0%", "50,5%", "stretch"),
    "job.mask.feather": ("8", "1.5%", "1,5%", "50 %", "51%", "-1", "8px", "0"),
    "job.style_weights": ("[1, 2]", "[0, 0]", "1,2", "1 2", "[1;2]", "[a]", "2"),
    "retention.stages": ("30", "30 days", "1 day", "30d", "keep", "forever", "-1", "1.5", "4 weeks",
                         "30 Days"),
    "job.recipe": ("best", "gram", "nothing", "no.yaml", "~/r.yaml", "''", "12"),
}  # fmt: skip
"""Further texts of single keys."""


def _number_edges(limits: tuple[Any, ...]) -> Iterator[str]:
    """Yield texts at the limits, and just beyond them."""
    for limit in limits:
        (value,) = vars(limit).values() if hasattr(limit, "__dict__") else (
            getattr(limit, limit.__slots__[0]),)  # fmt: skip
        yield from (repr(value), repr(value - 1), repr(value + 1))


def texts(setting: Setting) -> Iterator[Row]:
    """Yield what is tried for a setting."""
    key = setting.key
    for choice in setting.choices:
        yield Row(key, f"{choice}x", REFUSED)
    if Path in setting.types:  # the current folder, as which Python takes it, is meant by nobody
        yield Row(key, "''", REFUSED)
        yield Row(key, "' '", REFUSED)
    if key in BYTES:
        yield from (Row(key, text, value) for text, value in AMOUNTS.items())
    yield from (Row(key, text) for text in _by_types(setting))


def _by_types(setting: Setting) -> Iterator[str]:
    types = setting.types
    yield from OWN.get(setting.key, ())
    for choice in setting.choices:
        yield from (str(choice), str(choice).upper())
    if types & {int, float} and setting.key not in BYTES:
        yield from (*NUMBERS, *_number_edges(setting.limits))
    if Path in types:
        yield from PATHS
    if types & {str, bool} or setting.choices:
        yield from WORDS
    if types & {tuple, dict, list}:
        yield from LISTS
    if NoneType in types:
        yield "null"


@cache
def rows() -> tuple[Row, ...]:
    """Return the whole table."""
    return tuple(dict.fromkeys(row for setting in settings() for row in texts(setting)))
