"""Answers to what is asked of the page: to people a page, to programs JSON."""

from typing import Any
from urllib.parse import SplitResult, urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from stylewatch_daemon.files.names import shown
from stylewatch_daemon.web.context import context


def is_for_people(request: Request) -> bool:
    """Whether a browser goes there, and not a program, or a script of the page."""
    return "text/html" in request.headers.get("accept", "")


def done(request: Request, *, to: str | None = None, **told: Any) -> Response:
    """It is done: people go to the page `to`, or back where they were; programs hear `told`."""
    if not is_for_people(request):
        return JSONResponse(told)
    return RedirectResponse(to or _back(request), 303)


def failed(request: Request, status: int, why: str) -> Response:
    """It is not done, and `why`, in a sentence, without what would mislead whoever reads it."""
    text = "; ".join(shown(line) for line in why.splitlines())
    if not is_for_people(request):
        return JSONResponse({"error": text}, status)
    templates = context(request).templates
    return templates.TemplateResponse(request, "error.html", {"why": text}, status)


def address(text: str) -> SplitResult:
    """Split an address that somebody sent; what is none, as `http://[`, has no parts."""
    try:
        return urlsplit(text)
    except ValueError:
        return urlsplit("")


def _back(request: Request) -> str:
    """The page of ours from which it was asked, as far as that is told; else the first one."""
    root: str = request.scope["root_path"]
    came = address(request.headers.get("referer", ""))
    ours = came.netloc.lower() == request.headers.get("host", "").lower()
    if not ours or not came.path.startswith(f"{root}/") or came.path.startswith("//"):
        return f"{root}/"
    return f"{came.path}?{came.query}" if came.query else came.path
