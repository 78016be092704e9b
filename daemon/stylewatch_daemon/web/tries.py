"""The page's side of `app.tries`: a photograph is uploaded, and shown small in every style.

POST /tries               a form with the photograph as `content`, and the controls of `job_form`
POST /tries/ID            a sign of life of the visitor; the answer has the previews so far
POST /tries/ID/more       asks for more styles
POST /tries/ID/end        ends the try
GET  /tries/ID/N          the preview with the number N, from 1

ID is known to the visitor alone. Without a sign of life for some seconds the try ends.
"""

import json
import re
import secrets
import shutil
from collections.abc import Mapping
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from stylewatch_daemon.app.tries import ALIVE, NAME, PICTURE, RESULT, VERB
from stylewatch_daemon.base.errors import InputError, StateError, UnavailableError, UsageError
from stylewatch_daemon.client.condition import BLOCKED, condition
from stylewatch_daemon.files import atomic, entries
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.ledger import requests
from stylewatch_daemon.ledger.state_dir import TRIES
from stylewatch_daemon.settings.config import merge_job
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_daemon.settings.paintable import Files
from stylewatch_daemon.web import actions, forms, job_form
from stylewatch_daemon.web.forms import Form
from stylewatch_daemon.web.http import Context, context, root_path

SIDE = 160
"""Long side of a preview in pixels."""

FIRST = 12
"""Number of styles that a request asks for."""

ENDED = (
    "the previews have ended: another photograph was tried, or this page or stylewatch was away; "
    "ask again"
)


async def begin(request: Request) -> Response:
    """Begin a try with the first photograph of the form; answer with the address of the try.

    Raises UnavailableError if the daemon does not answer, StateError if it refuses the try, and as
    `forms.received` and `_begun` do; then the files of the try are removed.
    """
    site = context(request)
    name = secrets.token_hex(16)
    folder = site.state / TRIES / name
    try:
        async with forms.received(request) as form:
            asked, preview = await run_in_threadpool(_begun, site, folder, form)
        left, styles = await run_in_threadpool(_next_styles, site, ())
        leave = partial(requests.leave, site.state, VERB, name=name, styles=styles, **asked)
        if not await actions.ask(site, leave):
            raise UnavailableError("stylewatch does not answer: ask again in a moment")
        if reason := (await run_in_threadpool(_result, folder)).get("reason"):
            raise StateError(reason)
    except Exception:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    address = f"{root_path(request)}/tries/{name}"
    return JSONResponse({"address": address, "preview": preview, "left": left})


def _begun(site: Context, folder: Path, form: Form) -> tuple[Mapping[str, Any], str]:
    """Store the photograph of a form; return arguments of the request, and the setting `preview`.

    A larger picture with that setting gets the composition of its preview. The setting is empty if
    previews have the full size already. Raises DaemonError or RecipeError if the form cannot be
    painted.
    """
    now = condition(site.status())
    if not (now.is_ready or now.word == BLOCKED.word):
        raise UnavailableError(now.sentence)
    if not form.files.get("content"):
        raise InputError("choose a photograph")
    fields = {key: value for key, value in form.fields.items() if key in job_form.NAMES}
    # a style of the library has not been learned
    base = site.settings.job.model_copy(update={"learn": False})
    wanted, _ = job_form.read(fields, site.settings, base, Files("content", 1), ())
    if wanted.only is not None:
        raise UsageError(f"only: {wanted.only} takes no style together with a photograph")
    size = str(wanted.resolve(*site.settings.recipes).schedule.size)
    small = _smaller(size)
    changes: dict[str, Any] = {
        "size": small, "preview": None, "format": "jpg", "depth": 8, "artifacts": []
    }  # fmt: skip
    settings = JobSettings.model_validate(merge_job(wanted.model_dump(), changes))
    atomic.make_folder(folder)
    photograph = form.files["content"][0].path
    content = f"content{photograph.suffix}"
    atomic.copy(photograph, folder / content)
    entries.attempt_touch(folder / ALIVE)
    preview = "" if small == size else small
    return {"content": content, "settings": settings.model_dump(mode="json")}, preview


def _smaller(size: str) -> str:
    """Return a size rule like `size`, such as `640` or `800x600`, for at most SIDE pixels."""
    sides = [int(side) for side in re.findall(r"\d+", size)]
    factor = min(1.0, SIDE / max(sides))
    if re.fullmatch(r"\d+x\d+", size):
        return "x".join(str(max(1, round(side * factor))) for side in sides)
    return size if re.fullmatch(r"\d+", size) and factor == 1 else str(SIDE)


def _next_styles(site: Context, known: tuple[str, ...]) -> tuple[int, dict[str, str]]:
    """Return how many styles of the library follow the next FIRST, and the paths of these by name.

    Styles in `known` do not count.
    """
    every = site.styles()
    others = {
        name: str(path)
        for name, path in every.items()
        if name not in known and name == shown(name)  # as in the form
    }
    styles = dict(islice(others.items(), FIRST))
    return len(others) - len(styles), styles


def _result(folder: Path) -> Mapping[str, Any]:
    """Return the daemon's record of a try; raises HTTPException if the try has ended."""
    try:
        plain: Mapping[str, Any] = json.loads((folder / RESULT).read_bytes())
    except FileNotFoundError:
        raise HTTPException(404, ENDED) from None
    return plain


def _try_of(request: Request) -> tuple[Context, str, Path]:
    site = context(request)
    name = request.path_params["try"]
    if not re.fullmatch(NAME, name):
        raise HTTPException(404, ENDED)
    return site, name, site.state / TRIES / name


def sign(request: Request) -> Response:
    """Record a sign of life; answer with the record of the try, which has its previews."""
    _, _, folder = _try_of(request)
    if entries.exists(folder / ALIVE):  # otherwise it is about to end
        entries.attempt_touch(folder / ALIVE)
    return JSONResponse(_result(folder))


async def ask_more(request: Request) -> Response:
    """Request further styles; answer with the number of styles that are left after them."""
    site, name, folder = _try_of(request)
    previews = (await run_in_threadpool(_result, folder))["previews"]
    known = tuple(each["name"] for each in previews)
    left, styles = await run_in_threadpool(_next_styles, site, known)
    leave = partial(requests.leave, site.state, VERB, name=name, styles=styles)
    return JSONResponse({"left": left, "acted": await actions.ask(site, leave)})


def end(request: Request) -> Response:
    """Remove the sign of life, so that the daemon ends the try and removes its files."""
    _, _, folder = _try_of(request)
    (folder / ALIVE).unlink(missing_ok=True)
    return JSONResponse({})


def send(request: Request) -> Response:
    """Answer with a preview; raises HTTPException if it is not painted, or the try has ended."""
    _, _, folder = _try_of(request)
    number = request.path_params["number"]
    path = folder / number / PICTURE
    if not (re.fullmatch("[0-9]{1,4}", number) and entries.is_file(path)):
        raise HTTPException(404, ENDED)
    return FileResponse(path, headers={"Cache-Control": "no-store"})


ROUTES = [
    Route("/tries", begin, methods=["POST"]),
    Route("/tries/{try}", sign, methods=["POST"]),
    Route("/tries/{try}/more", ask_more, methods=["POST"]),
    Route("/tries/{try}/end", end, methods=["POST"]),
    Route("/tries/{try}/{number}", send),
]
