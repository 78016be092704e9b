"""Output of `stylewatch render`: one picture, or a folder with all files of a job."""

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from stylewatch_daemon.base.errors import DaemonError, OutputError, UsageError
from stylewatch_daemon.cli.options import expanded
from stylewatch_daemon.files import atomic
from stylewatch_daemon.files.names import FINAL, candidates
from stylewatch_daemon.outbox import job_files
from stylewatch_daemon.outbox.publish import RECEIPT
from stylewatch_daemon.settings.job import FORMATS
from stylewatch_painter.errors import PainterError

CLIPS = ("mp4", "webm", "mkv")
"""The FORMATS of clips."""

_INPUTS = "inputs/"

_UNSUPPORTED = frozenset(
    [".avif", ".bmp", ".gif", ".heic", ".heif", ".jp2", ".pdf", ".ppm", ".psd", ".svg", ".tga"]
)


@dataclass(frozen=True)
class Place:
    """`path` is a picture or clip of `format`, or where that is None a folder with `final`."""

    path: Path
    format: str | None = None
    final: str = f"{FINAL}.png"


def named(out: str) -> Place:
    """Return the target of `-o OUT`: an existing folder, one that ends in `/`, or by its suffix."""
    path = expanded(Path(out))
    suffix = path.suffix.lower()
    with reporting_write_errors(path):
        if out.endswith(("/", os.sep)) or path.is_dir():
            return Place(path)
    if path.name.lower() in FORMATS:
        picture = path.with_name(f"painted{path.name}")
        raise UsageError(f"{out} is an extension without a name: name the picture, as {picture}")
    if suffix in _UNSUPPORTED:
        raise UsageError(f"{suffix} cannot be written; {', '.join(FORMATS)} can: {out}")
    return Place(path, FORMATS.get(suffix))


def unnamed(name: str, suffix: str) -> Place:
    """Return the file `name` in the current folder, numbered if that exists."""
    paths = (Path(f"{candidate}.{suffix}") for candidate in candidates(name))
    with reporting_write_errors(Path(name)):
        return Place(next(path for path in paths if not path.exists()), suffix)


def check_free(path: Path, *, force: bool) -> None:
    """Raise OutputError where `path` exists, unless `force`."""
    with reporting_write_errors(path):
        if path.exists() and not force:
            raise OutputError(f"{path} is already there; --force replaces it")


@contextmanager
def reporting_write_errors(path: Path) -> Iterator[None]:
    """Raise OutputError where `path` cannot be written."""
    try:
        yield
    except (DaemonError, PainterError):
        raise
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from error


@contextmanager
def opened(place: Place, *, force: bool) -> Iterator["Target"]:
    """Open a Target, with a staging folder; raises OutputError where `place` cannot be used."""
    is_folder = place.format is None
    names = (RECEIPT, "stages", "inputs", place.final)
    for path in [place.path / name for name in names] if is_folder else [place.path]:
        check_free(path, force=force)
    home = place.path if is_folder else place.path.parent
    made = is_folder and not home.exists()
    staging = None
    try:
        with reporting_write_errors(home):
            if made:
                home.mkdir()
            staging = Path(tempfile.mkdtemp(prefix=".stylewatch-", dir=home))
        yield Target(place, staging)
    finally:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)
        if made:
            with suppress(OSError):  # it has a stage, or was never made
                home.rmdir()


class Target:
    """Publishes staged files, each whole."""

    def __init__(self, place: Place, staging: Path) -> None:
        self.place = place
        self.staging = staging
        self._published: set[Path] = set()
        self._earlier_inputs: list[str] = []
        """Of the earlier job in the folder: this job may read them."""

    def publish(self, staged: str) -> None:
        """Move the file `staging / staged` to its place; as a picture, only the final one."""
        source = self.staging / staged
        with reporting_write_errors(self.place.path):
            if self.place.format is None:
                if not self._published:
                    self._remove_earlier_job()
                if staged.startswith(_INPUTS) or staged == RECEIPT:  # they come at the end
                    self._remove(self._earlier_inputs)
                target = self.place.path / staged
                if target not in self._published:
                    _keep_aside(target)
                self._published.add(target)
                atomic.make_folder(target.parent)
                atomic.move(source, target)
            elif Path(staged).stem == FINAL:
                atomic.move(source, self.place.path)
            else:
                source.unlink()

    def stage_inputs(self, pictures: Iterable[Path]) -> tuple[str, ...]:
        """Copy `pictures` to the staging of a folder; return their names for `publish`."""
        if self.place.format is not None:
            return ()
        staged: list[str] = []
        with reporting_write_errors(self.place.path):
            atomic.make_folder(self.staging / _INPUTS)
            for picture in pictures:
                names = (f"{_INPUTS}{stem}{picture.suffix}" for stem in candidates(picture.stem))
                name = next(name for name in names if name not in staged)
                atomic.copy(picture.resolve(), self.staging / name)
                staged.append(name)
        return tuple(staged)

    def _remove_earlier_job(self) -> None:
        """Remove the unchanged files of an earlier job in the folder, its receipt first.

        Its inputs remain, as this job may read them. Other stages, as those of an interrupted job,
        are moved away: they do not belong to this job.
        """
        folder, earlier = self.place.path, list[str]()
        with suppress(OSError):  # no receipt, or an invalid one
            earlier += job_files.unchanged(folder)
        if earlier:
            (folder / RECEIPT).unlink()
        else:
            _keep_aside(folder / RECEIPT)
        self._earlier_inputs = [name for name in earlier if name.startswith(_INPUTS)]
        self._remove([name for name in earlier if not name.startswith(_INPUTS)])
        stages = folder / "stages"
        if any(job_files.STAGE.fullmatch(path.name) for path in stages.glob("*")):
            _keep_aside(stages)

    def _remove(self, names: list[str]) -> None:
        """Remove files of the folder, and their names from the list."""
        while names:
            (self.place.path / names.pop()).unlink(missing_ok=True)


def _keep_aside(path: Path) -> None:
    """Rename what is at `path`, if anything, to a name that is free."""
    if os.path.lexists(path):
        names = (path.with_stem(stem) for stem in candidates(path.stem))
        path.rename(next(name for name in names if not os.path.lexists(name)))
