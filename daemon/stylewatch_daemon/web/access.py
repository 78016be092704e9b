"""Access control: login and logout, checks of every request, and headers of every answer.

The checks concern the host name, the origin of a form, and the token or the session. The headers
keep browsers from loading scripts and pictures of other sites, and from showing a page in a frame
of another site. Unexpected exceptions are logged and answered with status 500.
"""

import asyncio
import logging
import re
import traceback
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from ipaddress import ip_address
from urllib.parse import quote, urlencode, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stylewatch_daemon.settings.sections import WebSettings
from stylewatch_daemon.web.http import Fields, context, failed, form, root_path, wants_html
from stylewatch_daemon.web.sessions import LASTS_S, PHONE_LASTS_S, Sessions

FILE_NAME = "sessions.json"

WRONG_TOKEN_DELAY_S = 0.5
"""Delay in seconds of the answer to a wrong token or code."""

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob:; media-src 'self'; connect-src 'self'; form-action 'self'; "
    "manifest-src 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # With no-referrer browsers would not send the origin of a form.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}

HEALTH = "/healthz"

PUBLIC = ("/login", "/pair", HEALTH, "/readyz", "/favicon.ico")
"""Addresses that need no token; addresses below /static/ need none either."""

SHARE = "/share"
"""Address to which a phone shares pictures. The requests may come from a page of ours, or from the
browser itself (`Sec-Fetch-Site: none`), which no other site can imitate."""

LOGIN_WITHIN_S = 3.0
"""Timeout in seconds for receiving a form with a token or a code."""

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?)\.?(?::\d{1,5})?")
_PORT = re.compile(r":\d*$")
_USUAL_PORTS = {"http": 80, "https": 443}
_SAFE = ("GET", "HEAD")


# Logging in and out


async def show_login(request: Request) -> Response:
    """Answer with a form that asks for the token; redirect to the first page if none is needed."""
    if not context(request).sessions.are_needed:
        return RedirectResponse(f"{root_path(request)}/", 303)
    return _login_page(request, 200, request.query_params.get("next", ""))


def _login_page(request: Request, status: int, to: str, reason: str = "") -> Response:
    """Answer with a form that asks for the token, and leads to the path `to` after the login.

    If there is a `reason` why the login is necessary, a program gets it as an error instead.
    """
    if reason and not wants_html(request):
        return failed(request, status, reason)
    values = {"next": to, "reason": reason}
    return context(request).templates.TemplateResponse(request, "login.html", values, status)


async def log_in(request: Request) -> Response:
    """Begin a session for a visitor who knows the token, and end the browser's earlier session.

    The answer redirects to the path in the field `next`, and never to another host: leading slashes
    are removed, and Starlette quotes backslashes. A visitor with a wrong token gets the form again.
    Raises HTTPException if too many visitors log in at the same time.
    """
    sessions = context(request).sessions
    if not sessions.are_needed:
        return await show_login(request)
    async with login_form(request) as fields:
        if not sessions.is_token(fields.get("token", "")):
            await slow_down(request, sessions)
            return _login_page(request, 403, fields.get("next", ""), "wrong token: try again")
    return await admit(request, fields.get("next", "").lstrip("/"))


@asynccontextmanager
async def login_form(request: Request) -> AsyncIterator[Fields]:
    """Yield the form of a login; at most LOGINS_AT_ONCE logins are handled at the same time.

    Raises HTTPException if there are too many, and as `form` does.
    """
    logins = context(request).sessions.logins
    if logins.locked():
        raise HTTPException(503, "too many logins at the same time: try again in a moment")
    async with logins:
        yield await form(request, LOGIN_WITHIN_S)


def cookie_name(request: Request) -> str:
    """Return the name of the session's cookie, which is a different one if a proxy uses TLS.

    Browsers share cookies between the ports of a host, and a page without TLS cannot replace a
    cookie that was set with TLS.
    """
    name = context(request).sessions.cookie
    return f"{name}-tls" if _is_secure(request) else name


def _is_secure(request: Request) -> bool:
    """Return whether a proxy uses TLS; a client that sends this header itself harms only itself."""
    return first_value(request.headers, "x-forwarded-proto") == "https"


async def admit(request: Request, to: str, phone: str = "") -> Response:
    """Begin a session of a browser or the phone called `phone`; redirect to `to` below the root.

    The earlier session of the browser is ended.
    """
    sessions = context(request).sessions
    root = root_path(request)
    answer = RedirectResponse(f"{root}/{to}", 303)
    await run_in_threadpool(sessions.end, request.cookies.get(cookie_name(request), ""))
    answer.set_cookie(
        cookie_name(request),
        await run_in_threadpool(sessions.begin, phone),
        max_age=PHONE_LASTS_S if phone else LASTS_S,
        path=f"{root}/",
        httponly=True,
        samesite="lax",
        secure=_is_secure(request),
    )
    return answer


async def log_out(request: Request) -> Response:
    """End the session, for everybody who has its cookie, and remove the cookie."""
    sessions = context(request).sessions
    root = root_path(request)
    await run_in_threadpool(sessions.end, request.cookies.get(cookie_name(request), ""))
    answer = RedirectResponse(f"{root}/login", 303)
    answer.delete_cookie(cookie_name(request), path=f"{root}/", httponly=True, samesite="lax")
    return answer


# Every request


class AccessMiddleware:
    """Middleware that passes requests to `app` if the settings `web` and `sessions` allow them."""

    def __init__(self, app: ASGIApp, web: WebSettings, sessions: Sessions) -> None:
        self._app = app
        self._web = web
        self._sessions = sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass an allowed request to the application; answer any other request with the reason.

        An unexpected exception of the application is logged, and answered with status 500 unless
        the answer has begun.
        """
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        request = Request(self._with_root_path(scope), receive)
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        has_token = kind.lower() == "bearer" and self._sessions.is_token(token.strip())
        sender = _Sender(send, lambda: has_token or self._is_allowed(request))
        answer = self._refusal(request, has_token) or self._app
        is_guess = kind.lower() == "bearer" and self._sessions.are_needed and not has_token
        try:
            if answer is not self._app and is_guess:
                await slow_down(request, self._sessions)
            await answer(request.scope, receive, sender)
        except ClientDisconnect:
            return
        except Exception as error:
            log = logging.getLogger(__name__)
            trace = traceback.format_exc()
            reason = "out of memory" if isinstance(error, MemoryError) else error
            log.error("the page failed at a request: %s", reason, extra={"trace": trace})
            if sender.has_begun:
                raise
            broken = failed(request, 500, "internal error: see the log of the daemon")
            await broken(request.scope, receive, sender)

    def _with_root_path(self, scope: Scope) -> Scope:
        """Return the scope with `web.path` in front of the path, even if a proxy has removed it."""
        root = self._web.path
        path = scope["path"]
        below = path if path == root or path.startswith(f"{root}/") else f"{root}{path}"
        return {**scope, "root_path": root, "path": below or "/"}

    def _refusal(self, request: Request, has_token: bool) -> Response | None:
        """Return the answer to a request that is not allowed; None if it is allowed."""
        hosts = request.headers.getlist("host")
        if len(hosts) != 1 or not self._is_our_name(hosts[0].lower()):
            return failed(
                request, 421, "the page is not known by this host name: add it to web.hosts"
            )
        if request.scope["path"] == self._web.path:
            return RedirectResponse(f"{self._web.path}/")  # else the browser would send no cookie
        is_safe = request.method in _SAFE
        may_share = path_of(request) == SHARE
        if not is_safe and not _is_from_here(request.headers, has_token, may_share=may_share):
            return failed(request, 403, _foreign(request.headers))
        if has_token or self._is_allowed(request):
            return None
        return self._without_session(request, is_safe=is_safe)

    def _without_session(self, request: Request, *, is_safe: bool) -> Response:
        """Return the answer to a request without a session or token.

        A browser gets a login that leads back to the page of the request; a program gets an error.
        """
        if is_safe and wants_html(request):
            path = request.scope["path"].removeprefix(self._web.path)
            wanted = quote(path) + (f"?{request.url.query}" if request.url.query else "")
            to = f"{self._web.path}/login?{urlencode({'next': wanted})}"
            return RedirectResponse(to, 303)
        reason = "the session has ended, and nothing was done: log in, and do it again"
        if wants_html(request):
            return _login_page(request, 401, self._page_of(request), reason)
        is_browser = cookie_name(request) in request.cookies
        missing = "the token is missing or wrong (web.token_file)"
        answer = failed(request, 401, reason if is_browser else missing)
        answer.headers["WWW-Authenticate"] = 'Bearer realm="stylewatch"'
        return answer

    def _page_of(self, request: Request) -> str:
        """Return the path of the page from which a form was sent; empty if it is unknown."""
        try:
            page = urlsplit(request.headers.get("referer", ""))
            return page._replace(scheme="", netloc="", fragment="").geturl()[len(self._web.path) :]
        except ValueError:
            return ""

    def _is_our_name(self, host: str) -> bool:
        """Return whether the header Host has a name of this page or an IP address.

        A request with any other name may be an attack by DNS rebinding.
        """
        match = _HOST.fullmatch(host)
        if match is None or match[1] in ("localhost", *self._web.names):
            return match is not None
        try:
            return bool(ip_address(match[1].strip("[]")))
        except ValueError:
            return False

    def _is_allowed(self, request: Request) -> bool:
        """Return whether an open session allows the request, or no session is needed for it."""
        path = path_of(request)
        if not self._sessions.are_needed or path in PUBLIC or path.startswith("/static/"):
            return True
        return self._sessions.is_open(request.cookies.get(cookie_name(request), ""))


class _Sender:
    """Sender that adds the HEADERS, and ends a stream once its viewer's session has ended."""

    def __init__(self, send: Send, is_allowed: Callable[[], bool]) -> None:
        self._send = send
        self._is_allowed = is_allowed
        self.has_begun = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.has_begun = True
            headers = MutableHeaders(scope=message)
            headers.setdefault("Cache-Control", "private, no-cache")
            headers.update(HEADERS)
        elif message.get("more_body") and not self._is_allowed():
            raise ClientDisconnect
        await self._send(message)


async def slow_down(request: Request, sessions: Sessions) -> None:
    """Record that the client gave a wrong token or code, and wait WRONG_TOKEN_DELAY_S seconds."""
    sessions.note_wrong_token(request.client.host if request.client else "a UNIX socket")
    await asyncio.sleep(WRONG_TOKEN_DELAY_S)


def path_of(request: Request) -> str:
    """Return the path of a request below the root of the page."""
    path: str = request.scope["path"]
    return path.removeprefix(request.scope["root_path"])


def _is_from_here(headers: Headers, has_token: bool, *, may_share: bool = False) -> bool:
    """Return whether a request comes from our pages, or from a program that has the token.

    A program sends neither Sec-Fetch-Site nor Origin. With `may_share`, a request that the user
    started outside of any page also counts, for example from the share menu of a phone
    (`Sec-Fetch-Site: none`).
    """
    site = headers.get("sec-fetch-site")
    origin = headers.get("origin")
    if site is not None:
        return site == "same-origin" or (may_share and site == "none")
    if origin is None:
        return has_token
    try:
        page = urlsplit(origin.lower())
        usual = f"{page.netloc}:{_USUAL_PORTS.get(page.scheme)}"
        return not {page.netloc, usual}.isdisjoint(_addresses(headers))
    except ValueError:
        return False


def _addresses(headers: Headers) -> set[str]:
    """Return the hosts, with their ports, as which a browser may know the page (law 11).

    The scheme is left out, because a proxy may use another scheme than this server. A page of
    another site cannot make a browser send the headers of proxies, unless this page allows it
    first.
    """
    hosts = {first_value(headers, "host"), first_value(headers, "x-forwarded-host")} - {""}
    port = first_value(headers, "x-forwarded-port")
    return hosts | {f"{_PORT.sub('', host)}:{port}" for host in hosts if port}


def first_value(headers: Headers, name: str) -> str:
    """Return the first value of the header `name`, in lower case; empty if it is missing."""
    return headers.get(name, "").partition(",")[0].strip().lower()


def _foreign(headers: Headers) -> str:
    """Return the reason for refusing a request that may come from another site."""
    return (
        f"the request may come from another site: its Origin is {headers.get('origin', 'missing')},"
        f" and it reached the page as {headers.get('host')}; a program sends the token without "
        "Origin; a proxy passes on the address in the browser, with its port, as Host or "
        "X-Forwarded-Host, or the port as X-Forwarded-Port (docs/web.md)"
    )


ROUTES = [
    Route("/login", show_login),
    Route("/login", log_in, methods=["POST"]),
    Route("/logout", log_out, methods=["POST"]),
]
