"""The output is one picture or a folder; files are whole or absent, and nothing is replaced."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.daemon.cli.conftest import files
from tests.daemon.world import make_finished_job

from stylewatch_daemon.cli import output_target
from stylewatch_daemon.cli.output_target import named, opened
from stylewatch_daemon.errors import OutputError, UsageError


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
    formats = {"a.png": "png", "a.JPG": "jpg", "b/a.jpeg": "jpg", "a.webp": "webp", "a.tif": "tiff",
               "a": None, "a.b": None, "a.png/": None, "odd.png": None}  # fmt: skip
    assert {name: named(name).format for name in formats} == formats
    with pytest.raises(UsageError, match=r"\.gif cannot be written; \.png, "):
        named("a.gif")
    assert output_target.unnamed("odd", "png").path == Path("odd-2.png")


def test_a_picture_gets_the_final_picture_and_a_folder_gets_everything(here: Path) -> None:
    names = ["stages/0001.png", "losses.csv", "final.png", "receipt.json"]
    for out in ("painted.png", "painted"):
        with opened(named(out), force=False) as target:
            publish(target, *names)
    assert files(here) == {"painted.png", *(f"painted/{name}" for name in names)}
    assert (here / "painted.png").read_text() == "final.png"


def test_inputs_of_the_same_name_and_links_are_kept_in_a_folder(here: Path) -> None:
    for folder in ("a", "b"):
        (here / folder).mkdir()
        (here / folder / "x.jpg").write_text(folder)
    (here / "link.jpg").symlink_to("b/x.jpg")
    pictures = [here / "a/x.jpg", here / "b/x.jpg", here / "link.jpg"]
    with opened(named("painted.png"), force=False) as target:
        assert target.stage_inputs(pictures) == ()
    with opened(named("painted"), force=False) as target:
        staged = target.stage_inputs(pictures)
        assert staged == ("inputs/x.jpg", "inputs/x-2.jpg", "inputs/link.jpg")
        for name in staged:
            target.publish(name)
    assert [(here / "painted" / name).read_text() for name in staged] == ["a", "b", "b"]


@pytest.mark.parametrize(
    ("taken", "final"),
    [("a.png", "final.png"), ("b/receipt.json", "final.png"), ("b/stages/0001.png", "final.png"),
     ("b/inputs/sea.jpg", "final.png"), ("b/sea.jpg", "sea.jpg")],
)  # fmt: skip
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
    for name in mine:
        (here / name).write_text("mine")
    with opened(named("."), force=True) as target:
        publish(target, "stages/0900.png")
    assert files(here) == {*mine, "stages/0900.png", "inputs/job.yaml"}


def test_an_interruption_leaves_the_stages_and_nothing_else(here: Path) -> None:
    for out, names in (("a", []), ("a.png", []), ("b", ["stages/0001.png"])):
        with pytest.raises(KeyboardInterrupt), opened(named(out), force=False) as target:
            (target.staging / "half.png").touch()
            publish(target, *names)
            raise KeyboardInterrupt
    assert [path.name for path in here.iterdir()] == ["b"]
    assert files(here) == {"b/stages/0001.png"}
    with opened(named("b"), force=True) as target:
        publish(target, "stages/0900.png")
    assert files(here) == {"b/stages/0900.png"}


@pytest.mark.parametrize("out", ["absent/a.png", "absent/painted/", "file/a.png", "file/painted"])
def test_a_place_that_cannot_be_written_is_reported(here: Path, out: str) -> None:
    (here / "file").touch()
    with pytest.raises(OutputError, match="cannot be written: "), opened(named(out), force=False):
        pass
    with opened(named("a.png"), force=False) as target:
        (target.staging / "final.png").touch()
        (here / "a.png").mkdir()
        with pytest.raises(OutputError, match=r"a\.png cannot be written: "):
            target.publish("final.png")
