"""Draw small faults in the code, and count those that the tests catch: `make mutants`.

From the packages of PACKAGES, `--mutants` places are drawn by `--seed`, and for each one of the
changes that cosmic-ray knows there (another comparison, number or condition, a loop that never
begins ...). Each is made in a copy of the tree, never in the tree itself, and the tests of its
package alone run for `--seconds`. A fault is killed if a test fails, or if the tests do not end in
that time although they do without the fault; otherwise it survives.

The outcomes are in `--out`, to which an interrupted run adds. With `--before FILE`, which has those
of an earlier run, only the faults that were killed there are tried: the exit code is 1 if one
survives.
"""

import argparse
import ast
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from enum import StrEnum
from itertools import islice
from pathlib import Path
from queue import SimpleQueue

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

ROOT = Path(__file__).parents[2]
SOURCES = ("daemon", "plugins", "export")
DAEMON, PAINTER = "daemon/stylewatch_daemon", "plugins/stylewatch_painter"

PACKAGES = {
    "jobs": (f"{DAEMON}/jobs", "tests/daemon/jobs"),
    "intake": (f"{DAEMON}/intake", "tests/daemon/intake"),
    "outbox": (f"{DAEMON}/outbox", "tests/daemon/outbox"),
    "losses": (f"{PAINTER}/losses", "tests/painter/losses"),
    "paint": (f"{PAINTER}/paint", "tests/painter/paint"),
    "scene": (f"{PAINTER}/scene", "tests/painter/scene"),
}
"""The folder of each package, and that of its tests."""

LEFT_OUT = ("BitOr_", "VariableReplacer", "VariableInserter")
"""Parts of the names of changes that are not drawn: most `|` are in types, and the others need a
name of a variable."""


class Outcome(StrEnum):
    """The verdict of the tests on a fault."""

    KILLED = "killed"
    SURVIVED = "survived"


@dataclass(frozen=True)
class Mutant:
    """One small fault: the `occurrence` of a change of cosmic-ray, counted in its file."""

    package: str
    file: str
    line: int
    change: str
    occurrence: int

    def applied(self, source: str) -> str:
        """Return the source with the fault."""
        changed = mutate_code(source, get_operator(self.change)(), self.occurrence)
        assert isinstance(changed, str)
        return changed


def places(package: str) -> dict[tuple[str, int, int], list[Mutant]]:
    """Return the faults that are possible in a package, by their place: file, line, column."""
    found = defaultdict(list)
    changes = [name for name in operator_names() if not any(part in name for part in LEFT_OUT)]
    for path in sorted((ROOT / PACKAGES[package][0]).glob("*.py")):
        file = str(path.relative_to(ROOT))
        tree = get_ast(path.read_text("utf-8"))
        nodes = list(ast_nodes(tree))
        for change in changes:
            operator = get_operator(change)()
            positions = (place for node in nodes for place in operator.mutation_positions(node))
            for occurrence, ((line, column), _) in enumerate(positions):
                found[file, line, column].append(Mutant(package, file, line, change, occurrence))
    return found


def draw(packages: Sequence[str], number: int, seed: int) -> list[Mutant]:
    """Draw faults at different places, equally many of each package."""
    chosen = random.Random(seed)
    drawn = list[Mutant]()
    for index, package in enumerate(packages):
        possible = places(package)
        share = number // len(packages) + (index < number % len(packages))
        in_any_order = chosen.sample(sorted(possible), len(possible))
        mutants = (chosen.choice(possible[place]) for place in in_any_order)
        drawn += islice(filter(_is_python, mutants), share)
    return drawn


def _is_python(mutant: Mutant) -> bool:
    """Return whether the fault leaves a program: the `*` of parameters is taken for a product."""
    try:
        ast.parse(mutant.applied((ROOT / mutant.file).read_text("utf-8")))
    except SyntaxError:
        return False
    return True


def copy_tree(root: Path, target: Path) -> None:
    """Copy the files of the tree `root` that git knows, or would add, to `target`."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root, capture_output=True, check=True,
    ).stdout  # fmt: skip
    compiled = [str(path.relative_to(root)) for path in root.glob("plugins/**/*.so")]
    for name in (*filter(None, os.fsdecode(listed).split("\0")), *compiled):
        if (root / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, target / name)


def pass_in(tree: Path, tests: str, seconds: float, *, is_shown: bool = False) -> bool | None:
    """Run tests in a tree; return whether they pass, or None if that is not known in time."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", tests],
        cwd=tree, env={**os.environ, "PYTHONPATH": os.pathsep.join(str(tree / name) for name in
                       SOURCES), "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=None if is_shown else subprocess.DEVNULL, stderr=subprocess.STDOUT,
        start_new_session=True,
    )  # fmt: skip
    try:
        return process.wait(seconds) == 0
    except subprocess.TimeoutExpired:
        return None
    finally:
        with suppress(ProcessLookupError):  # what the tests left behind, too
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def try_out(mutant: Mutant, tree: Path, seconds: float, *, is_fast: bool) -> Outcome:
    """Make a fault in a copy of the tree, run the tests, and take it back.

    `is_fast` says that the tests end in time without the fault.
    """
    path = tree / mutant.file
    source = path.read_text("utf-8")
    path.write_text(mutant.applied(source), "utf-8")
    try:
        passes = pass_in(tree, PACKAGES[mutant.package][1], seconds)
    finally:
        path.write_text(source, "utf-8")
    survived = not is_fast if passes is None else passes
    return Outcome.SURVIVED if survived else Outcome.KILLED


def outcomes(mutants: Sequence[Mutant], seconds: float, count: int) -> Iterator[Outcome]:
    """Yield what becomes of each fault; `count` are tried at once. Exit if tests fail without."""
    with (
        tempfile.TemporaryDirectory(prefix="mutants-") as folder,
        ThreadPoolExecutor(count) as pool,
    ):
        trees: SimpleQueue[Path] = SimpleQueue()
        for number in range(count):
            copy_tree(ROOT, Path(folder, str(number)))
            trees.put(Path(folder, str(number)))
        fast = {}
        for package in sorted({mutant.package for mutant in mutants}):
            passes = pass_in(Path(folder, "0"), PACKAGES[package][1], seconds, is_shown=True)
            if passes is False:
                sys.exit(f"the tests of {package} fail without a fault")
            fast[package] = passes is True

        def one(mutant: Mutant) -> Outcome:
            tree = trees.get()
            try:
                return try_out(mutant, tree, seconds, is_fast=fast[mutant.package])
            finally:
                trees.put(tree)

        yield from pool.map(one, mutants)


def read(path: Path) -> dict[Mutant, Outcome]:
    """Return the outcomes of an earlier run; none if there was none."""
    if not path.exists():
        return {}
    records = json.loads(path.read_text("utf-8"))
    return {Mutant(**record["mutant"]): Outcome(record["outcome"]) for record in records}


def write(path: Path, known: Mapping[Mutant, Outcome]) -> None:
    """Write outcomes as JSON."""
    records = [{"mutant": asdict(mutant), "outcome": outcome} for mutant, outcome in known.items()]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(records, indent=1), "utf-8")


def main(arguments: Sequence[str]) -> int:
    """Print each fault that survives, and a table of the packages."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutants", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("packages", nargs="*", default=[*PACKAGES], metavar="PACKAGE")
    parser.add_argument("--mutants", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=ROOT / "build/mutants.json")
    parser.add_argument("--before", type=Path)
    options = parser.parse_args(arguments)
    drawn = draw(options.packages, options.mutants, options.seed)
    if options.before:
        before = read(options.before)
        drawn = [mutant for mutant in drawn if before.get(mutant) is Outcome.KILLED]
    known = read(options.out)
    untried = [mutant for mutant in drawn if mutant not in known]
    results = outcomes(untried, options.seconds, options.processes) if untried else iter(())
    for mutant, outcome in zip(untried, results, strict=True):
        known[mutant] = outcome
        write(options.out, known)
        if outcome is Outcome.SURVIVED:
            print(f"survived: {mutant.file}:{mutant.line} {mutant.change}", flush=True)
    counts = Counter((mutant.package, known[mutant]) for mutant in drawn)
    print("| package | killed | survived |\n| --- | --- | --- |")
    for package in options.packages:
        print(f"| {package} | {counts[package, Outcome.KILLED]} "
              f"| {counts[package, Outcome.SURVIVED]} |")  # fmt: skip
    return 1 if options.before and any(known[mutant] is Outcome.SURVIVED for mutant in drawn) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
