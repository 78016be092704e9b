"""Probes for programs: /healthz, /readyz and /metrics.

GET /healthz    200 while this process answers
GET /readyz     200 while the daemon runs and would start new jobs; else 503 and the reason
GET /metrics    numbers for Prometheus, made of status.json each time
"""

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
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from stylewatch_daemon.settings.config import Config
from stylewatch_daemon.web.doctor_runner import Device
from stylewatch_daemon.web.http import context

_SUMMARIES = {
    "scans": ("stylewatch_scan_seconds", "Scans of all inboxes, and the time they took."),
    "steps": ("stylewatch_step_seconds", "Steps of all jobs, and the time they took."),
    "stages": (
        "stylewatch_stage_latency_seconds",
        "Stages, and the time from the worker until they were in the outbox.",
    ),
}
_COUNTERS = {
    "overflows": ("stylewatch_event_overflows", "How often file events were lost."),
    "done": ("stylewatch_jobs_done", "Jobs done since the daemon started."),
    "cancelled": ("stylewatch_jobs_cancelled", "Jobs cancelled since the daemon started."),
}


def routes() -> list[Route]:
    """The routes of the probes."""
    return [
        Route("/healthz", healthz, methods=["GET"]),
        Route("/readyz", readyz, methods=["GET"]),
        Route("/metrics", metrics, methods=["GET"]),
    ]


async def healthz(request: Request) -> Response:
    """Answer, which is all that is asked."""
    return PlainTextResponse("ok\n")


async def readyz(request: Request) -> Response:
    """Say whether a pair that is dropped now would be processed."""
    reason = not_ready(await run_in_threadpool(context(request).reader.published))
    return PlainTextResponse(f"{reason or 'ok'}\n", 503 if reason else 200)


async def metrics(request: Request) -> Response:
    """All numbers in the text format of Prometheus."""
    here = context(request)
    status = await run_in_threadpool(here.reader.published)
    report = here.checkup.latest()
    devices = report.devices if report is not None else ()
    content = await run_in_threadpool(exposition, status, here.settings, devices)
    return Response(content, media_type=CONTENT_TYPE_PLAIN_0_0_4)


def not_ready(status: Mapping[str, Any]) -> str:
    """Why the daemon would not start new jobs, by its status.json; empty where it would.

    Everybody may read this, so it names no job and no folder.
    """
    health = status["health"]
    if not health["at_work"]:
        return "no daemon is running"
    if health["since"] is None:
        return "the daemon has not published its status yet"
    if health["paused"]:
        return "the daemon is paused"
    if health["trouble"]:
        return f"problems that stop jobs or inboxes: {len(health['trouble'])}"
    return ""


def exposition(
    status: Mapping[str, Any], settings: Config, devices: Iterable[Device] = ()
) -> bytes:
    """The numbers of `status`, a status.json, and of the disks that the `settings` name."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Numbers(status, settings, tuple(devices)))
    return generate_latest(registry)


@dataclass(frozen=True, eq=False)
class _Numbers(Collector):
    """The numbers of one moment."""

    status: Mapping[str, Any]
    settings: Config
    devices: tuple[Device, ...]

    def collect(self) -> Iterator[Metric]:
        """Each number with its meaning."""
        yield from self._state()
        yield from self._counters()
        yield self._disk()
        memory = GaugeMetricFamily(
            "stylewatch_device_memory_bytes",
            "Memory of the devices, once the doctor has checked them.",
            labels=["device"],
        )
        for device in self.devices:
            memory.add_metric([device.name], device.memory)
        yield memory

    def _state(self) -> Iterator[Metric]:
        health = self.status["health"]
        gauges = (
            ("up", "Whether the daemon runs.", health["at_work"]),
            ("paused", "Whether the daemon starts no new jobs.", health["paused"]),
            (
                "incomplete",
                "Pairs in the inboxes that are incomplete.",
                len(self.status["incomplete"]),
            ),
            ("trouble", "Problems that stop jobs or inboxes.", len(health["trouble"])),
        )
        for name, meaning, value in gauges:
            yield GaugeMetricFamily(f"stylewatch_{name}", meaning, float(value))
        jobs = GaugeMetricFamily(
            "stylewatch_jobs", "Jobs in the ledger, by their state.", labels=["state"]
        )
        for state, count in self.status["counts"].items():
            jobs.add_metric([state], count)
        yield jobs

    def _counters(self) -> Iterator[Metric]:
        """Counts since the daemon started, as far as it has published them."""
        meters = self.status["meters"]
        for key, (name, meaning) in _SUMMARIES.items():
            if key in meters:
                yield SummaryMetricFamily(name, meaning, meters[key], meters["seconds"][key])
        for key, (name, meaning) in _COUNTERS.items():
            if key in meters:
                yield CounterMetricFamily(name, meaning, meters[key])
        ended = CounterMetricFamily(
            "stylewatch_jobs_not_painted",
            "Jobs refused or failed since the daemon started, by reason.",
            labels=["state", "reason"],
        )
        for end in meters.get("ended", ()):
            ended.add_metric([end["state"], end["why"]], end["count"])
        yield ended

    def _disk(self) -> Metric:
        free = GaugeMetricFamily(
            "stylewatch_disk_free_bytes", "Free space where the daemon writes.", labels=["folder"]
        )
        outboxes = (inbox.outbox for inbox in self.settings.inboxes)
        for folder in dict.fromkeys((self.settings.state.path, *outboxes)):
            available = _free_bytes(folder)
            if available is not None:
                free.add_metric([str(folder)], available)
        return free


def _free_bytes(folder: Path) -> int | None:
    """Free bytes for ordinary users; None where the folder, or its file system's size, is not."""
    try:
        status = os.statvfs(folder)
    except OSError:
        return None
    return status.f_bavail * status.f_frsize if status.f_blocks else None
