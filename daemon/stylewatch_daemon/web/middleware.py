"""Checks of every request, and headers of every answer.

A request is checked for the host name, the origin of a form, and the token or a session. Answers
get headers that tell browsers what to forbid, and exceptions become answers.
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
from stylewatch_daemon.web.http import failed, split_address, wants_html
from stylewatch_daemon.web.login import COOKIE, Sessions

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob:; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # With no-referrer browsers would not send the origin of a form.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}

HEALTH = "/healthz"

PUBLIC = ("/login", HEALTH, "/readyz", "/favicon.ico")
"""Addresses that need no token, as all below /static/."""

AT_ONCE: Mapping[bool, int] = {True: 512, False: 64}
"""Requests that are handled at the same time: those that only read (True), and others.

The limit of the others is lower, because many clients could send their bodies slowly.
"""

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)(?::\d{1,5})?")
_SAFE = ("GET", "HEAD")


class Gate:
    """Lets requests into `app` by the settings `web`, and by `sessions` where a token is needed."""

    def __init__(self, app: ASGIApp, web: Web, sessions: Sessions) -> None:
        self._app, self._web, self._sessions = app, web, sessions
        self._log = logging.getLogger(__name__)
        self._busy: Counter[bool] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope = self._with_root_path(scope)
        request = Request(scope, receive)
        sender = _Sender(send, lambda: self._is_allowed(request))
        try:
            refusal = self._refusal(request)
            if refusal is None:
                refusal = await self._pass_on(request, sender)
            if refusal is None:
                return
        except ClientDisconnect:
            return
        except Exception as error:
            trace = traceback.format_exc()
            self._log.error("the page failed at a request: %s", error, extra={"trace": trace})
            if sender.has_begun:
                raise
            refusal = failed(request, 500, "internal error: see the log of the daemon")
        await refusal(scope, receive, sender)

    async def _pass_on(self, request: Request, send: Send) -> Response | None:
        """Let the application answer; returns a refusal where there are too many requests.

        /healthz is always answered.
        """
        reads = request.method in _SAFE
        if self._busy[reads] >= AT_ONCE[reads] and _path_of(request) != HEALTH:
            return failed(request, 503, "too many requests at the same time: try again in a moment")
        self._busy[reads] += 1
        try:
            await self._app(request.scope, request.receive, send)
        finally:
            self._busy[reads] -= 1
        return None

    def _with_root_path(self, scope: Scope) -> Scope:
        """The scope with `web.path` in front of the path, whether a proxy removed that or not."""
        root, path = self._web.path, scope["path"]
        below = path if path == root or path.startswith(f"{root}/") else f"{root}{path}"
        return {**scope, "root_path": root, "path": below or "/"}

    def _refusal(self, request: Request) -> Response | None:
        """The answer to a request that is not allowed; None for all others."""
        hosts = request.headers.getlist("host")
        if len(hosts) != 1 or not self._is_our_name(hosts[0].lower()):
            return failed(
                request, 421, "the page is not known by this host name: add it to web.hosts"
            )
        has_token = self._has_token(request)
        if request.method not in _SAFE and not _is_from_here(request.headers, has_token):
            return failed(request, 403, "the request comes from another site: it was refused")
        if self._is_allowed(request):
            return None
        if request.method in _SAFE and wants_html(request):
            return RedirectResponse(f"{self._web.path}/login", 303)
        answer = failed(request, 401, "the token is missing or wrong (web.token_file)")
        answer.headers["WWW-Authenticate"] = 'Bearer realm="stylewatch"'
        return answer

    def _is_our_name(self, host: str) -> bool:
        """Check the host: a foreign name that leads here (DNS rebinding) is none of ours."""
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        name = match[1]
        return name in ("localhost", *self._web.hosts) or _is_ip(name.strip("[]"))

    def _has_token(self, request: Request) -> bool:
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        return kind.lower() == "bearer" and self._sessions.knows(token.strip())

    def _is_allowed(self, request: Request) -> bool:
        """Check the token or the session; no longer true once the session has ended."""
        if not self._sessions.are_needed or _is_public(request) or self._has_token(request):
            return True
        return self._sessions.holds(request.cookies.get(COOKIE, ""))


class _Sender:
    """Adds the HEADERS, and cuts a stream off once its viewer is no longer allowed to have it."""

    def __init__(self, send: Send, is_allowed: Callable[[], bool]) -> None:
        self._send, self._is_allowed = send, is_allowed
        self.has_begun = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.has_begun = True
            headers = MutableHeaders(scope=message)
            headers.setdefault("Cache-Control", "private, no-cache")
            for name, value in HEADERS.items():
                headers[name] = value
        elif message.get("more_body") and not self._is_allowed():
            raise ClientDisconnect
        await self._send(message)


def _is_from_here(headers: Headers, has_token: bool) -> bool:
    """Tell requests of our pages, and of programs with the token, from those of other sites."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:
        return site == "same-origin"
    if origin is not None:  # a proxy may have another scheme
        return split_address(origin).netloc.lower() == headers.get("host", "").lower()
    return has_token


def _is_public(request: Request) -> bool:
    path = _path_of(request)
    return path in PUBLIC or path.startswith("/static/")


def _path_of(request: Request) -> str:
    """The path below `web.path`."""
    path: str = request.scope["path"]
    return path.removeprefix(request.scope["root_path"])


def _is_ip(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
