"""Photographs that a phone shares with the page, where it is installed as a program of the phone.

POST /share         a form with files `content`, as static/manifest.webmanifest has it; leads to
GET  /share/ID      the page of confirmation, whose form makes a job of each photograph
GET  /share/ID/N    a small picture of the photograph with this number, from 0

A share lies in state/uploads until its form is sent, for SHARED_S at most; a page that starts
removes what an earlier one has left.
"""

import asyncio
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from stylewatch_daemon.base.errors import FullError, InputError, UsageError
from stylewatch_daemon.files import atomic, entries
from stylewatch_daemon.ledger import thumbs
from stylewatch_daemon.ledger.state_dir import UPLOADS
from stylewatch_daemon.web import forms, job_form, pictures
from stylewatch_daemon.web.access import SHARE
from stylewatch_daemon.web.forms import NOTHING, File, Form
from stylewatch_daemon.web.http import Context, context, root_path
from stylewatch_daemon.web.pictures import Image

SHARED_S = 3600.0
"""Seconds for which a share waits for its confirmation."""

MOST_SHARES = 8
"""Maximum number of shares that wait; one more ends the oldest."""

GONE = "these photographs have waited for too long, or were painted: share them again"

_KEY = re.compile(r"share-[0-9a-f]{32}")


async def receive(request: Request) -> Response:
    """Keep shared photographs, and lead to the page of confirmation."""
    site = context(request)
    async with forms.received(request) as form:
        folder = await run_in_threadpool(_keep, site, form)
    asyncio.get_running_loop().call_later(SHARED_S, entries.attempt_removal, folder)
    return RedirectResponse(f"{root_path(request)}{SHARE}/{folder.name}", 303)


def _keep(site: Context, form: Form) -> Path:
    """Move the photographs of a form into a folder of their own, and return it."""
    files = form.files.get("content", ())
    if not files:
        raise InputError("nothing was shared: choose one photograph or more")
    folder = site.state / UPLOADS / f"share-{secrets.token_hex(16)}"
    atomic.make_folder(folder)
    for number, file in enumerate(files):
        file.path.rename(folder / f"{number:02} {file.name}")
    waiting = [each for each in folder.parent.iterdir() if _KEY.fullmatch(each.name)]
    for oldest in sorted(waiting, key=lambda each: each.stat().st_mtime_ns)[:-MOST_SHARES]:
        entries.attempt_removal(oldest)
    return folder


def files_of(site: Context, key: str) -> list[File]:
    """Return the photographs of a share, in their order; raises InputError if it has ended."""
    folder = site.state / UPLOADS / key
    names = entries.names(folder) if _KEY.fullmatch(key) else []
    if not names:
        raise InputError(GONE)
    return [File(name.partition(" ")[2], folder / name) for name in names]


@contextmanager
def claimed(site: Context, key: str) -> Iterator[list[File]]:
    """Yield the photographs of a share, which no other form can have meanwhile (law 4).

    They stay a share if their form has a mistake, and go once they are in an inbox. Raises
    InputError if the share has ended, or another form has it.
    """
    files_of(site, key)  # raises
    folder = site.state / UPLOADS / key
    taken = folder.with_name(f"taken-{key}")
    try:
        folder.rename(taken)
    except OSError as error:
        raise InputError(GONE) from error
    try:
        names = entries.names(taken)
        yield [File(name.partition(" ")[2], taken / name) for name in names]
    except (FullError, InputError, UsageError):
        taken.rename(folder)
        raise
    except BaseException:
        entries.attempt_removal(taken)
        raise
    entries.attempt_removal(taken)


def ask(
    request: Request, form: Form = NOTHING, mistakes: Mapping[str, str] = job_form.NO_MISTAKES
) -> Response:
    """Answer with the page of confirmation; `form` and `mistakes` are those of a refused job."""
    site = context(request)
    key = form.fields.get("shared") or request.path_params["share"]
    files = files_of(site, key)
    values = {
        "shared": key,
        "photographs": [
            Image(f"{SHARE}/{key}/{number}", f"photograph {file.name}", name=file.name)
            for number, file in enumerate(files)
        ],
        "form": job_form.view(site, site.settings.job, form, mistakes),
    }
    return site.templates.TemplateResponse(request, "share.html", values)


async def small(request: Request) -> Response:
    """Answer with a small picture of a shared photograph."""
    site = context(request)
    files = await run_in_threadpool(files_of, site, request.path_params["share"])
    number = request.path_params["number"]
    if not re.fullmatch("[0-9]{1,3}", number, re.ASCII) or int(number) >= len(files):
        raise HTTPException(404, GONE)
    source = files[int(number)].path
    sha256, _ = await run_in_threadpool(pictures.version_of, source)
    return await pictures.preview(request, source, sha256, thumbs.SIDE, pictures.REVALIDATE)


ROUTES = [
    Route(SHARE, receive, methods=["POST"]),
    Route(f"{SHARE}/{{share}}", ask),
    Route(f"{SHARE}/{{share}}/{{number}}", small),
]
