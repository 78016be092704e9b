"""Events wake; what breaks is mended."""

import errno
import logging
import os
from pathlib import Path
from queue import SimpleQueue

import pytest
from watchdog.observers.api import BaseObserver

from stylewatch_daemon import watch
from stylewatch_daemon.watch import POLL_S, Watcher


class Rings:
    """What a watcher wakes."""

    def __init__(self) -> None:
        self._rung: SimpleQueue[None] = SimpleQueue()

    def __call__(self) -> None:
        self._rung.put(None)

    def wait(self) -> None:
        """Fail if nothing rings."""
        self._rung.get(timeout=20)


def test_a_file_that_comes_to_lie_deep_in_a_folder_wakes(tmp_path: Path) -> None:
    (tmp_path / "job").mkdir()
    rings = Rings()
    with Watcher([tmp_path], "no", rings) as watcher:
        assert watcher.interval(60) == 60
        (tmp_path / "job" / "content.jpg").write_text("x")
        rings.wait()


def test_with_polling_nothing_is_watched_and_scans_come_often(tmp_path: Path) -> None:
    with Watcher([tmp_path], "yes", Rings()) as watcher:
        assert watcher.interval(60) == POLL_S
        assert watcher.interval(1) == 1
        assert not watcher.check()


def test_a_dead_observer_is_replaced(tmp_path: Path) -> None:
    rings = Rings()
    with Watcher([tmp_path], "no", rings) as watcher:
        observer = watcher._observer
        assert observer is not None
        observer.stop()
        observer.join()
        assert watcher.check()
        assert not watcher.check()
        (tmp_path / "a").write_text("x")
        rings.wait()


def test_a_folder_that_went_and_came_back_is_watched_again(tmp_path: Path) -> None:
    inbox, rings = tmp_path / "in", Rings()
    inbox.mkdir()
    with Watcher([inbox], "no", rings) as watcher:
        inbox.rename(tmp_path / "old")
        inbox.mkdir()
        assert watcher.check()
        (inbox / "a").write_text("x")
        rings.wait()


def test_lost_events_wake_and_are_counted(tmp_path: Path) -> None:
    rings = Rings()
    with Watcher([], "no", rings) as watcher:
        log = logging.getLogger("watchdog.observers.inotify_c")
        log.warning("Inotify queue overflowed; filesystem events were lost")
        rings.wait()
        assert [watcher.take_lost(), watcher.take_lost()] == [1, 0]


def test_without_inotify_watches_folders_are_polled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def none_left(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(BaseObserver, "schedule", none_left)
    with Watcher([tmp_path], "no", Rings()) as watcher:
        assert watcher.interval(60) == POLL_S
        assert not watcher.check()
    assert "max_user_watches" in caplog.text


@pytest.fixture
def _deaf(monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders can be watched, and nothing is ever heard of them."""
    monkeypatch.setattr(BaseObserver, "schedule", lambda *_, **__: None)
    monkeypatch.setattr(watch, "CANARY_S", 0.05)


def test_a_folder_that_tells_events_is_heard_and_nothing_is_left_in_it(tmp_path: Path) -> None:
    assert watch.hears(tmp_path) is True
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("_deaf")
def test_a_folder_that_brings_no_events_is_polled_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert watch.hears(tmp_path) is False
    with Watcher([tmp_path], "auto", Rings()) as watcher:
        assert watcher.interval(60) == POLL_S
        assert not watcher.check()
    assert "brings no events: it is scanned every 10 s instead" in caplog.text
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
    assert watch.hears(tmp_path) is None
    with Watcher([tmp_path], "auto", Rings()) as watcher:
        assert watcher.interval(60) == 60


def test_a_watcher_is_sound_while_events_come_in_or_none_are_waited_for(tmp_path: Path) -> None:
    class Dead(Watcher):
        def kill(self) -> None:
            self._stop()

    with Dead([tmp_path], "no", Rings()) as watcher:
        assert watcher.sound
        watcher.kill()
        assert not watcher.sound
        assert watcher.check()
        assert watcher.sound
    with Watcher([tmp_path], "yes", Rings()) as watcher:
        assert watcher.sound


def test_what_is_heard_on_the_way_out_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def late(self: BaseObserver) -> None:
        logging.getLogger("watchdog.observers.inotify").error("called when inactive")
        stop(self)

    stop = BaseObserver.stop
    monkeypatch.setattr(BaseObserver, "stop", late)
    assert watch.hears(tmp_path) is True
    with Watcher([tmp_path], "no", Rings()):
        pass
    assert caplog.text == ""
    logging.getLogger("watchdog.observers.inotify").error("a real one")
    assert "a real one" in caplog.text


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
