"""Pictures and cards of jobs, as all pages show them.

The address of a picture holds its digest, so what a browser has kept never becomes stale.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from stylewatch_daemon.base.model import PICTURES, Job
from stylewatch_daemon.ledger import thumbs
from stylewatch_daemon.outbox.job_files import frames, stages
from stylewatch_daemon.views.formatting import duration
from stylewatch_daemon.views.formatting import size as in_pixels
from stylewatch_daemon.views.job import JobView, made_from, name_of
from stylewatch_daemon.views.output_files import find, original_name

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


@dataclass(frozen=True)
class Card:
    """A job in the gallery or in a list; `state` as people see it."""

    id: str
    name: str
    state: str
    made_from: str
    finished: str
    reason: str
    image: Image | None

    @property
    def has_output(self) -> bool:
        """True if the job has a final picture."""
        return self.state in PICTURES


@dataclass(frozen=True)
class RunningJob:
    """A running job with its progress; `is_stage` is False if `image` is still the content image.

    `where` is the size and the device, `left` the time that is left; all empty if unknown.
    """

    view: JobView
    percent: int
    progress: str
    left: str
    where: str
    image: Image | None
    is_stage: bool


def card(state: Path, job: Job) -> Card:
    """Return the card of a job, with its output, or its content image if it has none."""
    name, image = name_of(job), None
    if job.seen in PICTURES:
        image = picture(state, job, "final", f"{name}, output")
    return Card(
        id=job.id,
        name=name,
        state=job.seen,
        made_from=made_from(job),
        finished=job.finished or "",
        reason=job.reason,
        image=image or next(inputs(job, "content"), None),
    )


def running_job(state: Path, view: JobView) -> RunningJob:
    """Return a running job with its newest picture, of a clip the newest frame."""
    status, job, image = view.running, view.job, None
    step, steps, left = status["step"], status["steps"], status["seconds_left"]
    if painted := newest(job):
        what, at = painted
        image = picture(state, job, what, f"{view.name} after {view.unit} {at}", LARGE_SIDE)
    size = in_pixels(status["size"]) if status["size"] else ""
    return RunningJob(
        view=view,
        percent=100 * step // steps if steps else 0,
        progress=f"{view.unit} {step} of {steps}" if steps else "preparing",
        left="" if left is None else f"{duration(left)} left",
        where=" on ".join(filter(None, (size, status["device"]))),
        image=image or next(inputs(job, "content", CARD_SIDE), None),
        is_stage=image is not None,
    )


def picture(state: Path, job: Job, what: str, alt: str, side: int = CARD_SIDE) -> Image | None:
    """Return a preview of the picture `what`, of `side` pixels at most; None if there is none.

    With LARGE_SIDE it is the picture itself if browsers show it and it is not too large to send.
    `state` is the state folder.
    """
    found = find(job, state, what)
    if found is None:
        return None
    found.file.close()
    is_small = found.suffix in BROWSER_FORMATS and found.size <= MAX_DIRECT_BYTES
    if side == LARGE_SIDE and is_small:
        return Image(_own_file(job, what, found.sha256), alt)
    return Image(_preview(job, what, side, found.sha256), alt)


def moving(state: Path, job: Job, what: str, alt: str, suffixes: Collection[str]) -> Image | None:
    """Return the clip or animation `what` itself, of any size, as its preview would not move.

    None unless it has one of these suffixes.
    """
    found = find(job, state, what)
    if found is None:
        return None
    found.file.close()
    is_shown = found.suffix in suffixes
    return Image(_own_file(job, what, found.sha256), alt) if is_shown else None


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
                src=_preview(job, f"input-{number}", side, file.sha256),
                alt=f"{ROLES[role]} {name}",
                width=width,
                height=height,
                name=name,
                number=number,
                digest=file.sha256 if role == "style" else "",
            )


def _own_file(job: Job, what: str, sha256: str) -> str:
    return f"/jobs/{job.id}/pictures/{what}?d={sha256[:32]}"


def _preview(job: Job, what: str, side: int, sha256: str) -> str:
    return f"/jobs/{job.id}/small/{side}/{what}?d={sha256[:32]}"
