"""Names of functions in docs/architecture.md exist."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/architecture.md").read_text("utf-8")
DAEMON = ROOT / "daemon/stylewatch_daemon"
REFERENCES = sorted(set(re.findall(r"`([\w/]+\.py)(?::([\w.]+))?`", PAGE)))


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


def test_the_layers_of_the_page_are_those_that_are_enforced() -> None:
    listed = PAGE.partition("from top to bottom:\n\n```text\n")[2].partition("```")[0]
    names = [line.split()[0] for line in listed.splitlines()]
    contract = (ROOT / "pyproject.toml").read_text("utf-8").partition("Layers of the daemon")[2]
    layers = re.findall(r'"([\w |]+)",', contract.partition("layers = [")[2].partition("\n]")[0])
    assert names == layers


def thread_names() -> Iterator[tuple[str, str]]:
    """Yield the name of each thread that the daemon's package starts, with its module."""
    for path in sorted(DAEMON.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Thread"):
                (name,) = (each.value for each in node.keywords if each.arg == "name")
                yield path.relative_to(DAEMON).as_posix(), ast.unparse(name).strip("'")


NAMED_ELSEWHERE = {
    ("base/lanes.py", "name"): "files of FOLDER",
    ("executors/base.py", "name"): "workers",
    ("app/page.py", "NAME"): "web",
}
"""Names that are not written where the thread is made."""


def test_the_page_names_all_threads() -> None:
    listed = PAGE.partition("The threads of the daemon")[2].partition("\n## ")[0]
    for module, name in thread_names():
        assert f"`{NAMED_ELSEWHERE.get((module, name), name)}`" in listed, (module, name)
