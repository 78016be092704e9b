"""The form of a job, and the page on which a job is painted again with other settings."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from stylewatch_daemon.base.errors import DaemonError, InputError
from stylewatch_daemon.files import atomic
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.jobs import operations, retries
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_daemon.settings.style_library import find_styles
from stylewatch_daemon.web import job_form, job_page
from stylewatch_daemon.web.cards import Image
from stylewatch_daemon.web.forms import NOTHING, Form
from stylewatch_daemon.web.http import Context, context
from stylewatch_daemon.web.job_form import RecipeChoice
from stylewatch_daemon.web.job_page import JobPage

MAX_LIBRARY, MAX_SOURCE = 200, 300
"""Styles of the library that a form shows, and characters of a source."""

NO_MISTAKES: Mapping[str, str] = {}
"""The mistakes of a form that was not sent yet."""


Style = tuple[str, Image, str]
"""A style to choose: the value of its box, its preview, and where it comes from."""


@dataclass(frozen=True)
class JobForm:
    """A form for the settings and styles of a job; `chosen` are the styles that are ticked.

    `mistakes` are sentences by the names of the controls.
    """

    values: Mapping[str, str]
    recipes: tuple[RecipeChoice, ...]
    library: tuple[Style, ...]
    chosen: Sequence[str]
    mistakes: Mapping[str, str]


@dataclass(frozen=True)
class Again:
    """The page on which the job of `page` is painted again.

    `styles` are those of the job, `kept` the values of those that are ticked. `note` says why the
    form has not the settings of the job; `problem` why it cannot be painted.
    """

    form: JobForm
    styles: tuple[Style, ...]
    kept: Sequence[str]
    page: JobPage
    note: str
    problem: str


def form_view(
    here: Context,
    base: JobSettings,
    fields: Mapping[str, str],
    form: Form,
    mistakes: Mapping[str, str],
) -> JobForm:
    """Return the form of a job on top of the settings `base`, filled in with `fields`."""
    library: tuple[Style, ...] = ()
    with suppress(OSError):
        library = tuple(_library(here.settings.pairing.styles))
    return JobForm(
        values=job_form.filled(base, fields),
        recipes=tuple(job_form.recipes(here.settings)),
        library=library,
        chosen=form.values.get("library", ()),
        mistakes=mistakes,
    )


def _library(folder: Path) -> Iterator[Style]:
    styles = [(name, path) for name, path in find_styles(folder, "all").items()
              if name == shown(name)]  # fmt: skip
    for name, path in styles[:MAX_LIBRARY]:
        source = b""
        with suppress(OSError, InputError), atomic.open_regular(folder / f"{name}.txt") as file:
            source = file.read(4 * MAX_SOURCE)
        with suppress(OSError):
            src = f"/library/small/{quote(name)}?v={path.stat().st_mtime_ns}"
            text = " ".join(source.decode(errors="replace").split())[:MAX_SOURCE]
            yield name, Image(src, ""), shown(text)


def view(
    here: Context, page: JobPage, form: Form, mistakes: Mapping[str, str], *, is_print: bool
) -> Again:
    """Return the form to paint a job again; `is_print` suggests the settings of a larger print.

    Raises UsageError if the job has not ended.
    """
    job, receipt = page.view.job, page.view.receipt
    operations.check("retry", job)
    base, note = job_form.base_of(job, here.settings)
    fields, problem = form.fields, ""
    if is_print and receipt is not None:
        fields = {**job_form.print_fields(base, receipt), **fields}
    try:
        for file in retries.needed(job, None):
            file.find()
    except DaemonError as error:
        problem = str(error)
    own = (image for image in page.inputs if image.digest)
    styles = tuple((str(number), image, "") for number, image in enumerate(own, 1))
    return Again(
        form=form_view(here, base, fields, form, mistakes),
        styles=styles,
        kept=form.values.get("keep", [number for number, _, _ in styles]),
        page=page,
        note=note,
        problem=problem,
    )


def show(
    request: Request, form: Form = NOTHING, mistakes: Mapping[str, str] = NO_MISTAKES
) -> Response:
    """Answer with the form to paint a job again, `form` and `mistakes` as for the first page."""
    here, is_print = context(request), "print" in request.query_params
    again = view(here, job_page.page_of(request), form, mistakes, is_print=is_print)
    return here.templates.TemplateResponse(request, "retry.html", vars(again))


ROUTES = [Route("/jobs/{job}/again", show)]
