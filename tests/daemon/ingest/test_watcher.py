"""File events wake the daemon; inboxes without events are scanned instead."""

import errno
import logging
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest
from tests.daemon.clock import Clock
from watchdog.observers.inotify_c import InotifyFD

from stylewatch_daemon.ingest import watcher as watcher_module
from stylewatch_daemon.ingest.scan import scan
from stylewatch_daemon.ingest.watcher import POLL_S, RETRY_S, Watcher

POLLED = "it is scanned every 10 s instead"


class Wakeups:
    """The wake-ups by a watcher."""

    def __init__(self) -> None:
        self.queue: SimpleQueue[None] = SimpleQueue()

    def __call__(self) -> None:
        self.queue.put(None)

    def clear(self) -> None:
        while not self.queue.empty():
            self.queue.get()

    def wait(self, condition: Callable[[], object] = lambda: True) -> None:
        """Wait until a wake-up after which `condition` holds; fail if there is none."""
        self.queue.get(timeout=20)
        while not condition():
            self.queue.get(timeout=20)
        self.clear()


@pytest.fixture
def wakeups() -> Wakeups:
    return Wakeups()


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def follow(watcher: Watcher, *inboxes: Path) -> bool:
    """Scan the inboxes, and let the watcher follow the folders."""
    return watcher.follow({inbox: scan(inbox).folders for inbox in inboxes})


def test_writing_in_new_folders_and_lost_events_wake(
    inbox: Path, wakeups: Wakeups, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    overflows = [SimpleNamespace(is_queue_overflow=True)] * 2
    handle_event: Any = InotifyFD.handle_event
    taken: list[int] = []

    def handle_overflow_first(self: InotifyFD, event: object) -> None:
        handle_event(self, overflows.pop() if overflows else event)

    def have_lost(least: int) -> bool:
        taken.append(watcher.take_lost())
        return sum(taken) >= least

    with Watcher([inbox], "no", wakeups) as watcher:
        list(inbox.iterdir())
        assert (watcher.check(), watcher.interval(60), wakeups.queue.empty()) == (False, 60, True)
        for _ in range(20):
            (inbox / "job").mkdir()
            wakeups.wait(lambda: follow(watcher, inbox))
            (inbox / "job/content.jpg").write_text("x")
            wakeups.wait()
            folders = scan(inbox).folders
            (inbox / "job/content.jpg").unlink()
            (inbox / "job").rmdir()
        assert (watcher.follow({inbox: folders}), watcher.polled) == (False, {})  # it is gone
        monkeypatch.setattr(InotifyFD, "handle_event", handle_overflow_first)
        for number in (1, 2):
            (inbox / str(number)).mkdir()
            wakeups.wait(partial(have_lost, number))
        assert (sum(taken), watcher.take_lost()) == (2, 0)
    lost = "file events were lost, as too many came at once: a scan follows"
    assert caplog.messages == [lost], "once in a minute"


def test_an_inbox_on_a_dead_mount_affects_no_other(
    inbox: Path, tmp_path: Path, wakeups: Wakeups, monkeypatch: pytest.MonkeyPatch
) -> None:
    path_stat = Path.stat

    def stat(self: Path, **options: bool) -> os.stat_result:
        if self.name == "dead":
            raise OSError(errno.ENOTCONN, "Transport endpoint is not connected", str(self))
        return path_stat(self, **options)

    monkeypatch.setattr(Path, "stat", stat)
    with Watcher([inbox / "dead", inbox], "no", wakeups) as watcher:
        assert not watcher.check()
        inbox.rename(tmp_path / "old")
        inbox.mkdir()
        assert watcher.check(), "it was replaced"
        wakeups.clear()
        (inbox / "a").write_text("x")
        wakeups.wait()


def test_an_inbox_that_is_gone_is_looked_for_as_one_without_events(
    inbox: Path, tmp_path: Path, wakeups: Wakeups
) -> None:
    with Watcher([inbox], "no", wakeups) as watcher:
        inbox.rename(tmp_path / "old")
        assert (watcher.check(), watcher.interval(60)) == (False, POLL_S)
        (tmp_path / "old").rename(inbox)
        assert (watcher.check(), watcher.interval(60)) == (True, 60)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_dead_thread_is_replaced_and_after_the_second_time_the_inbox_is_polled(
    inbox: Path, wakeups: Wakeups, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    caplog.set_level(logging.INFO)
    ended: SimpleQueue[InotifyFD] = SimpleQueue()

    def end_thread() -> None:
        def fail(self: InotifyFD, event: object) -> None:
            ended.put(self)
            raise RecursionError("maximum recursion depth exceeded")

        with monkeypatch.context() as patch:
            patch.setattr(InotifyFD, "handle_event", fail)
            (inbox / "breaks").touch()
            ended.get(timeout=20).join()
        (inbox / "breaks").unlink()

    (inbox / "job").mkdir()
    with Watcher([inbox], "no", wakeups, clock) as watcher:
        end_thread()
        assert not watcher.threads_alive
        assert [watcher.check(), watcher.check()] == [True, False]
        assert (watcher.threads_alive, watcher.polled, follow(watcher, inbox)) == (
            True,
            {},
            True,
        )
        wakeups.clear()
        (inbox / "job/content.jpg").write_text("x")
        wakeups.wait()
        end_thread()
        assert watcher.check()
        assert watcher.polled == {inbox: "the thread that reads its file events ended twice"}
        assert (watcher.threads_alive, watcher.interval(60)) == (True, POLL_S)
        clock.now += RETRY_S
        assert watcher.check()
        assert (follow(watcher, inbox), watcher.polled) == (True, {})
    for text in ("ended by themselves: started again", POLLED, "file events work again"):
        assert caplog.text.count(text) == 1


def test_an_inbox_that_cannot_be_watched_is_polled_which_is_logged_once(
    inbox: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    add_callback: Any = InotifyFD.add_callback

    def fail(self: InotifyFD, path: bytes, *more: Any) -> Any:
        if len(self._watch_for_wd) == 3:
            raise OSError(errno.ENOSPC, "watch limit reached")
        return add_callback(self, path, *more)

    monkeypatch.setattr(InotifyFD, "add_callback", fail)
    for number in range(5):
        (inbox / str(number)).mkdir()
    with Watcher([inbox], "no", Wakeups(), clock) as watcher:
        for _ in range(2):
            assert not follow(watcher, inbox)
            assert "watch limit reached" in watcher.polled[inbox]
            assert (watcher.interval(60), watcher.check()) == (POLL_S, False)
            clock.now += RETRY_S
            assert watcher.check()
    assert caplog.text.count(POLLED) == 1
    assert "max_user_watches" in caplog.text


@pytest.mark.parametrize(
    ("polling", "brings", "polls"),
    [("auto", False, True), ("no", False, False), ("yes", True, True), ("auto", None, False)],
)
def test_an_inbox_is_polled_where_a_file_brings_no_event(
    polling: Any, brings: bool | None, polls: bool, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if brings is False:
        monkeypatch.setattr(InotifyFD, "handle_event", lambda *_: None)
        monkeypatch.setattr(watcher_module, "CANARY_S", 0.05)
    elif brings is None:  # no file can be made there
        monkeypatch.setattr("secrets.token_hex", lambda _: "no/such/folder")
    with Watcher([inbox], polling, Wakeups()) as watcher:
        assert (watcher.interval(60), watcher.check()) == (POLL_S if polls else 60, False)
        assert bool(watcher.polled) == (polls and polling == "auto")
    assert list(inbox.iterdir()) == []


def test_an_inbox_is_not_polled_because_this_process_stood_still(
    inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class LateEvent(Event):
        """An event whose first wait is over before another thread could run."""

        waits = 0

        def wait(self, timeout: float | None = None) -> bool:
            self.waits += 1
            return self.waits > 1 and super().wait(20)

    monkeypatch.setattr(watcher_module, "Event", LateEvent)
    assert watcher_module.brings_events(inbox)
