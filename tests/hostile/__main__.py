"""Hostile inputs against a real daemon: `python -m tests.hostile [WORD...]`, or `make hostile`.

Words choose the cases that have one of them. Several cases share a daemon, unless they must be
alone; after something wrong the rest goes on beside a new one. It ends with 1 if anything is wrong.

For each case the good pair is done in time and the daemon lives; the hostile job is done or
refused; outbox and state folder grow by less than twice the size of the input on the disk and a
constant, and the log by less than another, without a trace; the daemon and each of its children
stay below a limit of memory; no file outside the three folders is changed, and no text from outside
appears inside; the daemon ends with 0 when it is stopped, and the next start completes another good
pair.
"""

import argparse
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from tests.daemon.disks import CAN_MOUNT
from tests.hostile.cases import cases
from tests.hostile.world import MB, SHOWN, Case, Options, World, allocated

TOGETHER = 6
"""Cases that share a daemon."""

MOST_MEMORY, MOST_LOG = 1500 * MB, 2 * MB
"""Bytes that the daemon and each of its children may hold, and that a case may add to the log."""

MOST_DISK = 50 * MB
"""Bytes by which the disk may grow beyond twice what the input takes."""

STARTED_WITHIN = 60.0


@dataclass(frozen=True)
class Result:
    """Result of a case: seconds until the good pair was done, and what was wrong."""

    case: Case
    seconds: float | None = None
    wrong: tuple[str, ...] = ()

    def __str__(self) -> str:
        seconds = "-" if self.seconds is None else f"{self.seconds:.1f}"
        wrong = "; ".join(self.wrong).replace("|", "\\|").replace("\n", " ") or "holds"
        return f"| {self.case} | {seconds} | {wrong} |"


def batches(chosen: Sequence[Case]) -> Iterator[list[Case]]:
    """Yield the cases that share a daemon."""
    for alone, group in groupby(chosen, lambda case: case.alone or case.family):
        found = list(group)
        step = 1 if alone is True else TOGETHER
        yield from (found[at : at + step] for at in range(0, len(found), step))


def try_in(here: World, together: Sequence[Case]) -> Iterator[Result]:
    """Try the cases one after the other, up to one with something wrong; start again at the end."""
    within = max(STARTED_WITHIN, here.options.within)
    if wrong := here.start() or here.good(within) is None:
        raise RuntimeError(f"a good pair with nothing hostile beside it is not done: {wrong}")
    for case in together:
        result = _measured(here, case)
        yield result
        if result.wrong:
            return
    if wrong_after := tuple(_wrong_after(here)):
        names = "; ".join(case.name for case in together)
        yield Result(Case("the end", names, World.forget), wrong=wrong_after)


def _measured(here: World, case: Case) -> Result:
    """Place what is hostile, and a good pair beside it; return the result."""
    wrong = list[str]()
    if case.stopped and (code := here.end()):
        wrong.append(f"the daemon before ended with {code}")
    logged, inbox = here.log.stat().st_size, allocated(here.inbox)
    own = here.begin_to_measure()
    try:
        case.place(here)
    except (OSError, RuntimeError, ValueError, subprocess.SubprocessError) as error:
        return Result(case, wrong=(*wrong, f"it cannot be placed: {error!r}"))
    size = max(0, allocated(here.inbox, here.outbox, here.state) - inbox - own)
    seconds, trouble = _done(here, case)
    here.measure()
    if case.exits:
        here.end()
    here.forget()
    wrong += [*trouble, *_wrong_in_log(here, logged)]
    if here.disk - own > 2 * size + MOST_DISK:
        wrong.append(f"the disk grew by {(here.disk - own) / MB:.0f} MB, of {size / MB:.0f} MB")
    if here.peak > MOST_MEMORY:
        wrong.append(f"a process held {here.peak / MB:.0f} MB")
    if case.exits and not wrong:
        here.start()
    return Result(case, seconds, tuple(wrong))


def _done(here: World, case: Case) -> tuple[float | None, list[str]]:
    """Drop a good pair; return the seconds until it is done, and what is wrong."""
    if case.stopped and (trouble := here.start()):
        code = None if here.process is None else here.process.poll()
        is_explained = code in case.exits and str(here.root) in trouble
        return None, [] if is_explained else [trouble]
    within = case.within or here.options.within
    seconds, wrong = here.good(within), list[str]()
    if not here.is_dead:
        if seconds is None:
            wrong.append(f"the good pair was not done within {within:.0f} s")
        wrong += here.unmet()
    if here.is_dead:
        wrong.append(f"the daemon ended: {here.last_words()}")
    return seconds, wrong


def _wrong_in_log(here: World, start: int) -> Iterator[str]:
    """Yield whether the log grew too much from `start` on, and the last error with a trace."""
    text = here.log.read_bytes()[start:]
    if len(text) > MOST_LOG:
        yield f"the log grew by {len(text) / MB:.1f} MB"
    _, trace, rest = text[-2 * MOST_LOG :].decode(errors="replace").rpartition("Traceback (most")
    if trace:
        ends = (line for line in rest.splitlines()[1:] if line and not line.startswith(" "))
        yield f"a trace in the log: {next(ends, '')[:SHOWN]}"


def _wrong_after(here: World) -> Iterator[str]:
    """Yield what is wrong with the end of the daemon, with its next start, and outside."""
    if not here.is_dead and (code := here.end()):
        yield f"it ended with {code} when it was stopped"
    logged = here.log.stat().st_size
    if wrong := here.start():
        yield f"at the next start {wrong}"
    elif here.good(here.options.within) is None:
        yield "after the next start no good pair is done"
    elif code := here.end():
        yield f"the next one ended with {code} when it was stopped"
    yield from _wrong_in_log(here, logged)
    yield from here.wrong_outside()


def results(together: Sequence[Case], options: Options) -> Iterator[Result]:
    """Try cases that share a daemon, and another one after something wrong."""
    left = list(together)
    while left:
        root = Path(tempfile.mkdtemp(prefix="hostile-"))
        here = World(root, options)
        try:
            for result in try_in(here, left.copy()):
                yield result
                if result.case in left:
                    left.remove(result.case)
        finally:
            here.close()  # a folder that became deep is beyond shutil
            subprocess.run(["rm", "--recursive", "--force", str(root)], check=True)


def main(arguments: Sequence[str]) -> int:
    """Print the table, or the selected rows."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.hostile",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("words", nargs="*", help="try the cases with one of these words")
    parser.add_argument("--seed", type=int, default=0, help="of what is generated")
    parser.add_argument("--examples", type=int, default=25, help="generated for each such case")
    parser.add_argument("--within", type=float, default=15.0, help="seconds for the good pair")
    parser.add_argument("--list", action="store_true", help="only say what would be tried")
    given = parser.parse_args(arguments)
    options = Options(given.seed, given.examples, given.within)
    chosen = [case for case in cases()
              if not given.words or any(word in str(case) for word in given.words)]  # fmt: skip
    if given.list:
        print("\n".join(map(str, chosen)))
        return 0
    print("| family | what was tried | good pair, s | result |\n| --- | --- | --- | --- |")
    possible, failed = [case for case in chosen if CAN_MOUNT or not case.needs_mounts], 0
    for batch in batches(possible):
        for result in results(batch, options):
            print(result, flush=True)
            failed += bool(result.wrong)
    print(f"\n{len(possible)} cases, {failed} of them with something wrong.")
    print(f"{len(chosen) - len(possible)} need mounts, and were not tried here.")
    return 1 if failed else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # daemons and folders go then, too
    sys.exit(main(sys.argv[1:]))
