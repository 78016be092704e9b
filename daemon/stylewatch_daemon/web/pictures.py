"""Pictures of jobs: their own files, and previews of them.

GET /jobs/ID/pictures/WHAT       `final`, `stage-50`, `input-0`, `animation`, `sheet`, `curve`
GET /jobs/ID/small/SIDE/WHAT     a JPEG with SIDE pixels at most

Previews are made on demand by an inspection process of the page's own, one at a time. They lie in
a folder of the state folder, by digest and size; the oldest go when there are too many. The page's
process itself never decodes a picture.
"""

import asyncio
import os
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from io import BufferedReader
from pathlib import Path, PurePosixPath

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from stylewatch_daemon.ingest.inspection.client import InspectionClient
from stylewatch_daemon.ingest.inspection.messages import Fine, Inspector, Question
from stylewatch_daemon.store import thumbs
from stylewatch_daemon.store.ledger import Entry
from stylewatch_daemon.views.output_files import Memory, PictureFile, find, identity, input_digest
from stylewatch_daemon.web.http import context, root_path

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

THUMBNAILER = partial(
    InspectionClient, entry="stylewatch_daemon.ingest.inspection.inspection_main:make_thumbnails"
)
"""Starts the process that makes previews, which calls a function from a thread when one is done."""

FOLDER = "previews"
"""In the state folder."""

SIDES = (thumbs.SIDE, 512, 1600)
"""Pixels of the longer side, at most: in a list, on a card, as large as a page."""

MAX_BYTES = 512 << 20
"""Bytes of all previews together."""

TIMEOUT_S = 4.0
"""Seconds that a viewer waits for a preview to be made; then there is a blank in its place."""

MAX_PENDING = 256
"""Previews that may wait to be made."""

_SWEEP_EVERY = 64


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


class Previews:
    """The previews of a state folder; pictures of more than `max_pixels` have none."""

    def __init__(
        self,
        state: Path,
        max_pixels: int,
        timeout_s: float = TIMEOUT_S,
        start: Callable[[Callable[[], object]], Inspector] = THUMBNAILER,
    ) -> None:
        self.folder, self._thumbs = state / FOLDER, state / "thumbs"
        self._max_pixels, self._timeout_s = max_pixels, timeout_s
        self._start = start
        self._inspector: Inspector | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pending: dict[str, asyncio.Future[bool]] = {}
        self._failed = Memory(4096)
        """For each digest, a list: empty unless the picture cannot be decoded."""
        self._made = 0

    def known(self, sha256: str, side: int) -> Path | None:
        """The preview of the picture with this digest, if it was made before."""
        paths = (thumbs.path_of(folder, sha256, side) for folder in (self._thumbs, self.folder))
        return next((path for path in paths if path.is_file()), None)

    async def get(self, path: Path, sha256: str, side: int) -> Path | None:
        """Make the preview of the file `path`; None where it takes too long, or cannot be made.

        A preview is named by the digest of what was read: where that is not `sha256` it is None.
        """
        preview = self.known(sha256, side)
        has_failed = bool(self._failed.get(sha256, list))
        if preview is None and len(self._pending) < MAX_PENDING and not has_failed:
            with suppress(TimeoutError):
                await asyncio.wait_for(
                    asyncio.shield(self._ask(path, sha256, side)), self._timeout_s
                )
            preview = self.known(sha256, side)
        return preview

    def _ask(self, path: Path, sha256: str, side: int) -> "asyncio.Future[bool]":
        key = f"{sha256}-{side}"
        if key not in self._pending:
            self._loop = asyncio.get_running_loop()
            self._pending[key] = self._loop.create_future()
            if self._inspector is None:
                self.folder.mkdir(parents=True, exist_ok=True)
                self._inspector = self._start(self._wake)
                weakref.finalize(self, self._inspector.close)  # else its process outlives this one
            self._inspector.ask(Question(key, (path,), self._max_pixels, self.folder, side=side))
        return self._pending[key]

    def _wake(self) -> None:
        """Have the verdicts read; called in a thread of the inspector's."""
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed: the page is ending
                self._loop.call_soon_threadsafe(self._handle_verdicts)

    def _handle_verdicts(self) -> None:
        for verdict in self._inspector.verdicts() if self._inspector else ():
            if not isinstance(verdict, Fine):
                self._failed.get(verdict.job.partition("-")[0], list).append(verdict)
            future = self._pending.pop(verdict.job, None)
            if future is not None and not future.done():
                future.set_result(isinstance(verdict, Fine))
            self._made += 1
            if self._made % _SWEEP_EVERY == 0:
                sweep(self.folder, MAX_BYTES)


def sweep(folder: Path, max_bytes: int) -> None:
    """Remove the oldest files of `folder` until the others have `max_bytes` together."""
    with suppress(OSError), os.scandir(folder) as entries:
        files = [(entry.stat(follow_symlinks=False), entry.name) for entry in entries]
        left = sum(status.st_size for status, _ in files)
        for status, name in sorted(files, key=lambda file: file[0].st_mtime_ns):
            if left <= max_bytes:
                return
            (folder / name).unlink(missing_ok=True)
            left -= status.st_size


ROUTES = [
    Route("/jobs/{job}/pictures/{what}", picture, name="picture"),
    Route("/jobs/{job}/small/{side}/{what}", small, name="small"),
]
