"""The mover works in threads, and the main loop gets the results."""

from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from threading import Event, get_ident

import pytest

from stylewatch_daemon.base.errors import OutputError
from stylewatch_daemon.base.mover import LONG, Mover, Step
from stylewatch_daemon.base.wakeup import Wakeup


class World:
    """A mover, the loop that it posts to, and the results that came."""

    def __init__(self) -> None:
        self.wakeup = Wakeup()
        self.mover = Mover(self.wakeup.post)
        self.results: list[tuple[object, int]] = []

    def do(self, work: Callable[[Step], object], size: int = 0) -> None:
        self.mover.do(work, lambda result: self.results.append((result, get_ident())), size)

    def result(self) -> object:
        """Return the next result, which came in this thread."""
        while not self.results:
            assert self.wakeup.wait(60)
        result, thread = self.results.pop(0)
        assert thread == get_ident()
        return result


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    with closing(made.mover):
        yield made


def test_work_is_done_in_another_thread_in_the_order_it_came_and_an_error_is_a_result(
    world: World,
) -> None:
    error, order, threads = KeyError("x"), list[int](), set[int]()

    def work(number: int, step: Step) -> int:
        order.append(number)
        threads.add(get_ident())
        if number == 1:
            raise error
        return number

    for number in range(3):
        world.do(partial(work, number))
    assert [world.result() for _ in range(3)] == [0, error, 2]
    assert order == [0, 1, 2] and len(threads) == 1 and get_ident() not in threads


def test_small_files_do_not_wait_for_a_long_one(world: World) -> None:
    may_end = Event()
    world.do(lambda step: may_end.wait(60), LONG + 1)
    world.do(lambda step: "small", LONG)
    assert world.result() == "small"
    may_end.set()
    assert world.result() is True


def test_closing_ends_running_work_at_its_next_step_and_begins_no_other(world: World) -> None:
    running, ended = Event(), list[str]()

    def work(step: Step) -> None:
        running.set()
        try:
            while True:
                step()
        except OutputError as error:
            ended.append(str(error))

    world.do(work)
    world.do(lambda step: ended.append("begun after the end"))
    assert running.wait(60)
    world.mover.close()
    assert ended == ["copying was stopped; the next start continues it"]
    assert not world.wakeup.wait(0) and world.results == [], "the daemon is gone"
