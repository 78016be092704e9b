"""A pair is claimed as a whole or not at all, whatever goes wrong on the way."""

import errno
import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.faults import fill, killed_at, place_of, tree
from tests.daemon.intake.world import World
from tests.daemon.world import run_jobs, scan

from stylewatch_daemon.files import atomic
from stylewatch_daemon.intake import claim as claiming
from stylewatch_daemon.intake.intake import AHEAD, MAX_WAITING
from stylewatch_daemon.settings import sections

CLAIMED = {"content.jpg": "trip/content.jpg", "job.yaml": "{}", "style.jpg": "trip/style.jpg"}
IN_INBOX = {f"trip/{name}": text for name, text in CLAIMED.items()}

RENAME = os.rename  # also over mounts

BOTH = pytest.mark.parametrize("apart", [False, True], ids=["one_mount", "several_mounts"])


def trip(root: Path, **settings: Any) -> World:
    """Make a world with a pair and its job.yaml in a folder."""
    world = World(root, **settings)
    fill(world.inbox, *IN_INBOX)
    (world.inbox / "trip/job.yaml").write_text("{}")
    return world


def left_in_state(world: World) -> list[Path]:
    return [*world.state.jobs.iterdir(), *world.state.claims.iterdir()]


# The order of changes


@BOTH
def test_an_album_keeps_its_style_which_is_copied_before_anything_leaves_the_inbox(
    apart: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def copied(name: str, *args: Any) -> str:
        # a copy may fail, a rename does not
        assert (world.inbox / "album/photo.jpg").exists()
        return copy(name, *args)

    copy, world = atomic.copy, World(tmp_path)
    fill(world.inbox, "album/style.jpg", "album/photo.jpg")
    monkeypatch.setattr(atomic, "copy", copied)
    with world.apart(apart):
        assert world.work() == ["album/photo"]
    assert world.held == [{"photo.jpg": "album/photo.jpg", "style.jpg": "album/style.jpg"}]
    assert tree(world.inbox) == {"album/style.jpg": "album/style.jpg"}


def test_the_claim_is_written_before_a_file_is_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def renamed(source: Any, target: Any, **more: Any) -> None:
        if "src_dir_fd" in more and place_of(more["src_dir_fd"]) == world.inbox / "trip":
            (claim,) = world.state.claims.glob("*/claim.json")
            assert json.loads(claim.read_text())["name"] == "trip"
            seen.append(source)
        RENAME(source, target, **more)

    seen: list[str] = []
    world = trip(tmp_path)
    monkeypatch.setattr(os, "rename", renamed)
    assert world.work() == ["trip"]
    assert (sorted(seen), world.held) == (sorted(CLAIMED), [CLAIMED])
    assert left_in_state(world) == [world.state.jobs / world.jobs[0].id]


def test_files_get_unique_safe_names(tmp_path: Path) -> None:
    styles = tmp_path / "styles"
    world = World(tmp_path, default_style="Photo", styles=styles)
    fill(styles, "Photo.JPG")
    fill(world.inbox, "photo.jpg", os.fsdecode(b"-latin\xe9\n.jpg"))
    world.work()
    held = [set(files) for files in world.held]
    assert sorted(held, key=sorted) == [{"photo.jpg", "Photo-2.JPG"}, {"_latin__.jpg", "Photo.JPG"}]


# Files that change meanwhile


def link_to_passwd(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


CHANGES: dict[str, Callable[[Path], object]] = {
    "grows": lambda path: path.write_text("longer than it was before"),
    "is gone": Path.unlink,
    "is replaced": lambda path: (path.rename(path.with_name("x")), path.write_text(path.name)),
    "becomes a link": link_to_passwd,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@BOTH
def test_a_pair_that_changed_since_the_scan_stays(
    apart: bool, change: Callable[[Path], object], tmp_path: Path
) -> None:
    world = trip(tmp_path)
    with world.apart(apart):
        scan(world.loop)
        change(world.inbox / "trip/style.jpg")
        before = tree(world.inbox)
        run_jobs(world.loop, again=False)
        assert (tree(world.inbox), world.states) == (before, {})
        assert "its files to stop changing" in world.waiting_for["trip"]
        assert not world.loop.intake.is_final
    assert left_in_state(world) == []


@pytest.mark.parametrize("change", ["grows", "is replaced", "is open"])
def test_originals_that_change_after_they_were_copied_stay_and_are_said_to(
    change: str, tmp_path: Path
) -> None:
    world = trip(tmp_path)
    style = world.inbox / "trip/style.jpg"
    world.inspector.silent = True
    with world.apart(), ExitStack() as stack:
        world.work()
        assert tree(world.inbox) == IN_INBOX
        if change == "is open":
            stack.enter_context(style.open("r+"))
        else:
            CHANGES[change](style)
        world.inspector.silent = False
        run_jobs(world.loop, again=False)
        assert set(tree(world.inbox)) >= set(IN_INBOX)
        assert [text.partition(" after")[0] for text in world.changed_inputs] == [
            "trip: style.jpg changed"
        ]
        assert [file.name for file in world.jobs[0].inputs if file.changed] == ["style.jpg"]
        stack.close()
        (world.inbox / "trip/x").unlink(missing_ok=True)
        assert world.work() == ["trip"], "together they are a new pair"
        assert (tree(world.inbox), len(world.held)) == ({}, 2)


def test_what_is_written_into_a_file_while_it_is_copied_makes_it_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def copied(name: str, *args: Any) -> str:
        digest = copy(name, *args)
        if name == "style.jpg":
            (world.inbox / "trip/style.jpg").write_text("written since")
        return digest

    copy, world = atomic.copy, trip(tmp_path)
    with world.apart(), monkeypatch.context() as patch:
        patch.setattr(atomic, "copy", copied)
        assert world.work() == []
    assert set(tree(world.inbox)) == set(IN_INBOX)
    with world.apart():
        assert world.work() == ["trip"]
    assert world.held[0]["style.jpg"] == "written since"


# Too large


@BOTH
def test_a_pair_with_a_file_that_is_too_large_stays_until_it_is_smaller(
    apart: bool, tmp_path: Path
) -> None:
    world = trip(tmp_path, max_bytes=10)
    with world.apart(apart):
        for _ in range(2):
            assert (world.work(), world.states, tree(world.inbox)) == ([], {}, IN_INBOX)
            assert world.waiting_for == {
                "trip": "a smaller content.jpg: it is 16 bytes; the limit is 10 bytes "
                "(limits.max_bytes)"
            }
            assert world.loop.intake.is_final, "nobody waits for it"
            world.begin()
        (world.inbox / "trip/content.jpg").write_text("short")
        assert world.work() == ["trip"]
        assert (world.states, tree(world.inbox)) == ({"trip": "queued"}, {})


@pytest.mark.parametrize("large", ["content.jpg", "style.jpg"])
def test_a_content_may_be_a_long_clip_which_leaves_space_on_the_disk(
    large: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (sections, claiming):
        monkeypatch.setattr(module, "LARGEST_PICTURE", 1_000)
    world = trip(tmp_path, free_bytes=10**15)
    os.truncate(world.inbox / "trip" / large, 2_000)
    with (world.inbox / "trip" / large).open("ab") as file:
        file.write(b"the end")
    with world.apart():
        world.work()
        assert set(tree(world.inbox)) == set(IN_INBOX)
        if large == "style.jpg":
            assert "style.jpg: it is 2.0 kB; the limit is 1.0 kB" in world.waiting_for["trip"]
            return
        assert "limits.free_bytes keeps" in world.trouble["trip"]
    world.wait(600)
    world.work(again=True)
    assert world.states == {"trip": "queued"}, "a rename needs no space"


# Claims that cannot go on


@contextmanager
def failing(
    error: Exception | None = None, meanwhile: Callable[[], object] = lambda: None
) -> Iterator[None]:
    """Let each claim fail once all its files are moved; `meanwhile` something else happens."""

    def fail(source: Path, target: Path) -> None:
        if source.parent.name == "claims":
            meanwhile()
            raise error or OSError(errno.EIO, "Input/output error")
        rename_folder(source, target)

    rename_folder = atomic.rename_folder
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(atomic, "rename_folder", fail)
        yield


@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), KeyError("a fault")])
@BOTH
def test_a_claim_that_fails_is_completed_later_and_stops_no_other(
    apart: bool, error: Exception, tmp_path: Path
) -> None:
    world = trip(tmp_path)
    with world.apart(apart):
        with failing(error):
            assert world.work() == []
            for _ in range(2):  # also after a start
                assert world.states == {"trip": "claimed"}
                assert str(error.args[-1]) in world.trouble["trip"]
                world.begin()
                run_jobs(world.loop, again=False)
        world.drop("z")
        assert world.work() == ["z"]
        world.wait(600)
        world.work(again=True)
    assert (world.states, tree(world.inbox)) == ({"trip": "queued", "z": "queued"}, {})
    assert CLAIMED in world.held


def test_files_that_cannot_be_read_hold_up_others_only_if_there_are_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def copied(name: str, *args: Any) -> str:
        if place_of(args[1]).name.startswith("bad"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return copy(name, *args)

    copy, world = atomic.copy, World(tmp_path)
    monkeypatch.setattr(atomic, "copy", copied)
    world.drop(*(f"bad-{number}" for number in range(AHEAD)), "good")
    with world.apart():
        assert world.work() == ["good"]
        world.drop(*(f"bad-{number}" for number in range(AHEAD, 2 * MAX_WAITING)))
        world.work()
        assert len(world.jobs) == MAX_WAITING + 1


def test_a_file_that_changes_once_another_is_moved_refuses_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def renamed(source: Any, target: Any, **more: Any) -> None:
        RENAME(source, target, **more)
        if source == "content.jpg":
            (world.inbox / "trip/style.jpg").write_text("another")

    world = trip(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", renamed)
        world.work()
    assert world.states == {"trip": "refused"}
    reason = "style.jpg changed while it was being claimed: drop the pair again"
    assert world.jobs[0].reason == reason
    assert tree(world.outbox / "_refused/trip") == {
        "content.jpg": "trip/content.jpg", "style.jpg": "another", "reason.txt": f"{reason}\n",
    }  # fmt: skip
    assert tree(world.inbox) == {"trip/job.yaml": "{}"}, "no copy of it was made"


@pytest.mark.parametrize("is_there", [False, True], ids=["gone", "empty mount point"])
@BOTH
def test_a_claim_waits_while_the_inbox_is_not_mounted(
    apart: bool, is_there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def then_unplug(*args: Any, **more: Any) -> Any:
        digest = copy(*args, **more)
        if not unplugged.exists():
            RENAME(world.inbox, unplugged)
            if is_there:
                world.inbox.mkdir()
        return digest

    copy, world, unplugged = atomic.copy, World(tmp_path), tmp_path / "unplugged"
    fill(world.inbox, "al/style.jpg", "al/1.jpg")
    monkeypatch.setattr(atomic, "copy", then_unplug)
    with world.apart(apart):
        world.work()
        monkeypatch.undo()
        assert world.states == {}, "only copies were made"
        if is_there:
            world.inbox.rmdir()
        RENAME(unplugged, world.inbox)
        assert (world.work(), world.states) == (["al/1"], {"al/1": "queued"})
    assert set(tree(world.inbox)) == {"al/style.jpg"}


def test_a_failing_claim_that_is_killed_at_any_change_loses_nothing(tmp_path: Path) -> None:
    for change in count(1):
        world = trip(tmp_path / str(change))
        with failing(), killed_at(change) as died:
            world.work()
        world.begin()
        world.wait(60)
        world.work()
        assert (world.states, world.held) == ({"trip": "queued"}, [CLAIMED]), change
        assert tree(world.inbox) == {}, change
        assert world.work() == []
        world.close()
        if not died():
            assert change > 10
            return


def test_a_claim_that_was_complete_but_not_synced_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut may undo the last rename, and the next start makes it again."""

    def unsynced(source: Path, target: Path) -> None:
        rename_folder(source, target)
        raise OSError(errno.EIO, "Input/output error")

    rename_folder, world = atomic.rename_folder, trip(tmp_path)
    monkeypatch.setattr(atomic, "rename_folder", unsynced)
    assert (world.work(), world.states) == (["trip"], {"trip": "queued"})
