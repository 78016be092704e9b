"""Checks of folders and disks."""

import errno
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.disks import CAN_MOUNT, fill_up, small_disk
from tests.daemon.faults import fill
from tests.daemon.world import make_inbox, make_settings

from stylewatch_daemon.doctor import places
from stylewatch_daemon.doctor.finding import Finding
from stylewatch_daemon.files import lock, mounts
from stylewatch_daemon.ingest import watcher
from stylewatch_daemon.outbox.status_json import Publisher
from stylewatch_daemon.outbox.status_txt import Status
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_daemon.store.state import State

Patch = pytest.MonkeyPatch


class World:
    """An inbox, an outbox and a state folder, and the findings on them."""

    def __init__(self, root: Path, *, made: bool) -> None:
        self.inbox, self.outbox, self.state = root / "in", root / "out", root / "state"
        for folder in (self.inbox, self.outbox, self.state) if made else ():
            folder.mkdir()

    def findings(self, after: Any = "archive", **values: Any) -> dict[str, Finding]:
        """The findings by the first word of what was checked."""
        inbox = make_inbox(self.inbox, self.outbox, after)
        job = JobSettings(size="64", recipe="devos")
        settings = make_settings((inbox,), self.state, job=job, **values)
        return {finding.what.split()[0]: finding for finding in places.check(settings)}

    def expect(self, what: str, verdict: str, code: int, words: str, **values: Any) -> None:
        finding = self.findings(**values)[what]
        assert (finding.verdict, finding.exit_code) == (verdict, code)
        assert words in finding.words


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, made=True)


def test_usable_folders_stay_as_they_are(world: World) -> None:
    assert {what: finding.verdict.value for what, finding in world.findings().items()} == {
        "daemon": "note", "inbox": "ok", "events": "ok", "outbox": "ok", "state": "ok",
        "room": "ok",
    }  # fmt: skip
    assert [*world.inbox.iterdir(), *world.state.iterdir()] == []


def test_missing_folders_are_reported_and_not_created(tmp_path: Path) -> None:
    world = World(tmp_path, made=False)
    assert {what: finding.verdict.value for what, finding in world.findings().items()} == {
        "daemon": "note", "inbox": "note", "outbox": "note", "state": "note", "room": "ok",
    }  # fmt: skip
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["inbox", "outbox", "state"])
def test_a_file_in_place_of_a_folder_is_a_problem(name: str, tmp_path: Path) -> None:
    world = World(tmp_path, made=False)
    getattr(world, name).write_text("in the way")
    world.expect(name, "mend", 73, "move it away")


@pytest.mark.parametrize("name", ["inbox", "outbox", "state"])
def test_a_folder_without_write_permission_is_a_problem(
    name: str, world: World, monkeypatch: Patch
) -> None:
    access, denied = os.access, getattr(world, name)
    monkeypatch.setattr(
        os,
        "access",
        lambda path, mode: access(path, mode) and not (path == denied and mode & os.W_OK),
    )
    world.expect(name, "mend", 73, "may not write")
    assert world.findings(after="keep")["inbox"].verdict == "ok", "an inbox to keep is only read"


def on(kind: str, monkeypatch: Patch) -> None:
    """Let all folders be on a file system of that `kind`."""
    monkeypatch.setattr(mounts, "table", lambda: f"27 1 0:1 / / rw - {kind} there rw")


def test_a_state_folder_on_the_network_is_a_problem(world: World, monkeypatch: Patch) -> None:
    on("nfs4", monkeypatch)
    world.expect("state", "mend", 78, "nfs4")


@pytest.mark.parametrize(
    ("polling", "verdict", "words"),
    [
        ("auto", "ok", "cifs does not report changes by other machines; it is scanned every"),
        ("yes", "ok", "not used"),
        ("no", "note", "set watch.polling: auto"),
    ],
)
def test_an_inbox_on_the_network_is_polled(
    polling: str, verdict: str, words: str, world: World, monkeypatch: Patch
) -> None:
    on("cifs", monkeypatch)
    world.expect("events", verdict, 0, words, polling=polling)


@pytest.mark.parametrize(
    ("received", "words"),
    [
        (False, "none came"),
        (None, "not tried"),
        (OSError(errno.EMFILE, "Too many open files"), "max_user_instances"),
    ],
)
def test_missing_file_events_are_reported_with_what_helps(
    received: bool | OSError | None, words: str, world: World, monkeypatch: Patch
) -> None:
    def hears(folder: Path) -> bool | None:
        if isinstance(received, OSError):
            raise received
        return received

    monkeypatch.setattr(watcher, "brings_events", hears)
    world.expect("events", "note", 0, words)


def test_a_running_daemon_is_reported_with_the_events_it_gets(world: World) -> None:
    publisher = Publisher(world.state)
    publisher.show(Status(), {}, observer=False)
    assert world.findings()["daemon"].verdict == "note"
    assert "file" not in world.findings()
    with lock.held(world.state / "lock"):
        world.expect("daemon", "ok", 0, f"running, process {os.getpid()}")
        world.expect("file", "note", 0, "tries events again every few minutes")


@pytest.mark.parametrize("disk", ["tmpfs" if CAN_MOUNT else "as if"])
def test_a_full_disk_is_a_problem(
    disk: str, world: World, tmp_path: Path, monkeypatch: Patch
) -> None:
    if disk == "tmpfs":
        world.outbox = tmp_path / "small"
        with small_disk(world.outbox, 64):
            fill_up(world.outbox)
            findings = world.findings()
        assert findings["outbox"].verdict == "mend"
    else:
        full = os.statvfs_result((1, 1, 1, 0, 0, 1, 1, 1, 0, 255))
        monkeypatch.setattr(os, "statvfs", lambda path: full)
        findings = world.findings()
    assert (findings["room"].verdict, findings["room"].exit_code) == ("mend", 73)
    assert "it goes on once" in findings["room"].words


@pytest.mark.parametrize("content", [b"SQLite format 3\0 and no more", b"x" * 5000, None])
def test_a_damaged_ledger_is_a_problem(content: bytes | None, world: World) -> None:
    path = world.state / "ledger.sqlite3"
    with closing(sqlite3.connect(path)) as ledger:
        ledger.execute("create table jobs (id)")
    assert world.findings()["ledger"].verdict == "ok"
    if content is None:  # a pipe, which must not block
        path.unlink()
        os.mkfifo(path)
    else:
        path.write_bytes(content)
    world.expect("ledger", "mend", 78, "")


def test_another_user_than_the_daemons_is_reported(world: World, monkeypatch: Patch) -> None:
    owner = world.state.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    world.expect("user", "note", 0, "run the doctor again as the daemon's user")


def test_ignored_files_of_an_inbox_are_named(world: World) -> None:
    for name in ("a", "b"):
        fill(world.inbox, f"{name}/receipt.json")
    world.expect("in", "note", 0, "in/a is ignored: it has a receipt.json")
    assert world.findings()["in"].words.endswith("; so are 1 more")


def test_damaged_jobs_are_named_with_the_reason_and_what_to_do(world: World) -> None:
    state = State(world.state)
    state.make()
    (state.jobs / "7").mkdir()
    state.check_jobs()
    world.expect("job", "note", 0, "job.json cannot be read: No such file")
    finding = world.findings()["job"]
    assert finding.what == "job 7" and "then remove that folder" in finding.words
