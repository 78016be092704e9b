"""Uploads: pictures that are dropped onto the page make jobs, or are styles of a job run again.

POST /upload           a form with files: `content` (a job for each), `style`; `library` with the
                       name of a style of the library; `name`, and the controls of `job_form`
POST /jobs/ID/again    the same without `content` and `name`. Its styles replace those of the job;
                       with `blend` they are added to those with the numbers `keep`

They are collected in `state/uploads`. A pair is submitted as by `stylewatch submit`; a job is
run again as by `stylewatch retry`.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from stylewatch_daemon.base.errors import InputError, UsageError
from stylewatch_daemon.base.model import Job, new_id
from stylewatch_daemon.files import atomic
from stylewatch_daemon.files.names import candidates, safe, shown
from stylewatch_daemon.intake import submit
from stylewatch_daemon.jobs import operations
from stylewatch_daemon.ledger.ledger import FILE_NAME, reading
from stylewatch_daemon.ledger.state_dir import UPLOADS
from stylewatch_daemon.settings.style_library import find_styles
from stylewatch_daemon.web import actions, again, forms, job_form, overview
from stylewatch_daemon.web.forms import File, Form
from stylewatch_daemon.web.http import Context, context, done, root_path, wants_html
from stylewatch_daemon.web.job_form import FormError


async def upload(request: Request) -> Response:
    """Make a job of each photograph; the answer has their names in the inbox."""
    here = context(request)
    async with forms.received(request, here.settings.inboxes[0].path) as form:
        try:
            jobs = await run_in_threadpool(_submit, here, form)
        except FormError as error:
            return await run_in_threadpool(_mistaken, request, error, overview.show, form)
    return done(request, to=f"{root_path(request)}/", jobs=jobs)


async def retry_with(request: Request) -> Response:
    """Run a job again with other settings or styles, as a new job."""
    here = context(request)
    job, new = await run_in_threadpool(actions.job_of, request), new_id()
    try:
        async with forms.received(request, here.state) as form:
            leave = await run_in_threadpool(_painted_again, here, job, form, new)
        acted = await actions.ask(here, leave)
    except FormError as error:
        return await run_in_threadpool(_mistaken, request, error, again.show, form)
    except Exception:
        shutil.rmtree(here.state / UPLOADS / new, ignore_errors=True)
        raise
    page = f"{root_path(request)}/jobs/{new}" if acted else f"{root_path(request)}/"
    return done(request, to=page, acted=acted, job=new, page=page)


def clear(state: Path) -> None:
    """Remove the uploads of a process that was killed, except those that a request is about."""
    with suppress(OSError), reading(state / FILE_NAME) as ledger:
        requested = {request.arguments.get("new") for request in ledger.requests()}
        for folder in (state / UPLOADS).iterdir():
            if folder.name not in requested:
                shutil.rmtree(folder, ignore_errors=True)


def _mistaken(
    request: Request, error: FormError, page: Callable[..., Response], form: Form
) -> Response:
    """Answer with the `page` that has the form, and each mistake beside its control."""
    if not wants_html(request):
        return JSONResponse({"error": str(error), "mistakes": error.sentences}, 400)
    answer = page(request, form, error.sentences)
    answer.status_code = 400
    return answer


def _submit(here: Context, form: Form) -> list[str]:
    """Put a pair for each photograph into the inbox; return the names of the jobs there."""
    contents = form.files.get("content", ())
    styles = [*form.files.get("style", ()), *_of_library(here, form)]
    if not contents or form.files.keys() - {"content", "style"}:
        raise InputError(
            "an upload needs one picture or more as `content`, and one or more as `style`"
        )
    _, settings = job_form.read(form.fields, here.settings, here.settings.job, len(styles))
    return [_submit_one(here, form, content, styles, settings) for content in contents]


def _submit_one(
    here: Context, form: Form, content: File, styles: Sequence[File], settings: Any
) -> str:
    inbox = here.settings.inboxes[0]
    stems = (PurePosixPath(file.name).stem for file in (content, *styles[:1]))
    name = form.fields.get("name") or safe("-".join(stems))
    try:
        submit.check_name(name, here.settings.watch.ignore)
    except UsageError as error:
        raise FormError({"name": str(error)}) from None
    files = submit.files_of(content.path, tuple(style.path for style in styles))
    originals = {file.path: file.name for file in (content, *styles)}
    file_names = {name: originals[path] for name, path in files.items()}
    with here.reader.ledger() as ledger:
        names = submit.free(name, inbox.path, inbox.outbox)
        unused = (other for other in names if not ledger.find(other))
        return submit.put(inbox.path, unused, files, {**settings, "file_names": file_names})


def _painted_again(here: Context, job: Job, form: Form, new: str) -> Callable[[], int]:
    """Return what leaves the request to paint a job again, with its styles in the folder `new`.

    Raises DaemonError for mistakes in the form.
    """
    operations.check("retry", job)
    if form.files.keys() - {"style"}:
        raise InputError("a job that is painted again takes further pictures as `style` only")
    added = [*form.files.get("style", ()), *_of_library(here, form)]
    without = [*_left_out(job, form, has_others=bool(added))]
    count = len(added) + sum(file.role == "style" for file in job.inputs) - len(without)
    base, _ = job_form.base_of(job, here.settings)
    wanted, _ = job_form.read(form.fields, here.settings, base, count)
    names: list[str] = []
    for style in added:
        named = PurePosixPath(style.name)
        unused = (f"{stem}{named.suffix}" for stem in candidates(named.stem))
        names.append(next(name for name in unused if name not in names))
        atomic.make_folder(here.state / UPLOADS / new)
        atomic.copy(style.path, here.state / UPLOADS / new / names[-1])
    again = base.model_copy(update=dict(wanted))
    return partial(operations.retry, here.state, job, new, again, without=without, added=names)


def _left_out(job: Job, form: Form, *, has_others: bool) -> Iterator[int]:
    """Yield the numbers, from 1, of the styles of the job that the new one is to do without.

    Other styles replace them, unless the form blends both. A form without `keep` keeps all.
    """
    styles = range(1, 1 + sum(file.role == "style" for file in job.inputs))
    if has_others and not form.fields.get("blend"):
        yield from styles
    elif "keep" in form.values:
        yield from (number for number in styles if str(number) not in form.values["keep"])


def _of_library(here: Context, form: Form) -> list[File]:
    """Return the styles that were chosen from the library; raises InputError if one is gone."""
    styles = find_styles(here.settings.pairing.styles, "all")
    names = form.values.get("library", ())
    if missing := [name for name in names if name not in styles]:
        raise InputError(f"{', '.join(map(shown, missing))} is not in the style library")
    return [File(safe(styles[name].name), styles[name]) for name in names]


ROUTES = [
    Route("/upload", upload, methods=["POST"]),
    Route("/jobs/{job}/again", retry_with, methods=["POST"]),
]
