"""Logging in and out, where a token is needed: a form, and a cookie."""

import asyncio

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from stylewatch_daemon.web.context import context
from stylewatch_daemon.web.forms import form
from stylewatch_daemon.web.responses import failed
from stylewatch_daemon.web.sessions import COOKIE, LASTS_S, Sessions

PAUSE_S = 0.5
"""Seconds that somebody waits who said something else than the token."""


def routes(sessions: Sessions) -> list[Route]:
    """The pages that begin and end one of the `sessions`."""
    door = Door(sessions)
    return [
        Route("/login", door.ask, methods=["GET"]),
        Route("/login", door.let_in, methods=["POST"]),
        Route("/logout", door.let_out, methods=["POST"]),
    ]


class Door:
    """Begins and ends `sessions`."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def ask(self, request: Request) -> Response:
        """A form that asks for the token; where none is needed, the page."""
        if not self._sessions.are_needed:
            return RedirectResponse(f"{request.scope['root_path']}/", 303)
        return context(request).templates.TemplateResponse(request, "login.html")

    async def let_in(self, request: Request) -> Response:
        """A new session, for somebody who knows the token; one that they had before ends."""
        if not self._sessions.are_needed:
            return await self.ask(request)
        said = await form(request)
        if not self._sessions.knows(said.get("token", "")):
            await asyncio.sleep(PAUSE_S)
            return failed(request, 403, "that is not the token")
        root: str = request.scope["root_path"]
        answer = RedirectResponse(f"{root}/", 303)
        await run_in_threadpool(self._sessions.end, request.cookies.get(COOKIE, ""))
        answer.set_cookie(
            COOKIE,
            await run_in_threadpool(self._sessions.begin),
            max_age=LASTS_S,
            path=f"{root}/",
            httponly=True,
            samesite="strict",
            # where a proxy speaks TLS; who says so wrongly harms nobody else
            secure=request.headers.get("x-forwarded-proto") == "https",
        )
        return answer

    async def let_out(self, request: Request) -> Response:
        """End the session, for everybody who has its cookie, and take the cookie away."""
        root: str = request.scope["root_path"]
        await run_in_threadpool(self._sessions.end, request.cookies.get(COOKIE, ""))
        answer = RedirectResponse(f"{root}/login", 303)
        answer.delete_cookie(COOKIE, path=f"{root}/", httponly=True, samesite="strict")
        return answer
