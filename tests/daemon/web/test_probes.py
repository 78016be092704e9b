"""Probes tell the truth: this process lives; the daemon would paint what comes now."""

from contextlib import ExitStack
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.daemon.web.visitors import standing, visitor

from stylewatch_daemon.files import lock
from stylewatch_daemon.outbox import status_json
from stylewatch_daemon.web.probes import unready


def test_the_process_lives_though_no_daemon_does(tmp_path: Path) -> None:
    page = visitor(tmp_path)
    assert page.get("/healthz").status_code == 200
    answer = page.get("/readyz")
    assert (answer.status_code, answer.text) == (503, "no daemon is at work\n")


def test_a_daemon_at_work_is_ready(tmp_path: Path) -> None:
    standing(tmp_path)
    with ExitStack() as stack:
        stack.enter_context(lock.held(tmp_path / "state" / status_json.LOCK_NAME))
        answer = visitor(tmp_path).get("/readyz")
    assert (answer.status_code, answer.text) == (200, "ok\n")


@pytest.mark.parametrize(
    ("health", "why"),
    [
        ({"at_work": True}, "has yet to say"),
        ({"at_work": True, "since": "now", "paused": True}, "is paused"),
        ({"at_work": True, "since": "now", "trouble": ["/secret/folder: full"]}, "1 things"),
        ({"at_work": True, "since": "now"}, ""),
    ],
)
def test_what_keeps_it_from_painting_is_said_without_names(
    health: dict[str, object], why: str
) -> None:
    now = status_json.nothing()
    now["health"] |= health
    assert why in unready(now) and "secret" not in unready(now)
    assert bool(unready(now)) is bool(why)


def test_numbers_come_in_the_form_of_prometheus(tmp_path: Path) -> None:
    answer = visitor(tmp_path).get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert {one.name for one in text_string_to_metric_families(answer.text)} >= {"stylewatch_up"}
