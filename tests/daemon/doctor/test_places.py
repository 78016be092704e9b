"""The doctor looks at folders and disks, and at who is at work in them."""

import errno
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.disks import CAN_MOUNT, fill_up, small_disk
from tests.daemon.faults import fill
from tests.daemon.settings_made import make_inbox, make_settings

from stylewatch_daemon.doctor import places
from stylewatch_daemon.doctor.finding import Finding
from stylewatch_daemon.files import lock, mounts
from stylewatch_daemon.ingest import watcher
from stylewatch_daemon.outbox.status_json import Publisher
from stylewatch_daemon.outbox.status_txt import Status
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_daemon.store.state import State


class Place:
    """An inbox, an outbox and a state folder, and what the doctor says of them."""

    def __init__(self, root: Path) -> None:
        self.inbox, self.outbox, self.state = root / "in", root / "out", root / "state"

    def make(self) -> None:
        for folder in (self.inbox, self.outbox, self.state):
            folder.mkdir(exist_ok=True)

    def found(self, after: Any = "archive", **more: Any) -> dict[str, Finding]:
        inbox = make_inbox(self.inbox, self.outbox, after)
        job = JobSettings(size="64", recipe="devos")
        settings = make_settings((inbox,), self.state, job=job, **more)
        return {one.what.split()[0]: one for one in places.look(settings)}

    def verdicts(self, **more: Any) -> dict[str, str]:
        return {what: one.verdict for what, one in self.found(**more).items()}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_folders_that_can_be_used_are_well_and_stay_as_they_are(place: Place) -> None:
    place.make()
    assert place.verdicts() == {
        "daemon": "note", "inbox": "ok", "events": "ok", "outbox": "ok", "state": "ok",
        "room": "ok",
    }  # fmt: skip
    assert [*place.inbox.iterdir(), *place.state.iterdir()] == []


def test_folders_that_are_made_at_the_start_are_told(place: Place) -> None:
    assert place.verdicts() == {
        "daemon": "note", "inbox": "note", "outbox": "note", "state": "note", "room": "ok",
    }  # fmt: skip
    assert not place.state.exists()


@pytest.mark.parametrize("name", ["inbox", "outbox", "state"])
def test_a_file_in_the_place_of_a_folder_is_to_be_moved(name: str, place: Place) -> None:
    getattr(place, name).write_text("in the way")
    found = place.found()[name]
    assert (found.verdict, found.exit_code) == ("mend", 73)
    assert "move it away" in found.words


@pytest.mark.parametrize("name", ["inbox", "outbox", "state"])
def test_a_folder_in_which_we_may_not_write_is_told(
    name: str, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.make()
    real, denied = os.access, getattr(place, name)
    monkeypatch.setattr(
        os,
        "access",
        lambda path, mode: real(path, mode) and not (path == denied and mode & os.W_OK),
    )
    found = place.found()[name]
    assert (found.verdict, found.exit_code) == ("mend", 73)
    assert "may not write" in found.words
    assert place.found(after="keep")["inbox"].verdict == "ok", (
        "where pictures stay, reading will do"
    )


def on(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all folders lie on a file system of that `kind`."""
    monkeypatch.setattr(mounts, "table", lambda: f"27 1 0:1 / / rw - {kind} there rw")


def test_a_state_folder_on_the_network_is_refused(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    on("nfs4", monkeypatch)
    found = place.found()["state"]
    assert (found.verdict, found.exit_code) == ("mend", 78)
    assert "nfs4" in found.words


@pytest.mark.parametrize(
    ("polling", "verdict", "words"),
    [
        ("auto", "ok", "cifs does not tell of what other machines do; it is looked through every"),
        ("yes", "ok", "none are asked for"),
        ("no", "note", "set watch.polling: auto"),
    ],
)
def test_an_inbox_on_the_network_is_polled(
    polling: str, verdict: str, words: str, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.make()
    on("cifs", monkeypatch)
    found = place.found(polling=polling)["events"]
    assert found.verdict == verdict
    assert words in found.words


@pytest.mark.parametrize(("heard", "words"), [(False, "none came"), (None, "not tried")])
def test_an_inbox_of_which_nothing_is_heard_is_polled(
    heard: bool | None, words: str, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.make()
    monkeypatch.setattr(watcher, "hears", lambda folder: heard)
    found = place.found()["events"]
    assert found.verdict == "note"
    assert words in found.words


def test_limits_of_the_kernel_are_told_by_name(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.make()

    def none_left(folder: Path) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(watcher, "hears", none_left)
    found = place.found()["events"]
    assert found.verdict == "note"
    assert "max_user_instances" in found.words


def test_a_daemon_at_work_is_told_with_its_process(place: Place) -> None:
    place.make()
    with lock.held(place.state / "lock"):
        found = place.found()["daemon"]
    assert (found.verdict, found.words) == ("ok", f"one is at work here, process {os.getpid()}")
    assert place.found()["daemon"].verdict == "note"


@pytest.mark.parametrize("disk", ["tmpfs" if CAN_MOUNT else "as if"])
def test_a_full_disk_is_told(
    disk: str, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.make()
    if disk == "tmpfs":
        place.outbox = tmp_path / "small"
        with small_disk(place.outbox, 64):
            fill_up(place.outbox)
            found = place.found()
        assert found["outbox"].verdict == "mend"
    else:
        seen = os.statvfs_result((1, 1, 1, 0, 0, 1, 1, 1, 0, 255))
        monkeypatch.setattr(os, "statvfs", lambda path: seen)
        found = place.found()
    assert (found["room"].verdict, found["room"].exit_code) == ("mend", 73)
    assert "it goes on once" in found["room"].words


@pytest.mark.parametrize("content", [b"SQLite format 3\0 and no more", b"x" * 5000])
def test_a_ledger_is_looked_into(content: bytes, place: Place) -> None:
    place.make()
    path = place.state / "ledger.sqlite3"
    with closing(sqlite3.connect(path)) as ledger:
        ledger.execute("create table jobs (id)")
    assert place.found()["ledger"].verdict == "ok"
    path.write_bytes(content)
    found = place.found()["ledger"]
    assert (found.verdict, found.exit_code) == ("mend", 78)


def test_whoever_is_not_the_daemons_user_is_told(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.make()
    owner = place.state.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    assert "ask again as the user" in place.found()["user"].words


def test_what_is_left_alone_in_an_inbox_is_named(place: Place) -> None:
    place.make()
    for name in ("a", "b"):
        fill(place.inbox, f"{name}/receipt.json")
    found = place.found()["in"]
    assert found.verdict == "note"
    assert "in/a is left alone: it has a receipt.json" in found.words
    assert found.words.endswith("; so are 1 more")


def test_that_the_daemon_gets_no_file_events_is_told(place: Place) -> None:
    place.make()
    publisher = Publisher(place.state)
    publisher.observer = False
    publisher.show(Status(), {})
    assert "file" not in place.found(), "no daemon is at work"
    with lock.held(place.state / "lock"):
        found = place.found()["file"]
    assert found.verdict == "note"
    assert "tries events again every few minutes" in found.words


def test_jobs_that_were_set_aside_are_named_with_the_reason_and_what_to_do(place: Place) -> None:
    place.make()
    state = State(place.state)
    state.make()
    (state.jobs / "7").mkdir()
    state.tidy()
    found = place.found()["job"]
    assert (found.verdict, found.what) == ("note", "job 7")
    assert "job.json cannot be read: No such file" in found.words
    assert "then remove that folder" in found.words


def test_a_ledger_that_is_no_file_is_damaged_and_keeps_nobody_waiting(place: Place) -> None:
    place.make()
    os.mkfifo(place.state / "ledger.sqlite3")
    found = place.found()["ledger"]
    assert (found.verdict, found.exit_code) == ("mend", 78)
