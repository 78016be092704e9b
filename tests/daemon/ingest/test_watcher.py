"""File events wake the daemon; inboxes without events are scanned instead."""

import errno
import logging
import os
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import pytest
from watchdog.observers.inotify_c import InotifyFD

from stylewatch_daemon.ingest import watcher as watcher_module
from stylewatch_daemon.ingest.scan import scan
from stylewatch_daemon.ingest.watcher import POLL_S, RETRY_S, RepeatFilter, Watcher, brings_events

LIBRARY = logging.getLogger("watchdog.observers.inotify_c")
POLLED = "it is scanned every 10 s instead"

breaks = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")


class Wakeups:
    """The wake-ups by a watcher."""

    def __init__(self) -> None:
        self.queue: SimpleQueue[None] = SimpleQueue()

    def __call__(self) -> None:
        self.queue.put(None)

    def wait(self) -> None:
        """Fail if there is none."""
        self.queue.get(timeout=20)

    def clear(self) -> None:
        while not self.queue.empty():
            self.queue.get()

    def is_quiet(self, seconds: float = 0.5) -> bool:
        try:
            self.queue.get(timeout=seconds)
        except Empty:
            return True
        return False

    def until(self, condition: Callable[[], object]) -> None:
        while not condition():
            self.wait()


class Clock:
    """A clock that moves only when `now` is set."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def wakeups() -> Wakeups:
    return Wakeups()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def follow(watcher: Watcher, *inboxes: Path) -> bool:
    """Scan the inboxes, and let the watcher follow the folders."""
    return watcher.follow({inbox: scan(inbox).folders for inbox in inboxes})


@pytest.fixture
def end_thread(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """End the thread that reads the events of a folder, as a fault in it would."""
    ended: SimpleQueue[InotifyFD] = SimpleQueue()
    breaking: list[bool] = []
    handle_event: Any = InotifyFD.handle_event

    def fail(self: InotifyFD, event: object) -> None:
        if breaking:
            breaking.clear()
            ended.put(self)
            raise RecursionError("maximum recursion depth exceeded")
        handle_event(self, event)

    def end(folder: Path) -> None:
        breaking.append(True)
        (folder / "breaks").touch()
        ended.get(timeout=20).join()
        (folder / "breaks").unlink()

    monkeypatch.setattr(InotifyFD, "handle_event", fail)
    return end


# Events


def test_writing_in_a_followed_folder_wakes_and_reading_does_not(
    inbox: Path, wakeups: Wakeups
) -> None:
    (inbox / "job/deeper").mkdir(parents=True)
    (inbox / "a").write_text("x")
    with Watcher([inbox], "no", wakeups) as watcher:
        assert watcher.interval(60) == 60
        assert [follow(watcher, inbox), follow(watcher, inbox)] == [True, False]
        (inbox / "a").read_text()
        list(inbox.iterdir())
        assert not watcher.check()
        assert wakeups.is_quiet(0.1)
        (inbox / "job/deeper/content.jpg").touch()
        wakeups.wait()


def test_new_folders_are_followed_also_with_the_inode_of_a_removed_one(
    inbox: Path, wakeups: Wakeups
) -> None:
    with Watcher([inbox], "no", wakeups) as watcher:
        for _ in range(20):
            (inbox / "job").mkdir()
            wakeups.until(lambda: follow(watcher, inbox))
            wakeups.clear()
            (inbox / "job/content.jpg").write_text("x")
            wakeups.wait()
            (inbox / "job/content.jpg").unlink()
            (inbox / "job").rmdir()


def test_a_folder_that_left_the_inbox_wakes_no_more(
    inbox: Path, tmp_path: Path, wakeups: Wakeups
) -> None:
    (inbox / "job").mkdir()
    with Watcher([inbox], "no", wakeups) as watcher:
        follow(watcher, inbox)
        (inbox / "job").rename(tmp_path / "job")
        wakeups.wait()
        follow(watcher, inbox)
        (inbox / "last").mkdir()
        wakeups.until(lambda: follow(watcher, inbox))
        while not wakeups.is_quiet(0.2):  # earlier events may still be on their way
            pass
        (tmp_path / "job/content.jpg").write_text("x")
        assert wakeups.is_quiet(0.2)


def test_an_inbox_that_was_replaced_is_watched_again(
    inbox: Path, tmp_path: Path, wakeups: Wakeups
) -> None:
    with Watcher([inbox], "no", wakeups) as watcher:
        inbox.rename(tmp_path / "old")
        inbox.mkdir()
        assert watcher.check()
        wakeups.clear()
        (inbox / "a").write_text("x")
        wakeups.wait()


def test_a_folder_that_was_removed_since_the_scan_is_skipped(inbox: Path, wakeups: Wakeups) -> None:
    for name in ("a", "b"):
        (inbox / name).mkdir()
    with Watcher([inbox], "no", wakeups) as watcher:
        folders = scan(inbox).folders
        (inbox / "a").rmdir()
        assert watcher.follow({inbox: folders})
        assert watcher.polled == {}


def test_lost_events_wake_and_are_counted(
    inbox: Path, wakeups: Wakeups, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Overflow:
        is_queue_overflow = True

    handle_event: Any = InotifyFD.handle_event
    with Watcher([inbox], "no", wakeups) as watcher:
        monkeypatch.setattr(
            InotifyFD, "handle_event", lambda self, _: handle_event(self, Overflow())
        )
        (inbox / "a").mkdir()
        wakeups.wait()
        monkeypatch.undo()
        assert [watcher.take_lost(), watcher.take_lost()] == [1, 0]


def test_an_inbox_on_a_dead_mount_affects_no_other(
    inbox: Path, wakeups: Wakeups, monkeypatch: pytest.MonkeyPatch
) -> None:
    path_stat = Path.stat

    def stat(self: Path, **options: bool) -> os.stat_result:
        if self.name == "dead":
            raise OSError(errno.ENOTCONN, "Transport endpoint is not connected", str(self))
        return path_stat(self, **options)

    monkeypatch.setattr(Path, "stat", stat)
    with Watcher([inbox / "dead", inbox], "no", wakeups) as watcher:
        assert not watcher.check()
        (inbox / "a").write_text("x")
        wakeups.wait()


# Threads that die


@breaks
def test_a_dead_thread_is_replaced_and_after_the_second_time_the_inbox_is_polled(
    inbox: Path,
    tmp_path: Path,
    wakeups: Wakeups,
    clock: Clock,
    end_thread: Callable[[Path], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    good = tmp_path / "good"
    for folder in (inbox / "job", good):
        folder.mkdir()
    with Watcher([inbox, good], "no", wakeups, clock) as watcher:
        follow(watcher, inbox, good)
        end_thread(inbox)
        assert not watcher.sound
        assert [watcher.check(), watcher.check()] == [True, False]
        assert (watcher.sound, watcher.polled) == (True, {})
        assert follow(watcher, inbox, good)
        wakeups.clear()
        (inbox / "job/content.jpg").write_text("x")
        wakeups.wait()
        assert "ended by themselves: started again" in caplog.text

        end_thread(inbox)
        assert watcher.check()
        assert watcher.polled == {inbox: "the thread that reads its file events ended twice"}
        assert (watcher.sound, watcher.interval(60)) == (True, POLL_S)
        clock.now += RETRY_S - 1
        assert not watcher.check()
        clock.now += 1
        assert watcher.check()
        follow(watcher, inbox, good)
        assert (watcher.polled, watcher.interval(60)) == ({}, 60)
    assert caplog.text.count(POLLED) == 1
    assert caplog.text.count("file events work again") == 1


# Polling


def test_with_polling_nothing_is_watched(inbox: Path, wakeups: Wakeups) -> None:
    with Watcher([inbox], "yes", wakeups) as watcher:
        assert (watcher.interval(60), watcher.interval(1)) == (POLL_S, 1)
        assert (watcher.check(), watcher.sound, watcher.polled) == (False, True, {})


@pytest.mark.parametrize(
    ("error", "limit"),
    [
        (OSError(errno.ENOSPC, "inotify watch limit reached"), 0),
        (OSError(errno.ENOSPC, "inotify watch limit reached"), 3),
        (RecursionError("too deep"), 0),
    ],
)
def test_an_inbox_that_cannot_be_watched_is_polled_which_is_logged_once(
    error: Exception,
    limit: int,
    inbox: Path,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    add_callback: Any = InotifyFD.add_callback

    def fail(self: InotifyFD, path: bytes, *more: Any) -> Any:
        if len(self._watch_for_wd) == limit:
            raise error
        return add_callback(self, path, *more)

    monkeypatch.setattr(InotifyFD, "add_callback", fail)
    for number in range(5):
        (inbox / str(number)).mkdir()
    with Watcher([inbox], "no", Wakeups(), clock) as watcher:
        assert not follow(watcher, inbox)
        assert str(error.args[-1]) in watcher.polled[inbox]
        assert (watcher.interval(60), watcher.check()) == (POLL_S, False)
        clock.now += RETRY_S
        assert watcher.check()
        follow(watcher, inbox)
        assert (watcher.interval(60), watcher.check()) == (POLL_S, False)
    assert caplog.text.count(POLLED) == 1
    assert ("max_user_watches" in caplog.text) == isinstance(error, OSError)


@pytest.mark.parametrize("polling", ["auto", "no"])
def test_with_auto_an_inbox_that_brings_no_events_is_polled(
    polling: Any, inbox: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert brings_events(inbox) is True
    monkeypatch.setattr(InotifyFD, "handle_event", lambda *_: None)
    monkeypatch.setattr(watcher_module, "CANARY_S", 0.05)
    assert brings_events(inbox) is False
    with Watcher([inbox], polling, Wakeups()) as watcher:
        assert watcher.interval(60) == (POLL_S if polling == "auto" else 60)
        assert not watcher.check()
    assert (f"brought no event); {POLLED}" in caplog.text) == (polling == "auto")
    assert list(inbox.iterdir()) == []


def test_where_no_file_can_be_made_events_are_trusted(
    inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(self: Path) -> None:
        raise OSError(errno.EROFS, "Read-only file system", self)

    monkeypatch.setattr(Path, "touch", read_only)
    assert brings_events(inbox) is None
    with Watcher([inbox], "auto", Wakeups()) as watcher:
        assert watcher.interval(60) == 60


def test_repeated_messages_of_watchdog_are_logged_as_a_count(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    repeat_filter = RepeatFilter(clock)
    LIBRARY.addFilter(repeat_filter)
    try:
        for number in range(4815):
            LIBRARY.warning("events were lost below %s", number)
        LIBRARY.warning("something else")
        assert len(caplog.records) == 4
        clock.now += 60
        for _ in range(2):
            LIBRARY.warning("events were lost below %s", "there")
    finally:
        LIBRARY.removeFilter(repeat_filter)
    assert [record.getMessage() for record in caplog.records[4:]] == [
        "events were lost below there (repeated 4,813 times)"
    ]
