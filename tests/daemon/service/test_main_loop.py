"""The main loop scans, runs jobs, waits, and notifies systemd only while everything works."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.daemon.faults import fill
from tests.daemon.lookers import Nodding
from tests.daemon.painters import Painter
from tests.daemon.settings_made import changed_settings, make_inbox, make_settings

from stylewatch_daemon.events import Reporter
from stylewatch_daemon.ingest.watcher import Watcher
from stylewatch_daemon.processes.wakeup import Bell
from stylewatch_daemon.service.main_loop import MainLoop
from stylewatch_daemon.service.service import build_pipeline
from stylewatch_daemon.service.systemd import Manager
from stylewatch_daemon.settings.config import ServiceSettings
from stylewatch_daemon.store.state import State
from stylewatch_daemon.worker.messages import Event, Order, Wanted

PAIR = ("a/content.jpg", "a/style.jpg")


class StoppingWatcher(Watcher):
    """Stops the daemon at the fifth check of the watcher."""

    bell: Bell
    left = 5
    well = True

    def check(self) -> bool:
        self.left -= 1
        if self.left == 0:
            self.bell.stop()
        return False

    @property
    def sound(self) -> bool:
        return self.well


class EventPainter(Painter):
    """Calls `on_event` before each event of a job."""

    on_event: Callable[[], object] = staticmethod(lambda: None)

    def paint(self, order: Order, wanted: Callable[[], Wanted]) -> Iterator[Event]:
        for event in super().paint(order, wanted):
            self.on_event()
            yield event


class World:
    """A daemon's parts, and the socket that receives its notifications."""

    def __init__(self, root: Path) -> None:
        self.root, self.bell, self.painter = root, Bell(), EventPainter()
        inboxes = (make_inbox(root / "in", root / "out"),)
        self.settings = make_settings(inboxes, root / "state", quiet_s=0)
        self.reread: ServiceSettings | None = None
        self.well, self.pings = True, True
        self.receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.receiver.bind(str(root / "notify"))
        self.receiver.setblocking(False)

    def run(self, settings: ServiceSettings | None = None) -> ServiceSettings | None:
        state = State(self.root / "state")
        state.make()
        inspector = Nodding()
        self.painter.wake = inspector.wake = self.bell.wake
        self.pipeline = build_pipeline(
            self.settings, state, self.painter, Reporter(), self.bell, inspector
        )
        watcher = StoppingWatcher([], "yes", self.bell.ring)
        watcher.bell, watcher.well = self.bell, self.well
        environment = {"NOTIFY_SOCKET": str(self.root / "notify")}
        manager = Manager({**environment, **({"WATCHDOG_USEC": "20000"} if self.pings else {})})
        return MainLoop(
            self.pipeline,
            watcher,
            settings or self.settings,
            self.bell,
            manager,
            lambda: self.reread,
        ).run()

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


def test_an_idle_daemon_pings_after_touching_the_state_folder(world: World) -> None:
    assert world.run() is None
    first, *more = world.messages
    assert first == "STATUS=nothing to paint; 0 waiting"
    assert more and set(more) == {"WATCHDOG=1"}
    assert (world.root / "state/alive").exists()


def test_it_does_not_ping_while_no_file_events_come_in(world: World) -> None:
    world.well = False
    world.run()
    assert "WATCHDOG=1" not in world.messages


def test_a_state_folder_that_answers_with_an_error_is_no_hang(world: World) -> None:
    world.run(changed_settings(world.settings, state=world.root / "gone"))
    assert "WATCHDOG=1" in world.messages


def test_new_settings_end_the_loop_and_wrong_ones_do_not(world: World) -> None:
    world.bell.reload()
    assert world.run() is None  # it ran until it was stopped
    world.bell = Bell()
    world.bell.reload()
    world.reread = changed_settings(world.settings, quiet_s=9)
    assert world.run() is world.reread
    assert not world.bell.reloading


def test_when_stopping_it_asks_for_time_and_claims_nothing_more(world: World) -> None:
    def on_event() -> None:
        world.bell.stop()
        fill(world.root / "in", "b/content.jpg", "b/style.jpg")

    fill(world.root / "in", *PAIR)
    world.painter.on_event, world.pings = on_event, False
    world.run()
    messages = world.messages
    assert "STOPPING=1\nEXTEND_TIMEOUT_USEC=30000000" in messages
    assert [text for text in messages if "painting a" in text]
    assert (world.root / "in/b/content.jpg").exists()


def test_drain_finishes_running_jobs_and_stops(world: World) -> None:
    def on_event() -> None:
        world.pipeline.control.drain()

    fill(world.root / "in", *PAIR, "b/content.jpg", "b/style.jpg")
    world.painter.on_event, world.pings = on_event, False
    assert world.run() is None
    assert (world.root / "out/a/receipt.json").exists()
    assert world.pipeline.not_begun == ("b",)


def test_new_settings_do_not_wait_for_running_jobs(world: World) -> None:
    fill(world.root / "in", *PAIR)
    world.painter.on_event, world.pings = world.bell.reload, False
    world.reread = world.settings
    assert world.run() is world.settings
    assert world.pipeline.busy
    world.pipeline.apply_settings(changed_settings(world.settings, attempts=1))
    while world.pipeline.busy:
        world.pipeline.handle_worker_events()
        world.pipeline.finish_jobs()
    assert (world.root / "out/a/receipt.json").exists()
