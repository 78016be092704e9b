"""Events wake; what breaks is replaced, or scanned instead."""

import errno
import logging
import os
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import pytest
from watchdog.observers.inotify_c import InotifyFD

from stylewatch_daemon.ingest import watcher as watch
from stylewatch_daemon.ingest.scan import scan
from stylewatch_daemon.ingest.watcher import POLL_S, RETRY_S, RepeatFilter, Watcher

LIBRARY = logging.getLogger("watchdog.observers.inotify_c")

breaks = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")


class Rings:
    """What a watcher wakes."""

    def __init__(self) -> None:
        self._rung: SimpleQueue[None] = SimpleQueue()

    def __call__(self) -> None:
        self._rung.put(None)

    def wait(self) -> None:
        """Fail if nothing rings."""
        self._rung.get(timeout=20)

    def forget(self) -> None:
        while not self._rung.empty():
            self._rung.get()

    def quiet(self, seconds: float = 0.5) -> bool:
        """Whether nothing rings for a while."""
        try:
            self._rung.get(timeout=seconds)
        except Empty:
            return True
        return False


class Now:
    """A clock that is set by hand, in seconds."""

    time = 100.0

    def __call__(self) -> float:
        return self.time


def follow(watcher: Watcher, *inboxes: Path) -> bool:
    """Scan the inboxes, and have the watcher follow what is found."""
    return watcher.follow({inbox: scan(inbox).folders for inbox in inboxes})


def until(condition: Callable[[], object], rings: Rings) -> None:
    while not condition():
        rings.wait()


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """End the thread that reads the events of a folder, as a fault in it would."""
    ended: SimpleQueue[InotifyFD] = SimpleQueue()

    def fail(self: InotifyFD, event: object) -> None:
        if breaking:
            breaking.clear()
            ended.put(self)
            raise RecursionError("maximum recursion depth exceeded")
        real(self, event)

    def break_(folder: Path) -> None:
        breaking.append(True)
        (folder / "breaks").touch()
        ended.get(timeout=20).join()
        (folder / "breaks").unlink()

    breaking: list[bool] = []
    real: Any = InotifyFD.handle_event
    monkeypatch.setattr(InotifyFD, "handle_event", fail)
    return break_


def test_a_file_in_a_folder_that_a_scan_found_wakes(tmp_path: Path) -> None:
    (tmp_path / "job/deeper").mkdir(parents=True)
    rings = Rings()
    with Watcher([tmp_path], "no", rings) as watcher:
        assert watcher.interval(60) == 60
        assert follow(watcher, tmp_path)
        assert not follow(watcher, tmp_path)
        (tmp_path / "job/deeper/content.jpg").write_text("x")
        rings.wait()


def test_a_folder_that_comes_wakes_and_is_followed_from_then_on(tmp_path: Path) -> None:
    rings = Rings()
    with Watcher([tmp_path], "no", rings) as watcher:
        (tmp_path / "job").mkdir()
        rings.wait()
        assert follow(watcher, tmp_path)
        rings.forget()
        (tmp_path / "job/content.jpg").write_text("x")
        rings.wait()


def test_a_folder_in_the_place_of_one_that_was_removed_is_followed(tmp_path: Path) -> None:
    rings = Rings()
    with Watcher([tmp_path], "no", rings) as watcher:
        for _ in range(20):  # some of them get the inode of the one before
            (tmp_path / "job").mkdir()
            until(lambda: follow(watcher, tmp_path), rings)
            rings.forget()
            (tmp_path / "job/content.jpg").write_text("x")
            rings.wait()
            (tmp_path / "job/content.jpg").unlink()
            (tmp_path / "job").rmdir()


def test_a_folder_that_left_the_inbox_wakes_no_more(tmp_path: Path) -> None:
    inbox, rings = tmp_path / "in", Rings()
    (inbox / "job").mkdir(parents=True)
    with Watcher([inbox], "no", rings) as watcher:
        follow(watcher, inbox)
        (inbox / "job").rename(tmp_path / "job")
        rings.wait()
        follow(watcher, inbox)
        (inbox / "last").mkdir()
        until(lambda: follow(watcher, inbox), rings)
        while not rings.quiet():  # events of what came before may still be on their way
            pass
        (tmp_path / "job/content.jpg").write_text("x")
        assert rings.quiet()


def test_reading_does_not_wake(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    rings = Rings()
    with Watcher([tmp_path], "no", rings) as watcher:
        (tmp_path / "a").read_text()
        list(tmp_path.iterdir())
        assert not watcher.check()
        (tmp_path / "b").touch()
        rings.wait()
    assert rings._rung.qsize() <= 3  # it was made, changed and closed


def test_with_polling_nothing_is_watched_and_scans_come_often(tmp_path: Path) -> None:
    with Watcher([tmp_path], "yes", Rings()) as watcher:
        assert watcher.interval(60) == POLL_S
        assert watcher.interval(1) == 1
        assert not watcher.check()
        assert (watcher.sound, watcher.polled) == (True, {})


def test_a_folder_that_went_and_came_back_is_watched_again(tmp_path: Path) -> None:
    inbox, rings = tmp_path / "in", Rings()
    inbox.mkdir()
    with Watcher([inbox], "no", rings) as watcher:
        inbox.rename(tmp_path / "old")
        inbox.mkdir()
        assert watcher.check()
        rings.forget()
        (inbox / "a").write_text("x")
        rings.wait()


@breaks
def test_a_thread_that_died_is_replaced_and_its_folders_are_followed_again(
    tmp_path: Path, broken: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "job").mkdir()
    rings = Rings()
    with Watcher([tmp_path], "no", rings) as watcher:
        follow(watcher, tmp_path)
        broken(tmp_path)
        assert not watcher.sound
        assert watcher.check()
        assert (watcher.sound, watcher.check(), watcher.polled) == (True, False, {})
        assert follow(watcher, tmp_path)
        rings.forget()
        (tmp_path / "job/content.jpg").write_text("x")
        rings.wait()
    assert "ended by themselves: started again" in caplog.text


@breaks
def test_an_inbox_whose_thread_dies_twice_is_scanned_until_events_are_tried_again(
    tmp_path: Path, broken: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    bad, good, now = tmp_path / "bad", tmp_path / "good", Now()
    bad.mkdir()
    good.mkdir()
    caplog.set_level(logging.INFO)
    with Watcher([bad, good], "no", Rings(), now) as watcher:
        for _ in range(2):
            broken(bad)
            assert watcher.check()
        assert watcher.polled == {bad: "the thread that reads its file events ended twice"}
        assert (watcher.sound, watcher.interval(60)) == (True, POLL_S)
        now.time += RETRY_S - 1
        assert not watcher.check()
        now.time += 1
        assert watcher.check()
        follow(watcher, bad, good)
        assert (watcher.polled, watcher.interval(60)) == ({}, 60)
    assert caplog.text.count("it is scanned every 10 s instead") == 1
    assert caplog.text.count("file events work again") == 1


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "inotify watch limit reached"), RecursionError("too deep")]
)
def test_where_events_cannot_be_started_the_inbox_is_scanned_and_that_is_said_once(
    error: Exception,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(InotifyFD, "add_callback", fail)
    now = Now()
    with Watcher([tmp_path], "no", Rings(), now) as watcher:
        assert watcher.interval(60) == POLL_S
        assert not watcher.check()
        now.time += RETRY_S
        assert watcher.check()
        assert not watcher.check()
        assert list(watcher.polled) == [tmp_path]
    assert caplog.text.count("it is scanned every 10 s instead") == 1
    assert ("max_user_watches" in caplog.text) == isinstance(error, OSError)


def test_an_inbox_with_more_folders_than_may_be_watched_is_scanned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def few(self: InotifyFD, path: bytes, *more: Any) -> Any:
        if len(self._watch_for_wd) == 3:
            raise OSError(errno.ENOSPC, "inotify watch limit reached")
        return real(self, path, *more)

    real: Any = InotifyFD.add_callback
    monkeypatch.setattr(InotifyFD, "add_callback", few)
    for number in range(5):
        (tmp_path / str(number)).mkdir()
    now = Now()
    with Watcher([tmp_path], "no", Rings(), now) as watcher:
        assert not follow(watcher, tmp_path)
        assert "inotify watch limit reached" in watcher.polled[tmp_path]
        now.time += RETRY_S
        assert watcher.check()
        follow(watcher, tmp_path)
        assert watcher.interval(60) == POLL_S
    assert caplog.text.count("it is scanned every 10 s instead") == 1


def test_a_folder_that_went_since_the_scan_is_passed_over(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    with Watcher([tmp_path], "no", Rings()) as watcher:
        folders = scan(tmp_path).folders
        (tmp_path / "a").rmdir()
        assert watcher.follow({tmp_path: folders})
        assert watcher.polled == {}


def test_lost_events_wake_and_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Overflow:
        is_queue_overflow = True

    def overflow(self: InotifyFD, event: object) -> None:
        real(self, Overflow())

    real: Any = InotifyFD.handle_event
    rings = Rings()
    with Watcher([tmp_path], "no", rings) as watcher:
        monkeypatch.setattr(InotifyFD, "handle_event", overflow)
        (tmp_path / "a").mkdir()
        rings.wait()
        monkeypatch.undo()
        assert [watcher.take_lost(), watcher.take_lost()] == [1, 0]


def test_what_watchdog_repeats_is_logged_as_a_number(caplog: pytest.LogCaptureFixture) -> None:
    now = Now()
    sparingly = RepeatFilter(now)
    LIBRARY.addFilter(sparingly)
    try:
        for number in range(4815):
            LIBRARY.warning("events were lost below %s", number)
        LIBRARY.warning("something else")
        assert len(caplog.records) == 4
        now.time += 60
        LIBRARY.warning("events were lost below %s", "there")
        LIBRARY.warning("events were lost below %s", "there")
    finally:
        LIBRARY.removeFilter(sparingly)
    assert [record.getMessage() for record in caplog.records[4:]] == [
        "events were lost below there (repeated 4,813 times)"
    ]


@pytest.fixture
def _deaf(monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders can be watched, and nothing is ever heard of them."""
    monkeypatch.setattr(InotifyFD, "handle_event", lambda *_: None)
    monkeypatch.setattr(watch, "CANARY_S", 0.05)


def test_a_folder_that_tells_events_is_heard_and_nothing_is_left_in_it(tmp_path: Path) -> None:
    assert watch.brings_events(tmp_path) is True
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("_deaf")
def test_a_folder_that_brings_no_events_is_polled_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert watch.brings_events(tmp_path) is False
    with Watcher([tmp_path], "auto", Rings()) as watcher:
        assert watcher.interval(60) == POLL_S
        assert not watcher.check()
    assert "brought no event); it is scanned every 10 s instead" in caplog.text
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("_deaf")
def test_whoever_asks_for_events_alone_is_believed(tmp_path: Path) -> None:
    with Watcher([tmp_path], "no", Rings()) as watcher:
        assert watcher.interval(60) == 60


def test_where_no_file_can_be_made_events_are_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(self: Path) -> None:
        raise OSError(errno.EROFS, "Read-only file system", self)

    monkeypatch.setattr(Path, "touch", read_only)
    assert watch.brings_events(tmp_path) is None
    with Watcher([tmp_path], "auto", Rings()) as watcher:
        assert watcher.interval(60) == 60


def test_a_folder_on_a_dead_mount_is_not_there_and_the_others_are_watched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stat(self: Path, **options: bool) -> os.stat_result:
        if self.name == "dead":
            raise OSError(errno.ENOTCONN, "Transport endpoint is not connected", str(self))
        return real(self, **options)

    real, rings = Path.stat, Rings()
    monkeypatch.setattr(Path, "stat", stat)
    with Watcher([tmp_path / "dead", tmp_path], "no", rings) as watcher:
        assert not watcher.check()
        (tmp_path / "a").write_text("x")
        rings.wait()
