"""What docs/architecture.md names exists: files and functions, laws, layers, threads."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/architecture.md").read_text("utf-8")
DAEMON = ROOT / "daemon/stylewatch_daemon"
BASES = (DAEMON, ROOT / "plugins/stylewatch_painter", ROOT / "plugins", ROOT)
REFERENCE = re.compile(r"(?<![\w/])([\w/]+\.py)(?::([\w.]+\w))?")
"""A file, and perhaps a function or a class in it, in a sentence, a table or a drawing."""
REFERENCES = sorted(set(REFERENCE.findall(PAGE)))


def path_of(file: str) -> Path:
    """Return the file that the page means, below the first base that has it."""
    return next((base / file for base in BASES if (base / file).is_file()), DAEMON / file)


def definitions(path: Path) -> set[str]:
    """The functions, classes and constants of a module, methods as `Class.method`."""
    names = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
        if isinstance(node, ast.Assign | ast.AnnAssign):
            names.add(ast.unparse(node.targets[0] if isinstance(node, ast.Assign) else node.target))
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{part.name}" for part in node.body
                      if isinstance(part, ast.FunctionDef)}  # fmt: skip
    return names


@pytest.mark.parametrize(("file", "name"), REFERENCES)
def test_a_file_or_function_that_the_page_names_exists(file: str, name: str) -> None:
    assert path_of(file).is_file()
    assert not name or name in definitions(path_of(file))


LAWS = 27
TARGETS = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))


def rows_of_laws() -> Iterator[tuple[int, str, str]]:
    """Yield each law of the table with the places that keep it, and what looks for breaches."""
    table = PAGE.partition("\n## The laws\n")[2].partition("\n## ")[0]
    for number, kept, sought in re.findall(r"^\| (\d+)\. .*? \| (.*) \| (.*) \|$", table, re.M):
        yield int(number), kept, sought


def test_each_law_has_a_place_that_keeps_it_and_a_machine_or_test_that_looks_for_breaches() -> None:
    """That the places exist is tested above."""
    rows = list(rows_of_laws())
    assert [number for number, _, _ in rows] == list(range(1, LAWS + 1))
    for number, kept, sought in rows:
        assert REFERENCE.search(kept), number
        machines = re.findall(r"`make ([\w-]+)`", sought)
        assert machines or REFERENCE.search(sought), number
        assert TARGETS.issuperset(machines), number


def test_no_comment_names_a_law_that_the_page_lacks() -> None:
    sources = [
        path for base in ("daemon", "plugins", "export") for path in (ROOT / base).rglob("*.py")
    ]
    text = "".join(path.read_text("utf-8") for path in sources)
    named = re.findall(r"\blaws? ((?:\d+(?:, | and | to )?)+)", text)
    numbers = {int(number) for each in named for number in re.findall(r"\d+", each)}
    assert numbers
    assert max(numbers) <= LAWS


def test_the_page_begins_with_the_way_of_a_pair_and_of_a_picture() -> None:
    """That the files in the drawings exist is tested above."""
    pair, picture = re.findall(r"```text\n(.*?)```", PAGE.partition("\n## ")[0], re.DOTALL)
    assert {"intake/claim.py", "outbox/publish.py"} <= {file for file, _ in REFERENCE.findall(pair)}
    assert {"images/read.py", "paint/paint.py"} <= {file for file, _ in REFERENCE.findall(picture)}


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
