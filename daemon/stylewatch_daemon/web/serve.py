"""The page's process, which serves the application until the daemon ends it."""

import asyncio
import logging
import resource
import socket
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http import HTTPStatus
from multiprocessing.connection import Connection
from operator import attrgetter
from pathlib import Path
from threading import Thread
from typing import cast

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.templating import Jinja2Templates
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from stylewatch_daemon.app.monitoring import logging_as
from stylewatch_daemon.app.page import GRACE_S
from stylewatch_daemon.base import errors, shortages
from stylewatch_daemon.base.child import received
from stylewatch_daemon.base.model import PICTURES
from stylewatch_daemon.client import operations
from stylewatch_daemon.client.status_text import running_text, trash_text
from stylewatch_daemon.ledger import favorites
from stylewatch_daemon.ledger.state_dir import UPLOADS
from stylewatch_daemon.settings.config import WebPage
from stylewatch_daemon.views import formatting
from stylewatch_daemon.views.job import heading, made_from
from stylewatch_daemon.web import (
    access,
    actions,
    api,
    gallery,
    job_page,
    live_updates,
    overview,
    phones,
    pictures,
    shares,
    tries,
)
from stylewatch_daemon.web.codes import Codes
from stylewatch_daemon.web.doctor_runner import DoctorRunner
from stylewatch_daemon.web.http import JOB, LATER, Context, failed
from stylewatch_daemon.web.job_form import FormError
from stylewatch_daemon.web.live_updates import Hub
from stylewatch_daemon.web.once import Once
from stylewatch_daemon.web.previews import Previews
from stylewatch_daemon.web.sessions import Sessions

BEAT_EVERY_S = 5
"""Seconds between two signs of life to the daemon."""

MAX_MEMORY = 2 << 30
"""Maximum memory in bytes; a process that needs more is faulty and should be replaced."""

MAX_FILES = 8_192
"""Maximum number of files and connections that the process opens, if the system allows so many."""

STALLED_MS = 60_000
"""Milliseconds after which a client that reads nothing of its answer is disconnected."""

REQUEST_TIMEOUT_S = 20.0
"""Timeout in seconds for receiving all headers of a request, checked every BEAT_EVERY_S seconds."""

MAX_CONNECTIONS = 3_000
"""Maximum number of connections; fewer if the process may open only few files."""

HERE = Path(__file__).parent

PAGES = (access, actions, api, overview, gallery, live_updates, job_page, pictures,
         phones, shares, tries)  # fmt: skip
"""The modules that have routes of the application."""

STATUS = {
    errors.UsageError: 400,
    errors.SettingsError: 400,
    errors.StateError: 409,
    errors.InputError: 422,
    errors.FullError: 507,
    errors.OutputError: 503,
    errors.ShortageError: 503,
    errors.UnavailableError: 503,
}
"""HTTP status code of each kind of DaemonError, the narrowest first; all other kinds have 500."""

_SENTENCES = {404: "there is no such page", 405: "this address does not support the method"}


def application(page: WebPage) -> Starlette:
    """Return the application that serves `page`; remove the uploads of an earlier page."""
    settings = page.settings
    token = page.token
    state = settings.state.path
    sessions = Sessions(token, state / access.FILE_NAME)
    once = Once()
    templates = Jinja2Templates(directory=HERE / "templates")
    templates.env.globals |= {
        "root": settings.web.path,
        "has_sessions": sessions.are_needed,
        "retriable": operations.RETRIABLE,
        "pictures": PICTURES,
        "later": LATER,
        "large_side": pictures.LARGE_SIDE,
        "once": once.number,
    }
    templates.env.filters |= {
        "when": formatting.when,
        "progress": running_text,
        "trash_text": trash_text,
        "offered": operations.offered,
        "heading": heading,
        "made_from": made_from,
        "blend": pictures.blend,
        "content": pictures.content,
        "cover": partial(pictures.cover, state),
        "is_favorite": lambda job: favorites.is_marked(state, job.id),
        "first_style": pictures.first_style,
        "latest_stage": pictures.latest_stage,
    }
    actions.clear(state)
    app = Starlette(
        routes=[
            *_routes(),
            Route("/favicon.ico", _icon),
            Mount("/static", StaticFiles(directory=HERE / "static")),
        ],
        middleware=[Middleware(access.AccessMiddleware, web=settings.web, sessions=sessions)],
        exception_handlers={
            HTTPException: _http_error,
            errors.DaemonError: _daemon_error,
            OSError: _daemon_error,
        },
    )
    app.router.redirect_slashes = False
    site = Context(
        settings=settings,
        sessions=sessions,
        codes=Codes(state, token),
        previews=Previews(state, settings.limits),
        templates=templates,
        doctor=DoctorRunner(page.start),
        once=once,
    )
    app.state.context = site
    app.state.shared_pictures = {}
    app.state.hub = Hub(partial(live_updates.look, site), partial(live_updates.parts, site))
    return app


class _Part(Route):
    """A route to a part of a job, unless the whole path is the name of a job (law 8)."""

    def __init__(self, part: Route, whole: Route) -> None:
        super().__init__(part.path, part.endpoint, methods=part.methods)
        self._whole = whole

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or let the route to the whole job answer."""
        _, whole = self._whole.matches(scope)
        names = whole["path_params"]["job"], scope["path_params"]["job"]
        if await run_in_threadpool(_is_whole, scope["app"].state.context, *names):
            scope.update(whole)
            await self._whole.handle(scope, receive, send)
        else:
            await super().handle(scope, receive, send)


def _is_whole(site: Context, name: str, before: str) -> bool:
    """Return whether a job is called `name`, which is the whole path below /jobs (law 8).

    A similar name counts only if no job is called `before`, which is `name` without its last part.
    """
    with site.ledger() as ledger:
        if ledger.find(name) is not None:
            return True
        return ledger.find(before) is None and ledger.the_one(name) is not None


def _routes() -> Iterator[Route]:
    """Yield the routes of all modules, those to whole jobs last."""
    routes = [*(each for module in PAGES for each in module.ROUTES), *job_page.LAST_ROUTES]
    gets = [each for each in routes if "GET" in (each.methods or ())]
    wholes = {each.path: each for each in gets if each.path.endswith(JOB)}
    for route in routes:
        before, job, after = route.path.partition(JOB)
        yield _Part(route, wholes[before + job]) if route in gets and after else route


async def _icon(request: Request) -> Response:
    """Answer with the icon that browsers request on their own."""
    return FileResponse(HERE / "static/icon.svg")


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    has_reason = error.detail != HTTPStatus(error.status_code).phrase
    reason = error.detail if has_reason else _SENTENCES.get(error.status_code, error.detail)
    answer = failed(request, error.status_code, reason)
    answer.headers.update(error.headers or {})
    return answer


async def _daemon_error(request: Request, error: Exception) -> Response:
    """Answer with the reason of a DaemonError or of a full disk; raise any other OSError again.

    The HTTP status is that in STATUS, or 507 for a full disk.
    """
    assert isinstance(error, OSError | errors.DaemonError)
    if getattr(error.__cause__ or error, "errno", None) in shortages.FULL:
        status = 507
    elif isinstance(error, errors.DaemonError):
        codes = [code for kind, code in STATUS.items() if isinstance(error, kind)]
        status = codes[0] if codes else 500
    else:
        raise error
    mistakes = {"mistakes": error.sentences} if isinstance(error, FormError) else {}
    return failed(request, status, shortages.in_words(error), **mistakes)


# The process


def serve(life: Connection, fd: int, page: WebPage) -> None:
    """Serve `page` to the clients of the listening socket `fd`, until `life` is closed."""
    logging.getLogger("python_multipart").disabled = True  # the answer says what is wrong
    listening = socket.socket(fileno=fd)
    listening.set_inheritable(False)
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (MAX_MEMORY, most))
    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(files, min(most, MAX_FILES)), most))
    # Accepted connections inherit these options. asyncio sets TCP_NODELAY only for sockets that
    # were made with a protocol; a UNIX socket has no such options.
    with suppress(OSError):
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STALLED_MS)
    with suppress(OSError):  # otherwise uploads go into the temporary folder, often in memory
        uploads = page.settings.state.path / UPLOADS
        uploads.mkdir(parents=True, exist_ok=True)
        tempfile.tempdir = str(uploads)
    with logging_as(page.settings.log, quiet=False):
        app = application(page)
        config = uvicorn.Config(
            app,
            http=LimitedProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",  # invalid requests of others should not fill the log
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=int(GRACE_S),
            timeout_notify=BEAT_EVERY_S,
        )
        server = _Server(config)
        config.callback_notify = partial(_beat, server, life)
        hub: Hub = app.state.hub
        asyncio.run(_serve(server, listening, hub, life))


class _Server(uvicorn.Server):
    """A server that leaves signals to the daemon."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _beat(server: uvicorn.Server, life: Connection) -> None:
    """Send a sign of life to the daemon, and disconnect clients that send nothing.

    The daemon replaces a process that hangs or is stopped.
    """
    with suppress(OSError):  # the daemon has ended, and this process is about to end
        life.send_bytes(b"")
    latest = asyncio.get_running_loop().time() - REQUEST_TIMEOUT_S
    for connection in list(_waiting(server.server_state.connections)):
        if connection.waits_since < latest:
            connection.transport.abort()


async def _serve(
    server: uvicorn.Server, listening: socket.socket, hub: Hub, life: Connection
) -> None:
    """Serve until `life` is closed; then end the live updates, which do not end by themselves."""
    loop = asyncio.get_running_loop()

    def exit_when_closed() -> None:
        received(life)
        server.should_exit = True
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(hub.end)

    Thread(target=exit_when_closed, name="sign of life", daemon=True).start()
    await server.serve([listening])


class LimitedProtocol(H11Protocol):
    """A connection that records when it began to wait for a request, by the event loop's clock.

    If there are too many connections, the one that has waited longest is closed, so that new
    clients are answered even if many others are connected and send nothing.
    """

    waits_since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Add a connection, and close the one that has waited longest if there are too many."""
        super().connection_made(cast(asyncio.Transport, transport))
        self.waits_since = self.loop.time()
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if len(self.connections) > min(MAX_CONNECTIONS, files // 2):  # the other half is for files
            idle = min(_waiting(self.connections), key=attrgetter("waits_since"))
            # Otherwise connections that are made at the same time would choose it, too.
            self.connections.discard(idle)
            idle.transport.abort()

    def on_response_complete(self) -> None:
        """Record the time from which the connection waits for its next request."""
        self.waits_since = self.loop.time()
        super().on_response_complete()


def _waiting(connections: Iterable[object]) -> Iterator[LimitedProtocol]:
    """Yield the connections whose requests have all been answered."""
    for each in connections:
        if isinstance(each, LimitedProtocol) and (not each.cycle or each.cycle.response_complete):
            yield each
