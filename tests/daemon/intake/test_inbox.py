"""An inbox says what it skips, what stops it, and stops for nothing but itself."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.disks import same_folder
from tests.daemon.faults import failing, fill, tree
from tests.daemon.world import DaemonWorld, claiming_world, run_jobs, scan

from stylewatch_daemon.base.errors import OutputError
from stylewatch_daemon.files.disks import MountGuard
from stylewatch_daemon.intake import inbox
from stylewatch_daemon.intake.inbox import MAX_NOTES
from stylewatch_daemon.intake.pairing import pair


@pytest.fixture
def world(tmp_path: Path) -> DaemonWorld:
    return claiming_world(tmp_path)


def notes(world: DaemonWorld) -> list[str]:
    return world.loop.intake.inboxes[0].notes


# -- what is skipped


def test_skipped_paths_are_reported_once_and_noted_while_they_exist(world: DaemonWorld) -> None:
    fill(world.inbox, "old/receipt.json", "old/inputs/content.jpg", "old/inputs/style.jpg")
    (world.inbox / "photo.jpg").symlink_to("/etc/passwd")
    world.drop("a")
    assert [world.work(), world.work()] == [["a"], []]
    link = "a link, and links are not followed"
    assert {(path.name, why) for path, why in world.record.of("ignored")} == {
        ("old", "it has a receipt.json, like the output of a finished job"),
        ("photo.jpg", link),
    }
    assert f"photo.jpg is skipped: {link}" in notes(world)
    (world.inbox / "photo.jpg").unlink()
    for number in range(100):
        (world.inbox / f"{number:03}.jpg").symlink_to("/etc/passwd")
    world.work()
    assert len(world.record.of("ignored")) == 2 + len(notes(world)) == 2 + MAX_NOTES + 1
    assert notes(world)[-1].startswith(f"{101 - MAX_NOTES} more are skipped")


def test_what_was_left_out_of_an_album_stays_so_after_its_job_was_taken(
    world: DaemonWorld,
) -> None:
    fill(world.inbox, "al/style.jpg", "al/1.jpg", "al/1.mov", "al/film.mov", "al/j/other.png")
    world.drop("al/j")
    assert sorted(world.work()) == ["al/1", "al/film", "al/j"]
    fill(world.inbox, "al/film.mov")  # is dropped again
    assert world.work() == ["al/film"]
    for _ in range(2):
        assert world.work() == []
        assert world.waiting_for == {"al/j": "a style picture (style.jpg)"}
        assert [note.partition(" ")[0] for note in notes(world)] == ["al/1.mov"]
        world.start()
    shutil.rmtree(world.inbox / "al")
    world.work()
    assert notes(world) == []


# -- what stops an inbox


def test_an_inbox_that_is_gone_or_becomes_the_outbox_is_reported(world: DaemonWorld) -> None:
    fill(world.outbox, "old/content.jpg", "old/style.jpg")
    world.inbox.rmdir()
    assert world.work() == []
    assert "not readable" in world.trouble[str(world.inbox)]
    with same_folder(world.outbox, world.inbox):
        assert world.work() == []
        reason = f"the inbox is skipped: it is the outbox {world.outbox}"
        assert world.trouble == {str(world.inbox): reason}
        assert notes(world) == []


def test_pairs_stay_while_the_outbox_cannot_be_written_or_is_not_mounted(
    world: DaemonWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.drop("a")
    world.outbox.write_text("in the way")
    assert world.work() == []
    assert "cannot be written" in world.trouble[str(world.inbox)]
    world.outbox.unlink()
    with monkeypatch.context() as patch:
        patch.setattr(MountGuard, "check", failing(OutputError("its disk is not mounted")))
        assert world.work() == []
    assert "is not mounted" in world.trouble[str(world.inbox)]
    assert (len(tree(world.inbox)), world.outbox.exists()) == (2, False)
    assert len(world.record.of("waits")) == 2
    assert (world.work(), world.trouble) == (["a"], {})


def test_a_style_library_that_cannot_be_read_stops_only_the_pairs_that_need_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = claiming_world(tmp_path, default_style="wave", styles=tmp_path / "styles")
    fill(tmp_path, "styles/wave.jpg")
    world.drop("a")
    fill(world.inbox, "photo.jpg")
    with monkeypatch.context() as patch:
        refusal = failing(PermissionError(13, "Permission denied"))
        patch.setattr(inbox, "find_styles", refusal)
        assert world.work() == ["a"]
        (reason,) = world.trouble.values()
        assert "Permission denied" in reason
    assert (world.work(), world.trouble) == (["photo"], {})


def test_an_unexpected_error_stops_one_inbox_and_is_logged_once(
    world: DaemonWorld, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
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
    assert world.trouble == {str(world.inbox): fault}
    assert [record.exc_info is not None for record in caplog.records] == [True]
    assert (world.work(), world.trouble) == (["a"], {})


# -- pairs that wait


def test_a_pair_waits_while_a_program_has_a_file_open_also_after_the_scan(
    world: DaemonWorld,
) -> None:
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
    world: DaemonWorld,
) -> None:
    fill(world.inbox, "a/style.jpg")
    (world.inbox / "a/job.yaml").write_text("recipe: best\n")
    assert (world.work(), set(world.waiting_for)) == ([], {"a"})
    (world.inbox / "a/job.yaml").write_text("only: style\n")
    assert (world.work(), world.waiting_for) == (["a"], {})
