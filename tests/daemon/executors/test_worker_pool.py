"""The thread that workers live in: it tells all that happens, whatever goes wrong in it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue

import pytest
from tests.daemon.worker.listening import PATIENCE, order
from tests.daemon.worker.works import WORK

from stylewatch_daemon.executors.worker_pool import Crew
from stylewatch_daemon.executors.worker_process import Slot
from stylewatch_daemon.model import Progress, Started
from stylewatch_daemon.worker.contract import Done, Event, Heard, Lost

Told = SimpleQueue[Heard]


class Broken(Slot):
    """A slot with a fault of ours in it, once."""

    fault: Exception | None = None

    def hear(self) -> list[Heard]:
        fault, self.fault = self.fault, None
        if fault is not None:
            raise fault
        return super().hear()


@pytest.fixture
def slots(tmp_path: Path) -> list[Broken]:
    return [Broken(None, tmp_path / "lock", WORK, most_memory=1 << 40) for _ in range(2)]


@pytest.fixture
def told() -> Told:
    return SimpleQueue()


@pytest.fixture
def crew(slots: list[Broken], told: Told) -> Iterator[Crew]:
    crew = Crew(slots, 60.0, told.put)
    crew.start()
    yield crew
    crew.close()


def until(told: Told, wanted: Callable[[Event], bool]) -> tuple[str, Event]:
    """The next event that is `wanted`."""
    while True:
        heard = told.get(timeout=PATIENCE)
        if wanted(heard.event):
            return heard.ticket, heard.event


def test_a_fault_of_ours_loses_what_goes_on_and_no_more(
    crew: Crew, slots: list[Broken], told: Told
) -> None:
    slots[0].fault = ZeroDivisionError("by zero")
    crew.submit({"1": order("until stopped")})
    ticket, lost = until(told, lambda event: isinstance(event, Lost))
    assert ticket == "1"
    assert isinstance(lost, Lost)
    assert "ZeroDivisionError" in lost.reason
    crew.submit({"2": order("paint")})
    ticket, _ = until(told, lambda event: isinstance(event, Done))
    assert ticket == "2"


def test_leaving_it_ends_what_was_begun_and_what_was_not(slots: list[Broken], told: Told) -> None:
    crew = Crew(slots[:1], 60.0, told.put)
    crew.start()
    crew.submit({"1": order("until stopped")})
    crew.submit({"2": order("paint")})
    until(told, lambda event: isinstance(event, Progress | Started))
    crew.close()
    ends = [told.get(), told.get()]
    assert {end.ticket for end in ends} == {"1", "2"}
    assert all(isinstance(end.event, Lost) for end in ends)
