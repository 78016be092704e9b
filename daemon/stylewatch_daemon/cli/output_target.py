"""Output of `stylewatch render`: one picture, or a folder with all files of a job."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from stylewatch_daemon.base.errors import DaemonError, OutputError, UsageError
from stylewatch_daemon.files import atomic, entries
from stylewatch_daemon.files.names import FINAL, candidates, first_free
from stylewatch_daemon.outbox import job_files
from stylewatch_daemon.outbox.publish import INPUTS, RECEIPT, STAGES
from stylewatch_daemon.settings.job import FORMATS
from stylewatch_painter.errors import PainterError


@dataclass(frozen=True)
class Place:
    """The place of an output: the picture or clip `path`, or the folder `path` without a `format`.

    In a folder, `final` is the file name of the final picture. `default_name` is set for a picture
    whose path the owner did not choose: a number is added to it while the path is taken.
    """

    path: Path
    format: str | None = None
    final: str = f"{FINAL}.png"
    default_name: str = ""

    def check_free(self, *, force: bool) -> None:
        """Raise OutputError if the output would replace a file, unless `force` is set."""
        names = (RECEIPT, STAGES, INPUTS, self.final)
        for path in [self.path] if self.format else [self.path / name for name in names]:
            check_free(path, force=force)


def named(out: str) -> Place:
    """Return the place that `-o OUT` names: a folder, or a picture or clip by its suffix.

    Raises UsageError for another suffix, and OutputError if the status of the path cannot be read.
    """
    path = Path(out)
    suffix = path.suffix.lower()
    with reporting_write_errors(path):
        if out.endswith(("/", os.sep)) or entries.is_folder(path):
            return Place(path)
    if suffix and suffix not in FORMATS:
        raise UsageError(
            f"{suffix} cannot be written; {', '.join(FORMATS)} can: {out}. A folder ends in /"
        )
    return Place(path, FORMATS.get(suffix))


def unnamed(name: str, suffix: str) -> Place:
    """Return the place of an unused file in the current folder: `name`, with a number if needed.

    `suffix` is its format, without a dot.
    """
    return Place(unused(name, f".{suffix}"), suffix, default_name=name)


def unused(name: str, ending: str = "") -> Path:
    """Return an unused path in the current folder: `name` with `ending`, and a number if needed."""
    names = candidates(name, ending)
    with reporting_write_errors(Path(name)):
        return Path(first_free(names, lambda name: entries.exists(Path(name))))


def check_free(path: Path, *, force: bool) -> None:
    """Raise OutputError if `path` exists, unless `force` is set."""
    with reporting_write_errors(path):
        if entries.exists(path) and not force:
            raise OutputError(f"{path} is already there; --force replaces it")


@contextmanager
def reporting_write_errors(path: Path) -> Iterator[None]:
    """Convert an OSError in the context to an OutputError about `path`."""
    try:
        yield
    except (DaemonError, PainterError):
        raise
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from error


@contextmanager
def opened(place: Place, inputs: Sequence[Path], *, force: bool) -> Iterator["Target"]:
    """Yield a Target with a new staging folder; raises OutputError if `place` cannot be used.

    An output folder is created if missing, and gets copies of `inputs` in its subfolder `inputs`;
    some may be in this subfolder already. At the end, the staging folder is removed, and so is a
    created output folder that is empty.
    """
    is_folder = place.format is None
    place.check_free(force=force)
    home = place.path if is_folder else place.path.parent
    made = is_folder and not entries.exists(home)
    staging = None
    try:
        with reporting_write_errors(home):
            if made:
                home.mkdir()
            staging = Path(tempfile.mkdtemp(prefix=".stylewatch-", dir=home))
        yield Target(place, staging, inputs, force=force)
    finally:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)
        if made:
            with suppress(OSError):  # the folder is not empty, or could not be made
                home.rmdir()


class Target:
    """Publisher of the files of a job, staged in `staging`, at a `place`.

    In a folder, the files replace those of an earlier job. The old receipt is removed first and the
    new one published last, so that no receipt ever describes other files. Inputs are replaced just
    before the receipt, because the job may read the old ones. Without `force`, nothing is replaced
    that another command has written in the meantime.
    """

    def __init__(self, place: Place, staging: Path, inputs: Sequence[Path], *, force: bool) -> None:
        self._place = place
        self.path = place.path
        self.staging = staging
        self._inputs = inputs
        self._force = force
        self._copies: list[str] | None = None
        """Names of the copies of the inputs; None before the first file is published."""

    def publish(self, staged: str) -> None:
        """Move the file `staging / staged` to its place atomically; raises OutputError.

        If the place is not a folder, delete the file unless it is the final picture.
        """
        with reporting_write_errors(self.path):
            if self._place.format is None:
                self._publish_in_folder(staged)
            elif Path(staged).stem == FINAL:
                if self._place.default_name:
                    self.path = unused(self._place.default_name, self.path.suffix)
                else:
                    self._place.check_free(force=self._force)
                atomic.move(self.staging / staged, self.path)
            else:
                (self.staging / staged).unlink()

    def _publish_in_folder(self, staged: str) -> None:
        if self._copies is None:
            self._place.check_free(force=self._force)
            self._copies = self._copy_inputs()
            self._remove_earlier_job()
        for name in (*(self._copies if staged == RECEIPT else ()), staged):
            atomic.make_folder((self.path / name).parent)
            atomic.move(self.staging / name, self.path / name)

    def _copy_inputs(self) -> list[str]:
        """Copy the inputs into the staging folder, as they are now; return the names of the copies.

        Their owner may change them later.
        """
        copies = list[str]()
        atomic.make_folder(self.staging / INPUTS)
        for path in self._inputs:
            names = candidates(f"{INPUTS}/{path.stem}", path.suffix)
            copies.append(first_free(names, lambda name: name in copies))
            atomic.copy(path.resolve(), self.staging / copies[-1])
        return copies

    def _remove_earlier_job(self) -> None:
        """Remove the receipt of an earlier job, then its stages; files with other names stay."""
        (self.path / RECEIPT).unlink(missing_ok=True)
        atomic.sync_folder(self.path)
        for name in entries.names(self.path / STAGES):
            if job_files.STAGE.fullmatch(name):
                (self.path / STAGES / name).unlink()
