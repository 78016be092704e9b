"""The output is one picture or a folder; files are whole or absent, and nothing is replaced."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.daemon.cli.conftest import files
from tests.daemon.world import make_finished_job

from stylewatch_daemon.base.errors import OutputError, ShortageError
from stylewatch_daemon.cli import output_target
from stylewatch_daemon.cli.output_target import named, opened, reporting_write_errors
from stylewatch_painter.errors import SaveError


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, which is empty."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def publish(target: output_target.Target, *names: str) -> None:
    """Stage a file of each name, with its name inside, and publish it."""
    for name in names:
        path = target.staging / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
        target.publish(name)


def test_the_suffix_sets_the_format_and_without_one_it_is_a_folder(here: Path) -> None:
    (here / "odd.png").mkdir()
    formats = {"a.png": "png", "b/a.JPEG": "jpg", "a.b": None, "a.png/": None, "odd.png": None}
    assert {name: named(name).format for name in formats} == formats
    assert output_target.unnamed("odd", "png").path == Path("odd-2.png")


@pytest.mark.parametrize("error", [SaveError, ShortageError, OutputError])
def test_errors_with_a_sentence_of_their_own_pass(error: type[Exception]) -> None:
    with pytest.raises(error, match=r"^why$"), reporting_write_errors(Path("a.png")):
        raise error("why")
    sentence = r"a\.png cannot be written: Is a directory"
    with pytest.raises(OutputError, match=sentence), reporting_write_errors(Path("a.png")):
        raise IsADirectoryError(21, "Is a directory")


@pytest.mark.parametrize(
    ("taken", "final"),
    [("a.png", "final.png"), ("b/receipt.json", "final.png"), ("b/sea.jpg", "sea.jpg")],
)
def test_an_existing_file_is_replaced_only_by_force(here: Path, taken: str, final: str) -> None:
    (here / taken).parent.mkdir(exist_ok=True, parents=True)
    (here / taken).write_text("mine")
    place = replace(named(taken.partition("/")[0]), final=final)
    with (
        pytest.raises(OutputError, match="is already there; --force replaces it"),
        opened(place, force=False),
    ):
        pass
    assert (here / taken).read_text() == "mine"
    with opened(place, force=True) as target:
        assert (here / taken).read_text() == "mine", "until a file is published"
        publish(target, "final.png", "receipt.json")


def test_force_removes_the_earlier_job_and_no_other_file(here: Path) -> None:
    make_finished_job(here, ".", days=0)
    mine = {"mine.txt", "final.jpg", "inputs/mine.jpg", "inputs/style.jpg", "stages/mine.png"}
    inputs = {name for name in files(here) if name.startswith("inputs/")}
    for name in mine:
        (here / name).write_text("mine")
    with opened(named("."), force=True) as target:
        publish(target, "stages/0900.png")
        assert files(here) >= inputs, "which this job may read"
        publish(target, "inputs/sea.jpg")
    assert files(here) == {*mine, "stages/0900.png", "inputs/job.yaml", "inputs/sea.jpg"}


def test_force_renames_what_is_not_as_the_earlier_job_wrote_it(here: Path) -> None:
    make_finished_job(here, ".", days=0)
    for name in ("stages/0777.png", "stages/0001.png", "final.png"):
        (here / name).write_text("mine")
    with opened(named("."), force=True) as target:
        publish(target, "stages/0001.png", "losses.csv", "losses.csv", "final.png", "receipt.json")
    renamed = {"stages-2/0777.png", "stages-2/0001.png", "final-2.png"}
    new = {"stages/0001.png", "losses.csv", "final.png", "receipt.json"}
    assert files(here) == {*renamed, *new, "inputs/job.yaml"}
    assert {(here / name).read_text() for name in renamed} == {"mine"}


def test_without_a_valid_receipt_force_removes_no_file(here: Path) -> None:
    with opened(named("."), force=False) as target:
        publish(target, "stages/0001.png", "losses.csv")  # and is interrupted
    (here / "receipt.json").write_text("mine")
    with opened(named("."), force=True) as target:
        publish(target, "stages/0001.png", "losses.csv", "receipt.json")
    new = {"stages/0001.png", "losses.csv", "receipt.json"}
    assert files(here) == {"stages-2/0001.png", "losses-2.csv", "receipt-2.json", *new}
