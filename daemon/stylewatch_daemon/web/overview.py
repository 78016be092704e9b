"""The first page: what runs and waits, the latest jobs, and a form for a new job."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from stylewatch_daemon.base.model import PICTURES
from stylewatch_daemon.views.job import job_view
from stylewatch_daemon.web import again, cards, health
from stylewatch_daemon.web.cards import Card, RunningJob
from stylewatch_daemon.web.forms import NOTHING, Form
from stylewatch_daemon.web.health import Health
from stylewatch_daemon.web.http import Context, context

TOPIC = "now"
"""Name of the page in live updates."""

PARTS = ("health", "running", "queue", "incomplete", "failed", "recent", "news")
"""Its parts that change; each is the template of that name in `parts`."""

RECENT, FAILED = 12, 8
"""Numbers of finished jobs, and of failed or refused ones, that are shown."""


@dataclass(frozen=True)
class Overview:
    """The first page; the `queue` may be only the beginning of the jobs that wait."""

    health: Health
    running: tuple[RunningJob, ...]
    queue: tuple[str, ...]
    incomplete: tuple[Mapping[str, Any], ...]
    failed: tuple[Card, ...]
    recent: tuple[Card, ...]


def view(here: Context) -> Overview:
    """Return what the first page shows; raises OutputError if the ledger cannot be read."""
    status = here.reader.published()
    jobs = status["running"]
    with here.reader.ledger() as ledger:
        known = [job for plain in jobs if (job := ledger.get(plain["id"])) is not None]
        failed = ledger.undismissed(FAILED)
        recent = ledger.ended(PICTURES, RECENT)
    return Overview(
        health=health.view(here),
        running=tuple(cards.running_job(here.state, job_view(job, running=jobs)) for job in known),
        queue=tuple(status["waiting"]),
        incomplete=tuple(status["incomplete"]),
        failed=tuple(cards.card(here.state, job) for job in failed),
        recent=tuple(cards.card(here.state, job) for job in recent),
    )


def show(
    request: Request, form: Form = NOTHING, mistakes: Mapping[str, str] = again.NO_MISTAKES
) -> Response:
    """Answer with the first page; `form` and `mistakes` are those of a job that did not start."""
    here = context(request)
    values = {
        "form": again.form_view(here, here.settings.job, form.fields, form, mistakes),
        "overview": view(here),
        "events": f"/events?page={TOPIC}",
    }
    return here.templates.TemplateResponse(request, "overview.html", values)


ROUTES = [Route("/", show)]
