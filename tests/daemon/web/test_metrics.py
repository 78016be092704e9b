"""Numbers for Prometheus: those that the daemon publishes, in the form that its parser reads."""

from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.daemon.web.visitors import settings

from stylewatch_daemon.model import Progress, Started
from stylewatch_daemon.outbox import status_json
from stylewatch_daemon.service.metrics import Metrics
from stylewatch_daemon.web.doctor_runner import Device
from stylewatch_daemon.web.metrics import exposed


def numbers(root: Path, now: dict[str, Any], *devices: Device) -> dict[str, float]:
    """The numbers by their names with labels, as a parser finds them."""
    text = exposed(now, settings(root), devices).decode()
    return {
        sample.name + "".join(f" {value}" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_how_things_stand_is_told(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    now = status_json.nothing()
    now |= {"counts": {**now["counts"], "waiting": 7, "failed": 2}, "incomplete": [1, 2, 3]}
    now["health"] |= {"at_work": True, "trouble": ["a disk"]}
    found = numbers(tmp_path, now)
    assert found["stylewatch_up"] == 1 and found["stylewatch_paused"] == 0
    assert found["stylewatch_jobs waiting"] == 7 and found["stylewatch_jobs failed"] == 2
    assert found["stylewatch_incomplete"] == 3 and found["stylewatch_trouble"] == 1
    assert found[f"stylewatch_disk_free_bytes {tmp_path / 'out'}"] > 0
    assert f"stylewatch_disk_free_bytes {tmp_path / 'state'}" not in found, "it is not there"


def test_what_was_counted_is_told(tmp_path: Path) -> None:
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
    found = numbers(tmp_path, now)
    assert found["stylewatch_scan_seconds_count"] == 2
    assert found["stylewatch_scan_seconds_sum"] == pytest.approx(0.75)
    assert found["stylewatch_step_seconds_sum"] / found["stylewatch_step_seconds_count"] == 2
    assert found["stylewatch_stage_latency_seconds_count"] == 0
    assert found["stylewatch_event_overflows_total"] == 1
    assert found["stylewatch_jobs_done_total"] == 1
    assert found["stylewatch_jobs_not_painted_total damaged refused"] == 1
    assert found["stylewatch_jobs_not_painted_total hung failed"] == 1


def test_a_daemon_that_told_nothing_has_no_such_numbers(tmp_path: Path) -> None:
    assert "stylewatch_scan_seconds_count" not in numbers(tmp_path, status_json.nothing())


def test_the_memory_of_devices_is_told_once_it_is_known(tmp_path: Path) -> None:
    found = numbers(tmp_path, status_json.nothing(), Device("cuda:0", 80_000))
    assert found["stylewatch_device_memory_bytes cuda:0"] == 80_000
