"""A message is sent by a child process, which has only so long."""

import os
import sys
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from pydantic import SecretStr

from stylewatch_daemon.app import alert_sender
from stylewatch_daemon.app.alert_sender import Message, Result, send
from stylewatch_daemon.base import child

HELLO = Message("stylewatch: 1 done", "done: sea")


def look_around(pipe: Connection, urls: list[str], message: Message | None) -> None:
    """Report `failed` if a URL can be seen from outside, or Ctrl-C would reach this process."""
    seen = b"".join(Path(f"/proc/self/{name}").read_bytes() for name in ("cmdline", "environ"))
    is_apart = os.getsid(0) == os.getpid()
    child.send(pipe, Result(0, "sent" if is_apart and urls[0].encode() not in seen else "failed"))
    child.send(pipe, Result(7, "sent"))


def test_no_url_is_in_an_argument_or_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alert_sender, "SERVE", "tests.daemon.app.test_alert_sender:look_around")
    assert send([SecretStr("hush"), SecretStr("hush2")], HELLO, 60) == ["sent", "silent"]
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    assert send([SecretStr("json://a")], HELLO, 3) == ["silent"]
