"""Events become short messages; what was not sent goes with the next one."""

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from pydantic import SecretStr

from stylewatch_daemon.app.alert_sender import Ending, Message
from stylewatch_daemon.app.alerts import Collector, Notifier
from stylewatch_daemon.base.model import Cause
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


class Apprise:
    """A fake that sends everything."""

    def __init__(self) -> None:
        self.sent: list[tuple[list[str], list[str]]] = []
        self.called = threading.Semaphore(0)

    def __call__(
        self, urls: Sequence[SecretStr], message: Message | None, seconds: float
    ) -> list[Ending]:
        assert message is not None
        names = [url.get_secret_value()[-3:] for url in urls]
        self.sent.append((names, message.body.splitlines()))
        self.called.release()
        return ["sent"] * len(urls)


def to(*urls: SecretStr, events: tuple[AlertKind, ...] = KINDS, every_s: float = 0.0) -> Alerts:
    return Alerts.model_construct(urls=urls, events=events, every_s=every_s)


def test_events_within_the_interval_are_one_message_and_leaving_sends_them() -> None:
    apprise = Apprise()
    with Notifier(to(ONE, TWO, every_s=1000), apprise) as notifier:
        notifier.done("sea", OUT)
        notifier.refused("bad", "it holds text", Cause.PICTURE, OUT)
        notifier.attempt_failed("worse", "a fault", "Traceback")
        notifier.failed("worst", "a fault", Cause.BUG, OUT)
        notifier.blocked(FULL)
    lines = ["done: sea", "refused: bad: it holds text", "failed: worst: a fault",
             "waiting: sky: the disk is full"]  # fmt: skip
    assert apprise.sent == [(["one", "two"], lines)]


def test_what_nobody_got_goes_with_the_next_message(caplog: pytest.LogCaptureFixture) -> None:
    bodies, over = list[str](), threading.Event()

    def send(urls: Sequence[SecretStr], message: Message | None, seconds: float) -> list[Ending]:
        assert message is not None
        bodies.append(message.body)
        if len(bodies) == 1:
            notifier.done("sky", OUT)
            return ["failed"]
        over.set()
        return ["sent"]

    with Notifier(to(ONE), send) as notifier:
        notifier.done("sea", OUT)
        assert over.wait(60)
    assert bodies == ["done: sea", "done: sea\ndone: sky"]
    assert "URL 1 of 1" in caplog.text and "hush" not in caplog.text
