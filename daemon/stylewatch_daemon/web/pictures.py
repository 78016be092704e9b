"""Pictures of jobs: their own files, and previews of them.

GET /jobs/ID/pictures/WHAT       `final`, `stage-50`, `input-0`, `animation`, `sheet`, `curve`
GET /jobs/ID/small/SIDE/WHAT     a JPEG with SIDE pixels at most
"""

from collections.abc import Iterator
from io import BufferedReader
from pathlib import PurePosixPath

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from stylewatch_daemon.store import thumbs
from stylewatch_daemon.store.ledger import Entry
from stylewatch_daemon.views.output_files import PictureFile, find, identity, input_digest
from stylewatch_daemon.web.context import context
from stylewatch_daemon.web.http import root_path

MEDIA_TYPES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".bmp": "image/bmp",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
}
DOWNLOAD = "application/octet-stream"
"""The media type of all other files, which browsers do not show."""

IMMUTABLE, REVALIDATE = "private, max-age=31536000, immutable", "private, no-cache"
"""Cache-Control of an address that holds the digest of what was sent, and of others."""

BLANK = "blank.svg"
"""Shown in place of a preview until there is one; scripts ask again for it."""

MAX_BUFFERED = 1 << 20
"""Bytes of a picture that is read at once: so its file is closed whatever its viewer does."""

_CHUNK = 1 << 18
_MIN_DIGEST = 16
"""Hexadecimal digits of a SHA-256 in an address that stand for all of it."""


SIDES = (thumbs.SIDE, 512, 1600)
"""Pixels of the longer side, at most: in a list, on a card, as large as a page."""


def picture(request: Request) -> Response:
    """A picture of a job, unless the browser has it already."""
    picture_file = _picture_file(request)
    if picture_file is None:
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
    if media_type == DOWNLOAD:
        headers["Content-Disposition"] = "attachment"
    _, _, size, _ = identity(picture_file.file)
    headers["Content-Length"] = str(size)
    if size <= MAX_BUFFERED:
        with picture_file.file:
            return Response(picture_file.file.read(), media_type=media_type, headers=headers)
    return StreamingResponse(_chunks(picture_file.file), media_type=media_type, headers=headers)


async def small(request: Request) -> Response:
    """A preview of a picture; a blank where it takes long to make."""
    previews = context(request).previews
    side = next((side for side in SIDES if str(side) == request.path_params["side"]), None)
    if side is None:
        raise HTTPException(404, "there is no such size")
    entry = await run_in_threadpool(context(request).reader.job, request.path_params["job"])
    # The preview of an input outlives its file, so it is looked up by the ledger's digest first.
    sha256 = input_digest(entry, request.path_params["what"]) if entry is not None else ""
    path = previews.known(sha256, side) if sha256 else None
    if path is None and entry is not None:
        picture_file = await run_in_threadpool(_picture_file, request, entry)
        if picture_file is not None:
            picture_file.file.close()
            sha256 = picture_file.sha256
            path = await previews.get(picture_file.spot.path, sha256, side)
    is_current = path is not None and sha256.startswith(request.query_params.get("d") or "-")
    path = path or (previews.known(sha256, SIDES[0]) if sha256 else None)
    if path is None:
        blank = f"{root_path(request)}/static/{BLANK}"
        return RedirectResponse(blank, 302, {"Cache-Control": "no-store"})
    headers = {"Cache-Control": IMMUTABLE if is_current else REVALIDATE}
    return FileResponse(path, headers=headers, media_type="image/jpeg")


def _picture_file(request: Request, entry: Entry | None = None) -> PictureFile | None:
    here = context(request)
    entry = entry or here.reader.job(request.path_params["job"])
    return find(entry, here.state, request.path_params["what"]) if entry is not None else None


def _chunks(file: BufferedReader) -> Iterator[bytes]:
    with file:
        while chunk := file.read(_CHUNK):
            yield chunk


# Previews


ROUTES = [
    Route("/jobs/{job}/pictures/{what}", picture, name="picture"),
    Route("/jobs/{job}/small/{side}/{what}", small, name="small"),
]
