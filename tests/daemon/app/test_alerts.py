"""Events become short messages; what was not sent goes with the next one."""

import os
import sys
import threading
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from pydantic import SecretStr
from tests.daemon.states import ended_job

from stylewatch_daemon.app import alert_sender
from stylewatch_daemon.app.alert_sender import Message, Outcome, Result
from stylewatch_daemon.app.alerts import Digest, Notifier
from stylewatch_daemon.base import child
from stylewatch_daemon.base.model import End
from stylewatch_daemon.settings.sections import AlertKind, AlertSettings

ONE, TWO = SecretStr("json://ann:hushhush@one"), SecretStr("json://ann:hushhush@two")
KINDS: tuple[AlertKind, ...] = ("done", "refused", "failed", "blocked")
OUT = Path("out")
HELLO = Message("stylewatch: 1 done", "done: sea")
FULL = {"sky": "the disk is full"}


def body(digest: Digest) -> list[str]:
    message = digest.message()
    digest.clear()
    return [] if message is None else message.body.splitlines()


def test_what_waits_is_reported_once_and_once_more_when_it_goes_on() -> None:
    digest = Digest()
    for blocked, lines in (
        (FULL, ["waiting: sky: the disk is full"]), ({"sky": "the disk is fuller"}, []),
        ({}, ["going on again: sky"]),
    ):  # fmt: skip
        digest.block(blocked)
        assert (digest.is_empty, body(digest)) == (not lines, lines)
    digest.block(FULL)
    digest.block({})
    assert digest.is_empty, "it was over before it was reported"


def to(
    *urls: SecretStr, events: tuple[AlertKind, ...] = KINDS, every_s: float = 0.0
) -> AlertSettings:
    return AlertSettings.model_construct(urls=urls, events=events, every_s=every_s)


def test_events_within_the_interval_are_one_message_and_leaving_sends_them() -> None:
    bodies: list[str] = []

    def send(urls: Sequence[SecretStr], message: Message | None, seconds: float) -> list[Outcome]:
        assert message is not None
        bodies.append(message.body)
        return ["sent"] * len(urls)

    with Notifier(to(ONE, TWO, every_s=1000), send) as notifier:
        notifier.ended(ended_job("sea", End.DONE), OUT)
        notifier.ended(ended_job("bad", End.REFUSED, "it holds text"), OUT)
        notifier.attempt_failed("worse", "a fault", "Traceback")
        notifier.ended(ended_job("worst", End.FAILED, "a fault"), OUT)
        notifier.ended(ended_job("gone", End.CANCELED), OUT)
        notifier.blocked(FULL)
    lines = ["done: sea", "refused: bad: it holds text", "failed: worst: a fault",
             "waiting: sky: the disk is full"]  # fmt: skip
    assert [body.splitlines() for body in bodies] == [lines]
    with Notifier(to(ONE, events=("refused",)), send) as notifier:
        notifier.ended(ended_job("sea", End.DONE), OUT)
        notifier.blocked(FULL)
    assert len(bodies) == 1, "nobody asked for these"


def test_what_nobody_got_goes_with_the_next_message(caplog: pytest.LogCaptureFixture) -> None:
    bodies, over = list[str](), threading.Event()

    def send(urls: Sequence[SecretStr], message: Message | None, seconds: float) -> list[Outcome]:
        assert message is not None
        bodies.append(message.body)
        if len(bodies) == 1:
            notifier.ended(ended_job("sky", End.STOPPED_EARLY), OUT)
            return ["failed"]
        over.set()
        return ["sent"]

    with Notifier(to(ONE), send) as notifier:
        notifier.ended(ended_job("sea", End.DONE), OUT)
        assert over.wait(60)
    assert bodies == ["done: sea", "done: sea\ndone: sky"]
    assert "URL 1 of 1" in caplog.text and "hush" not in caplog.text


def look_around(pipe: Connection, urls: list[str], message: Message | None) -> None:
    """Report `failed` if a URL can be seen from outside, or Ctrl-C would reach this process."""
    seen = b"".join(Path(f"/proc/self/{name}").read_bytes() for name in ("cmdline", "environ"))
    is_apart = os.getsid(0) == os.getpid()
    child.send(pipe, Result(0, "sent" if is_apart and urls[0].encode() not in seen else "failed"))
    child.send(pipe, Result(7, "sent"))


def test_no_url_is_in_an_argument_or_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alert_sender, "SERVE", "tests.daemon.app.test_alerts:look_around")
    assert alert_sender.send([SecretStr("hush"), SecretStr("hush2")], HELLO, 60) == [
        "sent",
        "silent",
    ]
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    assert alert_sender.send([SecretStr("json://a")], HELLO, 3) == ["silent"]
