"""The pictures of jobs as pages show them, with their addresses.

The address of a picture holds its digest, so what a browser has kept never becomes stale.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from stylewatch_daemon.base.model import PICTURES, Job
from stylewatch_daemon.ledger import thumbs
from stylewatch_daemon.outbox.job_files import frames, stages
from stylewatch_daemon.views.job import JobView, name_of
from stylewatch_daemon.views.output_files import PictureFile, find, original_name

CARD_SIDE, LARGE_SIDE = 512, 1600
"""Pixels of the longer side of a picture on a card, and of one that fills a page."""

MAX_DIRECT_BYTES = 3 << 20
"""Bytes up to which a picture's own file is shown large; of a larger one a preview is made."""

BROWSER_FORMATS = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif"})
"""Suffixes of the pictures that every browser shows."""

ROLES = {"content": "content image", "style": "style image", "init": "initial image"}
"""The inputs that are shown, and what they are called."""


@dataclass(frozen=True)
class Image:
    """A picture on a page: `src` below the root of all addresses, sizes in pixels or 0.

    Of an input `name` is that of the file that was dropped, and `number` its place among all
    inputs; of a style `digest` is its SHA-256.
    """

    src: str
    alt: str
    width: int = 0
    height: int = 0
    name: str = ""
    number: int = 0
    digest: str = ""


def picture(state: Path, job: Job, what: str, alt: str, side: int = CARD_SIDE) -> Image | None:
    """Return a preview of the picture `what`, of `side` pixels at most; None if there is none.

    With LARGE_SIDE it is the picture itself if browsers show it and it is not too large to send.
    `state` is the state folder.
    """
    found = _find(state, job, what)
    if found is None:
        return None
    is_small = found.suffix in BROWSER_FORMATS and found.size <= MAX_DIRECT_BYTES
    if side == LARGE_SIDE and is_small:
        return Image(_address(job, f"pictures/{what}", found.sha256), alt)
    return Image(_address(job, f"small/{side}/{what}", found.sha256), alt)


def moving(state: Path, job: Job, what: str, alt: str, suffixes: Collection[str]) -> Image | None:
    """Return the clip or animation `what` itself, of any size, as its preview would not move.

    None unless it has one of these suffixes.
    """
    found = _find(state, job, what)
    if found is None or found.suffix not in suffixes:
        return None
    return Image(_address(job, f"pictures/{what}", found.sha256), alt)


def newest(job: Job) -> tuple[str, int] | None:
    """Return the name of the newest painted picture, and the step or the number of frames by then.

    It is a stage, or a frame of a clip that is not encoded yet; None if nothing is painted.
    """
    painted = [(f"stage-{step}", step) for step in stages(job)]
    painted += [(f"frame-{number}", number + 1) for number in frames(job)]
    return max(painted, key=lambda picture: picture[1], default=None)


def inputs(job: Job, role: str, side: int = thumbs.SIDE) -> Iterator[Image]:
    """Yield previews of all inputs of a `role`."""
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
    """Return a preview of the content image of a job."""
    return next(inputs(job, "content", side), None)


def cover(state: Path, job: Job) -> Image | None:
    """Return the output of a job for its card, or its content image if it has none."""
    output = None
    if job.seen in PICTURES:
        output = picture(state, job, "final", f"{name_of(job)}, output")
    return output or content(job, thumbs.SIDE)


def latest_stage(state: Path, view: JobView) -> Image | None:
    """Return the newest picture of a running job, of a clip the newest frame."""
    if painted := newest(view.job):
        alt = f"{view.name} after {view.unit} {painted[1]}"
        return picture(state, view.job, painted[0], alt, LARGE_SIDE)
    return None


def _find(state: Path, job: Job, what: str) -> PictureFile | None:
    """Return what is known of a picture; its file is closed."""
    found = find(job, state, what)
    if found is not None:
        found.file.close()
    return found


def _address(job: Job, path: str, sha256: str) -> str:
    return f"/jobs/{job.id}/{path}?d={sha256[:32]}"
