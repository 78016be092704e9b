"""What has to wait waits longer each time, until it is forgotten."""

import pytest

from stylewatch_daemon.processes.backoff import Backoff, Pauses


@pytest.mark.parametrize(
    ("times", "chance", "seconds"),
    [(1, 1.0, 2.0), (2, 1.0, 4.0), (3, 0.5, 4.0), (1, 0.0, 0.0), (9, 1.0, 60.0), (5000, 1.0, 60.0)],
)
def test_the_wait_doubles_up_to_its_most_and_chance_shortens_it(
    times: int, chance: float, seconds: float
) -> None:
    assert Backoff(first=2.0, most=60.0).seconds(times, chance) == seconds


def test_a_part_of_it_is_waited_in_any_case() -> None:
    backoff = Backoff(first=8.0, most=60.0, least=0.5)
    assert [backoff.seconds(1, chance) for chance in (0.0, 0.5, 1.0)] == [4.0, 6.0, 8.0]


class Clock:
    """Stands until it is moved."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_what_waits_is_held_for_its_time_and_longer_the_next_time() -> None:
    clock = Clock()
    pauses = Pauses(Backoff(first=2.0, most=60.0), clock, lambda: 1.0)
    pauses.begin("a")
    assert pauses.held() == {"a"}
    assert pauses.soonest() == 2.0
    clock.now = 2.0
    assert pauses.held() == frozenset()
    assert pauses.all() == {"a"}
    assert pauses.soonest() is None
    pauses.begin("a")
    pauses.begin("b")
    assert pauses.soonest() == 2.0
    clock.now = 5.0
    assert pauses.held() == {"a"}


def test_what_is_forgotten_begins_anew() -> None:
    clock = Clock()
    pauses = Pauses(Backoff(first=2.0, most=60.0), clock, lambda: 1.0)
    for _ in range(3):
        pauses.begin("a")
    pauses.forget("a")
    assert pauses.all() == frozenset()
    pauses.begin("a")
    assert pauses.soonest() == 2.0


def test_what_is_told_again_while_it_waits_waits_no_longer() -> None:
    """Several may meet the same trouble at the same moment."""
    pauses = Pauses(Backoff(first=1.0, most=9.0, least=1.0), lambda: 0.0, lambda: 1.0)
    for _ in range(8):
        pauses.begin("the gpu")
    assert pauses.soonest() == 1.0
