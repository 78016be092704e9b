"""Training from picture files to the file of a learned style: progress, previews and resuming."""

import fcntl
import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from stylewatch_learned import SIDE, SUFFIX, learned_style
from stylewatch_learned.learned_style import About, LearnedStyle
from stylewatch_learned.learning import LAYERS, LEAST_SIDE, Learning, LearningSettings
from stylewatch_painter import regular_file
from stylewatch_painter.errors import (
    CheckpointError,
    NotLearnedError,
    PainterError,
    PictureError,
    WeightsError,
)
from stylewatch_painter.images import read_clip, sheet
from stylewatch_painter.images.clip import ClipLimits
from stylewatch_painter.images.decode import NeededSize, long_side
from stylewatch_painter.images.encode import encode
from stylewatch_painter.images.read import MAX_PIXELS, read
from stylewatch_painter.images.resize import resize, resize_plane
from stylewatch_painter.network import store
from stylewatch_painter.scene.task import Style
from stylewatch_painter.size import Size
from stylewatch_painter.stage import Bytes, Pixels
from stylewatch_plugins.learning import LearnRequest
from stylewatch_plugins.torch_autograd import TorchAutograd

MEASURED = 20
"""Number of steps after which the speed is measured, to compute how many steps the time allows."""

FEWEST = 200
"""Minimum number of steps of a training with a time, however short the time is."""

REPORT_S, SAVE_S, PREVIEW_S = 10.0, 20.0, 120.0
"""Seconds between two lines of progress, two saved states, and two preview sheets."""

_LONGEST_STEM = 100
"""Maximum number of bytes that a style's name contributes to a file name."""

FROM_CLIP, MOST_FRAMES = 8, 1_000_000
"""Number of frames of a clip that are used as photographs, and maximum number of frames of the
clip."""

SHOWN = 6
"""Maximum number of photographs on a preview sheet."""

STATE, PREVIEW = "state", "preview.jpg"
"""Names of the files in the folder of a training: the saved state, and the latest preview sheet."""

Report = Callable[[str], object]
"""Function that shows users a line about the progress of a training."""


class LearningError(PainterError):
    """A file of a training cannot be written, or its name is in use by something else."""

    exit_code = 73


@dataclass(frozen=True)
class Wanted:
    """Options of a training.

    `side` is the long side, in pixels, of the paintings for which the style is learned. The
    training takes `steps` steps or, if that is None, about `minutes` minutes. `device` is a device
    of torch, or `auto` for the best one. With `is_unattended`, photographs that cannot be used are
    left out, and the default file name contains a digest, so that only trainings from the same
    pictures and settings share a name. A picture may have at most `max_pixels` pixels.
    """

    minutes: float
    side: int = SIDE
    steps: int | None = None
    device: str = "auto"
    is_unattended: bool = False
    max_pixels: int = MAX_PIXELS

    @property
    def length(self) -> str:
        """The requested time or number of steps, in words."""
        return f"{self.minutes} minutes" if self.steps is None else f"{self.steps} steps"


def learn_styles(request: LearnRequest, report: Report) -> None:
    """Train a network for each requested style that has no learned style yet.

    This is a `Learn` function. Raises OSError if a style cannot be read, and the errors of `train`.
    """
    device = str(request.options.get("device", "auto"))
    wanted = Wanted(
        request.minutes, device=device, is_unattended=True, max_pixels=request.max_pixels
    )
    for style in request.styles:
        try:
            learned_style.of(_digest(style), style.name)
        except NotLearnedError:
            train(style, request.photographs, None, wanted, report)


def train(
    style: Path, photographs: Sequence[Path], target: Path | None, wanted: Wanted, report: Report
) -> Path:
    """Train a network for a style, write it to a file, and return the path of the file.

    The path is `target`, by default one in the user's folder. Raises PictureError or
    FileNotFoundError for a picture that cannot be used; with `wanted.is_unattended`, for
    photographs only if all of them fail. Raises BackendMissingError if the device is missing, and
    the errors of `Training` and `Training.run`.
    """
    _check_temporary_folder()
    painting = _seen(style, wanted, report)
    pictures, digests = list[Pixels](), list[str]()
    failure: Exception | None = None
    for path in photographs:
        try:
            pictures += _photographs(path, wanted, report)
            digests.append(_digest(path))
        except (PictureError, FileNotFoundError) as error:
            if not wanted.is_unattended:
                raise
            report(f"{path.name} is left out: {error}")
            if failure is None or isinstance(error.__cause__ or error, OSError):
                failure = error  # a photograph that cannot be read now may be usable
    if failure is not None and not pictures:
        raise failure
    settings = LearningSettings(side=wanted.side)
    palette = learned_style.palette_of(painting)
    about = About(painting.sha256, style.name, tuple(digests), 0, {}, settings.recipe, palette)
    path = target or _own_path(style.stem, about, wanted)
    vgg = TorchAutograd({"device": wanted.device}).network(LAYERS)
    learning = Learning(painting, pictures, vgg, wanted.steps or FEWEST, settings)
    training = Training(learning, pictures, path, about, report)
    with training.alone():
        training.run(wanted)
    return path


class Training:
    """A training that writes to the file `target`, and continues after an interruption.

    `about` identifies the pictures that it learns from; `photographs`, float32 (height, width, 3),
    are for the preview sheets. The constructor creates a folder beside the target for the saved
    state and the preview sheet. Raises LearningError if the folder has other files, or if `target`
    exists and was not learned from the same style picture. No file of a user is replaced.
    """

    def __init__(
        self,
        learning: Learning,
        photographs: Sequence[Pixels],
        target: Path,
        about: About,
        report: Report,
    ) -> None:
        self._learning = learning
        self._photographs = photographs
        self._target = target
        self._about = about
        self._tell = report
        self._folder = target.with_suffix(".learning")
        self._saved = 0
        """Number of steps at the last saved state."""
        self._pace = 0.0
        """Mean duration of a step in seconds."""
        _check_target(target, about)
        with _writing(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            if {path.name for path in regular_file.listed(self._folder)} - {STATE, PREVIEW}:
                raise LearningError(f"{self._folder} has other files: move them away, or use -o")

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Lock the folder against other trainings during the block.

        Partly written files of a killed training are removed first. Raises LearningError if another
        training holds the lock, or if files cannot be written or removed.
        """
        with _writing(self._folder):
            folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise LearningError(f"{self._folder} is used by another training: wait") from None
            with _writing(self._folder):
                for path in self._folder.iterdir():
                    if path.suffix == ".part":  # a kill left it
                        path.unlink()
            yield
        finally:
            os.close(folder)

    def run(self, wanted: Wanted) -> None:
        """Train for the steps or the time of `wanted`, and write the learned style to the target.

        An interruption loses the steps since the last saved state, from which the next run
        continues. The state is removed at the end. Raises DivergedError if the loss is not finite,
        and LearningError if a file cannot be written, or if the saved state belongs to another
        training.
        """
        learning = self._learning
        self._restore()
        learning.steps = wanted.steps or learning.steps
        measured_at = (
            MEASURED if learning.asked in ("", wanted.length) else learning.step + MEASURED
        )
        learning.asked = wanted.length
        self._save()  # at once, to find out whether files can be written there
        began, first = time.monotonic(), learning.step
        due = {self._report: REPORT_S, self._save: SAVE_S, self._preview: PREVIEW_S}
        next_at = {action: began + every for action, every in due.items()}
        try:
            while learning.step < learning.steps:
                learning.learn()
                now = time.monotonic()
                self._pace = (now - began) / (learning.step - first)
                if wanted.steps is None and learning.step == measured_at:
                    learning.steps = max(FEWEST, round(60 * wanted.minutes / self._pace))
                for action, every in due.items():
                    if now >= next_at[action]:
                        action()
                        next_at[action] = now + every
        except (KeyboardInterrupt, SystemExit):  # perhaps in the middle of a step
            self._tell(f"the same command goes on from step {self._saved}")
            raise
        self._preview()
        best = learning.best()
        about = replace(self._about, steps=learning.step, losses=learning.losses)
        _check_target(self._target, self._about)  # another program may have written there
        with _writing(self._target):
            learned_style.write(self._target, best.tensors, about)
            (self._folder / STATE).unlink(missing_ok=True)

    def _restore(self) -> None:
        """Restore the state that an earlier command saved in the folder, if there is one.

        Raises LearningError if the state is damaged, or belongs to other pictures or settings.
        """
        try:
            saved = (self._folder / STATE).read_bytes()
        except FileNotFoundError:
            return
        try:
            self._learning.restore(saved, self._about.identity)
        except CheckpointError as error:
            raise LearningError(
                f"{self._folder / STATE} is of an unfinished training: {error}; repeat its "
                "command, remove that folder, or name another file with -o"
            ) from error
        self._saved = self._learning.step
        self._tell(f"goes on from step {self._saved}")

    def _report(self) -> None:
        learning = self._learning
        left = (learning.steps - learning.step) * self._pace
        losses = ", ".join(f"{name} {value:.3f}" for name, value in learning.losses.items())
        self._tell(
            f"step {learning.step} of {learning.steps}, {left / 60:.1f} minutes left"
            f"{losses and f': {losses}'}"
        )

    def _save(self) -> None:
        path = self._folder / STATE
        with _writing(path):
            store.write_file(path, self._learning.save(self._about.identity))
        self._saved = self._learning.step

    def _preview(self) -> None:
        """Write a sheet with the current paintings of up to SHOWN photographs."""
        network = self._learning.network
        cells = []
        for photograph in self._photographs[:SHOWN]:
            cells.append(sheet.Cell(picture=network.paint(photograph)))
        drawn = encode(sheet.draw(sheet.in_rows(cells, 3)), format="jpg")
        path = self._folder / PREVIEW
        with _writing(path):
            store.write_file(path, drawn)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Convert an OSError of the block to a LearningError about `path`."""
    try:
        yield
    except OSError as error:
        raise LearningError(f"{path} cannot be written: {error.strerror or error}") from error


def _check_temporary_folder() -> None:
    """Raise LearningError if there is no writable folder for temporary files.

    The optimizers of torch need one.
    """
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        raise LearningError(
            "none of the folders for temporary files, such as /tmp, can be written: set TMPDIR to "
            "a folder that can"
        ) from None


def _own_path(stem: str, about: About, wanted: Wanted) -> Path:
    """Return a path in the user's folder that no style learned from another picture has.

    The file name is `stem`, shortened if it is long. If something else has that name, the digest of
    the style is appended. An unattended training always appends a digest of all pictures and
    settings.
    """
    stem = stem.lstrip(".") or "style"  # hidden files are no learned styles
    short = os.fsencode(stem)[:_LONGEST_STEM].decode(errors="ignore")
    path = learned_style.folder() / f"{short}{SUFFIX}"
    if wanted.is_unattended:
        identity = f"{about.identity} {about.recipe}"  # another version may have other settings
        digest = hashlib.sha256(identity.encode()).hexdigest()
        return path.with_name(f"{short}-{digest[:8]}{SUFFIX}")
    try:
        _check_target(path, about)
    except LearningError:
        return path.with_name(f"{short}-{about.style[:8]}{SUFFIX}")
    return path


def _check_target(target: Path, about: About) -> None:
    """Raise LearningError if `target` exists and was not learned from the style of `about`."""
    with _writing(target):
        if regular_file.status(target, follow=False) is None:
            return
    try:
        is_same = LearnedStyle.at(target).about.style == about.style
    except WeightsError:
        is_same = False
    if not is_same:
        raise LearningError(
            f"{target} exists, and was not learned from {about.style_name}: name another file with "
            "-o"
        )


def _photographs(path: Path, wanted: Wanted, report: Report) -> list[Pixels]:
    """Read a photograph, or FROM_CLIP frames spread over a clip, resized to `wanted.side`.

    Raises PictureError if they cannot be read or are too narrow.
    """
    if not read_clip.is_clip(path):
        pictures = [_seen(path, wanted, report).picture]
    else:
        limits = ClipLimits(wanted.max_pixels, MOST_FRAMES)
        report(f"reads {path.name}")
        count = read_clip.inspect(path, limits).frames
        chosen = {number * count // FROM_CLIP for number in range(FROM_CLIP)}
        pictures = []
        for frame in read_clip.frames(path, limits):
            if frame.number in chosen:
                pictures.append(_sized(frame.pixels, wanted.side))
                report(f"has read frame {frame.number} of {path.name}")
            if len(pictures) == len(chosen):
                break
    if min(pictures[0].shape[:2]) < LEAST_SIDE:
        raise PictureError(f"{path.name} is too narrow to learn from: crop it")
    return pictures


def _sized(picture: Pixels | Bytes, side: int) -> Pixels:
    """Return a picture resized to a long side of `side` pixels."""
    size = Size.of(picture)
    return resize(picture, size.times(side / size.long))


def _digest(path: Path) -> str:
    with regular_file.opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _seen(path: Path, wanted: Wanted, report: Report) -> Style:
    """Read a picture, resized to the long side `wanted.side`, as a Style; report its warnings.

    Its alpha channel becomes the mask of the style.
    """
    picture = read(
        path, max_pixels=wanted.max_pixels, needed_size=NeededSize(long_side(wanted.side))
    )
    small = _sized(picture.pixels, wanted.side)
    mask = None if picture.alpha is None else resize_plane(picture.alpha, Size.of(small))
    for warning in picture.warnings:
        report(f"{path.name}: {warning}")
    return Style(small, path.name, mask=mask, sha256=picture.sha256)
