"""The process that sends: what it knows, and that it tells nothing of a URL."""

import json
import subprocess
import sys

from tests.daemon.posts import posted

COMMAND = [sys.executable, "-m", "stylewatch_daemon.alerts.child"]


def asked(urls: list[str], message: list[str] | None) -> subprocess.CompletedProcess[str]:
    given = json.dumps({"urls": urls, "message": message, "within": 30})
    return subprocess.run(COMMAND, input=given, capture_output=True, text=True, check=False)


def test_each_url_is_answered_by_its_number_and_none_is_shown() -> None:
    with posted() as posts:
        posts.statuses = [401]
        ended = asked([posts.url, "hushhush://x", "json://"], ["title", "body"])
    assert sorted(ended.stdout.splitlines()) == ["0 failed", "1 unknown", "2 unknown"]
    assert "hush" not in ended.stdout
    assert [(post["title"], post["message"]) for post in posts.got] == [("title", "body")]


def test_without_a_message_it_says_which_urls_are_known() -> None:
    with posted() as posts:
        assert asked([posts.url], None).stdout == "0 known\n"
    assert posts.got == []
