"""Functions that all routes share, for the application's parts, the ledger, forms and answers."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from starlette.datastructures import ImmutableMultiDict
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.templating import Jinja2Templates

from stylewatch_daemon.base.errors import InputError
from stylewatch_daemon.base.model import Job
from stylewatch_daemon.client import operations, status_json
from stylewatch_daemon.client.operations import Verb
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.ledger.ledger import FILE_NAME, Ledger, reading
from stylewatch_daemon.settings.config import Config
from stylewatch_daemon.settings.style_library import every_style
from stylewatch_daemon.web.codes import Codes
from stylewatch_daemon.web.doctor_runner import DoctorRunner
from stylewatch_daemon.web.once import Once
from stylewatch_daemon.web.previews import Previews
from stylewatch_daemon.web.sessions import Sessions

API = "/api/v1"
"""Path of the API; addresses below it are answered in JSON, to browsers too."""

JOB = "{job:path}"
"""The id or the name of a job in the path of a route; a name may contain slashes."""

MAX_FORM_BYTES, MAX_FORM_FIELDS = 16_384, 110
"""Maximum numbers of bytes and of fields in a form without files."""

MAX_SELECTED = 100
"""Maximum number of jobs that are selected at once."""

FORM_TIMEOUT_S = 10.0
"""Timeout in seconds for receiving a form without files."""

LATER = "The daemon has not done this yet; it will as soon as it can. You need not ask again."

NO_JOB = "there is no such job, or it was removed from the ledger"

Fields = ImmutableMultiDict[str, str]
"""The fields of a form that are not empty; a field may have several values."""


@dataclass(frozen=True)
class Context:
    """The parts of an application; `settings` contain no secrets."""

    settings: Config
    sessions: Sessions
    codes: Codes
    previews: Previews
    templates: Jinja2Templates
    doctor: DoctorRunner
    once: Once

    @property
    def state(self) -> Path:
        """Path of the daemon's state folder."""
        return self.settings.state.path

    def status(self) -> dict[str, Any]:
        """Return the status of the daemon, as `status_json.current` does."""
        return status_json.current(self.state)

    def ledger(self) -> AbstractContextManager[Ledger]:
        """Return a context manager that opens the ledger.

        It raises OutputError if the ledger cannot be read.
        """
        return reading(self.state / FILE_NAME)

    def styles(self) -> dict[str, Path]:
        """Return the styles to choose from by name, as `every_style` does.

        Raises OutputError if the disk of the style library is missing (law 2), and OSError if the
        library cannot be read.
        """
        folder = self.settings.pairing.styles
        with operations.disks_of(self.state, folder).checked(folder):
            return every_style(folder)

    def job(self, name: str, verb: Verb | None = None) -> Job | None:
        """Return the job that an id or a name means; None if there is none.

        With a `verb`, it is the job about which that is requested. Raises as `Context.ledger` and
        `Ledger.the_one` do.
        """
        with self.ledger() as ledger:
            return operations.meant(ledger, verb, name)


def context(request: Request) -> Context:
    """Return the parts of the application that answers `request`."""
    parts: Context = request.app.state.context
    return parts


def root_path(request: Request) -> str:
    """Return the path with which all addresses of the page begin; empty for the root."""
    root: str = request.scope.get("root_path", "")
    return root


def wants_html(request: Request) -> bool:
    """Return whether the client wants a page, like a browser, and not JSON, like a program."""
    path: str = request.scope["path"]
    is_api = path.startswith(f"{root_path(request)}{API}/")
    return not is_api and "text/html" in request.headers.get("accept", "")


def done(request: Request, to: str, **result: Any) -> Response:
    """Answer an action: redirect browsers to `to`, below the root; send programs the `result`.

    If `acted` is False in the result, the daemon has not acted yet: browsers get a page that says
    so, with a link to `to`.
    """
    if not wants_html(request):
        return JSONResponse(result)
    if not result.get("acted", True):
        values = {"heading": "Requested", "reason": LATER, "to": to}
        templates = context(request).templates
        return templates.TemplateResponse(request, "error.html", values, 202)
    return RedirectResponse(f"{root_path(request)}{to}", 303)


def failed(request: Request, status: int, reason: str, **more: Any) -> Response:
    """Answer with the HTTP status code `status` and a reason, which need not be safe to print.

    Programs also get `more`.
    """
    text = "; ".join(shown(line) for line in reason.splitlines())
    if not wants_html(request):
        return JSONResponse({"error": text, **more}, status)
    templates = context(request).templates
    return templates.TemplateResponse(request, "error.html", {"reason": text}, status)


def job_of(request: Request, verb: Verb | None = None) -> Job:
    """Return the job with the id or name in the path, as `Context.job` does.

    Raises HTTPException if there is none.
    """
    job = context(request).job(request.path_params["job"], verb)
    if job is None:
        raise HTTPException(404, NO_JOB)
    return job


def jobs_of(
    site: Context, names: Sequence[str], verb: Verb | None = None
) -> tuple[list[Job], bool]:
    """Return the existing jobs with these ids or names, and whether several jobs are named.

    A job that is named twice counts once, and one that is gone counts, too. Raises HTTPException if
    none of the jobs exists, or if more than MAX_SELECTED are named.
    """
    named = {name: site.job(name, verb) for name in names[:MAX_SELECTED]}
    jobs = {job.id if job else name: job for name, job in named.items()}
    existing = [job for job in jobs.values() if job is not None]
    if not existing or len(names) > MAX_SELECTED:
        raise HTTPException(404, "there is no such job, or none or too many are selected")
    return existing, len(jobs) > 1


async def form(request: Request, within_s: float | None = None) -> Fields:
    """Read a form without files; `within_s` is the timeout in seconds, by default FORM_TIMEOUT_S.

    Raises HTTPException if the form is too long or too slow, or the body is not a valid form.
    """
    kind = request.headers.get("content-type", "application/x-www-form-urlencoded")
    if kind.partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        raise HTTPException(415, "expected a form: application/x-www-form-urlencoded")
    content = bytearray()
    try:
        async with asyncio.timeout(within_s or FORM_TIMEOUT_S):
            async for chunk in request.stream():
                content += chunk
                if len(content) > MAX_FORM_BYTES:
                    raise HTTPException(
                        413, f"the form is too long: the limit is {MAX_FORM_BYTES} bytes"
                    )
        fields = parse_qsl(
            content.decode("ascii"), strict_parsing=bool(content), max_num_fields=MAX_FORM_FIELDS
        )
    except TimeoutError:
        raise HTTPException(408, "the form did not arrive in time") from None
    except ValueError:
        raise HTTPException(400, "the body is not a valid form") from None
    given = Fields([(name, value.strip()) for name, value in fields if value.strip()])
    check_given_once({name: given.getlist(name) for name in given}, "job")
    return given


def check_given_once(values: Mapping[str, Sequence[str]], *several: str) -> None:
    """Raise InputError if a field has different values, unless it is one of `several`."""
    doubtful = [name for name, of in values.items() if name not in several and len({*of}) > 1]
    if doubtful:
        names = " and ".join(map(shown, sorted(doubtful)))
        raise InputError(f"{names} has several values: give one")
