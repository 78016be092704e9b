"""Many events make one short message; an obstacle is reported once, and its end once."""

import pytest

from stylewatch_daemon.alerts.collect import AGAIN, LONGEST, Collector


class Clock:
    """A clock that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def events(clock: Clock) -> Collector:
    return Collector(frozenset({"done", "refused", "failed", "paused"}), clock)


def body(events: Collector) -> list[str]:
    message = events.take()
    return [] if message is None else message.body.splitlines()


def test_five_hundred_jobs_are_one_short_message(events: Collector) -> None:
    for number in range(500):
        events.add("done", f"job-{number}")
    events.add("refused", "bad", "it holds text")
    message = events.take()
    assert message is not None
    assert message.title == "stylewatch: 500 done, 1 refused"
    assert message.body.splitlines() == [
        *(f"done: job-{number}" for number in range(10)),
        "done: and 490 more",
        "refused: bad: it holds text",
    ]
    assert events.is_empty and events.take() is None


def test_an_obstacle_is_reported_once_and_so_is_its_end(events: Collector) -> None:
    for _ in range(3):
        events.paused("sky", "the disk is full")
        events.blocked({"sky": "the disk is full"})
    assert body(events) == ["waiting: sky: the disk is full"]
    events.paused("sky", "the disk is full")
    events.blocked({"sky": "the disk is fuller"})
    assert events.is_empty
    events.blocked({})
    assert body(events) == ["going on again: sky"]
    events.blocked({"sky": "the disk is full"})
    events.blocked({})
    assert events.is_empty, "it was over before it was reported"


def test_an_obstacle_without_an_end_is_reported_once_a_day(events: Collector, clock: Clock) -> None:
    for now, lines in ((0, 1), (AGAIN - 1, 0), (AGAIN, 1)):
        clock.now = now
        events.paused("the ledger", "the disk is full")
        assert body(events) == ["waiting: the ledger: the disk is full"] * lines


def test_only_the_wanted_kinds_are_reported(events: Collector) -> None:
    events.paused("the ledger", "the disk is full")
    events.blocked({"sky": "the disk is full"})
    events.kinds = frozenset({"failed"})
    events.add("done", "sea")
    events.paused("the state folder", "the disk is full")
    assert events.is_empty and events.take() is None


def test_a_message_of_many_obstacles_is_short(events: Collector) -> None:
    for number in range(5000):
        events.paused(f"a-{number}", "gone")
    events.blocked({f"b-{number}": "gone" for number in range(5000)})
    assert body(events)[-1] == "waiting: and 1990 more"


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("@everyone", "done: \uff20everyone"),
        ("a\nfailed: b", "done: a; failed: b"),
        ("<!here> `x`", "done: \u2039!here\u203a 'x'"),
        ("\x1b[31m\u202e", "done: ?[31m?"),
        ("x" * 9999, f"done: {'x' * (LONGEST - 1)}…"),
    ],
)
def test_a_name_is_one_short_line_without_markup(events: Collector, name: str, line: str) -> None:
    events.add("done", name)
    assert body(events) == [line]
