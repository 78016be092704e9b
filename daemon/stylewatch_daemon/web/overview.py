"""The state of the daemon: the first page, the page on health, and answers for programs."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shutil import disk_usage
from typing import Any

from prometheus_client import generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from stylewatch_daemon.base.model import PICTURES
from stylewatch_daemon.files.disks import amount
from stylewatch_daemon.intake.watch import SCAN_S
from stylewatch_daemon.views.job import job_view
from stylewatch_daemon.web import job_form
from stylewatch_daemon.web.forms import NOTHING, Form
from stylewatch_daemon.web.http import Context, context

TOPIC, HEALTH_TOPIC = "now", "health"
"""Names of the pages in live updates."""

PARTS = ("health", "running", "queue", "incomplete", "failed", "recent", "news")
HEALTH_PARTS = ("health",)
"""Parts of these pages that live updates change; each is the template of that name in `parts`."""

RECENT, FAILED = 12, 8
"""Maximum numbers of finished jobs, and of failed or refused jobs, on the first page."""

SENTENCES = {
    "not running": "stylewatch is not running: new jobs wait until it is started.",
    "paused": "Paused: running jobs are finished, and no new job starts.",
    "blocked": "Some jobs cannot run now.",
    "running": "Everything works: pictures are being painted.",
    "idle": "Everything works: no job is running.",
}
"""A sentence for each state of the daemon."""


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
        free = f"{amount(min(disk_usage(inbox.outbox).free for inbox in settings.inboxes))} free"
    word = _word(status)
    return {
        "topic": HEALTH_TOPIC,
        "status": status,
        "word": word,
        "sentence": SENTENCES[word],
        "done_last_hour": done_last_hour,
        "free": free,
        "devices": sorted({job["device"] for job in status["running"] if job["device"]}),
        # minimum seconds between two scans; None if all inboxes have file events
        "scan_s": None if status["health"]["events"] else min(settings.watch.rescan_s, SCAN_S),
    }


def _word(status: Mapping[str, Any]) -> str:
    """Return the state of the daemon, a key of SENTENCES."""
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


# For programs


async def healthz(request: Request) -> Response:
    """Answer with status 200 while this process runs."""
    return PlainTextResponse("ok\n")


def readyz(request: Request) -> Response:
    """Answer with status 200 if the daemon would start new jobs, else with 503 and the reason."""
    reason = _not_ready(context(request).reader.published()["health"])
    return PlainTextResponse(f"{reason or 'ok'}\n", 503 if reason else 200)


def _not_ready(health: Mapping[str, Any]) -> str:
    """Return why the daemon would not start new jobs; empty if it would.

    The reason is public, so it names no job and no folder.
    """
    if not health["at_work"]:
        return "no daemon is running"
    if health["since"] is None:
        return "the daemon has not published its status yet"
    if health["paused"]:
        return "the daemon is paused"
    if health["trouble"]:
        return f"problems that stop jobs or inboxes: {len(health['trouble'])}"
    return ""


def metrics(request: Request) -> Response:
    """Answer with all numbers in the text format of Prometheus."""
    content = generate_latest(_Numbers(context(request)))
    return Response(content, media_type=CONTENT_TYPE_PLAIN_0_0_4)


@dataclass(frozen=True)
class _Numbers(Collector):
    here: Context

    def collect(self) -> Iterator[Metric]:
        """Yield each number with its description."""
        status = self.here.reader.published()
        health, counts, running = status["health"], status["counts"], status["running"]
        steps = {job["job"]: job["step"] for job in running}
        planned = {job["job"]: job["steps"] for job in running}
        free = dict(_free_bytes(self.here.state, *self.here.settings.outboxes))
        yield _gauge("up", "Whether the daemon runs.", health["at_work"])
        yield _gauge("paused", "Whether the daemon starts no new jobs.", health["paused"])
        yield _gauge("incomplete", "Incomplete pairs in the inboxes.", len(status["incomplete"]))
        yield _gauge("trouble", "Problems that stop jobs or inboxes.", len(health["trouble"]))
        yield _gauges("jobs", "Jobs that the ledger has, by their state.", "state", counts)
        yield _gauges("step", "Steps made by a running job.", "job", steps)
        yield _gauges("steps", "Steps planned for a running job.", "job", planned)
        yield _gauges("disk_free_bytes", "Free space where the daemon writes.", "folder", free)


def _gauge(name: str, meaning: str, value: float) -> Metric:
    return GaugeMetricFamily(f"stylewatch_{name}", meaning, float(value))


def _gauges(name: str, meaning: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(f"stylewatch_{name}", meaning, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def _free_bytes(*folders: Path) -> Iterator[tuple[str, int]]:
    """Yield each folder with the free bytes for ordinary users, if they are known."""
    for folder in folders:
        with suppress(OSError):
            usage = disk_usage(folder)
            if usage.total:
                yield str(folder), usage.free


ROUTES = [
    Route("/", show),
    Route("/health", show_health),
    Route("/healthz", healthz),
    Route("/readyz", readyz),
    Route("/metrics", metrics),
]
