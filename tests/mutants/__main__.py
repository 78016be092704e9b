"""Check that the tests catch small faults: `python -m tests.mutants [WORD...]`, or `make mutants`.

Each entry of the YAML files in this folder describes one fault: its file, the symbol there (a
qualified name, as `Jobs.commit`), text of one line within that symbol, what the text `becomes`, and
the tests that must then fail. Without `becomes` the statement that begins on that line is dropped.
A fault is applied to a copy of the tree, never to the tree itself. Words select the faults with one
of them in their name or file. The exit code is 1 if a fault is not caught.
"""

import argparse
import ast
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
PACKAGES = ("daemon", "plugins", "export")
LIMIT_S, HUNG = 300.0, -1
"""Seconds after which tests hang, and the exit code of such tests."""


@dataclass(frozen=True)
class Mutant:
    """One small fault and the tests, paths or node ids, that must catch it."""

    name: str
    file: str
    symbol: str
    line: str
    becomes: str | None
    tests: tuple[str, ...]

    def applied(self, source: str) -> str:
        """Return `source` with the fault; raises MisplacedError if it cannot be applied."""
        found = dict(symbols(ast.parse(source))).get(self.symbol)
        if found is None:
            raise MisplacedError(f"{self.file} has no {self.symbol}")
        lines = source.split("\n")
        numbers = [
            number
            for number in range(found.lineno, (found.end_lineno or found.lineno) + 1)
            if self.line in lines[number - 1]
        ]
        if len(numbers) != 1:
            raise MisplacedError(f"its text is on {len(numbers)} lines of {self.symbol}")
        first = last = numbers[0]
        text = lines[first - 1]
        if self.becomes is not None:
            changed = text.replace(self.line, self.becomes)
        else:
            last = next((node.end_lineno or first for node in ast.walk(found)
                         if isinstance(node, ast.stmt) and node.lineno == first), 0)  # fmt: skip
            changed = text[: len(text) - len(text.lstrip())] + "pass"
        if not last:
            raise MisplacedError(f"no statement of {self.symbol} begins on its line")
        return "\n".join([*lines[: first - 1], changed, *lines[last:]])


class MisplacedError(ValueError):
    """A fault cannot be applied to the code as it is."""


def symbols(node: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.stmt]]:
    """Yield the functions, classes and constants in `node` with their qualified names."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield f"{prefix}{child.name}", child
            yield from symbols(child, f"{prefix}{child.name}.")
        elif isinstance(child, ast.Assign | ast.AnnAssign):
            targets = child.targets if isinstance(child, ast.Assign) else [child.target]
            yield from ((f"{prefix}{ast.unparse(target)}", child) for target in targets)


def mutants() -> list[Mutant]:
    """Read all faults, in the order of the files."""
    entries = [
        entry
        for path in sorted(Path(__file__).parent.glob("*.yaml"))
        for entry in yaml.safe_load(path.read_text("utf-8"))
    ]
    return [
        Mutant(**{"becomes": None, **entry, "tests": tuple(entry["tests"].split())})
        for entry in entries
    ]


def misplaced(mutant: Mutant) -> str:
    """Return why a fault cannot be applied to the tree; an empty string if it can."""
    path = ROOT / mutant.file
    if not path.is_file():
        return f"{mutant.file} does not exist"
    try:
        ast.parse(mutant.applied(path.read_text("utf-8")))
    except MisplacedError as error:
        return str(error)
    except SyntaxError as error:
        return f"it makes no Python: {error}"
    missing = [test for test in mutant.tests if not (ROOT / test.partition("::")[0]).exists()]
    return f"{missing[0]} does not exist" if missing else ""


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


def result(mutant: Mutant, clean: Mapping[tuple[str, ...], tuple[int, str]]) -> tuple[bool, str]:
    """Return whether a fault is caught, and how, as text; `clean` has what its tests give now."""
    if reason := misplaced(mutant):
        return False, f"cannot be applied: {reason}"
    code, line = clean[mutant.tests]
    if code:
        return False, f"without the fault: {line}"
    code, line = run(mutant.tests, mutant)
    if code in (1, HUNG):
        return True, line.removeprefix("FAILED ").partition(" - ")[0]
    return False, "not caught" if code == 0 else f"pytest ended with {code}: {line}"


def run(tests: tuple[str, ...], mutant: Mutant | None = None) -> tuple[int, str]:
    """Run `tests` in a copy of the tree; return pytest's exit code and its last line."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        tree = Path(folder)
        copy_tree(ROOT, tree)
        if mutant is not None:
            path = tree / mutant.file
            path.write_text(mutant.applied(path.read_text("utf-8")), "utf-8")
        packages = os.pathsep.join(str(tree / package) for package in PACKAGES)
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests],
            cwd=tree, env={**os.environ, "PYTHONPATH": packages}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            lines = process.communicate(timeout=LIMIT_S)[0].splitlines()
        except subprocess.TimeoutExpired:
            return HUNG, "the tests hang"
        finally:
            with suppress(ProcessLookupError):  # what the tests left behind, too
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    return process.returncode, (failed or lines or [""])[-1]


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
        print("\n".join(f"{mutant.name}: {misplaced(mutant) or 'applies'}" for mutant in selected))
        return 1 if any(map(misplaced, selected)) else 0
    print("| fault | file | caught by |\n| --- | --- | --- |")
    caught = 0
    with ThreadPoolExecutor(options.jobs) as pool:
        selections = list({mutant.tests for mutant in selected})
        clean = dict(zip(selections, pool.map(run, selections), strict=True))
        results = pool.map(partial(result, clean=clean), selected)
        for mutant, (is_caught, how) in zip(selected, results, strict=True):
            text = how if is_caught else f"**{how}**"
            print(f"| {mutant.name} | {mutant.file} | {text} |", flush=True)
            caught += is_caught
    print(f"\n{caught} of {len(selected)} faults caught.")
    return 0 if caught == len(selected) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
