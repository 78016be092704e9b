"""Events become short messages; a URL that was not reached is tried again, then given up."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from pydantic import SecretStr
from tests.daemon.clock import Clock

from stylewatch_daemon.alerts import notifier
from stylewatch_daemon.alerts.notifier import LONGEST, REPEAT_S, TRIES, Collector, Notifier
from stylewatch_daemon.alerts.sender import Ending, Message
from stylewatch_daemon.processes.wakeup import Backoff
from stylewatch_daemon.settings.sections import AlertKind, Alerts

ONE, TWO = SecretStr("json://ann:hushhush@one"), SecretStr("json://ann:hushhush@two")
KINDS: tuple[AlertKind, ...] = ("done", "refused", "failed", "paused")
OUT = Path("out")
FULL = "the disk is full"


@pytest.fixture
def events() -> Collector:
    return Collector(KINDS, Clock())


def body(events: Collector) -> list[str]:
    message = events.take()
    return [] if message is None else message.body.splitlines()


def test_an_obstacle_is_reported_once_and_so_is_its_end(events: Collector) -> None:
    for _ in range(3):
        events.paused("sky", FULL)
        events.blocked({"sky": FULL})
    assert body(events) == [f"waiting: sky: {FULL}"]
    events.paused("sky", FULL)
    events.blocked({"sky": "the disk is fuller"})
    assert events.is_empty
    events.blocked({})
    assert body(events) == ["going on again: sky"]
    events.blocked({"sky": FULL})
    events.blocked({})
    assert events.is_empty and events.take() is None, "it was over before it was reported"


def test_an_obstacle_without_an_end_is_reported_once_a_day() -> None:
    clock = Clock()
    events = Collector(KINDS, clock)
    for seconds, lines in ((0, 1), (REPEAT_S - 1, 0), (1, 1)):
        clock.now += seconds
        events.paused("the ledger", FULL)
        assert body(events) == [f"waiting: the ledger: {FULL}"] * lines


def test_a_message_has_only_the_wanted_kinds_and_is_short(events: Collector) -> None:
    for number in range(5000):
        events.paused(f"a-{number}", "gone")
    assert body(events)[-1] == "waiting: and 990 more"
    events.kinds = KINDS[2:3]
    events.add("done", "sea")
    events.paused("the ledger", FULL)
    assert events.is_empty and events.take() is None


def test_a_name_is_one_short_line_without_markup(events: Collector) -> None:
    for name in ("@everyone", "a\nfailed: b", "<!here> `x`", "\x1b[31m\u202e", "x" * 9999):
        events.add("done", name)
    assert body(events) == [
        "done: \uff20everyone",
        "done: a; failed: b",
        "done: \u2039!here\u203a 'x'",
        "done: ?[31m?",
        f"done: {'x' * (LONGEST - 1)}…",
    ]


class Apprise:
    """A fake that gives `answers` in turn, then sends everything."""

    def __init__(self, *answers: list[Ending]) -> None:
        self.answers = list(answers)
        self.sent: list[tuple[list[str], str]] = []
        self.called = threading.Semaphore(0)

    def __call__(
        self,
        urls: Sequence[SecretStr],
        message: Message | None,
        seconds_left: Callable[[], float],
    ) -> list[Ending]:
        assert message is not None
        self.sent.append(([url.get_secret_value()[-3:] for url in urls], message.body))
        all_sent: list[Ending] = ["sent"] * len(urls)
        self.called.release()
        return self.answers.pop(0) if self.answers else all_sent


def to(*urls: SecretStr, every_s: float = 0.0) -> Alerts:
    return Alerts.model_construct(urls=urls, events=KINDS, every_s=every_s)


def test_events_within_the_interval_are_one_message() -> None:
    apprise = Apprise()
    alerts = Notifier(to(ONE, TWO, every_s=1000), apprise)
    for number in range(500):
        alerts.done(f"job-{number}", OUT)
    alerts.refused("bad", "it holds text", OUT)
    alerts.failed("worse", "a fault", "Traceback", for_good=False)
    alerts.failed("worst", "a fault", "Traceback", for_good=True)
    alerts.paused("sky", FULL)
    alerts.blocked({"sky": FULL})
    alerts.leave(60)
    ((urls, text),) = apprise.sent
    assert urls == ["one", "two"]
    assert text.splitlines() == [
        *(f"done: job-{number}" for number in range(10)),
        "done: and 490 more",
        "refused: bad: it holds text",
        "failed: worst: a fault",
        f"waiting: sky: {FULL}",
    ]


def test_without_a_thread_to_spare_events_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    apprise = Apprise()
    alerts = Notifier(to(ONE, every_s=1000), apprise)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", fail)
        alerts.blocked({"sky": FULL})
        alerts.done("sea", OUT)
    alerts.done("sun", OUT)
    alerts.leave(60)
    assert [text.splitlines() for _, text in apprise.sent] == [
        ["done: sea", "done: sun", f"waiting: sky: {FULL}"]
    ]


@pytest.mark.parametrize(
    ("urls", "answers", "sent"),
    [
        ((ONE, TWO), [["sent", "failed"], ["silent"]], [["one", "two"], ["two"], ["two"]]),
        ((ONE,), [["failed"]] * TRIES, [["one"]] * TRIES),
        ((ONE,), [["unknown"]], [["one"]]),
    ],
)
def test_a_url_that_was_not_reached_is_tried_again_with_one_warning(
    urls: tuple[SecretStr, ...],
    answers: list[list[Ending]],
    sent: list[list[str]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    apprise = Apprise(*answers)
    alerts = Notifier(to(*urls), apprise, Backoff(first=0.0, most=0.0))
    alerts.done("sea", OUT)
    for _ in sent:
        apprise.called.acquire()
    alerts.done("sky", OUT)
    apprise.called.acquire()
    alerts.leave(60)
    everyone = [url.get_secret_value()[-3:] for url in urls]
    assert apprise.sent == [*((missed, "done: sea") for missed in sent), (everyone, "done: sky")]
    (line,) = caplog.messages
    number = len(urls)
    assert line.startswith(f"an alert, tried up to 5 times: to URL {number} of {number}: ")
    assert "hush" not in line


def test_a_message_that_hangs_when_the_daemon_stops_leaves_time_for_the_last_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(notifier, "LAST_WITHIN", 0.2)
    hangs, sent = threading.Event(), []

    def send(
        urls: Sequence[SecretStr], message: Message | None, seconds_left: Callable[[], float]
    ) -> list[Ending]:
        assert message is not None
        if not hangs.is_set():
            hangs.set()
            while seconds_left() > 0:
                time.sleep(0.01)
            return ["silent"]
        sent.append(message.body)
        return ["sent"]

    alerts = Notifier(to(ONE), send)
    alerts.done("sea", OUT)
    hangs.wait()
    alerts.done("sky", OUT)
    alerts.leave(10)
    assert sent == ["done: sky"]
