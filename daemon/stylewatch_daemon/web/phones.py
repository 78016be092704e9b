"""Phones: their pairing by a code, and the page that lists them, adds one and removes one.

GET  /pair          the form for a code; a script takes the code from the fragment of the address,
                    which browsers send to nobody, and sends the form
POST /pair          `code`, and `name` of the phone: begins its session
GET  /phones        the phones that have a session
POST /phones        makes a code, and shows it with its QR code
POST /phones/end    `phone`: ends the session of this one
"""

from datetime import UTC, datetime
from functools import partial

import segno
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from stylewatch_daemon.base.errors import DaemonError, InputError
from stylewatch_daemon.doctor.addresses import IN_THE_CLEAR, url_for_phones
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.web.access import admit, cookie_name, login_form, slow_down
from stylewatch_daemon.web.http import (
    Fields,
    context,
    done,
    failed,
    form,
    root_path,
    wants_html,
)
from stylewatch_daemon.web.once import FIELD

LONGEST_NAME = 40
"""Maximum number of characters of a phone's name."""

NOT_BY_PHONE = (
    "a phone cannot add another one, or remove one: log in with the token, or run `stylewatch "
    "phone` there to add it"
)

KINDS = ("iPhone", "iPad", "Android", "Windows", "Macintosh", "Linux")
"""Words in the User-Agent of browsers by which a phone without a name is called."""


async def show_form(request: Request, reason: str = "") -> Response:
    """Answer with the form for a code, and with the `reason` why an earlier code was refused.

    Programs get that reason as an error. If no code is needed, redirect to the first page.
    """
    if not context(request).sessions.are_needed:
        return RedirectResponse(f"{root_path(request)}/", 303)
    if reason and not wants_html(request):
        return failed(request, 403, reason)
    values = {"reason": reason, "longest": LONGEST_NAME}
    status = 403 if reason else 200
    return context(request).templates.TemplateResponse(request, "pair.html", values, status)


async def pair(request: Request) -> Response:
    """Begin the session of a phone whose user knows the code; else answer with the form again."""
    site = context(request)
    async with login_form(request) as fields:
        identity = request.scope["path"], tuple(fields.multi_items())
        act = partial(_paired, request, fields)
        return await site.once.answer(fields.get(FIELD, ""), identity, act)


async def _paired(request: Request, fields: Fields) -> Response:
    site = context(request)
    try:
        await run_in_threadpool(site.codes.take, fields.get("code", ""))
    except InputError as error:
        await slow_down(request, site.sessions)
        return await show_form(request, str(error))
    agent = request.headers.get("user-agent", "")
    kind = next((word for word in KINDS if word in agent), "phone")
    return await admit(request, "", shown(fields.get("name", kind))[:LONGEST_NAME])


def show(request: Request, **more: str) -> Response:
    """Answer with the list of phones; `more` has a new code, or the reason for its absence."""
    site = context(request)
    phones = [
        (each.key, each.name, datetime.fromtimestamp(int(each.since), UTC).isoformat())
        for each in site.sessions.phones()
    ]
    headers = {"Cache-Control": "no-store"}  # a code may be on it
    values = {"phones": phones, "may_change": not _is_phone(request), **more}
    return site.templates.TemplateResponse(request, "phones.html", values, headers=headers)


def add(request: Request) -> Response:
    """Make a code, and answer with it, its QR code and the address for phones.

    Raises HTTPException if a phone asks.
    """
    _refuse_phones(request)
    try:
        # browsers send their address as the Origin of a form, which agrees with the host
        url = url_for_phones(context(request).settings.web, request.headers.get("origin", ""))
    except DaemonError as error:
        return show(request, reason=str(error))
    code = context(request).codes.make()
    drawn = segno.make(f"{url}/pair#{code}", micro=False).svg_inline(scale=6)
    remark = "" if url.startswith("https:") else IN_THE_CLEAR
    return show(request, code=code, url=f"{url}/pair", drawn=drawn, remark=remark)


def _is_phone(request: Request) -> bool:
    """Return whether the request comes from a phone that was paired."""
    sessions = context(request).sessions
    return sessions.is_phone(request.cookies.get(cookie_name(request), ""))


def _refuse_phones(request: Request) -> None:
    """Raise HTTPException if a phone asks: a lost phone could add other phones, or remove them."""
    if _is_phone(request):
        raise HTTPException(403, NOT_BY_PHONE)


async def end(request: Request) -> Response:
    """End the session of a phone; raises HTTPException if a phone asks."""
    _refuse_phones(request)
    fields = await form(request)
    await run_in_threadpool(context(request).sessions.end_phone, fields.get("phone", ""))
    return done(request, "/phones")


ROUTES = [
    Route("/pair", show_form),
    Route("/pair", pair, methods=["POST"]),
    Route("/phones", show),
    Route("/phones", add, methods=["POST"]),
    Route("/phones/end", end, methods=["POST"]),
]
