"""Actions: requests to the daemon, as the commands make them.

All but /health/look and /jobs/ID/keep leave a request, and wait a moment for the daemon to act on
it.
"""

import asyncio
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from stylewatch_daemon.base.errors import InputError, OutputError, UsageError
from stylewatch_daemon.base.model import REFUSALS, Job, new_id, now
from stylewatch_daemon.files import atomic, disks
from stylewatch_daemon.files.names import PICTURE_SUFFIXES, safe, shown
from stylewatch_daemon.jobs import retries
from stylewatch_daemon.ledger import requests
from stylewatch_daemon.views.output_files import find, original_name
from stylewatch_daemon.web.http import Context, context, done, form, jobs_of, root_path, values

WAIT_S, POLL_EVERY_S = 2.0, 0.05
"""Seconds that the answer waits for the daemon to act, and between two looks."""

AT_ONCE = 4
"""Requests of the page that the daemon has at the same time; others wait."""

MAX_REQUESTS = 200
"""Requests of all processes that wait for the daemon; the page adds none to more."""

_slots = asyncio.Semaphore(AT_ONCE)


async def check_health(request: Request) -> Response:
    """Run the checks of the doctor again, unless they have just been run."""
    report = await context(request).doctor.report(anew=True)
    findings = [asdict(finding) for finding in report.findings] if report is not None else None
    return done(request, to=f"{root_path(request)}/health", findings=findings)


async def dismiss(request: Request) -> Response:
    """Remove a refused or failed job from the status."""
    job = await run_in_threadpool(job_of, request)
    if job.seen not in REFUSALS:
        raise HTTPException(
            409, f"{_name(job)} is {job.seen}: only refused and failed jobs can be dismissed"
        )
    return await _ask(request, verb="dismiss", jobs=[job.id])


async def dismiss_all(request: Request) -> Response:
    """Remove all refused and failed jobs from the status."""
    return await _ask(request, verb="dismiss", until=now())


async def delete(request: Request) -> Response:
    """Delete the jobs of the fields `job`, which have ended, with their files in the outbox."""
    here = context(request)
    ids = [value for name, value in await values(request) if name == "job"]
    jobs = await run_in_threadpool(jobs_of, here, ids)
    for job in jobs:
        retries.check_ended(job, "deleted")
    acted = [await leave(here, "delete", job=job.id) for job in jobs]
    return done(request, to=f"{root_path(request)}/gallery", acted=all(acted))


async def keep_style(request: Request) -> Response:
    """Copy a style image of a job into the style library, with its `name` and `source`."""
    here, fields = context(request), await form(request)
    job = await run_in_threadpool(job_of, request)
    number = fields.get("input", "")
    if not re.fullmatch("[0-9]{1,4}", number) or int(number) >= len(job.inputs):
        raise UsageError("input should be the number of a style image")
    name = await run_in_threadpool(_keep_style, here, job, int(number), fields)
    return done(request, to=f"{root_path(request)}/jobs/{job.id}", style=name)


def _keep_style(here: Context, job: Job, number: int, fields: Mapping[str, str]) -> str:
    """Copy the input `number` into the library, and return its name there; raises DaemonError."""
    style, folder = job.inputs[number], here.settings.pairing.styles
    picture = find(job, here.state, f"input-{number}") if style.role == "style" else None
    if picture is None:
        raise InputError("this style image is no longer where the job left it")
    named = PurePosixPath(original_name(job, style))
    name, suffix = safe(fields.get("name", named.stem)), named.suffix.lower()
    with picture.file:
        if suffix[1:] not in PICTURE_SUFFIXES or name.casefold().endswith(".mask"):
            raise UsageError(f"the style library takes no file called {name}{suffix}")
        for inbox in here.settings.inboxes:
            if disks.lies_in(folder, inbox.path):
                raise UsageError(
                    f"the style library {folder} lies in the inbox {inbox.path}, where its files "
                    "would be taken for input: set pairing.styles to another folder"
                )
        try:
            atomic.make_folder(folder)
            _check_name(folder, name)
            _create(folder / f"{name}{suffix}", picture.file)
            if source := fields.get("source"):
                _create(folder / f"{name}.txt", BytesIO(f"{shown(source)}\n".encode()))
        except OSError as error:
            raise OutputError(
                f"the style library {folder} cannot be written ({error.strerror}): let the "
                "daemon's user write there, and if stylewatch is a service, run "
                "`stylewatch service install --force` and restart it"
            ) from error
    return name


def _check_name(folder: Path, name: str) -> None:
    """Raise UsageError where the library has a file of that name, with any suffix."""
    for path in folder.iterdir():
        if name.casefold() in (path.stem.casefold(), path.name.casefold()):
            raise _taken(path)


def _create(path: Path, content: BinaryIO) -> None:
    """Write a file that is not there yet; raises UsageError where it is, OSError."""
    with atomic.replacing(path) as writing:
        shutil.copyfileobj(content, writing, atomic.CHUNK)
        writing.flush()
        try:
            path.touch(exist_ok=False)  # a file that came meanwhile would be replaced
        except FileExistsError as error:
            raise _taken(path) from error


def _taken(path: Path) -> UsageError:
    return UsageError(
        f"the style library has a file called {shown(path.name)}: choose another name"
    )


async def retry(request: Request) -> Response:
    """Run a finished job again, as a new job; `from_stage` is the number of a stage to start at."""
    here, fields = context(request), await form(request)
    number = fields.get("from_stage", "")
    if number and not re.fullmatch("[0-9]{1,9}", number):
        raise UsageError("from_stage should be the number of a stage")
    stage = int(number) if number else None
    job = await run_in_threadpool(job_of, request)
    settings = await run_in_threadpool(_settings, here, job, stage)
    new = new_id()
    acted = await leave(here, "retry", job=job.id, new=new, settings=settings, from_stage=stage)
    to = f"{root_path(request)}/jobs/{new}" if acted else None
    return done(request, to=to, acted=acted, job=new)


async def _ask(request: Request, *, verb: str, **arguments: Any) -> Response:
    return done(request, acted=await leave(context(request), verb, **arguments))


async def _end(request: Request, *, verb: str) -> Response:
    """Cancel a job, or stop it and make its latest stage the output."""
    job = await run_in_threadpool(_open_job, request, verb)
    return await _ask(request, verb=verb, job=job.id)


def job_of(request: Request) -> Job:
    """The job with the id in the path; raises HTTPException where there is none."""
    job = context(request).reader.job(request.path_params["job"])
    if job is None:
        raise HTTPException(404, "there is no such job")
    return job


def _open_job(request: Request, verb: str) -> Job:
    """The job, if it has not ended, and has begun where it is to `finish`; else raises."""
    job = job_of(request)
    if job.has_ended:
        raise HTTPException(409, retries.nothing_to(verb, job))
    with context(request).reader.ledger() as ledger:
        if verb == "finish" and not ledger.attempts(job.id):
            raise UsageError(f"{_name(job)} has not begun yet: there is no stage to finish with")
    return job


def _settings(here: Context, job: Job, stage: int | None) -> Any:
    """Settings to run a job again with; raises DaemonError where that is not possible."""
    retries.check_ended(job, "run again")
    settings = retries.settings_for(job, here.settings, {}, stage)
    for file in retries.needed(job, stage):
        file.find()
    return settings


async def leave(here: Context, verb: str, **arguments: Any) -> bool:
    """Leave a request for the daemon; return whether it acted on it within WAIT_S."""
    async with _slots:
        if len(await run_in_threadpool(requests.waiting, here.state)) >= MAX_REQUESTS:
            raise HTTPException(503, "too many requests wait for the daemon: try again later")
        request = await run_in_threadpool(requests.leave, here.state, verb, **arguments)
        for _ in range(round(WAIT_S / POLL_EVERY_S)):
            if not await run_in_threadpool(requests.is_waiting, here.state, request):
                return True
            await asyncio.sleep(POLL_EVERY_S)
    return False


def _name(job: Job) -> str:
    return shown(job.title)


ROUTES = [
    Route("/pause", partial(_ask, verb="pause"), methods=["POST"]),
    Route("/resume", partial(_ask, verb="resume"), methods=["POST"]),
    Route("/health/look", check_health, methods=["POST"]),
    Route("/dismiss", dismiss_all, methods=["POST"]),
    Route("/jobs/{job}/dismiss", dismiss, methods=["POST"]),
    Route("/jobs/{job}/cancel", partial(_end, verb="cancel"), methods=["POST"]),
    Route("/jobs/{job}/finish", partial(_end, verb="finish"), methods=["POST"]),
    Route("/jobs/{job}/retry", retry, methods=["POST"]),
    Route("/delete", delete, methods=["POST"]),
    Route("/jobs/{job}/keep", keep_style, methods=["POST"]),
]
