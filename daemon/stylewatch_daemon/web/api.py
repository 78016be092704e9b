"""The HTTP API below /api/v1: the actions and contents of the page, answered in JSON.

The file api.yaml is its OpenAPI description. Each operation in it becomes a route, which a function
in ENDPOINTS answers. Browsers send the forms of the page to the same paths without /api/v1, where
the same functions answer with a page.
"""

import json
from collections.abc import Awaitable, Callable, Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from stylewatch_daemon.base.model import SEEN, Attempt, Job
from stylewatch_daemon.outbox.receipt import Receipt
from stylewatch_daemon.settings.job import DESCRIBED
from stylewatch_daemon.views.job import job_as_json, view_of
from stylewatch_daemon.web import actions, gallery, job_form, job_page, pictures
from stylewatch_daemon.web.http import API, JOB, context, job_of, root_path

_DESCRIBED = Path(__file__).with_name("api.yaml")


class _Ascii(JSONResponse):
    """JSON in ASCII, because file names may contain bytes that are not valid UTF-8."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content).encode("ascii")


def describe(request: Request) -> Response:
    """Answer with the OpenAPI description, which names the address of this server."""
    return _Ascii({**description(), "servers": [{"url": f"{root_path(request)}{API}"}]})


def show_status(request: Request) -> Response:
    """Answer with the state of the daemon, with the keys of status.json."""
    return _Ascii(context(request).status())


def list_jobs(request: Request) -> Response:
    """Answer with a page of the jobs that have ended, and the address of the next page."""
    values = gallery.values_of(request)
    following = f"{root_path(request)}{API}/jobs?{values['next']}" if values["next"] else None
    return _Ascii({"jobs": [job_as_json(job) for job in values["jobs"]], "next": following})


def show_job(request: Request) -> Response:
    """Answer with the ledger row, attempts, progress and receipt of the job in the path."""
    return _Ascii(view_of(context(request).state, job_of(request)).as_json())


ENDPOINTS: dict[str, Callable[[Request], Awaitable[Response] | Response]] = {
    "describe": describe,
    "status": show_status,
    "listJobs": list_jobs,
    "job": show_job,
    "receipt": job_page.receipt,
    "files": pictures.files_zip,
    "picture": pictures.send_picture,
    "submit": actions.upload,
    "pause": actions.pause,
    "resume": actions.resume,
    "dismissAll": actions.dismiss_all,
    "doctor": actions.check_health,
    "cancel": actions.cancel,
    "finish": actions.finish,
    "retry": actions.retry,
    "paintAgain": actions.paint_again,
    "dismiss": actions.dismiss,
    "keepStyle": actions.keep_style,
    "favorite": actions.favorite,
    "unfavorite": actions.unfavorite,
    "trash": actions.trash_one,
    "restore": actions.restore_one,
    "delete": actions.delete_one,
}
"""The function that answers each operation, by the `operationId` in api.yaml."""


@cache
def description() -> dict[str, Any]:
    """Return api.yaml with the version, and with the schemas of settings, jobs and receipts."""
    described: dict[str, Any] = yaml.safe_load(_DESCRIBED.read_text(encoding="utf-8"))
    described["info"]["version"] = version("stylewatch")
    schemas = described["components"]["schemas"]
    schemas["Settings"]["properties"] = {
        name: {"type": "string", "description": DESCRIBED[name].sentence} for name in job_form.NAMES
    }
    for kind in (Job, Attempt, Receipt):
        whole = TypeAdapter[Any](kind).json_schema(ref_template="#/components/schemas/{model}")
        schemas |= {**whole.pop("$defs", {}), kind.__name__: whole}
    schemas["Job"]["properties"]["state"] = {"type": "string", "enum": [*SEEN]}
    return described


def _routes() -> Iterator[Route]:
    for path, methods in description()["paths"].items():
        for method in methods.keys() - {"parameters"}:
            operation = methods[method]["operationId"]
            where = path.replace("{job}", JOB)
            yield Route(f"{API}{where}", ENDPOINTS[operation], methods=[method.upper()])
            if method == "post":  # the forms of the page
                yield Route(where, ENDPOINTS[operation], methods=["POST"])


ROUTES = [*_routes()]
