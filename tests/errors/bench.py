"""Cases of one fault, each tried in forks of this process, and compared with an undisturbed run."""

import gc
import json
import logging
import os
import shlex
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from tests.errors.calls import ALWAYS, AWAY, CLASSES, UNREADABLE, Call, Fault, without_ids
from tests.errors.disks import Disks
from tests.errors.life import End, Life, result
from tests.errors.scenarios import FOLDERS, Scenario

VARIANTS = ((3, False), (1, True), (3, True))
"""How often a call fails, and whether the daemon is killed then; each call is tried with one of
them, besides failing once."""

LIVES = 4
"""Starts of the daemon within which everything must have ended."""

HANGS_S = 60
"""Seconds without an end after which a life counts as hung."""

COMPARED = ("inbox", "outbox", "finals", "styles", "list of files", "requests", "reasons")
"""Results that are compared if the states of the jobs are right."""

OPEN = frozenset({"claimed", "queued", "running", "ending"})


@dataclass(frozen=True)
class Setting:
    """A scenario, with its folders on one mount, or each on its own."""

    scenario: Scenario
    apart: bool

    @property
    def mounts(self) -> tuple[str, ...]:
        """The folders that are mounts."""
        return FOLDERS if self.apart else (".",)

    def __str__(self) -> str:
        return f"{self.scenario.name}, {'apart' if self.apart else 'near'}"


@dataclass(frozen=True)
class Case:
    """A fault in a setting; `group` is the class of the error.

    If it `stops`, the daemon is killed once the fault has ceased, and starts again.
    """

    setting: Setting
    fault: Fault
    group: str
    stops: bool = False

    @property
    def command(self) -> str:
        """The command that repeats it."""
        fault, setting = self.fault, self.setting
        mounts = "--apart" if setting.apart else "--near"
        stop = "--stop" if self.stops else "--go-on"
        times = "always" if fault.times == ALWAYS else fault.times
        start = f"python -m tests.errors --scenario {setting.scenario.name} {mounts} "
        if fault.path:
            return f"{start}--path {shlex.quote(fault.path)} --errno {fault.error}"
        return f"{start}--call {fault.call} --errno {fault.error} --times {times} {stop}"


class Violation(NamedTuple):
    """What was wrong: its kind, and more words; the place in the daemon, if not the failing call's.

    The kinds: `lost`, a dropped file was in no folder. `twice`, there are too many jobs; `missing`,
    too few. `stuck`, one has not begun or not ended; `state`, one has another end. `counted`, an
    attempt counts as a fault. `left` and `left until a start`, something temporary. `escaped`, an
    error ended the daemon; `exited`, it ended the main loop with the code of a start that cannot go
    on; `hung`. `beside`, a job waited for a path that was not its own. `diverged`, the machine
    is not deterministic. Others are the names of results.
    """

    kind: str
    what: str
    place: str = ""


def representatives(calls: Sequence[Call], seed: int) -> list[int]:
    """Return the numbers of calls, one of each origin, drawn by a seed."""
    numbers: dict[tuple[str, ...], list[int]] = {}
    for number, call in enumerate(calls, start=1):
        numbers.setdefault(call.origin, []).append(number)
    draw = Random(seed)
    return sorted(draw.choice(of_origin) for of_origin in numbers.values())


def cases(setting: Setting, calls: Sequence[Call], numbers: Iterable[int]) -> Iterator[Case]:
    """Yield a setting's cases: calls with an error of each class, one of each name with all errors.

    `numbers` are those of the calls that are tried with each class; 1 is the first.
    """
    for number in numbers:
        call = calls[number - 1]
        for group in CLASSES:
            for error in call.errors.get(group, ()):
                yield Case(setting, Fault(number, error), group)
                times, stops = VARIANTS[number % len(VARIANTS)]
                yield Case(setting, Fault(number, error, times), group, stops)
                if group == "crossing" and call.is_between_folders:
                    yield Case(setting, Fault(number, error, ALWAYS), group)
    for number in _one_of_each_name(calls):
        for error in calls[number - 1].every_error:
            yield Case(setting, Fault(number, error), "every")
    yield from _cases_of_paths(setting, calls)


def _one_of_each_name(calls: Sequence[Call]) -> Iterator[int]:
    """Yield the number of a call of each name: in another setting it is early, or late."""
    draw = Random(len(calls))
    for name in sorted({call.name for call in calls}):
        yield draw.choice([number for number, call in enumerate(calls, 1) if call.name == name])


def _cases_of_paths(setting: Setting, calls: Sequence[Call]) -> Iterator[Case]:
    """Yield the cases in which each path stays unreadable, which is what two errors do."""
    for path in dict.fromkeys(path for call in calls for path in call.paths):
        for error in UNREADABLE:
            yield Case(setting, Fault(0, error, ALWAYS, path), "path")


class Bench:
    """A setting in the folder `root`, which is prepared once, and repeated as often as wanted.

    `calls` are those of the undisturbed run, and `wanted` its result.
    """

    def __init__(self, setting: Setting, root: Path) -> None:
        self.setting = setting
        self._space, self._prepared, self._empty = root / "space", root / "prepared", root / "empty"
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)
        in_fork(self._prepare)
        self._space.rename(self._prepared)
        self._reset()
        self._warm_up()
        self._reset()
        undisturbed = self._live(None)
        if undisturbed["end"] != End.QUIET or undisturbed["lost"]:
            raise RuntimeError(f"{setting}: without a fault, {undisturbed}")
        self.calls = [Call(*call) for call in undisturbed["calls"]]
        self.wanted: dict[str, Any] = undisturbed["result"]

    def call_of(self, case: Case) -> Call:
        """Return the call at which a fault begins in the undisturbed run."""
        path = case.fault.path
        if path:
            return next(call for call in self.calls if path in call.paths)
        return self.calls[case.fault.call - 1]

    def violations(self, case: Case) -> list[Violation]:
        """Try a case; return what is wrong."""
        self._reset()
        found: list[Violation] = []
        fault: Fault | None = case.fault
        for number in range(LIVES):
            life = self._live(fault, self.wanted, stops=case.stops and not number)
            found += (Violation("lost", f"{content!r} was nowhere") for content in life["lost"])
            found += (Violation("beside", job) for job in life["behind"])
            if number == 0 and life["end"] != End.HUNG and not case.fault.path:
                found += self._divergences(case, life)
            if life["end"] == End.HUNG:
                return [*found, Violation(End.HUNG, life["why"])]
            if life["end"] == End.QUIET:
                return [*found, *self._differences(life["result"])]
            if life["end"] == End.ESCAPED or (life["end"] == End.EXITED and not life["is_start"]):
                found.append(Violation(life["end"], life["why"], life["place"]))
            fault = None
            if life["left"] and life["end"] == End.EXITED and case.fault.error != AWAY:
                fault = Fault(0, case.fault.error, life["left"])
        return [*found, Violation("stuck", f"start number {LIVES} ended, too: {life['why']}")]

    def _prepare(self) -> None:
        with Disks(self._space, self.setting.mounts, self._empty, None).planted():
            self.setting.scenario.prepare(self._space)

    def _reset(self) -> None:
        """Set the space to what was prepared."""
        for folder in (self._space, self._empty):
            shutil.rmtree(folder, ignore_errors=True)
        _copy_tree(self._prepared, self._space)
        self._empty.mkdir()

    def _warm_up(self) -> None:
        """Run it once in this process: forks inherit what it has read and compiled."""
        disks = Disks(self._space, self.setting.mounts, self._empty, None)
        Life(self.setting.scenario, self._space, disks).go()
        gc.collect()

    def _live(
        self, fault: Fault | None, wanted: dict[str, Any] | None = None, *, stops: bool = False
    ) -> dict[str, Any]:
        """Start the daemon in a fork; return how that went, in plain values."""

        def act() -> dict[str, Any]:
            disks = Disks(self._space, self.setting.mounts, self._empty, fault)
            lasts = fault is not None and bool(fault.path)
            scenario = self.setting.scenario
            life = Life(scenario, self._space, disks, wanted, stops=stops, lasts=lasts)
            life.go()
            return {
                "end": life.end,
                "why": without_ids(life.why),
                "place": life.place,
                "is_start": life.is_start,
                "lost": sorted(life.lost),
                "behind": life.behind,
                "calls": disks.calls if wanted is None else [],
                "hit": disks.hit,
                "left": disks.left,
                "result": result(life.world) if life.end is End.QUIET else None,
            }

        hung = {"end": End.HUNG, "why": f"no end within {HANGS_S} s", "lost": [], "behind": []}
        answer: dict[str, Any] | None = in_fork(act)
        return hung if answer is None else answer

    def _divergences(self, case: Case, life: Mapping[str, Any]) -> Iterator[Violation]:
        """Yield that the fault hit another call than in the undisturbed run."""
        meant = self.calls[case.fault.call - 1]
        hit = None if life["hit"] is None else Call(*life["hit"])
        if hit is None or (hit.name, hit.where) != (meant.name, meant.where):
            yield Violation("diverged", f"{meant} became {hit}")

    def _differences(self, got: dict[str, Any]) -> Iterator[Violation]:
        """Yield what differs from the undisturbed run."""
        wanted = self.wanted
        if got["faults"] > wanted["faults"]:
            yield Violation("counted", f"{got['faults']} attempts count as faults")
        if got["states"] != wanted["states"]:
            yield Violation(self._kind(got), f"{got['states']}, because {got['reasons']}")
        else:
            differing = (name for name in COMPARED if got[name] != wanted[name])
            yield from (Violation(name, _difference(wanted[name], got[name])) for name in differing)
        if left := [path for path in got["left"] if path not in wanted["left"]]:
            again = self._live(None, wanted)
            still = left if again["end"] != End.QUIET else again["result"]["left"]
            for path in left:
                yield Violation("left" if path in still else "left until a start", path)

    def _kind(self, got: Mapping[str, Any]) -> str:
        """Return the kind of a violation with these states of jobs."""
        states, wanted = got["states"], self.wanted["states"]
        if len(states) > len(wanted):
            return "twice"
        is_waiting = not got["inbox"].keys() <= self.wanted["inbox"].keys()
        if any(state in OPEN for _, state in states) or (len(states) < len(wanted) and is_waiting):
            return "stuck"
        return "missing" if len(states) < len(wanted) else "state"


def _difference(wanted: Any, got: Any) -> str:
    """Describe in what two results differ."""
    words = [f"lacks {each}" for each in wanted if each not in got]
    words += [f"has {each}" for each in got if each not in wanted]
    if isinstance(wanted, dict):
        both = (name for name in wanted if name in got and wanted[name] != got[name])
        words += [f"{name} is {got[name]!r}, not {wanted[name]!r}" for name in both]
    return "; ".join(words)


def _copy_tree(source: Path, target: Path) -> None:
    """Copy a folder with its times, except pipes, which the daemon makes again."""
    target.mkdir()
    for entry in os.scandir(source):
        if entry.is_dir(follow_symlinks=False):
            _copy_tree(Path(entry), target / entry.name)
        elif entry.is_file(follow_symlinks=False):
            shutil.copy2(entry.path, target / entry.name)


def in_fork(act: Callable[[], Any]) -> Any:
    """Return what a function returns in a fork of this process, as JSON; None if it hangs."""
    reading, writing = os.pipe()
    if (pid := os.fork()) == 0:
        code = 1
        try:
            os.close(reading)
            gc.disable()
            logging.disable()
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(HANGS_S)
            answer = json.dumps(act())
            with os.fdopen(writing, "w") as pipe:
                pipe.write(answer)
            code = 0
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        answer = pipe.read()
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code == -signal.SIGALRM:
        return None
    if code:
        raise RuntimeError(f"a fork ended with {code}")
    return json.loads(answer)
