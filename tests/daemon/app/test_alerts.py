"""Events become short messages; a URL that was not reached is tried again, then given up."""

import logging
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from pydantic import SecretStr

from stylewatch_daemon.app.alert_sender import Ending, Message
from stylewatch_daemon.app.alerts import LONGEST, TRIES, Collector, Notifier
from stylewatch_daemon.base.model import Cause
from stylewatch_daemon.base.wakeup import Backoff
from stylewatch_daemon.settings.sections import AlertKind, Alerts

ONE, TWO = SecretStr("json://ann:hushhush@one"), SecretStr("json://ann:hushhush@two")
KINDS: tuple[AlertKind, ...] = ("done", "refused", "failed", "blocked")
OUT = Path("out")
FULL = {"sky": "the disk is full"}


def body(events: Collector) -> list[str]:
    message = events.take()
    return [] if message is None else message.body.splitlines()


def test_what_waits_is_reported_once_and_once_more_when_it_goes_on() -> None:
    events = Collector(KINDS)
    for blocked, lines in (
        (FULL, ["waiting: sky: the disk is full"]), ({"sky": "the disk is fuller"}, []),
        ({}, ["going on again: sky"]),
    ):  # fmt: skip
        events.blocked = blocked
        assert (events.is_empty, body(events)) == (not lines, lines)
    events.blocked = FULL
    events.blocked = {}
    assert events.is_empty, "it was over before it was reported"
    events.kinds, events.blocked = KINDS[:1], FULL
    assert events.is_empty and events.take() is None, "nobody asked for it"


def test_a_message_is_short() -> None:
    events = Collector(KINDS)
    events.blocked = {f"a-{number}": "gone" for number in range(5000)}
    for number in range(500):
        events.add("done", f"job-{number}")
    message = events.take()
    assert message is not None and message.title == "stylewatch: 500 done, 5000 waiting"
    assert message.body.splitlines() == [
        *(f"done: job-{number}" for number in range(10)),
        "done: and 490 more",
        *(f"waiting: a-{number}: gone" for number in range(10)),
        "waiting: and 4990 more",
    ]


def test_a_name_is_one_short_line_without_markup() -> None:
    events = Collector(KINDS)
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
        self.sent: list[tuple[list[str], list[str]]] = []
        self.called = threading.Semaphore(0)

    def __call__(
        self, urls: Sequence[SecretStr], message: Message | None, seconds: float
    ) -> list[Ending]:
        assert message is not None
        names = [url.get_secret_value()[-3:] for url in urls]
        self.sent.append((names, message.body.splitlines()))
        self.called.release()
        return self.answers.pop(0) if self.answers else ["sent"] * len(urls)


def to(*urls: SecretStr, events: tuple[AlertKind, ...] = KINDS, every_s: float = 0.0) -> Alerts:
    return Alerts.model_construct(urls=urls, events=events, every_s=every_s)


def test_events_within_the_interval_are_one_message_and_leaving_sends_them() -> None:
    apprise = Apprise()
    with Notifier(to(ONE, TWO, every_s=1000), apprise) as notifier:
        with pytest.MonkeyPatch.context() as patch:  # no thread to spare: the next event has one
            patch.setattr(threading.Thread, "start", no_thread)
            notifier.done("sea", OUT)
        notifier.refused("bad", "it holds text", Cause.PICTURE, OUT)
        notifier.failed("worse", "a fault", Cause.BUG, "Traceback", for_good=False)
        notifier.failed("worst", "a fault", Cause.BUG, "Traceback", for_good=True)
        notifier.blocked(FULL)
    lines = ["done: sea", "refused: bad: it holds text", "failed: worst: a fault",
             "waiting: sky: the disk is full"]  # fmt: skip
    assert apprise.sent == [(["one", "two"], lines)]


def no_thread(thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_new_settings_hold_from_the_next_event_on_and_for_what_still_waits() -> None:
    apprise = Apprise()
    with Notifier(to(), apprise) as notifier:
        notifier.done("early", OUT)
        notifier.blocked(FULL)
        notifier.use(to(ONE, events=("done", "blocked")))
        apprise.called.acquire()
        notifier.refused("bad", "it holds text", Cause.PICTURE, OUT)
        notifier.use(to(TWO))
        notifier.done("sea", OUT)
    waiting = ["waiting: sky: the disk is full"]
    assert apprise.sent == [(["one"], waiting), (["two"], ["done: sea"])]


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
    with Notifier(to(*urls), apprise, Backoff(first=0.0, most=0.0)) as notifier:
        notifier.done("sea", OUT)
        for _ in sent:
            apprise.called.acquire()
        notifier.done("sky", OUT)
        apprise.called.acquire()
    everyone = [url.get_secret_value()[-3:] for url in urls]
    assert apprise.sent == [*((some, ["done: sea"]) for some in sent), (everyone, ["done: sky"])]
    (line,) = caplog.messages
    number = len(urls)
    assert line.startswith(f"an alert, tried up to 5 times: to URL {number} of {number}: ")
    assert "hush" not in line
