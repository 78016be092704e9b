"""Forms with files: received within limits of size and time, by Starlette's parser.

At most AT_ONCE are received at a time. One that stalls gives up its place to the next.
"""

import asyncio
import shutil
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
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

STALLED_S, SILENT_S = 2.0, 20.0
"""Seconds that an upload may be late until another may have its place, and until it is given up."""

WITHIN_S = 900.0
"""Seconds in which an upload has to be complete."""

MIN_RATE = 2_000
"""Bytes a second on average; an upload that is slower is late."""

MAX_FILES, MAX_FIELDS = 40, 100
"""Files and other fields of one form: twenty photographs, and more styles than anybody mixes."""

MAX_FIELD_BYTES = 1_000
"""Bytes of a field."""


@dataclass(frozen=True)
class File:
    """A file at `path`; `name` is the client's, without folders, as it can be stored."""

    name: str
    path: Path


@dataclass(frozen=True)
class Form:
    """The values of each field and the files of each field, in their order."""

    values: Mapping[str, Sequence[str]]
    files: Mapping[str, Sequence[File]]

    @property
    def fields(self) -> dict[str, str]:
        """The last value of each field, without space around it."""
        return {name: values[-1].strip() for name, values in self.values.items()}


NOTHING = Form({}, {})
"""A form that was not sent yet."""


@asynccontextmanager
async def received(request: Request, target: Path) -> AsyncIterator[Form]:
    """Receive a form; its files are there until the context ends, to be copied to `target`.

    Raises InputError for what is no such form, or has too many parts; HTTPException if it is too
    large, comes too slowly, or there are too many others.
    """
    here = context(request)
    await run_in_threadpool(_check_size, request, here, target)
    try:
        async with _Place.taken() as place:
            data = await _Parser(
                request.headers,
                place.chunks(request, here.settings.web.upload),
                max_files=MAX_FILES,
                max_fields=MAX_FIELDS,
                max_part_size=MAX_FIELD_BYTES,
            ).parsed()
    except TimeoutError:
        raise HTTPException(408, "the upload did not arrive in time") from None
    uploads = here.state / UPLOADS
    uploads.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=uploads, ignore_cleanup_errors=True) as folder:
        try:
            form = await run_in_threadpool(_stored, data, Path(folder))
        finally:
            await data.close()
        yield form


class _Parser(MultiPartParser):
    """Starlette's parser, which by itself takes a form that ends too early for a whole one."""

    is_complete = False

    def on_end(self) -> None:
        self.is_complete = True

    async def parsed(self) -> FormData:
        """Parse the whole form; raises InputError, and what its chunks raise."""
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
    """Copy the files of a form into `folder`; raises InputError if one is empty."""
    values: dict[str, list[str]] = defaultdict(list)
    files: dict[str, list[File]] = defaultdict(list)
    for number, (field, value) in enumerate(data.multi_items()):
        if isinstance(value, str):
            values[field].append(value)
        elif value.filename:  # browsers send a nameless file if none was chosen
            name = safe(PurePosixPath(value.filename.replace("\\", "/")).name)
            ending = name.rpartition(".")[2].lower()
            suffix = ending if ending in CONTENT_SUFFIXES else "img"
            file = File(name, folder / f"{number}.{suffix}")
            with file.path.open("xb") as target:
                shutil.copyfileobj(value.file, target)
            if not value.size:
                raise InputError(f"{name} is empty")
            files[field].append(file)
    return Form(values, files)


def _check_size(request: Request, here: Context, target: Path) -> None:
    """Raise HTTPException for an upload that is too large, or for which a disk has no room."""
    limit, length = here.settings.web.upload, request.headers.get("content-length", "")
    size = int(length[:20]) if length.isascii() and length.isdecimal() else limit
    if size > limit:
        raise _too_large(limit)
    # An upload exists three times for a moment: twice in the state folder, and at `target`.
    try:
        disks.check([(here.state, 2 * size), (target, size)], here.settings.limits.free_bytes)
    except FullError as error:
        raise HTTPException(
            507, f"the disk of {error.folder} is too full for an upload (limits.free_bytes)"
        ) from error


def _too_large(limit: int) -> HTTPException:
    text = f"the pictures are too large: the limit for an upload is {limit / 1e6:g} MB (web.upload)"
    return HTTPException(413, text)


class _Place:
    """The place of an upload among those that are received at the same time."""

    def __init__(self, deadline: asyncio.Timeout) -> None:
        self._deadline, self._began, self._bytes = deadline, _now(), 0
        self._received(b"")

    @classmethod
    @asynccontextmanager
    async def taken(cls) -> AsyncIterator["_Place"]:
        """Take a place, that of a stalled upload if all are taken; raises HTTPException.

        TimeoutError if the upload is too slow, or another one got its place.
        """
        if len(_places) >= AT_ONCE:
            latest = min(_places, key=attrgetter("in_time_until"))
            if _now() - latest.in_time_until < STALLED_S:
                raise HTTPException(503, "too many uploads at the same time: try again in a moment")
            _places.remove(latest)
            if not latest._deadline.expired():
                latest._deadline.reschedule(_now())
        async with asyncio.timeout(None) as deadline:
            place = cls(deadline)
            _places.append(place)
            try:
                yield place
            finally:
                if place in _places:
                    _places.remove(place)

    async def chunks(self, request: Request, limit: int) -> AsyncGenerator[bytes, None]:
        """Yield the body; raises HTTPException above `limit` bytes."""
        async for chunk in request.stream():
            self._received(chunk)
            if self._bytes > limit:
                raise _too_large(limit)
            yield chunk

    def _received(self, chunk: bytes) -> None:
        """Move the deadline with what was received."""
        self._bytes += len(chunk)
        self.in_time_until = min(_now(), self._began + self._bytes / MIN_RATE)
        self._deadline.reschedule(min(self.in_time_until + SILENT_S, self._began + WITHIN_S))


_places: list[_Place] = []


def _now() -> float:
    return asyncio.get_running_loop().time()
