"""Pictures of jobs: their own files, and previews of them.

GET /jobs/ID/pictures/WHAT       `final`, `stage-50`, `frame-7`, `input-0`, `animation`, `sheet` ...
GET /jobs/ID/small/SIDE/WHAT     a JPEG with SIDE pixels at most
GET /jobs/ID/files.zip           all files of the job; `?download` saves a picture of its own, too
GET /pictures.zip?job=ID         the final pictures of several jobs
GET /library/small/NAME          a JPEG of a style in the library
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from io import BufferedReader, RawIOBase
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote
from zipfile import ZipFile, ZipInfo

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from stylewatch_daemon.base.model import Job
from stylewatch_daemon.files.names import safe
from stylewatch_daemon.ledger import thumbs
from stylewatch_daemon.settings.style_library import find_styles
from stylewatch_daemon.views.job import name_of
from stylewatch_daemon.views.output_files import (
    all_files,
    digest,
    find,
    input_digest,
    original_name,
    unused,
)
from stylewatch_daemon.web.cards import CARD_SIDE, LARGE_SIDE
from stylewatch_daemon.web.http import context, jobs_of, root_path

MEDIA_TYPES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".bmp": "image/bmp",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".mp4": "video/mp4",
    ".webm": "video/webm",
}
DOWNLOAD = "application/octet-stream"
"""The media type of all other files, which browsers do not show."""

IMMUTABLE, REVALIDATE = "private, max-age=31536000, immutable", "private, no-cache"
"""Cache-Control of an address that holds the digest of what was sent, and of others."""

BLANK = "blank.svg"
"""Shown in place of a preview until there is one; scripts ask again for it."""

MAX_BUFFERED = 1 << 20
"""Bytes of a picture that is read at once, and sent to all who ask for it in the same second."""

SHARED_S, MAX_SHARED = 1.0, 16
"""Seconds for which a picture that was read at once is kept, and number of such pictures."""

SIDES = {str(side): side for side in (thumbs.SIDE, CARD_SIDE, LARGE_SIDE)}
"""Pixels of the longer side of a preview, at most: in a list, on a card, as large as a page."""

CHUNK = 1 << 18
"""Bytes of a file in a zip that are sent at once."""

FIRST_ZIP_DATE = (1980, 1, 1, 0, 0, 0)

_MIN_DIGEST = 16
"""Hexadecimal digits of a SHA-256 in an address that stand for all of it."""


class SharedPictures:
    """Pictures of the last second: viewers of a job ask for its stages at the same time."""

    def __init__(self) -> None:
        self._latest: dict[str, asyncio.Future[Response]] = {}

    async def get(self, address: str, make: Callable[[], Awaitable[Response]]) -> Response:
        """Return the answer for `address`; a file that is not read at once is opened for each."""
        if address not in self._latest:
            if len(self._latest) >= MAX_SHARED:
                return await make()
            self._latest[address] = asyncio.ensure_future(make())
            loop = asyncio.get_running_loop()
            loop.call_later(SHARED_S, self._latest.pop, address, None)
            return await asyncio.shield(self._latest[address])
        answer = await asyncio.shield(self._latest[address])
        return await make() if isinstance(answer, FileResponse) else answer


class _OpenedFile(FileResponse):
    """An opened file, or the ranges of it that the browser asks for; closed once it is sent."""

    def __init__(self, file: BufferedReader, **more: Any) -> None:
        status = os.fstat(file.fileno())
        super().__init__(f"/dev/fd/{file.fileno()}", stat_result=status, **more)
        self._file = file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._file:
            await super().__call__(scope, receive, send)


async def picture(request: Request) -> Response:
    """Answer with a picture of a job."""

    def make() -> Awaitable[Response]:
        return run_in_threadpool(_picture, request)

    if "d" not in request.query_params or {"if-none-match", "range"} & {*request.headers}:
        return await make()
    shared: SharedPictures = request.app.state.shared
    return await shared.get(f"{request.url.path}?{request.url.query}", make)


def _picture(request: Request) -> Response:
    """Answer with a picture of a job, unless the browser has it already."""
    job, what = context(request).reader.job(request.path_params["job"]), request.path_params["what"]
    found = find(job, context(request).state, what) if job is not None else None
    if job is None or found is None:
        raise HTTPException(404, "there is no such picture")
    media_type = MEDIA_TYPES.get(found.suffix, DOWNLOAD)
    is_download = media_type == DOWNLOAD or "download" in request.query_params
    kind = "attachment" if is_download else "inline"
    name = quote(_file_name(job, what, found.spot.name))
    headers = {
        "ETag": f'"{found.sha256}"',
        "Cache-Control": _cache_control(found.sha256, request.query_params.get("d", "")),
        "Content-Disposition": f"{kind}; filename*=UTF-8''{name}",
    }
    if headers["ETag"] in request.headers.get("If-None-Match", ""):
        found.file.close()
        return Response(status_code=304, headers=headers)
    if found.size > MAX_BUFFERED or media_type.startswith("video/"):
        return _OpenedFile(found.file, headers=headers, media_type=media_type)
    with found.file:  # so it is closed whatever its viewer does
        return Response(found.file.read(), headers=headers, media_type=media_type)


def _cache_control(sha256: str, known: str) -> str:
    """Return whether browsers may keep what was sent, at an address with the digest `known`."""
    is_current = len(known) >= _MIN_DIGEST and sha256.startswith(known)
    return IMMUTABLE if is_current else REVALIDATE


def _file_name(job: Job, what: str, name: str) -> str:
    """Return the name to save a picture as: that of the job, or the original one of an input."""
    kind, _, number = what.partition("-")
    if kind == "input":
        return safe(original_name(job, job.inputs[int(number)]))
    path, title = PurePosixPath(name), PurePosixPath(name_of(job)).name
    return f"{safe(title if kind == 'final' else f'{title}-{path.stem}')}{path.suffix}"


# Previews


async def small(request: Request) -> Response:
    """Answer with a preview of a picture; with a blank if it takes long to make."""
    here, what = context(request), request.path_params["what"]
    side = SIDES.get(request.path_params["side"])
    job = await run_in_threadpool(here.reader.job, request.path_params["job"])
    if side is None or job is None:
        raise HTTPException(404, "there is no such size, or no such job")
    # The preview of an input outlives its file, so it is looked up by the ledger's digest first.
    sha256 = input_digest(job, what)
    path = here.previews.known(sha256, side) if sha256 else None
    if path is None:
        found = await run_in_threadpool(find, job, here.state, what)
        if found is not None:
            found.file.close()
            sha256 = found.sha256
            path = await here.previews.get(found.spot.path, sha256, side)
    if path is None and sha256:
        path, sha256 = here.previews.known(sha256, thumbs.SIDE), ""
    return _preview(request, path, _cache_control(sha256, request.query_params.get("d", "")))


async def style(request: Request) -> Response:
    """Answer with a preview of a style in the library; with a blank if it takes long to make."""
    here, name = context(request), request.path_params["name"]
    known = await run_in_threadpool(find_styles, here.settings.pairing.styles, "all")
    try:
        with known[name].open("rb") as file:
            sha256 = await run_in_threadpool(digest, file)
            is_current = request.query_params.get("v") == str(os.fstat(file.fileno()).st_mtime_ns)
    except (KeyError, OSError):
        raise HTTPException(404, "there is no such style in the library") from None
    path = await here.previews.get(known[name], sha256, thumbs.SIDE)
    return _preview(request, path, IMMUTABLE if is_current else REVALIDATE)


def _preview(request: Request, path: Path | None, cache_control: str) -> Response:
    if path is None:
        blank = f"{root_path(request)}/static/{BLANK}"
        return RedirectResponse(blank, 302, {"Cache-Control": "no-store"})
    return FileResponse(path, headers={"Cache-Control": cache_control}, media_type="image/jpeg")


# Downloads of several files


def files_zip(request: Request) -> Response:
    """Answer with all files of a job, as a zip."""
    here = context(request)
    job = here.reader.job(request.path_params["job"])
    if job is None or job.place is None:
        raise HTTPException(404, "there are no files: the job has not begun, or is not known")
    return _zip(safe(name_of(job)), all_files(job, here.state))


def pictures_zip(request: Request) -> Response:
    """Answer with the final pictures of the jobs of the query, as a zip."""
    here = context(request)
    jobs = jobs_of(here, request.query_params.getlist("job"))
    return _zip("pictures", _finals(jobs, here.state))


def _finals(jobs: Iterable[Job], state: Path) -> Iterator[tuple[str, BufferedReader]]:
    """Yield a name and the opened file of each final picture that is there."""
    taken: set[str] = set()
    for job in jobs:
        if final := find(job, state, "final"):
            yield unused(f"{safe(name_of(job))}{final.suffix}", taken), final.file


def _zip(name: str, files: Iterator[tuple[str, BufferedReader]]) -> Response:
    """Answer with a zip of a folder `name`, which is made while it is sent."""
    headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name)}.zip",
               "Cache-Control": REVALIDATE}  # fmt: skip
    return StreamingResponse(zipped(name, files), media_type="application/zip", headers=headers)


def zipped(folder: str, files: Iterator[tuple[str, BufferedReader]]) -> Iterator[bytes]:
    """Yield a zip with these files in a `folder`; pictures would not get smaller by compression."""
    pipe = _Pipe()
    with ZipFile(pipe, "w") as archive:
        for name, file in files:
            with file:
                status = os.fstat(file.fileno())
                date = max(time.localtime(status.st_mtime)[:6], FIRST_ZIP_DATE)
                member = ZipInfo(f"{folder}/{name}", date)
                member.file_size = status.st_size
                with archive.open(member, "w") as writing:
                    while chunk := file.read(CHUNK):
                        writing.write(chunk)
                        yield pipe.taken()
    yield pipe.taken()


class _Pipe(RawIOBase):
    """Keeps what is written until it is taken."""

    def __init__(self) -> None:
        self._content = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._content += data
        return len(data)

    def taken(self) -> bytes:
        content, self._content = bytes(self._content), bytearray()
        return content


ROUTES = [
    Route("/jobs/{job}/pictures/{what}", picture),
    Route("/jobs/{job}/small/{side}/{what}", small),
    Route("/jobs/{job}/files.zip", files_zip),
    Route("/pictures.zip", pictures_zip),
    Route("/library/small/{name}", style),
]
