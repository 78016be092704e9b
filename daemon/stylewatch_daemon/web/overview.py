"""The first page, with what runs and waits, the latest jobs and a form; and the page on health."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from shutil import disk_usage
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from stylewatch_daemon.base.model import PICTURES
from stylewatch_daemon.intake.watch import SCAN_S
from stylewatch_daemon.views.formatting import memory
from stylewatch_daemon.views.job import job_view
from stylewatch_daemon.web import job_form
from stylewatch_daemon.web.forms import NOTHING, Form
from stylewatch_daemon.web.http import Context, context

TOPIC, HEALTH_TOPIC = "now", "health"
"""Names of the pages in live updates."""

PARTS = ("health", "running", "queue", "incomplete", "failed", "recent", "news")
HEALTH_PARTS = ("health",)
"""Their parts that change; each is the template of that name in `parts`."""

RECENT, FAILED = 12, 8
"""Numbers of finished jobs, and of failed or refused ones, that are shown."""

SENTENCES = {
    "not running": "stylewatch is not running: new jobs wait until it is started.",
    "paused": "Paused: running jobs are finished, and no new job starts.",
    "blocked": "Some jobs cannot run now.",
    "running": "Everything works: pictures are being painted.",
    "idle": "Everything works: no job is running.",
}
"""The states of the daemon in a word and in a sentence."""


def view(here: Context) -> dict[str, Any]:
    """Return the values of the first page; raises OutputError if the ledger cannot be read."""
    running = here.reader.published()["running"]
    with here.reader.ledger() as ledger:
        jobs = [job for plain in running if (job := ledger.get(plain["id"])) is not None]
        failed, recent = ledger.undismissed(FAILED), ledger.ended(PICTURES, RECENT)
    return {
        **health(here),
        "topic": TOPIC,
        "running": [job_view(job, running=running) for job in jobs],
        "failed": failed,
        "recent": recent,
    }


def health(here: Context) -> dict[str, Any]:
    """Return the state of the daemon; raises OutputError if the ledger cannot be read."""
    status, settings = here.reader.published(), here.settings
    hour_ago = (datetime.now(UTC) - timedelta(hours=1)).isoformat(timespec="seconds")
    with here.reader.ledger() as ledger:
        done_last_hour = ledger.count_ended(PICTURES, since=hour_ago)
    free = ""
    with suppress(OSError, ValueError):
        free = f"{memory(min(disk_usage(inbox.outbox).free for inbox in settings.inboxes))} free"
    word = _word(status)
    return {
        "topic": HEALTH_TOPIC,
        "status": status,
        "word": word,
        "sentence": SENTENCES[word],
        "done_last_hour": done_last_hour,
        "free": free,
        "devices": sorted({job["device"] for job in status["running"] if job["device"]}),
        # least seconds between two scans, if an inbox has no file events
        "scan_s": None if status["health"]["events"] else min(settings.watch.rescan_s, SCAN_S),
    }


def _word(status: Mapping[str, Any]) -> str:
    """Return the state of the daemon in a word or two, one of SENTENCES."""
    health = status["health"]
    if not health["at_work"]:
        return "not running"
    if health["paused"]:
        return "paused"
    if health["trouble"]:
        return "blocked"
    return "running" if status["counts"]["running"] else "idle"


def show(
    request: Request, form: Form = NOTHING, mistakes: Mapping[str, str] = job_form.NO_MISTAKES
) -> Response:
    """Answer with the first page; `form` and `mistakes` are those of a job that did not start."""
    here = context(request)
    values = {
        **view(here),
        "form": job_form.view(here, here.settings.job, form, mistakes),
        "events": f"/events?page={TOPIC}",
    }
    return here.templates.TemplateResponse(request, "overview.html", values)


async def show_health(request: Request) -> Response:
    """Answer with the state of the daemon, and the checks of `stylewatch doctor`."""
    here = context(request)
    values = {
        **await run_in_threadpool(health, here),
        "report": await here.doctor.report(),
        "events": f"/events?page={HEALTH_TOPIC}",
    }
    return here.templates.TemplateResponse(request, "health.html", values)


ROUTES = [Route("/", show), Route("/health", show_health)]
