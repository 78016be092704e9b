"""Limits of a worker's silence."""

import pytest

from stylewatch_daemon.executors.hang_timeout import Patience
from stylewatch_daemon.model import Progress, Started
from stylewatch_daemon.worker.messages import Event, Saving, Staged, Wanted

STARTED = Started("torch", "cpu", ((4, 4), (8, 8)), steps_at=(3, 5))


def step(number: int, seconds: float) -> Progress:
    size = (4, 4) if number <= 3 else (8, 8)
    return Progress(number, 8, size, loss=1.0, seconds=seconds)


FAST = (STARTED, step(1, 0.5), step(2, 1.0))
SLOW = (STARTED, step(1, 50), step(2, 100))
SECOND_SIZE = (step(3, 70), step(4, 100), step(5, 120), step(6, 140), step(7, 1000))
NEXT_SIZE = (*FAST, step(3, 1.5))
AT_END = (STARTED, step(7, 0.1), step(8, 0.2), Staged("final.png", "12ab"))


@pytest.mark.parametrize(
    ("events", "timeout", "wanted", "limit"),
    [
        (FAST, None, Wanted.GO_ON, 60),
        ((STARTED, step(1, 50), step(2, 60)), None, Wanted.GO_ON, 100),
        ((*SLOW, *SECOND_SIZE), None, Wanted.GO_ON, 200),
        (SLOW, 7, Wanted.GO_ON, 7),
        # loading, another size, the final files and a checkpoint take ten times as long
        ((), None, Wanted.GO_ON, 600),
        ((STARTED,), None, Wanted.GO_ON, 600),
        ((STARTED,), 3, Wanted.GO_ON, 30),
        (NEXT_SIZE, None, Wanted.GO_ON, 600),
        (AT_END, None, Wanted.GO_ON, 600),
        ((*FAST, Saving()), 3, Wanted.GO_ON, 30),
        # an attempt that began again loads again, and its earlier steps do not count
        ((*SLOW, STARTED), None, Wanted.GO_ON, 600),
        ((*SLOW, *FAST), None, Wanted.GO_ON, 60),
        # a request to stop leaves nothing to wait for but a checkpoint
        ((STARTED,), None, Wanted.STOP, 60),
        ((STARTED, Saving()), None, Wanted.STOP, 600),
        (FAST, None, Wanted.FINISH, 600),
    ],
)
def test_limit(
    events: tuple[Event, ...], timeout: float | None, wanted: Wanted, limit: float
) -> None:
    patience = Patience(timeout)
    for event in events:
        patience.heard(event)
    patience.asked = wanted
    assert patience.limit == limit


def test_silence_adds_up_until_the_next_event() -> None:
    patience = Patience(1)
    for event in FAST:
        patience.heard(event)
    assert not patience.waited(0.6)
    assert patience.waited(0.6)
    patience.heard(step(3, 1.5))
    assert not patience.waited(0.6)
