"""Events are collected and sent; a URL that was not reached is tried again, then given up."""

import logging
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from pydantic import SecretStr
from tests.daemon.alert_server import alert_server

from stylewatch_daemon.alerts import notifier
from stylewatch_daemon.alerts.collect import Message
from stylewatch_daemon.alerts.notifier import TRIES, Notifier, notifying
from stylewatch_daemon.alerts.send import Ending
from stylewatch_daemon.processes.wakeup import Backoff
from stylewatch_daemon.settings.sections import AlertKind, AlertTargets

ONE, TWO = SecretStr("json://ann:hushhush@one"), SecretStr("json://ann:hushhush@two")
NO_PAUSE = Backoff(first=0.0, most=0.0)
KINDS: frozenset[AlertKind] = frozenset({"done", "refused", "failed", "paused"})
OUT = Path("out")


class Apprise:
    """A fake that gives `answers` in turn, then sends everything."""

    def __init__(self, *answers: list[Ending]) -> None:
        self.answers = list(answers)
        self.sent: list[tuple[list[str], str]] = []
        self.called = threading.Semaphore(0)

    def __call__(
        self, urls: Sequence[SecretStr], message: Message | None, within: float
    ) -> list[Ending]:
        assert message is not None
        self.sent.append(([url.get_secret_value()[-3:] for url in urls], message.body))
        all_sent: list[Ending] = ["sent"] * len(urls)
        answer = self.answers.pop(0) if self.answers else all_sent
        self.called.release()
        return answer

    def wait(self, calls: int) -> None:
        for _ in range(calls):
            self.called.acquire()


def to(*urls: SecretStr, every_s: float = 0.0) -> AlertTargets:
    return AlertTargets(urls, KINDS, every_s)


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.WARNING)
    return caplog


def test_events_within_the_interval_are_one_message(warnings: pytest.LogCaptureFixture) -> None:
    apprise = Apprise()
    alerts = Notifier(to(ONE, TWO, every_s=1000), apprise)
    for number in range(500):
        alerts.done(f"job-{number}", OUT)
    alerts.refused("bad", "it holds text", OUT)
    alerts.failed("worse", "a fault", "Traceback", for_good=False)
    alerts.failed("worst", "a fault", "Traceback", for_good=True)
    alerts.paused("sky", "the disk is full")
    alerts.blocked({"sky": "the disk is full"})
    alerts.leave(60)
    ((urls, body),) = apprise.sent
    assert urls == ["one", "two"]
    assert body.splitlines()[10:] == [
        "done: and 490 more",
        "refused: bad: it holds text",
        "failed: worst: a fault",
        "waiting: sky: the disk is full",
    ]
    assert warnings.messages == []


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
    warnings: pytest.LogCaptureFixture,
) -> None:
    apprise = Apprise(*answers)
    alerts = Notifier(to(*urls), apprise, NO_PAUSE)
    alerts.done("sea", OUT)
    apprise.wait(len(sent))
    alerts.done("sky", OUT)
    apprise.wait(1)
    alerts.leave(60)
    everyone = [url.get_secret_value()[-3:] for url in urls]
    assert apprise.sent == [*((missed, "done: sea") for missed in sent), (everyone, "done: sky")]
    (line,) = warnings.messages
    number = len(urls)
    assert line.startswith(f"an alert, tried up to 5 times: to URL {number} of {number}: ")
    assert "hush" not in line


def test_without_urls_there_is_no_thread() -> None:
    before = threading.active_count()
    alerts = Notifier(to())
    alerts.done("sea", OUT)
    assert threading.active_count() == before
    alerts.leave(60)


def test_new_targets_are_used_once_the_settings_are_in_force() -> None:
    apprise = Apprise()
    alerts = Notifier(to(), apprise)
    alerts.blocked({"sky": "the disk is full"})
    alerts.offer(to(ONE))
    alerts.not_reloaded("config.yaml line 3: no")
    alerts.reloaded()
    alerts.done("early", OUT)
    alerts.offer(to(TWO))
    alerts.reloaded()
    apprise.wait(1)
    alerts.leave(60)
    assert apprise.sent == [(["two"], "waiting: sky: the disk is full")]


def test_a_message_reaches_a_server() -> None:
    with alert_server() as posts, notifying(to(SecretStr(posts.url), every_s=1000)) as alerts:
        alerts.done("sea", OUT)
    assert posts.bodies == ["done: sea"]


def test_an_interrupt_does_not_wait_for_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(notifier.Notifier, "leave", lambda self, within: waited.append(within))
    with pytest.raises(KeyboardInterrupt), notifying(to(ONE)):
        raise KeyboardInterrupt
    assert waited == [0.0]
