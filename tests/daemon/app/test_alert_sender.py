"""A message is sent by a child process, which has only so long."""

import os
import sys
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from pydantic import SecretStr
from tests.daemon.alert_server import alert_server
from tests.daemon.world import child_pids

from stylewatch_daemon.app import alert_sender
from stylewatch_daemon.app.alert_sender import Message, Result, countdown, send
from stylewatch_daemon.base import child

HELLO = Message("stylewatch: 1 done", "done: sea")


def test_a_message_is_sent_through_apprise_and_each_url_has_its_result() -> None:
    with alert_server() as posts, alert_server() as closed:
        closed.statuses = [401]
        urls = ["hushhush://x", posts.url, "json://127.0.0.1:1/", closed.url, "json://"]
        endings = send([SecretStr(url) for url in urls], HELLO, countdown(60))
    assert endings == ["unknown", "sent", "failed", "failed", "unknown"]
    (post,) = posts.got
    assert (post["title"], post["message"]) == (HELLO.title, HELLO.body)


def test_a_server_that_hangs_is_given_up_in_time_and_the_others_get_the_message(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(alert_sender, "ASK_EVERY_S", 60.0)
    seconds = iter((60.0, 0.0))  # before the first result, and after it
    with alert_server() as good, alert_server() as bad:
        bad.hangs.clear()
        urls = [SecretStr(f"{bad.url}?rto=100"), SecretStr(good.url)]
        assert send(urls, HELLO, lambda: next(seconds)) == ["silent", "sent"]
    assert child_pids("alerts") == []


def look_around(pipe: Connection, urls: list[str], message: Message | None) -> None:
    """Report `failed` if a URL can be seen from outside, or Ctrl-C would reach this process."""
    seen = b"".join(Path(f"/proc/self/{name}").read_bytes() for name in ("cmdline", "environ"))
    is_apart = os.getsid(0) == os.getpid()
    child.send(pipe, Result(0, "sent" if is_apart and urls[0].encode() not in seen else "failed"))
    child.send(pipe, Result(7, "sent"))


def test_no_url_is_in_an_argument_or_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alert_sender, "SERVE", "tests.daemon.app.test_alert_sender:look_around")
    assert send([SecretStr("hush"), SecretStr("hush2")], HELLO, countdown(60)) == ["sent", "silent"]
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    assert send([SecretStr("json://a")], HELLO, countdown(3)) == ["silent"]
