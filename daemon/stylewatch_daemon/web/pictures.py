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
from stylewatch_daemon.web.http import context, job_of, jobs_of, root_path
from stylewatch_daemon.web.images import CARD_SIDE, LARGE_SIDE

PICTURE_TYPES = {f".{kind}": f"image/{kind}" for kind in ("png", "jpeg", "webp", "gif", "bmp")}
CLIP_TYPES = {".mp4": "video/mp4", ".webm": "video/webm"}
MEDIA_TYPES = {**PICTURE_TYPES, **CLIP_TYPES, ".jpg": "image/jpeg"}
MEDIA_TYPES |= dict.fromkeys((".tif", ".tiff"), "image/tiff")
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
        is_shared = address in self._latest
        if not is_shared and len(self._latest) < MAX_SHARED:
            self._latest[address] = asyncio.ensure_future(make())
            asyncio.get_running_loop().call_later(SHARED_S, self._latest.pop, address, None)
        answer = await asyncio.shield(self._latest.get(address) or asyncio.ensure_future(make()))
        return await make() if is_shared and isinstance(answer, FileResponse) else answer


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
    job, what = job_of(request), request.path_params["what"]
    found = find(job, context(request).state, what)
    if found is None:
        raise HTTPException(404, "there is no such picture")
    media_type = MEDIA_TYPES.get(found.suffix, DOWNLOAD)
    is_download = media_type == DOWNLOAD or "download" in request.query_params
    kind = "attachment" if is_download else "inline"
    name = quote(_file_name(job, what, found.spot.name))
    headers = {
        "ETag": f'"{found.sha256}"',
        "Cache-Control": _cache_control(request, found.sha256),
        "Content-Disposition": f"{kind}; filename*=UTF-8''{name}",
    }
    if headers["ETag"] in request.headers.get("If-None-Match", ""):
        found.file.close()
        return Response(status_code=304, headers=headers)
    if found.size > MAX_BUFFERED or found.suffix in CLIP_TYPES:
        return _OpenedFile(found.file, headers=headers, media_type=media_type)
    with found.file:  # so it is closed whatever its viewer does
        return Response(found.file.read(), headers=headers, media_type=media_type)


def _cache_control(request: Request, sha256: str) -> str:
    """Return whether browsers may keep what was sent: at an address that has its digest."""
    known = request.query_params.get("d", "")
    return IMMUTABLE if len(known) >= _MIN_DIGEST and sha256.startswith(known) else REVALIDATE


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
    job = await run_in_threadpool(job_of, request)
    if side is None:
        raise HTTPException(404, "there is no such size")
    # The preview of an input outlives its file, so it is looked up by the ledger's digest first.
    sha256, source = input_digest(job, what), None
    if not here.previews.known(sha256, side):
        found = await run_in_threadpool(find, job, here.state, what)
        if found is not None:
            found.file.close()
            sha256, source = found.sha256, found.spot.path
    return await _preview(request, source, sha256, side, _cache_control(request, sha256))


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
    cache_control = IMMUTABLE if is_current else REVALIDATE
    return await _preview(request, known[name], sha256, thumbs.SIDE, cache_control)


async def _preview(
    request: Request, source: Path | None, sha256: str, side: int, cache_control: str
) -> Response:
    """Answer with the preview of the file `source`, else with a smaller one that is known."""
    previews = context(request).previews
    path = await previews.get(source, sha256, side)
    if path is None:
        path, cache_control = previews.known(sha256, thumbs.SIDE), REVALIDATE
    if path is None:
        blank = f"{root_path(request)}/static/{BLANK}"
        return RedirectResponse(blank, 302, {"Cache-Control": "no-store"})
    return FileResponse(path, headers={"Cache-Control": cache_control}, media_type="image/jpeg")


# Downloads of several files


def files_zip(request: Request) -> Response:
    """Answer with all files of a job, as a zip."""
    here, job = context(request), job_of(request)
    if job.place is None:
        raise HTTPException(404, "there are no files: the job has not begun")
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
