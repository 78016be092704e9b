"""Rules for the source that no tool checks: one error tree per package, nothing unfinished."""

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = sorted(path.parent for path in ROOT.glob("*/stylewatch_*/__init__.py"))


def drawn(tree: str) -> dict[str, str | None]:
    """Return the classes in a drawn tree, each with its parent; the root has none."""
    parents: dict[str, str | None] = {}
    columns: list[tuple[int, str]] = []
    for match in re.finditer(r"^( {4}[│├└─ ]*)(\w+Error)\b", tree, re.MULTILINE):
        column, name = len(match[1]), match[2]
        columns = [(other, above) for other, above in columns if other < column]
        parents[name] = columns[-1][1] if columns else None
        columns.append((column, name))
    return parents


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_the_errors_of_a_package_are_one_drawn_tree_in_one_module(package: Path) -> None:
    if (package / "errors.py").is_file():
        module = import_module(f"{package.name}.errors")
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
    elsewhere = [
        f"{path.name}: {node.name}"
        for path in package.rglob("*.py")
        if path.name != "errors.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
        if any(ast.unparse(base).endswith(("Error", "Exception")) for base in node.bases)
    ]
    assert elsewhere == []


UNFINISHED = re.compile(
    r"\b(TODO|FIXME|XXX|HACK|NotImplementedError|xfail|importorskip)\b"
    r"|type: ignore|# noqa|mark\.skip|pytest\.skip"
)
LOCAL_PATH = re.compile(r"(?<![\w.~*}])/(work|root|tmp|Users|mnt|opt)/\w")
WRITTEN = (".cfg", ".ini", ".md", ".py", ".service", ".conf", ".toml", ".txt", ".yaml")
FOLDERS = (".ci", "bench", "daemon", "docs", "export", "plugins", "systemd", "tests")


def texts() -> Iterator[Path]:
    """Yield all files written by hand but this one, which names what it looks for."""
    for path in [*ROOT.iterdir(), *(path for name in FOLDERS for path in (ROOT / name).rglob("*"))]:
        named = path.suffix in WRITTEN or path.name in ("Makefile", "run", "LICENSE", "NOTICE")
        if path.is_file() and named and path != Path(__file__):
            yield path


@pytest.mark.parametrize("unwanted", [UNFINISHED, LOCAL_PATH], ids=["unfinished", "paths"])
def test_nothing_is_unfinished_and_no_path_is_local(unwanted: re.Pattern[str]) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in texts()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if unwanted.search(line)
    ]
    assert not found
