"""Uploads: pictures that are dropped onto the page make a job, or are further styles of one.

POST /upload           a form with files: `content`, `style` (one or more); `library` with the name
                       of a style of the library, or `library:NAME`, for each; `name`, and the
                       controls of `job_form`
POST /jobs/ID/again    the same without `content` and `name`; `without:2` leaves out a style

They are collected in `state/uploads`. A pair is submitted as by `stylewatch submit`; a job is
run again as by `stylewatch retry`.
"""

import asyncio
import re
import shutil
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from io import BufferedWriter
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from stylewatch_daemon.base.errors import FullError, InputError, UsageError
from stylewatch_daemon.base.model import Job, new_id
from stylewatch_daemon.files import atomic, disks
from stylewatch_daemon.files.names import candidates, safe, shown
from stylewatch_daemon.intake import submit
from stylewatch_daemon.intake.pairing import CONTENT_SUFFIXES
from stylewatch_daemon.jobs import retries
from stylewatch_daemon.ledger.ledger import FILE_NAME, reading
from stylewatch_daemon.ledger.state_dir import UPLOADS
from stylewatch_daemon.settings.style_library import find_styles
from stylewatch_daemon.web import actions, job_form, pages
from stylewatch_daemon.web.http import Context, context, done, root_path, wants_html
from stylewatch_daemon.web.job_form import FormError

AT_ONCE = 4
"""Uploads at the same time; others are refused with the advice to try again."""

SILENT_S = 20.0
"""Seconds without any data after which an upload is given up."""

WITHIN_S = 900.0
"""Seconds in which an upload has to be complete."""

MIN_RATE = 2_000
"""Bytes a second on average, after the first SILENT_S."""

MAX_FILES = 17
"""Files of one form: a content image, and more styles than anybody mixes."""

MAX_PIECES = 150
"""Parts of a form and their headers together, empty ones included."""

MAX_FIELD = 1_000
"""Bytes of a field, and of a header."""

_TOO_MUCH = "the form has too many or too long parts"


_slots = asyncio.Semaphore(AT_ONCE)


async def upload(request: Request) -> Response:
    """Make a job of the pictures; the answer has its name in the inbox."""
    here = context(request)
    async with _form(request, here.settings.inboxes[0].path) as form:
        try:
            job = await run_in_threadpool(_submit, here, form)
        except FormError as error:
            return await run_in_threadpool(_mistaken, request, error, pages.overview, form)
    return done(request, to=f"{root_path(request)}/", job=job)


async def retry_with(request: Request) -> Response:
    """Run a job again with other settings, fewer or more styles, as a new job."""
    here = context(request)
    job, new = await run_in_threadpool(actions.job_of, request), new_id()
    try:
        async with _form(request, here.state) as form:
            arguments = await run_in_threadpool(_retry_arguments, here, job, form, new)
        acted = await actions.leave(here, "retry", job=job.id, new=new, **arguments)
    except FormError as error:
        return await run_in_threadpool(_mistaken, request, error, pages.retry_with, form)
    except Exception:
        shutil.rmtree(here.state / UPLOADS / new, ignore_errors=True)
        raise
    page = f"{root_path(request)}/jobs/{new}" if acted else f"{root_path(request)}/"
    return done(request, to=page, acted=acted, job=new, page=page)


def clear(state: Path) -> None:
    """Remove the uploads of a process that was killed, except those that a request is about."""
    with suppress(OSError), reading(state / FILE_NAME) as ledger:
        requested = {request.arguments.get("new") for request in ledger.requests()}
        for folder in (state / UPLOADS).iterdir():
            if folder.name not in requested:
                shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def _form(request: Request, target: Path) -> AsyncIterator["Form"]:
    """Receive a form; its files are there until the context ends, to be copied to `target`."""
    here = context(request)
    await run_in_threadpool(_check_size, request, here, target)
    if _slots.locked():
        raise HTTPException(503, "too many uploads at the same time: try again in a moment")
    async with _slots:
        (here.state / UPLOADS).mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=here.state / UPLOADS, ignore_cleanup_errors=True) as folder:
            yield await _received(request, here.settings.web.upload, Path(folder))


def _mistaken(
    request: Request, error: FormError, page: Callable[..., Response], form: "Form"
) -> Response:
    """Answer with the `page` that has the form, and each mistake beside its control."""
    if not wants_html(request):
        return JSONResponse({"error": str(error), "mistakes": error.sentences}, 400)
    answer = page(request, form.fields, error.sentences)
    answer.status_code = 400
    return answer


def _check_size(request: Request, here: Context, target: Path) -> None:
    """Raise HTTPException for an upload that is too large, or for which a disk has no room."""
    most, length = here.settings.web.upload, request.headers.get("content-length", "")
    size = int(length[:20]) if length.isascii() and length.isdecimal() else most
    if size > most:
        raise HTTPException(413, _too_large(most))
    # An upload exists twice for a moment: in the state folder, and at `target`.
    try:
        disks.check([(here.state, size), (target, size)], here.settings.limits.free_bytes)
    except FullError as error:
        raise HTTPException(
            507, f"the disk of {error.folder} is too full for an upload (limits.free_bytes)"
        ) from error


def _too_large(most: int) -> str:
    return f"the pictures are too large: the limit for a job is {most / 1e6:g} MB (web.upload)"


async def _received(request: Request, most: int, folder: Path) -> "Form":
    """Receive the whole form; raises InputError, and HTTPException if it is too large or slow."""
    form = Form(request.headers.get("content-type", ""), folder)
    stream, came, began = request.stream(), 0, time.monotonic()
    try:
        async with asyncio.timeout(WITHIN_S):
            while chunk := await _next(stream):
                came += len(chunk)
                if came > most:
                    raise HTTPException(413, _too_large(most))
                if came < MIN_RATE * (time.monotonic() - began - SILENT_S):
                    raise TimeoutError
                await run_in_threadpool(form.feed, chunk)
    except TimeoutError:
        raise HTTPException(408, "the upload did not arrive in time") from None
    finally:
        form.close()
    if not form.is_complete:
        raise InputError("the form ended too early")
    return form


async def _next(stream: AsyncIterator[bytes]) -> bytes:
    async with asyncio.timeout(SILENT_S):
        return await anext(stream, b"")


def _submit(here: Context, form: "Form") -> str:
    """Put the pictures of `form` into the inbox; return the name of the job there."""
    contents, styles = (
        [file for file in form.files if file.field == field] for field in ("content", "style")
    )
    if len(contents) != 1 or len(form.files) > 1 + len(styles):
        raise InputError("an upload needs one picture as `content` and one or more as `style`")
    (content,) = contents
    styles += _of_library(here, form)
    _check_files([content, *styles])
    _, settings = job_form.read(form.fields, here.settings, None, len(styles))
    inbox = here.settings.inboxes[0]
    stems = (PurePosixPath(file.name).stem for file in (content, *styles[:1]))
    name = form.fields.get("name") or safe("-".join(stems))
    try:
        submit.check_name(name, here.settings.watch.ignore)
    except UsageError as error:
        raise FormError({"name": str(error)}) from None
    files = submit.files_of(content.path, tuple(style.path for style in styles))
    originals = {file.path: file.name for file in (content, *styles)}
    file_names = {name: originals[path] for name, path in files.items()}
    with here.reader.ledger() as ledger:
        names = submit.free(name, inbox.path, inbox.outbox)
        unused = (other for other in names if not ledger.find(other))
        return submit.put(inbox.path, unused, files, {**settings, "file_names": file_names})


def _retry_arguments(here: Context, job: Job, form: "Form", new: str) -> dict[str, Any]:
    """Return the arguments of a retry, and put its further styles into the folder `new`.

    Raises DaemonError where there can be none.
    """
    retries.check_ended(job, "run again")
    if any(file.field != "style" for file in form.files):
        raise InputError("a job that is painted again takes further pictures as `style` only")
    added = [*form.files, *_of_library(here, form)]
    _check_files(added)
    numbers = (name.removeprefix("without:") for name in form.fields if name.startswith("without:"))
    without = [int(number) for number in numbers if re.fullmatch("[1-9][0-9]{0,3}", number)]
    inputs = retries.needed(job, None, without)
    for file in inputs:
        file.find()
    count = len(added) + sum(file.role == "style" for file in inputs)
    base, _ = job_form.base_of(job, here.settings)
    wanted, _ = job_form.read(form.fields, here.settings, base, count)
    names: list[str] = []
    for style in added:
        named = PurePosixPath(style.name)
        unused = (f"{stem}{named.suffix}" for stem in candidates(named.stem))
        names.append(next(name for name in unused if name not in names))
        atomic.make_folder(here.state / UPLOADS / new)
        atomic.copy(style.path, here.state / UPLOADS / new / names[-1])
    is_file = wanted.recipe.endswith((".yaml", ".yml"))  # the daemon's own settings name it
    settings = wanted.model_dump(mode="json", exclude={"recipe"} if is_file else None)
    kept = {file.name for file in inputs}
    settings["file_names"] = {name: was for name, was in wanted.file_names.items() if name in kept}
    return {"settings": settings, "without": without, "added": names}


def _of_library(here: Context, form: "Form") -> list["File"]:
    """Return the styles that were chosen from the library; raises InputError where one is gone."""
    styles = find_styles(here.settings.pairing.styles, "all")
    names = [name.removeprefix("library:") for name in form.fields if name.startswith("library:")]
    if missing := [name for name in names if name not in styles]:
        raise InputError(f"{', '.join(map(shown, missing))} is not in the style library")
    return [File("style", safe(styles[name].name), styles[name]) for name in names]


def _check_files(files: Sequence["File"]) -> None:
    """Raise InputError where there are too many, or one is empty."""
    if len(files) > MAX_FILES:
        raise InputError(f"the form has too many pictures: the limit is {MAX_FILES}")
    for file in files:
        if file.path.stat().st_size == 0:
            raise InputError(f"{file.name} is empty")


@dataclass(frozen=True)
class File:
    """A file at `path` that came in the field `field`.

    `name` is the client's, without folders, as it can be stored.
    """

    field: str
    name: str
    path: Path


class Form:
    """Parses a form with this `content_type` as it arrives; its files go into `folder`.

    Files without a name, as browsers send them where none was chosen, are skipped. Raises
    InputError for what is no such form, or exceeds a limit; OSError.

    Starlette's form parser would not do here: of a form that ends too early it silently drops the
    last part, so that a job would begin with some of its styles; it does not limit parts and
    headers together; and it spools files to the temporary folder, which may be memory, and is not
    on the disk whose free space is checked.
    """

    def __init__(self, content_type: str, folder: Path) -> None:
        kind, options = parse_options_header(content_type)
        if kind != b"multipart/form-data" or not options.get(b"boundary"):
            raise InputError("expected a form with files: multipart/form-data")
        self.fields: dict[str, str] = {}
        self.files: list[File] = []
        self.is_complete = False
        self._folder = folder
        self._pieces = 0
        self._header_name = self._header_value = b""
        self._field: str | None = None
        self._value = b""
        self._writing: BufferedWriter | None = None
        try:
            self._parser = MultipartParser(
                options[b"boundary"],
                {
                    "on_part_begin": self._begin_part,
                    "on_header_begin": self._begin_header,
                    "on_header_field": self._extend_header_name,
                    "on_header_value": self._extend_header_value,
                    "on_header_end": self._end_header,
                    "on_part_data": self._extend_part,
                    "on_part_end": self._end_part,
                    "on_end": self._end,
                },
            )
        except FormParserError as error:
            raise InputError(f"the form is not valid: {error}") from None

    def feed(self, chunk: bytes) -> None:
        """Parse the next bytes."""
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise InputError(f"the form is not valid: {error}") from None

    def close(self) -> None:
        """Close a file that is still open."""
        if self._writing is not None:
            self._writing.close()
            self._writing = None

    def _count(self) -> None:
        """Count a part or a header: each costs time, however short it is."""
        self._pieces += 1
        if self._pieces > MAX_PIECES:
            raise InputError(_TOO_MUCH)

    def _begin_part(self) -> None:
        self._count()
        self._field, self._value = None, b""

    def _begin_header(self) -> None:
        self._count()
        self._header_name = self._header_value = b""

    def _extend_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header_name = _extended(self._header_name, data[start:end])

    def _extend_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value = _extended(self._header_value, data[start:end])

    def _end_header(self) -> None:
        """Learn from Content-Disposition whether a field or a file follows."""
        if self._header_name.lower() != b"content-disposition":
            return
        _, options = parse_options_header(self._header_value)
        self._field = options.get(b"name", b"").decode(errors="replace")
        filename = options.get(b"filename")
        if not filename:
            if filename is not None:
                self._field = None
            return
        if len(self.files) >= MAX_FILES:
            raise InputError(f"the form has too many pictures: the limit is {MAX_FILES}")
        name = PurePosixPath(filename.decode(errors="replace").replace("\\", "/")).name
        ending = name.rpartition(".")[2].lower()
        path = self._folder / f"{len(self.files)}.{ending if ending in CONTENT_SUFFIXES else 'img'}"
        self.close()
        self._writing = path.open("xb")
        self.files.append(File(self._field, safe(name), path))

    def _extend_part(self, data: bytes, start: int, end: int) -> None:
        if self._writing is not None:
            self._writing.write(data[start:end])
        elif self._field is not None:
            self._value = _extended(self._value, data[start:end])

    def _end_part(self) -> None:
        if self._writing is not None:
            self.close()
        elif self._field == "library":  # a browser changes quotes in names of fields, not in values
            self.fields[f"library:{self._value.decode(errors='replace')}"] = "on"
        elif self._field:
            self.fields[self._field] = self._value.decode(errors="replace").strip()

    def _end(self) -> None:
        self.is_complete = True


def _extended(known: bytes, more: bytes) -> bytes:
    """`known` with `more`; raises InputError where that exceeds MAX_FIELD."""
    if len(known) + len(more) > MAX_FIELD:
        raise InputError(_TOO_MUCH)
    return known + more


ROUTES = [
    Route("/upload", upload, methods=["POST"]),
    Route("/jobs/{job}/again", retry_with, methods=["POST"]),
]
