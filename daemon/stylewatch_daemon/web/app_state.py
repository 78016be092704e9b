"""What all pages of an application have in common: views, small pictures, the stream, templates."""

from collections.abc import Hashable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from starlette.requests import Request

from stylewatch_daemon.outbox.publish import STAGES
from stylewatch_daemon.store.ledger import FILE_NAME
from stylewatch_daemon.views.formatting import memory
from stylewatch_daemon.web.context import Context, context
from stylewatch_daemon.web.job_view import Story, story
from stylewatch_daemon.web.stream import Hub, Parts
from stylewatch_daemon.web.thumbs import Thumbs
from stylewatch_daemon.web.views import Views

NOW = "now"
"""The first page, as the stream calls it; a job's page is called by the job's id."""

NOW_PARTS = ("health", "running", "waiting", "incomplete", "wrong", "recent", "news")
JOB_PARTS = ("job_head", "job_pictures", "job_curve", "job_story")
"""The parts of these pages; each is the template of that name in `parts`."""

_WATCHED = (FILE_NAME, f"{FILE_NAME}-wal")


@dataclass(frozen=True)
class Studio:
    """What the pages of one application share."""

    context: Context
    views: Views
    thumbs: Thumbs
    hub: Hub


def studio(request: Request) -> Studio:
    """That of the application which answers `request`; it is set up when it is first needed."""
    state = request.app.state
    if not hasattr(state, "studio"):
        here = context(request)
        views = Views(here.settings, here.reader)
        here.templates.env.filters.update(when=when, memory=memory)
        state.studio = Studio(
            context=here,
            views=views,
            thumbs=Thumbs(here.state, here.settings.limits.max_pixels),
            hub=Hub(lambda: look(here), lambda page: parts(here, views, page)),
        )
    found: Studio = state.studio
    return found


def look(here: Context) -> Hashable:
    """What tells whether a page may look otherwise now: times of files, and whether we run."""
    said = here.reader.published()
    seen = [_time(here.state / name) for name in _WATCHED]
    running = {one["job"] for one in said["running"]}
    for inbox in here.settings.inboxes:
        seen += [_time(inbox.outbox / place / STAGES) for place in running]
    # What was read, and not what lies there by now: that is not what a page would show yet.
    return (here.reader.seen, said["health"]["at_work"], said["health"]["paused"], *seen)


def parts(here: Context, views: Views, page: str) -> Parts:
    """The HTML of each part of a page; none where there is no such job."""
    if page == NOW:
        return render(here, NOW_PARTS, {"now": views.now()})
    told = told_of(here, views, page)
    return {} if told is None else render(here, JOB_PARTS, {"story": told})


def told_of(here: Context, views: Views, job_id: str) -> Story | None:
    """The story of the job with this id; None where there is none."""
    entry = here.reader.job(job_id)
    if entry is None:
        return None
    with here.reader.ledger() as ledger:
        attempts = ledger.story(entry.id) if ledger is not None else ()
    return story(views, entry, attempts)


def render(here: Context, names: tuple[str, ...], values: Mapping[str, Any]) -> Parts:
    """The templates of these parts, filled in."""
    env = here.templates.env
    return {name: env.get_template(f"parts/{name}.html").render(values) for name in names}


def when(time: str) -> str:
    """A time of the ledger or of a receipt, short; scripts put it into the viewer's own zone."""
    with suppress(ValueError):
        return f"{datetime.fromisoformat(time):%-d %b %Y, %H:%M} UTC"
    return time


def _time(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_mtime_ns
    return 0
