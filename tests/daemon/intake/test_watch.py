"""File events wake the daemon; without them, folders are scanned more often."""

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest
from tests.daemon.faults import failing
from watchdog.observers.inotify import InotifyEmitter
from watchdog.observers.inotify_c import InotifyFD

from stylewatch_daemon.files import disks
from stylewatch_daemon.intake import watch as watching
from stylewatch_daemon.intake.scan import scan
from stylewatch_daemon.intake.watch import SCAN_S, SCANS_WITHOUT, Events, Watch


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
    with Watch(wakeups, "yes") as watch:
        assert not watch.works(inbox)
        watch.check(inbox)
        assert [watch.seconds_between_scans(inbox, 10, took) for took in (1, 4)] == [10, 20]
        wakeups.on((inbox / "job").mkdir)
        wakeups.on((inbox / "job/content.jpg").touch)
    assert not watch.works(inbox)
    assert [watch.seconds_between_scans(inbox, 10, took) for took in (0.02, 4)] == [SCAN_S, 20]
    assert watch.seconds_between_scans(inbox, 0.2, 0) == 0.2
    watch.check(inbox)
    assert not watch.works(inbox), "a check in another thread may end later than the watch"


def test_an_inbox_that_is_a_link_has_the_events_of_the_folder_to_which_it_leads(
    inbox: Path,
) -> None:
    wakeups = Wakeups()
    link = inbox.with_name("link")
    link.symlink_to(inbox)
    other = inbox.with_name("other")
    other.mkdir()
    with Watch(wakeups, "yes") as watch:
        watch.check(link)
        wakeups.on((inbox / "job").mkdir)
        wakeups.on((inbox / "job/content.jpg").touch)
        link.unlink()
        link.symlink_to(other)
        watch.check(link)
        wakeups.on((other / "job").mkdir)


def test_reading_and_each_single_write_do_not_wake(inbox: Path) -> None:
    """Else every scan would cause the next: the one wake-up here is that of a later change."""
    wakeups = Wakeups()
    (inbox / "content.jpg").write_text("some")
    with Watch(wakeups, "yes") as watch, (inbox / "content.jpg").open("r+") as file:
        watch.check(inbox)
        assert scan(inbox).files and (inbox / "content.jpg").read_text() and file.write("more")
        file.flush()
        (inbox / "later").mkdir()
        wakeups.get(timeout=20)
        assert wakeups.empty()
        wakeups.on(file.close)


def test_a_folder_that_is_missing_or_has_no_events_affects_no_other(
    inbox: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    wakeups, share = Wakeups(), inbox.parent / "share"
    with Watch(wakeups, "yes") as watch:
        for folder in (inbox, share):
            watch.check(folder)
        share.mkdir()
        with monkeypatch.context() as patch:
            patch.setattr(InotifyFD, "__init__", failing(OSError(errno.EMFILE, "too many")))
            watch.check(share)
        assert [watch.works(folder) for folder in (inbox, share)] == [True, False]
        for _ in range(SCANS_WITHOUT - 1):
            watch.check(share)
        assert not watch.works(share)
        watch.check(share)
        assert watch.works(share)
        wakeups.on((inbox / "job").mkdir)
    assert "too many; raise fs.inotify.max_user_watches" in caplog.text


def test_a_folder_that_is_replaced_is_watched_from_then_on(inbox: Path) -> None:
    wakeups = Wakeups()
    with Watch(wakeups, "yes") as watch:
        watch.check(inbox)
        inbox.rename(inbox.with_name("before"))
        watch.check(inbox)
        assert not watch.works(inbox)
        inbox.mkdir()
        watch.check(inbox)
        wakeups.on((inbox / "job").mkdir)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize(("part", "name"), [(InotifyFD, "handle_event"),
                                            (InotifyEmitter, "queue_events")])  # fmt: skip
def test_a_dead_thread_is_replaced_which_is_logged_once(
    part: type[InotifyFD | InotifyEmitter],
    name: str,
    inbox: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The library does not show the first: only a change without its event tells its death."""
    monkeypatch.setattr(watching, "LATE_S", 0.0)
    wakeups, ended = Wakeups(), SimpleQueue[Any]()

    def fail(self: Any, *_: Any, **__: Any) -> None:
        ended.put(self)
        raise RecursionError("maximum recursion depth exceeded")

    with Watch(wakeups, "yes") as watch:
        watch.check(inbox)
        for number in range(2):
            watch.check(inbox)
            with monkeypatch.context() as patch:
                patch.setattr(part, name, fail)
                (inbox / f"breaks {number}").touch()
                ended.get(timeout=20).join()
            assert watch.works(inbox) == (part is InotifyFD)
            watch.check(inbox)
            assert watch.works(inbox)
            wakeups.on((inbox / f"works {number}").mkdir)  # one event, so that none comes later
    assert caplog.text.count("stopped unexpectedly and are started again") == 1


def test_an_event_that_comes_a_bit_later_is_not_lost(
    inbox: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    wakeups, is_held = Wakeups(), threading.Event()
    real = InotifyEmitter.queue_events

    def late(self: InotifyEmitter, *args: Any, **more: Any) -> None:
        is_held.wait(20)
        real(self, *args, **more)

    monkeypatch.setattr(InotifyEmitter, "queue_events", late)
    with Watch(wakeups, "yes") as watch:
        watch.check(inbox)
        watch.check(inbox)
        (inbox / "job").mkdir()
        watch.check(inbox)
        is_held.set()
        wakeups.get(timeout=20)
        watch.check(inbox)
        monkeypatch.setattr(watching, "LATE_S", 0.0)
        watch.check(inbox)
    assert not caplog.text


@pytest.mark.parametrize("when", ["at the start", "later"])
def test_a_disk_that_does_not_answer_holds_up_its_own_folder_alone(
    when: str, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wakeups, asked, answers = Wakeups(), threading.Event(), threading.Event()
    silent, real = inbox.parent / "silent", os.walk
    silent.mkdir()

    def walk(top: Any, **more: Any) -> Any:
        if os.fsdecode(top).startswith(str(silent)):
            asked.set()
            assert answers.wait(20)
        return real(top, **more)

    monkeypatch.setattr(watching, "STOP_S", 0.1)
    with Watch(wakeups, "yes") as watch:
        if when == "later":
            watch.check(silent)
        monkeypatch.setattr(os, "walk", walk)
        (silent / "job").mkdir()
        lane = threading.Thread(target=watch.check, args=[silent])
        lane.start()
        assert asked.wait(20)
        watch.check(inbox)
        wakeups.on((inbox / "job").mkdir)
        assert watch.works(silent) == (when == "later")
    assert not answers.is_set() and not watch.works(silent)
    answers.set()
    lane.join(20)
    assert not watch.works(silent) and not watch.works(inbox)


@pytest.mark.parametrize(
    ("enabled", "kind", "works"),
    [("auto", "ext4", True), ("auto", "nfs4", False), ("auto", "fuse.sshfs", False),
     ("yes", "nfs4", True), ("no", "ext4", False)],
)  # fmt: skip
def test_the_setting_and_the_file_system_say_whether_events_are_used(
    enabled: Events, kind: str, works: bool, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disks, "table", lambda: f"42 27 8:1 / / rw - {kind} dev rw")
    with Watch(Wakeups(), enabled) as watch:
        watch.check(inbox)
        assert watch.works(inbox) == works
