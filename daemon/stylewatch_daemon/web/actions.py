"""Actions: requests to the daemon, as the commands make them.

All but /health/look and /jobs/ID/keep leave a request file, and wait a moment for the daemon to
act on it.
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

from stylewatch_daemon.errors import InputError, OutputError, UsageError
from stylewatch_daemon.files import atomic, mounts
from stylewatch_daemon.files.names import PICTURE_SUFFIXES, safe, shown
from stylewatch_daemon.queue import job_actions
from stylewatch_daemon.queue.job_actions import nothing_to
from stylewatch_daemon.store import requests
from stylewatch_daemon.store.journal import new_id
from stylewatch_daemon.store.ledger import DISMISSIBLE, Entry
from stylewatch_daemon.store.ledger_writer import LAST, now
from stylewatch_daemon.views.output_files import find, original_name
from stylewatch_daemon.web.http import Context, context, done, form, root_path

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
    entry = await run_in_threadpool(job_of, request)
    if entry.state not in DISMISSIBLE:
        raise HTTPException(
            409, f"{_name(entry)} is {entry.state}: only refused and failed jobs can be dismissed"
        )
    return await _ask(request, verb="dismiss", jobs=[entry.id])


async def dismiss_all(request: Request) -> Response:
    """Remove all refused and failed jobs from the status."""
    return await _ask(request, verb="dismiss", until=now())


async def cancel_incomplete(request: Request) -> Response:
    """Cancel the incomplete pairs called `name`."""
    name = (await form(request)).get("name", "")
    status = await run_in_threadpool(context(request).reader.published)
    if name not in (pair["name"] for pair in status["incomplete"]):
        raise HTTPException(404, "there is no such incomplete pair: it may be complete by now")
    return await _ask(request, verb="cancel_incomplete", name=name)


async def delete(request: Request) -> Response:
    """Delete a job that has ended, with its files in the outbox."""
    entry = await run_in_threadpool(job_of, request)
    job_actions.check_ended(entry, "deleted")
    acted = await leave(context(request), "delete", job=entry.id)
    return done(request, to=f"{root_path(request)}/gallery", acted=acted)


async def keep_style(request: Request) -> Response:
    """Copy a style image of a job into the style library, with its `name` and `source`."""
    here, fields = context(request), await form(request)
    entry = await run_in_threadpool(job_of, request)
    number = fields.get("input", "")
    if not re.fullmatch("[0-9]{1,4}", number) or int(number) >= len(entry.inputs):
        raise UsageError("input should be the number of a style image")
    name = await run_in_threadpool(_keep_style, here, entry, int(number), fields)
    return done(request, to=f"{root_path(request)}/jobs/{entry.id}", style=name)


def _keep_style(here: Context, entry: Entry, number: int, fields: Mapping[str, str]) -> str:
    """Copy the input `number` into the library, and return its name there; raises DaemonError."""
    plain, folder = entry.inputs[number], here.settings.pairing.styles
    picture = find(entry, here.state, f"input-{number}") if plain.get("role") == "style" else None
    if picture is None:
        raise InputError("this style image is no longer where the job left it")
    named = PurePosixPath(original_name(entry, plain))
    name, suffix = safe(fields.get("name", named.stem)), named.suffix.lower()
    with picture.file:
        if suffix[1:] not in PICTURE_SUFFIXES or name.casefold().endswith(".mask"):
            raise UsageError(f"the style library takes no file called {name}{suffix}")
        for inbox in here.settings.inboxes:
            if mounts.lies_in(folder, inbox.path, mounts.table()):
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
    entry = await run_in_threadpool(job_of, request)
    settings = await run_in_threadpool(_settings, here, entry, stage)
    new = new_id()
    acted = await leave(here, "retry", job=entry.id, new=new, settings=settings, from_stage=stage)
    to = f"{root_path(request)}/jobs/{new}" if acted else None
    return done(request, to=to, acted=acted, job=new)


async def _ask(request: Request, *, verb: str, **arguments: Any) -> Response:
    return done(request, acted=await leave(context(request), verb, **arguments))


async def _end(request: Request, *, verb: str) -> Response:
    """Cancel a job, or stop it and make its latest stage the output."""
    entry = await run_in_threadpool(_open_job, request, verb)
    return await _ask(request, verb=verb, job=entry.id)


def job_of(request: Request) -> Entry:
    """The job with the id in the path; raises HTTPException where there is none."""
    entry = context(request).reader.job(request.path_params["job"])
    if entry is None:
        raise HTTPException(404, "there is no such job")
    return entry


def _open_job(request: Request, verb: str) -> Entry:
    """The job, if it has not ended, and has begun where it is to `finish`; else raises."""
    entry = job_of(request)
    if entry.state in LAST:
        raise HTTPException(409, nothing_to(verb, entry))
    with context(request).reader.ledger() as ledger:
        if verb == "finish" and not ledger.attempts(entry.id):
            raise UsageError(f"{_name(entry)} has not begun yet: there is no stage to finish with")
    return entry


def _settings(here: Context, entry: Entry, stage: int | None) -> Any:
    """Settings to run a job again with; raises DaemonError where that is not possible."""
    job_actions.check_ended(entry, "run again")
    settings = job_actions.settings_for(entry, here.settings, {}, stage)
    for file in job_actions.needed(entry, stage):
        file.find()
    return settings


async def leave(here: Context, verb: str, **arguments: Any) -> bool:
    """Leave a request for the daemon; return whether it acted on it within WAIT_S."""
    folder = here.state / requests.FOLDER
    async with _slots:
        count = len(list(folder.iterdir())) if folder.is_dir() else 0
        if count >= MAX_REQUESTS:
            raise HTTPException(503, "too many requests wait for the daemon: try again later")
        path = await run_in_threadpool(requests.leave, here.state, verb, **arguments)
        for _ in range(round(WAIT_S / POLL_EVERY_S)):
            if not path.exists():
                return True
            await asyncio.sleep(POLL_EVERY_S)
    return False


def _name(entry: Entry) -> str:
    return shown(entry.title)


ROUTES = [
    Route("/pause", partial(_ask, verb="pause"), methods=["POST"]),
    Route("/resume", partial(_ask, verb="resume"), methods=["POST"]),
    Route("/health/look", check_health, methods=["POST"]),
    Route("/dismiss", dismiss_all, methods=["POST"]),
    Route("/incomplete/cancel", cancel_incomplete, methods=["POST"]),
    Route("/jobs/{job}/dismiss", dismiss, methods=["POST"]),
    Route("/jobs/{job}/cancel", partial(_end, verb="cancel"), methods=["POST"]),
    Route("/jobs/{job}/finish", partial(_end, verb="finish"), methods=["POST"]),
    Route("/jobs/{job}/retry", retry, methods=["POST"]),
    Route("/jobs/{job}/delete", delete, methods=["POST"]),
    Route("/jobs/{job}/keep", keep_style, methods=["POST"]),
]
