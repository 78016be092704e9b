"""Actions: requests to the daemon, as the commands make them.

All but /health/look leave a request file, and wait a moment for the daemon to act on it.
"""

import asyncio
import re
from dataclasses import asdict
from functools import partial
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from stylewatch_daemon.errors import UsageError
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.ingest.inbox import new_id
from stylewatch_daemon.queue import job_actions as retries
from stylewatch_daemon.queue.job_actions import nothing_to
from stylewatch_daemon.store import requests
from stylewatch_daemon.store.ledger import DISMISSIBLE, Entry
from stylewatch_daemon.store.ledger_writer import LAST, now
from stylewatch_daemon.web.context import Context, context
from stylewatch_daemon.web.http import done, form, root_path

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
    entry = await run_in_threadpool(_job, request)
    if entry.state not in DISMISSIBLE:
        raise HTTPException(
            409, f"{_name(entry)} is {entry.state}: only refused and failed jobs can be dismissed"
        )
    return await _ask(request, verb="dismiss", jobs=[entry.id])


async def dismiss_all(request: Request) -> Response:
    """Remove all refused and failed jobs from the status."""
    return await _ask(request, verb="dismiss", until=now())


async def retry(request: Request) -> Response:
    """Run a finished job again, as a new job; `from_stage` is the number of a stage to start at."""
    here, fields = context(request), await form(request)
    number = fields.get("from_stage", "")
    if number and not re.fullmatch("0*[0-9]{1,9}", number):
        raise UsageError("from_stage should be the number of a stage")
    stage = int(number) if number else None
    entry = await run_in_threadpool(_job, request)
    settings = await run_in_threadpool(_settings, here, entry, stage)
    new = new_id()
    acted = await _request(
        here, "retry", job=entry.id, new=new, settings=settings, from_stage=stage
    )
    to = f"{root_path(request)}/jobs/{new}" if acted else None
    return done(request, to=to, acted=acted, job=new)


async def _ask(request: Request, *, verb: str, **arguments: Any) -> Response:
    return done(request, acted=await _request(context(request), verb, **arguments))


async def _end(request: Request, *, verb: str) -> Response:
    """Cancel a job, or stop it and make its latest stage the output."""
    entry = await run_in_threadpool(_open_job, request, verb)
    return await _ask(request, verb=verb, job=entry.id)


def _job(request: Request) -> Entry:
    """The job with the id in the path; raises HTTPException where there is none."""
    entry = context(request).reader.job(request.path_params["job"])
    if entry is None:
        raise HTTPException(404, "there is no such job")
    return entry


def _open_job(request: Request, verb: str) -> Entry:
    """The job, if it has not ended, and has begun where it is to `finish`; else raises."""
    entry = _job(request)
    if entry.state in LAST:
        raise HTTPException(409, nothing_to(verb, entry))
    with context(request).reader.ledger() as ledger:
        if verb == "finish" and not (ledger and ledger.story(entry.id)):
            raise UsageError(f"{_name(entry)} has not begun yet: there is no stage to finish with")
    return entry


def _settings(here: Context, entry: Entry, stage: int | None) -> Any:
    """Settings to run a job again with; raises DaemonError where that is not possible."""
    retries.check_at_end(entry)
    settings = retries.settings_for(entry, here.settings, {}, stage)
    for file in retries.needed(entry, stage):
        file.find()
    return settings


async def _request(here: Context, verb: str, **arguments: Any) -> bool:
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
    return shown(entry.place or entry.name)


ROUTES = [
    Route("/pause", partial(_ask, verb="pause"), methods=["POST"]),
    Route("/resume", partial(_ask, verb="resume"), methods=["POST"]),
    Route("/health/look", check_health, methods=["POST"]),
    Route("/dismiss", dismiss_all, methods=["POST"]),
    Route("/jobs/{job}/dismiss", dismiss, methods=["POST"]),
    Route("/jobs/{job}/cancel", partial(_end, verb="cancel"), methods=["POST"]),
    Route("/jobs/{job}/finish", partial(_end, verb="finish"), methods=["POST"]),
    Route("/jobs/{job}/retry", retry, methods=["POST"]),
]
