"""The sections of config.yaml except `job`: keys, defaults, and allowed values."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from importlib.util import find_spec
from io import TextIOWrapper
from ipaddress import ip_address
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING, Annotated, Literal, TextIO

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    WithJsonSchema,
    create_model,
    field_validator,
)

from stylewatch_daemon.base.errors import InputError, SettingsError
from stylewatch_daemon.base.model import PICTURES, REFUSALS, End
from stylewatch_daemon.files import atomic
from stylewatch_daemon.settings import executors
from stylewatch_daemon.settings.executors import ChosenExecutor
from stylewatch_daemon.settings.job import Section
from stylewatch_daemon.settings.paths import FilePath
from stylewatch_painter.fields import written_as
from stylewatch_painter.installation import install_command
from stylewatch_painter.validation import MisfitError, Mistake

_LONGEST_WAIT = 1_000_000
"""Longest timeout accepted, in seconds (11 days); poll() overflows at 24.8 days."""

_MOST = 10**15

Seconds = Annotated[float, Field(ge=0, le=_LONGEST_WAIT)]
SomeSeconds = Annotated[float, Field(gt=0, le=_LONGEST_WAIT)]
PositiveInt = Annotated[int, Field(gt=0, le=_MOST)]


# Values that YAML reads as another type, or that have a unit


def _yes_or_no(value: object) -> object:
    """Return `yes` or `no` for a boolean, because YAML reads a plain `yes` as True.

    Other values are returned unchanged.
    """
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else value


def _days(value: object) -> object:
    days = re.fullmatch(r"(\d{1,6}) days?", value) if isinstance(value, str) else None
    return int(days[1]) if days else value


def _integer_or(pattern: str) -> WithJsonSchema:
    """Return the JSON schema of an integer, or of text with this pattern."""
    text = {"type": "string", "pattern": pattern}
    return WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 0}, text]})


Keep = Annotated[
    Literal["keep"] | Annotated[int, Field(ge=0, le=36_500)],
    BeforeValidator(_days),
    _integer_or(r"^keep$|^\d+ days?$"),
]
"""Number of days, also written `30 days`, or `keep` for no limit."""

_AMOUNT = re.compile(r"([0-9]{1,18})(?:([.,])([0-9]{1,9}))? ?(?:([kKmMgGtT])(i?))?[bB]?")
_AN_AMOUNT = "should be an amount, such as 4GB, 1.5 GB or 512 MiB"


def _bytes(value: object) -> object:
    """Return the number of bytes of an amount in text, such as `1.5 GB`, or of a whole float.

    Other values stay as they are. Raises ValueError if the whole text is not an amount (law 24), if
    the amount is not a whole number of bytes, or if a comma in it could separate decimals or
    thousands.
    """
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if not isinstance(value, str):
        return value
    match = _AMOUNT.fullmatch(value.strip())
    if match is None:
        raise ValueError(_AN_AMOUNT)
    whole, point, part, unit, binary = match.groups()
    if point == "," and len(part) % 3 == 0:
        raise ValueError(f"{_AN_AMOUNT}; the comma may be a decimal one or one between thousands")
    thousand = 1024 if binary else 1000
    factor = thousand ** ("kmgt".index(unit.lower()) + 1) if unit else 1
    count = Decimal(f"{whole}.{part or 0}") * factor
    if count % 1:
        raise ValueError(f"{_AN_AMOUNT}, and this is no whole number of bytes")
    return int(count)


Bytes = Annotated[
    int,
    BeforeValidator(_bytes),
    Field(ge=0, le=_MOST),
    _integer_or(r"^\d+([.,]\d+)? ?([kKmMgGtT]i?)?[bB]?$"),
]
"""Number of bytes, also written `6GB`, `1.5 GB`, `1,5 GB` or `512 MiB`."""

SomeBytes = Annotated[Bytes, Field(gt=0)]


# Input


class InboxSettings(Section):
    """A watched folder, its outbox, and the treatment of its inputs."""

    model_config = ConfigDict(validate_default=True)  # defaults are relative paths

    path: FilePath = Path("inbox")
    outbox: FilePath = Path("outbox")
    finals: FilePath | None = None
    """Folder in which each final image is also linked, under the job's name; None: no folder."""
    after: Literal["archive", "keep", "delete"] = "archive"


class StateSettings(Section):
    """The folder of the daemon's own files: the ledger, claimed inputs, checkpoints."""

    path: FilePath = Path("state")


class WatchSettings(Section):
    """Settings of the inbox watcher; times in seconds."""

    quiet_s: Seconds = 2.0
    rescan_s: SomeSeconds = 10.0
    events: Annotated[Literal["auto", "yes", "no"], BeforeValidator(_yes_or_no)] = "auto"
    ignore: tuple[str, ...] = ()
    truncated_s: Seconds = 60.0


class PairingSettings(Section):
    """The style of a lone content image: `default_style`, and the folder `styles` of the library.

    `default_style` is the name of a picture in the library, or `all`; None: there is no default.
    """

    default_style: str | None = None
    styles: FilePath = Path("styles")


# Execution


@dataclass(frozen=True)
class Hours:
    """The hours of each day, by the local clock, in which jobs run; they may pass midnight."""

    begin: time
    end: time

    def is_open(self, now: datetime) -> bool:
        """Return whether `now`, in local time, is within these hours."""
        first, last = sorted((self.begin, self.end))
        return (first <= now.time() < last) == (self.begin < self.end)

    def opens(self, now: datetime) -> datetime | None:
        """Return the next minute within these hours, in local time; None if `now` is within them.

        Try each minute of the next four days in the local time of that minute, because clocks
        change in spring and autumn, and one time zone has even skipped a day. If no minute fits,
        return the time in four days.
        """
        if self.is_open(now):
            return None
        start = now.astimezone(UTC).replace(second=0, microsecond=0)
        minutes = ((start + timedelta(minutes=n)).astimezone() for n in range(1, 4 * 24 * 60))
        return next(filter(self.is_open, minutes), now + timedelta(days=4))


_TIME = r"([01]?[0-9]|2[0-3]|24(?!:0?[1-9]|:[1-5]))(?::([0-5][0-9]))?"
_HOURS = re.compile(rf"{_TIME} ?[-\N{{EN DASH}}] ?{_TIME}")


def parse_hours(text: str) -> Hours:
    """Parse `executor.hours`; raises ValueError if these are not two times of a day."""
    match = _HOURS.fullmatch(text.strip())
    if match:
        begin, end = (time(int(match[n]) % 24, int(match[n + 1] or 0)) for n in (1, 3))
        if begin != end:
            return Hours(begin, end)
    raise ValueError("should be two different times of the day, such as 22:00-07:00")


_KINDS = executors.kinds()

_KIND_OF = {key: kind for kind, settings in _KINDS.items() for key in settings.model_fields}
"""The kind of executor of each key in the section `executor` that only one kind has."""

if TYPE_CHECKING:

    class _OfKinds(Section):
        """Base class with the key `kind` and the keys of all kinds of executors."""

        kind: str = "local"
else:
    _OfKinds = create_model(
        "_OfKinds",
        __base__=Section,
        kind=(Literal[tuple(_KINDS)], "local"),
        **{
            key: (field.annotation, field)
            for settings in _KINDS.values()
            for key, field in settings.model_fields.items()
        },
    )


class ExecutionSettings(_OfKinds):
    """The place where jobs run: its kind, the settings of all kinds, and the hours."""

    hours: (
        Annotated[str, AfterValidator(lambda hours: parse_hours(hours) and hours.strip())] | None
    ) = None
    """Hours of the day in which jobs run; None: at all hours."""

    @field_validator("kind", mode="before")
    @classmethod
    def _explain_left_out(cls, kind: object) -> object:
        """Refuse an installed kind that was left out, and say why it cannot be used."""
        if isinstance(kind, str) and kind not in _KINDS and (why := executors.left_out(kind)):
            there = " or ".join(map(repr, _KINDS))
            raise MisfitError(f"should be {there}, as {why}", "kind")
        return kind

    @field_validator(*_KIND_OF)
    @classmethod
    def _refuse_of_other_kind(cls, value: object, info: ValidationInfo) -> object:
        kind = info.data.get("kind")  # without a kind that is wrong
        key = str(info.field_name)
        only = _KIND_OF[key]
        if kind not in (None, only) and value != cls.model_fields[key].default:
            raise MisfitError(f"this is for kind: {only}, and kind is {kind}", "kind")
        return value

    def opens(self, now: datetime) -> datetime | None:
        """Return when jobs may run next, in local time; None if they may `now`."""
        return None if self.hours is None else parse_hours(self.hours).opens(now)

    @property
    def own(self) -> ChosenExecutor:
        """The chosen executor, with the settings of its kind alone."""
        settings = _KINDS[self.kind]
        values = {key: getattr(self, key) for key in settings.model_fields}
        return ChosenExecutor(self.kind, settings.model_construct(**values))


LARGEST_PICTURE, LARGEST_JOB_FILE = 512 << 20, 100_000
"""Maximum bytes of a picture and of a job.yaml that are read."""


class LimitSettings(Section):
    """Limits of inputs, attempts, time, memory and free disk space; sizes are in bytes."""

    max_bytes: SomeBytes = 8_000_000_000
    """Maximum size of the content's file, which may be a clip; see `largest` for other files."""
    max_pixels: PositiveInt = 1_000_000_000
    max_frames: PositiveInt = 20_000
    """Maximum number of frames of a clip."""
    attempts: PositiveInt = 3
    step_timeout_s: SomeSeconds | None = None
    free_bytes: Bytes = 256_000_000
    memory: SomeBytes | None = None
    out_of_memory: Literal["wait", "smaller", "cpu"] = "wait"
    learn_minutes: Annotated[float, Field(ge=0, le=10_000)] = 0.0
    """Maximum minutes of a training that learns a style for jobs with `learn: true`; 0: no
    training."""

    def largest(self, role: str) -> int:
        """Return the maximum size in bytes of a file with this role."""
        if role == "content":
            return self.max_bytes
        return LARGEST_JOB_FILE if role == "job" else LARGEST_PICTURE


# Output


class RetentionSettings(Section):
    """Number of days that parts of a finished job, and jobs in the trash, are kept; or `keep`."""

    stages: Keep = "keep"
    inputs: Keep = "keep"
    ledger: Keep = "keep"
    trash: Keep = 30


# Alerts and log

AlertKind = Literal["done", "refused", "failed", "blocked"]


def _no_url(path: object) -> object:
    """Refuse a URL in place of the file with URLs, before a message quotes it: it is a secret."""
    if isinstance(path, str) and "://" in path:
        raise ValueError("should be a file with URLs; URLs themselves go into alerts.urls")
    return path


class AlertSettings(Section):
    """Recipients of alerts and the events they get.

    A URL can contain a password: never show it.
    """

    urls: tuple[SecretStr, ...] = ()
    urls_file: Annotated[FilePath, BeforeValidator(_no_url)] | None = None
    events: tuple[AlertKind, ...] = ("refused", "failed", "blocked")
    every_s: Annotated[Seconds, Field(ge=1)] = 60.0

    @property
    def wanted(self) -> bool:
        """True if there is any recipient."""
        return bool(self.urls) or self.urls_file is not None

    def targets(self) -> "AlertSettings":
        """Return these settings including the URLs of `urls_file`, without duplicates.

        The file has a URL on each line; a line that begins with # is a comment.
        Raises SettingsError if apprise is missing or the file cannot be read.
        """
        urls = [*self.urls]
        if self.urls_file is not None:
            with secret_file("alerts.urls_file", self.urls_file) as file:
                lines = [line.strip() for line in file]
            urls += [SecretStr(line) for line in lines if line and not line.startswith("#")]
        if self.wanted and find_spec("apprise") is None:
            raise SettingsError(
                "alerts: apprise, which sends alerts, is not installed: "
                f"{install_command('notify')}"
            )
        return self.model_copy(update={"urls": tuple(dict.fromkeys(urls))})


class HookSettings(Section):
    """Commands that run when a job is done, and when it is refused or has failed for good.

    A command is a program and its arguments; no shell reads it.
    """

    done: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    timeout_s: SomeSeconds = 60.0

    def of(self, end: End | None) -> tuple[str, tuple[str, ...]]:
        """Return the key and the command of the hook for the end of a job.

        Both are empty if there is no such hook; the command is empty if none is set.
        """
        if end in PICTURES:
            return "done", self.done
        return ("failed", self.failed) if end in REFUSALS else ("", ())

    def mistakes(self) -> Iterator[Mistake]:
        """Yield a mistake for each hook whose program cannot be run."""
        for key, command in (("done", self.done), ("failed", self.failed)):
            if command and which(command[0]) is None:
                name, *rest = command[0].split(maxsplit=1) or [""]
                also = ", and each of its arguments as an item of its own" if rest else ""
                yield Mistake(  # the arguments may hold a password
                    ("hooks", key),
                    f"{name!r} is no program that can be run: give its path{also}, or make the "
                    "file executable",
                )


@contextmanager
def secret_file(key: str, path: Path) -> Iterator[TextIO]:
    """Yield the opened text file `path` that the setting `key` names, and close it at the end.

    Links are followed, because secrets of containers are symbolic links. Raises SettingsError,
    which never quotes the content, if this is not a regular file, cannot be read, or is not UTF-8.
    """
    try:
        with (
            atomic.open_regular(path, follow=True) as binary,
            TextIOWrapper(binary, encoding="utf-8-sig") as file,
        ):
            yield file
    except InputError:
        raise SettingsError(f"{key}: {path} is a pipe or a device, not a file") from None
    except OSError as error:
        raise SettingsError(f"{key}: {path} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{key}: {path} is not text in UTF-8: save it as such") from None


class LogSettings(Section):
    """The log on stderr."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["console", "json"] = "console"


# The web page

_HOST_AND_PORT = re.compile(r"(?:\[([^]]+)\]|([^:]+)):([0-9]{1,5})")
_URL_PATH = r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*"
_HOST_NAME = r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?\.?"
_URL = re.compile(rf"https?://(?P<host>{_HOST_NAME})(?::(?P<port>[0-9]{{1,5}}))?")

_OWN_PATHS = frozenset(
    {"api", "delete", "dismiss", "doctor", "estimate", "events", "favicon.ico", "gallery",
     "health", "healthz", "incomplete", "jobs", "library", "login", "logout", "metrics", "pair",
     "pause", "phones", "pictures.zip", "readyz", "resume", "restore", "share", "static", "trash",
     "tries"}
)  # fmt: skip
"""First parts of the page's own paths; `web.path` must not begin with one of them.

A proxy may remove `web.path` from an address, and the page could not tell the two apart.
"""


def _is_free(path: str) -> str:
    _, _, below = path.partition("/")
    first = below.partition("/")[0]
    if first in _OWN_PATHS:
        raise ValueError(f"should begin with another name, as the page itself has /{first}")
    return path


def _without_path(url: str) -> str:
    """Return `url` in lower case; raises ValueError if it has more than scheme, host and port."""
    match = _URL.fullmatch(url.lower().removesuffix("/"))
    if match is None or int(match["port"] or 0) >= 1 << 16:
        raise ValueError(
            "should be the address at which phones reach the page, without web.path, such as "
            "https://nas.lan:8443 or http://192.168.1.7:8787"
        )
    return match[0]


@dataclass(frozen=True)
class Address:
    """Where the page is served: a `host` and `port`, or a UNIX `socket`."""

    host: str = ""
    port: int = 0
    socket: Path | None = None

    @property
    def is_near(self) -> bool:
        """True if only this machine can reach it."""
        return not self.host or ip_address(self.host).is_loopback

    def __str__(self) -> str:
        if self.socket is not None:
            return f"unix:{self.socket}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse_address(listen: str) -> Address:
    """Parse `web.listen`; raises ValueError if it is not an address."""
    kind, _, path = listen.partition(":")
    if kind == "unix" and path.startswith("/") and path.isprintable():
        return Address(socket=Path(path))
    match = _HOST_AND_PORT.fullmatch(listen)
    try:
        host, port = (match[1] or match[2], int(match[3])) if match else ("", 0)
        ip = ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        port = -1
    if not 0 <= port < 1 << 16:
        raise ValueError(
            "should be an IP address of this machine with a port, such as 127.0.0.1:8787 or "
            "[::1]:8787, or a socket, such as unix:/run/stylewatch/web.sock"
        )
    return Address(str(ip), port)


class WebSettings(Section):
    """The web page: its address (None: no page), and access to it."""

    listen: (
        Annotated[
            str,
            AfterValidator(lambda listen: parse_address(listen) and listen),
            BeforeValidator(lambda port: str(port) if isinstance(port, int) else port),
        ]
        | None
    ) = None
    token_file: Annotated[FilePath | None, Field(validate_default=True)] = None
    path: Annotated[
        str,
        *written_as(_URL_PATH, "a path like /x, with no final slash"),
        AfterValidator(_is_free),
    ] = ""
    hosts: tuple[
        Annotated[
            str,
            *written_as(_HOST_NAME, "a host name, such as pictures.example.org"),
            AfterValidator(lambda name: name.lower().removesuffix(".")),
        ],
        ...,
    ] = ()
    url: Annotated[str, AfterValidator(_without_path)] | None = None
    upload: SomeBytes = 100_000_000

    @property
    def names(self) -> tuple[str, ...]:
        """Host names by which browsers reach the page: `hosts`, and that of `url`."""
        match = _URL.fullmatch(self.url or "")
        return (*self.hosts, match["host"].removesuffix(".")) if match else self.hosts

    @field_validator("token_file")
    @classmethod
    def _require_token(cls, file: Path | None, info: ValidationInfo) -> Path | None:
        """Refuse an address that other machines can reach, unless there is a token."""
        listen = info.data.get("listen")
        if listen and not file and not parse_address(listen).is_near:
            raise MisfitError(
                f"other machines can reach {listen}, so web.token_file must name a file with "
                "a token; 127.0.0.1:8787 is reachable from this machine alone",
                "listen",
            )
        return file
