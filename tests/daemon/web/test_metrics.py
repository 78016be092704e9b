"""Probes and numbers for programs that watch the daemon."""

from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.daemon.web.world import client, publish_status, settings

from stylewatch_daemon.doctor.backends import Device
from stylewatch_daemon.files import lock
from stylewatch_daemon.model import Progress, Started
from stylewatch_daemon.outbox import status_json
from stylewatch_daemon.service.monitoring import Metrics
from stylewatch_daemon.web.metrics import exposition, not_ready


def numbers(root: Path, now: dict[str, Any], *devices: Device) -> dict[str, float]:
    """The numbers by their names with labels, as Prometheus parses them."""
    text = exposition(now, settings(root), devices).decode()
    return {
        sample.name + "".join(f" {value}" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_the_process_answers_and_is_ready_once_a_daemon_runs(tmp_path: Path) -> None:
    page = client(tmp_path)
    assert page.get("/healthz").text == "ok\n"
    answer = page.get("/readyz")
    assert (answer.status_code, answer.text) == (503, "no daemon is running\n")
    publish_status(tmp_path)
    with lock.held(tmp_path / "state" / status_json.LOCK_NAME):
        answer = client(tmp_path).get("/readyz")
    assert (answer.status_code, answer.text) == (200, "ok\n")
    metrics = page.get("/metrics")
    assert metrics.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert "\nstylewatch_up 0.0\n" in metrics.text


@pytest.mark.parametrize(
    ("health", "reason"),
    [
        ({"at_work": True}, "not published"),
        ({"at_work": True, "since": "now", "paused": True}, "is paused"),
        ({"at_work": True, "since": "now", "trouble": ["/secret/folder: full"]}, "inboxes: 1"),
        ({"at_work": True, "since": "now"}, ""),
    ],
)
def test_the_reason_for_not_being_ready_has_no_names(health: dict[str, Any], reason: str) -> None:
    status = status_json.nothing()
    status["health"] |= health
    assert reason in not_ready(status) and "secret" not in not_ready(status)
    assert bool(not_ready(status)) is bool(reason)


def test_state_and_counters_are_exposed_and_unknown_numbers_are_left_out(tmp_path: Path) -> None:
    values = numbers(tmp_path, status_json.nothing(), Device("cuda:0", memory=80_000))
    assert "stylewatch_scan_seconds_count" not in values
    assert values["stylewatch_device_memory_bytes cuda:0"] == 80_000
    (tmp_path / "out").mkdir()
    meters = Metrics(clock=lambda: 0.0)
    meters.looked(0.5)
    meters.looked(0.25)
    meters.events_lost()
    meters.job_started("sea", Started("sketch", "cpu", ((8, 8),), (9,)))
    for step in range(3):
        meters.progress("sea", Progress(step, 9, (8, 8), 1.0, 2.0 * step))
    meters.done("sea", tmp_path)
    meters.refused("b", "content.jpg is cut off or damaged (x)", tmp_path)
    meters.failed("c", "the worker hung: x", "", for_good=True)
    now = {**status_json.nothing(), "meters": meters.plain()}
    now |= {"counts": {**now["counts"], "waiting": 7}, "incomplete": [1, 2, 3]}
    now["health"] |= {"at_work": True, "trouble": ["a disk"]}
    values = numbers(tmp_path, now)
    assert values.pop(f"stylewatch_disk_free_bytes {tmp_path / 'out'}") > 0
    assert not [name for name in values if "disk" in name], "there is no state folder"
    assert {name: values[f"stylewatch_{name}"] for name in (
        "up", "paused", "jobs waiting", "incomplete", "trouble", "scan_seconds_count",
        "scan_seconds_sum", "step_seconds_sum", "step_seconds_count", "stage_latency_seconds_count",
        "event_overflows_total", "jobs_done_total", "jobs_not_painted_total damaged refused",
        "jobs_not_painted_total hung failed")
    } == {
        "up": 1, "paused": 0, "jobs waiting": 7, "incomplete": 3, "trouble": 1,
        "scan_seconds_count": 2, "scan_seconds_sum": 0.75, "step_seconds_sum": 4,
        "step_seconds_count": 2, "stage_latency_seconds_count": 0, "event_overflows_total": 1,
        "jobs_done_total": 1, "jobs_not_painted_total damaged refused": 1,
        "jobs_not_painted_total hung failed": 1,
    }  # fmt: skip
