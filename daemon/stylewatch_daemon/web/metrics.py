"""Probes for programs, and numbers for Prometheus, made of status.json each time."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from shutil import disk_usage
from typing import Any

from prometheus_client import generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from stylewatch_daemon.web.http import Context, context


async def healthz(request: Request) -> Response:
    """Answer 200 while this process runs."""
    return PlainTextResponse("ok\n")


def readyz(request: Request) -> Response:
    """Answer 200 while the daemon would start new jobs; else 503 and the reason."""
    reason = _not_ready(context(request).reader.published()["health"])
    return PlainTextResponse(f"{reason or 'ok'}\n", 503 if reason else 200)


def _not_ready(health: Mapping[str, Any]) -> str:
    """Return why the daemon would not start new jobs; empty if it would.

    Everybody may read this, so it names no job and no folder.
    """
    if not health["at_work"]:
        return "no daemon is running"
    if health["since"] is None:
        return "the daemon has not published its status yet"
    if health["paused"]:
        return "the daemon is paused"
    if health["trouble"]:
        return f"problems that stop jobs or inboxes: {len(health['trouble'])}"
    return ""


def metrics(request: Request) -> Response:
    """Answer with all numbers in the text format of Prometheus."""
    content = generate_latest(_Numbers(context(request)))
    return Response(content, media_type=CONTENT_TYPE_PLAIN_0_0_4)


@dataclass(frozen=True)
class _Numbers(Collector):
    here: Context

    def collect(self) -> Iterator[Metric]:
        """Yield each number with its meaning."""
        status = self.here.reader.published()
        health, counts, running = status["health"], status["counts"], status["running"]
        steps = {job["job"]: job["step"] for job in running}
        planned = {job["job"]: job["steps"] for job in running}
        free = dict(_free_bytes(self.here.state, *self.here.settings.outboxes))
        yield _gauge("up", "Whether the daemon runs.", health["at_work"])
        yield _gauge("paused", "Whether the daemon starts no new jobs.", health["paused"])
        yield _gauge("incomplete", "Incomplete pairs in the inboxes.", len(status["incomplete"]))
        yield _gauge("trouble", "Problems that stop jobs or inboxes.", len(health["trouble"]))
        yield _gauges("jobs", "Jobs that the ledger has, by their state.", "state", counts)
        yield _gauges("step", "Steps made by a running job.", "job", steps)
        yield _gauges("steps", "Steps planned for a running job.", "job", planned)
        yield _gauges("disk_free_bytes", "Free space where the daemon writes.", "folder", free)


def _gauge(name: str, meaning: str, value: float) -> Metric:
    return GaugeMetricFamily(f"stylewatch_{name}", meaning, float(value))


def _gauges(name: str, meaning: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(f"stylewatch_{name}", meaning, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def _free_bytes(*folders: Path) -> Iterator[tuple[str, int]]:
    """Yield the folders, each with its free bytes for ordinary users where they are known."""
    for folder in folders:
        with suppress(OSError):
            usage = disk_usage(folder)
            if usage.total:
                yield str(folder), usage.free


ROUTES = [
    Route("/healthz", healthz),
    Route("/readyz", readyz),
    Route("/metrics", metrics),
]
