"""Live updates: the parts of a page that have changed are sent to its viewers.

Files are checked once for all viewers. Only the newest version of each part is kept, so that slow
viewers cost no memory.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Hashable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from stylewatch_daemon.base.errors import DaemonError, OutputError
from stylewatch_daemon.client import status_json
from stylewatch_daemon.ledger.ledger import FILE_NAME
from stylewatch_daemon.outbox.publish import STAGES
from stylewatch_daemon.views import readers
from stylewatch_daemon.web import job_page, overview
from stylewatch_daemon.web.http import NO_JOB, Context, context

POLL_EVERY_S, BEAT_EVERY_S = 0.25, 15.0
"""Seconds between two checks of the files, and between a message and the comment that keeps the
stream open if no other message follows."""

MAX_VIEWERS = 400
"""Maximum number of viewers of all pages together."""

BEAT = b": still here\n\n"
GONE = b"event: gone\ndata: deleted\n\n"
RETRY = b"retry: 2000\n\n"

WATCHED = (FILE_NAME, f"{FILE_NAME}-wal", status_json.FILE_NAME)
"""Files in the state folder on which the pages depend."""

PAGES: Mapping[str, tuple[tuple[str, ...], Callable[[Context], dict[str, Any]]]] = {
    overview.TOPIC: (overview.PARTS, overview.view),
    overview.HEALTH_TOPIC: (overview.HEALTH_PARTS, overview.health),
}
"""For each page that is not about one job: the names of its parts, and the function that returns
its values."""

Parts = Mapping[str, str]
"""The HTML of each part of a page, by its name."""


class Hub:
    """Source of live updates, which checks the files while there are viewers.

    `look` returns values that change whenever a page may have changed, and `render` returns the
    parts of a page; both run in a thread.
    """

    def __init__(self, look: Callable[[], Hashable], render: Callable[[str], Parts]) -> None:
        self._look = look
        self._render = render
        self.viewers = 0
        """Number of viewers of all pages."""
        self._messages: dict[str, asyncio.Task[Mapping[str, bytes]]] = {}
        """Tasks that make the messages about a page, by its name; a change clears them."""
        self._changed = asyncio.Event()
        """Event that is set when something changes, and then replaced by a new event."""
        self._polling: asyncio.Task[None] | None = None
        self._is_ending = False

    def end(self) -> None:
        """End all streams, because the server stops; browsers connect again to the next server."""
        self._is_ending = True
        self._changed.set()

    async def watch(self, name: str) -> AsyncGenerator[bytes, None]:
        """Yield the messages to a new viewer: all parts of the page `name`, then changed parts.

        The messages end if the server stops, or with GONE if the job of the page is deleted.
        """
        self.viewers += 1
        sent: Mapping[str, bytes] = {}
        try:
            yield RETRY
            while not self._is_ending:
                if self._polling is None:
                    self._polling = asyncio.create_task(self._poll())
                changed = self._changed
                latest = sent
                with suppress(DaemonError):  # the ledger cannot be read: this viewer keeps the page
                    sent = await self._latest(name)
                    if not sent:  # the job was deleted
                        yield GONE
                        return
                news = [text for part, text in sent.items() if latest.get(part) != text]
                yield b"".join(news) or BEAT
                with suppress(TimeoutError):
                    await asyncio.wait_for(changed.wait(), BEAT_EVERY_S)
        finally:
            self.viewers -= 1

    async def _latest(self, name: str) -> Mapping[str, bytes]:
        """Return the messages about all parts of a page, by part, made once for all viewers."""
        if name not in self._messages:
            making = asyncio.to_thread(self._make_messages, name)
            self._messages[name] = asyncio.create_task(making)
        try:
            return await asyncio.shield(self._messages[name])
        except DaemonError:
            self._messages.pop(name, None)  # otherwise the error would stay until the next change
            raise

    def _make_messages(self, name: str) -> Mapping[str, bytes]:
        return {
            part: f"event: part\ndata: {json.dumps({'part': part, 'html': html})}\n\n".encode()
            for part, html in self._render(name).items()
        }

    async def _poll(self) -> None:
        """Check the files, and wake the viewers at a change, until there is no viewer left."""
        seen: Hashable = None
        try:
            while self.viewers:
                with suppress(DaemonError):  # the state folder cannot be read now
                    former = seen
                    seen = await asyncio.to_thread(self._look)
                    if seen != former:
                        self._messages.clear()
                        self._changed.set()
                        self._changed = asyncio.Event()
                await asyncio.sleep(POLL_EVERY_S)
        finally:
            self._polling = None
            self._messages.clear()  # nobody notices changes from now on


async def events(request: Request) -> Response:
    """Answer with live updates of a page, as server-sent events."""
    site = context(request)
    page = request.query_params.get("page", overview.TOPIC)
    hub: Hub = request.app.state.hub
    if hub.viewers >= MAX_VIEWERS:
        raise HTTPException(503, "too many viewers: try again later")
    if page not in PAGES:
        job = await run_in_threadpool(site.job, page)
        if job is None:
            raise HTTPException(404, NO_JOB)
        page = job.id
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(hub.watch(page), media_type="text/event-stream", headers=headers)


def look(site: Context) -> Hashable:
    """Return values that change whenever a page may change.

    They are the times of files and the state of the daemon.
    """
    status = site.status()
    times = [_mtime(site.state / name) for name in WATCHED]
    for job in status["running"]:
        for outbox in site.settings.outboxes:
            stages = partial(_mtime, outbox / job["job"] / STAGES)
            with suppress(OutputError):
                times.append(readers.read(job["id"], outbox, stages))
    health = status["health"]
    return (health["at_work"], health["paused"], *times)


def _mtime(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def parts(site: Context, page: str) -> Parts:
    """Return the HTML of the parts of a page by name; none if the page's job does not exist."""
    if page in PAGES:
        names, view = PAGES[page]
        values = view(site)
    else:
        job = site.job(page)
        values = {} if job is None else job_page.view(site, job)
        names = job_page.PARTS if values else ()
    templates = site.templates.env
    return {name: templates.get_template(f"parts/{name}.html").render(values) for name in names}


ROUTES = [Route("/events", events)]
