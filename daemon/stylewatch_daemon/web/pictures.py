"""Pictures of jobs: their own files, previews of them, and their addresses on pages.

GET /jobs/ID/pictures/WHAT       `final`, `stage-50`, `frame-7`, `input-0`, `animation`, `sheet` ...
                                 With `?download` browsers save the picture
GET /jobs/ID/small/SIDE/WHAT     a JPEG with SIDE pixels at most
GET /jobs/ID/files.zip           all files of the job
GET /pictures.zip?job=ID         the final pictures of several jobs
GET /library/small/NAME          a JPEG of a style in the library

An address on a page has the digest of its picture, or the mtime of a style in the library, so that
browsers never show an outdated picture from their cache.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from io import BufferedReader
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote
from zipfile import ZipFile, ZipInfo

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from stylewatch_daemon.base.errors import InputError, OutputError
from stylewatch_daemon.base.model import PICTURES, Job
from stylewatch_daemon.files import atomic
from stylewatch_daemon.files.names import safe
from stylewatch_daemon.ledger import thumbs
from stylewatch_daemon.views.job import JobView, heading, name_of
from stylewatch_daemon.views.output_files import (
    JobFiles,
    PictureFile,
    digest,
    input_digest,
    original_name,
    unused,
)
from stylewatch_daemon.web.http import JOB, context, job_of, jobs_of, root_path

CARD_SIDE, LARGE_SIDE = 512, 1600
"""Maximum pixels of the longer side of a picture on a card, and of a picture that fills a page."""

MAX_DIRECT_BYTES = 3 << 20
"""Maximum size in bytes of a file that is shown large itself; a larger file gets a preview."""

BROWSER_FORMATS = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif"})
"""Suffixes of the pictures that every browser shows."""

BROWSER_CLIPS = frozenset({".mp4", ".webm"})
"""Suffixes of the clips that browsers play."""

EARLY = 0.25
"""Share of the steps of a running job in which its stages are blended with the photograph."""

ROLES = {"content": "photograph", "style": "style image", "init": "initial image"}
"""Roles of the inputs that are shown, with their names on the page."""


@dataclass(frozen=True)
class Image:
    """A picture on a page: `src` is its address below the root; sizes are in pixels, 0 if unknown.

    For an input, `name` is the original name of its file, and `number` its index among all inputs.
    For a style, `digest` is its SHA-256. For an output on a card, `large` is the address of a
    picture that fills a page.
    """

    src: str
    alt: str
    width: int = 0
    height: int = 0
    name: str = ""
    number: int = 0
    digest: str = ""
    large: str = ""


def picture(files: JobFiles, what: str, alt: str, side: int = CARD_SIDE) -> Image | None:
    """Return a preview of the picture `what`, of `side` pixels at most; None if there is none.

    If `side` is LARGE_SIDE, return the picture itself if browsers show its format and its file is
    not too large.
    """
    images = [*in_sizes(files, what, {side: alt})]
    return images[0] if images else None


def in_sizes(files: JobFiles, what: str, alts: Mapping[int, str]) -> Iterator[Image]:
    """Yield previews of the picture `what`, as `picture` returns them; none if there is none.

    `alts` has the alternative text of each preview by its side in pixels.
    """
    found = _find(files, what)
    if found is None:
        return
    is_small = found.suffix in BROWSER_FORMATS and found.size <= MAX_DIRECT_BYTES
    for side, alt in alts.items():
        path = f"pictures/{what}" if side == LARGE_SIDE and is_small else f"small/{side}/{what}"
        yield Image(_address(files.job, path, found.sha256), alt)


def moving(files: JobFiles, what: str, alt: str, suffixes: Collection[str]) -> Image | None:
    """Return the clip or animation `what` itself, because its preview would not move.

    Return None if there is no such file, or its suffix is not one of `suffixes`.
    """
    found = _find(files, what)
    if found is None or found.suffix not in suffixes:
        return None
    return Image(_address(files.job, f"pictures/{what}", found.sha256), alt)


def newest(files: JobFiles) -> tuple[str, int] | None:
    """Return the name of the newest painted picture, and its step or the number of frames so far.

    The picture is a stage, or a frame of a clip that is not encoded yet. Return None if nothing is
    painted.
    """
    stages = files.attempt(lambda: files.stages)
    frames = files.attempt(files.frames)
    painted = [(f"stage-{step}", step) for step in stages or ()]
    painted += [(f"frame-{number}", number + 1) for number in frames or ()]
    return max(painted, key=lambda picture: picture[1], default=None)


def inputs(job: Job, role: str, side: int = thumbs.SIDE) -> Iterator[Image]:
    """Yield previews of all inputs with this `role` whose digest is known, in the job's order."""
    for number, file in enumerate(job.inputs):
        if file.role == role and file.sha256:
            name = original_name(job, file)
            width, height = file.pixels or (0, 0)
            yield Image(
                src=_address(job, f"small/{side}/input-{number}", file.sha256),
                alt=f"{ROLES[role]} {name}",
                width=width,
                height=height,
                name=name,
                number=number,
                digest=file.sha256 if role == "style" else "",
            )


def content(job: Job, side: int = CARD_SIDE) -> Image | None:
    """Return a preview of the content image of a job; None if no digest of it is known."""
    images = [*inputs(job, "content", side)]
    return images[0] if images else None


def first_style(job: Job) -> Image | None:
    """Return a preview of a job's first style image; None if no digest of a style is known."""
    return next(inputs(job, "style"), None)


def cover(state: Path, job: Job) -> Image | str:
    """Return the picture on the card of a job: its output, or else its content image.

    Return a text if there is no picture, or if it cannot be read now.
    """
    files = JobFiles(job, state)
    output = None
    if job.seen in PICTURES:
        alt = f"{heading(job)}, output"
        sizes = [*in_sizes(files, "final", {CARD_SIDE: alt, LARGE_SIDE: alt})]
        if sizes:
            output = replace(sizes[0], large=sizes[1].src)
    if files.unknown:
        return "its picture cannot be read now"
    return output or content(job, thumbs.SIDE) or "no picture"


def latest_stage(view: JobView) -> Image | None:
    """Return the newest stage of a running job, or the newest frame of a clip, if any."""
    painted = newest(view.files)
    if painted:
        alt = f"{view.heading} after {view.unit} {painted[1]}"
        return picture(view.files, painted[0], alt, LARGE_SIDE)
    return None


def blend(view: JobView) -> int:
    """Return the opacity of an early stage above the photograph in fifths, 1 to 4; 0: full opacity.

    The colors of the first stages are garish, so the photograph is seen through them. Frames of a
    clip are painted to the end, and a job with an initial image starts from its colors: these
    always have full opacity.
    """
    early = EARLY * view.running.get("steps", 0)
    step = view.running.get("step", 0)
    is_calm = view.job.frames > 1 or view.job.input_as("init") is not None
    if is_calm or step >= early:
        return 0
    return 1 + int(4 * step / early)


def _find(files: JobFiles, what: str) -> PictureFile | None:
    """Return the picture `what`; None if there is none, or its disk does not answer."""
    return files.attempt(partial(files.look, what))


def _address(job: Job, path: str, sha256: str) -> str:
    return f"/jobs/{job.id}/{path}?d={sha256[:32]}"


# Sending pictures

MEDIA_TYPES = {
    **{f".{kind}": f"image/{kind}" for kind in ("png", "jpeg", "webp", "gif", "bmp", "tiff")},
    **{f".{kind}": f"video/{kind}" for kind in ("mp4", "webm")},
    ".jpg": "image/jpeg",
    ".tif": "image/tiff",
}
DOWNLOAD = "application/octet-stream"
"""The media type of files that browsers save instead of showing them."""

IMMUTABLE, REVALIDATE = "private, max-age=31536000, immutable", "private, no-cache"
"""Cache-Control for an address that has the digest of the picture, and for other addresses."""

BLANK = "blank.svg"
"""File that is shown in place of a preview that is not made yet; scripts request it again."""

MAX_BUFFERED = 1 << 20
"""Maximum size in bytes of a picture that is read at once, and shared within SHARED_S seconds."""

SHARED_S, MAX_SHARED = 1.0, 16
"""How long a picture is shared, in seconds, and the maximum number of shared pictures."""

SIDES = {str(side): side for side in (thumbs.SIDE, CARD_SIDE, LARGE_SIDE)}
"""Maximum pixels of the longer side of a preview, by their text in an address."""

CHUNK = 1 << 18
"""Bytes of a file in a zip that are sent at once."""

FIRST_ZIP_DATE = (1980, 1, 1, 0, 0, 0)

_MIN_DIGEST = 16
"""Minimum number of hexadecimal digits in an address that identify a SHA-256."""


class _OpenedFile(FileResponse):
    """Answer that sends an opened file, or the requested ranges of it, and closes the file."""

    def __init__(self, file: BufferedReader, **more: Any) -> None:
        status = os.fstat(file.fileno())
        super().__init__(f"/dev/fd/{file.fileno()}", stat_result=status, **more)
        self._file = file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._file:
            await super().__call__(scope, receive, send)


async def send_picture(request: Request) -> Response:
    """Answer with a picture of a job, or with status 304 if the browser has it already.

    Viewers of a job request its stages at the same time. So requests for an address with a digest
    share one answer for SHARED_S seconds, except requests with Range or If-None-Match, and those
    for files that are streamed: clips for browsers, and files of more than MAX_BUFFERED bytes.
    Raises HTTPException if there is no such picture, and OutputError if it cannot be read now.
    """

    def make() -> Awaitable[Response]:
        return run_in_threadpool(_picture, request)

    shared: dict[str, asyncio.Future[Response]] = request.app.state.shared_pictures
    is_known = "d" in request.query_params
    address = str(request.url)
    if not is_known or {"if-none-match", "range"} & {*request.headers}:
        return await make()
    if address in shared:
        answer = await asyncio.shield(shared[address])
        return await make() if isinstance(answer, FileResponse) else answer
    making = asyncio.ensure_future(make())
    if len(shared) < MAX_SHARED:
        shared[address] = making
        asyncio.get_running_loop().call_later(SHARED_S, shared.pop, address)
    return await asyncio.shield(making)


def _picture(request: Request) -> Response:
    """Answer with a picture of a job, or with status 304 if the browser has it already.

    Raises HTTPException if there is no such picture.
    """
    job = job_of(request)
    what = request.path_params["what"]
    found = JobFiles(job, context(request).state).find(what)
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
    if found.size > MAX_BUFFERED or found.suffix in BROWSER_CLIPS:
        return _OpenedFile(found.file, headers=headers, media_type=media_type)
    with found.file:  # closed even if the viewer disconnects
        return Response(found.file.read(found.size), headers=headers, media_type=media_type)


def _cache_control(request: Request, sha256: str) -> str:
    """Return the Cache-Control: browsers may keep a picture if the address has its digest."""
    digest = request.query_params.get("d", "")
    return IMMUTABLE if len(digest) >= _MIN_DIGEST and sha256.startswith(digest) else REVALIDATE


def _file_name(job: Job, what: str, name: str) -> str:
    """Return a safe file name for saving: from the job's name, or an input's original name."""
    kind, _, number = what.partition("-")
    if kind == "input":
        return safe(original_name(job, job.inputs[int(number)]))
    path = PurePosixPath(name)
    title = PurePosixPath(name_of(job)).name
    return f"{safe(title if kind == 'final' else f'{title}-{path.stem}')}{path.suffix}"


# Previews


async def small(request: Request) -> Response:
    """Answer with a preview of a picture, or with a blank picture if making it takes too long."""
    site = context(request)
    what = request.path_params["what"]
    side = SIDES.get(request.path_params["side"])
    job = await run_in_threadpool(job_of, request)
    if side is None:
        raise HTTPException(404, "there is no such size")
    # The preview of an input outlives its file, so it is looked up by the ledger's digest first.
    sha256 = input_digest(job, what)
    source = None
    if not site.previews.known(sha256, side):
        files = JobFiles(job, site.state)
        picture_file = await run_in_threadpool(_find, files, what)
        if picture_file is not None:
            sha256 = picture_file.sha256
            source = picture_file.spot.path
        elif files.unknown and not site.previews.known(sha256, thumbs.SIDE):
            raise OutputError(files.unknown)
    return await preview(request, source, sha256, side, _cache_control(request, sha256))


async def style(request: Request) -> Response:
    """Answer with the preview of a library style, or a blank picture if it cannot be made in time.

    Raises HTTPException if there is no such style or its file cannot be read, OutputError if the
    disk of the library is missing, and OSError if the library cannot be read.
    """
    site = context(request)
    name = request.path_params["name"]
    styles = await run_in_threadpool(site.styles)
    try:
        sha256, version = await run_in_threadpool(version_of, styles[name])
    except (KeyError, OSError, InputError):
        raise HTTPException(404, "there is no such style in the library") from None
    is_current = request.query_params.get("v") == version
    cache_control = IMMUTABLE if is_current else REVALIDATE
    return await preview(request, styles[name], sha256, thumbs.SIDE, cache_control)


def version_of(path: Path) -> tuple[str, str]:
    """Return the SHA-256 of a file and its version in addresses; raises InputError, OSError."""
    with atomic.open_regular(path) as file:
        return digest(file), str(os.fstat(file.fileno()).st_mtime_ns)


async def preview(
    request: Request, source: Path | None, sha256: str, side: int, cache_control: str
) -> Response:
    """Answer with the preview of the file `source`, with sides up to `side` pixels.

    `sha256` is the digest of the file; `source` may be None if the preview is known. If there is no
    such preview, answer with a known smaller one or, by a redirect, with a blank picture.
    """
    previews = context(request).previews
    path = await previews.get(source, sha256, side)
    if path is None:
        path = previews.known(sha256, thumbs.SIDE)
        cache_control = REVALIDATE
    if path is None:
        blank = f"{root_path(request)}/static/{BLANK}"
        return RedirectResponse(blank, 302, {"Cache-Control": "no-store"})
    return FileResponse(path, headers={"Cache-Control": cache_control}, media_type="image/jpeg")


# Downloads of several files


def files_zip(request: Request) -> Response:
    """Answer with all files of a job, as a zip.

    Raises HTTPException if the job has not begun, and OutputError if its files cannot be read now.
    """
    site = context(request)
    job = job_of(request)
    if job.place is None:
        raise HTTPException(404, "there are no files: the job has not begun")
    files = JobFiles(job, site.state)
    files.look("final")  # raises OutputError if it is unknown
    return _zip(safe(name_of(job)), files.all())


def pictures_zip(request: Request) -> Response:
    """Answer with the final pictures of the jobs in the query, as a zip.

    Raises HTTPException if none of the jobs has a receipt.
    """
    site = context(request)
    jobs, _ = jobs_of(site, request.query_params.getlist("job"))
    every = [JobFiles(job, site.state) for job in jobs]
    # The receipts decide, because the pictures are read, and their digests computed, only while
    # they are sent.
    painted = [files for files in every if files.receipt]
    if not painted:
        raise HTTPException(404, "the pictures are not there")
    return _zip("pictures", _finals(painted))


def _finals(painted: Iterable[JobFiles]) -> Iterator[tuple[str, BufferedReader]]:
    """Yield the name in a download and the opened file of each existing final picture.

    The caller closes the files.
    """
    taken: set[str] = set()
    for files in painted:
        final = files.find("final")
        if final:
            yield unused(f"{safe(name_of(files.job))}{final.suffix}", taken), final.file


def _zip(name: str, files: Iterator[tuple[str, BufferedReader]]) -> Response:
    """Answer with a zip of `files` in a folder `name`, which is made while it is sent."""
    headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name)}.zip",
               "Cache-Control": REVALIDATE}  # fmt: skip
    return StreamingResponse(zipped(name, files), media_type="application/zip", headers=headers)


def zipped(folder: str, files: Iterator[tuple[str, BufferedReader]]) -> Iterator[bytes]:
    """Yield the bytes of a zip that has `files` in a `folder`, and close each file.

    The zip is not compressed, because pictures are compressed already.
    """
    written: list[bytes] = []

    def write(data: bytes) -> int:
        written.append(bytes(data))
        return len(data)

    pipe: Any = SimpleNamespace(write=write, flush=lambda: None)
    with ZipFile(pipe, "w") as archive:
        for name, file in files:
            with file:
                status = os.fstat(file.fileno())
                date = max(time.localtime(status.st_mtime)[:6], FIRST_ZIP_DATE)
                member = ZipInfo(f"{folder}/{name}", date)
                member.file_size = left = status.st_size  # it may grow without end in the meantime
                with archive.open(member, "w") as writing:
                    while left and (chunk := file.read(min(CHUNK, left))):
                        writing.write(chunk)
                        left -= len(chunk)
                        yield b"".join(written)
                        written.clear()
    yield b"".join(written)


ROUTES = [
    Route(f"/jobs/{JOB}/pictures/{{what}}", send_picture),
    Route(f"/jobs/{JOB}/small/{{side}}/{{what}}", small),
    Route(f"/jobs/{JOB}/files.zip", files_zip),
    Route("/pictures.zip", pictures_zip),
    Route("/library/small/{name}", style),
]
