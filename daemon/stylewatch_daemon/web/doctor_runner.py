"""The checks of `doctor`, made by a child process when somebody wants to see them."""

import asyncio
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import Any

from stylewatch_daemon.doctor.finding import Finding, mend
from stylewatch_daemon.settings.config import Config

RECENT_S = 300.0
"""Seconds for which what was found is shown again, unless somebody asks for more."""

AT_MOST_EVERY = 10.0
"""Seconds between two looks, whoever asks."""

WITHIN = 120.0
"""Seconds that the checks get."""

_CHILD = ("-P", "-m", "stylewatch_daemon.web.doctor_child")


PATIENCE_S = 3.0
"""Seconds that somebody who wants to see what is found waits; then it is shown what was before."""


@dataclass(frozen=True)
class Device:
    """A device on which the settings' backend paints, with so many bytes of memory."""

    name: str
    memory: int


@dataclass(frozen=True)
class Report:
    """What was found, and when (UTC)."""

    at: datetime
    findings: tuple[Finding, ...]
    devices: tuple[Device, ...] = ()


class Checkup:
    """Has the checks made for `settings`; `clock` is monotonic, in seconds."""

    def __init__(self, settings: Config, clock: Callable[[], float] = monotonic) -> None:
        self._asked = json.dumps(
            {"settings": settings.model_dump(mode="json"), "within": WITHIN}
        ).encode()
        self._clock = clock
        self._looked = -float("inf")
        self._latest: Report | None = None
        self._looking: asyncio.Task[None] | None = None

    def latest(self) -> Report | None:
        """What was found last; None where nothing was looked at yet."""
        return self._latest

    @property
    def is_looking(self) -> bool:
        """Whether the checks are being made."""
        return self._looking is not None and not self._looking.done()

    def begin(self, *, anew: bool = False) -> None:
        """Have the checks made, unless they are, or were of late; `anew`: a moment ago."""
        wait = AT_MOST_EVERY if anew else RECENT_S
        if not self.is_looking and self._clock() - self._looked >= wait:
            self._looking = asyncio.create_task(self._look())

    async def look(self, *, anew: bool = False) -> Report | None:
        """As `begin`, and what is found, before long; else what was found before."""
        self.begin(anew=anew)
        if self._looking is not None:
            await asyncio.wait({self._looking}, timeout=PATIENCE_S)
        return self._latest

    async def _look(self) -> None:
        child = await asyncio.create_subprocess_exec(
            sys.executable, *_CHILD, start_new_session=True, stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            async with asyncio.timeout(WITHIN):
                told, _ = await child.communicate(self._asked)
            self._latest = _report(json.loads(told))
        except (TimeoutError, ValueError, TypeError, KeyError):
            words = "it did not come to an end: `stylewatch doctor` tells more"
            self._latest = Report(datetime.now(UTC), (mend("doctor", words, 70),))
        finally:
            self._looked = self._clock()
            if child.returncode is None:
                child.kill()
                await child.wait()


def _report(told: Mapping[str, Any]) -> Report:
    return Report(
        datetime.now(UTC),
        tuple(Finding(**one) for one in told["findings"]),
        tuple(Device(**one) for one in told["devices"]),
    )
