"""What people may ask of the daemon: to pause, to go on, and what is to become of a job.

POST /pause, /resume
POST /jobs/ID/cancel, /jobs/ID/finish
POST /jobs/ID/dismiss       take a refused or failed job out of the status; /dismiss: all of them
POST /jobs/ID/retry         may say from_stage, the number of a stage to go on from
POST /health/look           have the doctor look again

All but the last leave a request, as the commands do, and wait a moment for the daemon to act.
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
from stylewatch_daemon.queue import retry as again
from stylewatch_daemon.queue.job_actions import nothing_to
from stylewatch_daemon.store import requests
from stylewatch_daemon.store.ledger import DISMISSIBLE, Entry
from stylewatch_daemon.store.ledger_writer import LAST, now
from stylewatch_daemon.web.context import Context, context
from stylewatch_daemon.web.forms import form
from stylewatch_daemon.web.responses import done

ANSWERS_WITHIN = 2.0
"""Seconds that the daemon gets to act before people see the page again."""

LOOK_EVERY = 0.05

AT_ONCE = 4
"""Requests of ours that the daemon is to act on; whoever asks more waits for these."""

WAITING = 200
"""Requests of all that wait for the daemon; with more, none is added."""

_turns = asyncio.Semaphore(AT_ONCE)


def routes() -> list[Route]:
    """The actions."""
    return [
        Route("/pause", pause, methods=["POST"]),
        Route("/resume", resume, methods=["POST"]),
        Route("/health/look", look, methods=["POST"]),
        Route("/dismiss", dismiss_all, methods=["POST"]),
        Route("/jobs/{job}/dismiss", dismiss, methods=["POST"]),
        Route("/jobs/{job}/cancel", cancel, methods=["POST"]),
        Route("/jobs/{job}/finish", finish, methods=["POST"]),
        Route("/jobs/{job}/retry", retry, methods=["POST"]),
    ]


async def pause(request: Request) -> Response:
    """Begin nothing new."""
    return done(request, acted=await _asked(context(request), "pause"))


async def resume(request: Request) -> Response:
    """Go on with what waits."""
    return done(request, acted=await _asked(context(request), "resume"))


async def look(request: Request) -> Response:
    """Have the doctor look again, if that was not just done."""
    report = await context(request).checkup.look(anew=True)
    found = [asdict(one) for one in report.findings] if report is not None else None
    return done(request, to=f"{request.scope['root_path']}/health", findings=found)


async def cancel(request: Request) -> Response:
    """End a job."""
    here = context(request)
    entry = await run_in_threadpool(_open, here, request.path_params["job"], "cancel")
    return done(request, acted=await _asked(here, "cancel", job=entry.id))


async def finish(request: Request) -> Response:
    """Make the picture of a job final as it is."""
    here = context(request)
    entry = await run_in_threadpool(_open, here, request.path_params["job"], "finish")
    if not await run_in_threadpool(_is_begun, here, entry):
        raise UsageError(f"{_called(entry)} was not begun, so that there is no picture yet")
    return done(request, acted=await _asked(here, "finish", job=entry.id))


async def dismiss(request: Request) -> Response:
    """Take a refused or failed job out of the status."""
    here = context(request)
    entry = await run_in_threadpool(_entry, here, request.path_params["job"])
    if entry.state not in DISMISSIBLE:
        raise HTTPException(
            409, f"{_called(entry)} is {entry.state}: only refused and failed jobs can be dismissed"
        )
    return done(request, acted=await _asked(here, "dismiss", jobs=[entry.id]))


async def dismiss_all(request: Request) -> Response:
    """Take every refused or failed job out of the status."""
    return done(request, acted=await _asked(context(request), "dismiss", until=now()))


async def retry(request: Request) -> Response:
    """Paint a job again that is at its end, as a new one."""
    here, said = context(request), await form(request)
    number = said.get("from_stage", "")
    if number and not re.fullmatch("0*[1-9][0-9]{0,8}", number):
        raise UsageError("from_stage is the number of a stage")
    stage = int(number) if number else None
    entry = await run_in_threadpool(_entry, here, request.path_params["job"])
    settings = await run_in_threadpool(_settings, here, entry, stage)
    new = new_id()
    acted = await _asked(here, "retry", job=entry.id, new=new, settings=settings, from_stage=stage)
    to = f"{request.scope['root_path']}/jobs/{new}" if acted else None
    return done(request, to=to, acted=acted, job=new)


def _entry(here: Context, job_id: str) -> Entry:
    """The job with this id; HTTPException where there is none."""
    entry = here.reader.job(job_id)
    if entry is None:
        raise HTTPException(404, "there is no such job")
    return entry


def _open(here: Context, job_id: str, verb: str) -> Entry:
    """A job that is not at its end."""
    entry = _entry(here, job_id)
    if entry.state in LAST:
        raise HTTPException(409, nothing_to(verb, entry))
    return entry


def _is_begun(here: Context, entry: Entry) -> bool:
    with here.reader.ledger() as ledger:
        return ledger is not None and bool(ledger.story(entry.id))


def _settings(here: Context, entry: Entry, stage: int | None) -> Any:
    """What a job is to be painted again by, once it is seen that it can be."""
    again.check_at_end(entry)
    wanted = again.settings_for(entry, here.settings, {}, stage)
    for one in again.needed(entry, stage):
        one.find()
    return wanted


async def _asked(here: Context, verb: str, **arguments: Any) -> bool:
    """Ask it of the daemon; whether that acted before long."""
    async with _turns:
        if await run_in_threadpool(_waiting, here.state) >= WAITING:
            raise HTTPException(503, "too much is asked of the daemon already: try again later")
        path = await run_in_threadpool(requests.leave, here.state, verb, **arguments)
        for _ in range(round(ANSWERS_WITHIN / LOOK_EVERY)):
            if not path.exists():
                return True
            await asyncio.sleep(LOOK_EVERY)
    return False


def _waiting(state: Path) -> int:
    folder = state / requests.FOLDER
    return sum(1 for _ in folder.iterdir()) if folder.is_dir() else 0


def _called(entry: Entry) -> str:
    return shown(entry.place or entry.name)
