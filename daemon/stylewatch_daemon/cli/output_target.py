"""Where a painting goes that was asked for by command: one picture, or a folder with everything."""

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from stylewatch_daemon.errors import OutputError, UsageError
from stylewatch_daemon.files import atomic
from stylewatch_daemon.files.names import FINAL, candidates
from stylewatch_daemon.outbox import job_files
from stylewatch_daemon.outbox.publish import RECEIPT

FORMATS = {".png": "png", ".jpg": "jpg", ".jpeg": "jpg", ".webp": "webp", ".tif": "tiff",
           ".tiff": "tiff"}  # fmt: skip
_OTHERS = frozenset(
    [".avif", ".bmp", ".gif", ".heic", ".heif", ".jp2", ".pdf", ".ppm", ".psd", ".svg", ".tga"]
)


@dataclass(frozen=True)
class Place:
    """`path` is a picture of `format`, or where that is None a folder with the picture `final`."""

    path: Path
    format: str | None = None
    final: str = f"{FINAL}.png"


def named(out: str) -> Place:
    """Return the target of `-o OUT`: a folder if it exists or ends in `/`, else by its suffix.

    Raises UsageError for the suffix of a picture that cannot be written.
    """
    path = Path(out).expanduser()
    suffix = path.suffix.lower()
    if out.endswith(("/", os.sep)) or path.is_dir():
        return Place(path)
    if suffix in _OTHERS:
        raise UsageError(f"{suffix} cannot be written; {', '.join(FORMATS)} can: {out}")
    return Place(path, FORMATS.get(suffix))


def unnamed(name: str, picture_format: str) -> Place:
    """The picture of that name in the current folder, with a number where that is taken."""
    paths = (Path(f"{one}.{picture_format}") for one in candidates(name))
    return Place(next(path for path in paths if not path.exists()), picture_format)


@contextmanager
def opened(place: Place, *, force: bool) -> Iterator["Out"]:
    """An Out to publish through; its staging folder goes at the end, however that comes.

    Raises OutputError before anything else happens: `place` is taken, and `force` not given,
    or it cannot be written.
    """
    _check_free(place, force)
    home = place.path.parent if place.format else place.path
    made = place.format is None and not home.exists()
    staging = None
    try:
        staging = _staging(home, make=made)
        yield Out(place, staging)
    finally:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)
        if made:
            with suppress(OSError):  # it holds a stage, or was never made
                home.rmdir()


def _check_free(place: Place, force: bool) -> None:
    inside = (place.path / name for name in (RECEIPT, "stages", "inputs", place.final))
    for path in [place.path] if place.format else inside:
        if path.exists() and not force:
            raise OutputError(f"{path} is already there; --force replaces it")


def _staging(home: Path, *, make: bool) -> Path:
    try:
        if make:
            home.mkdir()
        return Path(tempfile.mkdtemp(prefix=".stylewatch-", dir=home))
    except OSError as error:
        raise OutputError(f"{home} cannot be written to: {error.strerror}") from error


class Out:
    """Publishes staged files, each whole."""

    def __init__(self, place: Place, staging: Path) -> None:
        self.place = place
        self.staging = staging
        self._begun = False

    def publish(self, staged: str) -> None:
        """Move the finished file `staging / staged` to where it belongs; raises OutputError.

        Of all files of a job, a place for one picture takes the final one only.
        """
        source = self.staging / staged
        with self._written():
            if self.place.format is None:
                self._clear()
                target = self.place.path / staged
                atomic.make_folder(target.parent)
                atomic.move(source, target)
            elif Path(staged).stem == FINAL:
                atomic.move(source, self.place.path)
            else:
                source.unlink()

    def stage_inputs(self, pictures: Iterable[Path]) -> tuple[str, ...]:
        """Copy `pictures` into the staging folder, so that the job can be repeated.

        The names that `publish` takes: none where one picture is all that is wanted. Raises
        OutputError.
        """
        if self.place.format is not None:
            return ()
        folder = self.staging / "inputs"
        staged: list[str] = []
        with self._written():
            atomic.make_folder(folder)
            for picture in pictures:
                names = (f"inputs/{stem}{picture.suffix}" for stem in candidates(picture.stem))
                name = next(name for name in names if name not in staged)
                atomic.copy(picture.resolve(), self.staging / name)
                staged.append(name)
        return tuple(staged)

    def _clear(self) -> None:
        """Before the first file, take away what an earlier job left: its receipt before all."""
        if self._begun:
            return
        self._begun = True
        folder = self.place.path
        stages = (folder / "stages").glob("*")
        earlier = [path for path in stages if job_files.STAGE.fullmatch(path.name)]
        with suppress(OSError):  # there is no receipt, or none to be believed
            earlier += [folder / name for name in job_files.unchanged(folder)]
        (folder / RECEIPT).unlink(missing_ok=True)
        for path in earlier:
            path.unlink()

    @contextmanager
    def _written(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(f"{self.place.path} cannot be written: {error.strerror}") from error
