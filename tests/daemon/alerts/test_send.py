"""A message goes out through a process of its own, which has only so long."""

import subprocess
import sys

import pytest
from pydantic import SecretStr
from tests.daemon.posts import posted

from stylewatch_daemon.alerts.collect import Message
from stylewatch_daemon.alerts.send import send, unusable

HELLO = Message("stylewatch: 1 done", "done: sea")


def test_a_message_reaches_a_server_through_apprise_and_each_url_is_told_apart() -> None:
    with posted() as posts:
        urls = [SecretStr("nonsense"), SecretStr(posts.url), SecretStr("json://127.0.0.1:1/")]
        assert send(urls, HELLO, 60) == ["unknown", "sent", "failed"]
    (post,) = posts.got
    assert (post["title"], post["message"]) == (HELLO.title, HELLO.body)


def test_a_server_that_hangs_is_left_in_time_and_the_others_are_told() -> None:
    with posted() as good, posted() as bad:
        bad.hangs.clear()
        urls = [SecretStr(f"{bad.url}?rto=100"), SecretStr(good.url)]
        assert send(urls, HELLO, 6) == ["silent", "sent"]


def test_to_look_at_urls_sends_nothing() -> None:
    with posted() as posts:
        assert unusable([SecretStr(posts.url)]) == []
        (wrong,) = unusable([SecretStr(posts.url), SecretStr("hushhush")])
    assert wrong.startswith("URL 2 of 2: ") and "hush" not in wrong
    assert posts.got == []


def test_a_url_stands_in_no_argument_of_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []

    def run(command: list[str], **more: object) -> subprocess.CompletedProcess[bytes]:
        seen.extend([command, more.get("env")])
        return subprocess.CompletedProcess(command, 0, b"0 sent\n7 sent\nnonsense\n1 well\n")

    monkeypatch.setattr(subprocess, "run", run)
    assert send([SecretStr("hush"), SecretStr("hush2")], HELLO, 3) == ["sent", "silent"]
    assert "hush" not in repr(seen)


def test_a_child_that_cannot_be_started_has_sent_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    assert send([SecretStr("json://a")], HELLO, 3) == ["silent"]


def test_the_sender_itself_loads_no_apprise() -> None:
    code = "import sys, stylewatch_daemon.cli.run, stylewatch_daemon.alerts.send as s\n"
    code += "print([n for n in ('apprise', 'requests') if n in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"
