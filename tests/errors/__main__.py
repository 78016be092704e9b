"""One failing call of the daemon at a time: `python -m tests.errors`, or `make errors`.

Each scenario is run once undisturbed, and then once for each class of errors and each of its calls;
of calls that the daemon cannot tell apart if they fail, one is drawn by a seed: those of one kind
that only look, in the same folder, asked for by the same function outside of `files` with the same
callers. A call fails once, and then again in one of three ways, in turn: three times in a row, or
once or three times before the daemon is killed and starts again. The code of the daemon process
runs in one thread, with simulated workers and a clock set by hand.

Then time passes, and all must be as in the undisturbed run: the states of the jobs, the files in
inbox, outbox and finals folders, the list of files in the ledger. No attempt counts as a fault,
nothing temporary is left, and at each moment every file that was dropped is in one of the folders.
While a path of one job stays unreadable, the others end.
For each violation it prints the command that repeats it, and at the end tables. It ends with 1 if
there is any.
"""

import argparse
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from tests.errors.bench import Bench, Case, Setting, Violation, cases, representatives
from tests.errors.calls import ALWAYS, CLASSES, Fault
from tests.errors.scenarios import SCENARIOS
from tests.errors.tally import Tally

MEMORY = Path("/dev/shm")
"""A folder in memory, if there is one."""

CALLERS, SHOWN = 5, 700
"""Numbers of callers and of characters that are printed of a violation."""


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.errors",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--part", type=_part, default=(1, 1), metavar="K/N", help="try the K-th of N parts")
    add("--stride", type=int, default=1, metavar="N", help="try each N-th case")
    calls = parser.add_mutually_exclusive_group()
    calls.add_argument("--seed", type=int, default=0, metavar="N", help="draw other calls")
    calls.add_argument(
        "--every", action="store_true", help="try every call, not one of each origin"
    )
    add("--processes", type=int, default=2, metavar="N", help="that work at once (%(default)s)")
    add("--scenario", action="append", choices=[scenario.name for scenario in SCENARIOS])
    mounts = parser.add_mutually_exclusive_group()
    mounts.add_argument("--near", dest="apart", action="store_false", help="one mount")
    mounts.add_argument("--apart", action="store_true", help="each folder is a mount")
    calls.add_argument("--call", type=int, metavar="K", help="the fault begins at the K-th call")
    add("--class", dest="group", choices=CLASSES, help="try one class of errors")
    add("--path", help="all calls on this path, and below it, fail for a while")
    add("--errno", metavar="NAME", help="EIO, ENOSPC ..., AWAY, or BUSY, FULL, IOERR of SQLite")
    add("--times", type=_times, metavar="N", help="so many fail in a row (1, 3 or `always`)")
    ends = parser.add_mutually_exclusive_group()
    ends.add_argument("--stop", dest="stops", action="store_true", help="then kill the daemon")
    ends.add_argument("--go-on", dest="stops", action="store_false", help="do not kill it")
    add("--list", action="store_true", help="list the calls, and try nothing")
    add("--long", action="store_true", help="do not shorten violations")
    parser.set_defaults(apart=None, stops=None)
    return parser.parse_args(arguments)


def _part(text: str) -> tuple[int, int]:
    part, parts = map(int, text.split("/"))
    if not 1 <= part <= parts:
        raise ValueError(text)
    return part, parts


def _times(text: str) -> int:
    return ALWAYS if text == "always" else int(text)


def settings(options: argparse.Namespace) -> Iterator[Setting]:
    """Yield the chosen settings."""
    for scenario in SCENARIOS:
        if not options.scenario or scenario.name in options.scenario:
            for apart in (False, True):
                if options.apart in (None, apart):
                    yield Setting(scenario, apart)


def chosen(bench: Bench, options: argparse.Namespace) -> Iterator[Case]:
    """Yield the chosen cases of a setting, among them any that the options describe whole."""
    times = [options.times] if options.times else [1, 3, ALWAYS]
    stops = [False, True] if options.stops is None else [options.stops]
    if options.call and options.errno:
        for number in times:
            fault = Fault(options.call, options.errno, number)
            yield from (Case(bench.setting, fault, "every", stop) for stop in stops)
        return
    is_every = options.every or options.call
    every = range(1, len(bench.calls) + 1)
    numbers = every if is_every else representatives(bench.calls, options.seed)
    for case in cases(bench.setting, bench.calls, numbers):
        is_call = options.call in (None, case.fault.call)
        is_call = is_call and options.path in (None, case.fault.path)
        is_call = is_call and options.group in (None, case.group)
        is_error = options.errno in (None, case.fault.error)
        if is_call and is_error and case.fault.times in times and case.stops in stops:
            yield case


def work(options: argparse.Namespace, root: Path, process: int) -> None:
    """Try those of the chosen cases that are of this part and of this process."""
    tally, number, (part, parts) = Tally(), 0, options.part
    for setting in settings(options):
        bench = Bench(setting, root / str(process))
        for case in islice(chosen(bench, options), 0, None, options.stride):
            number += 1
            if (number - part) % parts == 0 and number // parts % options.processes == process:
                found = bench.violations(case)
                tally.add(bench, case, found)
                if found:
                    print(line(bench, case, found, is_long=options.long), flush=True)
        tally.save(root / f"{process}.json")


def line(bench: Bench, case: Case, found: Sequence[Violation], *, is_long: bool = False) -> str:
    """Return a case in a line: what kinds of violation, how to repeat it, the call, the details."""
    call = bench.call_of(case)
    kinds = ", ".join(dict.fromkeys(violation.kind for violation in found))
    where = call.where if is_long else " < ".join(call.where.split(" < ")[:CALLERS])
    details = " | ".join(dict.fromkeys(violation.what for violation in found))
    parts = (kinds, case.command, f"{call.name} {call.path}", where, details)
    text = "\t".join(parts).replace("\n", " ")
    return text if is_long else text[:SHOWN]


def list_calls(options: argparse.Namespace, root: Path) -> None:
    """Print the calls of the chosen settings."""
    for setting in settings(options):
        bench = Bench(setting, root)
        print(f"{setting}: {len(bench.calls):,} calls")
        for number, call in enumerate(bench.calls, start=1):
            print(f"{number}\t{call.name} {call.path}\t{call.where}")


def work_at_once(options: argparse.Namespace, root: Path) -> bool:
    """Work in processes; return whether all of them came to an end, and say if not."""
    pids = []
    for process in range(options.processes):
        if (pid := os.fork()) == 0:
            code = 1
            try:
                work(options, root, process)
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        pids.append(pid)
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    if any(codes):
        print(f"not all was tried: processes ended with {codes}", file=sys.stderr)
    return not any(codes)


def main(arguments: Sequence[str]) -> int:
    """Try the chosen cases; print what is wrong, and the tables."""
    options, began, tally = parsed(arguments), time.monotonic(), Tally()
    folder = MEMORY if os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="errors-", dir=folder) as name:
        root = Path(name)
        if options.list:
            list_calls(options, root / "list")
            return 0
        is_whole = work_at_once(options, root)
        for path in root.glob("*.json"):
            tally.load(path)
    seconds = time.monotonic() - began
    print("", *tally.tables(), sep="\n")
    tried = f"{tally.tried.total():,} cases in {seconds:,.0f} s"
    print(f"\n{tried}, {tally.violations:,} with a violation")
    return 0 if is_whole and not tally.violations else 1


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":  # the order of sets is that of calls
        command = [sys.executable, "-m", "tests.errors", *sys.argv[1:]]
        os.execve(sys.executable, command, {**os.environ, "PYTHONHASHSEED": "0"})
    sys.exit(main(sys.argv[1:]))
