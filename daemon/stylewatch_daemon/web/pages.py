"""The pages: what is painted now, the gallery, a job, health; their pictures and their news."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response
from starlette.responses import StreamingResponse as Streaming
from starlette.routing import Route

from stylewatch_daemon.store.ledger import Entry
from stylewatch_daemon.web import files, pictures, stream, thumbs
from stylewatch_daemon.web.app_state import NOW, studio, told_of
from stylewatch_daemon.web.context import context
from stylewatch_daemon.web.views import ENDED, Card
from stylewatch_painter.recipes import book
from stylewatch_plugins import registry

PAGE = 24
"""Jobs on a page of the gallery."""

SIZES = ("320", "512", "640", "1024", "2048")
"""What can be chosen without a word of one's own: pixels of the long side."""

BLANK = "blank.svg"
"""What stands in the place of a small picture until there is one; scripts ask again for it."""


def routes() -> list[Route]:
    """What can be looked at."""
    return [
        Route("/", now, name="now"),
        Route("/gallery", gallery, name="gallery"),
        Route("/health", health, name="health"),
        Route("/events", events, name="events"),
        Route("/jobs/{job}", job, name="job"),
        Route("/jobs/{job}/receipt.json", receipt, name="receipt"),
        Route("/jobs/{job}/pictures/{what}", picture, name="picture"),
        Route("/jobs/{job}/small/{side}/{what}", small, name="small"),
    ]


@dataclass(frozen=True)
class Shelf:
    """A page of the gallery; `older` and `newest` are the queries of others, empty for none."""

    state: str
    cards: tuple[Card, ...]
    counts: dict[str, int]
    older: str
    newest: str


def now(request: Request) -> Response:
    """The first page: what is painted, what waits, and where more is dropped."""
    here = studio(request)
    standing = here.views.now()
    settings = here.context.settings
    values = {
        "now": standing,
        "events": f"/events?page={NOW}",
        "recipes": book.names(*settings.recipes),
        "backends": registry.names(),
        "sizes": SIZES,
        "usual": settings.job,
    }
    return here.context.templates.TemplateResponse(request, "now.html", values)


def gallery(request: Request) -> Response:
    """Jobs at their end, the last first, page by page."""
    here = studio(request)
    asked = request.query_params.get("state", "done")
    states: tuple[str, ...] = tuple(one for one in ENDED if one == asked)
    if not states:
        raise HTTPException(404, f"there is no shelf for jobs that are {asked!r}")
    time, _, last = request.query_params.get("before", "").partition("~")
    before = (time, last) if time and last else None
    with here.context.reader.ledger() as ledger:
        found = ledger.ended(states, PAGE + 1, before) if ledger else []
    shelf = Shelf(
        state=asked,
        cards=tuple(here.views.card(entry) for entry in found[:PAGE]),
        counts=here.context.reader.published()["counts"],
        older=_older(asked, found),
        newest=urlencode({"state": asked}) if before else "",
    )
    return here.context.templates.TemplateResponse(request, "gallery.html", {"shelf": shelf})


def _older(state: str, found: list[Entry]) -> str:
    if len(found) <= PAGE:
        return ""
    last = found[PAGE - 1]
    return urlencode({"state": state, "before": f"{last.finished}~{last.id}"})


async def health(request: Request) -> Response:
    """How the daemon is, and what the doctor says."""
    here = studio(request)
    found = await run_in_threadpool(here.views.health)
    values = {"health": found, "report": await here.context.checkup.look()}
    return here.context.templates.TemplateResponse(request, "health.html", values)


def job(request: Request) -> Response:
    """The story of a job."""
    here = studio(request)
    told = told_of(here.context, here.views, request.path_params["job"])
    if told is None:
        return _other(request)
    values: dict[str, Any] = {"story": told, "events": f"/events?{urlencode({'page': told.id})}"}
    return here.context.templates.TemplateResponse(request, "job.html", values)


def _other(request: Request) -> Response:
    """What is asked for by another name than its id: a job is found by that as well."""
    here = context(request)
    with here.reader.ledger() as ledger:
        entry = ledger.find(request.path_params["job"]) if ledger is not None else None
    if entry is None:
        raise HTTPException(404, "there is no such job, or it was forgotten by now")
    return RedirectResponse(f"{request.scope.get('root_path', '')}/jobs/{entry.id}", 302)


def receipt(request: Request) -> Response:
    """The receipt of a job, as it was written."""
    entry = context(request).reader.job(request.path_params["job"])
    told = files.receipt(entry) if entry is not None else {}
    if not told:
        raise HTTPException(404, "there is no receipt, so that is not done")
    return JSONResponse(told)


def picture(request: Request) -> Response:
    """A picture of a job, as its file is."""
    found = _found(request)
    if found is None:
        raise HTTPException(404, "there is no such picture")
    return pictures.answer(request, found)


async def small(request: Request) -> Response:
    """A picture of a job, small; a blank where it takes long to make."""
    here = studio(request)
    side = next((one for one in thumbs.SIDES if str(one) == request.path_params["side"]), None)
    if side is None:
        raise HTTPException(404, "there is no such size")
    sha256 = await run_in_threadpool(_input_digest, request)
    path = here.thumbs.known(sha256, side) if sha256 else None
    if path is None:
        found = await run_in_threadpool(_found, request)
        if found is not None:
            found.file.close()
            sha256 = found.sha256
            path = await here.thumbs.get(found.place.path, sha256, side)
    sure = path is not None and sha256.startswith(request.query_params.get("d") or "-")
    path = path or (here.thumbs.known(sha256, thumbs.SIDES[0]) if sha256 else None)
    if path is None:
        blank = f"{request.scope.get('root_path', '')}/static/{BLANK}"
        return RedirectResponse(blank, 302, {"Cache-Control": "no-store"})
    headers = {"Cache-Control": pictures.EVER if sure else pictures.NOW}
    return FileResponse(path, headers=headers, media_type="image/jpeg")


def _input_digest(request: Request) -> str:
    """The digest of an input by the ledger, whose small picture outlives its file; else empty."""
    entry = context(request).reader.job(request.path_params["job"])
    if entry is None:
        return ""
    sought = pictures.wanted(entry, context(request).state, request.path_params["what"])
    return sought.sha256


def _found(request: Request) -> pictures.Found | None:
    here = context(request)
    entry = here.reader.job(request.path_params["job"])
    if entry is None:
        return None
    return pictures.find(entry, here.state, request.path_params["what"])


async def events(request: Request) -> Response:
    """News of a page, as they come (server-sent events)."""
    here, page = studio(request), request.query_params.get("page", NOW)
    if here.hub.viewers >= stream.MOST:
        raise HTTPException(503, "too many look on already")
    if page != NOW and await run_in_threadpool(context(request).reader.job, page) is None:
        raise HTTPException(404, "there is no such job")
    last = request.headers.get("Last-Event-ID", "")
    told: AsyncIterator[bytes] = here.hub.watch(page, last)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return Streaming(told, media_type="text/event-stream", headers=headers)
