"""An inbox says what it skips, what stops it, and stops for nothing but itself."""

import errno
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.daemon.faults import failing, fill, replaced, tree
from tests.daemon.world import DaemonWorld, claiming_world, run_jobs, scan

from stylewatch_daemon.base.errors import OutputError
from stylewatch_daemon.files import atomic, entries
from stylewatch_daemon.files.disks import MountGuard
from stylewatch_daemon.intake.scanner import Checked


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
    assert world.loop.intake.inboxes[0].ignored[world.inbox / "photo.jpg"] == link
    (world.inbox / "photo.jpg").unlink()
    world.work()
    assert not any("photo.jpg" in note for note in notes(world))


# -- what stops an inbox


def test_an_inbox_that_is_a_file_is_a_problem(world: DaemonWorld) -> None:
    world.inbox.rmdir()
    world.inbox.write_text("a note")
    world.work()
    (problem,) = world.trouble.values()
    assert "it is a file, not a folder" in problem
    world.inbox.unlink()
    world.inbox.mkdir()
    world.drop("a")
    assert world.work() == ["a"]


def test_pairs_stay_while_the_outbox_cannot_be_written_or_is_not_mounted(
    world: DaemonWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(guard: MountGuard, folder: Path, inner: str = "") -> None:
        if folder == world.outbox:
            raise OutputError("its disk is not mounted")

    world.drop("a")
    world.outbox.write_text("in the way")
    assert world.work() == []
    assert "cannot be written" in world.trouble[str(world.outbox)]
    world.outbox.unlink()
    with monkeypatch.context() as patch:
        patch.setattr(MountGuard, "check", away)
        assert world.work() == []
    assert "is not mounted" in world.trouble[str(world.outbox)]
    assert (len(tree(world.inbox)), world.outbox.exists()) == (2, False)
    assert len(world.record.of("waits")) == 3
    assert (world.work(), world.trouble) == (["a"], {})


def test_what_another_ledger_holds_is_named_and_left_alone(world: DaemonWorld) -> None:
    """The state folder of that ledger may be lost, so that nobody else knows of the files."""
    fill(world.inbox, ".stylewatch/lost/job/sea/content.jpg", ".stylewatch-lost-job-style.jpg")
    before = tree(world.inbox)
    world.run()
    why = "another stylewatch picked it up; if its state folder is lost, move the files back"
    places = (".stylewatch/lost", ".stylewatch-lost-job-style.jpg")
    assert notes(world) == [f"{place} is skipped: {why}" for place in places]
    assert tree(world.inbox) == before


def test_a_default_style_that_fits_two_pictures_stops_only_lone_photographs(
    tmp_path: Path,
) -> None:
    styles = tmp_path / "styles"
    world = claiming_world(tmp_path, styles=styles, default_style="night")
    fill(styles, "night.jpg", "night.png")
    fill(world.inbox, "sea.jpg")
    world.drop("a")
    assert (world.work(), set(world.waiting_for)) == (["a"], {"sea"})
    assert "night.jpg and night.png" in world.trouble[f"the style library {styles}"]
    (styles / "night.png").unlink()
    assert (world.work(), world.trouble) == (["sea"], {})


def test_an_inbox_whose_disk_was_silent_is_scanned_again_as_soon_as_others(
    world: DaemonWorld,
) -> None:
    """The pause after a scan is a multiple of its time, which is that of its work alone (law 9)."""
    names = entries.names

    def listing_for(seconds: float) -> Callable[[Path], list[str]]:
        def listed(folder: Path) -> list[str]:
            world.wait(seconds)
            return names(folder)

        return listed

    for seconds, took in ((3.0, 3.0), (3600.0, 0.0)):
        with replaced(entries, names=listing_for(seconds)):
            fill(world.inbox, "a.jpg")
            scan(world.loop)
        assert world.loop.intake.inboxes[0].last.seconds == pytest.approx(took, abs=0.5)


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
    denied = PermissionError(errno.EACCES, "Permission denied")
    with replaced(atomic, open_regular=failing(denied)):
        assert world.work() == []
        assert "Permission denied" in world.trouble[f"{world.inbox}/a/job.yaml"]
    assert (world.work(), world.waiting_for, world.trouble) == (["a"], {}, {})


def test_a_scan_that_is_wanted_while_pairs_are_checked_follows_also_a_check_that_fails(
    world: DaemonWorld,
) -> None:
    def fails(groups: object, step: object) -> Checked:
        inbox.scan()
        raise OutputError("its disk is gone")

    world.drop("a")
    scan(world.start())
    inbox = world.loop.intake.inboxes[0]
    with replaced(inbox.scanner, check=fails):
        inbox.check(1, lambda group: False, lambda checked: None)
    assert inbox.wants_scan
    world.loop.wakeup.wait(0)
    assert inbox.is_scanning and not inbox.wants_scan
