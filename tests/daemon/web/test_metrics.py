"""Probes and numbers for programs that watch the daemon."""

from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.daemon.web.world import client, publish_status, settings

from stylewatch_daemon.files import lock
from stylewatch_daemon.model import Progress, Started
from stylewatch_daemon.outbox import status_json
from stylewatch_daemon.service.monitoring import Metrics
from stylewatch_daemon.web.doctor_runner import Device
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
    families = text_string_to_metric_families(metrics.text)
    assert {family.name for family in families} >= {"stylewatch_up"}


@pytest.mark.parametrize(
    ("health", "reason"),
    [
        ({"at_work": True}, "not published"),
        ({"at_work": True, "since": "now", "paused": True}, "is paused"),
        ({"at_work": True, "since": "now", "trouble": ["/secret/folder: full"]}, "inboxes: 1"),
        ({"at_work": True, "since": "now"}, ""),
    ],
)
def test_why_it_is_not_ready_is_said_without_names(health: dict[str, Any], reason: str) -> None:
    status = status_json.nothing()
    status["health"] |= health
    assert reason in not_ready(status) and "secret" not in not_ready(status)
    assert bool(not_ready(status)) is bool(reason)


def test_the_state_is_exposed(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    now = status_json.nothing()
    now |= {"counts": {**now["counts"], "waiting": 7, "failed": 2}, "incomplete": [1, 2, 3]}
    now["health"] |= {"at_work": True, "trouble": ["a disk"]}
    values = numbers(tmp_path, now)
    assert values["stylewatch_up"] == 1 and values["stylewatch_paused"] == 0
    assert values["stylewatch_jobs waiting"] == 7 and values["stylewatch_jobs failed"] == 2
    assert values["stylewatch_incomplete"] == 3 and values["stylewatch_trouble"] == 1
    assert values[f"stylewatch_disk_free_bytes {tmp_path / 'out'}"] > 0
    assert f"stylewatch_disk_free_bytes {tmp_path / 'state'}" not in values, (
        "there is no such folder"
    )


def test_counters_are_exposed(tmp_path: Path) -> None:
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
    values = numbers(tmp_path, now)
    assert values["stylewatch_scan_seconds_count"] == 2
    assert values["stylewatch_scan_seconds_sum"] == pytest.approx(0.75)
    assert values["stylewatch_step_seconds_sum"] / values["stylewatch_step_seconds_count"] == 2
    assert values["stylewatch_stage_latency_seconds_count"] == 0
    assert values["stylewatch_event_overflows_total"] == 1
    assert values["stylewatch_jobs_done_total"] == 1
    assert values["stylewatch_jobs_not_painted_total damaged refused"] == 1
    assert values["stylewatch_jobs_not_painted_total hung failed"] == 1


def test_unknown_numbers_are_left_out_and_devices_are_exposed(tmp_path: Path) -> None:
    values = numbers(tmp_path, status_json.nothing(), Device("cuda:0", 80_000))
    assert "stylewatch_scan_seconds_count" not in values
    assert values["stylewatch_device_memory_bytes cuda:0"] == 80_000
