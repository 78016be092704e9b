"""A claim loses no byte and takes none twice, on any mounts, whatever happens (laws 1, 4 and 5)."""

import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.faults import Disk, failing, fill, killed_at, mounts, place_of, replaced, tree
from tests.daemon.world import (
    DaemonWorld,
    changed_settings,
    claiming_world,
    make_inbox,
    run_jobs,
    scan,
)

from stylewatch_daemon.base.model import Cause
from stylewatch_daemon.files import atomic, disks, entries
from stylewatch_daemon.files.leftovers import PUT_BACK
from stylewatch_daemon.files.system import system
from stylewatch_daemon.intake.intake import AHEAD
from stylewatch_daemon.jobs.waits import PAUSE
from stylewatch_daemon.ledger import writer
from stylewatch_daemon.ledger.claim import ORIGINALS
from stylewatch_daemon.ledger.ledger import reading
from stylewatch_daemon.ledger.state_dir import StateDir

CLAIMED = {"content.jpg": "trip/content.jpg", "job.yaml": "{}", "style.jpg": "trip/style.jpg"}
IN_INBOX = {f"trip/{name}": text for name, text in CLAIMED.items()}
MOVE, OPEN_REGULAR = atomic.move, atomic.open_regular
UNLINK = system.unlink
BROKEN = OSError(errno.EIO, "Input/output error")
DENIED = PermissionError(errno.EACCES, "Permission denied")
BOTH = pytest.mark.parametrize("apart", [False, True], ids=["one_mount", "several_mounts"])


@pytest.fixture(autouse=True)
def without_syncs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sync nothing, which takes most of the time."""
    monkeypatch.setattr(system, "fsync", lambda handle: None)
    monkeypatch.setattr(writer, "SYNCHRONOUS", "OFF")


def trip(root: Path, **settings: Any) -> DaemonWorld:
    """Make a world with a pair and its job.yaml in a folder."""
    world = claiming_world(root, **settings)
    fill(world.inbox, *IN_INBOX)
    (world.inbox / "trip/job.yaml").write_text("{}")
    return world


def texts(world: DaemonWorld) -> set[str]:
    """Return the text of each file in the inbox, the state folder and the outbox."""
    folders = (world.inbox, world.state.root, world.outbox)
    paths = (path for folder in folders for path in folder.rglob("*") if path.is_file())
    return {path.read_text(errors="replace") for path in paths}


def inputs(world: DaemonWorld, name: str) -> dict[str, str]:
    """Return the claimed files of a job."""
    return tree(world.state.files(world.job(name).id))


def hidden(world: DaemonWorld) -> list[Path]:
    """Return what the daemon holds or has left in the inbox, but for the marks of disks."""
    marks = [path for path in world.inbox.rglob(disks.MARK[1]) if path.parent.name == disks.MARK[0]]
    paths = sorted({*world.inbox.rglob("*")} - {*marks, *(mark.parent for mark in marks)})
    return [path for path in paths if "/." in f"/{path.relative_to(world.inbox)}"]


def late(path: Path) -> None:
    """Write the last bytes of a file."""
    with path.open("a") as file:
        file.write(" and more")


def once(act: Callable[[], object]) -> Callable[[], object]:
    """Return a function that acts at its first call alone."""
    left = [act]
    return lambda: left.pop()() if left else None


@contextmanager
def before(operation: str, name: str, act: Callable[[], object]) -> Iterator[None]:
    """Act once, right before an operation of the system on a file of this name."""
    real, act = getattr(system, operation), once(act)

    def called(path: Any, *args: Any, **more: Any) -> Any:
        if Path(path).name == name:
            act()
        return real(path, *args, **more)

    with replaced(system, **{operation: called}):
        yield


# -- kills


@pytest.mark.parametrize(
    ("apart", "files", "names"),
    [
        ([], ["{0}.jpg", "{0}.mask.png"], ["{0}-dawn", "{0}-wave"]),
        (["state"], ["{0}.jpg", "{0}.mask.png"], ["{0}-dawn", "{0}-wave"]),
        (["in/card"], ["card/{0}/content.jpg", "card/{0}/style.jpg"], ["card/{0}"]),
    ],
    ids=["one mount", "two mounts", "a mount inside the inbox"],
)
def test_killed_at_any_change_a_claim_has_lost_nothing_and_is_completed(
    apart: Sequence[str], files: Sequence[str], names: Sequence[str], tmp_path: Path
) -> None:
    """A lone picture is claimed for two jobs at a time, each with a style of the library."""
    fill(tmp_path / "styles", "dawn.jpg", "wave.jpg")
    world = claiming_world(tmp_path, styles=tmp_path / "styles", default_style="all")
    roots = [tmp_path / root for root in apart]
    for change in count(1):
        dropped = [file.format(change) for file in files]
        fill(world.inbox, *dropped)
        scan(world.start())
        with mounts(*roots):
            with killed_at(change) as was_killed:
                run_jobs(world.loop)
            assert {*dropped} <= texts(world), change
            world.run()
        for name in names:
            job = name.format(change)
            library = job.rpartition("-")[2]
            style = {f"{library}.jpg": f"{library}.jpg"} if library in ("dawn", "wave") else {}
            claimed = {Path(file).name: file for file in dropped} | style
            assert (world.job(job).seen, inputs(world, job)) == ("waiting", claimed), change
        assert (tree(world.inbox), hidden(world)) == ({}, []), change
        assert [*world.state.claims.iterdir()] == [], change
        if not was_killed():
            break
    assert len(world.jobs) == change * len(names), "each once"


@pytest.mark.parametrize("damaged", [0, 1])
def test_a_damaged_claim_costs_its_own_job_alone_and_no_file(damaged: int, tmp_path: Path) -> None:
    fill(tmp_path / "styles", "dawn.jpg", "wave.jpg")
    world = claiming_world(tmp_path, styles=tmp_path / "styles", default_style="all")
    scan(world.loop)
    fill(world.inbox, "sea.jpg")
    with replaced(atomic, move=failing(BROKEN)):
        world.work()
    file = sorted(world.state.claims.glob("*/*/claim.json"))[damaged]
    file.write_text("{")
    world.executor.at_once = 1
    world.run()
    assert "sea.jpg" in texts(world)
    for _ in range(2):
        world.wait(2 * PAUSE.most)
        world.work(again=True)
    names = ["sea-dawn", "sea-wave"]
    assert world.states[names[damaged]] == "failed"
    pictures = [text for path, text in world.published.items() if path.endswith("/sea.jpg")]
    assert pictures and {*pictures} == {"sea.jpg"}
    assert (world.left, tree(world.inbox), hidden(world)) == ([], {}, [])


def test_files_of_a_damaged_claim_stay_though_the_ledger_is_lost(tmp_path: Path) -> None:
    world = trip(tmp_path)
    with replaced(atomic, move=failing(BROKEN)):
        world.work()
    (claim,) = world.state.claims.glob("*/claim.json")
    claim.write_text("{")
    for file in world.state.root.glob("ledger.sqlite3*"):
        file.unlink()
    for _ in range(2):
        world.run()
        assert {"trip/content.jpg", "trip/style.jpg"} <= texts(world)
    assert claim.parent.is_dir()


# -- files that change meanwhile


def replace(path: Path) -> None:
    """Put another file in the place of one, which is kept."""
    path.rename(path.with_name("x"))
    path.write_text("another")


def replace_by_link(path: Path) -> None:
    """Put a link in the place of a file."""
    path.rename(path.with_name("x"))
    path.symlink_to("x")


CHANGES: dict[str, Callable[[Path], object]] = {
    "grows": late,
    "is gone": Path.unlink,
    "is replaced": replace,
    "is a link": replace_by_link,
}


@contextmanager
def changed_at(moment: int, path: Path, change: Callable[[Path], object]) -> Iterator[list[int]]:
    """Change a file, if it is there, right before a call of the system; yield when that was."""
    calls, changed = count(1), list[int]()

    def calling(name: str) -> Callable[..., Any]:
        real = getattr(system, name)

        def called(*args: Any, **more: Any) -> Any:
            if next(calls) == moment and path.exists():
                changed.append(moment)
                change(path)
            return real(*args, **more)

        return called

    with replaced(system, **{name: calling(name) for name in ("open", "rename")}):
        yield changed


@pytest.mark.parametrize("change", CHANGES)
@BOTH
def test_whenever_a_file_changes_its_pair_is_claimed_whole_or_not_at_all(
    apart: bool, change: str, tmp_path: Path
) -> None:
    world = claiming_world(tmp_path)
    for moment in count(1):
        name = str(moment)
        content, style = f"{name}/content.jpg", f"{name}/style.jpg"
        fill(world.inbox, content, style)
        scan(world.loop)
        with world.apart(apart):
            with changed_at(moment, world.inbox / style, CHANGES[change]) as was_changed:
                run_jobs(world.loop)
            if not was_changed:  # the file has left the inbox
                break
            newest = {"grows": f"{style} and more", "is replaced": "another"}.get(change, style)
            assert {content, newest} <= texts(world) | {style}, moment
            if change in ("is gone", "is a link"):
                (world.inbox / style).unlink(missing_ok=True)
                fill(world.inbox, style)
            world.work()
        assert inputs(world, name) == {"content.jpg": content, "style.jpg": newest}, moment
        assert [job.name for job in world.jobs].count(name) == 1, moment
        assert (hidden(world), [*world.state.claims.iterdir()]) == ([], []), moment
        (world.inbox / name / "x").unlink(missing_ok=True)
    assert moment > 10


@BOTH
def test_what_was_claimed_goes_back_under_a_name_that_is_no_part_of_a_job_and_is_said(
    apart: bool, tmp_path: Path
) -> None:
    """A free name such as style-2.jpg would make a second style of it."""

    def change() -> None:
        fill(world.inbox, "trip/content.jpg")
        late(world.inbox / "trip/content.jpg")
        late(world.inbox / "trip/style.jpg")

    world = trip(tmp_path)
    with world.apart(apart):
        with before("rename", "style.jpg", change):
            assert world.work() == []
        back = f"content {PUT_BACK}.jpg"
        assert tree(world.inbox)[f"trip/{back}"] == "trip/content.jpg"
        assert world.work() == ["trip"]
    said = dict(world.record.of("ignored"))
    assert f"it stays, with {back}" in said[world.inbox / "trip"]
    assert "compare both" in said[world.inbox / "trip" / back]
    whole = {name: f"trip/{name} and more" for name in ("content.jpg", "style.jpg")}
    assert inputs(world, "trip") == CLAIMED | whole
    assert tree(world.inbox) == {f"trip/{back}": "trip/content.jpg"}


@pytest.mark.parametrize("after", ["", "a start", "another disk"])
def test_what_is_held_on_a_disk_in_the_inbox_waits_for_it(after: str, tmp_path: Path) -> None:
    world, away = trip(tmp_path), tmp_path / "away"
    fill(world.inbox, "notes.txt")  # of somebody
    inner, table = world.inbox / "trip", system.mounts()
    row = f"9 1 8:1 / {inner} rw - ext4 disk rw\n"
    with mounts(inner, world.inbox), replaced(system, mounts=lambda: table + row):
        with replaced(atomic, copy_into=failing(BROKEN)):
            world.work()
        held = [path for path in hidden(world) if path.parent == inner]
        assert (len(held), tree(inner)) == (3, {})
    inner.rename(away)
    inner.mkdir()
    is_another = after == "another disk"
    with replaced(system, mounts=lambda: table + row * is_another):
        for _ in range(2):
            if after == "a start":
                world.start()
            world.wait(2 * PAUSE.most)
            run_jobs(world.loop)
    assert (world.states, [*tree(world.inbox)]) == ({"trip": "claimed"}, ["notes.txt"])
    reason = "another disk" if is_another else "trip, which is not mounted now"
    assert reason in world.trouble["trip"]
    shutil.rmtree(inner)
    away.rename(inner)
    with mounts(inner, world.inbox), replaced(system, mounts=lambda: table + row):
        world.wait(2 * PAUSE.most)
        run_jobs(world.loop)
    assert (inputs(world, "trip"), hidden(world)) == (CLAIMED, [])


# -- late bytes


def test_a_file_that_is_opened_as_it_is_claimed_is_copied_whole_once_it_is_closed(
    tmp_path: Path,
) -> None:
    def open_it() -> None:
        writers.append((world.inbox / "trip/style.jpg").open("a"))

    world, writers = trip(tmp_path), list[Any]()
    with world.apart():
        with before("rename", "style.jpg", open_it):
            world.work()
        assert world.states == {"trip": "claimed"}
        assert "style.jpg is still being written" in world.trouble["trip"]
        writers[0].write(" and more")
        writers[0].close()
        world.wait(2 * PAUSE.most)
        run_jobs(world.loop)
    assert inputs(world, "trip") == CLAIMED | {"style.jpg": "trip/style.jpg and more"}
    assert (tree(world.inbox), hidden(world)) == ({}, [])


def test_what_is_written_into_a_file_while_it_is_copied_is_copied_too(tmp_path: Path) -> None:
    def copy_into(reading: Any, *args: Any) -> str:
        digest = real(reading, *args)
        if left and place_of(reading.fileno()).name == "style.jpg":
            late(left.pop() / place_of(reading.fileno()))
        return digest

    world, real, left = trip(tmp_path), atomic.copy_into, [tmp_path]
    with world.apart():
        with replaced(atomic, copy_into=copy_into):
            world.work()
        assert "style.jpg is still being written" in world.trouble["trip"]
        world.wait(2 * PAUSE.most)
        run_jobs(world.loop)
    assert inputs(world, "trip") == CLAIMED | {"style.jpg": "trip/style.jpg and more"}
    assert (tree(world.inbox), hidden(world)) == ({}, [])


def test_an_original_goes_only_if_its_copy_has_its_bytes_even_with_the_same_size_and_time(
    tmp_path: Path,
) -> None:
    def move(*args: Any, **more: Any) -> None:
        (held,) = (path for path in hidden(world) if path.name == "style.jpg")
        now = held.stat()
        held.write_text(held.read_text().upper())
        os.utime(held, ns=(now.st_atime_ns, now.st_mtime_ns))
        MOVE(*args, **more)

    world = trip(tmp_path)
    with world.apart():
        with replaced(atomic, move=move):
            world.work()
        assert inputs(world, "trip") == CLAIMED | {"style.jpg": "TRIP/STYLE.JPG"}
        world.executor.at_once = 1
        run_jobs(world.loop)
    assert world.published["trip/inputs/style.jpg"] == "TRIP/STYLE.JPG"
    assert (world.states, world.left, hidden(world)) == ({"trip": "done"}, [], [])


@BOTH
def test_an_original_goes_only_once_its_copy_survives_a_power_cut(
    apart: bool, tmp_path: Path
) -> None:
    def fsync(handle: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(handle).st_mode)
        synced[os.fstat(handle).st_ino] = os.listdir(handle) if is_folder else []

    def check(name: str) -> None:
        files = world.state.files(world.job("trip").id)
        assert (files / name).stat().st_ino in synced
        marks = [files.with_name(ORIGINALS)] if apart else []
        for path in (files / name, files, *marks, files.parent):
            assert path.name in synced[path.parent.stat().st_ino], path

    def unlink(name: str, *, dir_fd: int | None = None) -> None:
        if dir_fd is not None and world.inbox in place_of(dir_fd).parents:
            check(name)
            gone.append(name)
        UNLINK(name, dir_fd=dir_fd)

    world, synced, gone = trip(tmp_path), dict[int, list[str]](), list[str]()
    with world.apart(apart), replaced(system, fsync=fsync, unlink=unlink):
        world.work()
    assert (sorted(gone), hidden(world)) == (sorted(CLAIMED) if apart else [], [])
    for name in () if apart else CLAIMED:  # they were renamed
        check(name)


@pytest.mark.parametrize("mount", ["state", "in/trip"])
def test_where_writers_cannot_be_seen_originals_are_held_until_a_pause_after_the_end(
    mount: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(tmp_path / "in", monkeypatch)
    world, held = trip(tmp_path), {*IN_INBOX.values()}
    world.executor.at_once = 1
    with mounts(tmp_path / mount), replaced(system, lease=failing(DENIED)), world.aging():
        world.work()
        for _ in range(2):
            assert world.states == {"trip": "done"}
            assert {path.read_text() for path in hidden(world) if path.is_file()} == held
            assert "a program may still write to it" in world.trouble["trip"]
            world.wait(PAUSE.first)
            run_jobs(world.loop)
        world.wait(world.settings.watch.truncated_s)
        with disk.unplugged():
            run_jobs(world.loop)
            assert "which is not mounted now" in world.trouble["trip"]
        world.wait(2 * PAUSE.most)
        assert world.work(again=True) == []
    assert (world.states, world.left, world.trouble) == ({"trip": "done"}, [], {})
    assert (tree(world.inbox), hidden(world)) == ({}, [])


def test_a_folder_that_cannot_be_removed_is_named_and_goes_at_the_end_of_its_job(
    tmp_path: Path,
) -> None:
    def rmdir(name: Any, **more: Any) -> None:
        if name == "trip":
            raise OSError(errno.EBUSY, "Device or resource busy")  # it is a mount
        real(name, **more)

    world, real = trip(tmp_path), system.rmdir
    with replaced(system, rmdir=rmdir):
        assert world.work() == ["trip"]
    assert world.states == {"trip": "queued"}
    assert (world.inbox / "trip", "it stays, as it cannot be removed") in world.record.of("ignored")
    world.executor.at_once = 1
    run_jobs(world.loop)
    assert (world.states, world.left, [*world.inbox.iterdir()]) == ({"trip": "done"}, [], [])


# -- what is in the inbox's folder for claimed files


def test_a_pair_whose_submission_was_killed_goes_once_the_disk_of_the_inbox_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, hidden = Disk(tmp_path / "in", monkeypatch), tmp_path / "in/.submit-0123456789abcdef"
    world = claiming_world(tmp_path)
    fill(hidden, "content.jpg")
    for path in (hidden / "content.jpg", hidden):
        os.utime(path, (0, 0))
    with disk.unplugged():
        world.start()
    assert hidden.exists()
    world.work()
    assert not hidden.exists()


def test_what_the_ledger_does_not_know_is_put_back(tmp_path: Path) -> None:
    world = claiming_world(tmp_path)
    with reading(world.state.ledger) as ledger:
        own, others = f".stylewatch/{ledger.own_id}", ".stylewatch/0123456789abcdef/1"
    job = f"{own}/20260101T000000.000000-abcdef"
    fill(world.inbox, f"{job}/sea.jpg", f"{job}/al/wave.jpg", f"{own}/stray.jpg", "sea.jpg")
    fill(world.inbox, f"{others}/sea.jpg")
    fill(tmp_path / "outside", "sea.jpg", "empty/x")
    (tmp_path / "outside/empty/x").unlink()
    for folder in (own, job):
        (world.inbox / folder / "link").symlink_to(tmp_path / "outside")
    beside = f"al/.stylewatch-{own.rpartition('/')[2]}-20260101T000000.000000-abcdef-sea.jpg"
    fill(world.inbox, beside)
    scan(world.start())
    back = {f"sea {PUT_BACK}.jpg": "sea.jpg", "al/wave.jpg": "al/wave.jpg"}
    texts = {name: f"{job}/{before}" for name, before in back.items()} | {"al/sea.jpg": beside}
    assert tree(world.inbox) == {"sea.jpg": "sea.jpg", "stray.jpg": f"{own}/stray.jpg", **texts}
    said = {path for path, why in world.record.of("ignored") if "the ledger lost" in why}
    assert {world.inbox / name for name in (*texts, "stray.jpg")} <= said
    assert (world.inbox / others / "sea.jpg").exists(), "it is another daemon's"
    assert sorted((tmp_path / "outside").iterdir()) == [
        tmp_path / "outside/empty", tmp_path / "outside/sea.jpg"
    ]  # fmt: skip
    assert not (world.inbox / own).exists()


def test_what_cannot_be_put_back_now_is_put_back_after_a_later_scan(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = claiming_world(tmp_path)
    with reading(world.state.ledger) as ledger:
        held = f".stylewatch/{ledger.own_id}/sea.jpg"
    fill(world.inbox, held)
    read_only = failing(OSError(errno.EROFS, "Read-only file system"))
    with replaced(system, link=read_only, rename=read_only, rmdir=read_only):
        world.start()
        scan(world.loop)
    with replaced(StateDir, claimed=failing(BROKEN)):  # it tells which files are held for jobs
        scan(world.loop)
    assert (tree(world.inbox), caplog.records) == ({}, [])
    scan(world.loop)
    assert (tree(world.inbox), hidden(world)) == ({"sea.jpg": held}, [])


@BOTH
def test_of_two_daemons_with_one_inbox_one_claims_a_pair_and_leaves_the_others_alone(
    apart: bool, tmp_path: Path
) -> None:
    mine = trip(tmp_path)
    inbox = make_inbox(mine.inbox, tmp_path / "hers/out")
    hers = DaemonWorld(tmp_path / "hers")
    hers.settings = changed_settings(hers.settings, inboxes=(inbox,))
    denied = replaced(system, lease=failing(DENIED)) if apart else nullcontext()
    with mine.apart(apart), mounts(*([hers.state.root] if apart else [])), denied:
        scan(mine.loop)
        scan(hers.start())
        assert mine.work() == ["trip"]
        held = hidden(mine)
        assert bool(held) == apart
        run_jobs(hers.loop)
        assert hers.work() == []
        hers.start()
        assert (hers.work(), hers.states, hidden(mine)) == ([], {}, held)
        fill(mine.inbox, "z/content.jpg", "z/style.jpg")
        hers.work()
        assert (hers.states, mine.work()) == ({"z": "done"}, [])
    assert (mine.states, inputs(mine, "trip")) == ({"trip": "queued"}, CLAIMED)


# -- what is not claimed, or not yet


@BOTH
def test_a_pair_with_a_file_that_is_too_large_stays_until_it_is_smaller(
    apart: bool, tmp_path: Path
) -> None:
    world = trip(tmp_path, max_bytes=10)
    with world.apart(apart):
        for _ in range(2):
            assert (world.work(), world.states, tree(world.inbox)) == ([], {}, IN_INBOX)
            reason = "it is 16 bytes; the limit is 10 bytes (limits.max_bytes)"
            assert world.waiting_for == {"trip": f"a smaller content.jpg: {reason}"}
            assert world.loop.intake.is_final, "nobody waits for it"
            world.start()
        (world.inbox / "trip/content.jpg").write_text("short")
        assert world.work() == ["trip"]
    assert (world.states, tree(world.inbox)) == ({"trip": "queued"}, {})


def test_pairs_that_cannot_be_read_or_moved_hold_up_no_others_however_many_they_are(
    tmp_path: Path,
) -> None:
    def open_regular(path: Any, folder: int | None = None) -> Any:
        if folder is not None and place_of(folder).name.startswith("unread"):
            raise DENIED
        return OPEN_REGULAR(path, folder)

    def move(source: Path, target: Path, **more: Any) -> None:
        if (source / "files/content.jpg").read_text().startswith("unmoved"):
            raise BROKEN
        MOVE(source, target, **more)

    world = claiming_world(tmp_path)
    unread = [f"unread-{number}" for number in range(2 * AHEAD)]
    unmoved = [f"unmoved-{number}" for number in range(2 * AHEAD)]
    world.drop(*unread, *unmoved, "good")
    with replaced(atomic, open_regular=open_regular, move=move):
        assert world.work() == ["good"]
        assert len(tree(world.inbox)) == 2 * len(unread), "they stay"
        assert "Permission denied" in world.waiting_for["unread-0"]
        assert not world.loop.intake.is_final
    world.wait(2 * PAUSE.most)
    assert {*world.work(again=True)} == {*unread, *unmoved}


@pytest.mark.parametrize("is_restarted", [False, True], ids=["same daemon", "restarted"])
@pytest.mark.parametrize(
    ("after", "stuck"), [("archive", "content.jpg"), ("archive", "style.jpg"), ("keep", "")]
)
def test_what_comes_while_a_file_cannot_be_taken_is_a_part_of_the_job(
    after: str, stuck: str, is_restarted: bool, tmp_path: Path
) -> None:
    """Entries that were there before, or are no part of any job, change nothing."""
    real = entries.rename

    def rename(name: Any, *args: Any) -> bool:
        if name == stuck:
            raise PermissionError(errno.EPERM, "Operation not permitted")
        return real(name, *args)

    world = claiming_world(tmp_path, after)
    world.drop("sea")
    fill(world.inbox, "sea/notes.txt")
    with replaced(entries, rename=rename), replaced(atomic, copy_into=failing(DENIED)):
        world.work()
        first = world.job("sea").id
        fill(world.inbox, "sea/.DS_Store")
        world.wait(2 * PAUSE.most)
        assert world.work(again=True) == []
        assert world.job("sea").id == first, "it is the same pair"
        fill(world.inbox, "sea/style-2.jpg")
        (world.inbox / "sea/job.yaml").write_text("seed: 99")
    if is_restarted:
        world.start()
    world.wait(2 * PAUSE.most)
    world.work(again=True)
    world.wait(2 * PAUSE.most)
    world.work(again=True)
    parts = {"content.jpg", "style.jpg", "style-2.jpg", "job.yaml"}
    assert [(job.name, job.state) for job in world.jobs] == [("sea", "queued")]
    assert {*inputs(world, "sea")} == parts
    stay = {"notes.txt", *(parts if after == "keep" else ())}
    assert {Path(path).name for path in tree(world.inbox / "sea")} - {".DS_Store"} == stay


def test_what_comes_for_another_job_does_not_concern_a_claim_that_waits(tmp_path: Path) -> None:
    world = claiming_world(tmp_path)
    fill(world.inbox, "album/style.jpg", "album/a.jpg", "b.content.jpg", "b.style.jpg")
    with replaced(entries, rename=failing(DENIED)):
        world.work()
        ids = {job.name: job.id for job in world.jobs}
        fill(world.inbox, "album/c.jpg", "d.content.jpg", "job.yaml")
        world.wait(2 * PAUSE.most)
        world.work(again=True)
    assert {job.name: job.id for job in world.jobs}.items() >= ids.items()


def test_a_fault_of_ours_while_files_are_moved_lets_their_job_wait_and_is_no_disk(
    tmp_path: Path,
) -> None:
    world = claiming_world(tmp_path)
    world.drop("sea")
    with replaced(atomic, move=failing(KeyError("ours"))):
        world.work()
    job = world.job("sea")
    reason = "a fault of stylewatch, KeyError: 'ours'"
    assert (job.state, job.cause, job.reason) == ("claimed", Cause.BUG, reason)
    assert world.record.of("waits") == [("sea", reason)]
    world.wait(2 * PAUSE.most)
    assert world.work(again=True) == ["sea"]
    job = world.job("sea")
    assert (job.state, job.cause, job.reason) == ("queued", None, "")


def test_a_pair_waits_for_an_entry_that_may_be_a_part_of_it_and_cannot_be_looked_at(
    tmp_path: Path,
) -> None:
    def status(name: Any, **more: Any) -> os.stat_result:
        if str(name).endswith("job.yaml"):
            raise BROKEN
        return real(name, **more)

    world, real = trip(tmp_path), system.stat
    world.drop("other")
    with replaced(system, stat=status):
        assert world.work() == ["other"]
        assert world.waiting_for["trip"] == "job.yaml to be readable"
        assert not world.loop.intake.is_final
    assert world.work() == ["trip"]
    assert inputs(world, "trip") == CLAIMED


def test_a_disk_in_an_inbox_that_cannot_be_asked_is_named_and_stops_nothing_else(
    tmp_path: Path,
) -> None:
    def status(name: Any, **more: Any) -> os.stat_result:
        if Path(name).is_relative_to(world.inbox / "nas"):
            raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")
        return real(name, **more)

    world, real, table = trip(tmp_path), system.stat, system.mounts()
    row = f"9 1 0:50 / {world.inbox}/nas rw - fuse.sshfs nas rw\n"
    fill(world.inbox, "nas/old.jpg")
    with replaced(system, stat=status, mounts=lambda: table + row):
        for _ in range(2):
            world.drop(name := f"other{len(world.states)}")
            assert name in world.work()
            assert "Transport endpoint" in world.loop.intake.inboxes[0].notes[0]
            world.start()


@pytest.mark.parametrize("closed", ["a", "a/style.jpg"])
def test_a_pair_that_is_closed_to_the_daemon_waits_in_the_inbox_and_says_what_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, closed: str
) -> None:
    world, access, opened = claiming_world(tmp_path), system.access, system.open
    world.drop("a", "b")
    path = world.inbox / closed

    def is_allowed(asked: Path, mode: int) -> bool:
        return asked != path and access(asked, mode)

    def open_(asked: Any, flags: int, *rest: int, **more: Any) -> int:
        if asked == path:
            raise PermissionError(errno.EACCES, "Permission denied", str(asked))
        return opened(asked, flags, *rest, **more)

    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    option = "-R " if path.is_dir() else ""
    with replaced(system, access=is_allowed, open=open_):
        assert world.work() == ["b"]
        assert (set(world.states), set(world.waiting_for)) == ({"b"}, {"a"})
        needed = world.waiting_for["a"]
        place = f"the folder {path} to be writable" if option else f"{path.name} in {path.parent}"
        assert needed.startswith(place) and ": it belongs to user " in needed
        assert needed.endswith(
            f"and stylewatch is user 54321; `chown {option}54321 {path}` by root helps"
        )
    assert world.work() == ["a"]


@pytest.mark.parametrize("denied", ["content.jpg", "style.jpg"])
def test_a_file_that_a_sticky_inbox_denies_waits_and_says_what_helps(
    denied: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder can be written, and the file can be read, but it belongs to another user."""
    real = system.rename

    def rename(name: Any, *args: Any, **more: Any) -> None:
        if name == denied:
            raise PermissionError(errno.EPERM, "Operation not permitted", name)
        real(name, *args, **more)

    world = claiming_world(tmp_path)
    world.drop("a")
    path = world.inbox / "a" / denied
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    with replaced(system, rename=rename):
        world.work()
        needed = world.trouble["a"]
        world.work()
        assert world.waiting_for == {}, "nothing else is missing"
    assert needed.startswith(f"{denied}: it cannot be moved: it belongs to user ")
    assert needed.endswith(f"and stylewatch is user 54321; `chown 54321 {path}` by root helps")
    world.wait(2 * PAUSE.most)
    assert world.work(again=True) == ["a"]


@pytest.mark.parametrize("code", [errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENOENT])
def test_a_file_that_cannot_be_read_for_another_reason_is_not_called_closed(
    code: int, tmp_path: Path
) -> None:
    def open_(asked: Any, flags: int, *rest: int, **more: Any) -> int:
        raise OSError(code, os.strerror(code), str(asked))

    (path := tmp_path / "content.jpg").write_bytes(b"")
    with replaced(system, open=open_):
        assert not entries.is_closed(path)
    assert not entries.is_closed(path)


def test_every_copy_leaves_twice_what_is_to_stay_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = trip(tmp_path, free_bytes=1000)
    needed = 2000 + max(map(len, IN_INBOX.values()))
    with world.apart():
        for free in (needed - 1, needed):
            monkeypatch.setattr(disks, "free", lambda folder, free=free: free)
            world.work(again=True)
            assert (world.states["trip"] == "queued") == (free == needed)
            assert ("1 bytes more must be free" in world.trouble.get("trip", "")) == (free < needed)
            assert set(IN_INBOX.values()) <= texts(world)
            world.wait(2 * PAUSE.most)


@BOTH
def test_a_claim_waits_while_the_inbox_is_not_mounted(
    apart: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def copy_into(*args: Any) -> str:
        unplug()
        return real(*args)

    disk, real = Disk(tmp_path / "in", monkeypatch), atomic.copy_into
    world = trip(tmp_path)
    with world.apart(apart):
        with ExitStack() as stack:
            unplug = once(lambda: stack.enter_context(disk.unplugged()))
            moved = before("rename", "style.jpg", unplug)
            with replaced(atomic, copy_into=copy_into) if apart else moved:
                world.work()
                world.wait(2 * PAUSE.most)
                run_jobs(world.loop)
            assert world.states == {"trip": "claimed"}
            assert "which is not mounted now" in world.trouble["trip"]
        world.wait(2 * PAUSE.most)
        run_jobs(world.loop)
    assert (world.states, inputs(world, "trip")) == ({"trip": "queued"}, CLAIMED)
    assert (tree(world.inbox), hidden(world)) == ({}, [])


def test_no_file_is_taken_while_the_disk_of_the_state_folder_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(tmp_path / "state", monkeypatch)
    world = trip(tmp_path)
    disk.is_there = False
    world.work()
    assert (world.states, tree(world.inbox)) == ({"trip": "claimed"}, IN_INBOX)
    assert "which is not mounted now" in world.trouble["trip"]
    disk.is_there = True
    world.wait(2 * PAUSE.most)
    run_jobs(world.loop)
    assert (inputs(world, "trip"), tree(world.inbox)) == (CLAIMED, {})


@pytest.mark.parametrize("after", ["archive", "delete"])
def test_a_pair_in_a_read_only_inbox_waits_and_the_status_says_what_helps(
    after: str, tmp_path: Path
) -> None:
    def access(path: Path, mode: int) -> bool:
        return real(path, mode) and not (path == world.inbox and mode & os.W_OK)

    world, real = trip(tmp_path, after=after), system.access
    with replaced(system, access=access):
        for _ in range(2):
            assert (world.work(), tree(world.inbox), world.states) == ([], IN_INBOX, {})
            assert "or set `after: keep`" in world.trouble[str(world.inbox)]
            world.start()
    assert (world.work(), world.trouble) == (["trip"], {})
