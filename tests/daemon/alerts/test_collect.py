"""Many events make one message, which stays small; a pause is told once, and its end."""

import pytest

from stylewatch_daemon.alerts.collect import AGAIN, LONGEST, Collector
from stylewatch_daemon.settings.sections import AlertKind


class Clock:
    """A clock that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def news(clock: Clock) -> Collector:
    return Collector(frozenset({"done", "refused", "failed", "paused"}), clock)


def body(news: Collector) -> list[str]:
    message = news.take()
    assert message is not None
    return message.body.splitlines()


def test_five_hundred_jobs_are_one_short_message(news: Collector) -> None:
    for number in range(500):
        news.add("done", f"job-{number}")
    news.add("refused", "bad", "it holds text")
    message = news.take()
    assert message is not None
    assert message.title == "stylewatch: 500 done, 1 refused"
    assert message.body.splitlines() == [
        *(f"done: job-{number}" for number in range(10)),
        "done: and 490 more",
        "refused: bad: it holds text",
    ]
    assert news.is_empty
    assert news.take() is None


def test_what_is_not_wanted_is_not_told() -> None:
    news = Collector(frozenset({"failed"}), Clock())
    news.add("done", "sea")
    news.paused("sky", "the disk is full")
    news.blocked({"sky": "the disk is full"})
    assert news.is_empty
    assert news.take() is None


def test_a_pause_that_lasts_is_told_once_and_so_is_its_end(news: Collector) -> None:
    for _ in range(3):
        news.paused("sky", "the disk is full")
        news.blocked({"sky": "the disk is full"})
    assert body(news) == ["waiting: sky: the disk is full"]
    news.paused("sky", "the disk is full")
    news.blocked({"sky": "the disk is fuller"})
    assert news.is_empty
    news.blocked({})
    assert body(news) == ["going on again: sky"]
    assert news.is_empty


def test_a_pause_that_is_over_before_it_is_told_is_not_told(news: Collector) -> None:
    news.paused("sky", "the disk is full")
    news.blocked({"sky": "the disk is full"})
    news.blocked({})
    assert news.is_empty


def test_what_is_no_longer_wanted_is_not_told_any_more(news: Collector) -> None:
    news.paused("the ledger", "the disk is full")
    news.blocked({"sky": "the disk is full"})
    news.kinds = frozenset({"done"})
    assert news.is_empty
    assert news.take() is None


def test_what_nobody_tells_the_end_of_is_told_once_a_day(news: Collector, clock: Clock) -> None:
    news.paused("the ledger", "the disk is full")
    assert body(news) == ["waiting: the ledger: the disk is full"]
    news.paused("the ledger", "the disk is full")
    assert news.is_empty
    clock.now = AGAIN
    news.paused("the ledger", "the disk is full")
    assert body(news) == ["waiting: the ledger: the disk is full"]


def test_however_much_is_in_the_way_the_message_is_short(news: Collector) -> None:
    for number in range(5000):
        news.paused(f"a-{number}", "gone")
    news.blocked({f"b-{number}": "gone" for number in range(5000)})
    assert body(news)[-1] == "waiting: and 1990 more"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("@everyone", "done: \uff20everyone"),
        ("a\nfailed: b", "done: a; failed: b"),
        ("<!here> `x`", "done: \u2039!here\u203a 'x'"),
        ("\x1b[31m\u202e", "done: ?[31m?"),
    ],
)
def test_a_name_cannot_be_more_than_a_name(news: Collector, name: str, told: str) -> None:
    news.add("done", name)
    assert body(news) == [told]


@pytest.mark.parametrize("kind", ["refused", "failed"])
def test_a_long_reason_is_cut(news: Collector, kind: AlertKind) -> None:
    news.add(kind, "sea", "x" * 9999)
    (line,) = body(news)
    assert len(line) == LONGEST + len(f"{kind}: ")
    assert line.endswith("…")
