"""The output is one picture or a folder; files are whole or absent."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.cli.conftest import Run, files
from tests.daemon.faults import killed_at

from stylewatch_daemon.files import atomic
from stylewatch_daemon.worker import run_job
from stylewatch_daemon.worker.messages import Event

RENDER = ("render", "content.jpg", "style.jpg", "--backend", "sketch", "--steps", "1", "--quiet")
JOB = {"receipt.json", "final.png", "losses.csv", "stages/0001.png", "inputs/content.jpg",
       "inputs/style.jpg"}  # fmt: skip


@pytest.fixture(autouse=True)
def pair(here: Path) -> set[str]:
    return files(here)


@pytest.mark.parametrize(
    ("out", "made"),
    [
        ("a.png", {"a.png"}), ("odd.png/a.JPEG", {"odd.png/a.JPEG"}),
        ("b", {f"b/{name}" for name in JOB}), ("a.png/", {f"a.png/{name}" for name in JOB}),
        ("odd.png", {f"odd.png/{name}" for name in JOB}), ("", {"content-style-2.png"}),
    ],
)  # fmt: skip
def test_the_suffix_sets_the_format_without_one_it_is_a_folder_and_by_default_the_name_is_free(
    out: str, made: set[str], here: Path, pair: set[str], run: Run
) -> None:
    for name in ("odd.png", "content-style.png"):
        (here / name).mkdir()
    assert run(*RENDER, *(("-o", out) if out else ())).code == 0
    assert files(here) - pair == made


@pytest.mark.parametrize(
    ("out", "taken"),
    [("a.png", "a.png"), ("b", "b/receipt.json"), ("b", "b/inputs"), ("b", "b/stages"),
     ("b", "b/sea.png")],
)  # fmt: skip
def test_an_existing_file_is_replaced_only_by_force(
    out: str, taken: str, here: Path, run: Run
) -> None:
    (here / taken).parent.mkdir(exist_ok=True)
    (here / taken).write_text("mine")
    words = (*RENDER, "-o", out, "--set", "final=sea")
    ended = run(*words)
    assert ended.code == 73 and f"{taken} is already there; --force replaces it" in ended.err
    assert (here / taken).read_text() == "mine"
    if Path(taken).suffix:
        assert run(*words, "--force").code == 0
        assert (here / taken).read_bytes() != b"mine"


@pytest.mark.parametrize(
    ("out", "taken"), [("", "content-style.png"), ("a.png", "a.png"), ("b", "b/final.png")]
)
def test_a_file_that_another_command_writes_in_the_meantime_is_not_replaced(
    out: str, taken: str, here: Path, pair: set[str], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = run_job.work

    def slow_work(*order: Any) -> Iterator[Event]:
        (here / taken).write_text("mine")
        return work(*order)

    monkeypatch.setattr(run_job, "work", slow_work)
    ended = run(*RENDER[:-1], *(("-o", out) if out else ()))
    made = set() if out else {"content-style-2.png"}
    assert files(here) - pair == {taken, *made} and set(ended.lines) == made
    assert (ended.code, (here / taken).read_text()) == (73 if out else 0, "mine")
    assert not out or f"{taken} is already there; --force replaces it" in ended.err


def test_force_replaces_the_earlier_job_and_no_other_file(here: Path, run: Run) -> None:
    more = ("--steps", "4", "--save-every", "2", "--artifact", "sheet", "--init", "style.jpg")
    assert run(*RENDER, *more, "-o", "b").code == 0
    mine = {"mine.txt", "inputs/mine.jpg", "stages/mine.png"}
    for name in mine:
        (here / "b" / name).write_text("mine")
    (here / "b/stages/0777.png").write_text("")
    assert run(*RENDER, "-o", "b", "--force").code == 0
    assert files(here / "b") == {*JOB, *mine, "sheet.png", "inputs/style-2.jpg"}


def test_a_killed_job_leaves_no_receipt_of_other_files_and_all_inputs(here: Path, run: Run) -> None:
    assert run(*RENDER, "--seed", "1", "-o", "first").code == 0
    inputs = {atomic.digest(here / "first/inputs" / name) for name in ("content.jpg", "style.jpg")}
    for change in range(1, 1000):
        shutil.rmtree(here / "b", ignore_errors=True)
        shutil.copytree(here / "first", here / "b")
        with killed_at(change) as was_killed:
            run("render", "--from", "b", "-o", "b", "--force", "--seed", "2", "--quiet")
        if (here / "b/receipt.json").exists():
            plain = json.loads((here / "b/receipt.json").read_text())
            for each in (*plain["stages"], *plain["files"]):
                assert atomic.digest(here / "b" / each["file"]) == each["sha256"], change
        kept = (path for path in (here / "b/inputs").iterdir() if path.suffix == ".jpg")
        assert {atomic.digest(path) for path in kept} == inputs, change
        if not was_killed():
            break
    assert files(here / "b") == JOB and change > 10
