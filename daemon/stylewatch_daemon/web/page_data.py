"""Contents of the pages: frozen records made from status.json, the ledger and the outbox."""

import json
import math
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shutil import disk_usage
from typing import Any
from urllib.parse import quote

from stylewatch_daemon.app import status_json
from stylewatch_daemon.base.errors import InputError, OutputError
from stylewatch_daemon.base.model import PICTURES, REFUSALS, End, Job
from stylewatch_daemon.files import atomic
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.intake.watch import SCAN_S
from stylewatch_daemon.ledger.ledger import FILE_NAME, Ledger, Order, Search, reading
from stylewatch_daemon.ledger.requests import is_paused
from stylewatch_daemon.ledger.thumbs import SIDE
from stylewatch_daemon.outbox.job_files import frames, stages
from stylewatch_daemon.settings.config import Config
from stylewatch_daemon.settings.job import as_text
from stylewatch_daemon.settings.style_library import find_styles
from stylewatch_daemon.views.formatting import duration, memory
from stylewatch_daemon.views.formatting import size as in_pixels
from stylewatch_daemon.views.job import (
    Curve,
    JobView,
    Point,
    dotted,
    job_view,
    loss_curve,
    name_of,
    submit_command,
)
from stylewatch_daemon.views.output_files import file_version, find, original_name

RETRIABLE = (End.FAILED, End.CANCELED)
"""Ends after which a retry without changes can succeed."""

GALLERY: Mapping[str, tuple[End, ...]] = {
    "done": PICTURES,
    "failed": (End.FAILED,),
    "refused": (End.REFUSED,),
    "canceled": (End.CANCELED,),
}
"""The ends of the jobs that the gallery shows, by its tabs."""

REQUESTS: Mapping[End | None, str] = {
    None: "",
    End.CANCELED: "cancel",
    End.STOPPED_EARLY: "finish",
}
"""What the owner of a job asked for, in a word."""

RECENT, FAILED = 12, 8
"""Numbers of finished jobs, and of failed or refused ones, on the first page."""

CARD_SIDE, LARGE_SIDE = 512, 1600
"""Pixels of the longer side of a picture on a card, and of one that fills a page."""

MAX_DIRECT_BYTES = 3 << 20
"""Bytes up to which a picture's own file is shown large; of a larger one a preview is made."""

BROWSER_FORMATS = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif"})
"""Endings of the pictures that every browser shows."""

BROWSER_CLIPS = frozenset({".mp4", ".webm"})
"""Endings of the clips that browsers play."""

MAX_STAGES = 200
"""Stages on the page of a job; of more than that some in between are left out."""

MAX_RECEIPT = 200_000
"""Characters of a receipt that is shown on the page; a longer one can be downloaded."""

MAX_VARIANTS = 24
"""Jobs with the same content image that a page shows."""

MAX_LIBRARY, MAX_SOURCE = 200, 300
"""Styles of the library that a form shows, and characters of a source."""

_NOT_COMPARED = ("name", "final", "priority", "file_names")
"""Settings that do not change the picture."""

POLL_EVERY_S = 0.2
"""Seconds between two looks for a new status.json."""

MAX_TRAIL = 1024
"""Losses of a running job that are remembered: those after its losses.csv."""


class Reader:
    """Reads what the daemon of the state folder `state` has written; safe for threads.

    `clock` is monotonic, in seconds.
    """

    def __init__(self, state: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.state, self._clock = state, clock
        self._lock = threading.Lock()
        self._read_at = -float("inf")
        self._file_content: Mapping[str, Any] = {}
        self._status: dict[str, Any] = {}
        self._trails: dict[str, list[Point]] = {}
        self.seen: Hashable = None
        """The inode, mtime and size of the status.json that `published` returned last."""

    def published(self) -> dict[str, Any]:
        """The latest status.json with all its keys; read-only.

        `health.at_work` and `health.paused` are as they are now, not as they were published.
        """
        with self._lock:
            if self._clock() - self._read_at >= POLL_EVERY_S:
                self._read_at = self._clock()
                self._read_status()
            return self._status

    def trail(self, job_id: str) -> Sequence[Point]:
        """The losses of a running job as they were published: more than losses.csv has yet."""
        with self._lock:
            return tuple(self._trails.get(job_id, ()))

    def ledger(self) -> AbstractContextManager[Ledger]:
        """Open the ledger; raises OutputError where it cannot be read."""
        return reading(self.state / FILE_NAME)

    def job(self, job_id: str) -> Job | None:
        """The job with exactly this id; raises OutputError where the ledger cannot be read."""
        with self.ledger() as ledger:
            return ledger.get(job_id)

    def _read_status(self) -> None:
        seen = None
        with suppress(OSError):
            status = (self.state / status_json.FILE_NAME).stat()
            seen = (status.st_ino, status.st_mtime_ns, status.st_size)
        if seen is None or seen != self.seen:
            self.seen, self._file_content = seen, status_json.read(self.state) or {}
            running = self._file_content.get("running", ())
            self._trails = {job["id"]: self._extended_trail(job) for job in running}
        plain = {**status_json.nothing(), **self._file_content}
        at_work = False
        with suppress(OutputError):
            at_work = status_json.is_at_work(self.state)
        now = {"at_work": at_work, "paused": is_paused(self.state)}
        self._status = {**plain, "health": {**plain["health"], **now}}

    def _extended_trail(self, job: Mapping[str, Any]) -> list[Point]:
        """Add a step; later ones go, as those of a job that went back to an earlier step."""
        trail = self._trails.get(job["id"], [])
        if job["loss"] is not None and job["step"]:
            del trail[bisect_left(trail, (job["step"], -math.inf)) :]
            trail.append((job["step"], job["loss"]))
            del trail[:-MAX_TRAIL]
        return trail


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
    """A running job; `is_stage` is false where `image` is still the content image."""

    id: str
    name: str
    percent: int
    progress: str
    left: str
    device: str
    size: str
    curve: Curve | None
    image: Image | None
    is_stage: bool
    requested: str
    """What its owner asked for: `cancel`, `finish`, or nothing."""


@dataclass(frozen=True)
class Health:
    """State of the daemon; `free` is the free disk space in words, empty where it is unknown."""

    at_work: bool
    paused: bool
    scan_s: float | None
    """Least seconds between two scans, if an inbox has no file events; None: all have them."""
    trouble: tuple[str, ...]
    notes: tuple[str, ...]
    counts: Mapping[str, int]
    done_last_hour: int
    free: str
    devices: tuple[str, ...]
    version: str

    @property
    def word(self) -> str:
        """The state in a word or two."""
        if not self.at_work:
            return "not running"
        if self.paused:
            return "paused"
        if self.trouble:
            return "blocked"
        return "running" if self.counts["running"] else "idle"

    @property
    def sentence(self) -> str:
        """The state in a sentence."""
        return {
            "not running": "stylewatch is not running: new jobs wait until it is started.",
            "paused": "Paused: running jobs are finished, and no new job starts.",
            "blocked": "Some jobs cannot run now.",
            "running": "Everything works: pictures are being painted.",
            "idle": "Everything works: no job is running.",
        }[self.word]


@dataclass(frozen=True)
class Overview:
    """The first page; the `queue` may be only the beginning of the jobs that wait."""

    health: Health
    running: tuple[RunningJob, ...]
    queue: tuple[str, ...]
    incomplete: tuple[Mapping[str, Any], ...]
    failed: tuple[Card, ...]
    recent: tuple[Card, ...]


@dataclass(frozen=True)
class StageImages:
    """A stage: large, and small in the strip."""

    step: int
    large: Image
    small: Image


@dataclass(frozen=True)
class JobPage:
    """The page of a job: its view, with the addresses of its pictures."""

    view: JobView
    running: RunningJob | None
    before: Image | None
    after: Image | None
    stages: tuple[StageImages, ...]
    animation: Image | None
    clip: Image | None
    """The painted clip, where browsers can play it."""
    inputs: tuple[Image, ...]
    variants: tuple[tuple[Card, Mapping[str, str]], ...]
    """All jobs with this content image, this one too, with the settings in which they differ."""
    receipt: str
    command: str
    newer: Job | None
    older: Job | None
    """The jobs beside this one in the gallery."""

    @property
    def is_dismissible(self) -> bool:
        """True while the status lists the job among the failed and refused ones."""
        return self.view.job.seen in REFUSALS and not self.view.job.dismissed

    @property
    def is_clip(self) -> bool:
        """True where the content is a clip: its stages are frames."""
        return self.clip is not None or self.view.job.frames > 1

    @property
    def is_over(self) -> bool:
        """True once the job has ended."""
        return self.view.job.has_ended

    @property
    def requested(self) -> str:
        """What the owner of the job asked for: `cancel`, `finish`, or nothing."""
        return REQUESTS[self.view.job.asked]


class PageData:
    """Makes the records from what `reader` reads; safe for threads.

    Methods raise OutputError where the ledger cannot be read.
    """

    def __init__(self, settings: Config, reader: Reader) -> None:
        self._settings, self._reader = settings, reader
        self._images = ImageLinks(reader.state)

    def overview(self) -> Overview:
        """The first page."""
        status = self._reader.published()
        with self._reader.ledger() as ledger:
            known = [(ledger.get(plain["id"]), plain) for plain in status["running"]]
            running = tuple(self._running(job, plain) for job, plain in known if job is not None)
            failed = ledger.undismissed(FAILED)
            recent = ledger.ended(PICTURES, RECENT)
            health = self._health(status, ledger)
        return Overview(
            health=health,
            running=running,
            queue=tuple(status["waiting"]),
            incomplete=tuple(status["incomplete"]),
            failed=tuple(map(self.card, failed)),
            recent=tuple(map(self.card, recent)),
        )

    def health(self) -> Health:
        """State of the daemon."""
        with self._reader.ledger() as ledger:
            return self._health(self._reader.published(), ledger)

    def card(self, job: Job) -> Card:
        """A job with its output, or its content image if it has none."""
        name = name_of(job)
        image = None
        if job.seen in PICTURES:
            image = self._images.small(job, "final", f"{name}, output")
        if image is None:
            image = next(self._images.inputs(job, "content", SIDE), None)
        sides = [" and ".join(_own_names(job, role)) for role in ("content", "style")]
        return Card(
            id=job.id,
            name=name,
            state=job.seen,
            made_from=" in the style of ".join(filter(None, sides)),
            finished=job.finished or "",
            reason=job.reason,
            image=image,
        )

    def job(self, job_id: str) -> JobPage | None:
        """The page of the job with this id; None where there is none."""
        with self._reader.ledger() as ledger:
            job, attempts = ledger.get(job_id), ledger.attempts(job_id)
        if job is None:
            return None
        jobs = self._reader.published()["running"]
        running = next((self._running(job, each) for each in jobs if each["id"] == job.id), None)
        view = job_view(job, attempts, jobs, self._reader.trail(job.id))
        stages = tuple(self._stages(view))
        newest = self._newest_frame(job) if running else None
        if newest and newest.step > max(view.steps, default=0):
            stages = (*stages, newest)
        images, name = self._images, view.name
        receipt = json.dumps(view.receipt_json, indent=2, ensure_ascii=False)
        clip = images.whole(job, "final", f"{name}, painted clip", BROWSER_CLIPS)
        # a preview of a film, such as one that browsers do not play, is its first frame
        is_film = clip is not None or job.frames > 1
        final = None if is_film else images.large(job, "final", f"{name}, output")
        if final and stages:  # the last stage is the output, which may be enlarged
            stages = (*stages[:-1], replace(stages[-1], large=final))
        return JobPage(
            view=view,
            running=running,
            # of a clip it shows the first frame, and the stages show others
            before=None if stages and job.frames > 1 else self._before(job),
            after=final or (stages[-1].large if stages else None),
            stages=stages,
            animation=images.whole(
                job, "animation", f"{name}, animation of all stages", BROWSER_FORMATS
            ),
            clip=clip,
            inputs=tuple(image for role in _ROLES for image in images.inputs(job, role, SIDE)),
            variants=tuple(self._variants(job)),
            receipt=receipt if view.receipt_json and len(receipt) <= MAX_RECEIPT else "",
            command=submit_command(job) if job.settings else "",
            newer=self._beside(job, "oldest"),
            older=self._beside(job, "newest"),
        )

    def _beside(self, job: Job, order: Order) -> Job | None:
        """The job after `job` on its tab of the gallery, in this order."""
        ends = next((ends for ends in GALLERY.values() if job.end in ends), ())
        with self._reader.ledger() as ledger:
            found = ledger.ended(ends, 1, Search(order=order), (job.finished or "", job.id))
        return next(iter(found), None)

    def library(self) -> tuple[tuple[str, Image, str], ...]:
        """The styles of the library: name, preview, and the text in the file beside it."""
        with suppress(OSError):
            return tuple(_library(self._settings.pairing.styles))
        return ()

    def _before(self, job: Job) -> Image | None:
        """The content image; None for a file that was refused before it was read as a picture."""
        for number, file in enumerate(job.inputs):
            is_picture = job.end is not End.REFUSED or file.pixels is not None
            if file.role == "content" and is_picture:
                alt = f"{name_of(job)}, content image"
                return self._images.large(job, f"input-{number}", alt)
        return None

    def _variants(self, job: Job) -> Iterator[tuple[Card, Mapping[str, str]]]:
        """All jobs with the content image of `job`, the latest first; none where it is alone."""
        sha256 = next((file.sha256 for file in job.inputs if file.role == "content"), "")
        with self._reader.ledger() as ledger:
            jobs = ledger.with_content(sha256, MAX_VARIANTS) if sha256 else []
        if not {each.id for each in jobs} - {job.id}:
            return
        settings = [_compared(each) for each in jobs]
        begun = [plain for plain in settings if plain]
        keys = dict.fromkeys(key for plain in begun for key in plain)
        differing = [key for key in keys if len({plain.get(key) for plain in begun}) > 1]
        for each, plain in zip(jobs, settings, strict=True):
            differs = {key: plain.get(key, "by the recipe") for key in differing if plain}
            yield self.card(each), differs

    def _stages(self, view: JobView) -> Iterator[StageImages]:
        steps = view.steps
        stride = max(1, math.ceil(len(steps) / MAX_STAGES))
        for step in dict.fromkeys([*steps[::stride], *steps[-1:]]):
            at = f"{view.unit} {step}"
            large = self._images.large(view.job, f"stage-{step}", f"{view.name} after {at}")
            small = self._images.small(view.job, f"stage-{step}", at, SIDE)
            if large and small:
                yield StageImages(step, large, small)

    def _newest_frame(self, job: Job) -> StageImages | None:
        """The last painted frame of a clip, where it is not encoded yet."""
        for number in reversed(frames(job)):
            alt = f"{name_of(job)} after frame {number + 1}"
            image = self._images.large(job, f"frame-{number}", alt)
            return StageImages(number + 1, image, image) if image else None
        return None

    def _running(self, job: Job, status: Mapping[str, Any]) -> RunningJob:
        step, steps, left = status["step"], status["steps"], status["seconds_left"]
        name, newest = name_of(job), next(reversed(stages(job)), None)
        frame = self._newest_frame(job)
        stage = frame and frame.large
        if stage is None and newest is not None:
            alt = f"{name} after {status['unit']} {newest}"
            stage = self._images.large(job, f"stage-{newest}", alt)
        return RunningJob(
            id=job.id,
            name=name,
            percent=100 * step // steps if steps else 0,
            progress=f"{status['unit']} {step} of {steps}" if steps else "preparing",
            left="" if left is None else f"{duration(left)} left",
            device=status["device"],
            size=in_pixels(status["size"]) if status["size"] else "",
            curve=loss_curve(job, steps, self._reader.trail(job.id)),
            image=stage or next(self._images.inputs(job, "content", CARD_SIDE), None),
            is_stage=stage is not None,
            requested=REQUESTS[job.asked],
        )

    def _health(self, status: Mapping[str, Any], ledger: Ledger) -> Health:
        health = status["health"]
        hour_ago = (datetime.now(UTC) - timedelta(hours=1)).isoformat(timespec="seconds")
        return Health(
            at_work=health["at_work"],
            paused=health["paused"],
            scan_s=None if health["events"] else min(self._settings.watch.rescan_s, SCAN_S),
            trouble=tuple(health["trouble"]),
            notes=tuple(health.get("notes", ())),
            counts=status["counts"],
            done_last_hour=ledger.count_ended(PICTURES, since=hour_ago),
            free=self._free(),
            devices=tuple(sorted({job["device"] for job in status["running"] if job["device"]})),
            version=health["version"] or "",
        )

    def _free(self) -> str:
        with suppress(OSError, ValueError):
            least = min(disk_usage(inbox.outbox).free for inbox in self._settings.inboxes)
            return f"{memory(least)} free"
        return ""


_ROLES = {"content": "content image", "style": "style image", "init": "initial image"}


def _compared(job: Job) -> dict[str, str]:
    """The settings of a job when it began, by their dotted names, and the names of its styles."""
    settings = {
        key: value for key, value in (job.settings or {}).items() if key not in _NOT_COMPARED
    }
    styles = [original_name(job, file) for file in job.inputs if file.role == "style"]
    compared = {key: shown(as_text(value)) for key, value in dotted(settings)}
    return {"style": ", ".join(styles), **compared} if settings else {}


def _library(folder: Path) -> Iterator[tuple[str, Image, str]]:
    styles = {
        name: path for name, path in find_styles(folder, "all").items() if name == shown(name)
    }
    for name, path in list(styles.items())[:MAX_LIBRARY]:
        source = b""
        with suppress(OSError, InputError), atomic.open_regular(folder / f"{name}.txt") as file:
            source = file.read(4 * MAX_SOURCE)
        with suppress(OSError):
            src = f"/library/small/{quote(name)}?v={path.stat().st_mtime_ns}"
            text = " ".join(source.decode(errors="replace").split())[:MAX_SOURCE]
            yield name, Image(src, ""), shown(text)


def _own_names(job: Job, role: str) -> list[str]:
    """Names under which the inputs of a `role` were dropped, but for those that say just that."""
    names = [original_name(job, file) for file in job.inputs if file.role == role]
    return [name for name in names if not name.startswith((f"{role}.", f"{role}-"))]


def style_names(jobs: Iterable[Job]) -> dict[str, str]:
    """Names of the style images of jobs, by their digests; one name each."""
    names: dict[str, str] = {}
    for job in jobs:
        own = _own_names(job, "style")
        for file in job.inputs:
            if file.role == "style" and file.sha256:
                name = original_name(job, file)
                # Many styles are called style.jpg: there the job says which one it is.
                shown_name = name if name in own else f"{name} of {name_of(job)}"
                names.setdefault(file.sha256, shown_name)
    return names


class ImageLinks:
    """Makes the addresses of pictures, which hold their digests; `state` is the state folder.

    So what a browser has kept under an address never becomes stale.
    """

    def __init__(self, state: Path) -> None:
        self._state = state

    def small(self, job: Job, what: str, alt: str, side: int = CARD_SIDE) -> Image | None:
        """A preview of the picture `what`, of `side` pixels at most; None where there is none."""
        sha256, _, _ = self._file(job, what)
        return Image(_preview(job, what, side, sha256), alt) if sha256 else None

    def large(self, job: Job, what: str, alt: str) -> Image | None:
        """The picture `what` itself, or a large preview of it; None where there is none."""
        sha256, suffix, size = self._file(job, what)
        if suffix in BROWSER_FORMATS and size <= MAX_DIRECT_BYTES:
            return Image(_own_file(job, what, sha256), alt)
        return Image(_preview(job, what, LARGE_SIDE, sha256), alt) if sha256 else None

    def whole(self, job: Job, what: str, alt: str, formats: Collection[str]) -> Image | None:
        """The moving picture `what` itself; None where there is none in one of the `formats`.

        It has any size: a preview would be its first frame.
        """
        sha256, suffix, _ = self._file(job, what)
        return Image(_own_file(job, what, sha256), alt) if suffix in formats else None

    def _file(self, job: Job, what: str) -> tuple[str, str, int]:
        """SHA-256, ending and bytes of the picture `what`; empty where there is none."""
        picture = find(job, self._state, what)
        if picture is None:
            return "", "", 0
        with picture.file as file:
            _, _, size, _ = file_version(file)
        return picture.sha256, Path(picture.spot.name).suffix.lower(), size

    def inputs(self, job: Job, role: str, side: int) -> Iterator[Image]:
        """Previews of all inputs of a `role`."""
        for number, file in enumerate(job.inputs):
            if file.role == role and file.sha256:
                name, sha256 = original_name(job, file), file.sha256
                alt = f"{_ROLES[role]} {name}"
                src = _preview(job, f"input-{number}", side, sha256)
                digest = sha256 if role == "style" else ""
                width, height = file.pixels or (0, 0)
                yield Image(src, alt, width, height, name, number, digest)


def _own_file(job: Job, what: str, sha256: str) -> str:
    return f"/jobs/{job.id}/pictures/{what}?d={sha256[:32]}"


def _preview(job: Job, what: str, side: int, sha256: str) -> str:
    return f"/jobs/{job.id}/small/{side}/{what}?d={sha256[:32]}"
