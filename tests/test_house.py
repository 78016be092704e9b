"""Rules for the source that no tool checks: one error tree a package, nothing left unfinished."""

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = sorted(path.parent for path in ROOT.glob("*/stylewatch_*/__init__.py"))
MODULES = sorted(path for package in PACKAGES for path in package.rglob("*.py"))


def by_path(paths: list[Path]) -> pytest.MarkDecorator:
    """Run a test for each of the paths, named by it."""
    return pytest.mark.parametrize("path", paths, ids=lambda path: str(path.relative_to(ROOT)))


def drawn(tree: str) -> dict[str, str | None]:
    """The classes in a drawn tree, each with its parent; the root has none."""
    parents: dict[str, str | None] = {}
    columns: list[tuple[int, str]] = []
    for found in re.finditer(r"^( {4}[│├└─ ]*)(\w+Error)\b", tree, re.MULTILINE):
        column, name = len(found[1]), found[2]
        columns = [(other, above) for other, above in columns if other < column]
        parents[name] = columns[-1][1] if columns else None
        columns.append((column, name))
    return parents


@by_path([path for path in MODULES if path.name == "errors.py"])
def test_the_drawn_tree_of_errors_is_the_real_one(path: Path) -> None:
    module = import_module(f"{path.parent.name}.errors")
    tree = drawn(str(module.__doc__))
    real = {
        name: next((base.__name__ for base in value.__bases__ if base.__name__ in tree), None)
        for name, value in vars(module).items()
        if isinstance(value, type)
        and issubclass(value, Exception)
        and value.__module__ == module.__name__
    }
    assert real == tree
    assert list(tree.values()).count(None) == 1, "one root"


@by_path([path for path in MODULES if path.name != "errors.py"])
def test_errors_are_defined_in_the_tree_alone(path: Path) -> None:
    bases = {
        node.name: {ast.unparse(base) for base in node.bases}
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    }
    assert not [
        name
        for name, above in bases.items()
        if not name.startswith("_") and any(base.endswith(("Error", "Exception")) for base in above)
    ]


UNFINISHED = re.compile(
    r"\b(TODO|FIXME|XXX|HACK|NotImplementedError|xfail|importorskip)\b"
    r"|type: ignore|# noqa|mark\.skip|pytest\.skip"
)
SOMEBODYS_MACHINE = re.compile(r"(?<![\w.~*}])/(work|root|tmp|Users|mnt|opt)/\w")
WRITTEN = (".cfg", ".ini", ".md", ".py", ".service", ".conf", ".toml", ".txt", ".yaml")


def texts() -> Iterator[Path]:
    """Everything that was written by hand, but for this file, which names what it looks for."""
    rooms = (".ci", "daemon", "docs", "export", "plugins", "systemd", "tests")
    for path in [*ROOT.iterdir(), *(path for room in rooms for path in (ROOT / room).rglob("*"))]:
        named = path.suffix in WRITTEN or path.name in ("Makefile", "run", "LICENSE", "NOTICE")
        if path.is_file() and named and path != Path(__file__):
            yield path


@pytest.mark.parametrize("unwanted", [UNFINISHED, SOMEBODYS_MACHINE], ids=["unfinished", "paths"])
def test_nothing_is_left_unfinished_and_no_path_is_somebodys_own(unwanted: re.Pattern[str]) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in texts()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if unwanted.search(line)
    ]
    assert not found
