"""The daemon starts its parts in order, processes its inboxes, and stops in order."""

import errno
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partialmethod
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from tests.daemon.app.conftest import File
from tests.daemon.faults import fill, replaced, tree
from tests.daemon.world import FakeExecutor, make_inbox, make_settings

from stylewatch_daemon.app import daemon, settings_file
from stylewatch_daemon.app.daemon import Summary, once, watch
from stylewatch_daemon.app.loop import Loop
from stylewatch_daemon.app.monitoring import SystemdNotifier
from stylewatch_daemon.app.restart import Handover
from stylewatch_daemon.base import lanes
from stylewatch_daemon.base.errors import OutputError, SettingsError, UnavailableError
from stylewatch_daemon.base.events import Reporter
from stylewatch_daemon.base.lanes import Lanes
from stylewatch_daemon.base.model import End, Job, Pair
from stylewatch_daemon.base.wakeup import Wakeup, release_signals
from stylewatch_daemon.client.condition import IDLE
from stylewatch_daemon.files import lock
from stylewatch_daemon.files.disks import MountGuard
from stylewatch_daemon.files.system import system
from stylewatch_daemon.ledger import requests
from stylewatch_daemon.ledger.state_dir import StateDir
from stylewatch_daemon.settings.config import ServiceSettings
from stylewatch_daemon.settings.sections import InboxSettings

pytestmark = pytest.mark.usefixtures("any_file_is_a_picture")

PAIR = ("in/a/content.jpg", "in/a/style.jpg")


def settings(root: Path, *more: InboxSettings) -> ServiceSettings:
    inboxes = (make_inbox(root / "in", root / "out"), *more)
    return make_settings(inboxes, root / "state", quiet_s=0.0)


class OnDone(Reporter):
    """Does something after each job."""

    def __init__(self, act: Callable[[], object]) -> None:
        self._act = act

    def ended(self, job: Job, folder: Path, final: Path | None = None) -> None:
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


@pytest.mark.parametrize("name", ["lock", "worker.lock"])
def test_a_start_that_cannot_lock_the_state_folder_says_so(name: str, tmp_path: Path) -> None:
    def fails(path: Any, *args: Any, **more: Any) -> int:
        if Path(path).name == name:
            raise OSError(errno.EIO, "Input/output error", str(path))
        return real(path, *args, **more)

    real = system.open
    told = rf"the state folder .*/state cannot be written: .*/{name}: Input/output error"
    with replaced(system, open=fails), pytest.raises(OutputError, match=told):
        once(settings(tmp_path), executor=FakeExecutor())


def test_the_first_start_creates_the_outbox_with_its_status(tmp_path: Path) -> None:
    fill(tmp_path, PAIR[0])
    status = tmp_path / "out/_status.txt"
    once(settings(tmp_path), executor=FakeExecutor())
    assert "style.jpg" in status.read_text()
    status.parent.rename(tmp_path / "unmounted")
    once(settings(tmp_path), executor=FakeExecutor())
    assert not status.parent.exists()


# -- folders that are away (laws 9 and 16)


@contextmanager
def answering(folder: Path, answer: Callable[[], object]) -> Iterator[None]:
    """Call `answer` before each call of the system on a path in a folder."""

    def wrapped(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Any, *args: Any, **more: Any) -> Any:
            if not isinstance(path, int) and Path(path).is_relative_to(folder):
                answer()
            return real(path, *args, **more)

        return call

    names = ("access", "mkdir", "open", "scandir", "stat", "statvfs")
    with replaced(system, **{name: wrapped(getattr(system, name)) for name in names}):
        yield


@pytest.fixture
def hang(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], object]]:
    """Wait until the end of the test, as for a share whose server is gone; others wait less."""
    may_end = Event()
    monkeypatch.setattr(settings_file, "ANSWER_WITHIN", 0.1)
    monkeypatch.setattr(daemon, "PATIENCE", 20.0)  # 4 s, on a machine that is busy
    monkeypatch.setattr(lanes, "SILENT_S", 0.2)
    monkeypatch.setattr(Lanes, "close", partialmethod(Lanes.close, within=0.1))
    yield lambda: may_end.wait(60)
    may_end.set()


def fail() -> None:
    raise OSError(errno.EHOSTDOWN, "Host is down")


@pytest.mark.parametrize("away", ["in2", "out2"])
@pytest.mark.parametrize("how", ["hangs", "fails"])
def test_a_folder_that_is_away_stops_neither_the_start_nor_another_one_nor_the_end(
    how: str, away: str, tmp_path: Path, hang: Callable[[], object]
) -> None:
    fill(tmp_path, *PAIR, *(name.replace("in/", "in2/") for name in PAIR))
    both = settings(tmp_path, make_inbox(tmp_path / "in2", tmp_path / "out2"))
    with answering(tmp_path / away, hang if how == "hangs" else fail):
        summary = once(both, executor=FakeExecutor())
    assert (summary.ended, summary.exit_code) == ({End.DONE: 1}, 75)
    assert (tmp_path / "out/a/final.png").exists()
    (blocked,) = summary.blocked.items()
    assert blocked[0] == str(tmp_path / away) or how == "fails"
    assert ("has not answered" if how == "hangs" else "Host is down") in blocked[1]
    assert tree(tmp_path / "in2") == {f"a/{name}.jpg": f"in2/a/{name}.jpg"
                                      for name in ("content", "style")}  # fmt: skip
    assert once(both, executor=FakeExecutor()).exit_code == 0, "it is back"
    assert (tmp_path / "out2/a/final.png").exists() and tree(tmp_path / "in2") == {}


def test_a_signal_ends_a_daemon_with_a_folder_that_does_not_answer(
    tmp_path: Path, hang: Callable[[], object]
) -> None:
    fill(tmp_path, *PAIR)
    wakeup = Wakeup()
    both = settings(tmp_path, make_inbox(tmp_path / "in2", tmp_path / "out"))
    with answering(tmp_path / "in2", hang):
        assert not watch(both, OnDone(wakeup.stop), FakeExecutor(), wakeup)
    assert (tmp_path / "out/a/final.png").exists()


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
    inboxes=(sections.InboxSettings(path=root / "in", outbox=root / "out"),),
    state=sections.StateSettings(path=root / "state"),
    watch=sections.WatchSettings(quiet_s=0),
)
assert once(settings).exit_code == 0
heavy = {{"torch", "numpy", "PIL", "pyvips", "onnxruntime", "ray", "starlette", "uvicorn"}}
heavy |= {{"apprise"}}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


def ends(handover: Handover | None) -> bool:
    """Release what a daemon hands over; return whether it is to start anew."""
    release_signals()
    if handover is not None and handover.lock is not None:
        os.close(handover.lock)
    return handover is not None


def test_a_reload_stops_the_daemon_unless_the_new_settings_have_mistakes(tmp_path: Path) -> None:
    fill(tmp_path, *PAIR)
    wakeup = Wakeup()
    file = File([False, True], at_answer=lambda: wakeup.post(wakeup.reload))
    here, state = settings(tmp_path), tmp_path / "state"
    handover = watch(here, OnDone(wakeup.reload), FakeExecutor(), wakeup, file=file)
    assert handover is not None and handover.mounts
    with pytest.raises(lock.HeldError), lock.held(state / "lock"):
        """Nobody gets the state folder before the next daemon."""
    with lock.held(state / "lock", inherited=handover.lock):
        assert json.loads((state / "status.json").read_text())["health"]["at_work"]
    wakeup = Wakeup()
    wakeup.stop()
    assert not ends(watch(here, None, FakeExecutor(), wakeup, received=handover))
    assert ends(handover)
    with lock.held(state / "lock"):
        assert not json.loads((state / "status.json").read_text())["health"]["at_work"]


def test_no_inbox_is_made_below_a_mount_that_is_missing(tmp_path: Path) -> None:
    card = tmp_path / "usb"
    wakeup, guard = Wakeup(), MountGuard()
    guard.roots |= {card}
    wakeup.stop()
    there = make_inbox(card / "in", tmp_path / "out")
    watch(make_settings([there], tmp_path / "state"), None, FakeExecutor(), wakeup,
          mount_guard=guard)  # fmt: skip
    assert not card.exists()


def test_a_folder_that_stops_answering_during_a_restart_keeps_the_daemon_in_its_place(
    tmp_path: Path,
) -> None:
    fill(tmp_path, *PAIR)
    wakeup, rests = Wakeup(), iter([False, True])
    file = File([False, True, True], at_answer=lambda: wakeup.post(wakeup.reload))
    rest = Lanes.rest

    def resting(here: Lanes, is_wanted: Callable[[], bool]) -> bool:
        answers = rest(here, is_wanted)
        if not next(rests):
            here._resting.clear()
            return False
        return answers

    with replaced(Lanes, rest=resting):
        reporter = OnDone(wakeup.reload)
        handover = watch(settings(tmp_path), reporter, FakeExecutor(), wakeup, file=file)
    assert ends(handover) and "new settings wait until" in file.trouble
    assert (tmp_path / "out/a/receipt.json").exists()


def test_a_drain_that_was_asked_for_during_a_restart_counts(tmp_path: Path) -> None:
    fill(tmp_path, "state/.keep", *PAIR)
    requests.leave(tmp_path / "state", "drain")
    handover = Handover(pid=os.getpid())
    watch(settings(tmp_path), None, FakeExecutor(), Wakeup(), received=handover)
    assert not (tmp_path / "out/a").exists()


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
    assert (messages[0], at_work, reloads) == ("READY=1", ["at work"], None)
    assert {"WATCHDOG=1", "STATUS=painting a", f"STATUS={IDLE.sentence}"} <= set(messages)
    assert "STOPPING=1\nEXTEND_TIMEOUT_USEC=30000000" in messages
    assert (tmp_path / "state/alive").exists()
    assert "NOTIFY_SOCKET" not in environment


@pytest.mark.parametrize(("at", "keeps"), [(None, True), ("stop", False), ("rest", False)], ids=str)
def test_the_page_is_told_at_once_that_a_restart_has_become_a_stop(
    at: str | None, keeps: bool, tmp_path: Path
) -> None:
    """SIGTERM may come while workers write checkpoints, and while lanes come to rest."""
    (tmp_path / "state").mkdir()
    wakeup, told = Wakeup(), list[bool]()
    wakeup.reload()
    rest, stop = Lanes.rest, Loop.stop

    def resting(lanes: Lanes, is_wanted: Callable[[], bool]) -> bool:
        if at == "rest":
            wakeup.stop()
        return rest(lanes, is_wanted)

    def stopping(loop: Loop, meanwhile: Callable[[], object]) -> None:
        if at == "stop":
            wakeup.stop()
            meanwhile()
            assert told, "it stops while workers write their checkpoints"
        stop(loop, meanwhile)

    with replaced(Lanes, rest=resting), replaced(Loop, stop=stopping):
        handover = watch(
            settings(tmp_path), None, FakeExecutor(), wakeup, file=File([True]),
            at_end=lambda *, keeps: told.append(keeps),
        )  # fmt: skip
    assert ends(handover) is keeps
    assert told == [keeps]
