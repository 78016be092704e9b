"""File events wake the daemon; without them, folders are scanned more often."""

import threading
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue

import pytest
from watchdog.observers.inotify_c import InotifyFD

from stylewatch_daemon.files import disks
from stylewatch_daemon.intake.scan import scan
from stylewatch_daemon.intake.watch import SCAN_S, Events, Watch


class Wakeups(SimpleQueue[None]):
    """The wake-ups by a watch."""

    def __call__(self) -> None:
        self.put(None)

    def on(self, change: Callable[[], object]) -> None:
        """Make a change; fail if no wake-up follows it."""
        while not self.empty():
            self.get()
        change()
        self.get(timeout=20)


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def test_files_in_new_folders_wake_until_the_end(inbox: Path) -> None:
    wakeups = Wakeups()
    with Watch([inbox], wakeups, "yes") as watch:
        assert [watch.seconds_between_scans(10, took) for took in (1, 4)] == [10, 20]
        wakeups.on((inbox / "job").mkdir)
        wakeups.on((inbox / "job/content.jpg").touch)
    assert not watch.works
    assert [watch.seconds_between_scans(10, took) for took in (0.02, 4)] == [SCAN_S, 20]
    assert watch.seconds_between_scans(0.2, 0) == 0.2


def test_reading_and_each_single_write_do_not_wake(inbox: Path) -> None:
    """Else every scan would cause the next: the one wake-up here is that of a later change."""
    wakeups = Wakeups()
    (inbox / "content.jpg").write_text("some")
    with Watch([inbox], wakeups, "yes"), (inbox / "content.jpg").open("r+") as file:
        assert scan(inbox).files and (inbox / "content.jpg").read_text() and file.write("more")
        file.flush()
        (inbox / "later").mkdir()
        wakeups.get(timeout=20)
        assert wakeups.empty()
        wakeups.on(file.close)


def test_a_dead_thread_is_replaced_which_is_logged_once(
    inbox: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    wakeups, ended = Wakeups(), SimpleQueue[InotifyFD]()

    def fail(self: InotifyFD, event: object) -> None:
        ended.put(self)
        raise RecursionError("maximum recursion depth exceeded")

    with Watch([inbox], wakeups, "yes") as watch:
        threads = threading.active_count()
        for number in range(2):
            with monkeypatch.context() as patch:
                patch.setattr(InotifyFD, "handle_event", fail)
                (inbox / f"breaks {number}").touch()
                ended.get(timeout=20).join()
            assert not watch.works
            watch.check()
            assert (watch.works, threading.active_count()) == (True, threads)
            wakeups.on((inbox / f"works {number}").touch)
    assert caplog.text.count("stopped unexpectedly and are started again") == 1


@pytest.mark.parametrize(
    ("enabled", "kind", "works"),
    [("auto", "ext4", True), ("auto", "nfs4", False), ("auto", "fuse.sshfs", False),
     ("yes", "nfs4", True), ("no", "ext4", False)],
)  # fmt: skip
def test_the_setting_and_the_file_system_say_whether_events_are_used(
    enabled: Events, kind: str, works: bool, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disks, "table", lambda: f"42 27 8:1 / / rw - {kind} dev rw")
    with Watch([inbox], Wakeups(), enabled) as watch:
        assert watch.works == works
