"""The page of a job, with its pictures, log and variants; and the question before a deletion."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from stylewatch_daemon.base.model import PICTURES, End, Job
from stylewatch_daemon.client import operations
from stylewatch_daemon.client.condition import condition
from stylewatch_daemon.ledger import requests, thumbs
from stylewatch_daemon.ledger.ledger import Ledger, Order, Search
from stylewatch_daemon.views.job import JobView, changes, heading, job_view, submit_command
from stylewatch_daemon.views.output_files import JobFiles, original_name
from stylewatch_daemon.web import pictures
from stylewatch_daemon.web.gallery import TABS
from stylewatch_daemon.web.http import JOB, Context, context, job_of, jobs_of, root_path
from stylewatch_daemon.web.pictures import BROWSER_CLIPS, BROWSER_FORMATS, LARGE_SIDE, ROLES, Image

PARTS = ("job_head", "job_pictures", "job_variants", "job_details")
"""Parts of the page that live updates change; each is the template of that name in `parts`."""

MAX_STAGES = 200
"""Approximate maximum number of stages on the page of a job; some in between are left out."""

MAX_VARIANTS = 24
"""Maximum number of other jobs with the same content image on a page; the gallery has all."""

NOT_COMPARED = ("name", "final", "priority")
"""Settings that do not change the picture."""

Stage = tuple[int, Image, Image]
"""A stage: its step, its large picture, and its small picture in the strip."""


def view(site: Context, job: Job) -> dict[str, Any]:
    """Return the values of the page of a job; OutputError if the ledger cannot be read."""
    status = site.status()
    # others overtake a job that is blocked, and interrupted ones come before it
    has_place = job.seen == "waiting" and condition(status).is_ready
    with site.ledger() as ledger:
        attempts = ledger.attempts(job.id)
        newer, older = _beside(ledger, job, "oldest"), _beside(ledger, job, "newest")
        content = job.input_as("content")
        photograph = "" if content is None else content.sha256
        variants = _same_content(ledger, job, photograph)
        origin = ledger.find(job.retry_of) if job.retry_of else None
        place = ledger.place(job.id) if has_place else None
    view = job_view(job, site.state, attempts, status)
    return {
        "view": view,
        "job": job,
        **_pictures(view),
        "animation": pictures.moving(
            view.files, "animation", f"{view.heading}, animation of all stages", BROWSER_FORMATS
        ),
        "inputs": [image for role in ROLES for image in pictures.inputs(job, role)],
        "variants": list(zip(variants, _differences(variants), strict=True)),
        "command": submit_command(job) if job.settings else "",
        "newer": newer,
        "older": older,
        "place": place,
        "photograph": photograph,
        "origin": origin,
        "deletion": _deletion(site, job, status) if job.has_ended else "",
        "trash_days": site.settings.retention.trash,
    }


def _deletion(site: Context, job: Job, status: Mapping[str, Any]) -> str:
    """Return a sentence about a deletion that waits, with its reason; empty if none waits."""
    for request in requests.waiting(site.state):
        if request.deletes(job.id):
            for reason in status["health"]["trouble"]:
                if reason.startswith(f"request {request.id} "):
                    return str(reason)
            return "requested: delete"
    return ""


def _pictures(view: JobView) -> dict[str, Any]:
    """Return the content image `before`, the output or newest stage `after`, and shown `stages`.

    `clip` is the painted clip, if browsers play it, and `is_clip` tells whether the job has one.
    """
    job = view.job
    files = view.files
    stages = list(_stages(view))
    clip = pictures.moving(files, "final", f"{view.heading}, painted clip", BROWSER_CLIPS)
    is_clip = clip is not None or job.frames > 1
    # the preview of a clip, needed if browsers do not play it, would show only its first frame
    final = None if is_clip else pictures.picture(
        files, "final", f"{view.heading}, output", LARGE_SIDE
    )  # fmt: skip
    if final and stages:  # the output replaces the last stage, as it may be larger
        step, _, small = stages[-1]
        stages[-1] = step, final, small
    return {
        # the content image of a clip is its first frame, but the stages show other frames
        "before": None if stages and job.frames > 1 else _before(files),
        "after": final or (stages[-1][1] if stages else None),
        "stages": stages,
        "clip": clip,
        "is_clip": is_clip,
    }


def _beside(ledger: Ledger, job: Job, order: Order) -> Job | None:
    """Return the job after `job` on its tab of the gallery, sorted by `order`.

    None if there is none, or if `job` is in the trash or has not ended.
    """
    if job.trashed:
        return None
    for ends in TABS.values():
        if job.end in ends:
            jobs = ledger.ended(ends, 1, Search(order=order), (job.finished or "", job.id))
            return jobs[0] if jobs else None
    return None


def _before(files: JobFiles) -> Image | None:
    """Return the content image; None without one, or if the job was refused before it was read."""
    job = files.job
    for number, file in enumerate(job.inputs):
        is_picture = job.end is not End.REFUSED or file.pixels is not None
        if file.role == "content" and is_picture:
            alt = f"{heading(job)}, photograph"
            return pictures.picture(files, f"input-{number}", alt, LARGE_SIDE)
    return None


def _stages(view: JobView) -> Iterator[Stage]:
    """Yield the stages to show; for a running clip, the last is the newest frame."""
    steps = view.steps[:: max(1, math.ceil(len(view.steps) / MAX_STAGES))]
    named = {step: f"stage-{step}" for step in (*steps, *view.steps[-1:])}
    newest = pictures.newest(view.files) if view.running else None
    if newest and newest[1] not in view.steps:
        named[newest[1]] = newest[0]
    for step, what in named.items():
        at = f"{view.unit} {step}"
        alts = {LARGE_SIDE: f"{view.heading} after {at}", thumbs.SIDE: at}
        images = [*pictures.in_sizes(view.files, what, alts)]
        if images:
            large, small = images
            yield step, large, small


def _same_content(ledger: Ledger, job: Job, sha256: str) -> list[Job]:
    """Return `job` and the latest jobs with this content image; empty if there is no other job."""
    jobs = ledger.with_content(sha256, MAX_VARIANTS) if sha256 else []
    others = [each for each in jobs if each.id != job.id]
    if not others:
        return []
    return jobs if len(others) < len(jobs) else [*others, job]


def _differences(jobs: Sequence[Job]) -> Iterator[Mapping[str, str]]:
    """Yield for each job its values of the settings in which the jobs differ.

    A job that has not started has no settings yet, and so no values.
    """
    settings = {job.id: _compared_settings(job) for job in jobs if job.settings}
    keys = dict.fromkeys(key for plain in settings.values() for key in plain)
    differing = [key for key in keys if len({plain.get(key) for plain in settings.values()}) > 1]
    for job in jobs:
        plain = settings.get(job.id)
        yield {key: plain.get(key, "by default") for key in differing} if plain else {}


def _compared_settings(job: Job) -> dict[str, str]:
    styles = [original_name(job, file) for file in job.inputs if file.role == "style"]
    changed = {key: text for key, text in changes(job).items() if key not in NOT_COMPARED}
    return {"style": ", ".join(styles), **changed}


def show(request: Request) -> Response:
    """Answer with the page of a job; redirect the name of a job to its id."""
    site = context(request)
    job = job_of(request)
    if request.path_params["job"] != job.id:
        return RedirectResponse(f"{root_path(request)}/jobs/{quote(job.id)}", 302)
    values = {**view(site, job), "events": f"/events?{urlencode({'page': job.id})}"}
    return site.templates.TemplateResponse(request, "job.html", values)


def receipt(request: Request) -> Response:
    """Answer with the receipt of a job, as it was written.

    Raises HTTPException if there is none.
    """
    job = job_of(request)
    plain = JobFiles(job, context(request).state).receipt
    if not plain:
        is_done = job.seen in PICTURES
        why = "it is no longer there, or damaged" if is_done else "the job is not done"
        raise HTTPException(404, f"there is no receipt: {why}")
    return JSONResponse(plain)


def ask_to_delete(request: Request) -> Response:
    """Answer with a page that asks whether to delete the jobs in the query."""
    site = context(request)
    jobs, are_several = jobs_of(site, request.query_params.getlist("job"))
    for job in jobs:
        operations.check("delete", job)
    jobs, kept = operations.without_favorites(site.state, jobs, are_several=are_several)
    values = {"jobs": jobs, "favorites": kept, "retention": site.settings.retention}
    return site.templates.TemplateResponse(request, "delete.html", values)


ROUTES = [
    Route(f"/jobs/{JOB}/receipt.json", receipt),
    Route("/delete", ask_to_delete),
]
LAST_ROUTES = [Route(f"/jobs/{JOB}", show)]
"""Routes to try after all others, because the name of a job may contain slashes."""
