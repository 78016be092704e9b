"""Check that the tests catch small faults: `python -m tests.mutants [WORD...]`, or `make mutants`.

Each entry of the YAML files in this folder describes one fault: the file, the text to find there
(exactly once), what replaces it, and the tests that must then fail. A fault is applied to a copy
of the tree, never to the tree itself. Words select the faults with one of them in their name or
file. The exit code is 1 if a fault is not caught.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Lock

import yaml

ROOT = Path(__file__).parents[2]
PACKAGES = ("daemon", "plugins", "export")
TIMEOUT = 600.0
"""Seconds after which the tests of one fault count as hanging, which catches it."""


@dataclass(frozen=True)
class Mutant:
    """One small fault and the tests, paths or node ids, that must catch it."""

    name: str
    file: str
    find: str
    replace: str
    tests: tuple[str, ...]


def mutants() -> list[Mutant]:
    """Read all faults, in the order of the files."""
    entries = [
        entry
        for path in sorted(Path(__file__).parent.glob("*.yaml"))
        for entry in yaml.safe_load(path.read_text("utf-8"))
    ]
    return [
        Mutant(entry["name"], entry["file"], entry["find"], entry["replace"],
               tuple(entry["tests"].split()))
        for entry in entries
    ]  # fmt: skip


def misplaced(mutant: Mutant, root: Path = ROOT) -> str:
    """Return why a fault cannot be applied to the tree `root`; an empty string where it can."""
    path = root / mutant.file
    if not path.is_file():
        return f"{mutant.file} does not exist"
    if (count := path.read_text("utf-8").count(mutant.find)) != 1:
        return f"its text occurs {count} times in {mutant.file}"
    missing = [test for test in mutant.tests if not (root / test.partition("::")[0]).exists()]
    return f"{missing[0]} does not exist" if missing else ""


def run_tests(tree: Path, tests: Sequence[str]) -> tuple[int, str]:
    """Run `tests` in `tree` up to the first failure; return pytest's exit code and last line."""
    packages = os.pathsep.join(str(tree / package) for package in PACKAGES)
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    try:
        done = subprocess.run(
            command, cwd=tree, env={**os.environ, "PYTHONPATH": packages}, timeout=TIMEOUT,
            capture_output=True, text=True, errors="replace", check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return 1, "the tests hang"
    lines = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return done.returncode, (lines or done.stdout.splitlines() or [""])[-1]


def copy_tree(root: Path, target: Path) -> None:
    """Copy the files of the tree `root` that git knows, or would add, to `target`."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root, capture_output=True, check=True,
    ).stdout  # fmt: skip
    for name in filter(None, os.fsdecode(listed).split("\0")):
        if (root / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, target / name)


class Trial:
    """Apply faults to copies of the tree `root`.

    Each selection of tests runs once without a fault too: `clean` remembers what that gave.
    """

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root
        self._lock = Lock()
        self.clean = cache(self._clean)

    def result(self, mutant: Mutant) -> tuple[bool, str]:
        """Return whether `mutant` is caught, and how, as text."""
        if reason := misplaced(mutant, self._root):
            return False, f"cannot be applied: {reason}"
        with self._lock:  # two threads would each run the same tests
            clean = self.clean(mutant.tests)
        if clean:
            return False, f"without the fault: {clean}"
        with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
            copy_tree(self._root, Path(folder))
            path = Path(folder) / mutant.file
            path.write_text(path.read_text("utf-8").replace(mutant.find, mutant.replace), "utf-8")
            code, line = run_tests(Path(folder), mutant.tests)
        if code == 1:
            return True, line.removeprefix("FAILED ").partition(" - ")[0]
        return False, "not caught" if code == 0 else f"pytest ended with {code}: {line}"

    def _clean(self, tests: tuple[str, ...]) -> str:
        with tempfile.TemporaryDirectory(prefix="clean-") as folder:
            copy_tree(self._root, Path(folder))
            code, line = run_tests(Path(folder), tests)
        return "" if code == 0 else line


def main(arguments: Sequence[str]) -> int:
    """Print a table with one row for each selected fault."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("words", nargs="*", help="try the faults with one of these words")
    parser.add_argument("--jobs", type=int, default=2, help="faults tried at the same time")
    parser.add_argument("--list", action="store_true", help="check that all apply, and run nothing")
    options = parser.parse_args(arguments)
    selected = [
        mutant
        for mutant in mutants()
        if not options.words
        or any(word in f"{mutant.name} {mutant.file}" for word in options.words)
    ]
    if options.list:
        wrong = [f"{mutant.name}: {misplaced(mutant)}" for mutant in selected if misplaced(mutant)]
        print(
            "\n".join([*wrong, f"{len(selected)} faults, {len(wrong)} of them cannot be applied"])
        )
        return 1 if wrong else 0
    print("| fault | file | caught by |\n| --- | --- | --- |")
    began, caught, trial = time.monotonic(), 0, Trial()
    with ThreadPoolExecutor(options.jobs) as pool:
        for mutant, (is_caught, how) in zip(
            selected, pool.map(trial.result, selected), strict=True
        ):
            print(
                f"| {mutant.name} | {mutant.file} | {how if is_caught else f'**{how}**'} |",
                flush=True,
            )
            caught += is_caught
    minutes = (time.monotonic() - began) / 60
    print(f"\n{caught} of {len(selected)} faults caught, in {minutes:.0f} minutes.")
    return 0 if caught == len(selected) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
