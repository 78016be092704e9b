"""The page of a job: its pictures, receipt, log and variants; and the question before deletion."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from stylewatch_daemon.base.model import End, Job
from stylewatch_daemon.jobs import operations
from stylewatch_daemon.ledger import thumbs
from stylewatch_daemon.ledger.ledger import Ledger, Order, Search
from stylewatch_daemon.views.job import JobView, changes, job_view, name_of, submit_command
from stylewatch_daemon.views.output_files import original_name, read_receipt
from stylewatch_daemon.web import cards
from stylewatch_daemon.web.cards import BROWSER_FORMATS, LARGE_SIDE, Card, Image, RunningJob
from stylewatch_daemon.web.gallery import TABS
from stylewatch_daemon.web.http import Context, context, jobs_of, root_path

PARTS = ("job_head", "job_pictures", "job_variants", "job_details")
"""The parts of the page that change; each is the template of that name in `parts`."""

BROWSER_CLIPS = frozenset({".mp4", ".webm"})
"""Suffixes of the clips that browsers play."""

MAX_STAGES = 200
"""Stages on the page of a job; of more than that some in between are left out."""

MAX_VARIANTS = 24
"""Jobs with the same content image that a page shows."""

NOT_COMPARED = ("name", "final", "priority")
"""Settings that do not change the picture."""


@dataclass(frozen=True)
class StageImages:
    """A stage: large, and small in the strip."""

    step: int
    large: Image
    small: Image


@dataclass(frozen=True)
class JobPage:
    """The page of a job: its view, with the addresses of its pictures."""

    view: JobView
    running: RunningJob | None
    before: Image | None
    after: Image | None
    stages: tuple[StageImages, ...]
    animation: Image | None
    clip: Image | None
    """The painted clip, if browsers can play it."""
    is_clip: bool
    """True if the content is a clip: its stages are frames."""
    inputs: tuple[Image, ...]
    variants: tuple[tuple[Card, Mapping[str, str]], ...]
    """All jobs with this content image, this one too, with the settings in which they differ."""
    command: str
    newer: Job | None
    older: Job | None
    """The jobs beside this one in the gallery."""


def view(here: Context, job_id: str) -> JobPage | None:
    """Return the page of the job with this id, if there is one.

    Raises OutputError if the ledger cannot be read.
    """
    with here.reader.ledger() as ledger:
        job, attempts = ledger.get(job_id), ledger.attempts(job_id)
        if job is None:
            return None
        newer, older = _beside(ledger, job, "oldest"), _beside(ledger, job, "newest")
        variants = _same_content(ledger, job)
    state, job_said = here.state, job_view(job, attempts, here.reader.published()["running"])
    name = job_said.name
    stages = tuple(_stages(here, job_said))
    clip = cards.moving(state, job, "final", f"{name}, painted clip", BROWSER_CLIPS)
    is_clip = clip is not None or job.frames > 1
    # a preview of a film, such as one that browsers do not play, is its first frame
    final = None if is_clip else cards.picture(state, job, "final", f"{name}, output", LARGE_SIDE)
    if final and stages:  # the last stage is the output, which may be enlarged
        stages = (*stages[:-1], replace(stages[-1], large=final))
    return JobPage(
        view=job_said,
        running=cards.running_job(state, job_said) if job_said.running else None,
        # of a clip it shows the first frame, and the stages show others
        before=None if stages and job.frames > 1 else _before(here, job),
        after=final or (stages[-1].large if stages else None),
        stages=stages,
        animation=cards.moving(
            state, job, "animation", f"{name}, animation of all stages", BROWSER_FORMATS
        ),
        clip=clip,
        is_clip=is_clip,
        inputs=tuple(image for role in cards.ROLES for image in cards.inputs(job, role)),
        variants=tuple(_compared(here, variants)),
        command=submit_command(job) if job.settings else "",
        newer=newer,
        older=older,
    )


def page_of(request: Request) -> JobPage:
    """Return the page of the job with the id in the path; raises HTTPException if there is none."""
    page = view(context(request), request.path_params["job"])
    if page is None:
        raise HTTPException(404, "there is no such job, or it was removed from the ledger")
    return page


def _beside(ledger: Ledger, job: Job, order: Order) -> Job | None:
    """Return the job after `job` on its tab of the gallery, in this order."""
    ends = next((ends for ends in TABS.values() if job.end in ends), ())
    found = ledger.ended(ends, 1, Search(order=order), (job.finished or "", job.id))
    return next(iter(found), None)


def _before(here: Context, job: Job) -> Image | None:
    """Return the content image; None for a file that was refused before it was read."""
    for number, file in enumerate(job.inputs):
        is_picture = job.end is not End.REFUSED or file.pixels is not None
        if file.role == "content" and is_picture:
            alt = f"{name_of(job)}, content image"
            return cards.picture(here.state, job, f"input-{number}", alt, LARGE_SIDE)
    return None


def _stages(here: Context, job: JobView) -> Iterator[StageImages]:
    """Yield the stages that are shown; of a running clip the newest frame is the last."""
    steps = job.steps[:: max(1, math.ceil(len(job.steps) / MAX_STAGES))]
    named = {step: f"stage-{step}" for step in (*steps, *job.steps[-1:])}
    newest = cards.newest(job.job) if job.running else None
    if newest and newest[1] not in job.steps:
        named[newest[1]] = newest[0]
    for step, what in named.items():
        at = f"{job.unit} {step}"
        alt = f"{job.name} after {at}"
        large = cards.picture(here.state, job.job, what, alt, LARGE_SIDE)
        small = cards.picture(here.state, job.job, what, at, thumbs.SIDE)
        if large and small:
            yield StageImages(step, large, small)


def _same_content(ledger: Ledger, job: Job) -> list[Job]:
    """Return all jobs with the content image of `job`, the latest first; none if it is alone."""
    sha256 = next((file.sha256 for file in job.inputs if file.role == "content"), "")
    jobs = ledger.with_content(sha256, MAX_VARIANTS) if sha256 else []
    return jobs if {each.id for each in jobs} - {job.id} else []


def _compared(here: Context, jobs: list[Job]) -> Iterator[tuple[Card, Mapping[str, str]]]:
    """Yield the cards of jobs, each with the settings in which those that have begun differ."""
    settings = {job.id: _compared_settings(job) for job in jobs if job.settings}
    keys = dict.fromkeys(key for plain in settings.values() for key in plain)
    differing = [key for key in keys if len({plain.get(key) for plain in settings.values()}) > 1]
    for job in jobs:
        plain = settings.get(job.id)
        differs = {key: plain.get(key, "by default") for key in differing} if plain else {}
        yield cards.card(here.state, job), differs


def _compared_settings(job: Job) -> dict[str, str]:
    styles = [original_name(job, file) for file in job.inputs if file.role == "style"]
    changed = {key: text for key, text in changes(job).items() if key not in NOT_COMPARED}
    return {"style": ", ".join(styles), **changed}


def show(request: Request) -> Response:
    """Answer with the page of a job; a name leads to the page of the latest job of that name."""
    here, name = context(request), request.path_params["job"]
    page = view(here, name)
    if page is not None:
        events = f"/events?{urlencode({'page': page.view.job.id})}"
        return here.templates.TemplateResponse(
            request, "job.html", {"page": page, "events": events}
        )
    with here.reader.ledger() as ledger:
        job = ledger.find(name)
    if job is None:
        raise HTTPException(404, "there is no such job, or it was removed from the ledger")
    return RedirectResponse(f"{root_path(request)}/jobs/{job.id}", 302)


def receipt(request: Request) -> Response:
    """Answer with the receipt of a job, as it was written."""
    job = context(request).reader.job(request.path_params["job"])
    plain = read_receipt(job) if job is not None else {}
    if not plain:
        raise HTTPException(404, "there is no receipt: the job is not done")
    return JSONResponse(plain)


def ask_to_delete(request: Request) -> Response:
    """Answer with a question before the jobs of the query are deleted."""
    here = context(request)
    jobs = jobs_of(here, request.query_params.getlist("job"))
    for job in jobs:
        operations.check("delete", job)
    names = {job.id: name_of(job) for job in jobs}
    values = {"jobs": names, "retention": here.settings.retention}
    return here.templates.TemplateResponse(request, "delete.html", values)


ROUTES = [
    Route("/jobs/{job}/receipt.json", receipt),
    Route("/delete", ask_to_delete),
]
LAST_ROUTES = [Route("/jobs/{job:path}", show)]
"""A name of a job may contain slashes, so this route is tried after all others."""
