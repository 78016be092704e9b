"""Tickets are out until their ends were heard, and nobody works before there is work."""

from collections.abc import Mapping

from tests.daemon.worker.listening import order

from stylewatch_daemon.executors.base import Desk
from stylewatch_daemon.worker.contract import Event, Heard, Order, Stopped, Wanted


class Told(list[object]):
    """Hands that only remember what they were told."""

    def start(self) -> None:
        self.append("start")

    def submit(self, orders: Mapping[str, Order]) -> None:
        self.append(("submit", *orders))

    def ask(self, ticket: str, wanted: Wanted) -> None:
        self.append((ticket, wanted))

    def drop(self, ticket: str) -> None:
        self.append(("drop", ticket))

    def close(self) -> None:
        self.append("close")


class TwoPlaces(Desk):
    """An executor of such hands."""

    def __init__(self) -> None:
        super().__init__()
        self.hands = Told()

    def _hire(self) -> Told:
        return self.hands

    def _places(self) -> int:
        return 2

    def tell(self, ticket: str, event: Event) -> None:
        self._tell(Heard(ticket, event))


def test_nobody_works_before_there_is_work_nor_after_the_end() -> None:
    desk = TwoPlaces()
    desk.ask("1", Wanted.STOP)
    desk.drop("1")
    desk.close()
    assert desk.hands == []
    desk.submit({"1": order("paint")})
    desk.ask("1", Wanted.STOP)
    desk.drop("1")
    desk.close()
    desk.close()
    wanted = ["start", ("submit", "1"), ("1", "stop"), ("drop", "1"), "close"]
    assert desk.hands == wanted


def test_a_place_is_free_again_once_all_that_came_together_has_ended() -> None:
    desk = TwoPlaces()
    desk.submit({"1": order("paint"), "2": order("paint")})
    assert desk.free() == 1
    for ticket, free in (("1", 1), ("2", 2)):
        desk.tell(ticket, Stopped(3))
        assert desk.free() == free - (ticket == "2"), "it was not heard yet"
        assert list(desk.heard()) == [Heard(ticket, Stopped(3))]
        assert desk.free() == free


def test_who_listens_is_woken() -> None:
    desk, woken = TwoPlaces(), list[str]()
    desk.wake = lambda: woken.append("yes")
    desk.tell("1", Stopped(3))
    assert woken == ["yes"]
