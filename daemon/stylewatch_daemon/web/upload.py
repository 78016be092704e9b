"""Pictures that are dropped onto the page, put into the inbox as any others.

POST /upload     a form with files: content, style (one or more);
                 and, if wanted, name, recipe, size, backend

They lie in `state/uploads` until all of them are here, and go the way of `stylewatch submit` then.
"""

import asyncio
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from stylewatch_daemon.errors import InputError, UsageError
from stylewatch_daemon.files.names import safe, shown
from stylewatch_daemon.ingest import submit
from stylewatch_daemon.settings import config
from stylewatch_daemon.web.context import Context, context
from stylewatch_daemon.web.multipart import File, Form
from stylewatch_daemon.web.responses import done
from stylewatch_painter.recipes import book
from stylewatch_plugins import registry

FOLDER = "uploads"

AT_ONCE = 4
"""Uploads that come at the same time; one more is told to try again."""

SILENT_S = 20.0
"""Seconds that one who sends may be silent."""

WITHIN = 900.0
"""Seconds in which all has to be here."""

LEAST = 2_000
"""Bytes a second that are sent on average, after the first SILENT_S."""

SAID = ("recipe", "size", "backend")
"""What may be said of the job; no more, since settings may name files."""


class Desk:
    """Takes uploads, a few at a time."""

    def __init__(self) -> None:
        self._busy = 0

    def routes(self) -> list[Route]:
        """Where they are taken."""
        return [Route("/upload", self.take, methods=["POST"])]

    async def take(self, request: Request) -> Response:
        """Make a job of what is sent; told is its name in the inbox."""
        here = context(request)
        await run_in_threadpool(_check_room, request, here)
        if self._busy >= AT_ONCE:
            raise HTTPException(503, "others send pictures now: try again in a moment")
        self._busy += 1
        try:
            with _folder(here.state / FOLDER) as folder:
                form = await _received(request, here.settings.web.upload, folder)
                job = await run_in_threadpool(_put, here, form)
        finally:
            self._busy -= 1
        return done(request, to=f"{request.scope['root_path']}/", job=job)


def clear(state: Path) -> None:
    """Remove what a process that was killed had received."""
    shutil.rmtree(state / FOLDER, ignore_errors=True)


def _check_room(request: Request, here: Context) -> None:
    """HTTPException where so much is not taken, or the disk has no room for it."""
    most, told = here.settings.web.upload, request.headers.get("content-length", "")
    size = int(told[:20]) if told.isascii() and told.isdecimal() else most
    if size > most:
        raise HTTPException(413, _too_large(most))
    if _free(here.state) - 2 * size < here.settings.limits.free_bytes:
        raise HTTPException(507, "the disk has no room for more pictures")


def _free(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def _too_large(most: int) -> str:
    return f"pictures of one job have at most {most / 1e6:g} MB together (web.upload)"


@contextmanager
def _folder(above: Path) -> Iterator[Path]:
    """A folder for one upload, which goes with whatever is in it."""
    folder = above / secrets.token_hex(8)
    folder.mkdir(parents=True, mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _received(request: Request, most: int, folder: Path) -> Form:
    """The whole form; raises InputError, and HTTPException for what is too large or too slow."""
    form = Form(request.headers.get("content-type", ""), folder)
    coming, came, began = request.stream(), 0, time.monotonic()
    try:
        async with asyncio.timeout(WITHIN):
            while chunk := await _next(coming):
                came += len(chunk)
                if came > most:
                    raise HTTPException(413, _too_large(most))
                if came < LEAST * (time.monotonic() - began - SILENT_S):
                    raise TimeoutError
                await run_in_threadpool(form.feed, chunk)
    except TimeoutError:
        raise HTTPException(408, "the pictures did not come in time") from None
    finally:
        form.close()
    if not form.is_whole:
        raise InputError("the form ended too early")
    return form


async def _next(coming: AsyncIterator[bytes]) -> bytes:
    async with asyncio.timeout(SILENT_S):
        return await anext(coming, b"")


def _put(here: Context, form: Form) -> str:
    """Put the pictures of `form` into the inbox; the job's name there."""
    content, styles = _pictures(form)
    said = {key: form.fields[key] for key in SAID if key in form.fields}
    _check(here, said)
    inbox = here.settings.inboxes[0]
    name = form.fields.get("name") or safe(f"{_stem(content)}-{_stem(styles[0])}")
    submit.check_name(name, here.settings.watch.ignore)
    files = submit.files_of(content.path, tuple(one.path for one in styles))
    with here.reader.ledger() as ledger:
        free = submit.free(name, inbox.path, inbox.outbox)
        new = (one for one in free if not (ledger and ledger.find(one)))
        return submit.put(inbox.path, new, files, said)


def _pictures(form: Form) -> tuple[File, list[File]]:
    """The content and the styles; raises InputError where one is missing, or empty."""
    contents, styles = (
        [one for one in form.files if one.field == field] for field in ("content", "style")
    )
    if len(contents) != 1 or not styles or len(form.files) > 1 + len(styles):
        raise InputError("a job is made of one picture as `content` and one or more as `style`")
    for one in form.files:
        if one.path.stat().st_size == 0:
            raise InputError(f"{shown(one.named)} is empty")
    return contents[0], styles


def _check(here: Context, said: Mapping[str, str]) -> None:
    """Raise UsageError for what a job cannot be told; a recipe by its name alone, no path."""
    known = {
        "recipe": book.names(*here.settings.recipes),
        "backend": registry.names(),
    }
    for key, names in known.items():
        if said.get(key, names[0]) not in names:
            raise UsageError(f"{key} should be one of {', '.join(names)}")
    try:
        config.override(here.settings, {f"job.{key}": value for key, value in said.items()})
    except UsageError as error:
        raise UsageError(str(error).replace("command line: job.", "")) from None


def _stem(file: File) -> str:
    """What the picture is called by whoever sent it, without folders and ending."""
    return PurePosixPath(file.named.replace("\\", "/")).stem
