"""Pictures of jobs: their own files, and previews of them.

GET /jobs/ID/pictures/WHAT       `final`, `stage-50`, `frame-7`, `input-0`, `animation`, `sheet` ...
GET /jobs/ID/small/SIDE/WHAT     a JPEG with SIDE pixels at most
GET /jobs/ID/files.zip           all files of the job; `?download` saves a picture of its own, too
GET /pictures.zip?job=ID         the final pictures of several jobs
GET /library/small/NAME          a JPEG of a style in the library
"""

import os
import re
import time
from collections.abc import Iterable, Iterator
from functools import partial
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

from stylewatch_daemon.base.model import Job
from stylewatch_daemon.files.names import candidates, safe
from stylewatch_daemon.ledger import thumbs
from stylewatch_daemon.settings.style_library import find_styles
from stylewatch_daemon.views.job import name_of
from stylewatch_daemon.views.output_files import (
    all_files,
    digest,
    file_version,
    find,
    input_digest,
    original_name,
)
from stylewatch_daemon.web.http import context, jobs_of, root_path
from stylewatch_daemon.web.page_data import CARD_SIDE, LARGE_SIDE

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
"""Bytes of a picture that is read at once: so its file is closed whatever its viewer does."""

FIRST_ZIP_DATE = (1980, 1, 1, 0, 0, 0)

_CHUNK = 1 << 18
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)
_MIN_DIGEST = 16
"""Hexadecimal digits of a SHA-256 in an address that stand for all of it."""

SIDES = (thumbs.SIDE, CARD_SIDE, LARGE_SIDE)
"""Pixels of the longer side, at most: in a list, on a card, as large as a page."""


async def picture(request: Request) -> Response:
    """A picture of a job; viewers of a painting ask for the same stage at the same time."""
    is_own = {"if-none-match", "range"} & {*request.headers}
    if "d" not in request.query_params or is_own:
        return await run_in_threadpool(_picture, request)
    address = f"{request.url.path}?{request.url.query}"
    return await context(request).pictures.get(
        address, partial(run_in_threadpool, _picture, request)
    )


def _picture(request: Request) -> Response:
    """A picture of a job, unless the browser has it already."""
    job = context(request).reader.job(request.path_params["job"])
    what = request.path_params["what"]
    picture_file = find(job, context(request).state, what) if job is not None else None
    if job is None or picture_file is None:
        raise HTTPException(404, "there is no such picture")
    known = request.query_params.get("d", "")
    is_current = len(known) >= _MIN_DIGEST and picture_file.sha256.startswith(known)
    headers = {
        "ETag": f'"{picture_file.sha256}"',
        "Cache-Control": IMMUTABLE if is_current else REVALIDATE,
    }
    if headers["ETag"] in request.headers.get("If-None-Match", ""):
        picture_file.file.close()
        return Response(status_code=304, headers=headers)
    media_type = MEDIA_TYPES.get(PurePosixPath(picture_file.spot.name).suffix.lower(), DOWNLOAD)
    name = _file_name(job, what, picture_file.spot.name)
    is_download = media_type == DOWNLOAD or "download" in request.query_params
    kind = "attachment" if is_download else "inline"
    headers["Content-Disposition"] = f"{kind}; filename*=UTF-8''{quote(name)}"
    _, _, size, _ = file_version(picture_file.file)
    span, status = range(size), 200
    asked = _RANGE.fullmatch(request.headers.get("Range", ""))
    if asked and media_type.startswith("video/"):  # some browsers play only what they can seek in
        span, status = _span(asked[1], asked[2], size), 206
        if not span:
            picture_file.file.close()
            headers["Content-Range"] = f"bytes */{size}"
            return Response(status_code=416, headers=headers)
        headers["Content-Range"] = f"bytes {span[0]}-{span[-1]}/{size}"
    headers |= {"Content-Length": str(len(span)), "Accept-Ranges": "bytes"}
    content = _chunks(picture_file.file, span)
    if len(span) <= MAX_BUFFERED:
        return Response(b"".join(content), status, headers, media_type)
    return StreamingResponse(content, status, headers, media_type)


async def small(request: Request) -> Response:
    """A preview of a picture; a blank where it takes long to make."""
    here, what = context(request), request.path_params["what"]
    previews = here.previews
    side = next((side for side in SIDES if str(side) == request.path_params["side"]), None)
    if side is None:
        raise HTTPException(404, "there is no such size")
    job = await run_in_threadpool(here.reader.job, request.path_params["job"])
    # The preview of an input outlives its file, so it is looked up by the ledger's digest first.
    sha256 = input_digest(job, what) if job is not None else ""
    path = previews.known(sha256, side) if sha256 else None
    if path is None and job is not None:
        picture_file = await run_in_threadpool(find, job, here.state, what)
        if picture_file is not None:
            picture_file.file.close()
            sha256 = picture_file.sha256
            path = await previews.get(picture_file.spot.path, sha256, side)
    is_current = path is not None and sha256.startswith(request.query_params.get("d") or "-")
    path = path or (previews.known(sha256, SIDES[0]) if sha256 else None)
    return _preview(request, path, is_current=is_current)


def files_zip(request: Request) -> Response:
    """All files of a job, as a zip that is made while it is sent."""
    here = context(request)
    job = here.reader.job(request.path_params["job"])
    if job is None or job.place is None:
        raise HTTPException(404, "there are no files: the job has not begun, or is not known")
    name = safe(name_of(job))
    headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name)}.zip",
               "Cache-Control": REVALIDATE}  # fmt: skip
    return StreamingResponse(
        _zipped(name, all_files(job, here.state)), media_type="application/zip", headers=headers
    )


def pictures_zip(request: Request) -> Response:
    """The final pictures of the jobs of the query, as a zip."""
    here = context(request)
    jobs = jobs_of(here, request.query_params.getlist("job"))
    headers = {"Content-Disposition": "attachment; filename=pictures.zip",
               "Cache-Control": REVALIDATE}  # fmt: skip
    return StreamingResponse(
        _zipped("pictures", _finals(jobs, here.state)),
        media_type="application/zip",
        headers=headers,
    )


def _finals(jobs: Iterable[Job], state: Path) -> Iterator[tuple[str, BufferedReader]]:
    """Yield a name and the opened file of each final picture that is there."""
    taken: set[str] = set()
    for job in jobs:
        if (final := find(job, state, "final")) is not None:
            suffix = PurePosixPath(final.spot.name).suffix
            name = next(name for name in candidates(safe(name_of(job))) if name not in taken)
            taken.add(name)
            yield f"{name}{suffix}", final.file


def _zipped(folder: str, files: Iterator[tuple[str, BufferedReader]]) -> Iterator[bytes]:
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
                    while chunk := file.read(_CHUNK):
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


async def style(request: Request) -> Response:
    """A preview of a style in the library; a blank where it takes long to make."""
    here, name = context(request), request.path_params["name"]
    known = await run_in_threadpool(find_styles, here.settings.pairing.styles, "all")
    if name not in known:
        raise HTTPException(404, "there is no such style in the library")
    try:
        with known[name].open("rb") as file:
            sha256 = await run_in_threadpool(digest, file)
            is_current = request.query_params.get("v") == str(os.fstat(file.fileno()).st_mtime_ns)
    except OSError:
        raise HTTPException(404, "there is no such style in the library") from None
    path = await here.previews.get(known[name], sha256, thumbs.SIDE)
    return _preview(request, path, is_current=is_current)


def _preview(request: Request, path: Path | None, *, is_current: bool) -> Response:
    """A preview, or a blank that is replaced once there is a preview."""
    if path is None:
        blank = f"{root_path(request)}/static/{BLANK}"
        return RedirectResponse(blank, 302, {"Cache-Control": "no-store"})
    headers = {"Cache-Control": IMMUTABLE if is_current else REVALIDATE}
    return FileResponse(path, headers=headers, media_type="image/jpeg")


def _file_name(job: Job, what: str, name: str) -> str:
    """Name under which a picture is saved: that of the job, or the original one of an input."""
    kind, _, number = what.partition("-")
    if kind == "input":
        return safe(original_name(job, job.inputs[int(number)]))
    path, title = PurePosixPath(name), PurePosixPath(name_of(job)).name
    return f"{safe(title if kind == 'final' else f'{title}-{path.stem}')}{path.suffix}"


def _span(first: str, last: str, size: int) -> range:
    """The positions of a Range header: `2-5`, `2-`, or `-5` for the last five; perhaps none."""
    if not first:
        return range(max(0, size - int(last or "0")), size)
    return range(int(first), min(size, int(last) + 1 if last else size))


def _chunks(file: BufferedReader, span: range) -> Iterator[bytes]:
    with file:
        file.seek(span.start)
        left = len(span)
        while left > 0 and (chunk := file.read(min(_CHUNK, left))):
            left -= len(chunk)
            yield chunk


ROUTES = [
    Route("/jobs/{job}/pictures/{what}", picture),
    Route("/jobs/{job}/small/{side}/{what}", small),
    Route("/jobs/{job}/files.zip", files_zip),
    Route("/pictures.zip", pictures_zip),
    Route("/library/small/{name}", style),
]
