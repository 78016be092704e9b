"""The page on health: the state of the daemon, and the checks of `stylewatch doctor`."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from shutil import disk_usage

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from stylewatch_daemon.base.model import PICTURES
from stylewatch_daemon.intake.watch import SCAN_S
from stylewatch_daemon.views.formatting import memory
from stylewatch_daemon.web.http import Context, context

TOPIC = "health"
"""Name of the page in live updates."""

PARTS = ("health",)
"""Its parts that change; each is the template of that name in `parts`."""

SENTENCES = {
    "not running": "stylewatch is not running: new jobs wait until it is started.",
    "paused": "Paused: running jobs are finished, and no new job starts.",
    "blocked": "Some jobs cannot run now.",
    "running": "Everything works: pictures are being painted.",
    "idle": "Everything works: no job is running.",
}
"""The states of the daemon in a word and in a sentence."""


@dataclass(frozen=True)
class Health:
    """State of the daemon; `free` is the free disk space in words, empty if it is unknown."""

    at_work: bool
    paused: bool
    scan_s: float | None
    """Least seconds between two scans, if an inbox has no file events; None: all have them."""
    trouble: tuple[str, ...]
    notes: tuple[str, ...]
    counts: Mapping[str, int]
    done_last_hour: int
    free: str
    devices: tuple[str, ...]
    """Those that jobs run on now."""
    version: str

    @property
    def word(self) -> str:
        """The state in a word or two, one of SENTENCES."""
        if not self.at_work:
            return "not running"
        if self.paused:
            return "paused"
        if self.trouble:
            return "blocked"
        return "running" if self.counts["running"] else "idle"

    @property
    def sentence(self) -> str:
        """The state in a sentence."""
        return SENTENCES[self.word]


def view(here: Context) -> Health:
    """Return the state of the daemon; raises OutputError if the ledger cannot be read."""
    status, settings = here.reader.published(), here.settings
    health = status["health"]
    hour_ago = (datetime.now(UTC) - timedelta(hours=1)).isoformat(timespec="seconds")
    with here.reader.ledger() as ledger:
        done_last_hour = ledger.count_ended(PICTURES, since=hour_ago)
    free = ""
    with suppress(OSError, ValueError):
        free = f"{memory(min(disk_usage(inbox.outbox).free for inbox in settings.inboxes))} free"
    return Health(
        at_work=health["at_work"],
        paused=health["paused"],
        scan_s=None if health["events"] else min(settings.watch.rescan_s, SCAN_S),
        trouble=tuple(health["trouble"]),
        notes=tuple(health["notes"]),
        counts=status["counts"],
        done_last_hour=done_last_hour,
        free=free,
        devices=tuple(sorted({job["device"] for job in status["running"] if job["device"]})),
        version=health["version"] or "",
    )


async def show(request: Request) -> Response:
    """Answer with the state of the daemon, and the checks of `stylewatch doctor`."""
    here = context(request)
    values = {
        "health": await run_in_threadpool(view, here),
        "report": await here.doctor.report(),
        "events": f"/events?page={TOPIC}",
    }
    return here.templates.TemplateResponse(request, "health.html", values)


ROUTES = [Route("/health", show)]
