"""`make simulate`: run many worlds, and report violations with the shortest history of each kind.

    python -m tests.simulate --worlds 10000 --seed 0     # worlds 0 to 9999
    python -m tests.simulate --part 3/20                 # a twentieth of them
    python -m tests.simulate --world 4711                # one, with its history
    python -m tests.simulate --without hang --without "all styles"
    python -m tests.simulate --broken claim              # a daemon with a fault planted in it

The same number is the same world. Exits with 1 if a law is violated, and prints the shortest
history of each kind of violation that it finds within a minute.

Of the daemon itself three things are asked: whether each worker has a job and each job that runs a
worker, which requests wait, and which settings are in force. A request is carried out within two
minutes in which no disk has trouble, new settings count within one; no hook runs twice, and each
end has its hook; of the jobs of an inbox the most urgent begins. Whoever submits a pair follows it:
only its own job is named, only an end that this has is said, and one is said at last. Jobs go on
while their inbox is not in the settings, and nothing in it is touched; what was painted or claimed
while files stay in an inbox stays there, also once others are to leave it. In the end all faults
cease, those of single files after the others, beside which all other jobs must be done by then.
"""

import argparse
import fcntl
import gc
import os
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from itertools import chain, cycle
from multiprocessing import get_context
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from shutil import rmtree

from tests.simulate.broken import BROKEN
from tests.simulate.coverage import Coverage
from tests.simulate.plan import DETAILS, FAULTS, MORE, SETTINGS, USER, Plan, draw
from tests.simulate.shrink import shrink
from tests.simulate.world import Result, World

MEMORY = Path("/dev/shm")
BATCH = 25
"""Number of worlds that a process runs between two reports."""

_planted = ExitStack()
"""The fault of a broken daemon, which lasts as long as the process."""


def run(plan: Plan) -> Result:
    """Run the world of a plan in memory, always at the same path: sets of paths have its order.

    Another process with this world waits.
    """
    above = MEMORY if MEMORY.is_dir() else Path(tempfile.gettempdir())
    folder, seed = above / f"simulate-{os.getuid()}", plan.settings.seed
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX, 1, seed)  # of one byte for each world
        rmtree(folder / str(seed), ignore_errors=True)  # left by a kill
        return World(plan, folder / str(seed)).run()


Drawn = Callable[[int], Plan]


def run_batch(seeds: Sequence[int], drawn: Drawn) -> tuple[Coverage, list[tuple[int, str]]]:
    """Run some worlds; return the coverage, and the seed and the kind of each violation."""
    coverage, found = Coverage(), []
    for seed in seeds:
        result = run(drawn(seed))
        coverage.add(result)
        if result.violation is not None:
            found.append((seed, result.violation.signature))
    return coverage, found


def start(broken: str) -> None:
    """Prepare a process, perhaps with a broken daemon: what is imported is never garbage."""
    _planted.enter_context(BROKEN[broken]())
    gc.collect()
    gc.freeze()


def start_on_a_core(broken: str, cores: "SimpleQueue[int]") -> None:
    """Prepare a process that stays on one of the `cores`.

    Its threads take turns, and one core wakes them up sooner.
    """
    start(broken)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {cores.get()})


def batches(seeds: Sequence[int]) -> Iterator[Sequence[int]]:
    """Yield worlds in batches."""
    for at in range(0, len(seeds), BATCH):
        yield seeds[at : at + BATCH]


def run_all(
    seeds: Sequence[int], drawn: Drawn, processes: int, broken: str
) -> tuple[Coverage, dict[str, list[int]]]:
    """Run all worlds; return the coverage, and the seeds of each kind of violation."""
    coverage, kinds = Coverage(), defaultdict[str, list[int]](list)
    began = time.perf_counter()
    forks = get_context("fork")  # a process has what this one has imported and drawn
    cores = forks.SimpleQueue()
    allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
    for _, core in zip(range(processes), cycle(allowed), strict=False):
        cores.put(core)
    with ProcessPoolExecutor(processes, forks, start_on_a_core, (broken, cores)) as pool:
        work = partial(run_batch, drawn=drawn)
        for part, found in pool.map(work, batches(seeds)):
            coverage.merge(part)
            for seed, kind in found:
                if kind not in kinds:
                    print(f"world {seed}: {kind}", flush=True)
                kinds[kind].append(seed)
            if coverage.worlds % (20 * BATCH) == 0:
                print(f"{coverage.worlds} worlds", flush=True)
    seconds = time.perf_counter() - began
    rate = coverage.worlds / seconds * 3600
    print(f"\n{coverage.worlds} worlds in {seconds:.0f} s: {rate:,.0f} an hour")
    return coverage, kinds


def report(
    coverage: Coverage, kinds: dict[str, list[int]], drawn: Drawn, options: argparse.Namespace
) -> None:
    """Print what was covered, and a table of violations with the shortest history of each kind."""
    print("\n".join(coverage.lines()))
    total = Counter({kind: len(seeds) for kind, seeds in kinds.items()})
    print(f"\n{total.total()} worlds with a violation, of {len(kinds)} kinds")
    for kind, number in total.most_common():
        print(f"{number:6}  {kind}: {', '.join(map(str, sorted(kinds[kind])[:5]))}")
    for kind, _ in total.most_common()[: options.histories]:
        print(f"\n{kind}")
        shortest = min(kinds[kind], key=lambda seed: len(drawn(seed).deeds))
        show(shrink(run(drawn(shortest)), run, options.shrink_s), shortest)


def show(result: Result, seed: int) -> None:
    """Print the history of a world."""
    settings = result.plan.settings
    print(f"world {seed}: {', '.join(result.plan.settings.features)}")
    names = ("quiet_s", "rescan_s", "truncated_s", "stage_s", "pace")
    print(", ".join(f"{name} {getattr(settings, name):g}" for name in names))
    print("\n".join(result.history).encode(errors="replace").decode(errors="replace"))


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options of the command line."""
    names = [*USER, *FAULTS, *chain(*MORE), *SETTINGS, *DETAILS]
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--worlds", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0, help="number of the first world")
    parser.add_argument("--part", default="1/1", help="K/N: the K-th of N parts")
    parser.add_argument("--world", type=int, help="run this world alone, and print its history")
    parser.add_argument("--shrunk", action="store_true", help="print its shortest history")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--broken", default="", choices=BROKEN, help="plant a fault in the daemon")
    parser.add_argument("--only", action="append", default=[], choices=names, metavar="NAME")
    parser.add_argument("--without", action="append", default=[], choices=names, metavar="NAME")
    parser.add_argument("--histories", type=int, default=20, help="kinds that are shrunk")
    parser.add_argument("--shrink-s", type=float, default=60.0)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    options = parsed(arguments)
    drawn = partial(draw, only=tuple(options.only), without=tuple(options.without))
    if options.world is not None:
        start(options.broken)
        result = run(drawn(options.world))
        if options.shrunk and result.violation is not None:
            result = shrink(result, run, options.shrink_s)
        show(result, options.world)
        print(result.violation or "no violation", result.trace[:16])
        return int(result.violation is not None)
    part, of = map(int, options.part.split("/"))
    seeds = range(options.seed, options.seed + options.worlds)[part - 1 :: of]
    coverage, kinds = run_all(seeds, drawn, options.processes, options.broken)
    start(options.broken)  # this process shrinks what the others found
    report(coverage, kinds, drawn, options)
    return int(bool(kinds))


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":  # else sets of the daemon have other orders
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, "-m", "tests.simulate", *sys.argv[1:]])
    sys.exit(main(sys.argv[1:]))
