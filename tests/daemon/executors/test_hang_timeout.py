"""A worker may be silent as long as its own steps let one expect, and no longer."""

import pytest

from stylewatch_daemon.executors.hang_timeout import Patience
from stylewatch_daemon.model import Progress, Started
from stylewatch_daemon.worker.contract import Event, Saving, Staged, Wanted

STARTED = Started("torch", "cpu", ((4, 4), (8, 8)), steps_at=(3, 5))


def step(number: int, seconds: float) -> Progress:
    size = (4, 4) if number <= 3 else (8, 8)
    return Progress(number, 8, size, loss=1.0, seconds=seconds)


def after(*events: Event, step_timeout_s: float | None = None) -> Patience:
    patience = Patience(step_timeout_s)
    for event in events:
        patience.heard(event)
    return patience


def test_a_step_gets_a_minute() -> None:
    assert after(STARTED, step(1, 0.5), step(2, 1.0)).limit == 60


def test_slow_steps_get_ten_times_the_median() -> None:
    steps = (step(1, 50), step(2, 60), step(3, 70), step(4, 100), step(5, 120), step(6, 140))
    assert after(STARTED, *steps[:2]).limit == 100
    assert after(STARTED, *steps, step(7, 1000)).limit == 200


@pytest.mark.parametrize(
    "events",
    [
        (),
        (STARTED,),
        (STARTED, step(1, 0.1), step(2, 0.2), step(3, 0.3)),  # another size follows
        (STARTED, step(7, 0.1), step(8, 0.2), Staged("final.png", "12ab")),  # the end
        (STARTED, step(1, 0.1), step(2, 0.2), Saving()),
    ],
)
def test_loading_a_new_size_the_end_and_a_checkpoint_get_ten_times_as_long(
    events: tuple[Event, ...],
) -> None:
    assert after(*events).limit == 600
    assert after(*events, step_timeout_s=3).limit == 30


def test_a_limit_of_ones_own_holds_for_every_step() -> None:
    assert after(STARTED, step(1, 50), step(2, 100), step_timeout_s=7).limit == 7


def test_told_to_stop_nothing_but_a_checkpoint_is_waited_for_longer_than_a_step() -> None:
    loading, saving = after(STARTED), after(STARTED, Saving())
    loading.asked = saving.asked = Wanted.STOP
    assert loading.limit == 60
    assert saving.limit == 600


def test_told_to_finish_the_final_files_are_waited_for_longer_than_a_step() -> None:
    finishing = after(STARTED, step(1, 0.5), step(2, 1.0))
    finishing.asked = Wanted.FINISH
    assert finishing.limit == 600


def test_silence_adds_up_until_something_is_heard() -> None:
    patience = after(STARTED, step(1, 0.5), step_timeout_s=1)
    assert not patience.waited(0.6)
    assert patience.waited(0.6)
    patience.heard(step(2, 1.0))
    assert not patience.waited(0.6)


def test_begun_anew_a_painting_loads_again_and_its_steps_are_others() -> None:
    before = (STARTED, step(1, 50), step(2, 100))
    assert after(*before, STARTED).limit == 600
    assert after(*before, STARTED, step(1, 0.5), step(2, 1.0)).limit == 60
