"""The settings of alerts, and what they come to: where to tell what, how often."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr

from stylewatch_daemon.errors import SettingsError
from stylewatch_painter.recipes.recipe import Strict

Kind = Literal["done", "refused", "failed", "paused"]

MISSING = "apprise, which sends alerts, is not there: `pip install 'stylewatch[notify]'` brings it"


class Alerts(Strict):
    """Who is told what; a URL holds passwords, so that none is ever shown."""

    urls: tuple[SecretStr, ...] = ()
    urls_file: Path | None = None
    tell: tuple[Kind, ...] = ("refused", "failed", "paused")
    every_s: Annotated[float, Field(ge=1, le=1_000_000)] = 60.0

    @property
    def wanted(self) -> bool:
        """Whether anybody is to be told."""
        return bool(self.urls) or self.urls_file is not None


@dataclass(frozen=True)
class Addressed:
    """The `urls` to tell what is in `kinds`, collected for `every_s` seconds."""

    urls: tuple[SecretStr, ...] = ()
    kinds: frozenset[Kind] = frozenset()
    every_s: float = 60.0


def addressed(alerts: Alerts) -> Addressed:
    """What `alerts` come to; SettingsError where apprise is missing or a file cannot be read."""
    urls = tuple(dict.fromkeys([*alerts.urls, *_in_file(alerts.urls_file)]))
    if alerts.wanted and find_spec("apprise") is None:
        raise SettingsError(f"alerts: {MISSING}")
    return Addressed(urls, frozenset(alerts.tell), alerts.every_s)


def _in_file(path: Path | None) -> Iterator[SecretStr]:
    """The URLs in a file, one on a line; those that begin with # are remarks."""
    if path is None:
        return
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except OSError as error:
        raise SettingsError(
            f"alerts.urls_file: {path} cannot be read: {error.strerror or error}"
        ) from None
    except UnicodeDecodeError:  # not as the cause, which quotes what was read
        raise SettingsError(
            f"alerts.urls_file: {path} is not text in UTF-8: save it as such"
        ) from None
    yield from (SecretStr(line) for line in lines if line and not line.startswith("#"))
