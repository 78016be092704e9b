"""The daemon's numbers as Prometheus reads them: made anew each time, of what is published."""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from stylewatch_daemon.settings.config import Config
from stylewatch_daemon.web.doctor_runner import Device

KIND = CONTENT_TYPE_PLAIN_0_0_4

_SUMMARIES = {
    "scans": ("stylewatch_scan_seconds", "Looks at all inboxes, and the time they took."),
    "steps": ("stylewatch_step_seconds", "Steps of all jobs, and the time they took."),
    "stages": (
        "stylewatch_stage_latency_seconds",
        "Stages, and the time from when each was painted until it was in the outbox.",
    ),
}
_COUNTERS = {
    "overflows": ("stylewatch_event_overflows", "How often file events were lost."),
    "done": ("stylewatch_jobs_done", "Jobs that were painted since the daemon started."),
    "cancelled": ("stylewatch_jobs_cancelled", "Jobs that were cancelled since it started."),
}


def exposed(now: Mapping[str, Any], settings: Config, devices: Iterable[Device] = ()) -> bytes:
    """All numbers of a daemon with these `settings`, of what it has published by `now`."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Numbers(now, settings, tuple(devices)))
    return generate_latest(registry)


@dataclass(frozen=True, eq=False)
class _Numbers(Collector):
    """The numbers of one moment."""

    now: Mapping[str, Any]
    settings: Config
    devices: tuple[Device, ...]

    def collect(self) -> Iterator[Metric]:
        """Each number, with what it means."""
        yield from self._standing()
        yield from self._counted()
        yield self._room()
        yield self._memory()

    def _standing(self) -> Iterator[Metric]:
        health = self.now["health"]
        up = {"up": "Whether the daemon is at work.", "paused": "Whether it begins nothing new."}
        for name, key in (("up", "at_work"), ("paused", "paused")):
            yield GaugeMetricFamily(f"stylewatch_{name}", up[name], float(bool(health[key])))
        jobs = GaugeMetricFamily(
            "stylewatch_jobs", "Jobs that the ledger knows, by how they stand.", labels=["state"]
        )
        for state, count in self.now["counts"].items():
            jobs.add_metric([state], count)
        yield jobs
        lists = {"incomplete": self.now["incomplete"], "trouble": health["trouble"]}
        said = {
            "incomplete": "What waits in the inboxes for its other half.",
            "trouble": "What is in the way of jobs or inboxes.",
        }
        for name, found in lists.items():
            yield GaugeMetricFamily(f"stylewatch_{name}", said[name], len(found))

    def _counted(self) -> Iterator[Metric]:
        """What was counted since the daemon started, as far as it told that."""
        meters = self.now["meters"]
        for key, (name, meaning) in _SUMMARIES.items():
            if key in meters:
                yield SummaryMetricFamily(name, meaning, meters[key], meters["seconds"][key])
        for key, (name, meaning) in _COUNTERS.items():
            if key in meters:
                yield CounterMetricFamily(name, meaning, meters[key])
        ended = CounterMetricFamily(
            "stylewatch_jobs_not_painted",
            "Jobs that were refused, or failed for good, since it started, and why.",
            labels=["state", "reason"],
        )
        for one in meters.get("ended", ()):
            ended.add_metric([one["state"], one["why"]], one["count"])
        yield ended

    def _room(self) -> Metric:
        free = GaugeMetricFamily(
            "stylewatch_disk_free_bytes", "What is free where the daemon writes.", labels=["folder"]
        )
        outboxes = (inbox.outbox for inbox in self.settings.inboxes)
        for folder in dict.fromkeys((self.settings.state.path, *outboxes)):
            room = _free(folder)
            if room is not None:
                free.add_metric([str(folder)], room)
        return free

    def _memory(self) -> Metric:
        memory = GaugeMetricFamily(
            "stylewatch_device_memory_bytes",
            "The memory of devices, once the doctor has looked at them.",
            labels=["device"],
        )
        for device in self.devices:
            memory.add_metric([device.name], device.memory)
        return memory


def _free(folder: Path) -> int | None:
    """Bytes that are free; None where there is no such folder, or nothing is told."""
    try:
        told = os.statvfs(folder)
    except OSError:
        return None
    return told.f_bavail * told.f_frsize if told.f_blocks else None
