"""What every request passes on its way in, and every answer on its way out.

In: the name by which the page was reached, where a POST comes from, whether one knows the token.
Out: what a browser must know to be no danger to the page, and an answer even where we failed.
"""

import logging
import re
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from ipaddress import ip_address

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stylewatch_daemon.settings.sections import Web
from stylewatch_daemon.web.responses import address, failed
from stylewatch_daemon.web.sessions import COOKIE, Sessions

OUT: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob:; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # not no-referrer, with which browsers do not say where a form comes from
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}

HEALTH = "/healthz"

OPEN = ("/login", HEALTH, "/readyz", "/favicon.ico")
"""What is told to everybody, and so is all below /static/."""

AT_ONCE: Mapping[bool, int] = {True: 512, False: 64}
"""Requests that are answered at once: those that only read, and those that change something.

A browser's form comes at once, but a body may also be sent slowly, by many.
"""

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)(?::\d{1,5})?")
_HARMLESS = ("GET", "HEAD")


class Gate:
    """Stands before `app`, which is served by the settings `web`, to those with `sessions`."""

    def __init__(self, app: ASGIApp, web: Web, sessions: Sessions) -> None:
        self._app, self._web, self._sessions = app, web, sessions
        self._log = logging.getLogger(__name__)
        self._busy: Counter[bool] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request in, or answer it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope = self._placed(scope)
        request = Request(scope, receive)
        leaving = _Leaving(send, lambda: self._may(request))
        try:
            refusal = self._refusal(request)
            if refusal is None:
                refusal = await self._in_turn(request, leaving)
            if refusal is None:
                return
        except ClientDisconnect:
            return
        except Exception as error:
            trace = traceback.format_exc()
            self._log.error("the page failed at a request: %s", error, extra={"trace": trace})
            if leaving.begun:
                raise
            refusal = failed(request, 500, "a fault of our own, which the daemon's log tells of")
        await refusal(scope, receive, leaving)

    async def _in_turn(self, request: Request, send: Send) -> Response | None:
        """Have a request answered; what to answer instead where there are too many.

        The question whether the page answers is always answered.
        """
        reads = request.method in _HARMLESS
        if self._busy[reads] >= AT_ONCE[reads] and _asked_for(request) != HEALTH:
            return failed(request, 503, "too many ask at the same time: try again in a moment")
        self._busy[reads] += 1
        try:
            await self._app(request.scope, request.receive, send)
        finally:
            self._busy[reads] -= 1
        return None

    def _placed(self, scope: Scope) -> Scope:
        """The same below our path, whether a proxy left that in front or took it away."""
        root, path = self._web.path, scope["path"]
        below = path if path == root or path.startswith(f"{root}/") else f"{root}{path}"
        return {**scope, "root_path": root, "path": below or "/"}

    def _refusal(self, request: Request) -> Response | None:
        """What to answer at once; None where the request may pass."""
        hosts = request.headers.getlist("host")
        if len(hosts) != 1 or not self._is_ours(hosts[0].lower()):
            return failed(
                request, 421, "the page does not go by this name: list it under web.hosts"
            )
        knows = self._knows(request)
        if request.method not in _HARMLESS and not _is_from_here(request.headers, knows):
            return failed(request, 403, "this was asked from another site, and is not done")
        if self._may(request):
            return None
        if request.method in _HARMLESS and "text/html" in request.headers.get("accept", ""):
            return RedirectResponse(f"{self._web.path}/login", 303)
        answer = failed(request, 401, "say the token first")
        answer.headers["WWW-Authenticate"] = 'Bearer realm="stylewatch"'
        return answer

    def _is_ours(self, host: str) -> bool:
        """Whether nobody could have made a browser believe that this is our name."""
        found = _HOST.fullmatch(host)
        if found is None:
            return False
        name = found[1]
        return name in ("localhost", *self._web.hosts) or _is_ip(name.strip("[]"))

    def _knows(self, request: Request) -> bool:
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        return kind.lower() == "bearer" and self._sessions.knows(given.strip())

    def _may(self, request: Request) -> bool:
        """Whether an answer is for whoever asks; no longer, once their session has ended."""
        if not (self._sessions.are_needed and _is_closed(request)) or self._knows(request):
            return True
        return self._sessions.holds(request.cookies.get(COOKIE, ""))


class _Leaving:
    """Sends on, with what browsers must know, for as long as whoever asked `may` have it."""

    def __init__(self, send: Send, may: Callable[[], bool]) -> None:
        self._send, self._may = send, may
        self.begun = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.begun = True
            headers = MutableHeaders(scope=message)
            headers.setdefault("Cache-Control", "private, no-cache")
            for name, value in OUT.items():
                headers[name] = value
        elif message.get("more_body") and not self._may():
            raise ClientDisconnect
        await self._send(message)


def _is_from_here(headers: Headers, knows: bool) -> bool:
    """Whether one of our own pages asks, or a program that `knows` the token."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:
        return site == "same-origin"
    if origin is not None:  # the scheme is a proxy's affair
        return address(origin).netloc.lower() == headers.get("host", "").lower()
    return knows


def _is_closed(request: Request) -> bool:
    """Whether what is asked for is told only to those who know the token."""
    path = _asked_for(request)
    return not (path in OPEN or path.startswith("/static/"))


def _asked_for(request: Request) -> str:
    """The path below ours."""
    path: str = request.scope["path"]
    return path.removeprefix(request.scope["root_path"])


def _is_ip(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
