"""Events wake; what breaks is mended; file systems that tell no events are known."""

import errno
import logging
from pathlib import Path
from queue import SimpleQueue

import pytest
from watchdog.observers.api import BaseObserver

from stylewatch_daemon.watch import POLL_S, Watcher, tells_events

TABLE = r"""
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
40 27 0:40 / /net/nas rw - nfs4 server:/export rw
41 40 0:41 / /net/nas/local rw - ext4 /dev/vdb rw
42 27 0:42 / /net/with\040space rw - cifs //server/share rw
43 27 0:43 / /net/ssh rw - fuse.sshfs host: rw
44 27 0:44 / /net/usb rw - vfat /dev/sda1 rw
""".strip()


class Rings:
    """What a watcher wakes."""

    def __init__(self) -> None:
        self._rung: SimpleQueue[None] = SimpleQueue()

    def __call__(self) -> None:
        self._rung.put(None)

    def wait(self) -> None:
        """Fail if nothing rings."""
        self._rung.get(timeout=20)


@pytest.mark.parametrize(
    ("folder", "tells"),
    [
        ("/srv/inbox", True),
        ("/net/nas/inbox", False),
        ("/net/nasty", True),
        ("/net/nas/local/inbox", True),
        ("/net/with space/inbox", False),
        ("/net/ssh", False),
        ("/net/usb/inbox", True),
    ],
)
def test_only_file_systems_of_this_machine_tell_all_events(folder: str, tells: bool) -> None:
    assert tells_events(Path(folder), TABLE) is tells


def test_without_a_table_of_mounts_events_are_trusted() -> None:
    assert tells_events(Path("/srv"), "")


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


def test_lost_events_wake(tmp_path: Path) -> None:
    rings = Rings()
    with Watcher([], "no", rings):
        log = logging.getLogger("watchdog.observers.inotify_c")
        log.warning("Inotify queue overflowed; filesystem events were lost")
        rings.wait()


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
