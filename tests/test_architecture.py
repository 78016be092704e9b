"""Names of functions in docs/architecture.md, and of entries of child processes, exist."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/architecture.md").read_text("utf-8")
DAEMON = ROOT / "daemon/stylewatch_daemon"
REFERENCES = sorted(set(re.findall(r"`([\w/]+\.py)(?::([\w.]+))?`", PAGE)))
MOST_FILES = 30
"""Files that a job passes through from the inbox to the receipt, at most."""

MOST_FUNCTIONS = 15
"""Functions that lead from a recipe to the pixels, at most."""


def path_of(file: str) -> Path:
    """The file that the page means: below the daemon's package, or below plugins/."""
    return next(
        (path for base in (DAEMON, ROOT / "plugins") if (path := base / file).is_file()),
        DAEMON / file,
    )


def definitions(path: Path) -> set[str]:
    """The functions and classes of a module, methods as `Class.method`."""
    names = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{part.name}" for part in node.body
                      if isinstance(part, ast.FunctionDef)}  # fmt: skip
    return names


@pytest.mark.parametrize(("file", "name"), REFERENCES)
def test_a_file_or_function_that_the_page_names_exists(file: str, name: str) -> None:
    if name or "/" in file:
        assert path_of(file).is_file()
        assert not name or name in definitions(path_of(file))


def test_a_job_passes_few_files() -> None:
    way = PAGE.partition("<!-- way:begin -->")[2].partition("<!-- way:end -->")[0]
    files = set(re.findall(r"`([\w/]+\.py):", way))
    assert 0 < len(files) <= MOST_FILES


def test_a_picture_is_followed_in_few_functions() -> None:
    walk = PAGE.partition("<!-- walk:begin -->")[2].partition("<!-- walk:end -->")[0]
    functions = re.findall(r"`[\w/]+\.py:([\w.]+)`", walk)
    assert 0 < len(functions) <= MOST_FUNCTIONS


def test_the_layers_of_the_page_are_those_that_are_enforced() -> None:
    listed = PAGE.partition("from top to bottom:\n\n```text\n")[2].partition("```")[0]
    names = [line.split()[0] for line in listed.splitlines()]
    contract = (ROOT / "pyproject.toml").read_text("utf-8").partition("Layers of the daemon")[2]
    layers = re.findall(r'"([\w |]+)",', contract.partition("layers = [")[2].partition("\n]")[0])
    assert names == layers


@pytest.mark.parametrize(
    "entry",
    sorted(
        {
            entry
            for path in DAEMON.rglob("*.py")
            for entry in re.findall(r'"(stylewatch_[a-z_.]+:[a-z_]+)"', path.read_text("utf-8"))
        }
    ),
)
def test_an_entry_of_a_child_process_exists(entry: str) -> None:
    module, _, name = entry.partition(":")
    assert name in definitions((DAEMON.parent / module.replace(".", "/")).with_suffix(".py"))
