"""Places are manned where there is work, by as many as there are, and let go after a while."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from tests.daemon.executors.ray.actors import Here, Told
from tests.daemon.worker.listening import order

from stylewatch_daemon.executors.ray.scheduler import Manner, Yard
from stylewatch_daemon.model import Progress
from stylewatch_daemon.settings.resources import Demand, Machine
from stylewatch_daemon.worker.contract import Done, Failed, Lost, Stopped, Wanted

ONE = Machine("1", {"GPU": 1.0}, {})
A_GPU = Demand()
TWO = Machine("2", {"GPU": 1.0}, {})


class Hired(list[Here]):
    """The actors that were hired, and on which machines, if that was said."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self._root, self.machines = root, list[str]()

    def __call__(self, machine: str) -> Here:
        self.append(Here(self._root))
        self.machines.append(machine)
        return self[-1]


def run(
    root: Path,
    what: Callable[[Yard, Hired, Told], Coroutine[Any, Any, None]],
    demand: Demand = A_GPU,
    idle_s: float = 60.0,
) -> None:
    hired, told = Hired(root), Told()

    async def go() -> None:
        yard = Yard(demand, Manner("", idle_s), hired, told)
        try:
            await what(yard, hired, told)
        finally:
            yard.close()

    asyncio.run(go())
    left = [one for one in hired if not one.ended]
    for one in left:
        one.end()
    assert not left, "somebody was hired while the yard closed"


def test_nobody_is_hired_before_the_machines_are_known(tmp_path: Path) -> None:
    async def what(yard: Yard, hired: Hired, told: Told) -> None:
        yard.submit({"a": order("paint")})
        assert not hired
        yard.look([ONE])
        await told.until("a", Done)
        assert yard.places == len(hired) == 1

    run(tmp_path, what)


def test_no_more_are_hired_than_there_are_places_or_batches(tmp_path: Path) -> None:
    async def what(yard: Yard, hired: Hired, told: Told) -> None:
        yard.look([ONE, TWO])
        yard.submit({"a": order("until stopped")})
        await told.until("a", Progress)
        assert len(hired) == 1
        for ticket in "bc":
            yard.submit({ticket: order("until stopped")})
        await told.until("b", Progress)
        assert len(hired) == 2
        assert not told.of("c")
        for ticket in "abc":
            yard.ask(ticket, Wanted.STOP)
        for ticket in "abc":
            await told.until(ticket, Stopped)
        assert len(hired) == 2

    run(tmp_path, what)


def test_what_is_impossible_is_said_at_once(tmp_path: Path) -> None:
    async def what(yard: Yard, hired: Hired, told: Told) -> None:
        yard.look([ONE])
        yard.submit({"a": order("paint")})
        (end,) = told.of("a")
        assert isinstance(end, Failed)
        assert "no machine of the Ray cluster has GPU 2" in end.reason
        assert not hired

    run(tmp_path, what, Demand(gpus=2))


def test_one_that_waits_can_be_ended_and_is_wanted_otherwise(tmp_path: Path) -> None:
    async def what(yard: Yard, hired: Hired, told: Told) -> None:
        yard.submit({"a": order("paint"), "b": order("paint"), "c": order("until stopped")})
        yard.ask("a", Wanted.CANCEL)
        yard.drop("b")
        yard.ask("c", Wanted.FINISH)
        assert told.events == [("a", Stopped(0)), ("b", Lost("it was given up"))]
        yard.look([ONE])
        assert await told.until("c", Done) == Done({"state": "finished"})

    run(tmp_path, what)


def test_a_lost_actor_has_a_successor_where_there_is_work(tmp_path: Path) -> None:
    async def what(yard: Yard, hired: Hired, told: Told) -> None:
        yard.look([ONE])
        yard.submit({"a": order("until stopped")})
        yard.submit({"b": order("paint")})
        await told.until("a", Progress)
        hired[0].lost = True
        await told.until("a", Lost)
        await told.until("b", Done)
        assert len(hired) == 2
        assert hired[0].ended

    run(tmp_path, what)


def test_one_without_work_is_let_go(tmp_path: Path) -> None:
    async def what(yard: Yard, hired: Hired, told: Told) -> None:
        yard.look([ONE])
        for count, ticket in enumerate("ab", start=1):
            yard.submit({ticket: order("paint")})
            await told.until(ticket, Done)
            while not hired[-1].ended:
                await asyncio.sleep(0.01)
            assert len(hired) == count

    run(tmp_path, what, idle_s=0.05)


def test_where_nothing_is_taken_each_machine_has_one(tmp_path: Path) -> None:
    async def what(yard: Yard, hired: Hired, told: Told) -> None:
        yard.look([ONE, TWO])
        for ticket in "abc":
            yard.submit({ticket: order("until stopped")})
        assert hired.machines == ["1", "2"]

    run(tmp_path, what, Demand(gpus=0))


def test_one_that_cannot_come_says_so_to_one_batch(tmp_path: Path) -> None:
    async def what(yard: Yard, hired: Hired, told: Told) -> None:
        yard.submit({"a": order("paint")})
        yard.look([ONE])
        hired[0].lost = True
        end = await told.until("a", Failed)
        assert end == Failed("the machine of the cluster is lost", 69)

    run(tmp_path, what)
