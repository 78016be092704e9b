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

from stylewatch_daemon.errors import InputError, OutputError
from stylewatch_daemon.files import atomic
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.ingest import watcher
from stylewatch_daemon.model import JobState
from stylewatch_daemon.outbox import status_json
from stylewatch_daemon.outbox.job_files import frames, stages
from stylewatch_daemon.settings.config import Config
from stylewatch_daemon.settings.job import as_text
from stylewatch_daemon.settings.style_library import find_styles
from stylewatch_daemon.store.ledger import (
    COUNTED_AS,
    DISMISSIBLE,
    FILE_NAME,
    Entry,
    Ledger,
    reading,
)
from stylewatch_daemon.store.requests import is_paused
from stylewatch_daemon.store.thumbs import SIDE
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

RETRIABLE: tuple[str, ...] = (JobState.FAILED, JobState.CANCELED)
"""States after which a job can end in another way without any change."""

ENDED = (JobState.DONE, JobState.FAILED, JobState.REFUSED, JobState.CANCELED)
"""The states that the gallery can show."""

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

_NOT_COMPARED = ("name", "final", "flat", "priority", "file_names")
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

    def job(self, job_id: str) -> Entry | None:
        """The job with exactly this id; raises OutputError where the ledger cannot be read."""
        with self.ledger() as ledger:
            entry = ledger.find(job_id)
        return entry if entry is not None and entry.id == job_id else None

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
    """A finished job."""

    id: str
    name: str
    state: str
    made_from: str
    finished: str
    reason: str
    image: Image | None


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
    wish: str


@dataclass(frozen=True)
class Health:
    """State of the daemon; `free` is the free disk space in words, empty where it is unknown."""

    at_work: bool
    paused: bool
    has_events: bool
    """False where file events do not work, and the inboxes are scanned instead."""
    scan_s: float | None
    """Seconds between two scans, where an inbox has no file events; None: all have them."""
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
    counted_as: str
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

    @property
    def is_dismissible(self) -> bool:
        """True while the status lists the job among the failed and refused ones."""
        return self.view.entry.state in DISMISSIBLE and not self.view.entry.dismissed

    @property
    def is_clip(self) -> bool:
        """True where the content is a clip: its stages are frames."""
        return self.clip is not None or self.view.entry.frames > 1

    @property
    def is_over(self) -> bool:
        """True once the job has ended."""
        return self.view.entry.state in ENDED


class PageData:
    """Makes the records from what `reader` reads; safe for threads.

    Methods raise OutputError where the ledger cannot be read.
    """

    def __init__(self, settings: Config, reader: Reader) -> None:
        self._settings, self._reader = settings, reader
        # once, as the daemon's Watcher does: a dead mount would stop each visitor
        self._is_watched = all(
            watcher.has_events(inbox.path, settings.watch.polling) for inbox in settings.inboxes
        )
        self._images = ImageLinks(reader.state)

    def overview(self) -> Overview:
        """The first page."""
        status = self._reader.published()
        with self._reader.ledger() as ledger:
            jobs = [(ledger.find(job["id"]), job) for job in status["running"]]
            running = tuple(self._running(entry, job) for entry, job in jobs if entry is not None)
            failed = ledger.undismissed(FAILED)
            recent = ledger.ended(JobState.DONE, RECENT)
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

    def card(self, entry: Entry) -> Card:
        """A finished job, with its content image where there is no output."""
        name = name_of(entry)
        image = None
        if entry.state == "done":
            image = self._images.small(entry, "final", f"{name}, output")
        if image is None:
            image = next(self._images.inputs(entry, "content", SIDE), None)
        sides = [" and ".join(_own_names(entry, role)) for role in ("content", "style")]
        return Card(
            id=entry.id,
            name=name,
            state=entry.state,
            made_from=" in the style of ".join(filter(None, sides)),
            finished=entry.finished or "",
            reason=entry.reason,
            image=image,
        )

    def job(self, job_id: str) -> JobPage | None:
        """The page of the job with this id; None where there is none."""
        with self._reader.ledger() as ledger:
            entry, attempts = ledger.find(job_id), ledger.attempts(job_id)
        if entry is None or entry.id != job_id:
            return None
        jobs = self._reader.published()["running"]
        running = next((self._running(entry, job) for job in jobs if job["id"] == entry.id), None)
        view = job_view(entry, attempts, jobs, self._reader.trail(entry.id))
        stages = tuple(self._stages(view))
        newest = self._newest_frame(entry) if running else None
        if newest and newest.step > max(view.steps, default=0):
            stages = (*stages, newest)
        images, name = self._images, view.name
        receipt = json.dumps(view.receipt_json, indent=2, ensure_ascii=False)
        clip = images.whole(entry, "final", f"{name}, painted clip", BROWSER_CLIPS)
        # a preview of a film, such as one that browsers do not play, is its first frame
        is_film = clip is not None or entry.frames > 1
        final = None if is_film else images.large(entry, "final", f"{name}, output")
        if final and stages:  # the last stage is the output, which may be enlarged
            stages = (*stages[:-1], replace(stages[-1], large=final))
        return JobPage(
            view=view,
            counted_as=COUNTED_AS[entry.state],
            running=running,
            # of a clip it shows the first frame, and the stages show others
            before=None if stages and entry.frames > 1 else self._before(entry),
            after=final or (stages[-1].large if stages else None),
            stages=stages,
            animation=images.whole(
                entry, "animation", f"{name}, animation of all stages", BROWSER_FORMATS
            ),
            clip=clip,
            inputs=tuple(image for role in _ROLES for image in images.inputs(entry, role, SIDE)),
            variants=tuple(self._variants(entry)),
            receipt=receipt if view.receipt_json and len(receipt) <= MAX_RECEIPT else "",
            command=submit_command(entry) if entry.settings else "",
        )

    def library(self) -> tuple[tuple[str, Image, str], ...]:
        """The styles of the library: name, preview, and the text in the file beside it."""
        with suppress(OSError):
            return tuple(_library(self._settings.pairing.styles))
        return ()

    def _before(self, entry: Entry) -> Image | None:
        """The content image; None for a file that was refused before it was read as a picture."""
        for number, plain in enumerate(entry.inputs):
            is_picture = entry.state != JobState.REFUSED or "pixels" in plain
            if plain.get("role") == "content" and is_picture:
                alt = f"{name_of(entry)}, content image"
                return self._images.large(entry, f"input-{number}", alt)
        return None

    def _variants(self, entry: Entry) -> Iterator[tuple[Card, Mapping[str, str]]]:
        """All jobs with the content image of `entry`, the latest first; none where it is alone."""
        sha256 = next((p.get("sha256") for p in entry.inputs if p.get("role") == "content"), None)
        with self._reader.ledger() as ledger:
            jobs = ledger.with_content(sha256, MAX_VARIANTS) if sha256 else []
        entries = [each for each in jobs if each.series != each.id]
        if not {each.id for each in entries} - {entry.id}:
            return
        settings = [_compared(each) for each in entries]
        begun = [plain for plain in settings if plain]
        keys = dict.fromkeys(key for plain in begun for key in plain)
        differing = [key for key in keys if len({plain.get(key) for plain in begun}) > 1]
        for each, plain in zip(entries, settings, strict=True):
            differs = {key: plain.get(key, "by the recipe") for key in differing if plain}
            yield self.card(each), differs

    def _stages(self, view: JobView) -> Iterator[StageImages]:
        steps = view.steps
        stride = max(1, math.ceil(len(steps) / MAX_STAGES))
        for step in dict.fromkeys([*steps[::stride], *steps[-1:]]):
            at = f"{view.unit} {step}"
            large = self._images.large(view.entry, f"stage-{step}", f"{view.name} after {at}")
            small = self._images.small(view.entry, f"stage-{step}", at, SIDE)
            if large and small:
                yield StageImages(step, large, small)

    def _newest_frame(self, entry: Entry) -> StageImages | None:
        """The last painted frame of a clip, where it is not encoded yet."""
        for number in reversed(frames(entry)):
            alt = f"{name_of(entry)} after frame {number + 1}"
            image = self._images.large(entry, f"frame-{number}", alt)
            return StageImages(number + 1, image, image) if image else None
        return None

    def _running(self, entry: Entry, status: Mapping[str, Any]) -> RunningJob:
        step, steps, left = status["step"], status["steps"], status["seconds_left"]
        name, newest = name_of(entry), next(reversed(stages(entry)), None)
        frame = self._newest_frame(entry)
        stage = frame and frame.large
        if stage is None and newest is not None:
            alt = f"{name} after {status['unit']} {newest}"
            stage = self._images.large(entry, f"stage-{newest}", alt)
        return RunningJob(
            id=entry.id,
            name=name,
            percent=100 * step // steps if steps else 0,
            progress=f"{status['unit']} {step} of {steps}" if steps else "preparing",
            left="" if left is None else f"{duration(left)} left",
            device=status["device"],
            size=in_pixels(status["size"]) if status["size"] else "",
            curve=loss_curve(entry, steps, self._reader.trail(entry.id)),
            image=stage or next(self._images.inputs(entry, "content", CARD_SIDE), None),
            is_stage=stage is not None,
            wish=entry.wish,
        )

    def _health(self, status: Mapping[str, Any], ledger: Ledger) -> Health:
        health = status["health"]
        has_events, watch = health["observer"] is not False, self._settings.watch
        hour_ago = (datetime.now(UTC) - timedelta(hours=1)).isoformat(timespec="seconds")
        return Health(
            at_work=health["at_work"],
            paused=health["paused"],
            has_events=has_events,
            scan_s=None if has_events and self._is_watched else min(watch.rescan_s, watcher.POLL_S),
            trouble=tuple(health["trouble"]),
            notes=tuple(health.get("notes", ())),
            counts=status["counts"],
            done_last_hour=ledger.done_since(hour_ago),
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


def _compared(entry: Entry) -> dict[str, str]:
    """The settings of a job when it began, by their dotted names, and the names of its styles."""
    settings = {
        key: value for key, value in (entry.settings or {}).items() if key not in _NOT_COMPARED
    }
    styles = [original_name(entry, plain) for plain in entry.inputs if plain.get("role") == "style"]
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


def _own_names(entry: Entry, role: str) -> list[str]:
    """Names under which the inputs of a `role` were dropped, but for those that say just that."""
    names = [original_name(entry, plain) for plain in entry.inputs if plain.get("role") == role]
    return [name for name in names if not name.startswith((f"{role}.", f"{role}-"))]


def style_names(entries: Iterable[Entry]) -> dict[str, str]:
    """Names of the style images of jobs, by their digests; one name each."""
    names: dict[str, str] = {}
    for entry in entries:
        own = _own_names(entry, "style")
        for plain in entry.inputs:
            if plain.get("role") == "style" and plain.get("sha256"):
                name = original_name(entry, plain)
                # Many styles are called style.jpg: there the job says which one it is.
                shown_name = name if name in own else f"{name} of {name_of(entry)}"
                names.setdefault(plain["sha256"], shown_name)
    return names


class ImageLinks:
    """Makes the addresses of pictures, which hold their digests; `state` is the state folder.

    So what a browser has kept under an address never becomes stale.
    """

    def __init__(self, state: Path) -> None:
        self._state = state

    def small(self, entry: Entry, what: str, alt: str, side: int = CARD_SIDE) -> Image | None:
        """A preview of the picture `what`, of `side` pixels at most; None where there is none."""
        sha256, _, _ = self._file(entry, what)
        return Image(_preview(entry, what, side, sha256), alt) if sha256 else None

    def large(self, entry: Entry, what: str, alt: str) -> Image | None:
        """The picture `what` itself, or a large preview of it; None where there is none."""
        sha256, suffix, size = self._file(entry, what)
        if suffix in BROWSER_FORMATS and size <= MAX_DIRECT_BYTES:
            return Image(_own_file(entry, what, sha256), alt)
        return Image(_preview(entry, what, LARGE_SIDE, sha256), alt) if sha256 else None

    def whole(self, entry: Entry, what: str, alt: str, formats: Collection[str]) -> Image | None:
        """The moving picture `what` itself; None where there is none in one of the `formats`.

        It has any size: a preview would be its first frame.
        """
        sha256, suffix, _ = self._file(entry, what)
        return Image(_own_file(entry, what, sha256), alt) if suffix in formats else None

    def _file(self, entry: Entry, what: str) -> tuple[str, str, int]:
        """SHA-256, ending and bytes of the picture `what`; empty where there is none."""
        picture = find(entry, self._state, what)
        if picture is None:
            return "", "", 0
        with picture.file as file:
            _, _, size, _ = file_version(file)
        return picture.sha256, Path(picture.spot.name).suffix.lower(), size

    def inputs(self, entry: Entry, role: str, side: int) -> Iterator[Image]:
        """Previews of all inputs of a `role`."""
        for number, plain in enumerate(entry.inputs):
            if plain.get("role") == role and plain.get("sha256"):
                name, sha256 = original_name(entry, plain), plain["sha256"]
                alt = f"{_ROLES[role]} {name}"
                src = _preview(entry, f"input-{number}", side, sha256)
                digest = sha256 if role == "style" else ""
                width, height = plain.get("pixels", (0, 0))
                yield Image(src, alt, width, height, name, number, digest)


def _own_file(entry: Entry, what: str, sha256: str) -> str:
    return f"/jobs/{entry.id}/pictures/{what}?d={sha256[:32]}"


def _preview(entry: Entry, what: str, side: int, sha256: str) -> str:
    return f"/jobs/{entry.id}/small/{side}/{what}?d={sha256[:32]}"
