"""A pair is claimed as a whole or not at all, whatever goes wrong and whenever it is killed."""

import errno
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
from stylewatch_daemon.ledger import writer
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


def inspect(world: World) -> None:
    """Let the verdicts come that were held back, and follow from them what does."""
    world.inspector.silent = False
    run_jobs(world.loop, again=False)


# Kills


@contextmanager
def unsynced() -> Iterator[None]:
    """Sync nothing: no power cut is played."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        patch.setattr(writer, "SYNCHRONOUS", "OFF")
        yield


def touch_nothing(world: World) -> None:
    """Touch nothing."""


def every_kill(
    root: Path,
    apart: bool,
    make: Callable[[Path], World],
    meanwhile: Callable[[World], object] = touch_nothing,
) -> Iterator[World]:
    """Yield a world for each change of the disk, killed there and begun again."""
    for change in count(1):
        world = make(root / str(change))
        with world.apart(apart), unsynced():
            with killed_at(change) as died:
                world.work()
            meanwhile(world)
            world.begin()
            world.work()
            yield world
        world.close()
        if not died():
            assert change > 10
            return


@BOTH
def test_a_claim_that_is_killed_at_any_change_is_made_once(apart: bool, tmp_path: Path) -> None:
    for world in every_kill(tmp_path, apart, trip):
        assert world.states == {"trip": "queued"}
        assert world.held == [CLAIMED]
        assert tree(world.inbox) == {}
        assert list(world.state.claims.iterdir()) == []
        assert world.work() == []


def touch_all(world: World) -> None:
    """Let somebody touch the files that are in the inbox while no daemon runs."""
    for path in world.inbox.rglob("*.*"):
        os.utime(path)


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


def test_the_ledger_knows_what_happens_before_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def traced(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def called(*args: Any) -> Any:
            steps.append((name, dict(world.states)))
            return real(*args)

        return called

    steps: list[tuple[str, dict[str, str]]] = []
    world = trip(tmp_path)
    for name in ("move", "remove_originals"):
        monkeypatch.setattr(claiming, name, traced(name, getattr(claiming, name)))
    with world.apart():
        world.work()
    assert steps == [("move", {"trip": "claimed"}), ("remove_originals", {"trip": "queued"})]
    assert not (world.inbox / "trip").exists()


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
    assert list(world.state.jobs.iterdir()) == list(world.state.claims.iterdir()) == []


def link_in_place(world: World) -> Path:
    """Have a link to another folder, which has files of the same names, replace the pair's."""
    elsewhere, folder = world.root / "elsewhere", world.inbox / "trip"
    fill(elsewhere, *CLAIMED)
    folder.mkdir(exist_ok=True)
    folder.rename(world.inbox / ".moved away")
    folder.symlink_to(elsewhere)
    return elsewhere


@pytest.mark.parametrize("verdict", ["none yet", "fine"])
@BOTH
def test_nothing_goes_through_a_link_that_replaced_a_folder(
    apart: bool, verdict: str, tmp_path: Path
) -> None:
    """Not when files are moved or copied, put back, or removed once they are copied."""
    world = trip(tmp_path)
    world.inspector.silent = True
    with world.apart(apart):
        scan(world.loop)
        if verdict != "none yet":
            run_jobs(world.loop)
        elsewhere = link_in_place(world)
        theirs = tree(elsewhere)
        inspect(world)
    assert tree(elsewhere) == theirs
    assert world.states == ({} if verdict == "none yet" else {"trip": "queued"})


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
        inspect(world)
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
    assert list(world.state.claims.iterdir()) == []
    with world.apart():
        assert world.work() == ["trip"]
    assert world.held[0]["style.jpg"] == "written since"


# Too large


@BOTH
def test_a_file_that_is_too_large_is_refused_in_place_and_not_taken_again(
    apart: bool, tmp_path: Path
) -> None:
    world = trip(tmp_path, max_bytes=10)
    with world.apart(apart):
        assert world.work() == ["trip"]
        assert (world.states, world.inspector.asked) == ({"trip": "refused"}, [])
        assert tree(world.inbox) == IN_INBOX
        (job,) = world.jobs
        assert job.reason == (
            "content.jpg is 16 bytes; the limit is 10 bytes (limits.max_bytes). "
            f"Its files are still in {world.inbox / 'trip'}: remove them there"
        )
        assert set(tree(world.outbox / "_refused")) == {"trip/reason.txt"}
        for _ in range(2):
            assert world.work() == []
            world.begin()
        (world.inbox / "trip/content.jpg").write_text("short")
        assert world.work() == ["trip"]
        assert (world.states, tree(world.inbox)) == ({"trip": "queued"}, {})


def test_a_content_may_be_a_long_clip_and_other_files_may_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (sections, claiming):
        monkeypatch.setattr(module, "LARGEST_PICTURE", 1_000)
    for large, refused in (("content.jpg", False), ("style.jpg", True)):
        world = trip(tmp_path / large)
        (world.inbox / "trip" / large).write_text(2_000 * "x")
        with world.apart():
            world.work()
        assert world.states == {"trip": "refused" if refused else "queued"}
        assert refused == ("style.jpg is 2.0 kB; the limit is 1.0 kB. " in world.jobs[0].reason)


def test_the_copy_of_a_long_clip_leaves_space_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claiming, "LARGEST_PICTURE", 1_000)
    world = trip(tmp_path, free_bytes=10**15)
    (world.inbox / "trip/content.jpg").write_text(1_001 * "x")
    with world.apart():
        assert world.work() == []
        assert "limits.free_bytes keeps" in world.trouble["trip"]
        assert (set(tree(world.inbox)), world.states) == (set(IN_INBOX), {})
        assert list(world.state.claims.iterdir()) == []
    world.wait(60)
    assert world.work() == ["trip"], "a rename takes no space"


# Faults of the disk


def test_a_pair_that_cannot_be_moved_stops_no_other_and_is_tried_again_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path)
    world.drop("a", "b")
    rename = os.rename

    def refuse(source: Any, target: Any, **more: Any) -> None:
        folder = more.get("src_dir_fd")
        if folder is not None and place_of(folder) == world.inbox / "a":
            raise PermissionError(errno.EACCES, "Permission denied")
        rename(source, target, **more)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", refuse)
        assert world.work() == ["b"]
        assert world.trouble["a"] == "a cannot be moved out of the inbox: Permission denied"
        assert world.work() == []
    assert [what for what, _ in world.reasons] == ["a"]
    assert (world.work(), len(tree(world.inbox))) == ([], 2), "not at once"
    world.wait(60)
    assert world.work() == ["a"]


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
