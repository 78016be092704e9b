"""Forms with files, received by Starlette's parser within limits of size and time.

At most AT_ONCE forms are received at a time. If one of them stalls, a new form may replace it.
"""

import asyncio
import shutil
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Hashable, Mapping, Sequence
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

from stylewatch_daemon.base.errors import InputError
from stylewatch_daemon.files import atomic, disks
from stylewatch_daemon.files.names import CONTENT_SUFFIXES, safe
from stylewatch_daemon.ledger.state_dir import UPLOADS
from stylewatch_daemon.web.http import Context, check_given_once, context

AT_ONCE = 4
"""Maximum number of uploads at the same time; a further upload is refused, unless one of them
stalls."""

STALLED_S, SILENT_S = 2.0, 20.0
"""How many seconds an upload may be late: before another may replace it, and before it is
aborted."""

MIN_RATE = 2_000
"""Minimum average rate in bytes per second; an upload that is slower is late."""

MAX_FILES, MAX_FIELDS = 40, 100
"""Maximum numbers of files (as for 20 photographs and 20 styles) and of other fields in a form."""

SEVERAL = ("keep", "library")
"""Fields that may have several values."""

MAX_FIELD_BYTES = 1_024
"""Maximum size of a field in bytes; the parser's message gives it in units of 1,024."""


@dataclass(frozen=True)
class File:
    """A file at `path`; `name` is its original name, without folders and safe to store."""

    name: str
    path: Path


@dataclass(frozen=True)
class Form:
    """A form: the values and the files of each field, in their order."""

    values: Mapping[str, Sequence[str]]
    files: Mapping[str, Sequence[File]]

    @property
    def fields(self) -> dict[str, str]:
        """The value of each field, without surrounding space; the last one of those in SEVERAL."""
        return {name: values[-1].strip() for name, values in self.values.items()}


def identity(form: Form) -> Hashable:
    """Return a value that is equal for two forms with the same fields and files."""
    files = {
        field: tuple((each.name, atomic.digest(each.path)) for each in of)
        for field, of in form.files.items()
    }
    values = {field: tuple(of) for field, of in form.values.items()}
    return tuple(sorted(values.items())), tuple(sorted(files.items()))


NOTHING = Form({}, {})
"""A form that has not been sent yet."""


@asynccontextmanager
async def received(request: Request) -> AsyncIterator[Form]:
    """Yield the form in a request; its files exist in the state folder until the context ends.

    Raises InputError if the request is not a valid form with files, has too many parts, or has an
    empty file. Raises HTTPException if the form is too large or too slow, or if there are too many
    other uploads. Raises FullError if the disk has no room for it.
    """
    site = context(request)
    await run_in_threadpool(_check_size, request, site)
    data = await _Upload(request, site.settings.web.upload).parsed()
    uploads = site.state / UPLOADS
    uploads.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=uploads, ignore_cleanup_errors=True) as folder:
        try:
            form = await run_in_threadpool(_stored, data, Path(folder))
        finally:
            await data.close()
        check_given_once(form.values, *SEVERAL)
        yield form


class _Upload(MultiPartParser):
    """Starlette's parser, with a deadline that moves as bytes are received.

    The parser itself accepts a truncated form, so `is_complete` records that the end was received.
    """

    is_complete = False
    in_time_until = 0.0
    """Time of the event loop up to which the received bytes suffice for the rate MIN_RATE."""

    def __init__(self, request: Request, limit: int) -> None:
        self._request = request
        self._limit = limit
        self._bytes = 0
        self._began = _now()
        self.deadline = asyncio.timeout(None)
        super().__init__(
            request.headers,
            self._chunks(),
            max_files=MAX_FILES,
            max_fields=MAX_FIELDS,
            max_part_size=MAX_FIELD_BYTES,
        )

    def on_end(self) -> None:
        self.is_complete = True

    async def parsed(self) -> FormData:
        """Parse the whole form.

        Raises InputError if the form is not valid, and HTTPException if it is late or too large, or
        if there are too many other uploads.
        """
        kind = self.headers.get("content-type", "")
        if kind.partition(";")[0].strip().lower() != "multipart/form-data":
            raise InputError("expected a form with files: multipart/form-data")
        self._take_place()
        try:
            async with self.deadline:
                self._received(b"")
                form = await self.parse()
        except (MultiPartException, LookupError, ValueError) as error:  # such as for its charset
            raise InputError(f"the form is not valid: {error}") from error
        except TimeoutError:
            raise HTTPException(408, "the upload did not arrive in time") from None
        finally:
            if self in _uploads:
                _uploads.remove(self)
        if not self.is_complete:
            for file in self._files_to_close_on_error:
                file.close()
            raise InputError("the form ended too early")
        return form

    def _take_place(self) -> None:
        """Add this upload to `_uploads`; with AT_ONCE uploads already, replace a stalled one.

        Raises HTTPException if none is stalled.
        """
        if len(_uploads) >= AT_ONCE:
            latest = min(_uploads, key=attrgetter("in_time_until"))
            if _now() - latest.in_time_until < STALLED_S:
                raise HTTPException(503, "too many uploads at the same time: try again in a moment")
            _uploads.remove(latest)
            if not latest.deadline.expired():
                latest.deadline.reschedule(_now())
        self.in_time_until = _now()
        _uploads.append(self)

    async def _chunks(self) -> AsyncGenerator[bytes, None]:
        async for chunk in self._request.stream():
            self._received(chunk)
            if self._bytes > self._limit:
                raise _too_large(self._limit)
            yield chunk

    def _received(self, chunk: bytes) -> None:
        """Move the deadline according to the bytes received so far."""
        self._bytes += len(chunk)
        self.in_time_until = min(_now(), self._began + self._bytes / MIN_RATE)
        self.deadline.reschedule(self.in_time_until + SILENT_S)


_uploads: list[_Upload] = []
"""The uploads that are being received."""


def _now() -> float:
    return asyncio.get_running_loop().time()


def _stored(data: FormData, folder: Path) -> Form:
    """Return the form with its files copied into `folder`; InputError if a file is empty."""
    values: dict[str, list[str]] = defaultdict(list)
    files: dict[str, list[File]] = defaultdict(list)
    for number, (field, value) in enumerate(data.multi_items()):
        if isinstance(value, str):
            values[field].append(value)
        elif value.filename:  # browsers send a nameless file if none was chosen
            given = PurePosixPath(value.filename.replace("\\", "/"))
            name = safe(given.stem, given.suffix)
            ending = name.rpartition(".")[2].lower()
            suffix = ending if ending in CONTENT_SUFFIXES else "img"
            file = File(name, folder / f"{number}.{suffix}")
            with file.path.open("xb") as target:
                shutil.copyfileobj(value.file, target)
            if not value.size:
                raise InputError(f"{name} is empty")
            files[field].append(file)
    return Form(values, files)


def _check_size(request: Request, site: Context) -> None:
    """Raise HTTPException for an upload that is too large, FullError if the disk has no room."""
    limit = site.settings.web.upload
    length = request.headers.get("content-length", "")
    size = int(length[:20]) if length.isascii() and length.isdecimal() else limit
    if size > limit:
        raise _too_large(limit)
    # An upload exists twice for a moment: as it is received, and copied.
    disks.check([(site.state, 2 * size)], site.settings.limits.free_bytes)


def _too_large(limit: int) -> HTTPException:
    text = f"the pictures are too large: the limit for an upload is {limit / 1e6:g} MB (web.upload)"
    return HTTPException(413, text)
