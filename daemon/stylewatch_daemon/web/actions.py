"""Actions: requests to the daemon, as the commands make them.

All but /health/look and /jobs/ID/keep leave a request, and wait a moment for the daemon to act on
it.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path, PurePosixPath

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from stylewatch_daemon.base.errors import InputError, UsageError
from stylewatch_daemon.base.model import Job, new_id
from stylewatch_daemon.files import disks
from stylewatch_daemon.jobs import operations, retries
from stylewatch_daemon.ledger import requests
from stylewatch_daemon.settings.style_library import add_style
from stylewatch_daemon.views.output_files import find, original_name
from stylewatch_daemon.web.http import Context, Fields, context, done, form, job_of, jobs_of

WAIT_S = 2.0
"""Seconds that the answer waits for the daemon to act."""

AT_ONCE = 4
"""Requests of the page that the daemon has at the same time; others wait."""

MAX_REQUESTS = 200
"""Requests of all processes that wait for the daemon; the page adds none to more."""

_slots = asyncio.Semaphore(AT_ONCE)


async def ask(here: Context, leave: Callable[[], int]) -> bool:
    """Leave a request by `leave`; return whether the daemon acted on it within WAIT_S.

    Raises as `leave` does, and HTTPException if too many requests wait.
    """
    async with _slots:
        if len(await run_in_threadpool(requests.waiting, here.state)) >= MAX_REQUESTS:
            raise HTTPException(503, "too many requests wait for the daemon: try again later")
        request = await run_in_threadpool(leave)
        return await run_in_threadpool(requests.wait, here.state, request, WAIT_S)


async def check_health(request: Request) -> Response:
    """Run the checks of the doctor again, unless they have just been run."""
    report = await context(request).doctor.report(anew=True)
    findings = [asdict(finding) for finding in report.findings] if report is not None else None
    return done(request, to="/health", findings=findings)


async def with_all(request: Request, leave: Callable[[Path], int]) -> Response:
    """Leave a request that is about no single job."""
    here = context(request)
    return done(request, acted=await ask(here, partial(leave, here.state)))


async def with_job(request: Request, leave: Callable[[Path, Job], int]) -> Response:
    """Leave a request about the job in the path."""
    here, job = context(request), await run_in_threadpool(job_of, request)
    return done(request, acted=await ask(here, partial(leave, here.state, job)))


async def delete(request: Request) -> Response:
    """Delete the jobs of the fields `job`, which have ended, with their files in the outbox."""
    here, fields = context(request), await form(request)
    jobs = await run_in_threadpool(jobs_of, here, fields.getlist("job"))
    for job in jobs:
        operations.check("delete", job)
    acted = [await ask(here, partial(operations.delete, here.state, job)) for job in jobs]
    return done(request, to="/gallery", acted=all(acted))


async def retry(request: Request) -> Response:
    """Run a job again that has ended, from the stage with the number `from_stage` if given."""
    here, fields, new = context(request), await form(request), new_id()
    job = await run_in_threadpool(job_of, request)
    stage = _number(fields, "from_stage")

    def leave() -> int:
        operations.check("retry", job)
        wanted = retries.settings_for(job, here.settings, {}, stage)
        return operations.retry(here.state, job, new, wanted, from_stage=stage)

    acted = await ask(here, leave)
    return done(request, to=f"/jobs/{new}" if acted else None, acted=acted, job=new)


def _number(fields: Fields, name: str) -> int | None:
    """Return the number in a field, None if there is none; raises UsageError for other text."""
    text = fields.get(name)
    if text is not None and not re.fullmatch("[0-9]{1,9}", text):
        raise UsageError(f"{name} should be a number")
    return None if text is None else int(text)


async def keep_style(request: Request) -> Response:
    """Copy a style image of a job into the style library, with its `name` and `source`."""
    here, fields = context(request), await form(request)
    job = await run_in_threadpool(job_of, request)
    name = await run_in_threadpool(_keep_style, here, job, fields)
    return done(request, to=f"/jobs/{job.id}", style=name)


def _keep_style(here: Context, job: Job, fields: Fields) -> str:
    """Copy the input with the number `input`; return its name in the library."""
    number, folder = _number(fields, "input"), here.settings.pairing.styles
    style = dict(enumerate(job.inputs)).get(-1 if number is None else number)
    if style is None or style.role != "style":
        raise UsageError("input should be the number of a style image")
    for inbox in here.settings.inboxes:
        if disks.lies_in(folder, inbox.path):
            raise UsageError(
                f"the style library {folder} lies in the inbox {inbox.path}, where its files "
                "would be taken for input: set pairing.styles to another folder"
            )
    picture = find(job, here.state, f"input-{number}")
    if picture is None:
        raise InputError("this style image is no longer where the job left it")
    named = PurePosixPath(original_name(job, style))
    name, source = fields.get("name", named.stem), fields.get("source", "")
    with picture.file:
        return add_style(folder, name, named.suffix.lower(), picture.file, source)


ACTIONS: dict[str, Callable[[Request], Awaitable[Response]]] = {
    "/pause": partial(with_all, leave=partial(requests.leave, verb="pause")),
    "/resume": partial(with_all, leave=partial(requests.leave, verb="resume")),
    "/dismiss": partial(with_all, leave=operations.dismiss_all),
    "/delete": delete,
    "/health/look": check_health,
    "/jobs/{job}/dismiss": partial(with_job, leave=operations.dismiss),
    "/jobs/{job}/cancel": partial(with_job, leave=operations.cancel),
    "/jobs/{job}/finish": partial(with_job, leave=operations.finish),
    "/jobs/{job}/retry": retry,
    "/jobs/{job}/keep": keep_style,
}
ROUTES = [Route(path, action, methods=["POST"]) for path, action in ACTIONS.items()]
