"""The daemon starts its parts in order, processes its inboxes, and stops in order."""

import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.faults import fill
from tests.daemon.world import FakeExecutor, make_inbox, make_settings

from stylewatch_daemon.app import daemon
from stylewatch_daemon.app.daemon import Summary, once, watch
from stylewatch_daemon.app.monitoring import SystemdNotifier
from stylewatch_daemon.base.errors import SettingsError, UnavailableError
from stylewatch_daemon.base.events import Reporter
from stylewatch_daemon.base.model import End, Job, Pair
from stylewatch_daemon.base.wakeup import Wakeup
from stylewatch_daemon.files import lock
from stylewatch_daemon.ledger.state_dir import StateDir
from stylewatch_daemon.settings.config import ServiceSettings

pytestmark = pytest.mark.usefixtures("any_file_is_a_picture")

PAIR = ("in/a/content.jpg", "in/a/style.jpg")


def settings(root: Path) -> ServiceSettings:
    inboxes = (make_inbox(root / "in", root / "out"),)
    return make_settings(inboxes, root / "state", quiet_s=0.0)


class OnDone(Reporter):
    """Does something after each job."""

    def __init__(self, act: Callable[[], object]) -> None:
        self._act = act

    def ended(self, job: Job, folder: Path) -> None:
        self._act()


DONE, CHANGING = {End.DONE: 1, End.CANCELED: 1}, Pair("a", None, changing=True)


@pytest.mark.parametrize(
    ("summary", "code"),
    [
        ({"ended": DONE, "incomplete": (replace(CHANGING, changing=False),)}, 0),
        ({"ended": {**DONE, End.REFUSED: 1}}, 65),
        ({"ended": {End.REFUSED: 1, End.FAILED: 1}}, 70),
        ({"ended": {End.FAILED: 1}, "waiting": ("a",)}, 75),
        ({"blocked": {"/in": "it is gone"}}, 75),
        ({"incomplete": (CHANGING,)}, 75),
    ],
)
def test_the_exit_code_is_that_of_the_worst_kind(summary: Any, code: int) -> None:
    assert Summary(**summary).exit_code == code


def test_nothing_starts_beside_another_daemon_or_the_worker_of_a_killed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon, "ORPHAN_WITHIN", 0.01)
    state, left = StateDir(tmp_path / "state"), tmp_path / "out/.staging/trash/1"
    state.make()
    fill(left, "final.png")  # by a daemon that was killed
    with lock.held(state.lock), pytest.raises(SettingsError, match="another stylewatch is at work"):
        once(settings(tmp_path), executor=FakeExecutor())
    with lock.held(state.worker_lock), pytest.raises(UnavailableError):
        once(settings(tmp_path), executor=FakeExecutor())
    assert left.exists()
    assert once(settings(tmp_path), executor=FakeExecutor()).exit_code == 0
    assert not left.exists()


def test_the_first_start_creates_the_outbox_with_its_status(tmp_path: Path) -> None:
    fill(tmp_path, PAIR[0])
    status = tmp_path / "out/_status.txt"
    once(settings(tmp_path), executor=FakeExecutor())
    assert "style.jpg" in status.read_text()
    status.parent.rename(tmp_path / "unmounted")
    once(settings(tmp_path), executor=FakeExecutor())
    assert not status.parent.exists()


def test_the_daemon_loads_no_large_library(tmp_path: Path) -> None:
    program = f"""
import sys
from pathlib import Path
import stylewatch_daemon.cli.run, stylewatch_daemon.app.alert_sender
from stylewatch_daemon.app.daemon import once
from stylewatch_daemon.settings import sections
from stylewatch_daemon.settings.config import ServiceSettings
root = Path({str(tmp_path)!r})
settings = ServiceSettings(
    inboxes=(sections.Inbox(path=root / "in", outbox=root / "out"),),
    state=sections.State(path=root / "state"),
    watch=sections.Watch(quiet_s=0),
)
assert once(settings).exit_code == 0
heavy = {{"torch", "numpy", "PIL", "pyvips", "onnxruntime", "ray", "starlette", "uvicorn"}}
heavy |= {{"apprise", "matplotlib"}}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


def test_a_reload_stops_the_daemon_unless_the_new_settings_have_mistakes(tmp_path: Path) -> None:
    fill(tmp_path, *PAIR)
    wakeup, answers = Wakeup(), [False, True]

    def may_reload() -> bool:
        wakeup.post(wakeup.reload)
        return answers.pop(0)

    reporter = OnDone(wakeup.reload)
    assert watch(settings(tmp_path), reporter, FakeExecutor(), wakeup, may_reload=may_reload)
    assert answers == []


def test_a_signal_to_stop_is_not_lost_during_a_reload(tmp_path: Path) -> None:
    class Leaving(FakeExecutor):
        """Gets the signal while it ends."""

        def close(self) -> None:
            wakeup.stop()

    fill(tmp_path, *PAIR)
    wakeup = Wakeup()
    assert not watch(
        settings(tmp_path), OnDone(wakeup.reload), Leaving(), wakeup, may_reload=lambda: True
    )


def test_systemd_hears_what_the_daemon_does(tmp_path: Path) -> None:
    fill(tmp_path, *PAIR)
    wakeup, at_work, messages = Wakeup(), list[str](), list[str]()
    environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "20000000"}
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(environment["NOTIFY_SOCKET"])
        receiver.setblocking(False)
        reloads = watch(
            settings(tmp_path), OnDone(wakeup.stop), FakeExecutor(), wakeup,
            SystemdNotifier(environment), at_work=lambda: at_work.append("at work"),
        )  # fmt: skip
        with suppress(BlockingIOError):
            while True:
                messages.append(receiver.recv(4096).decode())
    assert (messages[0], at_work, reloads) == ("READY=1", ["at work"], False)
    assert {"WATCHDOG=1", "STATUS=painting a", "STATUS=nothing to paint"} <= set(messages)
    assert "STOPPING=1\nEXTEND_TIMEOUT_USEC=30000000" in messages
    assert (tmp_path / "state/alive").exists()
    assert "NOTIFY_SOCKET" not in environment
