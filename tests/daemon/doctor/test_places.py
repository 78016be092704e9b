"""Checks of folders and disks."""

import os
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.cli.states import publish
from tests.daemon.faults import fill
from tests.daemon.world import make_inbox, make_settings

from stylewatch_daemon.doctor import places
from stylewatch_daemon.doctor.finding import Finding
from stylewatch_daemon.files import disks, lock
from stylewatch_daemon.ledger.writer import LedgerWriter
from stylewatch_daemon.settings.job import JobSettings

Patch = pytest.MonkeyPatch


class World:
    """An inbox, an outbox and a state folder, and the findings on them."""

    def __init__(self, root: Path) -> None:
        self.inbox, self.outbox, self.state = root / "in", root / "out", root / "state"

    def findings(self, after: Any = "archive", **values: Any) -> dict[str, Finding]:
        """The findings by the first word of what was checked."""
        inboxes = values.pop("inboxes", (make_inbox(self.inbox, self.outbox, after),))
        job = JobSettings(size="64", recipe="devos")
        settings = make_settings(inboxes, self.state, job=job, **values)
        return {finding.what.split()[0]: finding for finding in places.check(settings)}

    def verdicts(self) -> dict[str, str]:
        return {what: finding.verdict.value for what, finding in self.findings().items()}

    def expect(self, what: str, verdict: str, code: int, words: str, **values: Any) -> None:
        finding = self.findings(**values)[what]
        assert (finding.verdict, finding.exit_code) == (verdict, code)
        assert words in finding.words


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    for folder in (world.inbox, world.outbox, world.state):
        folder.mkdir()
    return world


def test_folders_stay_as_they_are_and_missing_ones_are_not_created(
    world: World, tmp_path: Path
) -> None:
    ok = {"daemon": "note", "inbox": "ok", "events": "ok", "outbox": "ok", "state": "ok"}
    assert world.verdicts() == {**ok, "room": "ok"}
    assert [*world.inbox.iterdir(), *world.state.iterdir()] == []
    missing = World(tmp_path / "missing")
    notes = dict.fromkeys(("daemon", "inbox", "outbox", "state"), "note")
    assert missing.verdicts() == {**notes, "room": "ok"}
    assert not (tmp_path / "missing").exists()


@pytest.mark.parametrize("name", ["inbox", "outbox", "state"])
def test_a_file_in_place_of_a_folder_or_a_folder_without_permission_is_a_problem(
    name: str, world: World, monkeypatch: Patch
) -> None:
    access, folder = os.access, getattr(world, name)

    def only_read(path: Path, mode: int) -> bool:
        return access(path, mode) and not (path == folder and mode & os.W_OK)

    with monkeypatch.context() as patch:
        patch.setattr(os, "access", only_read)
        world.expect(name, "problem", 73, "may not write")
        assert world.findings(after="keep")["inbox"].verdict == "ok", "it is only read"
    folder.rmdir()
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda path, mode: access(path, mode) and not mode & os.W_OK)
        assert world.findings(after="keep")[name].exit_code == 73, "it cannot be created"
    folder.write_text("a file")
    world.expect(name, "problem", 73, "move it away")


def test_a_folder_that_may_not_be_entered_is_a_problem(world: World, monkeypatch: Patch) -> None:
    stat, access, home = os.stat, os.access, world.outbox

    def closed(path: Any, *more: Any, **values: Any) -> os.stat_result:
        if str(path).startswith(f"{home}/"):
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, *more, **values)

    world.inbox, world.outbox = home / "in", home / "out"
    monkeypatch.setattr(os, "stat", closed)
    monkeypatch.setattr(
        os, "access", lambda path, mode: access(path, mode) and not (path == home and mode)
    )
    for name in ("inbox", "outbox"):
        world.expect(name, "problem", 73, f"may not write in {home}")
    assert world.findings()["room"].verdict == "ok"


def test_a_network_file_system_cannot_hold_the_ledger_and_has_no_events(
    world: World, monkeypatch: Patch
) -> None:
    world.expect("events", "ok", 0, "they wake the daemon; it scans every 7 s", rescan_s=7)
    world.expect("events", "ok", 0, "not used (watch.events: no); it is scanned", events="no")
    monkeypatch.setattr(disks, "table", lambda: "27 1 0:1 / / rw - nfs4 there rw")
    world.expect("events", "ok", 0, "nfs4 does not report changes by other machines; it is scanned")
    world.expect("events", "note", 0, "set watch.events: auto", events="yes")
    world.expect("state", "problem", 78, "nfs4")


def test_a_running_daemon_is_reported_with_the_events_it_gets(world: World) -> None:
    publish(world.state, health={"events": False})
    assert world.findings()["daemon"].verdict == "note"
    assert "file" not in world.findings()
    with lock.held(world.state / "lock"):
        world.expect("daemon", "ok", 0, f"running, process {os.getpid()}")
        world.expect("file", "note", 0, "tries events again every minute")


def test_a_damaged_ledger_is_a_problem(world: World) -> None:
    path = world.state / "ledger.sqlite3"
    LedgerWriter.open(path).close()
    assert world.findings()["ledger"].verdict == "ok"
    path.write_bytes(b"SQLite format 3\0 and no more")
    world.expect("ledger", "problem", 78, "")
    path.unlink()
    os.mkfifo(path)  # which must not block
    world.expect("ledger", "problem", 78, "")


def test_a_full_disk_and_another_user_are_reported(world: World, monkeypatch: Patch) -> None:
    full, owner = os.statvfs_result((1, 1, 1, 0, 0, 1, 1, 1, 0, 255)), os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    world.expect("user", "note", 0, "run the doctor again as the daemon's user")
    monkeypatch.setattr(os, "statvfs", lambda path: full)
    world.expect("room", "problem", 73, "more must be free")


def test_ignored_files_are_named_with_the_reason(world: World) -> None:
    fill(world.inbox, "a/receipt.json", "b/receipt.json")
    world.expect("in", "note", 0, "in/a is ignored: it has a receipt.json")
    assert world.findings()["in"].words.endswith("; so are 1 more")


def test_a_folder_of_finals_has_to_be_a_folder(world: World, tmp_path: Path) -> None:
    finals = tmp_path / "finals"
    inbox = make_inbox(world.inbox, world.outbox).model_copy(update={"finals": finals})
    for make, verdict in ((None, "note"), (finals.mkdir, "ok")):
        if make:
            make()
        world.expect("finals", verdict, 0, "", inboxes=(inbox,))
    finals.rmdir()
    finals.write_text("a file")
    world.expect("finals", "problem", 73, "move it away", inboxes=(inbox,))


def test_a_default_style_that_is_not_in_the_library_is_a_problem(
    world: World, tmp_path: Path
) -> None:
    values = {"styles": tmp_path / "styles", "default_style": "night"}
    world.expect("style", "problem", 78, "'night', and there is no such picture", **values)
    fill(tmp_path, "styles/night.jpg")
    assert "style" not in world.findings(**values)
