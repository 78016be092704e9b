"""Actions: requests to the daemon, as the commands make them.

POST /pause, /resume
POST /jobs/ID/cancel, /jobs/ID/finish
POST /jobs/ID/dismiss       remove a refused or failed job from the status; /dismiss: all of them
POST /jobs/ID/retry         optionally with from_stage, the number of a stage to resume from
POST /health/look           run the checks of the doctor again

All but the last leave a request file, and wait a moment for the daemon to act on it.
"""

import asyncio
import re
from dataclasses import asdict
from pathlib import Path
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
from stylewatch_daemon.web.http import Context, context, done, form, root_path

WAIT_S, POLL_EVERY_S = 2.0, 0.05
"""Seconds that the answer waits for the daemon to act, and between two looks."""

AT_ONCE = 4
"""Requests of the page that the daemon has at the same time; others wait their turn."""

MAX_REQUESTS = 200
"""Requests of all processes that wait for the daemon; the page adds none to more."""

_slots = asyncio.Semaphore(AT_ONCE)


def routes() -> list[Route]:
    """The routes of the actions."""
    return [
        Route("/pause", pause, methods=["POST"]),
        Route("/resume", resume, methods=["POST"]),
        Route("/health/look", check_health, methods=["POST"]),
        Route("/dismiss", dismiss_all, methods=["POST"]),
        Route("/jobs/{job}/dismiss", dismiss, methods=["POST"]),
        Route("/jobs/{job}/cancel", cancel, methods=["POST"]),
        Route("/jobs/{job}/finish", finish, methods=["POST"]),
        Route("/jobs/{job}/retry", retry, methods=["POST"]),
    ]


async def pause(request: Request) -> Response:
    """Start no new jobs."""
    return done(request, acted=await _request(context(request), "pause"))


async def resume(request: Request) -> Response:
    """Start new jobs again."""
    return done(request, acted=await _request(context(request), "resume"))


async def check_health(request: Request) -> Response:
    """Run the checks of the doctor again, unless they have just been run."""
    report = await context(request).checkup.look(anew=True)
    findings = [asdict(finding) for finding in report.findings] if report is not None else None
    return done(request, to=f"{root_path(request)}/health", findings=findings)


async def cancel(request: Request) -> Response:
    """Cancel a job."""
    here = context(request)
    entry = await run_in_threadpool(_open_job, here, request.path_params["job"], "cancel")
    return done(request, acted=await _request(here, "cancel", job=entry.id))


async def finish(request: Request) -> Response:
    """Stop a job and make its latest stage the output."""
    here = context(request)
    entry = await run_in_threadpool(_open_job, here, request.path_params["job"], "finish")
    if not await run_in_threadpool(_has_begun, here, entry):
        raise UsageError(f"{_name(entry)} has not begun yet: there is no stage to finish with")
    return done(request, acted=await _request(here, "finish", job=entry.id))


async def dismiss(request: Request) -> Response:
    """Remove a refused or failed job from the status."""
    here = context(request)
    entry = await run_in_threadpool(_job, here, request.path_params["job"])
    if entry.state not in DISMISSIBLE:
        raise HTTPException(
            409, f"{_name(entry)} is {entry.state}: only refused and failed jobs can be dismissed"
        )
    return done(request, acted=await _request(here, "dismiss", jobs=[entry.id]))


async def dismiss_all(request: Request) -> Response:
    """Remove all refused and failed jobs from the status."""
    return done(request, acted=await _request(context(request), "dismiss", until=now()))


async def retry(request: Request) -> Response:
    """Run a finished job again, as a new one."""
    here, fields = context(request), await form(request)
    number = fields.get("from_stage", "")
    if number and not re.fullmatch("0*[1-9][0-9]{0,8}", number):
        raise UsageError("from_stage should be the number of a stage")
    stage = int(number) if number else None
    entry = await run_in_threadpool(_job, here, request.path_params["job"])
    settings = await run_in_threadpool(_settings, here, entry, stage)
    new = new_id()
    acted = await _request(
        here, "retry", job=entry.id, new=new, settings=settings, from_stage=stage
    )
    to = f"{root_path(request)}/jobs/{new}" if acted else None
    return done(request, to=to, acted=acted, job=new)


def _job(here: Context, job_id: str) -> Entry:
    """The job with this id; raises HTTPException where there is none."""
    entry = here.reader.job(job_id)
    if entry is None:
        raise HTTPException(404, "there is no such job")
    return entry


def _open_job(here: Context, job_id: str, verb: str) -> Entry:
    """The same for a job that has not ended yet."""
    entry = _job(here, job_id)
    if entry.state in LAST:
        raise HTTPException(409, nothing_to(verb, entry))
    return entry


def _has_begun(here: Context, entry: Entry) -> bool:
    with here.reader.ledger() as ledger:
        return ledger is not None and bool(ledger.story(entry.id))


def _settings(here: Context, entry: Entry, stage: int | None) -> Any:
    """Settings to run a job again with; raises DaemonError where that is not possible."""
    retries.check_at_end(entry)
    settings = retries.settings_for(entry, here.settings, {}, stage)
    for file in retries.needed(entry, stage):
        file.find()
    return settings


async def _request(here: Context, verb: str, **arguments: Any) -> bool:
    """Leave a request for the daemon; return whether it acted on it within WAIT_S."""
    async with _slots:
        if await run_in_threadpool(_count_requests, here.state) >= MAX_REQUESTS:
            raise HTTPException(503, "too many requests wait for the daemon: try again later")
        path = await run_in_threadpool(requests.leave, here.state, verb, **arguments)
        for _ in range(round(WAIT_S / POLL_EVERY_S)):
            if not path.exists():
                return True
            await asyncio.sleep(POLL_EVERY_S)
    return False


def _count_requests(state: Path) -> int:
    folder = state / requests.FOLDER
    return sum(1 for _ in folder.iterdir()) if folder.is_dir() else 0


def _name(entry: Entry) -> str:
    return shown(entry.place or entry.name)
