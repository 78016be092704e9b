"""Actors: started for batches that wait, given work, and given up; without a cluster."""

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.daemon.executors.ray.actors import FakeActor, Recorder
from tests.daemon.worker import orders
from tests.daemon.worker.listening import order
from tests.daemon.worker.works import WORK

from stylewatch_daemon.executors.ray import actor, actor_client
from stylewatch_daemon.executors.ray.actor import Hello, Program, WorkerActor
from stylewatch_daemon.executors.ray.actor_pool import ActorPool
from stylewatch_daemon.executors.ray.messages import PIECE, Manner
from stylewatch_daemon.model import Progress
from stylewatch_daemon.settings.resources import Demand, Machine
from stylewatch_daemon.worker.messages import (
    AttemptEvent,
    Done,
    Failed,
    Lost,
    Order,
    Refused,
    Stopped,
    Wanted,
)

ONE, TWO = (Machine(name, {"GPU": 1.0}, {}) for name in "12")
A_GPU = Demand()

Scenario = Callable[[ActorPool, list[FakeActor], Recorder], Coroutine[Any, Any, None]]


def run(scenario: Scenario, demand: Demand = A_GPU, idle_s: float = 60.0) -> list[str]:
    """Run a scenario with an actor pool; the machines on which actors were requested."""
    actors: list[FakeActor] = []
    machines: list[str] = []
    recorder = Recorder()

    def start_actor(machine: str) -> FakeActor:
        machines.append(machine)
        actors.append(FakeActor())
        return actors[-1]

    async def go() -> None:
        pool = ActorPool(demand, Manner("", idle_s), start_actor, recorder)
        try:
            await scenario(pool, actors, recorder)
        finally:
            pool.close()

    asyncio.run(go())
    assert all(fake.ended for fake in actors), "an actor was started while the pool closed"
    return machines


def test_actors_start_once_the_machines_are_known_and_as_many_as_are_needed() -> None:
    async def scenario(pool: ActorPool, actors: list[FakeActor], recorder: Recorder) -> None:
        pool.submit({"a": order("until stopped")})
        assert not actors
        pool.look([ONE, TWO])
        await recorder.until("a", Progress)
        assert (pool.places, len(actors)) == (2, 1)
        for ticket in "bc":
            pool.submit({ticket: order("until stopped")})
        await recorder.until("b", Progress)
        assert len(actors) == 2
        assert not recorder.of("c")
        for ticket in "abc":
            pool.ask(ticket, Wanted.STOP)
        for ticket in "abc":
            await recorder.until(ticket, Stopped)
        assert len(actors) == 2

    run(scenario)


def test_an_impossible_demand_fails_at_once() -> None:
    async def scenario(pool: ActorPool, actors: list[FakeActor], recorder: Recorder) -> None:
        pool.look([ONE])
        pool.submit({"a": order("paint")})
        (end,) = recorder.of("a")
        assert isinstance(end, Failed)
        assert "no machine of the Ray cluster has GPU 2" in end.reason
        assert not actors

    run(scenario, Demand(gpus=2))


def test_requests_to_waiting_attempts_hold() -> None:
    async def scenario(pool: ActorPool, actors: list[FakeActor], recorder: Recorder) -> None:
        pool.submit({name: order("until stopped") for name in "abc"})
        pool.ask("a", Wanted.CANCEL)
        pool.drop("b")
        pool.ask("c", Wanted.FINISH)
        assert recorder.events == [("a", Stopped(0)), ("b", Lost("it was given up"))]
        pool.look([ONE])
        assert await recorder.until("c", Done) == Done({"state": "finished"})

    run(scenario)


@pytest.mark.parametrize("how", ["lost", "nonsense"])
def test_a_lost_actor_loses_its_attempts_and_is_replaced(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(pool: ActorPool, actors: list[FakeActor], recorder: Recorder) -> None:
        pool.look([ONE])
        pool.submit({"a": order("until stopped")})
        pool.submit({"b": order("paint")})
        await recorder.until("a", Progress)
        with monkeypatch.context() as patch:
            if how == "lost":
                actors[0].lost = True
            else:
                patch.setattr(actor_client, "heard", lambda raw: ("another", Lost("")))
            await recorder.until("a", Lost)
        await recorder.until("b", Done)
        assert len(actors) == 2
        assert actors[0].ended

    run(scenario)


def test_an_actor_that_cannot_start_fails_one_batch() -> None:
    async def scenario(pool: ActorPool, actors: list[FakeActor], recorder: Recorder) -> None:
        pool.submit({"a": order("paint")})
        pool.look([ONE])
        actors[0].lost = True
        end = await recorder.until("a", Failed)
        assert end == Failed("the machine of the cluster is lost", 69)

    run(scenario)


def test_a_batch_that_cannot_be_sent_fails_and_is_retried_by_the_daemon() -> None:
    async def scenario(pool: ActorPool, actors: list[FakeActor], recorder: Recorder) -> None:
        pool.look([ONE])
        pool.submit({"a": order("paint")})
        await recorder.until("a", Done)
        actors[0].lost = True
        pool.submit({"b": order("paint")})
        end = await recorder.until("b", Failed)
        assert isinstance(end, Failed)
        assert end.exit_code == 69

    run(scenario)


def test_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    other = Hello(Program("9.9", "3.11"), "easel")

    async def hello(self: WorkerActor) -> Hello:
        return other

    async def scenario(pool: ActorPool, actors: list[FakeActor], recorder: Recorder) -> None:
        monkeypatch.setattr(WorkerActor, "hello", hello)
        pool.look([ONE])
        pool.submit({"a": order("paint")})
        end = await recorder.until("a", Failed)
        assert isinstance(end, Failed)
        assert "easel of the cluster has stylewatch 9.9" in end.reason
        assert "install the same on all" in end.reason

    run(scenario)


def test_an_idle_actor_is_ended_and_another_started_for_the_next_batch() -> None:
    async def scenario(pool: ActorPool, actors: list[FakeActor], recorder: Recorder) -> None:
        pool.look([ONE])
        for count, ticket in enumerate("ab", start=1):
            pool.submit({ticket: order("paint")})
            await recorder.until(ticket, Done)
            while not actors[-1].ended:
                await asyncio.sleep(0.01)
            assert len(actors) == count

    run(scenario, idle_s=0.05)


def test_without_resources_each_machine_has_one_actor() -> None:
    async def scenario(pool: ActorPool, actors: list[FakeActor], recorder: Recorder) -> None:
        pool.look([ONE, TWO])
        for ticket in "abc":
            pool.submit({ticket: order("until stopped")})

    assert run(scenario, Demand(gpus=0)) == ["1", "2"]


def test_attempts_of_a_batch_have_their_own_events_requests_and_ends(tmp_path: Path) -> None:
    gone = replace(order("paint"), content=tmp_path / ".inputs/0/gone.jpg", staging=tmp_path)

    async def scenario(pool: ActorPool, actors: list[FakeActor], recorder: Recorder) -> None:
        pool.look([ONE])
        batch = {"a": "until stopped", "b": "bad picture", "c": "until stopped", "d": "paint"}
        pool.submit({"e": gone, **{ticket: order(what) for ticket, what in batch.items()}})
        await recorder.until("c", Progress)
        pool.drop("c")
        assert await recorder.until("c", Stopped) == Stopped(1)
        pool.ask("a", Wanted.FINISH)
        assert await recorder.until("a", Done) == Done({"state": "finished"})
        assert isinstance(await recorder.until("b", Refused), Refused)
        (end,) = recorder.of("e")
        assert isinstance(end, Failed)
        assert end.exit_code == 73
        assert f"{gone.content} is not there on" in end.reason

    run(scenario)


def test_inputs_are_shared_and_a_missing_outbox_is_a_failure(
    tmp_path: Path, pictures: Path
) -> None:
    given = replace(orders.order(tmp_path, pictures), name="paint")

    async def scenario(pool: ActorPool, actors: list[FakeActor], recorder: Recorder) -> None:
        pool.look([ONE])
        unmounted = replace(given, staging=tmp_path / "nowhere")
        pool.submit({"a": given, "b": unmounted})
        await recorder.until("a", Done)
        (end,) = recorder.of("b")
        assert isinstance(end, Failed)
        assert end.exit_code == 73
        assert len(orders.files(given)) == 2, "content and style"

    run(scenario)


def test_large_orders_are_sent_in_pieces_and_too_large_ones_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def long(words: int) -> Order:
        return replace(order("paint"), backend_options={"note": "word " * words})

    async def scenario(pool: ActorPool, actors: list[FakeActor], recorder: Recorder) -> None:
        pool.look([ONE])
        pool.submit({"a": long(100_000), "b": order("paint")})
        for ticket in "ab":
            await recorder.until(ticket, Done)
        assert actors[0].calls["begin"] == 500_000 // PIECE + 1
        assert actors[0].largest <= PIECE
        monkeypatch.setattr(actor_client, "MAX_ORDER", 5_000_000)
        pool.submit({"c": long(1_100_000), "d": order("paint")})
        await recorder.until("d", Done)
        (end,) = recorder.of("c")
        assert isinstance(end, Refused)
        assert "6 MB, and 5 MB can be sent to a machine of the cluster" in end.reason

    run(scenario)


def test_an_actor_answers_in_small_pieces_and_when_it_has_no_news(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(actor, "PIECE", 10)
    monkeypatch.setattr(actor, "HEARTBEAT", 0.01)
    fake = FakeActor()

    async def go() -> None:
        await fake.call("hello")
        assert await fake.call("heard") == b""
        fake.actor._add(AttemptEvent("1", Done({"note": "word " * 9})))
        assert [len(await fake.call("heard")) for _ in range(3)] == [10, 10, 10]

    asyncio.run(go())
    fake.end()


def test_the_processes_of_an_actor_do_not_import_the_script_of_ray(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    main = ModuleType("__main__")
    main.__file__ = "default_worker.py"
    monkeypatch.setitem(sys.modules, "__main__", main)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    WorkerActor(WORK, all_cores=True).close()
    assert not hasattr(main, "__file__")
    assert "OMP_NUM_THREADS" not in os.environ
