"""The state folder.

  state/ledger.sqlite3 all jobs, attempts, published files and requests
  state/claims/ID/     a job that is being moved out of an inbox; for a group, one folder for each
                       job in the folder of the first; with RETRY before the ID, copies for a job
                       that runs again
  state/jobs/ID/       a claimed job: claim.json (its files and sources), files/, the checkpoint
  state/thumbs/        thumbnails of inputs, named by the digests of the files
  state/previews/      larger previews made for the page, named in the same way
  state/uploads/       uploads to the page in progress
  state/tries/         photographs that the page shows in every style; see `app.tries`
  state/favorites/     the marks of favorites; see `favorites`
  state/styles/        copies of the default styles; see `style_key`
  state/trash/         folders about to be removed
  state/settings.yaml  a copy of config.yaml, with which the daemon restarts; the copy before it is
                       settings.earlier.yaml
  state/status.json    the status of the daemon
  state/paused         exists while no job is started
  state/wake           a pipe: writing to it wakes the daemon
  state/lock           held by the daemon that works here; worker.lock by its worker

The rename from claims to jobs commits a claim. The end of a job is recorded in the ledger before
its folder is removed.
"""

import hashlib
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from stylewatch_daemon.base import shortages
from stylewatch_daemon.base.errors import DaemonError, OutputError
from stylewatch_daemon.files import atomic, entries
from stylewatch_daemon.files.identity import Look
from stylewatch_daemon.ledger.claim import FILES, Claim, is_held, load

RETRY = "retry-"
"""Prefix of a folder of claims that has only copies, and may therefore be removed."""

LEDGER, LOCK, WAKE = "ledger.sqlite3", "lock", "wake"
PREVIEWS, UPLOADS, TRIES, FAVORITES = "previews", "uploads", "tries", "favorites"
"""Names of the folders of previews made for the page, of uploads to it, of its tries, and of the
marks of favorites."""


@contextmanager
def reading_below(state: Path) -> Iterator[None]:
    """Convert an OSError of the block, which reads in `state`, to an OutputError with advice.

    Clients may run as another user than the daemon, and only the daemon's user may read `state`.
    """
    try:
        yield
    except DaemonError:
        raise
    except OSError as error:
        raise OutputError(
            f"the state folder {state} cannot be read ({error.strerror or error}): "
            "ask as the user whom the daemon runs as"
        ) from error


class StateDir:
    """The state folder `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.claims = root / "claims"
        self.jobs = root / "jobs"
        self.trash = root / "trash"
        self.thumbs = root / "thumbs"
        self.previews = root / PREVIEWS
        self.uploads = root / UPLOADS
        self.tries = root / TRIES
        self.favorites = root / FAVORITES
        self.styles = root / "styles"
        self.lock = root / LOCK
        self.worker_lock = root / "worker.lock"
        self.ledger = root / LEDGER
        self.wake = root / WAKE
        self._former_tries: list[Path] = []
        """Folders of tries of earlier processes, which are still to be removed."""
        self._is_swept = False
        """True once the temporary files of earlier processes are removed."""

    @shortages.translated("the state folder cannot be used")
    def make(self) -> None:
        """Create the state folder, for this user alone, with its pipe and main folders, if missing.

        The main folders are those of claims, jobs, trash and favorites. Then empty trash and tries,
        and remove temporary files, as far as possible. Raises OutputError if an entry has the name
        of a folder or the pipe but is of another kind, or if an entry cannot be created;
        ShortageError if the machine is short of file descriptors.
        """
        make_root(self.root)
        folders = (self.claims, self.jobs, self.trash, self.thumbs, self.previews, self.uploads,
                   self.tries, self.styles, self.favorites)  # fmt: skip
        for path in (*folders, self.wake):
            is_pipe = path == self.wake
            is_right = stat.S_ISFIFO if is_pipe else stat.S_ISDIR
            status = entries.status(path)
            if status is not None and not is_right(status.st_mode):
                kind = "pipe" if is_pipe else "folder"
                raise OutputError(f"{path} is not a {kind}, as stylewatch needs it: move it away")
        for folder in (self.claims, self.jobs, self.trash, self.favorites):
            atomic.make_folder(folder)
        entries.make_pipe(self.wake)
        self._former_tries = [self.tries / name for name in entries.names(self.tries)]
        self.tidy()

    def tidy(self) -> None:
        """Empty the trash and remove temporary files, as far as possible.

        Each call removes the temporary files of this process. The temporary files and the tries of
        earlier processes, which were killed, are removed until one call has removed all of them.
        """
        entries.attempt_emptying(self.trash)
        self._former_tries = [
            folder for folder in self._former_tries if not entries.attempt_removal(folder)
        ]
        for folder in (self.root, self.favorites):
            atomic.attempt_sweep(folder, ours=True)
        if not self._is_swept:
            folders = self.root, self.jobs, self.favorites
            swept = [atomic.attempt_sweep(each, ours=False) for each in folders]
            self._is_swept = all(swept)

    def probe(self) -> None:
        """Write and remove a file in the state folder; raises OSError if that is impossible."""
        atomic.probe(self.root)

    def files(self, job_id: str) -> Path:
        """Return the folder of the claimed files of a job."""
        return self.jobs / job_id / FILES

    def input_names(self, job_id: str) -> list[str]:
        """Return the names of the claimed files of a job; none if their folder is a link."""
        folder = self.files(job_id)
        return entries.names(folder) if entries.is_own_folder(folder) else []

    def is_held(self, job_id: str) -> bool:
        """Return whether the inbox may still have a claimed job's folder, or files held for it."""
        return is_held(self.jobs / job_id)

    def style_copies(self) -> Mapping[str, tuple[Path, str]]:
        """Return the copies of default styles, each a path and its SHA-256, by `style_key`."""
        names = {name.partition("-"): name for name in entries.names(self.styles) if "-" in name}
        return {key: (self.styles / name, sha256) for (key, _, sha256), name in names.items()}

    def claims_of(self, inbox: Path) -> Iterator[Claim]:
        """Yield the claims of jobs from an inbox, in the order of the ids, without damaged claims.

        A damaged claim is reported when it is needed for its job.
        """
        for job_id in sorted(self.claimed()):
            try:
                claim = load(self.jobs / job_id)
            except ValueError:
                continue
            if claim.inbox == inbox:
                yield claim

    def claimed(self) -> set[str]:
        """Return the ids of the jobs whose claim is complete."""
        return {name for name in entries.names(self.jobs) if not name.startswith(".")}

    def retry(self, new_id: str) -> Path:
        """Return the folder in which the files of the retry `new_id` are gathered."""
        return self.claims / f"{RETRY}{new_id}"

    def discard(self, job_id: str, *, durable: bool = False) -> None:
        """Remove the folder of a job that has ended and has no inputs any more.

        With `durable` the folder does not come back after a power cut. Raises OSError if there are
        still inputs, or the folder cannot be removed now.
        """
        entries.remove_empty(self.files(job_id))
        if entries.exists(self.files(job_id)):
            raise OutputError(f"{self.files(job_id)} is not empty: its files are kept")
        atomic.discard(self.jobs / job_id, self.trash)
        if durable:
            atomic.sync_folder(self.jobs)


def make_root(root: Path) -> None:
    """Create the state folder, if it is missing, for this user alone."""
    atomic.make_folder(root)
    entries.attempt_mode(root, 0o700)  # a folder of another user fails when it is used


def style_key(path: Path, looked: Look) -> str:
    """Return the key of the copy of a default style: a digest of its path, size and time."""
    name = f"{looked.size} {looked.mtime_ns} {path}"
    return hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()[:32]
