"""Going round, the daemon looks, paints, rests, and says that it is well where it is."""

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
from stylewatch_daemon.service.main_loop import Rounds
from stylewatch_daemon.service.pipeline import Line
from stylewatch_daemon.service.systemd import Manager
from stylewatch_daemon.store.state import State
from stylewatch_daemon.worker.contract import Event, Order, Wanted

PAIR = ("a/content.jpg", "a/style.jpg")


class Stops(Watcher):
    """Stops the daemon, when it is asked often enough whether it still watches."""

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


class Place:
    """A daemon's parts, with somebody who hears what it tells."""

    def __init__(self, root: Path, hears: socket.socket, painter: Painter) -> None:
        inboxes = (make_inbox(root / "in", root / "out"),)
        self.settings = make_settings(inboxes, root / "state", quiet_s=0)
        state = State(root / "state")
        state.make()
        self.bell = Bell()
        intake = Nodding()
        painter.wake = intake.wake = self.bell.wake
        line = Line(self.settings, state, painter, Reporter(), self.bell, intake)
        self.watcher = Stops([], "yes", self.bell.ring)
        self.watcher.bell = self.bell
        within = {"NOTIFY_SOCKET": hears.getsockname(), "WATCHDOG_USEC": "20000"}
        self.rounds = Rounds(
            line, self.watcher, self.settings, self.bell, Manager(within), lambda: None
        )
        self._hears = hears

    @property
    def told(self) -> list[str]:
        """All messages so far."""
        told = []
        while True:
            try:
                told.append(self._hears.recv(4096).decode())
            except BlockingIOError:
                return told


@pytest.fixture
def hears(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as hears:
        hears.bind(str(tmp_path / "notify"))
        hears.setblocking(False)
        yield hears


def test_resting_it_says_that_it_is_well_after_a_sign_in_the_state_folder(
    tmp_path: Path, hears: socket.socket
) -> None:
    place = Place(tmp_path, hears, Painter())
    assert place.rounds.go() is None
    first, *more = place.told
    assert first == "STATUS=nothing to paint; 0 waiting"
    assert more and set(more) == {"WATCHDOG=1"}
    assert (tmp_path / "state/alive").exists()


def test_it_is_not_well_where_no_events_come_in(tmp_path: Path, hears: socket.socket) -> None:
    place = Place(tmp_path, hears, Painter())
    place.watcher.well = False
    place.rounds.go()
    assert "WATCHDOG=1" not in place.told


def test_a_state_folder_that_answers_with_an_error_is_no_hang(
    tmp_path: Path, hears: socket.socket
) -> None:
    place = Place(tmp_path, hears, Painter())
    place.rounds.settings = changed_settings(place.settings, state=tmp_path / "gone")
    place.rounds.go()
    assert "WATCHDOG=1" in place.told


def test_new_settings_end_the_rounds_and_wrong_ones_do_not(
    tmp_path: Path, hears: socket.socket
) -> None:
    place = Place(tmp_path, hears, Painter())
    place.bell.reload()
    assert place.rounds.go() is None  # it went on until it was stopped

    place = Place(tmp_path, hears, Painter())
    new = changed_settings(place.settings, quiet_s=9)
    place.rounds.reread = lambda: new
    place.bell.reload()
    assert place.rounds.go() is new
    assert not place.bell.reloading


class Stopped(Painter):
    """Painting, the daemon is told to stop, and somebody drops another pair."""

    bell: Bell
    another: Callable[[], object]

    def paint(self, order: Order, wanted: Callable[[], Wanted]) -> Iterator[Event]:
        for event in super().paint(order, wanted):
            self.bell.stop()
            self.another()
            yield event


def test_told_to_stop_it_asks_for_time_and_takes_nothing_more(
    tmp_path: Path, hears: socket.socket
) -> None:
    fill(tmp_path / "in", *PAIR)
    painter = Stopped()
    place = Place(tmp_path, hears, painter)
    painter.bell = place.bell
    painter.another = lambda: fill(tmp_path / "in", "b/content.jpg", "b/style.jpg")
    place.rounds.manager.ping_every = None
    place.rounds.go()
    told = place.told
    assert "STOPPING=1\nEXTEND_TIMEOUT_USEC=30000000" in told
    assert [one for one in told if "painting a" in one]
    assert (tmp_path / "in/b/content.jpg").exists()


def test_new_settings_do_not_wait_for_what_is_being_painted(
    tmp_path: Path, hears: socket.socket
) -> None:
    fill(tmp_path / "in", *PAIR)

    class Reloads(Painter):
        def paint(self, order: Order, wanted: Callable[[], Wanted]) -> Iterator[Event]:
            place.bell.reload()
            yield from super().paint(order, wanted)

    place = Place(tmp_path, hears, Reloads())
    place.rounds.manager.ping_every = None
    place.rounds.reread = lambda: place.settings
    assert place.rounds.go() is place.settings
    line = place.rounds.line
    assert line.busy
    line.renew(changed_settings(place.settings, attempts=1))
    while line.busy:
        line.hear()
        line.finish()
    assert (tmp_path / "out/a/receipt.json").exists()
