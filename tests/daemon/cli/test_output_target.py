"""Where a painting goes: one picture or a folder, whole or not at all, never over another."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.daemon.world import make_finished_job

from stylewatch_daemon.cli import output_target
from stylewatch_daemon.errors import OutputError, UsageError


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, a test's own."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def publish(opened: output_target.Out, *names: str) -> None:
    """Stage a file of each name, with its name inside, and publish it."""
    for name in names:
        path = opened.staging / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
        opened.publish(name)


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("said", "form"),
    [("a.png", "png"), ("a.JPG", "jpg"), ("b/a.jpeg", "jpg"), ("a.webp", "webp"),
     ("a.tif", "tiff"), ("a", None), ("a.b", None), ("a.png/", None)],
)  # fmt: skip
def test_the_suffix_says_the_format_and_none_means_a_folder(said: str, form: str | None) -> None:
    assert output_target.named(said).format == form


def test_a_folder_that_is_there_is_a_folder_whatever_its_name(here: Path) -> None:
    (here / "odd.png").mkdir()
    assert output_target.named("odd.png").format is None


def test_a_picture_that_cannot_be_written_is_refused() -> None:
    with pytest.raises(UsageError, match=r"\.gif cannot be written; \.png, "):
        output_target.named("a.gif")


def test_a_painting_without_a_place_is_a_picture_of_its_name_here(here: Path) -> None:
    assert output_target.unnamed("sea-wave", "png").path == Path("sea-wave.png")
    (here / "sea-wave.png").touch()
    assert output_target.unnamed("sea-wave", "png").path == Path("sea-wave-2.png")


def test_of_all_files_a_picture_is_the_final_one(here: Path) -> None:
    with output_target.opened(output_target.named("painted.png"), force=False) as opened:
        publish(opened, "stages/0001.png", "losses.csv", "final.png", "receipt.json")
        assert opened.stage_inputs([here / "never-read.jpg"]) == ()
    assert files(here) == {"painted.png"}
    assert (here / "painted.png").read_text() == "final.png"


def test_a_folder_gets_everything(here: Path) -> None:
    names = {"stages/0001.png", "losses.csv", "final.png", "receipt.json"}
    with output_target.opened(output_target.named("painted"), force=False) as opened:
        publish(opened, *names)
    assert files(here / "painted") == names


def test_inputs_with_the_same_name_are_all_kept(here: Path) -> None:
    for folder in ("one", "two"):
        (here / folder).mkdir()
        (here / folder / "a.jpg").write_text(folder)
    with output_target.opened(output_target.named("painted"), force=False) as opened:
        staged = opened.stage_inputs([here / "one/a.jpg", here / "two/a.jpg"])
        for name in staged:
            opened.publish(name)
    assert staged == ("inputs/a.jpg", "inputs/a-2.jpg")
    assert (here / "painted/inputs/a-2.jpg").read_text() == "two"


def test_an_input_may_be_a_link(here: Path) -> None:
    (here / "real.jpg").write_text("real")
    (here / "link.jpg").symlink_to("real.jpg")
    with output_target.opened(output_target.named("painted"), force=False) as opened:
        assert opened.stage_inputs([here / "link.jpg"]) == ("inputs/link.jpg",)
        assert (opened.staging / "inputs/link.jpg").read_text() == "real"


@pytest.mark.parametrize(
    "taken", ["a.png", "b/receipt.json", "b/stages/0001.png", "b/inputs/sea.jpg"]
)
def test_what_is_there_is_not_replaced_unless_that_is_asked_for(here: Path, taken: str) -> None:
    (here / taken).parent.mkdir(exist_ok=True, parents=True)
    (here / taken).write_text("mine")
    place = output_target.named(taken.partition("/")[0])
    with (
        pytest.raises(OutputError, match="is already there; --force replaces it"),
        output_target.opened(place, force=False),
    ):
        pass
    with output_target.opened(place, force=True) as opened:
        assert (here / taken).read_text() == "mine"
        publish(opened, "final.png", "receipt.json")
    assert taken.endswith(("0001.png", "sea.jpg")) or (here / taken).read_text() != "mine"


def test_a_folder_that_is_used_again_keeps_nothing_of_the_job_before(here: Path) -> None:
    """Also where that called its picture otherwise."""
    make_finished_job(here, "painted", days=0)
    with output_target.opened(output_target.named("painted"), force=True) as opened:
        publish(opened, "stages/0900.png")
    assert files(here / "painted") == {"stages/0900.png", "inputs/job.yaml"}


def test_of_a_job_that_was_cut_off_no_stage_is_kept(here: Path) -> None:
    with output_target.opened(output_target.named("painted"), force=False) as opened:
        publish(opened, "stages/0900.png")
    with output_target.opened(output_target.named("painted"), force=True) as opened:
        publish(opened, "stages/0001.png")
    assert files(here / "painted") == {"stages/0001.png"}


def test_pictures_of_ones_own_stay_whatever_they_are_called(here: Path) -> None:
    make_finished_job(here, ".", days=0)
    mine = {"mine.txt", "final.jpg", "inputs/mine.jpg", "inputs/style.jpg", "stages/mine.png"}
    for name in mine:
        (here / name).write_text("mine")
    with output_target.opened(output_target.named("."), force=True) as opened:
        publish(opened, "stages/0900.png")
    assert files(here) == {*mine, "stages/0900.png", "inputs/job.yaml"}


def test_a_picture_of_ones_own_that_has_the_name_of_the_last_one_is_not_replaced(
    here: Path,
) -> None:
    """With `final: "{stem}"`, painted where the photograph lies."""
    (here / "sea.jpg").write_text("mine")
    place = replace(output_target.named("./"), final="sea.jpg")
    with (
        pytest.raises(OutputError, match=r"sea\.jpg is already there"),
        output_target.opened(place, force=False),
    ):
        pass
    assert (here / "sea.jpg").read_text() == "mine"


def test_nothing_is_left_where_nothing_was_painted(here: Path) -> None:
    for name in ("painted", "painted.png"):
        with (
            pytest.raises(KeyboardInterrupt),
            output_target.opened(output_target.named(name), force=False) as opened,
        ):
            (opened.staging / "half.png").touch()
            raise KeyboardInterrupt
    assert list(here.iterdir()) == []


def test_the_stages_so_far_stay_in_a_folder(here: Path) -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        output_target.opened(output_target.named("painted"), force=False) as opened,
    ):
        publish(opened, "stages/0001.png")
        raise KeyboardInterrupt
    assert files(here) == {"painted/stages/0001.png"}


@pytest.mark.parametrize("said", ["absent/a.png", "absent/painted/", "file/a.png", "file/painted"])
def test_a_place_that_cannot_be_written_is_told_at_once(here: Path, said: str) -> None:
    (here / "file").touch()
    with (
        pytest.raises(OutputError, match="cannot be written to: "),
        output_target.opened(output_target.named(said), force=False),
    ):
        pass


def test_a_disk_that_fails_on_the_way_is_told(here: Path) -> None:
    with output_target.opened(output_target.named("a.png"), force=False) as opened:
        (opened.staging / "final.png").touch()
        (here / "a.png").mkdir()
        with pytest.raises(OutputError, match=r"a\.png cannot be written: "):
            opened.publish("final.png")
