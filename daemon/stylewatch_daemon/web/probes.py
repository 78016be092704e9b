"""Whether all is well, for programs that watch: /healthz, /readyz and /metrics.

GET /healthz    200 while this process answers
GET /readyz     200 while the daemon is at work and takes what comes; else 503, and why
GET /metrics    numbers, for Prometheus
"""

from collections.abc import Mapping
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from stylewatch_daemon.web import metrics
from stylewatch_daemon.web.context import context


def routes() -> list[Route]:
    """The probes."""
    return [
        Route("/healthz", healthz, methods=["GET"]),
        Route("/readyz", readyz, methods=["GET"]),
        Route("/metrics", numbers, methods=["GET"]),
    ]


async def healthz(request: Request) -> Response:
    """This process answers, and more is not asked."""
    return PlainTextResponse("ok\n")


async def readyz(request: Request) -> Response:
    """Whether a picture that is dropped now would be painted in its turn."""
    now = await run_in_threadpool(context(request).reader.published)
    why = unready(now)
    return PlainTextResponse(f"{why or 'ok'}\n", 503 if why else 200)


async def numbers(request: Request) -> Response:
    """All numbers, as Prometheus reads them."""
    here = context(request)
    now = await run_in_threadpool(here.reader.published)
    report = here.checkup.latest()
    devices = report.devices if report is not None else ()
    content = await run_in_threadpool(metrics.exposed, now, here.settings, devices)
    return Response(content, media_type=metrics.KIND)


def unready(now: Mapping[str, Any]) -> str:
    """Why the daemon would not paint what comes, by what it published; empty where it would.

    This goes to everybody, so that it names no job and no folder.
    """
    health = now["health"]
    if not health["at_work"]:
        return "no daemon is at work"
    if health["since"] is None:
        return "the daemon has yet to say how it stands"
    if health["paused"]:
        return "the daemon is paused"
    if health["trouble"]:
        return f"{len(health['trouble'])} things are in the way, and wait"
    return ""
