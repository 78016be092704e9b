"""An inbox says what it skips, what stops it, and stops for nothing but itself."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.disks import same_folder
from tests.daemon.faults import fill, tree
from tests.daemon.intake.world import World
from tests.daemon.world import run_jobs, scan

from stylewatch_daemon.base.errors import OutputError, SettingsError
from stylewatch_daemon.files.disks import MountGuard
from stylewatch_daemon.intake import inbox
from stylewatch_daemon.intake.inbox import MAX_NOTES
from stylewatch_daemon.intake.pairing import pair
from stylewatch_daemon.settings.style_library import check_default_style


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def raiser(error: Exception) -> Callable[..., Any]:
    def fail(*_: object) -> None:
        raise error

    return fail


# Skipped paths


def test_skipped_paths_are_reported_once_and_noted_while_they_exist(world: World) -> None:
    fill(world.inbox, "old/receipt.json", "old/inputs/content.jpg", "old/inputs/style.jpg")
    (world.inbox / "photo.jpg").symlink_to("/etc/passwd")
    world.drop("a")
    assert [world.work(), world.work()] == [["a"], []]
    assert sorted(world.skipped) == [
        "old: it has a receipt.json, as the output of a finished job has",
        "photo.jpg: a link, and links are not followed",
    ]
    assert "photo.jpg is skipped: a link, and links are not followed" in world.first.notes
    (world.inbox / "photo.jpg").unlink()
    for number in range(100):
        (world.inbox / f"{number:03}.jpg").symlink_to("/etc/passwd")
    world.work()
    assert len(world.skipped) == 2 + len(world.first.notes) == 2 + MAX_NOTES + 1
    assert world.first.notes[-1].startswith(f"{101 - MAX_NOTES} more are skipped")


def test_the_clip_of_a_live_photo_is_left_out_for_good_and_noted(world: World) -> None:
    fill(world.inbox, "al/style.jpg", "al/1.jpg", "al/1.mov", "al/film.mov")
    assert [sorted(world.work()), world.work()] == [["al/1", "al/film"], []]
    fill(world.inbox, "al/2.jpg")
    assert world.work() == ["al/2"]
    fill(world.inbox, "al/2.mov", "al/film.mov")  # comes later; is dropped again
    assert world.work() == ["al/film"]
    world.begin()
    assert world.work() == []
    assert set(tree(world.inbox)) == {"al/1.mov", "al/2.mov", "al/style.jpg"}
    assert [note.partition(" ")[0] for note in world.first.notes] == ["al/1.mov", "al/2.mov"]
    shutil.rmtree(world.inbox / "al")
    world.work()
    assert world.first.notes == []


def test_what_a_job_leaves_in_its_folder_does_not_become_part_of_the_album(world: World) -> None:
    fill(world.inbox, "al/style.jpg", "al/j/other.png", "al/j-2/1.png")
    world.drop("al/j")
    assert sorted(world.work()) == ["al/j", "al/j-2/1"]
    for _ in range(2):
        assert world.work() == []
        assert world.waiting_for == {"al/j": "a style picture (style.jpg)"}
        world.begin()


# What stops an inbox


def test_an_inbox_that_is_gone_or_becomes_the_outbox_is_reported(world: World) -> None:
    fill(world.outbox, "old/content.jpg", "old/style.jpg")
    world.inbox.rmdir()
    assert world.work() == []
    assert "not readable" in world.first.trouble[str(world.inbox)]
    with same_folder(world.outbox, world.inbox):
        assert world.work() == []
        reason = f"the inbox is skipped: it is the outbox {world.outbox}"
        assert world.first.trouble == {str(world.inbox): reason}
        assert world.first.notes == []


def test_pairs_stay_while_the_outbox_cannot_be_written_or_is_not_mounted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.drop("a")
    world.outbox.write_text("in the way")
    assert world.work() == []
    assert "cannot be written" in world.first.trouble[str(world.inbox)]
    world.outbox.unlink()
    with monkeypatch.context() as patch:
        patch.setattr(MountGuard, "check", raiser(OutputError("its disk is not mounted")))
        assert world.work() == []
    assert "is not mounted" in world.first.trouble[str(world.inbox)]
    assert (len(tree(world.inbox)), world.outbox.exists()) == (2, False)
    assert len(world.reasons) == 2
    assert (world.work(), world.first.trouble) == (["a"], {})


def test_a_style_library_that_cannot_be_read_stops_only_the_pairs_that_need_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, default_style="wave", styles=tmp_path / "styles")
    fill(tmp_path, "styles/wave.jpg")
    world.drop("a")
    fill(world.inbox, "photo.jpg")
    with monkeypatch.context() as patch:
        refusal = raiser(PermissionError(13, "Permission denied"))
        patch.setattr(inbox, "find_styles", refusal)
        assert world.work() == ["a"]
        (reason,) = world.first.trouble.values()
        assert "Permission denied" in reason
        patch.setattr(Path, "iterdir", refusal)
        with pytest.raises(SettingsError, match=r"styles cannot be read: Permission denied"):
            check_default_style(world.settings.pairing)
    assert (world.work(), world.first.trouble) == (["photo"], {})


def test_an_unexpected_error_stops_one_inbox_and_is_logged_once(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail_in_first(folder: Path, *args: Any) -> Any:
        if folder == world.inbox:
            raise KeyError("no such part")
        return pair(folder, *args)

    world.drop("a")
    world.drop("b", inbox="other")
    with monkeypatch.context() as patch:
        patch.setattr(inbox, "pair", fail_in_first)
        assert [world.work() for _ in range(3)] == [["b"], [], []]
    fault = "a fault of stylewatch stops this inbox (KeyError: 'no such part')"
    assert world.first.trouble == {str(world.inbox): fault}
    assert [record.exc_info is not None for record in caplog.records] == [True]
    assert (world.work(), world.first.trouble) == (["a"], {})


# Files that are open


def test_a_pair_waits_while_a_program_has_a_file_open_also_after_the_scan(world: World) -> None:
    world.drop("a", "b")
    scan(world.loop)
    with (world.inbox / "a/style.jpg").open("r+"):
        run_jobs(world.loop)
        assert set(world.states) == {"b"}
        waits_for = "style.jpg, which is still being written: a program has it open"
        assert world.waiting_for == {"a": waits_for}
        assert (world.work(), world.waiting_for) == ([], {"a": waits_for})
    assert (world.work(), world.waiting_for) == (["a"], {})


def test_a_job_that_says_what_it_is_for_needs_no_other_half_until_that_changes(
    world: World,
) -> None:
    fill(world.inbox, "a/style.jpg")
    (world.inbox / "a/job.yaml").write_text("recipe: best\n")
    assert (world.work(), set(world.waiting_for)) == ([], {"a"})
    (world.inbox / "a/job.yaml").write_text("only: style\n")
    assert (world.work(), world.waiting_for) == (["a"], {})
