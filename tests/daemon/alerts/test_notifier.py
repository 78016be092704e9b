"""What happens is collected and told; what cannot be told is tried again, and then let be."""

import logging
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from pydantic import SecretStr
from tests.daemon.posts import posted

from stylewatch_daemon.alerts import notifier
from stylewatch_daemon.alerts.collect import Message
from stylewatch_daemon.alerts.notifier import TRIES, Teller, telling
from stylewatch_daemon.alerts.send import Ending
from stylewatch_daemon.processes.backoff import Backoff
from stylewatch_daemon.settings.sections import AlertKind, AlertTargets

ONE, TWO = SecretStr("json://ann:hushhush@one"), SecretStr("json://ann:hushhush@two")
AT_ONCE = Backoff(first=0.0, most=0.0)
Log = pytest.LogCaptureFixture
KINDS: frozenset[AlertKind] = frozenset({"done", "refused", "failed", "paused"})
OUT = Path("out")


class Service:
    """Stands for apprise; `ends` are its next answers, then all is sent."""

    def __init__(self, *ends: list[Ending]) -> None:
        self.ends = list(ends)
        self.got: list[tuple[list[str], str]] = []
        self.came = threading.Semaphore(0)

    def __call__(
        self, urls: Sequence[SecretStr], message: Message | None, within: float
    ) -> list[Ending]:
        assert message is not None
        self.got.append(([url.get_secret_value()[-3:] for url in urls], message.body))
        sent: list[Ending] = ["sent"] * len(urls)
        ends = self.ends.pop(0) if self.ends else sent
        self.came.release()
        return ends


def to(*urls: SecretStr, every_s: float = 0.0) -> AlertTargets:
    return AlertTargets(urls, KINDS, every_s)


@pytest.fixture
def log(caplog: Log) -> Log:
    """Hears warnings."""
    caplog.set_level(logging.WARNING)
    return caplog


def test_what_comes_within_the_interval_is_one_message(log: Log) -> None:
    service = Service()
    one = Teller(to(ONE, TWO, every_s=1000), service)
    for number in range(500):
        one.done(f"job-{number}", OUT)
    one.refused("bad", "it holds text", OUT)
    one.failed("worse", "a fault", "Traceback", for_good=False)
    one.failed("worst", "a fault", "Traceback", for_good=True)
    one.paused("sky", "the disk is full")
    one.blocked({"sky": "the disk is full"})
    one.leave(60)
    ((urls, body),) = service.got
    assert urls == ["one", "two"]
    assert body.splitlines()[10:] == [
        "done: and 490 more",
        "refused: bad: it holds text",
        "failed: worst: a fault",
        "waiting: sky: the disk is full",
    ]
    assert log.messages == []


def test_who_was_not_reached_is_tried_again_and_nobody_is_told_twice(
    log: pytest.LogCaptureFixture,
) -> None:
    service = Service(["sent", "failed"], ["silent"])
    one = Teller(to(ONE, TWO), service, AT_ONCE)
    one.done("sea", OUT)
    for _ in range(3):
        service.came.acquire()
    one.leave(60)
    assert service.got == [(["one", "two"], "done: sea"), *[(["two"], "done: sea")] * 2]
    (line,) = log.messages
    assert line.startswith("an alert, tried up to 5 times: to URL 2 of 2: not sent")


def test_what_cannot_be_sent_is_let_be_after_some_tries_with_one_line(
    log: pytest.LogCaptureFixture,
) -> None:
    failed: list[Ending] = ["failed"]
    service = Service(*[failed] * TRIES)
    one = Teller(to(ONE), service, AT_ONCE)
    one.done("sea", OUT)
    for _ in range(TRIES):
        service.came.acquire()
    one.done("sky", OUT)
    service.came.acquire()
    one.leave(60)
    assert [body for _, body in service.got] == ["done: sea"] * TRIES + ["done: sky"]
    (line,) = log.messages
    assert "hush" not in line


def test_a_url_that_apprise_does_not_know_is_not_tried_again(log: Log) -> None:
    service = Service(["unknown"])
    one = Teller(to(ONE), service, AT_ONCE)
    one.done("sea", OUT)
    service.came.acquire()
    one.leave(60)
    assert len(service.got) == len(log.messages) == 1


def test_without_urls_nothing_is_collected_and_no_thread_begins() -> None:
    before = threading.active_count()
    one = Teller(to())
    one.done("sea", OUT)
    assert threading.active_count() == before
    one.leave(60)


def test_new_settings_hold_once_they_were_found_right() -> None:
    service = Service()
    one = Teller(to(), service)
    one.blocked({"sky": "the disk is full"})
    one.offer(to(ONE))
    one.not_reloaded("config.yaml line 3: no")
    one.reloaded()
    one.done("early", OUT)
    one.offer(to(TWO))
    one.reloaded()
    service.came.acquire()
    one.leave(60)
    assert service.got == [(["two"], "waiting: sky: the disk is full")]


def test_all_of_it_with_apprise_and_a_server() -> None:
    with posted() as posts, telling(to(SecretStr(posts.url), every_s=1000)) as one:
        one.done("sea", OUT)
    assert posts.bodies == ["done: sea"]


def test_who_leaves_in_haste_does_not_wait_for_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(notifier.Teller, "leave", lambda self, within: waited.append(within))
    with pytest.raises(KeyboardInterrupt), telling(to(ONE)):
        raise KeyboardInterrupt
    assert waited == [0.0]
