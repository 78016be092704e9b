"""The gallery: tabs of ended jobs, with a search, a choice of the order, and pages."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from stylewatch_daemon.base.errors import UsageError
from stylewatch_daemon.base.model import PICTURES, End, Job
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.ledger import favorites
from stylewatch_daemon.ledger.ledger import ORDERS, Order, Search
from stylewatch_daemon.views.job import name_of
from stylewatch_daemon.views.output_files import original_name
from stylewatch_daemon.web.http import context
from stylewatch_painter.validation import nearest

FAVORITES, TRASH = "favorites", "trash"
"""Tabs of jobs that a person has marked, and of those that wait for their deletion."""

TABS: Mapping[str, tuple[End, ...]] = {
    "done": PICTURES,
    FAVORITES: PICTURES,
    "failed": (End.FAILED,),
    "refused": (End.REFUSED,),
    "canceled": (End.CANCELED,),
    TRASH: tuple(End),
}
"""For each tab of the gallery, the ends of the jobs that it shows."""

PAGE = 24
"""Number of jobs on a page of the gallery."""

RECENT_STYLES = 200
"""Number of latest jobs whose styles are offered as filters."""

FILTERS = ("name", "content", "style", "recipe", "from", "to", "zone", "sort")
"""Fields of the gallery's form besides the state."""

FIELDS = ("state", *FILTERS, "after")


def values_of(request: Request) -> dict[str, Any]:
    """Return the values of a page with the jobs of one tab that match the search of the query.

    `tabs`, `first` and `next` are the queries of other pages; `styles` are names by digest. Raises
    HTTPException if there is no such tab, UsageError if a filter is unknown or wrong (law 24),
    OutputError if the ledger cannot be read.
    """
    site = context(request)
    fields = request.query_params
    state = fields.get("state") or "done"
    if state not in TABS:
        raise HTTPException(404, f"the gallery has no jobs with the state {state!r}")
    ends = TABS[state]
    search = _search(fields)
    key, _, last = fields.get("after", "").rpartition("~")
    after = (key, last) if last else None
    marked = favorites.marked(site.state)
    search = replace(
        search,
        in_trash=state == TRASH,
        ids=frozenset(marked) if state == FAVORITES else None,
    )
    with site.ledger() as ledger:
        jobs = ledger.ended(ends, PAGE + 1, search, after)
        recipes = ledger.recipes(*ends)
        recent = ledger.ended(ends, RECENT_STYLES)
        ended = ledger.ended_counts()
        counts = {tab: sum(ended.get(end, 0) for end in ends) for tab, ends in TABS.items()}
        counts |= {FAVORITES: ledger.count_kept(marked), TRASH: ledger.trash_size()[0]}
    page = jobs[:PAGE]
    more = jobs[PAGE:]
    filters = {name: fields[name] for name in FILTERS if fields.get(name)}
    end = f"{search.key_of(page[-1])}~{page[-1].id}" if more else ""
    chosen = {search.style: "the selected style"} if search.style else {}
    return {
        "state": state,
        "jobs": page,
        "counts": counts,
        "trash_days": site.settings.retention.trash,
        "fields": filters,
        "recipes": sorted({*recipes, search.recipe} - {""}),
        "styles": chosen | _style_names([*recent, *page]),
        "tabs": {tab: urlencode({**filters, "state": tab}) for tab in TABS},
        "first": urlencode({**filters, "state": state}) if after else "",
        "next": urlencode({**filters, "state": state, "after": end}) if more else "",
    }


def _search(fields: Mapping[str, str]) -> Search:
    """Return the search that the fields of the form describe; without fields it matches all jobs.

    Raises UsageError for an unknown field or a wrong value.
    """
    unknown = sorted(fields.keys() - FIELDS)
    if unknown:
        raise UsageError(nearest(unknown[0], FIELDS, "filter", len(FIELDS)))
    sort = fields.get("sort") or "newest"
    orders: dict[str, Order] = {order: order for order in ORDERS}
    if sort not in orders:
        raise UsageError(nearest(sort, ORDERS, "sort", len(ORDERS)))
    with _mistaken("zone", fields, "a time zone, such as Europe/Berlin"):
        zone = ZoneInfo(fields.get("zone") or "UTC")
    return Search(
        name=fields.get("name", ""),
        style=fields.get("style", ""),
        content=fields.get("content", ""),
        recipe=fields.get("recipe", ""),
        since=_midnight("from", fields, zone),
        until=_midnight("to", fields, zone, days=1),
        order=orders[sort],
    )


@contextmanager
def _mistaken(name: str, fields: Mapping[str, str], form: str) -> Iterator[None]:
    """Convert an error about the value of a field to a UsageError that names the right `form`."""
    try:
        yield
    except (ValueError, OverflowError, LookupError, OSError) as error:
        raise UsageError(f"{name}: {shown(fields[name])} should be {form}") from error


def _midnight(name: str, fields: Mapping[str, str], zone: tzinfo, days: int = 0) -> str:
    """Return the UTC time at which the date in a field plus `days` begins; "" if it is empty."""
    day = fields.get(name)
    if not day:
        return ""
    with _mistaken(name, fields, "a date, such as 2026-01-31"):
        begin = datetime.combine(date.fromisoformat(day) + timedelta(days), time(), zone)
        return begin.astimezone(UTC).isoformat(timespec="seconds")


def _style_names(jobs: Iterable[Job]) -> dict[str, str]:
    """Return a name for each style image, by its digest.

    If two images have the same name, the name of the second one is followed by its job's name.
    """
    names: dict[str, str] = {}
    for job in jobs:
        for file in job.inputs:
            if file.role == "style" and file.sha256 and file.sha256 not in names:
                name = original_name(job, file)
                is_taken = name in names.values()
                names[file.sha256] = f"{name} of {name_of(job)}" if is_taken else name
    return names


def show(request: Request) -> Response:
    """Answer with a page of the gallery."""
    values = values_of(request)
    return context(request).templates.TemplateResponse(request, "gallery.html", values)


ROUTES = [Route("/gallery", show)]
