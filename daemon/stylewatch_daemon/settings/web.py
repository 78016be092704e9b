"""The settings of the page, and what they come to: where it is served, and who may see it."""

import os
import re
import stat
from dataclasses import dataclass
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, SecretStr, model_validator

from stylewatch_daemon.errors import SettingsError
from stylewatch_daemon.settings.sections import Bytes
from stylewatch_painter.recipes.recipe import Strict

if TYPE_CHECKING:
    from stylewatch_daemon.settings.config import Config

SYSTEMD = "systemd"
"""The address of a socket that systemd hands over."""

SHORTEST = 16
"""Letters of a token."""

MISSING = (
    "web.listen is set, and what serves the page is not installed: "
    "`pip install 'stylewatch[web]'` brings it"
)
NO_TOKEN = (
    "other machines reach {}, so that web.token_file must name a file with a token; "
    "127.0.0.1:8787 is for this machine alone"
)

_PACKAGES = ("starlette", "uvicorn", "jinja2", "prometheus_client", "python_multipart")
_WITH_PORT = re.compile(r"(?:\[([^]]+)\]|([^:]+)):([0-9]{1,5})")
_PATH = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*")
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")


@dataclass(frozen=True)
class Address:
    """Where the page is served: at `host` and `port`, at a UNIX `socket`, or where systemd says."""

    host: str = ""
    port: int = 0
    socket: Path | None = None

    @property
    def is_near(self) -> bool:
        """Whether this machine alone reaches it; what systemd hands over is looked at then."""
        return not self.host or ip_address(self.host).is_loopback

    def __str__(self) -> str:
        if self.socket is not None:
            return f"unix:{self.socket}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}" if host else SYSTEMD


def address(listen: str) -> Address:
    """What `listen` says; raises ValueError where that is no address."""
    kind, _, path = listen.partition(":")
    if listen == SYSTEMD:
        return Address()
    if kind == "unix" and path.startswith("/") and path.isprintable():
        return Address(socket=Path(path))
    found = _WITH_PORT.fullmatch(listen)
    try:
        host, port = (found[1] or found[2], int(found[3])) if found else ("", 0)
        ip = ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        port = -1
    if not 0 <= port < 1 << 16:
        raise ValueError(
            "should be an IP address of this machine with a port, as 127.0.0.1:8787 or "
            "[::1]:8787, a socket, as unix:/run/stylewatch/web.sock, or systemd"
        )
    return Address(str(ip), port)


def _is_address(listen: str) -> str:
    address(listen)
    return listen


def _is_path(path: str) -> str:
    if _PATH.fullmatch(path) is None:
        raise ValueError("should begin with a slash and not end with one, as /stylewatch")
    return path


def _are_names(hosts: tuple[str, ...]) -> tuple[str, ...]:
    for name in hosts:
        if _NAME.fullmatch(name) is None:
            raise ValueError(f"{name!r} is no name of a machine, as pictures.example.org is")
    return tuple(name.lower() for name in hosts)


class Web(Strict):
    """Where the page is served (nowhere, if nobody says), and to whom."""

    listen: Annotated[str, AfterValidator(_is_address)] | None = None
    token_file: Path | None = None
    path: Annotated[str, AfterValidator(_is_path)] = ""
    hosts: Annotated[tuple[str, ...], AfterValidator(_are_names)] = ()
    upload: Bytes = 100_000_000

    @model_validator(mode="after")
    def _is_shut(self) -> "Web":
        """Nobody far away sees the page without a token."""
        if self.listen and not self.token_file and not address(self.listen).is_near:
            raise ValueError(NO_TOKEN.format(self.listen))
        return self


@dataclass(frozen=True)
class Served:
    """A page to be served: at `address`, of the daemon with these `settings`, less secrets.

    With a `token` only those see it who know that.
    """

    address: Address
    settings: "Config"
    token: SecretStr | None = None


def served(settings: "Config") -> Served | None:
    """What the settings come to; None: no page.

    Raises SettingsError where what serves it is not installed, or the token cannot be used.
    """
    web = settings.web
    if web.listen is None:
        return None
    if not all(map(find_spec, _PACKAGES)):
        raise SettingsError(MISSING)
    token = None if web.token_file is None else _token(web.token_file)
    bare = settings.model_copy(update={"alerts": type(settings.alerts)()})
    return Served(address(web.listen), bare, token)


def _token(path: Path) -> SecretStr:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(4096).decode("ascii").strip()
    except OSError as error:
        raise SettingsError(
            f"web.token_file: {path} cannot be read: {error.strerror or error}"
        ) from None
    except UnicodeDecodeError:  # not as the cause, which quotes what was read
        text = ""
    if stat.S_IMODE(mode) & 0o077:
        raise SettingsError(
            f"web.token_file: others can read {path}: `chmod 600 FILE` leaves it to its owner"
        )
    if len(text) < SHORTEST or not text.isprintable() or " " in text:
        raise SettingsError(
            f"web.token_file: {path} holds no token of at least {SHORTEST} letters without spaces: "
            "`openssl rand -hex 32` makes a good one"
        )
    return SecretStr(text)
