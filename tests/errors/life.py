"""A start of the daemon in this process, on disks that may fail, and what it leads to."""

import json
import re
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any

from tests.daemon import world as worlds
from tests.daemon.faults import replaced, tree
from tests.daemon.world import DaemonWorld
from tests.errors.calls import without_ids
from tests.errors.disks import Disks
from tests.errors.scenarios import FOLDERS, QuietPainter, Scenario

from stylewatch_daemon.base.model import End as JobEnd
from stylewatch_daemon.base.model import Job, State
from stylewatch_daemon.cli.exit_codes import explain
from stylewatch_daemon.ledger import favorites
from stylewatch_daemon.ledger.ledger import reading
from stylewatch_daemon.outbox.publish import RECEIPT, STAGING

MAY_END = (73, 75)
"""Exit codes of a start that cannot go on."""

SOON, LATER = 5.0, 130.0
"""Seconds between scans: while what was dropped is new, and then, when every wait is over."""

LASTS = 8
"""Number of scans for which a path stays unreadable."""

SCANS_SOON, SCANS = 3, 14
"""Number of the first scans, and of all within which everything must have ended."""

ROUNDS = 150
"""Maximum number of rounds between two scans."""

TEMPORARY = re.compile(r"\.stylewatch.*|\.submit.*|\.probe.*|\.input.*|.*\.tmp|.*\.new")
"""Names of temporary files and folders."""

JOB_FOLDERS = ("claims", "jobs", "trash", "uploads")
"""Folders of the state folder that are empty once all has ended."""


class End(StrEnum):
    """How a life of the daemon ended."""

    QUIET = "quiet"
    """Nothing was left to do."""
    STOPPED = "stopped"
    """It was killed after the fault, as the case demands."""
    EXITED = "exited"
    """An error ended it, with one of the codes MAY_END."""
    ESCAPED = "escaped"
    """Another error ended it."""
    HUNG = "hung"


class _StoppedError(BaseException):
    """Raised where the process is killed."""


class Life:
    """A start of a scenario in the folder `root`, until it is `quiet`, killed or ended by an error.

    It is quiet once nothing changes any more and all jobs have ended, with the result `wanted` if
    there is time for it. With `stops` it is killed at the end of the step in which the fault
    ceased. If the fault `lasts`, it ceases after LASTS scans.
    """

    def __init__(
        self,
        scenario: Scenario,
        root: Path,
        disks: Disks,
        wanted: dict[str, Any] | None = None,
        *,
        stops: bool = False,
        lasts: bool = False,
    ) -> None:
        self._lasts = lasts
        self._scenario, self._disks, self._wanted, self._stops = scenario, disks, wanted, stops
        self.world = scenario.world(root)
        if isinstance(self.world.executor, QuietPainter):
            self.world.executor.quiet = disks.paused
        self.end, self.why, self.place = End.QUIET, "", ""
        """How it ended, why, and the function of the daemon from which an error ended it."""
        self.behind: list[str] = []
        """Jobs that waited for what stayed unreadable, though it was not theirs."""
        self.lost: set[str] = set()
        """Contents that were in none of the folders at some moment."""

    def go(self) -> None:
        """Start the daemon, and let time pass."""
        with _quiet_inspector(self._disks), self._disks.planted():
            try:
                self._do(self.world.start)
                self._disks.is_start = False
                if self._lasts:
                    self._run_beside()
                self._run()
            except _StoppedError:
                self.end = End.STOPPED
            except Exception as error:
                code, text = explain(error)
                self.end = End.EXITED if code in MAY_END else End.ESCAPED
                phase = "the start" if self._disks.is_start else "the loop"
                places = _places(error)
                self.why = f"{phase} ended with {code}: {text} ({' < '.join(places)})"
                self.place = next(each for each in places if not each.startswith("files/"))
            with self._disks.paused():
                if self.end is End.QUIET:
                    self.world.close()
                self._look_for_kept()

    @property
    def is_start(self) -> bool:
        """True if it ended while the daemon was starting."""
        return self._disks.is_start

    def _run_beside(self) -> None:
        """Let a path be unreadable for a while, beside which all jobs must end that it is not of.

        A path that is nobody's may be in the way of all.
        """
        for number in range(LASTS):
            self._do(self.world.loop.scan)
            self._run_rounds()
            self._do(self.world.loop.update_status)
            self.world.wait(SOON if number < SCANS_SOON else LATER)
        with self._disks.paused():
            self._look_for_kept()
            path, wanted = self._disks.bound, (self._wanted or {}).get("states", [])
            names = {part.partition(".")[0] for part in path.split("/")}
            others = [
                job
                for job in self.world.jobs
                if job.id not in path and not {job.name, *job.name.split("/")} & names
            ]
            is_group = bool(self._scenario.library)  # one claim (law 5)
            if len(others) < len(wanted) and not is_group:
                found = states_of(others)
                self.behind = [" ".join(each) for each in found if each not in wanted]
        self._disks.healed = True

    def _run(self) -> None:
        """Scan and run rounds as the main loop does, until nothing changes between two scans."""
        loop, quiet = self.world.loop, 0
        for number in range(SCANS):
            changes = loop.jobs.changes
            self._do(loop.scan)
            self._run_rounds()
            self._do(loop.update_status)
            self.world.wait(SOON if number < SCANS_SOON else LATER)
            is_quiet = loop.jobs.changes == changes and self._has_ended()
            quiet = quiet + 1 if is_quiet else 0
            if quiet == 2:
                return

    def _run_rounds(self) -> None:
        loop, idle = self.world.loop, 0
        for _ in range(ROUNDS):
            changes = loop.jobs.changes
            self._do(loop.round)
            came = self._do(lambda: loop.wakeup.wait(0))
            idle = 0 if came or loop.jobs.changes != changes else idle + 1
            if idle > (3 if loop.attempts.running else 0):
                return

    def _do(self, act: Callable[[], Any]) -> Any:
        """Do a step of the daemon; look for what was dropped after those with the fault."""
        was_over = self._disks.is_over
        try:
            return act()
        finally:
            self._disks.end_step()
            if self._disks.hit is not None and not was_over:
                with self._disks.paused():
                    self._look_for_kept()
                if self._stops and self._disks.is_over:
                    raise _StoppedError

    def _has_ended(self) -> bool:
        """Return whether all is as it should be at the end."""
        with self._disks.paused():
            if self._wanted is not None:
                return states_of(self.world.jobs) == self._wanted["states"] and (
                    result(self.world) == self._wanted
                )
            with reading(self.world.state.ledger) as ledger:
                waiting = ledger.requests()
            return not waiting and all(job.has_ended for job in self.world.jobs)

    def _look_for_kept(self) -> None:
        """Look for all that was dropped in the folders."""
        paths = (path for name in FOLDERS for path in (self.world.root / name).rglob("*"))
        held = {path.read_bytes() for path in paths if path.is_file()}
        if missing := {each.decode() for each in self._scenario.kept if each not in held}:
            may_go = self._scenario.after == "delete" and self._are_done()
            self.lost |= set() if may_go else missing

    def _are_done(self) -> bool:
        jobs = self.world.jobs
        return bool(jobs) and all(job.has_ended and job.end is JobEnd.DONE for job in jobs)


@contextmanager
def _quiet_inspector(disks: Disks) -> Iterator[None]:
    """Let the calls of the inspection pass, which is another process; its errors are answers."""
    verdict = worlds.FakeInspector._verdict

    def quiet(self: Any, question: Any) -> Any:
        try:
            with disks.paused():
                return verdict(self, question)
        except OSError as error:
            return error

    with replaced(worlds.FakeInspector, _verdict=quiet):
        yield


def _places(error: BaseException) -> list[str]:
    """Return the functions of the daemon through which an error came, the innermost first."""
    frames = [
        f"{file.removesuffix('.py')}:{frame.lineno} {frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)
        if (file := frame.filename.rpartition("/stylewatch_daemon/")[2]) != frame.filename
    ]
    return [*reversed(frames), "outside"]


# -- what is seen at the end


def states_of(jobs: Sequence[Job]) -> list[list[str]]:
    """Return the names and states of jobs, in plain values."""
    return sorted([job.name, str(job.end if job.has_ended else job.state)] for job in jobs)


def result(world: DaemonWorld) -> dict[str, Any]:
    """Return all that must be as without a fault, in plain values."""
    with reading(world.state.ledger) as ledger:
        jobs = ledger.in_state(*State)
        files = [(path, part) for job in jobs for path, part, _, _ in ledger.files(job.id)]
        waiting = [request.verb for request in ledger.requests()]
    return {
        "states": states_of(jobs),
        "favorites": len(favorites.marked(world.state.root)),
        "reasons": sorted([job.name, job.reason] for job in jobs),
        "faults": sum(job.faults for job in jobs),
        "requests": waiting,
        "inbox": tree(world.inbox),
        "outbox": _published(world.outbox),
        "finals": tree(world.root / "finals"),
        "styles": tree(world.root / "styles"),
        "list of files": sorted([path.removeprefix(str(world.root)), part] for path, part in files),
        "left": left(world),
    }


def _published(outbox: Path) -> dict[str, Any]:
    """Return the files of the outbox, without the status and the warnings of receipts."""
    found: dict[str, Any] = {}
    for name, text in tree(outbox).items():
        if name.endswith(RECEIPT):
            found[name] = {key: each for key, each in json.loads(text).items() if key != "warnings"}
        elif name != "_status.txt":
            found[name] = text
    return found


def left(world: DaemonWorld) -> list[str]:
    """Return what is temporary: files, folders of jobs, and empty folders in the inbox."""
    root, state = world.root, world.state.root
    folders = *(state / name for name in JOB_FOLDERS), world.outbox / STAGING
    found = [path for folder in folders if folder.exists() for path in folder.iterdir()]
    found = [path for path in found if path.name != "trash" or any(path.iterdir())]
    every = (path for name in FOLDERS for path in (root / name).rglob("*"))
    found += (path for path in every if TEMPORARY.fullmatch(path.name))
    found += (path for path in world.inbox.rglob("*") if path.is_dir() and not any(path.iterdir()))
    return sorted({without_ids(str(path.relative_to(root))) for path in found})
