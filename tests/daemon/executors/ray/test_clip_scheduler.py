"""Clips whose scenes are painted in two places at once are single attempts for the daemon."""

import asyncio
from typing import Any, get_args

import pytest
from tests.daemon.executors.ray.fakes import FIRST, SECOND, FakeActor, World, run
from tests.daemon.worker.works import FRAMES

from stylewatch_daemon.base.errors import UnavailableError
from stylewatch_daemon.base.model import Progress, Started
from stylewatch_daemon.executors.ray.actor_pool import ActorPool
from stylewatch_daemon.executors.ray.messages import ActorOptions
from stylewatch_daemon.settings.sections import Demand
from stylewatch_daemon.worker.messages import (
    AttemptRequest,
    Done,
    End,
    Event,
    Failed,
    Lost,
    Refused,
    Staged,
    Stopped,
)

FINISHED = Done({"state": "stopped early"})


async def ends(world: World, ticket: str = "a") -> list[Event]:
    """The ends of an attempt, once all other work has been done, too."""
    await world.until(ticket, *get_args(End))
    world.submit(last="paint")
    await world.until("last", Done)
    return [event for event in world.of(ticket) if isinstance(event, End)]


async def until_two_parts_run(world: World) -> None:
    """Submit an endless clip, and wait until each of its two parts has painted a frame."""
    world.pool.look([FIRST, SECOND])
    world.submit(a="endless clip")
    await world.until("a", Progress, step=3)


async def until_parts_wait(world: World, what: str) -> None:
    """Submit a clip, and have other work take both places before its parts are submitted."""
    world.pool.look([FIRST, SECOND])
    world.submit(b="until stopped")
    await world.until("b", Progress)
    world.submit(a=what)
    world.submit(c="until stopped")
    await world.until("c", Progress)


def test_scenes_are_painted_in_two_places_and_joined() -> None:
    async def scenario(world: World) -> None:
        world.pool.look([FIRST, SECOND])
        world.submit(a="clip")
        assert await ends(world) == [Done({"state": "done"})]
        events = world.of("a")
        assert {event.path for event in events if isinstance(event, Staged)} == {
            "nowhere/.clip/part-0.npz (6,)",
            "nowhere/.clip/part-1.npz (1, 3)",
        }, "parts of similar length"
        started = [event.device for event in events if isinstance(event, Started)]
        assert started == ["cpu"], "parts do not start the attempt again"
        progress = [event for event in events if isinstance(event, Progress)]
        assert [event.step for event in progress] == list(range(2, FRAMES + 1))
        assert {event.steps for event in progress} == {FRAMES}
        seconds = [event.seconds for event in progress]
        assert seconds == sorted(seconds)
        assert seconds[-1] == 5, "those of the longest part"
        assert {event.ticket for event in world.events} == {"a", "last"}
        assert len(world.actors) == 2

    run(scenario)


def test_a_single_place_paints_the_whole_clip() -> None:
    async def scenario(world: World) -> None:
        world.submit(a="clip")  # before the number of places is known
        world.pool.look([FIRST])
        await world.until("a", Done)
        world.submit(b="clip")
        assert [type(event) for event in world.of("a")] == [Started, Done]
        assert await ends(world, "b") == world.of("b") == [Done({"state": "done"})]

    run(scenario)


@pytest.mark.parametrize(
    ("wanted", "end"),
    [
        (AttemptRequest.STOP, Stopped(3)),
        (AttemptRequest.CANCEL, Stopped(3)),
        (AttemptRequest.FINISH, FINISHED),
    ],
)
def test_a_clip_that_is_to_end_does_so_once_its_parts_have(
    wanted: AttemptRequest, end: End
) -> None:
    async def scenario(world: World) -> None:
        await until_two_parts_run(world)
        world.pool.ask("a", wanted)
        assert await ends(world) == [end]

    run(scenario)


stop_or_finish = pytest.mark.parametrize(
    ("wanted", "end"), [(AttemptRequest.STOP, Stopped(1)), (AttemptRequest.FINISH, FINISHED)]
)


@stop_or_finish
def test_a_clip_is_not_divided_once_it_is_to_end(wanted: AttemptRequest, end: End) -> None:
    async def scenario(world: World) -> None:
        world.pool.look([FIRST, SECOND])
        world.submit(a="late clip")
        await world.until("a", Started)
        world.pool.ask("a", wanted)
        assert await ends(world) == [end]
        assert not [event for event in world.of("a") if isinstance(event, Staged)]

    run(scenario)


@stop_or_finish
def test_requests_reach_a_clip_whose_parts_wait(wanted: AttemptRequest, end: End) -> None:
    async def scenario(world: World) -> None:
        await until_parts_wait(world, "endless clip")
        world.pool.ask("a", wanted)
        world.pool.ask("b", AttemptRequest.STOP)
        assert await ends(world) == [end]

    run(scenario)


@pytest.mark.parametrize(
    ("fault", "kind"), [("die", Lost), ("bug", Failed), ("bad picture", Refused)]
)
def test_a_clip_ends_as_the_part_that_fails(fault: str, kind: type) -> None:
    async def scenario(world: World) -> None:
        world.pool.look([FIRST, SECOND])
        world.submit(a=f"clip: {fault}")
        (end,) = await ends(world)
        assert isinstance(end, kind)

    run(scenario)


async def paint_clip(world: World, *kinds: type[FakeActor]) -> None:
    """Paint a clip by actors of these kinds, in this order; all others are of the last."""

    def start(machine: str) -> FakeActor:
        world.actors.append(kinds[min(len(world.actors), len(kinds) - 1)]())
        return world.actors[-1]

    world.pool = ActorPool(Demand(), ActorOptions(""), start, world.events.append)
    world.pool.look([FIRST, SECOND])
    world.submit(a="clip")
    assert await ends(world) == [Done({"state": "done"})]


class UnavailableActor(FakeActor):
    """An actor on a machine that cannot be used."""

    async def call(self, name: str, *args: Any, within: float | None = None) -> Any:
        raise UnavailableError("the machine has another version")


def test_what_a_machine_that_cannot_be_used_was_to_paint_is_left_to_the_others() -> None:
    async def scenario(world: World) -> None:
        await paint_clip(world, FakeActor, UnavailableActor)

    run(scenario)


def test_an_actor_that_was_lost_does_not_get_the_joined_clip() -> None:
    async def scenario(world: World) -> None:
        part_ended = asyncio.Event()

        class BusyActor(FakeActor):
            """An actor for which other work waits at the end of its part."""

            async def call(self, name: str, *args: Any, within: float | None = None) -> Any:
                answer = await super().call(name, *args)
                if name == "events" and b"Stopped" in answer and not part_ended.is_set():
                    world.submit(b="until stopped")
                    part_ended.set()
                return answer

        class LostActor(FakeActor):
            """An actor that is lost before it takes its part, once the other part has ended."""

            async def call(self, name: str, *args: Any, within: float | None = None) -> Any:
                if name == "begin":
                    await part_ended.wait()
                    raise UnavailableError("the machine is gone")
                return await super().call(name, *args)

        await paint_clip(world, BusyActor, LostActor, FakeActor)

    run(scenario)


def test_a_part_that_waits_does_not_run_once_another_failed() -> None:
    async def scenario(world: World) -> None:
        await until_parts_wait(world, "clip: die")
        world.pool.ask("b", AttemptRequest.STOP)
        (end,) = await ends(world)
        assert isinstance(end, Lost)

    run(scenario)


def test_a_clip_that_is_given_up_takes_its_parts_along() -> None:
    async def scenario(world: World) -> None:
        await until_two_parts_run(world)
        world.pool.drop("a")
        assert await ends(world) == [Lost("it was given up")]

    run(scenario)
