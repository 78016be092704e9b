"""Photographs that a phone shares with the page, where it is installed as a program of the phone.

POST /share         a form with files `content`, as static/manifest.webmanifest describes it;
                    redirects to GET /share/ID
GET  /share/ID      the page of confirmation, whose form makes a job of each photograph
GET  /share/ID/N    a small picture of the photograph with this number, from 0

A share lies in state/uploads until its form is sent, for SHARED_S at most; a page that starts
removes what an earlier one has left.
"""

import asyncio
import re
import secrets
from collections.abc import Mapping
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from stylewatch_daemon.base.errors import InputError
from stylewatch_daemon.files import atomic, entries
from stylewatch_daemon.ledger import thumbs
from stylewatch_daemon.ledger.state_dir import UPLOADS
from stylewatch_daemon.web import forms, job_form, pictures
from stylewatch_daemon.web.access import SHARE
from stylewatch_daemon.web.forms import NOTHING, File, Form
from stylewatch_daemon.web.http import Context, context, root_path
from stylewatch_daemon.web.pictures import Image

SHARED_S = 3600.0
"""Time in seconds that a share waits for its confirmation."""

MOST_SHARES = 8
"""Maximum number of shares that wait; one more ends the oldest."""

GONE = "these photographs have waited for too long, or were painted: share them again"

_KEY = re.compile(r"share-[0-9a-f]{32}")


async def receive(request: Request) -> Response:
    """Keep shared photographs for SHARED_S, and redirect to the page of confirmation."""
    site = context(request)
    async with forms.received(request) as form:
        folder = await run_in_threadpool(_keep, site, form)
    asyncio.get_running_loop().call_later(SHARED_S, entries.attempt_removal, folder)
    return RedirectResponse(f"{root_path(request)}{SHARE}/{folder.name}", 303)


def _keep(site: Context, form: Form) -> Path:
    """Move the photographs of a form into a folder of their own, and return it.

    End the oldest shares beyond MOST_SHARES. Raises InputError if the form has no photograph.
    """
    files = form.files.get("content", ())
    if not files:
        raise InputError("nothing was shared: choose one photograph or more")
    folder = site.state / UPLOADS / f"share-{secrets.token_hex(16)}"
    atomic.make_folder(folder)
    for number, file in enumerate(files):
        file.path.rename(folder / f"{number:02} {file.name}")
    waiting = [each for each in folder.parent.iterdir() if _KEY.fullmatch(each.name)]
    for oldest in sorted(waiting, key=_age)[:-MOST_SHARES]:
        entries.attempt_removal(oldest)
    return folder


def _age(share: Path) -> int:
    """Return the time of the last change of a share in nanoseconds; 0 if it has just ended."""
    status = entries.attempt_status(share)
    return 0 if status is None else status.st_mtime_ns


def files_of(site: Context, key: str) -> list[File]:
    """Return the photographs of the share `key`, in order; raises InputError if it has ended."""
    files = files_in(site.state / UPLOADS / key) if _KEY.fullmatch(key) else []
    if not files:
        raise InputError(GONE)
    return files


def files_in(folder: Path) -> list[File]:
    """Return the photographs in the folder of a share, in their order."""
    return [File(name.partition(" ")[2], folder / name) for name in entries.names(folder)]


def claim(site: Context, key: str) -> Path:
    """Rename the folder of the share `key` for one form, and return its new path (law 4).

    No other form can claim the share until `settle` is called. Raises InputError if the share has
    ended, or another form has claimed it.
    """
    files_of(site, key)  # raises
    folder = site.state / UPLOADS / key
    taken = folder.with_name(f"taken-{key}")
    try:
        folder.rename(taken)
    except OSError as error:
        raise InputError(GONE) from error
    return taken


def settle(taken: Path, *, is_painted: bool) -> None:
    """Remove the claimed share `taken` if `is_painted`; else rename it back for another form."""
    if is_painted:
        entries.attempt_removal(taken)
    else:
        taken.rename(taken.with_name(taken.name.removeprefix("taken-")))


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
        "form": job_form.view(site, job_form.base_of_new(site), form, mistakes),
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
