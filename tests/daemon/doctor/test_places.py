"""Checks of folders and disks."""

import errno
import os
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.faults import Disk, failing, fill, mounts, recorded_syncs, replaced
from tests.daemon.states import publish
from tests.daemon.world import make_inbox, make_settings

from stylewatch_daemon.doctor import diagnose, probes
from stylewatch_daemon.doctor.finding import Finding
from stylewatch_daemon.files import disks, lock
from stylewatch_daemon.files.system import system
from stylewatch_daemon.ledger.state_dir import LEDGER
from stylewatch_daemon.ledger.writer import LedgerWriter

Patch = pytest.MonkeyPatch
CHECKS = ("daemon", "user", "inboxes", "outputs", "style library", "state folder", "ledger",
          "room on the disks")  # fmt: skip


class World:
    """An inbox, an outbox, a folder of finals and a state folder, and the findings on them."""

    def __init__(self, root: Path) -> None:
        self.inbox, self.outbox, self.state = root / "in", root / "out", root / "state"
        self.finals = root / "finals"

    def findings(self, after: Any = "archive", **values: Any) -> dict[str, Finding]:
        """The findings by the first word of what was checked."""
        inbox = make_inbox(self.inbox, self.outbox, after)
        inbox = inbox.model_copy(update={"finals": self.finals})
        settings = make_settings((inbox,), self.state, **values)
        return {finding.what.split()[0]: finding for finding in diagnose.look(settings)}

    def expect(self, what: str, verdict: str, code: int, words: str, **values: Any) -> None:
        finding = self.findings(**values)[what]
        assert (finding.verdict, finding.exit_code) == (verdict, code)
        assert words in finding.words


@pytest.fixture
def world(tmp_path: Path, monkeypatch: Patch) -> World:
    checks = {name: diagnose.CHECKS[name] for name in CHECKS}
    monkeypatch.setattr(diagnose, "CHECKS", checks)
    world = World(tmp_path)
    for folder in (world.inbox, world.outbox, world.state, world.finals):
        folder.mkdir()
    return world


def test_folders_stay_as_they_are_and_missing_ones_are_not_created(
    world: World, tmp_path: Path
) -> None:
    missing = World(tmp_path / "missing")
    notes = dict.fromkeys(("daemon", "inbox", "outbox", "finals", "state"), "note")
    for place, verdicts in (
        (world, dict.fromkeys((*notes, "events", "room"), "ok") | {"daemon": "note"}),
        (missing, {**notes, "room": "ok"}),
    ):
        found = place.findings()
        assert {what: finding.verdict.value for what, finding in found.items()} == verdicts
    assert list(tmp_path.glob("*/*")) == []
    assert not (tmp_path / "missing").exists()
    with lock.held(world.state / "lock"):
        world.expect("daemon", "ok", 0, "stylewatch is starting. Process unknown")
        publish(world.state, None, None)
        world.expect("daemon", "ok", 0, "no job is running. Process 7")


def everything(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*"))


def test_what_publishing_and_claiming_do_is_tried_and_leaves_nothing_behind(
    world: World, tmp_path: Path
) -> None:
    (world.outbox / ".staging").mkdir()
    before = everything(tmp_path)
    copied = "renames between its folders fail, so files are copied instead"
    with recorded_syncs() as events:
        assert {world.findings()[what].verdict for what in ("inbox", "outbox", "finals")} == {"ok"}
    renamed = {
        Path(path).relative_to(tmp_path).parts[0] for what, path in events if what == "rename"
    }
    assert renamed >= {"out", "state"}
    with mounts(world.outbox / ".staging"):
        world.expect("outbox", "note", 0, copied)
        assert {world.findings()[what].verdict for what in ("inbox", "finals")} == {"ok"}
    with mounts(world.finals):
        world.expect("finals", "note", 0, "it takes no links to the outbox")
    with mounts(world.state):
        assert world.findings()["inbox"].verdict == "ok", "it is renamed within the inbox"
    with replaced(system, rename=failing(OSError(errno.EXDEV, "cross-device"))):
        assert (world.findings(after="keep")["inbox"].verdict) == "ok", "nothing is moved"
    assert everything(tmp_path) == before


def test_an_error_of_a_disk_is_a_problem_and_all_else_is_looked_at(world: World) -> None:
    before, real = world.findings(), system.stat

    def stat(name: Any, **more: Any) -> os.stat_result:
        if str(name) == str(world.inbox):
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(name))
        return real(name, **more)

    with replaced(system, stat=stat):
        world.expect("inboxes", "problem", 73, f"{world.inbox}: Input/output error")
        found = world.findings()
    assert before.keys() - found.keys() == {"inbox", "events"}


@pytest.mark.parametrize(("calls", "what"), [(["rename"], "outbox"), (["link", "open"], "finals")])
def test_a_disk_that_cannot_do_it_is_a_problem_and_nothing_stays_there(
    calls: Sequence[str], what: str, world: World, tmp_path: Path, monkeypatch: Patch
) -> None:
    (world.outbox / ".staging").mkdir()
    before = everything(tmp_path)

    def broken(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(name: Any, *args: Any, **more: Any) -> Any:
            if name == probes.FILE:
                raise OSError(errno.EIO, "Input/output error")
            return real(name, *args, **more)

        return call

    for call in calls:
        monkeypatch.setattr(system, call, broken(getattr(system, call)))
    world.expect(what, "problem", 73, "it cannot be written: Input/output error")
    assert everything(tmp_path) == before


@pytest.mark.parametrize("name", ["inbox", "outbox", "state", "finals"])
def test_a_file_in_place_of_a_folder_or_a_folder_without_permission_is_a_problem(
    name: str, world: World, monkeypatch: Patch
) -> None:
    access, folder = os.access, getattr(world, name)

    def no_write(path: Path, mode: int) -> bool:
        return access(path, mode) and not (path in (folder, folder.parent) and mode & os.W_OK)

    with monkeypatch.context() as patch:
        patch.setattr(os, "access", no_write)
        world.expect(name, "problem", 73, "may not write")
        assert world.findings(after="keep")["inbox"].verdict == "ok", "it is only read"
        folder.rmdir()
        assert world.findings(after="keep")[name].exit_code == 73, "it cannot be created"
    folder.write_text("a file")
    world.expect(name, "problem", 73, "move it away")


def test_an_inbox_on_a_read_only_disk_is_for_keep_alone(world: World, monkeypatch: Patch) -> None:
    access, flags = os.access, os.statvfs_result((1, 1, 1, 1, 0, 1, 1, 1, os.ST_RDONLY, 255))
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK and access(path, mode))
    world.expect("inbox", "problem", 73, "may not write")
    monkeypatch.setattr(os, "statvfs", lambda path: flags)
    world.expect("inbox", "ok", 0, "on")
    world.expect("disk", "problem", 73, "read-only: nothing is taken out of it; set `after: keep`")
    assert "disk" not in world.findings(after="keep")


def test_a_network_file_system_cannot_hold_the_ledger_and_has_no_events(
    world: World, monkeypatch: Patch
) -> None:
    world.expect("events", "ok", 0, "they wake the daemon; it scans every 7 s", rescan_s=7)
    monkeypatch.setattr(disks, "table", lambda: "27 1 0:1 / / rw - nfs4 there rw")
    world.expect("events", "ok", 0, "nfs4 does not report changes by other machines; it is scanned")
    world.expect("state", "problem", 78, "nfs4")


def test_a_state_folder_that_cannot_be_looked_up_is_a_problem(world: World) -> None:
    world.state = world.state / ("a" * 300)  # as in a folder that only another user may enter
    world.expect("daemon", "problem", 73, "cannot be read")


def test_a_damaged_ledger_is_a_problem(world: World) -> None:
    path = world.state / "ledger.sqlite3"
    LedgerWriter.open(path).close()
    assert world.findings()["ledger"].verdict == "ok"
    path.write_bytes(b"SQLite format 3\0 and no more")
    world.expect("ledger", "problem", 78, "")


def test_files_that_another_ledger_holds_in_an_inbox_are_reported(world: World) -> None:
    fill(world.inbox, ".stylewatch/lost/job/sea/content.jpg")
    world.expect("in", "note", 0, ".stylewatch/lost is ignored: another stylewatch picked it up")
    with closing(LedgerWriter.open(world.state / "ledger.sqlite3")) as ledger:
        (world.inbox / ".stylewatch/lost").rename(world.inbox / f".stylewatch/{ledger.own_id}")
    assert "in" not in world.findings()


def test_a_full_disk_another_user_ignored_files_and_a_missing_style_are_reported(
    world: World, tmp_path: Path, monkeypatch: Patch
) -> None:
    fill(world.inbox, "a/receipt.json", "b/receipt.json")
    world.expect("in", "note", 0, "like the output of a finished job; so are 1 more")
    values = {"styles": tmp_path / "styles", "default_style": "night"}
    world.expect("style", "problem", 78, "'night', and there is no such picture", **values)
    full, owner = os.statvfs_result((1, 1, 1, 0, 0, 1, 1, 1, 0, 255)), os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    world.expect("user", "note", 0, "run the doctor again as the daemon's user")
    monkeypatch.setattr(system, "statvfs", lambda path: full)
    world.expect("room", "problem", 73, "more must be free")


def test_a_missing_disk_is_a_problem_and_nothing_is_tried_below_its_mount_point(
    world: World, monkeypatch: Patch
) -> None:
    fill(world.outbox, ".staging/mine")
    folders = {"inbox": world.inbox, "outbox": world.outbox, "finals": world.finals}
    for what, folder in folders.items():
        with closing(LedgerWriter.open(world.state / LEDGER)) as ledger:
            ledger.put_mounts([folder])
        with Disk(folder, monkeypatch).unplugged():
            world.expect(what, "problem", 73, "which is not mounted now: mount it again")
