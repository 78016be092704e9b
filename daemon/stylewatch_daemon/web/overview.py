"""The state of the daemon: the first page, the page on health, and answers for programs."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from shutil import disk_usage
from typing import Any

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from stylewatch_daemon.base.errors import OutputError
from stylewatch_daemon.base.model import PICTURES
from stylewatch_daemon.client import operations
from stylewatch_daemon.client.condition import CONDITIONS, NOT_RUNNING, RESTING, condition
from stylewatch_daemon.files.disks import amount
from stylewatch_daemon.views import readers
from stylewatch_daemon.views.job import job_view
from stylewatch_daemon.web import job_form
from stylewatch_daemon.web.forms import NOTHING, Form
from stylewatch_daemon.web.http import Context, context

TOPIC, HEALTH_TOPIC = "now", "health"
"""Names of the pages in live updates."""

PARTS = ("health", "running", "queue", "incomplete", "failed", "recent", "news")
HEALTH_PARTS = ("health",)
"""Parts that live updates change, of the first page and of the page on health; each is the template
of that name in `parts`."""

RECENT, FAILED = 12, 8
"""Maximum numbers of finished jobs, and of failed or refused jobs, on the first page."""


def view(site: Context) -> dict[str, Any]:
    """Return the values of the first page; raises OutputError if the ledger cannot be read."""
    status = site.status()
    with site.ledger() as ledger:
        jobs = [job for plain in status["running"] if (job := ledger.get(plain["id"])) is not None]
        failed = ledger.undismissed(FAILED)
        recent = ledger.ended(PICTURES, RECENT)
    return {
        **health(site),
        "topic": TOPIC,
        "running": [job_view(job, site.state, status=status) for job in jobs],
        "failed": failed,
        "recent": recent,
    }


def health(site: Context) -> dict[str, Any]:
    """Return the values of the health page; raises OutputError if the ledger cannot be read."""
    status = site.status()
    hour_ago = (datetime.now(UTC) - timedelta(hours=1)).isoformat(timespec="seconds")
    with site.ledger() as ledger:
        done_last_hour = ledger.count_ended(PICTURES, since=hour_ago)
    free = [bytes_ for _, bytes_ in _free_bytes(site.state, *site.settings.outboxes)]
    return {
        "topic": HEALTH_TOPIC,
        "status": status,
        "condition": condition(status),
        "done_last_hour": done_last_hour,
        "free": f"{amount(min(free))} free" if free else "",
        "devices": sorted({job["device"] for job in status["running"] if job["device"]}),
    }


def show(
    request: Request, form: Form = NOTHING, mistakes: Mapping[str, str] = job_form.NO_MISTAKES
) -> Response:
    """Answer with the first page; `form` and `mistakes` are those of a form that was refused."""
    site = context(request)
    values = {
        **view(site),
        "form": job_form.view(site, job_form.base_of_new(site), form, mistakes),
        "events": f"/events?page={TOPIC}",
    }
    return site.templates.TemplateResponse(request, "overview.html", values)


async def show_health(request: Request) -> Response:
    """Answer with the state of the daemon, and the checks of `stylewatch doctor`."""
    site = context(request)
    values = await run_in_threadpool(health, site)
    values |= {
        "report": await site.doctor.report(values["status"]["health"]["trouble"]),
        "events": f"/events?page={HEALTH_TOPIC}",
    }
    return site.templates.TemplateResponse(request, "health.html", values)


# For programs


async def healthz(request: Request) -> Response:
    """Answer with status 200 while this process runs."""
    return PlainTextResponse("ok\n")


def readyz(request: Request) -> Response:
    """Answer with status 200 if the daemon starts new jobs, or waits for its hours; else with 503.

    The text of a status 503 says why no job starts.
    """
    try:
        now = condition(context(request).status())
    except OutputError:  # the state folder cannot be read; the reason would name it
        now = NOT_RUNNING
    if now.is_ready or now.word == RESTING.word:
        return PlainTextResponse("ok\n")
    return PlainTextResponse(f"{now.sentence}\n", 503)


def metrics(request: Request) -> Response:
    """Answer with the metrics of the daemon in the text format of Prometheus."""
    site = context(request)
    registry = CollectorRegistry()
    status = site.status()
    health = status["health"]
    running = status["running"]

    def gauge(name: str, meaning: str, label: str = "") -> Gauge:
        return Gauge(f"stylewatch_{name}", meaning, [label] if label else [], registry=registry)

    gauge("up", "Whether the daemon runs.").set(health["at_work"])
    gauge("paused", "Whether the daemon starts no new jobs.").set(health["paused"])
    gauge("incomplete", "Incomplete pairs in the inboxes.").set(len(status["incomplete"]))
    gauge("trouble", "Problems that stop jobs or inboxes.").set(len(health["trouble"]))
    conditions = gauge("condition", "1 for what the daemon is doing, else 0.", "condition")
    for each in CONDITIONS:
        conditions.labels(each.word).set(each.word == health["condition"])
    jobs = gauge("jobs", "Jobs that the ledger has, by their state.", "state")
    for state, count in status["counts"].items():
        jobs.labels(state).set(count)
    step = gauge("step", "Steps made by a running job.", "job")
    steps = gauge("steps", "Steps planned for a running job.", "job")
    for job in running:
        step.labels(job["job"]).set(job["step"])
        steps.labels(job["job"]).set(job["steps"])
    free = gauge("disk_free_bytes", "Free space where the daemon writes.", "folder")
    for folder, bytes_ in _free_bytes(site.state, site.state, *site.settings.outboxes):
        free.labels(folder).set(bytes_)
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)


def _free_bytes(state: Path, *folders: Path) -> Iterator[tuple[str, int]]:
    """Yield each folder with the free bytes of its disk for ordinary users, if they are known."""

    def free(folder: Path) -> int | None:
        operations.disks_of(state, folder).check(folder)  # another disk is below a missing mount
        usage = disk_usage(folder)
        return usage.free if usage.total else None

    for folder in folders:
        try:
            bytes_ = readers.read("", folder, partial(free, folder))
        except OSError:
            continue
        if bytes_ is not None:
            yield str(folder), bytes_


ROUTES = [
    Route("/", show),
    Route("/health", show_health),
    Route("/healthz", healthz),
    Route("/readyz", readyz),
    Route("/metrics", metrics),
]
