"""The main loop scans, runs jobs, waits, and notifies systemd only while everything works."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.daemon.faults import fill
from tests.daemon.world import (
    EventExecutor,
    FakeInspector,
    changed_settings,
    make_inbox,
    make_settings,
)

from stylewatch_daemon.events import Reporter
from stylewatch_daemon.ingest.watcher import Watcher
from stylewatch_daemon.processes.wakeup import Wakeup
from stylewatch_daemon.service.main_loop import MainLoop
from stylewatch_daemon.service.monitoring import SystemdNotifier
from stylewatch_daemon.service.pipeline import Pipeline
from stylewatch_daemon.settings.config import ServiceSettings
from stylewatch_daemon.store.state_dir import State

PAIR = ("a/content.jpg", "a/style.jpg")


class StoppingWatcher(Watcher):
    """Stops the daemon at the fifth check of the watcher."""

    wakeup: Wakeup
    left = 5
    well = True

    def check(self) -> bool:
        self.left -= 1
        if self.left == 0:
            self.wakeup.stop()
        return False

    @property
    def threads_alive(self) -> bool:
        return self.well


class World:
    """A daemon's parts, and the socket that receives its notifications."""

    def __init__(self, root: Path) -> None:
        self.root, self.wakeup, self.executor = root, Wakeup(), EventExecutor()
        inboxes = (make_inbox(root / "in", root / "out"),)
        self.settings = make_settings(inboxes, root / "state", quiet_s=0)
        self.well, self.pings = True, True
        self.receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.receiver.bind(str(root / "notify"))
        self.receiver.setblocking(False)

    def run(self, settings: ServiceSettings | None = None) -> ServiceSettings | None:
        state = State(self.root / "state")
        state.make()
        inspector = FakeInspector()
        self.executor.wake = inspector.wake = self.wakeup.wake
        self.pipeline = Pipeline(
            self.settings, state, self.executor, Reporter(), self.wakeup, inspector
        )
        watcher = StoppingWatcher([], "yes", self.wakeup.request_scan)
        watcher.wakeup, watcher.well = self.wakeup, self.well
        environment = {"NOTIFY_SOCKET": str(self.root / "notify")}
        pings = {"WATCHDOG_USEC": "20000"} if self.pings else {}
        systemd = SystemdNotifier({**environment, **pings})
        parts = (self.pipeline, watcher, settings or self.settings, self.wakeup, systemd)
        return MainLoop(*parts, lambda: self.settings).run()

    @property
    def messages(self) -> list[str]:
        messages = []
        while True:
            try:
                messages.append(self.receiver.recv(4096).decode())
            except BlockingIOError:
                return messages


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.receiver.close()


@pytest.mark.parametrize(("folder", "sound"), [("state", True), ("gone", True), ("state", False)])
def test_an_idle_daemon_pings_while_file_events_come_in(
    folder: str, sound: bool, world: World
) -> None:
    world.well = sound
    assert world.run(changed_settings(world.settings, state=world.root / folder)) is None
    first, *more = world.messages
    assert first == "STATUS=nothing to paint; 0 waiting"
    assert set(more) == ({"WATCHDOG=1"} if sound else set())
    assert (world.root / "state/alive").exists() == (folder == "state")


def test_when_stopping_it_asks_for_time_and_claims_nothing_more(world: World) -> None:
    def on_event() -> None:
        world.wakeup.stop()
        fill(world.root / "in", "b/content.jpg", "b/style.jpg")

    fill(world.root / "in", *PAIR)
    world.executor.on_event, world.pings = on_event, False
    world.run()
    messages = world.messages
    assert "STOPPING=1\nEXTEND_TIMEOUT_USEC=30000000" in messages
    assert [text for text in messages if "painting a" in text]
    assert (world.root / "in/b/content.jpg").exists()


def test_new_settings_do_not_wait_for_running_jobs(world: World) -> None:
    fill(world.root / "in", *PAIR)
    world.executor.on_event, world.pings = world.wakeup.reload, False
    assert world.run() is world.settings
    assert world.pipeline.busy
    world.pipeline.apply_settings(changed_settings(world.settings, attempts=1))
    while world.pipeline.busy:
        world.pipeline.handle_worker_events()
        world.pipeline.finish_jobs()
    assert (world.root / "out/a/receipt.json").exists()
