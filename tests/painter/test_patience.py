"""Work on disks that may hang."""

import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Event
from time import sleep

import pytest

from stylewatch_painter.patience import Patience, SilentError


def test_calls_one_after_another_and_at_once_are_all_answered() -> None:
    patience = Patience("reader", 30)
    assert [patience.call(partial(int, number)) for number in range(500)] == [*range(500)]
    with ThreadPoolExecutor(8) as threads:
        works = [threads.submit(patience.call, partial(sleep, 0.001)) for _ in range(100)]
    assert [work.result() for work in works] == [None] * 100


def test_errors_of_the_work_are_raised_also_those_of_a_disk_that_times_out() -> None:
    def fails() -> None:
        raise TimeoutError("the server does not answer")

    with pytest.raises(TimeoutError, match="the server"):
        Patience("reader", 30).call(fails)


def test_work_that_ends_its_thread_holds_up_no_later_call() -> None:
    patience = Patience("reader", 30)
    with pytest.raises(SystemExit):
        patience.call(partial(sys.exit, 3))
    assert patience.call(int) == 0


def test_while_one_call_hangs_nothing_else_begins_and_later_it_does() -> None:
    patience, over, began = Patience("reader", 0.05), Event(), list[int]()

    def hang(number: int) -> int:
        began.append(number)
        over.wait()
        return number

    for number in range(3):
        with pytest.raises(SilentError):
            patience.call(partial(hang, number))
    assert began == [0]
    over.set()
    answer = patience._latest
    assert answer is not None and answer.result() == 0
    assert Patience("reader", 30).call(partial(hang, 1)) == patience.call(partial(hang, 1)) == 1
