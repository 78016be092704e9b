"""Probes for programs, and numbers for Prometheus, made of status.json each time."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from shutil import disk_usage
from typing import Any

from prometheus_client import generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from stylewatch_daemon.doctor.backends import Device
from stylewatch_daemon.settings.config import Config
from stylewatch_daemon.web.http import context


async def healthz(request: Request) -> Response:
    """Answer 200 while this process runs."""
    return PlainTextResponse("ok\n")


async def readyz(request: Request) -> Response:
    """Answer 200 while the daemon would start new jobs; else 503 and the reason."""
    reason = not_ready(await run_in_threadpool(context(request).reader.published))
    return PlainTextResponse(f"{reason or 'ok'}\n", 503 if reason else 200)


async def metrics(request: Request) -> Response:
    """All numbers in the text format of Prometheus."""
    here = context(request)
    status = await run_in_threadpool(here.reader.published)
    report = here.doctor.latest
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
    return generate_latest(_Numbers(status, settings, devices))


@dataclass(frozen=True)
class _Numbers(Collector):
    status: Mapping[str, Any]
    settings: Config
    devices: Iterable[Device]

    def collect(self) -> Iterator[Metric]:
        """Each number with its meaning."""
        health = self.status["health"]
        yield _gauge("up", "Whether the daemon runs.", health["at_work"])
        yield _gauge("paused", "Whether the daemon starts no new jobs.", health["paused"])
        count = len(self.status["incomplete"])
        yield _gauge("incomplete", "Pairs in the inboxes that are incomplete.", count)
        yield _gauge("trouble", "Problems that stop jobs or inboxes.", len(health["trouble"]))
        counts = self.status["counts"]
        yield _gauge("jobs", "Jobs that the ledger has, by their state.", counts, "state")
        running = self.status["running"]
        for key, meaning in (("step", "Steps made by"), ("steps", "Steps planned for")):
            values = {job["job"]: job[key] for job in running}
            yield _gauge(key, f"{meaning} a running job.", values, "job")
        folders = (self.settings.state.path, *self.settings.outboxes)
        free = {str(folder): _free_bytes(folder) for folder in folders}
        yield _gauge("disk_free_bytes", "Free space where the daemon writes.", free, "folder")
        yield _gauge(
            "device_memory_bytes",
            "Memory of the devices, once the doctor has checked them.",
            {device.name: device.memory for device in self.devices},
            "device",
        )


def _gauge(
    name: str, meaning: str, value: float | Mapping[str, float | None], label: str = ""
) -> Metric:
    """A number; or several by their `label`, without those that are unknown."""
    if not isinstance(value, Mapping):
        return GaugeMetricFamily(f"stylewatch_{name}", meaning, float(value))
    family = GaugeMetricFamily(f"stylewatch_{name}", meaning, labels=[label])
    for key, number in value.items():
        if number is not None:
            family.add_metric([key], number)
    return family


def _free_bytes(folder: Path) -> int | None:
    """Free bytes for ordinary users; None where the folder, or its file system's size, is not."""
    with suppress(OSError):
        usage = disk_usage(folder)
        return usage.free if usage.total else None
    return None


ROUTES = [
    Route("/healthz", healthz),
    Route("/readyz", readyz),
    Route("/metrics", metrics),
]
