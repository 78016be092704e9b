"""A training from files to a file: progress, preview sheets, and a state from which it goes on."""

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
from stylewatch_learned.learning import LAYERS, Learning, LearningSettings
from stylewatch_painter import regular_file
from stylewatch_painter.errors import (
    CheckpointError,
    NotLearnedError,
    PainterError,
    WeightsError,
)
from stylewatch_painter.images import read_clip, sheet
from stylewatch_painter.images.clip import LARGEST_FRAME, ClipLimits
from stylewatch_painter.images.decode import NeededSize, long_side
from stylewatch_painter.images.encode import encode
from stylewatch_painter.images.read import read
from stylewatch_painter.images.resize import resize, resize_plane
from stylewatch_painter.network import store
from stylewatch_painter.scene.task import Style
from stylewatch_painter.size import Size
from stylewatch_painter.stage import Pixels
from stylewatch_plugins.torch_autograd import TorchAutograd

MEASURED = 20
"""Number of steps after which the speed is known, and so the number of all steps."""

FEWEST = 200
"""Minimum number of steps, however short the time is."""

REPORT_S, SAVE_S, PREVIEW_S = 10.0, 20.0, 120.0
"""Seconds between two lines of progress, two saved states, and two preview sheets."""

FROM_CLIP, MOST_FRAMES = 8, 1_000_000
"""Number of frames of a clip that are learned from, and maximum number of its frames."""

SHOWN = 6
"""Maximum number of photographs on a preview sheet."""

STATE, PREVIEW = "state", "preview.jpg"
"""Files in the folder of a training: what was learned so far, and a sheet of paintings."""

Report = Callable[[str], object]
"""Function that tells people the progress of a training, in a line."""


class LearningError(PainterError):
    """A file of a training cannot be written, or is something else."""

    exit_code = 73


@dataclass(frozen=True)
class Wanted:
    """Options of a training.

    `side` is the long side in pixels of the paintings that it is for. The training takes so many
    `steps` or, if they are None, about so many `minutes`, on a `device` of torch or on the best.
    With `anew` it begins anew if what was learned so far is of other pictures or settings.
    """

    minutes: float
    side: int = SIDE
    steps: int | None = None
    device: str = "auto"
    anew: bool = False


def learn_styles(
    styles: Sequence[Path], photographs: Sequence[Path], minutes: float, report: Report
) -> None:
    """Learn the styles that no learned style is for yet, each within some `minutes`.

    Raises as `train` does.
    """
    for style in styles:
        try:
            digest = read(style, needed_size=NeededSize(long_side(1))).sha256
            learned_style.of(digest, style.name)
        except NotLearnedError:
            train(style, photographs, None, Wanted(minutes, anew=True), report)


def train(
    style: Path, photographs: Sequence[Path], target: Path | None, wanted: Wanted, report: Report
) -> Path:
    """Learn a style, and write it to `target`, by default into the owner's folder; return the path.

    Raises PictureError for a file that is no picture, BackendMissingError without the device, and
    as `Training` and `Training.run` do.
    """
    _check_temporary_folder()
    painting = _seen(style, wanted.side, report)
    pictures, digests = list[Pixels](), list[str]()
    for path in photographs:
        if read_clip.is_clip(path):
            pictures += _frames(path, wanted.side)
            digests.append(_digest(path))
        else:
            photograph = _seen(path, wanted.side, report)
            pictures.append(photograph.picture)
            digests.append(photograph.sha256)
    about = About(
        painting.sha256, style.name, tuple(digests), 0, {}, {}, learned_style.palette_of(painting)
    )
    path = target or _own_path(style.stem, about)
    settings = LearningSettings(side=wanted.side)
    vgg = TorchAutograd({"device": wanted.device}).network(LAYERS)
    learning = Learning(painting, pictures, vgg, wanted.steps or FEWEST, settings)
    training = Training(learning, pictures, path, about, report)
    with training.alone():
        training.run(wanted)
    return path


class Training:
    """A training that writes to the file `target`, and goes on after a stop.

    `about` says which pictures it learns from; `photographs` are float32 (height, width, 3). Beside
    the target lies a folder of the training. Raises LearningError if something else has its name or
    that of the target, such as what was learned from another painting: nothing of people is
    replaced.
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
        """Number of the steps that are saved."""
        self._pace = 0.0
        """Seconds of a step."""
        _check_target(target, about)
        with _writing(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            if {path.name for path in regular_file.listed(self._folder)} - {STATE, PREVIEW}:
                raise LearningError(f"{self._folder} has other files: move them away, or use -o")

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other trainings from the folder; raises LearningError while one is there."""
        with _writing(self._folder):
            folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError:
            raise LearningError(f"{self._folder} is used by another training: wait") from None
        finally:
            os.close(folder)

    def run(self, wanted: Wanted) -> None:
        """Train to the end, for the steps or the time that are `wanted`.

        A stop loses the steps since the last saved state, from which the next run goes on. Raises
        DivergedError if the loss is no longer a number, and LearningError if a file cannot be
        written, or if the saved state is of another training.
        """
        learning = self._learning
        self._restore(anew=wanted.anew)
        learning.steps = wanted.steps or learning.steps
        self._save()  # now, not after minutes, it shows that files can be written there
        began, first = time.monotonic(), learning.step
        due = {self._report: REPORT_S, self._save: SAVE_S, self._preview: PREVIEW_S}
        next_at = {action: began + every for action, every in due.items()}
        try:
            while learning.step < learning.steps:
                learning.learn()
                now = time.monotonic()
                self._pace = (now - began) / (learning.step - first)
                if wanted.steps is None and learning.step == MEASURED:
                    learning.steps = max(FEWEST, round(60 * wanted.minutes / self._pace))
                for action, every in due.items():
                    if now >= next_at[action]:
                        action()
                        next_at[action] = now + every
        except (KeyboardInterrupt, SystemExit):  # perhaps in the middle of a step
            self._tell(f"the same command goes on from step {self._saved}")
            raise
        self._preview()
        about = replace(self._about, steps=learning.step, losses=learning.losses,
                        recipe=learning.recipe)  # fmt: skip
        with _writing(self._target):
            learned_style.write(self._target, learning.best().tensors, about)
            (self._folder / STATE).unlink(missing_ok=True)

    def _restore(self, *, anew: bool) -> None:
        """Go on from what an earlier command has learned from the same pictures, if anything."""
        try:
            saved = (self._folder / STATE).read_bytes()
        except FileNotFoundError:
            return
        try:
            self._learning.restore(saved, self._about.identity)
        except CheckpointError as error:
            if anew:
                return
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
        """Write a sheet of some photographs as the network paints them now."""
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
    """Translate an OSError of the block into a LearningError about `path`."""
    try:
        yield
    except OSError as error:
        raise LearningError(f"{path} cannot be written: {error.strerror or error}") from error


def _check_temporary_folder() -> None:
    """Raise LearningError without a folder for temporary files, which torch's optimizers need."""
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        raise LearningError(
            "none of the folders for temporary files, such as /tmp, can be written: set TMPDIR to "
            "a folder that can"
        ) from None


def _own_path(stem: str, about: About) -> Path:
    """Return a path in the owner's folder that no style learned from another painting has."""
    path = learned_style.folder() / f"{stem}{SUFFIX}"
    try:
        _check_target(path, about)
    except LearningError:
        return path.with_name(f"{stem}-{about.style[:8]}{SUFFIX}")
    return path


def _check_target(target: Path, about: About) -> None:
    """Raise LearningError if there is a file that was not learned from the same painting."""
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


def _frames(path: Path, side: int) -> list[Pixels]:
    """Return some frames from all over a clip, with a long side of so many pixels."""
    limits = ClipLimits(LARGEST_FRAME, MOST_FRAMES)
    count = read_clip.inspect(path, limits).frames
    chosen = {number * count // FROM_CLIP for number in range(FROM_CLIP)}
    return [
        resize(frame.pixels, size.times(side / size.long))
        for frame in read_clip.frames(path, limits)
        if frame.number in chosen
        for size in (Size.of(frame.pixels),)
    ]


def _digest(path: Path) -> str:
    with regular_file.opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _seen(path: Path, side: int, report: Report) -> Style:
    """Read a picture, and shrink or enlarge it to a long side of so many pixels."""
    picture = read(path, needed_size=NeededSize(long_side(side)))
    size = picture.size.times(side / picture.size.long)
    mask = None if picture.alpha is None else resize_plane(picture.alpha, size)
    for warning in picture.warnings:
        report(f"{path.name}: {warning}")
    return Style(resize(picture.pixels, size), path.name, mask=mask, sha256=picture.sha256)
