"""Forms with files: received within limits of size and time, by Starlette's parser.

At most AT_ONCE are received at a time. One that stalls gives up its place to the next.
"""

import asyncio
import shutil
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from stylewatch_daemon.base.errors import FullError, InputError
from stylewatch_daemon.files import disks
from stylewatch_daemon.files.names import safe
from stylewatch_daemon.intake.pairing import CONTENT_SUFFIXES
from stylewatch_daemon.ledger.state_dir import UPLOADS
from stylewatch_daemon.web.http import Context, context

AT_ONCE = 4
"""Uploads at the same time; others are refused with the advice to try again."""

STALLED_S = 2.0
"""Seconds without data, or with less than MIN_RATE, after which an upload gives up its place."""

SILENT_S = 20.0
"""Seconds without any data after which an upload is given up."""

WITHIN_S = 900.0
"""Seconds in which an upload has to be complete."""

MIN_RATE = 2_000
"""Bytes a second on average, after the first SILENT_S."""

MAX_FILES, MAX_FIELDS = 40, 100
"""Files and other fields of one form: twenty photographs, and more styles than anybody mixes."""

MAX_FIELD_BYTES = 1_000
"""Bytes of a field."""


@dataclass(frozen=True)
class File:
    """A file at `path` that came in the field `field`.

    `name` is the client's, without folders, as it can be stored.
    """

    field: str
    name: str
    path: Path


@dataclass(frozen=True)
class Form:
    """The values of each field, in their order, and the files."""

    values: Mapping[str, Sequence[str]]
    files: Sequence[File]

    @property
    def fields(self) -> dict[str, str]:
        """The last value of each field, without space around it."""
        return {name: values[-1].strip() for name, values in self.values.items()}

    def files_of(self, field: str) -> list[File]:
        """The files that came in a field."""
        return [file for file in self.files if file.field == field]


@asynccontextmanager
async def received(request: Request, target: Path) -> AsyncIterator[Form]:
    """Receive a form; its files are there until the context ends, to be copied to `target`.

    Raises InputError for what is no such form, or has too many parts; HTTPException if it is too
    large, comes too slowly, or there are too many others.
    """
    here = context(request)
    most = here.settings.web.upload
    await run_in_threadpool(_check_size, request, here, target)
    uploads = here.state / UPLOADS
    try:
        async with _Place.taken() as place:
            parser = _Parser(
                request.headers,
                place.chunks(request, most),
                max_files=MAX_FILES,
                max_fields=MAX_FIELDS,
                max_part_size=MAX_FIELD_BYTES,
            )
            data = await parser.parsed()
    except TimeoutError:
        raise HTTPException(408, "the upload did not arrive in time") from None
    uploads.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=uploads, ignore_cleanup_errors=True) as folder:
        try:
            form = await run_in_threadpool(_stored, data, Path(folder))
        finally:
            await data.close()
        yield form


NOTHING = Form({}, ())
"""A form that was not sent yet."""


class _Parser(MultiPartParser):
    """Starlette's parser, which by itself takes a form that ends too early for a whole one."""

    is_complete = False

    def on_end(self) -> None:
        self.is_complete = True

    async def parsed(self) -> FormData:
        """Parse the whole form; raises InputError, TimeoutError, HTTPException."""
        kind = self.headers.get("content-type", "")
        if kind.partition(";")[0].strip().lower() != "multipart/form-data":
            raise InputError("expected a form with files: multipart/form-data")
        try:
            form = await self.parse()
        except MultiPartException as error:
            raise InputError(f"the form is not valid: {error.message}") from error
        if not self.is_complete:
            for file in self._files_to_close_on_error:
                file.close()
            raise InputError("the form ended too early")
        return form


def _stored(data: FormData, folder: Path) -> Form:
    """Copy the files of a form into `folder`."""
    values: dict[str, list[str]] = defaultdict(list)
    files: list[File] = []
    for field, value in data.multi_items():
        if isinstance(value, str):
            values[field].append(value)
        elif value.filename:  # browsers send a nameless file if none was chosen
            files.append(_file(field, value, folder / str(len(files))))
    return Form(values, files)


def _file(field: str, upload: UploadFile, path: Path) -> File:
    name = PurePosixPath(str(upload.filename).replace("\\", "/")).name
    ending = name.rpartition(".")[2].lower()
    path = path.with_suffix(f".{ending if ending in CONTENT_SUFFIXES else 'img'}")
    with path.open("xb") as target:
        shutil.copyfileobj(upload.file, target)
    return File(field, safe(name), path)


def _check_size(request: Request, here: Context, target: Path) -> None:
    """Raise HTTPException for an upload that is too large, or for which a disk has no room."""
    most, length = here.settings.web.upload, request.headers.get("content-length", "")
    size = int(length[:20]) if length.isascii() and length.isdecimal() else most
    if size > most:
        raise HTTPException(413, _too_large(most))
    # An upload exists three times for a moment: twice in the state folder, and at `target`.
    try:
        disks.check([(here.state, 2 * size), (target, size)], here.settings.limits.free_bytes)
    except FullError as error:
        raise HTTPException(
            507, f"the disk of {error.folder} is too full for an upload (limits.free_bytes)"
        ) from error


def _too_large(most: int) -> str:
    return f"the pictures are too large: the limit for an upload is {most / 1e6:g} MB (web.upload)"


class _Place:
    """The place of an upload among those that are received at the same time."""

    def __init__(self, deadline: asyncio.Timeout) -> None:
        self._deadline = deadline
        self._began = self._came_at = time.monotonic()
        self._bytes = 0

    @classmethod
    @asynccontextmanager
    async def taken(cls) -> AsyncIterator["_Place"]:
        """Take a place, that of a stalled upload if all are taken; raises HTTPException."""
        if len(_places) >= AT_ONCE:
            stalled = next((place for place in _places if place._is_stalled()), None)
            if stalled is None:
                raise HTTPException(503, "too many uploads at the same time: try again in a moment")
            _places.remove(stalled)
            stalled._deadline.reschedule(asyncio.get_running_loop().time())
        async with asyncio.timeout(WITHIN_S) as deadline:
            place = cls(deadline)
            _places.append(place)
            try:
                yield place
            finally:
                if place in _places:
                    _places.remove(place)

    async def chunks(self, request: Request, most: int) -> AsyncGenerator[bytes, None]:
        """Yield the body; raises TimeoutError if it is slow, HTTPException above `most` bytes."""
        stream = request.stream()
        while chunk := await _next(stream):
            self._bytes += len(chunk)
            self._came_at = time.monotonic()
            if self._bytes > most:
                raise HTTPException(413, _too_large(most))
            if self._bytes < MIN_RATE * (self._came_at - self._began - SILENT_S):
                raise TimeoutError
            yield chunk

    def _is_stalled(self) -> bool:
        now = time.monotonic()
        is_slow = self._bytes < MIN_RATE * (now - self._began)
        return now - self._came_at >= STALLED_S or (is_slow and now - self._began >= STALLED_S)


_places: list[_Place] = []


async def _next(stream: AsyncIterator[bytes]) -> bytes:
    async with asyncio.timeout(SILENT_S):
        return await anext(stream, b"")
