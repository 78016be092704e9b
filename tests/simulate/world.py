"""A simulated world: it does what its plan says, runs the daemon meanwhile, and checks the laws."""

import sqlite3
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from heapq import heappop, heappush
from itertools import count
from pathlib import Path
from random import Random
from shutil import rmtree

from tests.simulate import wiring
from tests.simulate.account import Account
from tests.simulate.contents import Contents, Token
from tests.simulate.deeds import Script
from tests.simulate.disks import Disk, Disks
from tests.simulate.faults import Faults
from tests.simulate.laws import ANSWERED_WITHIN, Laws, ViolationError, digest
from tests.simulate.plan import DAY, FAULTS, Deed, Plan
from tests.simulate.seam import KilledError, Seam, Times
from tests.simulate.snapshot import Snapshot
from tests.simulate.tasks import Lanes, Task
from tests.simulate.trainings import Trainings
from tests.simulate.users import Users

from stylewatch_daemon.base.errors import DaemonError
from stylewatch_daemon.base.wakeup import Intent, Wakeup

SETTLE = 60.0
"""Seconds between two looks whether all is done, once faults have ceased."""

AT_MOST = 1800.0
"""Seconds without a job that ends, once faults have ceased, after which nothing more will."""

BESIDE_WITHIN = 400.0
"""Seconds within which all is done that is not concerned by what stays unreadable."""

LEFT_WITHIN = 60.0
"""Seconds within which nothing is left of a try whose visitor has gone."""

TURN = 600.0
"""Seconds that a card has for its last turn."""

STOP_WITHIN = 15.0
"""Seconds within which SIGTERM ends the daemon, and a little more."""

HOOKS_WITHIN = 60.0
"""Seconds that hooks have in total when the daemon stops."""

MEETS_WITHIN = 10.0
"""Seconds within which the daemon looks at all disks."""

LATER_FAULTS = ("unreadable", "cards", "memory", "install", "chown", "astray")
"""Those of MORE that are faults."""

WAITS = 60_000
"""Number of waits of the main loop after which it is considered to be busy for nothing."""

LOCK_CODES = (73, 75)
"""Exit codes of a start that cannot go on now."""


@dataclass
class Result:
    """What came of a world."""

    plan: Plan
    violation: ViolationError | None
    history: list[str]
    transitions: Counter[tuple[str, str]]
    injected: Counter[tuple[str, str]]
    trainings: Counter[str]
    trace: str
    """A digest of what happened, by which two runs are compared."""


@dataclass
class Daemon:
    """What is known of the daemon, from one start to the next."""

    wakeup: Wakeup | None = None
    """None while it does not run."""
    lanes: Lanes | None = None
    is_up: bool = False
    """True while it watches its inboxes."""
    is_at_work: bool = False
    """True once this run of it has watched them."""
    is_first_start_over: bool = False
    up_since: float = 0.0
    starts: int = 0
    stop_asked: float | None = None
    restart_in: float = 0.0
    is_once_next: bool = False
    """True if its next run is one with `--once`."""
    waits: int = 0
    blocked: dict[str, str] = field(default_factory=dict)
    """Why jobs and inboxes wait, as it reported last."""
    waited: dict[str, tuple[float, str]] = field(default_factory=dict)
    """Time and reason of the last wait that was reported, by job or inbox."""
    file_event: Callable[[], object] = lambda: None
    crash: Callable[[Random], str | None] = lambda random: None
    """Lets a worker die; returns the id of its job, or None if none is at work."""
    heart: wiring.Heart | None = None
    """None while it does not run, or is starting."""


@dataclass
class Disturbances:
    """When faults began and ended."""

    last: dict[str, float] = field(default_factory=dict)
    """The last of each disk, by its name."""
    all: list[float] = field(default_factory=list)
    """All, and the starts of the daemon."""
    stories: list[tuple[float, str]] = field(default_factory=list)
    """What happened to the disks and to the daemon, and when."""


@dataclass
class _Rest:
    """What is known once all faults have ceased."""

    since: float
    receipts: int = 0
    last_at: float = 0.0
    """When the last picture was published."""


class World:
    """A world with a plan, in the folder `base`, which it makes and removes."""

    _life = wiring.Life()
    """How the latest run of the daemon ended."""

    def __init__(self, plan: Plan, base: Path) -> None:
        settings = replace(plan.settings, base=str(base))
        self.plan, self.times = replace(plan, settings=settings), Times()
        self._began = self.times.now
        base.mkdir(parents=True)
        roots = {name: settings.root(name) for name, _ in settings.disks}
        self.disks = Disks(base, dict(settings.disks), roots)
        self.seam = Seam(self.disks, self.times, settings.seed, self._at_call, self._wait_for)
        self.seam.at_rename = self._at_rename
        self.seam.keeps_journal = any(deed.what == "power" for deed in plan.deeds)
        self.random = Random(f"world {settings.seed}")
        self.contents, self.snapshot, self.trainings = (
            Contents(),
            Snapshot(self.disks),
            Trainings(self),
        )
        self.crashes, self.hooks, self.tried = Counter[str](), Counter[str](), list[str]()
        """Numbers of workers that died, and of hooks that have begun; the jobs that were tried."""
        self.outputs: set[bytes] = set()
        """Files that painters have written."""
        self.account = Account(self)
        self.users, self.faults, self.laws = Users(self, self.account), Faults(self), Laws(self)
        self.daemon, self.disturbances = Daemon(), Disturbances()
        self.transitions: Counter[tuple[str, str]] = Counter()
        self.history, self.connections = list[str](), list[sqlite3.Connection]()
        self._events: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = count()
        self._task: Task | None = None
        self._waiting: dict[Task, Disk] = {}
        self._amid: list[tuple[Deed, int]] = []
        """Deeds that happen in the middle of the daemon's calls, with the calls left."""
        self._violation: ViolationError | None = None
        self._checked_changes = -1
        self._rest: _Rest | None = None
        self._is_over = False

    # -- the whole

    def run(self) -> Result:
        """Run this world to its end, or to a violation."""
        violation = None
        try:
            with wiring.installed(self):
                try:
                    self._begin()
                    while not self._is_over:
                        self._live_once()
                    self.note(f"world: the ledger was {wiring.ledger_id(self.path('state'))}")
                    self.check()
                    self.laws.check_end()
                except ViolationError as error:
                    violation = error
                    self.note(f"violation: {error}")
                except Exception as error:  # a fault of the simulator ends no long run
                    kind = f"the simulator failed with {type(error).__name__}"
                    violation = ViolationError(0, kind, traceback.format_exc())
                    self.note(f"violation: {violation}")
                self._bury()
        finally:
            self.faults.close()
            rmtree(self.plan.settings.base, ignore_errors=True)
        trace = digest("\n".join(self.history).encode(errors="replace"))
        counted = self.transitions, self.seam.injected, self.trainings.ends
        return Result(self.plan, violation, self.history, *counted, trace)

    def _begin(self) -> None:
        self.users.library.start(Random(f"library {self.plan.settings.seed}"))
        self.users.settings_file.write(self.plan.settings.quiet_s)
        whats = {deed.what for deed in self.plan.deeds}
        if {"chown", "pick"} & whats:
            self.users.old_albums.leave("old", is_marked="chown" in whats)
        if "clone" in whats:
            self.users.old_albums.leave("of {inbox}", is_marked="chown" in whats)
        for deed in self.plan.deeds:
            self.later(deed.at, partial(self._do, deed))
        last = max((deed.at for deed in self.plan.deeds), default=0.0)
        self.later(last + 30.0, self._cease)

    def _live_once(self) -> None:
        """Run the daemon until it ends, and let time pass until its next start."""
        if self._life.handover is None:
            self.users.settings_file.correct()
        self.faults.put_state_back()
        is_once = self.daemon.is_once_next and self._life.handover is None
        self.daemon.is_once_next &= not is_once
        life = self._life = wiring.live(self, self._life.handover, is_once=is_once)
        self.daemon.is_up = False
        stopped, left = self.daemon.stop_asked, len(self.trainings.running)
        self._bury()
        if self._violation is not None:
            raise self._violation
        if left and not (life.was_killed or life.error):
            raise ViolationError(5, "the daemon has left a training", "")
        self.check()
        if life.error is not None:
            self._check_error(life.error)
        elif not (life.was_killed or life.handover) and stopped is None:
            if life.says_all_is_done is None:
                raise ViolationError(7, "the daemon ended by itself", "")
            self._check_once(says_all_is_done=life.says_all_is_done)
        seconds = 0.0 if life.handover else self.daemon.restart_in if life.error is None else 5.0
        self.daemon.restart_in = 1.0
        if not self._is_over:
            self.pass_time(seconds)

    def _check_once(self, *, says_all_is_done: bool) -> None:
        """Check that a run with `--once` has done all that there was, if nothing was in its way."""
        self.note(f"daemon: all is done: {says_all_is_done}")
        disturbed = (*self.disturbances.last.values(), *self.account.touched_at.values())
        is_disturbed = max(disturbed, default=0.0) > self.daemon.up_since
        if is_disturbed or self.faults.active or self.laws.is_held:
            return
        if self.account.being_written or self.account.ignored_until:
            return
        if left := self.laws.unfinished():
            raise ViolationError(5, "a run with --once ends before all is done", left)
        if not says_all_is_done:
            raise ViolationError(5, "a run with --once says that something is left", "")

    def _check_error(self, error: BaseException) -> None:
        """Raise ViolationError, unless it is an error with which a start may end."""
        settings = self.plan.settings
        state = {settings.disk_of("state"), "system", "", settings.disk_of("styles")}
        is_state = any(fault.disk in state for fault in self.faults.active)
        code = getattr(error, "exit_code", None)
        where = _place_of(error)
        self.note(f"daemon: ends: {type(error).__name__}: {error} ({where})")
        if not isinstance(error, DaemonError) or code not in LOCK_CODES:
            kind = f"{type(error).__name__} escapes at {where}"
            raise ViolationError(7, kind, f"{error}")
        if self.daemon.is_at_work:
            raise ViolationError(7, f"the daemon ends with {code} at {where}", f"{error}")
        if not is_state:
            raise ViolationError(16, f"no start with {code} at {where}", f"{error}")

    def _bury(self) -> None:
        """Release what the daemon had open, and end its threads."""
        daemon = self.daemon
        if daemon.lanes is not None:
            self.seam.is_dead = True
            with self.seam.acting():
                daemon.lanes.kill()
        self._waiting.clear()
        daemon.lanes, daemon.wakeup, daemon.file_event = None, None, lambda: None
        daemon.crash, daemon.heart = lambda random: None, None
        self.trainings.running.clear()  # they end with their parent
        wiring.release(self)

    # -- what the wiring tells

    def daemon_starts(self, wakeup: Wakeup, lanes: Lanes) -> None:
        """Note that the daemon is being started."""
        daemon = self.daemon
        daemon.wakeup, daemon.lanes = wakeup, lanes
        daemon.stop_asked, daemon.is_at_work = None, False
        daemon.starts += 1
        self.note("daemon: starts")
        self.disturbances.all.append(self.times.now)
        daemon.up_since = self.times.now
        self.snapshot.daemon_starts()

    def daemon_is_at_work(self) -> None:
        """Note that the daemon watches its inboxes."""
        daemon = self.daemon
        daemon.is_at_work = daemon.is_up = daemon.is_first_start_over = True
        daemon.up_since = self.times.now
        start = daemon.starts
        self.later(MEETS_WITHIN, lambda: self.snapshot.meet_all() if daemon.starts == start else 0)

    @property
    def stage_s(self) -> float:
        """How long a painter takes for a step; it hurries once all faults have ceased."""
        return 0.2 if self._rest is not None else self.plan.settings.stage_s

    @property
    def is_at_rest(self) -> bool:
        """True once all faults have ceased, but perhaps those that concern single files."""
        return self._rest is not None

    def logged(self, message: str, error: BaseException | None, trace: str) -> None:
        """Note an error of its own that the daemon has logged."""
        lines = [line for line in trace.splitlines() if "/stylewatch_daemon/" in line]
        where = _place_of(error) if error else lines[-1].split(", in ")[-1] if lines else ""
        name = type(error).__name__ if error else message.partition(":")[0][:40]
        self.note(f"daemon: logs {message}")
        if error is not None and not self.seam.is_dead:
            self._violate(ViolationError(7, f"{name} logged at {where}", message))

    def hook_begins(self, job_id: str) -> None:
        """Note that the command of a hook begins."""
        self.hooks[job_id] += 1
        if self.hooks[job_id] > 1 and not self.account.has_restored:
            self._violate(ViolationError(5, "a hook ran twice", job_id))

    def pid(self) -> int:
        """Return the id of the process that runs: each start has the same, as in a container."""
        return 2 if self.seam.who == "worker" else 1

    def process(self) -> str:
        """Return the digits of the process that runs, of which each start has others."""
        return f"{self.pid()}{self.daemon.starts:08x}"

    def path(self, role: str) -> str:
        """Return the folder of a role, which for the state folder may not be where it should be."""
        path = self.plan.settings.path(role)
        return f"{path}-astray" if role == "state" and self.faults.is_state_astray else path

    def contents_of(self, job: wiring.JobSeen) -> set[Token]:
        """Return the tokens of the pictures of a job, once it was inspected."""
        by_digest = {digest(data): known.token for data, known in self.contents.by_data.items()}
        return {by_digest[each] for each in job.digests if each in by_digest}

    def tokens_of(self, job: wiring.JobSeen) -> set[Token]:
        """Return the tokens that the files of a job had or may have."""
        return self.contents_of(job) | {
            token for path in job.sources for token in self.account.tokens_at.get(path, ())
        }

    # -- time

    def note(self, line: str) -> None:
        """Add a line to the history."""
        seconds = self.times.now - self._began
        self.history.append(f"{seconds:9.2f}  {line}".replace(f"{self.disks.root}/", ""))

    def later(self, seconds: float, call: Callable[[], object]) -> None:
        """Do something after so many seconds."""
        at = self.times.now + seconds
        heappush(self._events, (at, next(self._numbers), call))

    def wait(self, seconds: float, is_ready: Callable[[], bool]) -> bool:
        """Let the daemon's main thread wait; return whether it is ready."""
        self.daemon.waits += 1
        if self.daemon.waits > WAITS:
            raise ViolationError(5, "busy for nothing", f"{self.daemon.waits} waits")
        self.times.now += 0.001
        with self.seam.outside():
            self.check_if_changed()
        self._run_until(self.times.now + seconds, is_ready)
        return is_ready()

    def pass_time(self, seconds: float) -> None:
        """Let so many seconds pass."""
        self._run_until(self.times.now + seconds, lambda: False)

    def _run_until(self, end: float, is_ready: Callable[[], bool]) -> None:
        """Let things happen until a time, or until whoever waits is ready."""
        with self.seam.outside():
            while not is_ready() and self._events and self._events[0][0] <= end:
                at, _, call = heappop(self._events)
                self.times.now = max(self.times.now, at)
                call()
                self._after_event()
            if not is_ready():
                self.times.now = max(self.times.now, end)

    def _after_event(self) -> None:
        """Check the laws, and end the daemon if it was killed."""
        if self._violation is None:
            try:
                self.check_if_changed()
                self.laws.check_waiting()
                self.laws.check_heart()
                self._check_stop()
            except ViolationError as error:
                self._violate(error)
        if self.seam.is_dead:
            raise KilledError

    def _violate(self, error: ViolationError) -> None:
        """Remember a violation, and end the daemon."""
        if self._violation is None:
            self._violation = error
        self.seam.is_dead = True

    def _check_stop(self) -> None:
        daemon = self.daemon
        if daemon.stop_asked is not None and daemon.wakeup is not None:
            seconds = self.times.now - daemon.stop_asked
            within = STOP_WITHIN + HOOKS_WITHIN * self.plan.settings.has_hooks
            if seconds > within and daemon.wakeup.stopping:
                raise ViolationError(9, "SIGTERM does not end the daemon", f"{seconds:.0f} s")

    def _cease(self) -> None:
        """End all faults; from now on only time passes."""
        if self.account.being_written or any(each.is_hung for each in self.trainings.running):
            self.later(5.0, self._cease)
            return
        self.faults.cease()
        self.users.service.cease_ignoring([*self.account.ignored_until])
        self.users.settings_file.correct()
        self.users.settings_file.put_inboxes_back(self.random)
        self._amid.clear()
        if self.daemon.is_first_start_over:
            wiring.leave(Path(self.path("state")), "resume")
        if self.faults.active:
            self.note("world: all faults have ceased that concern several files")
            self._rest = _Rest(self.times.now)
            self._cease_later(self.times.now)
        else:
            self._cease_all()

    def _cease_later(self, since: float) -> None:
        """Leave the daemon time for all that is not concerned, also after its latest start."""
        within = BESIDE_WITHIN + 2 * self.plan.settings.stage_s
        number, rest = len(self.laws.seen.receipts), self._rest
        if rest is not None and self.plan.settings.learn_minutes and number > rest.receipts:
            rest.receipts = number
            since = self.times.now  # all that have waited for a style come late, one by one
        began = max(since, self.daemon.up_since if self.daemon.is_up else self.times.now)
        if self.times.now - began < within:
            left = within - (self.times.now - began)
            self.later(max(1.0, left), lambda: self._cease_later(since))
        else:
            self._cease_all()

    def _cease_all(self) -> None:
        """End the faults of single files, beside which all others must be done by now."""
        if self.faults.active:
            self.see()
            self.laws.check_beside()
        self.faults.cease_all()
        self.note("world: all faults have ceased")
        self._rest = _Rest(self.times.now)
        self._take_turns(2 if self.faults.cards else 0)

    def _take_turns(self, turns: int) -> None:
        """Give cards their turns, and go on once nothing more happens."""
        rest = self._rest = _Rest(self.times.now)
        if not turns:
            self.later(SETTLE, partial(self._settle, rest))
            return

        def turn() -> None:
            self.see()
            self.laws.check_card()
            self.faults.turn_cards()
            self._take_turns(turns - 1)

        self.later(TURN + 2 * self.plan.settings.stage_s, turn)

    def _settle(self, rest: _Rest) -> None:
        """End the world if all is done, or if it should be."""
        number = len(self.laws.seen.receipts)
        if number > rest.receipts:
            rest.receipts, rest.last_at = number, self.times.now
        is_late = self.times.now - max(rest.since, rest.last_at) > AT_MOST
        # look twice whether nothing begins, also after the latest start
        since = max(rest.since, self.daemon.up_since if self.daemon.is_up else 0.0)
        is_first = self.times.now - since < SETTLE + 1 + self._trash_s
        if is_late or not (is_first or self._is_at_something()):
            self._last_try() if self._is_to_try else self._end()
        else:
            self.later(SETTLE, partial(self._settle, rest))

    @property
    def _trash_s(self) -> float:
        """Seconds within which the daemon empties the trash, if nothing keeps it from that.

        It counts days once a day, and deletes jobs as others request it.
        """
        days = self.plan.settings.trash_days
        return (days + 2) * DAY + ANSWERED_WITHIN if days and self.account.trashed_jobs else 0.0

    @property
    def _is_to_try(self) -> bool:
        """True if a visitor of the page is to see that previews are painted as before."""
        is_asked = any(deed.what == "try" for deed in self.plan.deeds)
        return is_asked and self.daemon.is_up and self.plan.settings.hours is None

    def _last_try(self) -> None:
        def go_on() -> None:
            try:
                pause = next(script)
            except StopIteration:
                self.later(LEFT_WITHIN, self._end)
            except ViolationError as error:
                self._violate(error)
            else:
                self.later(pause, go_on)

        script = self.users.library.try_undisturbed()
        self.note("user: tries all styles")
        go_on()

    def _end(self) -> None:
        self._is_over = True
        self.stop_daemon(0.0)

    def _is_at_something(self) -> bool:
        """Return whether the daemon does something, or has something to do."""
        daemon = self.daemon
        if not daemon.is_up or daemon.lanes is None or not daemon.lanes.is_idle:
            return True
        if daemon.heart is not None and (daemon.heart.has_hooks or daemon.heart.has_trainings):
            return True
        return bool(self.laws.unfinished() or self.account.followed)

    # -- deeds

    def _do(self, deed: Deed) -> None:
        if deed.amid and self.daemon.wakeup is not None:
            self._amid.append((deed, deed.amid))
            self.later(20.0, lambda: self._do_late(deed))
        else:
            self._do_now(deed)

    def _do_late(self, deed: Deed) -> None:
        """Do what did not come to pass in the middle of calls."""
        if any(each is deed for each, _ in self._amid):
            self._amid = [(each, left) for each, left in self._amid if each is not deed]
            self._do_now(deed)

    def _do_now(self, deed: Deed) -> None:
        if self._rest is not None:
            return
        random = Random(deed.seed)
        if deed.what in ("kill", "power"):
            self._kill(deed.what, random)
        elif deed.what == "crash":
            self._crash(Random(deed.seed))
        elif deed.what in (*FAULTS, *LATER_FAULTS):
            self.faults.begin(deed.what, random)
        else:
            self._go_on(self.users.do(deed.what, random))

    def _go_on(self, script: Script) -> None:
        """Go on with a deed in several steps."""
        pause = next(script, None)
        if pause is not None:
            self.later(pause, lambda: self._go_on(script))

    def _kill(self, what: str, random: Random) -> None:
        if self.daemon.wakeup is None:
            return
        self.note("fault: the power is cut" if what == "power" else "fault: kill -9")
        self.disturbed("")
        self.disturbances.stories.append((self.times.now, f"meets: {what}"))
        self.daemon.restart_in = random.choice([0.5, 3.0, random.uniform(1, 60)])
        if what == "power":
            for line in self.seam.cut_power(random):
                self.note(f"fault: {line}")
        self.seam.is_dead = True

    def cut(self, *, restart_in: float) -> None:
        """Let the daemon die, and start again after so many seconds."""
        if self.daemon.wakeup is not None:
            self.disturbed("")
            self.daemon.restart_in = restart_in
            self.seam.is_dead = True

    def _crash(self, random: Random) -> None:
        """Let the worker of a running job fail, as soon as there is one."""
        if self._rest is not None:
            return
        if (job := self.daemon.crash(random)) is None:
            self.later(1.0, lambda: self._crash(random))
        else:
            self.note("fault: a worker fails")
            self.crashes[job] += 1

    def stop_daemon(self, restart_in: float) -> None:
        """Stop the daemon by SIGTERM, and start it again after so many seconds."""
        daemon = self.daemon
        wakeup = daemon.wakeup
        if wakeup is not None and wakeup.intent is not Intent.STOP:
            self.note("user: SIGTERM")
            daemon.restart_in, daemon.stop_asked = restart_in, self.times.now
            wakeup.stop()
            self.later(STOP_WITHIN + 1.0, lambda: None)

    @property
    def config(self) -> str:
        """Path of the daemon's settings."""
        return f"{self.disks.root}/config.yaml"

    @property
    def is_in_task(self) -> bool:
        """True while another thread of the daemon than its main one is at work."""
        return self._task is not None

    def reload_daemon(self) -> None:
        """Let the daemon read its settings again."""
        if self.daemon.wakeup is not None and self.daemon.is_up:
            self.note("user: SIGHUP")
            self.daemon.wakeup.reload()

    def disturbed(self, disk: str) -> None:
        """Note that a fault has begun or ended."""
        self.disturbances.last[disk] = self.times.now
        self.disturbances.all.append(self.times.now)

    # -- the daemon's calls

    def _at_call(self, call: str, path: str) -> None:
        """Let deeds happen in the middle of calls, and pause tasks."""
        if self._amid:
            self._count_down()
        task = self._task
        if task is not None and task.calls_left > 0:
            task.calls_left -= 1
            if task.calls_left == 0:
                lanes = self.daemon.lanes
                seconds = self.random.choice([0.1, 1.0, 5.0])
                if lanes is not None:
                    self.later(seconds, lambda: self._resume(lanes, task))
                    task.pause()

    def _at_rename(self, path: str) -> None:
        """Let a user take a result away before the daemon, which is killed, can record it."""
        is_receipt = path.endswith("/receipt.json") and "/.staging/" not in path
        if is_receipt and self.users.requests.awaited_results > 0:
            with self.seam.outside():
                try:
                    self.users.requests.grab_result(Path(path).parent)
                except ViolationError as error:
                    self._violate(error)
            self._kill("kill", self.random)

    def _resume(self, lanes: Lanes, task: Task) -> None:
        if self.daemon.lanes is lanes and not task.has_ended:
            lanes.go_on(task)

    def _count_down(self) -> None:
        due = [deed for deed, left in self._amid if left <= 1]
        self._amid = [(deed, left - 1) for deed, left in self._amid if left > 1]
        for deed in due:
            with self.seam.outside():
                try:
                    self._do_now(deed)
                except ViolationError as error:
                    self._violate(error)
        if self.seam.is_dead:
            raise KilledError

    def _wait_for(self, disk: Disk) -> None:
        """Hold a call up until its disk answers."""
        if self._task is not None:
            self._waiting[self._task] = disk
            self._task.pause()
        else:
            self._run_until(self.times.now + 1e9, lambda: not disk.is_hung)

    def answers(self, disk: Disk) -> None:
        """Let the tasks go on that waited for a disk."""
        for task in [task for task, each in self._waiting.items() if each is disk]:
            del self._waiting[task]
            if self.daemon.lanes is not None:
                self.later(0.0, partial(self._resume, self.daemon.lanes, task))

    def run_task(self, task: Task) -> None:
        """Let a task run until it pauses or ends."""
        self._task = task
        try:
            with self.seam.acting():
                task.resume()
        finally:
            self._task = None

    def is_held_up(self, *paths: str) -> bool:
        """Return whether a disk of one of the paths does not answer."""
        return any(self.disks.of(path).is_hung for path in paths)

    def at_statement(self, sql: str) -> None:
        """Let a statement of the ledger fail as its disk does."""
        seam = self.seam
        if not seam.active or seam.who != "daemon":
            return
        if seam.is_dead:
            raise KilledError
        self._at_call("ledger", "")
        disk = self.disks.home_of(self.path("state"))
        changes = sql.startswith("COMMIT") and sql != "COMMITTED"
        if changes and self.faults.sql:
            code = self.faults.sql.pop(0)
            if code == wiring.BUSY:  # nobody else can write to the ledger in the meantime
                self.times.now += 10.0
            raise wiring.sql_error(code)
        if changes and disk.is_read_only:
            raise wiring.sql_error(wiring.READ_ONLY)
        if changes and disk.full:
            raise wiring.sql_error(wiring.FULL)

    # -- checks

    def see(self) -> None:
        """Notice what the daemon has done before a user does something."""
        self.snapshot.look()
        self.laws.take()

    def check_if_changed(self) -> None:
        """Check the laws if a file may have changed."""
        if self.seam.changes != self._checked_changes:
            self.check()

    def check(self) -> None:
        """Check the laws; raises ViolationError."""
        self._checked_changes = self.seam.changes
        self.snapshot.look()
        self.laws.check()


def _place_of(error: BaseException | None) -> str:
    """Return the innermost functions of the daemon in the trace of an error."""
    names: list[str] = []
    trace = error.__traceback__ if error else None
    while trace is not None:
        code = trace.tb_frame.f_code
        if "/stylewatch_daemon/" in code.co_filename:
            module = Path(code.co_filename).stem
            if "/files/" not in code.co_filename:
                names.append(f"{module}.{code.co_qualname}")
        trace = trace.tb_next
    return names[-1] if names else "?"
