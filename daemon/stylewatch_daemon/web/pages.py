"""The pages: what runs and waits, the gallery, a job, health; and their live updates."""

import socket
from collections.abc import AsyncIterator, Hashable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.templating import Jinja2Templates

from stylewatch_daemon.base.errors import DaemonError
from stylewatch_daemon.jobs import retries
from stylewatch_daemon.ledger.ledger import FILE_NAME, ORDERS, Search
from stylewatch_daemon.outbox.publish import STAGES
from stylewatch_daemon.settings.config import Config
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_daemon.settings.sections import parse_address
from stylewatch_daemon.views.job import name_of
from stylewatch_daemon.views.output_files import read_receipt
from stylewatch_daemon.web import job_form
from stylewatch_daemon.web.forms import NOTHING, Form
from stylewatch_daemon.web.http import Context, context, jobs_of, root_path, split_address
from stylewatch_daemon.web.live_updates import MAX_VIEWERS, Parts
from stylewatch_daemon.web.page_data import GALLERY, JobPage, PageData, Reader, style_names

GALLERY_PAGE = 24
"""Jobs on a page of the gallery."""

RECENT_STYLES = 200
"""The latest jobs whose styles the gallery offers to filter by."""

FILTERS = ("name", "style", "recipe", "from", "to", "zone", "sort")
"""Fields of the gallery's form besides the state."""

FIRST_PAGE, HEALTH_PAGE = "now", "health"
"""Names of pages in live updates; that of a job's page is the job's id."""

FIRST_PAGE_PARTS = ("health", "running", "queue", "incomplete", "failed", "recent", "news")
HEALTH_PARTS = ("health_state",)
JOB_PARTS = ("job_head", "job_pictures", "job_variants", "job_curve", "job_details")
"""The parts of these pages; each is the template of that name in `parts`."""

_WATCHED = (FILE_NAME, f"{FILE_NAME}-wal")

Texts = Mapping[str, str]
EMPTY: Texts = {}
Values = dict[str, Any]


def overview(request: Request, form: Form = NOTHING, mistakes: Texts = EMPTY) -> Response:
    """Running and waiting jobs, and a form for a new job, with what was wrong in it."""
    here = context(request)
    values = _form(here, None, form.fields, form, mistakes)
    values |= {"overview": here.data.overview(), "events": f"/events?page={FIRST_PAGE}"}
    return here.templates.TemplateResponse(request, "overview.html", values)


def retry_with(request: Request, form: Form = NOTHING, mistakes: Texts = EMPTY) -> Response:
    """A form to retry a job with other settings; `?print` suggests those of a larger print."""
    here = context(request)
    page = _job_page(request)
    job = page.view.job
    retries.check_ended(job, "run again")
    base, note = job_form.base_of(job, here.settings)
    fields, receipt = form.fields, page.view.receipt
    if "print" in request.query_params and receipt is not None:
        fields = {**job_form.print_fields(base, receipt), **fields}
    problem = ""
    try:
        for file in retries.needed(job, None):
            file.find()
    except DaemonError as error:
        problem = str(error)
    values = _form(here, base, fields, form, mistakes)
    values |= {"page": page, "note": note, "problem": problem}
    return here.templates.TemplateResponse(request, "retry.html", values)


def _form(
    here: Context, base: JobSettings | None, fields: Texts, form: Form, mistakes: Texts
) -> Values:
    return {
        "controls": list(job_form.controls(here.settings, base, fields, mistakes)),
        "library": here.data.library(),
        "fields": fields,
        "chosen": form.values.get("library", ()),
        "kept": form.values.get("keep"),
        "mistakes": mistakes,
    }


def delete(request: Request) -> Response:
    """A question before the jobs of the query are deleted."""
    here = context(request)
    jobs = jobs_of(here, request.query_params.getlist("job"))
    for job in jobs:
        retries.check_ended(job, "deleted")
    names = {job.id: name_of(job) for job in jobs}
    values = {"jobs": names, "retention": here.settings.retention}
    return here.templates.TemplateResponse(request, "delete.html", values)


def gallery(request: Request) -> Response:
    """Jobs of one tab that match a search, page by page."""
    here, fields = context(request), request.query_params
    state = fields.get("state", "done")
    if state not in GALLERY:
        raise HTTPException(404, f"the gallery has no jobs with the state {state!r}")
    ends = GALLERY[state]
    search = _search(fields)
    key, _, last = fields.get("after", "").rpartition("~")
    after = (key, last) if last else None
    with here.reader.ledger() as ledger:
        jobs = ledger.ended(ends, GALLERY_PAGE + 1, search, after)
        recipes = ledger.recipes(*ends)
        recent = ledger.ended(ends, RECENT_STYLES)
        counts = ledger.ended_counts()
    cards, more = jobs[:GALLERY_PAGE], jobs[GALLERY_PAGE:]
    known = {name: fields[name] for name in FILTERS if fields.get(name)}
    next_page = f"{search.key_of(cards[-1])}~{cards[-1].id}" if more else ""
    styles = style_names([*recent, *cards])
    page = {
        "state": state,
        "cards": [here.data.card(job) for job in cards],
        "counts": {
            other: sum(counts.get(end, 0) for end in ends) for other, ends in GALLERY.items()
        },
        "fields": known,
        "recipes": sorted({*recipes, search.recipe} - {""}),
        "styles": {search.style: "the selected style", **styles} if search.style else styles,
        "tabs": {other: urlencode({**known, "state": other}) for other in GALLERY},
        "next": urlencode({**known, "state": state, "after": next_page}) if more else "",
        "first": urlencode({**known, "state": state}) if after else "",
    }
    return here.templates.TemplateResponse(request, "gallery.html", {"gallery": page})


def _search(fields: Texts) -> Search:
    """The search that the fields of the gallery's form describe; invalid ones match all."""
    zone: tzinfo = UTC
    with suppress(ValueError, LookupError, OSError):
        zone = ZoneInfo(fields.get("zone") or "UTC")
    return Search(
        name=fields.get("name", ""),
        style=fields.get("style", ""),
        recipe=fields.get("recipe", ""),
        since=_midnight(fields.get("from", ""), zone),
        until=_midnight(fields.get("to", ""), zone, days=1),
        order=next((order for order in ORDERS if order == fields.get("sort")), "newest"),
    )


def _midnight(day: str, zone: tzinfo, days: int = 0) -> str:
    """The time in UTC at which a `day` of the `zone` begins, or so many days later."""
    with suppress(ValueError, OverflowError):
        begin = datetime.combine(date.fromisoformat(day) + timedelta(days), time(), zone)
        return begin.astimezone(UTC).isoformat(timespec="seconds")
    return ""


async def health(request: Request) -> Response:
    """State of the daemon, and the checks of `stylewatch doctor`."""
    here = context(request)
    state = await run_in_threadpool(here.data.health)
    values = {
        "health": state,
        "report": await here.doctor.report(),
        "events": f"/events?page={HEALTH_PAGE}",
    }
    return here.templates.TemplateResponse(request, "health.html", values)


def job(request: Request) -> Response:
    """The page of a job; a name leads to the page of the latest job of that name."""
    here, name = context(request), request.path_params["job"]
    page = here.data.job(name)
    if page is not None:
        values = {
            "page": page,
            "events": f"/events?{urlencode({'page': page.view.job.id})}",
            "share": _share(request),
        }
        return here.templates.TemplateResponse(request, "job.html", values)
    with here.reader.ledger() as ledger:
        job = ledger.find(name)
    if job is None:
        raise HTTPException(404, "there is no such job, or it was removed from the ledger")
    return RedirectResponse(f"{root_path(request)}/jobs/{job.id}", 302)


def _job_page(request: Request) -> JobPage:
    """The page of the job with the id in the path; raises HTTPException where there is none."""
    page = context(request).data.job(request.path_params["job"])
    if page is None:
        raise HTTPException(404, "there is no such job")
    return page


def _share(request: Request) -> str:
    """The address of this page for others on the network; empty where they cannot reach it."""
    host, path = request.headers["host"], request.scope["path"]
    name = split_address(f"//{host}").hostname or ""
    listen = parse_address(context(request).settings.web.listen or "localhost:0")
    scheme = "https" if request.headers.get("x-forwarded-proto") == "https" else "http"
    if name == "localhost" or _is_loopback(name):
        if listen.is_near:
            return ""
        is_any = ip_address(listen.host).is_unspecified
        host = str(replace(listen, host=_lan_address()) if is_any else listen)
    return f"{scheme}://{host}{quote(path)}"


def _is_loopback(name: str) -> bool:
    with suppress(ValueError):
        return ip_address(name).is_loopback
    return False


def _lan_address() -> str:
    """The address of this machine on its network; nothing is sent to find it."""
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # an address of nobody (RFC 5737)
        return str(probe.getsockname()[0])
    return socket.gethostname()


def receipt(request: Request) -> Response:
    """The receipt of a job, as it was written."""
    job = context(request).reader.job(request.path_params["job"])
    plain = read_receipt(job) if job is not None else {}
    if not plain:
        raise HTTPException(404, "there is no receipt: the job is not done")
    return JSONResponse(plain)


async def events(request: Request) -> Response:
    """Live updates of a page, as server-sent events."""
    here, page = context(request), request.query_params.get("page", FIRST_PAGE)
    if here.hub.viewers >= MAX_VIEWERS:
        raise HTTPException(503, "too many viewers: try again later")
    if (
        page not in (FIRST_PAGE, HEALTH_PAGE)
        and await run_in_threadpool(here.reader.job, page) is None
    ):
        raise HTTPException(404, "there is no such job")
    messages: AsyncIterator[bytes] = here.hub.watch(page)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(messages, media_type="text/event-stream", headers=headers)


def look(settings: Config, reader: Reader) -> Hashable:
    """All that the pages depend on: times of files, and whether the daemon runs."""
    status = reader.published()
    times = [_mtime(reader.state / name) for name in _WATCHED]
    for place in {job["job"] for job in status["running"]}:
        times += [_mtime(inbox.outbox / place / STAGES) for inbox in settings.inboxes]
    # The status.json that was read counts, not what lies there by now: pages do not show that yet.
    return (reader.seen, status["health"]["at_work"], status["health"]["paused"], *times)


def parts(templates: Jinja2Templates, data: PageData, page: str) -> Parts:
    """Render the parts of a page; none where there is no such job."""
    if page == FIRST_PAGE:
        return _render(templates, FIRST_PAGE_PARTS, {"overview": data.overview()})
    if page == HEALTH_PAGE:
        return _render(templates, HEALTH_PARTS, {"health": data.health()})
    job_page = data.job(page)
    return {} if job_page is None else _render(templates, JOB_PARTS, {"page": job_page})


def _render(templates: Jinja2Templates, names: tuple[str, ...], values: Values) -> Parts:
    return {name: templates.env.get_template(f"parts/{name}.html").render(values) for name in names}


def short_time(iso_time: str) -> str:
    """A time (ISO 8601) as `2 Jan 2026, 12:05 UTC`; scripts put it into the viewer's zone."""
    with suppress(ValueError):
        return f"{datetime.fromisoformat(iso_time):%-d %b %Y, %H:%M} UTC"
    return iso_time


def _mtime(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_mtime_ns
    return 0


ROUTES = [
    Route("/", overview),
    Route("/gallery", gallery),
    Route("/health", health),
    Route("/events", events),
    Route("/jobs/{job}", job),
    Route("/jobs/{job}/again", retry_with),
    Route("/delete", delete),
    Route("/jobs/{job}/receipt.json", receipt),
]
