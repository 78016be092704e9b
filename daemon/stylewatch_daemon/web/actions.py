"""Actions of the page: uploads of pictures, and the requests to the daemon that commands also make.

POST /jobs             a form with files: `content` (a job for each), `style`; `library` with the
                       name of a style of the library; `name`, and the controls of `job_form`.
                       Without a style, the default styles are used. `shared` stands for the
                       photographs of a share
POST /jobs/ID/again    the same without `content` and `name`. The styles replace those of the job;
                       with `blend` they are added to the job's styles with the numbers `keep`

The module `api` has the routes of the actions. Uploaded files are first stored in `state/uploads`.
POST /trash, /restore and /delete act on the jobs that the fields `job` name. POST /jobs submits
pairs in the same way as `stylewatch submit`. All other actions except /doctor, /jobs/ID/keep and
/incomplete/style leave a request, and wait for WAIT_S at most until the daemon has acted on it.
"""

import re
import shutil
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from stylewatch_daemon.base.errors import (
    DaemonError,
    InputError,
    OutputError,
    SettingsError,
    StateError,
    UsageError,
)
from stylewatch_daemon.base.model import Job, new_id
from stylewatch_daemon.client import operations, retries, submit
from stylewatch_daemon.client.submit import NewJob
from stylewatch_daemon.files import atomic, disks, entries, safe_dirs
from stylewatch_daemon.files.names import folded, is_picture, meant, safe, shown
from stylewatch_daemon.ledger import requests
from stylewatch_daemon.ledger.ledger import EXPIRE, FILE_NAME, reading
from stylewatch_daemon.ledger.state_dir import UPLOADS
from stylewatch_daemon.settings import yaml_lines
from stylewatch_daemon.settings.paintable import Files
from stylewatch_daemon.settings.style_library import (
    add_style,
    default_styles,
    needs_style,
)
from stylewatch_daemon.views import estimate, readers
from stylewatch_daemon.views.output_files import JobFiles, original_name, unused
from stylewatch_daemon.web import forms, job_form, job_page, once, overview, shares
from stylewatch_daemon.web.forms import NOTHING, File, Form
from stylewatch_daemon.web.http import (
    JOB,
    Context,
    Fields,
    context,
    done,
    form,
    job_of,
    jobs_of,
    root_path,
    wants_html,
)
from stylewatch_daemon.web.job_form import NO_MISTAKES, FormError
from stylewatch_painter.images.read_clip import is_clip
from stylewatch_painter.size import Size
from stylewatch_painter.validation import nearest

WAIT_S = 2.0
"""How long an answer waits for the daemon to act, in seconds."""

UNNAMED = "upload"
"""Name of a job if the inbox ignores the name made from the names of its files, such as `~$sea`."""

NEW_FIELDS = ("content", "style", "library", "name", "shared", once.FIELD)
AGAIN_FIELDS = ("style", "library", "keep", "blend", once.FIELD)
"""Fields besides the settings: NEW_FIELDS of a new job, AGAIN_FIELDS to paint a job again."""

MAX_REQUESTS = 200
"""Number of waiting requests of people, from all processes, at which the page leaves no more."""


async def ask(site: Context, *leave: Callable[[], int]) -> bool:
    """Call each function, which leaves a request; return whether the daemon acts on all in WAIT_S.

    Raises as the functions do, and HTTPException if too many requests wait. Once all requests are
    left, nothing is raised: after an error callers remove the uploads, which the daemon then needs.
    """
    waiting = await run_in_threadpool(requests.waiting, site.state)
    if len([request for request in waiting if request.verb != EXPIRE]) >= MAX_REQUESTS:
        raise HTTPException(503, "too many requests wait for the daemon: try again later")
    ids = [await run_in_threadpool(each) for each in leave]
    try:
        return await run_in_threadpool(requests.wait, site.state, ids, WAIT_S)
    except DaemonError:  # the ledger cannot be read now
        return False


async def ask_for(site: Context, job: Job, new: str, leave: Callable[[], int]) -> bool:
    """Call `leave` to request the job `new`, which runs `job` again; return and raise as `ask`.

    Raises InputError, too, if the daemon has refused to make the job.
    """
    acted = await ask(site, leave)
    if acted and await run_in_threadpool(site.job, new) is None:
        raise InputError(f"{shown(job.title)} could not be run again: see the log of the daemon")
    return acted


async def check_health(request: Request) -> Response:
    """Run the checks of the doctor again, unless they have just run.

    Answer a program with the findings, and redirect a browser to the page on health.
    """
    patiently = not wants_html(request)
    report = await context(request).doctor.report(anew=True, patiently=patiently)
    findings = [asdict(finding) for finding in report.findings] if report is not None else None
    return done(request, "/health", findings=findings)


async def with_all(request: Request, leave: Callable[[Path], int]) -> Response:
    """Leave a request by `leave`, about no single job, and answer with the first page.

    `leave` gets the state folder.
    """
    site = context(request)
    return done(request, "/", acted=await ask(site, partial(leave, site.state)))


async def with_job(
    request: Request, verb: operations.Asked | Literal["dismiss"], to: str = "/jobs/{}"
) -> Response:
    """Leave a request `verb` about the job in the path, and answer with the page `to`.

    In `to`, braces stand for the id of the job.
    """
    site = context(request)
    job = await run_in_threadpool(job_of, request, verb)
    leave = operations.dismiss if verb == "dismiss" else partial(operations.ask, verb)
    acted = await ask(site, partial(leave, site.state, job))
    return done(request, to.format(job.id), acted=acted)


pause = partial(with_all, leave=partial(requests.leave, verb="pause"))
resume = partial(with_all, leave=partial(requests.leave, verb="resume"))
dismiss_all = partial(with_all, leave=operations.dismiss_all)

cancel = partial(with_job, verb="cancel")
finish = partial(with_job, verb="finish")
dismiss = partial(with_job, verb="dismiss", to="/")
favorite = partial(with_job, verb="favorite")
unfavorite = partial(with_job, verb="unfavorite")
trash_one = partial(with_job, verb="trash", to="/gallery")
restore_one = partial(with_job, verb="restore")
delete_one = partial(with_job, verb="delete", to="/gallery")


async def with_selected(request: Request, verb: Literal["trash", "restore", "delete"]) -> Response:
    """Leave a request `verb` about each job that a field `job` names.

    Of several jobs, favorites are neither moved into the trash nor deleted. The form has the field
    `trashed` if its jobs were in the trash when the person was asked: those restored since are left
    out. Raises StateError if the state of a job does not allow the operation, or if no job is left;
    then nothing is requested.
    """
    site = context(request)
    fields = await form(request)
    jobs, are_several = await run_in_threadpool(jobs_of, site, fields.getlist("job"), verb)
    if verb != "delete":  # another tab may have moved some there, or restored some
        jobs = [job for job in jobs if bool(job.trashed) is (verb == "restore")] or jobs
    if _is_chosen(fields, "trashed"):
        jobs = [job for job in jobs if job.trashed]
        if not jobs:
            raise StateError(
                "the jobs were restored from the trash since you were asked: ask again"
            )
    for job in jobs:
        operations.check(verb, job)
    kept = list[Job]()
    if verb != "restore":
        spare = partial(operations.without_favorites, are_several=are_several)
        jobs, kept = await run_in_threadpool(spare, site.state, jobs)
    acted = await ask(site, *(partial(operations.ask, verb, site.state, job) for job in jobs))
    return done(request, "/gallery", acted=acted, kept=[job.id for job in kept])


async def retry(request: Request) -> Response:
    """Run an ended job again: from the start, or from its stage at the step `from_stage`."""
    fields = await form(request)
    _check_names(fields, "from_stage", once.FIELD)
    act = partial(_retry, request, _number(fields, "from_stage"))
    identity = request.scope["path"], tuple(fields.multi_items())
    return await context(request).once.answer(fields.get(once.FIELD, ""), identity, act)


async def _retry(request: Request, stage: int | None) -> Response:
    site = context(request)
    new = new_id()
    job = await run_in_threadpool(job_of, request, "retry")
    work = partial(operations.settings_of_retry, site.state, job, site.settings, {}, stage)
    wanted = await run_in_threadpool(readers.read, job.id, job.outbox, work)
    leave = partial(operations.retry, site.state, job, new, wanted, from_stage=stage)
    acted = await ask_for(site, job, new, leave)
    return done(request, f"/jobs/{new if acted else job.id}", acted=acted, job=new)


def _check_names(fields: Fields, *known: str) -> None:
    """Raise FormError if the form has fields whose names are not in `known`."""
    unknown = fields.keys() - {*known}
    if unknown:
        raise FormError({name: nearest(name, known, "field") for name in sorted(unknown)})


def _is_chosen(fields: Mapping[str, str], name: str) -> bool:
    """Return whether a field says yes; a missing one says no. Raises FormError for other text."""
    with suppress(SettingsError):
        chosen = yaml_lines.value(fields.get(name) or "no")
        if isinstance(chosen, bool):
            return chosen
    raise FormError({name: "should be yes or no"})


def _number(fields: Fields, name: str) -> int | None:
    """Return the number in a field, None if the form does not have it; FormError for other text."""
    text = fields.get(name)
    if text is not None and not re.fullmatch("[0-9]{1,9}", text):
        raise FormError({name: "should be a number"})
    return None if text is None else int(text)


async def keep_style(request: Request) -> Response:
    """Copy a style image of a job into the style library, with its `name` and `source`.

    Answer a program with the name in the library, and a browser with the page of the job.
    """
    site = context(request)
    fields = await form(request)
    _check_names(fields, "input", "name", "source")
    job = await run_in_threadpool(job_of, request)
    name = await run_in_threadpool(_keep_style, site, job, fields)
    return done(request, f"/jobs/{job.id}", style=name)


def _keep_style(site: Context, job: Job, fields: Fields) -> str:
    """Copy the style image with the number `input`; return its name in the library.

    Raises FormError, UsageError if the library lies in an inbox, and InputError if the file of the
    style image is gone.
    """
    number = _number(fields, "input")
    folder = site.settings.pairing.styles
    style = dict(enumerate(job.inputs)).get(-1 if number is None else number)
    if style is None or style.role != "style":
        raise FormError({"input": "should be the number of a style image"})
    for inbox in site.settings.inboxes:
        if disks.lies_in(folder, inbox.path):
            raise UsageError(
                f"the style library {folder} lies in the inbox {inbox.path}, where its files "
                "would be taken for input: set pairing.styles to another folder"
            )
    picture = JobFiles(job, site.state).find(f"input-{number}")
    if picture is None:
        raise InputError("this style image is no longer where the job left it")
    named = PurePosixPath(original_name(job, style))
    name = fields.get("name", named.stem)
    source = fields.get("source", "")
    guard = operations.disks_of(site.state, folder)
    with picture.file:
        return add_style(folder, guard, name, named.suffix.lower(), picture.file, source)


async def choose_style(request: Request) -> Response:
    """Rename the picture of an incomplete pair in the field `file`, so that it is the style."""
    site = context(request)
    fields = await form(request)
    _check_names(fields, "file")
    await run_in_threadpool(_choose_style, site, fields.get("file", ""))
    return done(request, "/")


def _choose_style(site: Context, wanted: str) -> None:
    """Rename the picture with the path `wanted` to `style`, with the same suffix.

    Raises InputError if the picture does not wait for a style, or if its folder has a style
    already, and OutputError if it cannot be renamed. Only paths that the daemon offers in its
    status can be renamed, and none outside the inbox, wherever links in the path lead now (law 11).
    The status may be older than the folder, so the other picture may have become the style.
    """
    gone = "this picture no longer waits for a style image"
    offered = [path for pair in site.status()["incomplete"] for path in pair["may_be_style"]]
    picture = Path(wanted)
    inboxes = [inbox.path for inbox in site.settings.inboxes if picture.is_relative_to(inbox.path)]
    if wanted not in offered or not inboxes:
        raise InputError(gone)
    inbox = inboxes[0]
    style = f"style{picture.suffix}"

    def rename() -> str:
        below = str(picture.parent.relative_to(inbox))
        with (
            operations.disks_of(site.state, inbox).checked(inbox),
            safe_dirs.opened(inbox, below) as folder,
        ):
            if not entries.exists(picture.name, folder):
                raise InputError(gone)
            taken = _style_in(folder)
            if taken or atomic.move_unless_taken(picture.name, style, folder, folder):
                return taken
            return style

    try:
        taken = readers.read("", inbox, rename)
    except FileNotFoundError as error:
        raise InputError(gone) from error
    except OSError as error:
        raise OutputError(f"{shown(picture)} cannot be renamed: {error.strerror}") from error
    if taken:
        raise InputError(f"there is a {shown(taken)} in its folder already")


def _style_in(folder: int) -> str:
    """Return the name of the picture called `style` in an opened folder; empty if there is none."""
    for path in map(Path, entries.names(folder)):
        if folded(path.stem) == "style" and is_picture(path):
            return path.name
    return ""


def estimate_time(request: Request) -> Response:
    """Answer with a sentence on the time that a job with the settings in the query takes.

    The field `job` names the job that is painted again, `clip` says that the photograph is a clip,
    `pixels` has the size of the photograph, such as `640x480`, if the browser knows it, and
    `several` says that it is the first of several. For a clip, or if a setting is wrong, the
    sentence is empty.
    """
    site = context(request)
    fields = request.query_params
    base = job_form.base_of_new(site)
    files = Files("content", 1)
    sides = re.fullmatch(r"([1-9]\d{0,5})x([1-9]\d{0,5})", fields.get("pixels", ""))
    content = Size(*map(int, sides.groups())) if sides else None
    name = fields.get("job")
    job = site.job(name) if name else None
    if job is not None:
        base, _ = job_form.base_of(site, job)
        files = retries.files_of(job)
        files = replace(files, styles=files.styles or 1)
    asked = {name: fields[name].strip() for name in job_form.NAMES if name in fields}
    try:
        wanted, _ = job_form.read(asked, site.settings, base, files, ())
    except FormError:
        return JSONResponse({"estimate": ""})
    recipes = site.settings.recipes
    if job is not None:
        words = estimate.of_job(site.state, wanted, recipes, job)
    elif "clip" in fields:
        words = ""
    else:
        is_each = "several" in fields
        words = estimate.in_words(site.state, wanted, recipes, content, is_each=is_each)
    return JSONResponse({"estimate": words})


# Uploads


def clear(state: Path) -> None:
    """Remove uploads that a killed process has left, except those that a waiting request names."""
    with suppress(OSError), reading(state / FILE_NAME) as ledger:
        requested = {request.arguments.get("new") for request in ledger.requests()}
        for folder in (state / UPLOADS).iterdir():
            if folder.name not in requested:
                shutil.rmtree(folder, ignore_errors=True)


def _mistaken(
    request: Request, error: FormError, page: Callable[..., Response], form: Form
) -> Response:
    """Answer a browser with the form and its mistakes; raise `error` again for a program.

    `page` makes the page that has the form.
    """
    if not wants_html(request):
        raise error
    answer = page(request, form, error.by_place)
    answer.status_code = 400
    return answer


def _of_library(site: Context, form: Form) -> list[File]:
    """Return the styles chosen from the library; raises InputError if one no longer exists.

    Raises OutputError, too, if the disk of the library is missing.
    """
    names = [*filter(str.strip, form.values.get("library", ()))]
    styles = site.styles() if names else {}
    matches = [meant(name, styles, "styles of the library") for name in names]
    missing = [name for name, style in zip(names, matches, strict=True) if style is None]
    if missing:
        raise InputError(f"{', '.join(map(shown, missing))} is not in the style library")
    chosen = [styles[style] for style in matches if style is not None]
    return [File(safe(path.stem, path.suffix), path) for path in chosen]


# New jobs


async def upload(request: Request) -> Response:
    """Submit the photographs of a form as jobs; answer programs with the names of the new jobs.

    Each photograph, uploaded or shared, gets one job or, if no style is chosen, one job for each
    default style. Browsers are redirected to the first page. A form that is sent again gets the
    earlier answer. Raises as `forms.received` and `_submit` do, but a browser gets the form back
    for a FormError.
    """
    async with forms.received(request) as form:
        act = partial(_uploaded, request, form)
        return await _answered_once(request, form, act)


async def _answered_once(
    request: Request, form: Form, act: Callable[[], Awaitable[Response]]
) -> Response:
    """Return the answer of `act` to a form, or the earlier answer if the form is sent again."""
    number = form.fields.get(once.FIELD, "")
    identity = await run_in_threadpool(forms.identity, form) if number else ""
    return await context(request).once.answer(number, (request.scope["path"], identity), act)


async def _uploaded(request: Request, form: Form) -> Response:
    site = context(request)
    shared = form.fields.get("shared")
    try:
        jobs = await run_in_threadpool(_submit, site, form)
    except FormError as error:
        page = shares.ask if shared else overview.show
        return await run_in_threadpool(_mistaken, request, error, page, form)
    return done(request, "/", jobs=jobs, **({"page": f"{root_path(request)}/"} if shared else {}))


def _submit(site: Context, form: Form) -> list[str]:
    """Put a pair for each photograph into the inbox; return the names of the jobs there.

    A photograph that is uploaded without a style gets a pair with each of the default styles, like
    a photograph that is dropped alone. Raises FormError, InputError, FullError and OutputError.
    """
    shared = form.fields.get("shared")
    jobs: list[str] = []
    if not shared:
        _put(site, _planned(site, form, form.files.get("content", ())), jobs)
        return jobs
    taken = shares.claim(site, shared)
    is_painted = False
    try:
        _put(site, _planned(site, form, shares.files_in(taken)), jobs)
        is_painted = True
    finally:
        shares.settle(taken, is_painted=is_painted)
    return jobs


def _planned(site: Context, form: Form, contents: Sequence[File]) -> list[NewJob]:
    """Return the jobs that a form asks for; raises FormError, InputError and FullError.

    There is one for each photograph or, if the default styles are used, one for each photograph and
    each default style.
    """
    styles = [*form.files.get("style", ()), *_of_library(site, form)]
    unknown = form.files.keys() - {"content", "style"}
    if unknown:
        raise FormError({shown(name): "should be `content` or `style`" for name in sorted(unknown)})
    if not contents:
        raise InputError("an upload needs one picture or more as `content`")
    gets_default = not styles and needs_style(site.settings.job.only)
    groups = (gets_default and _default_styles(site)) or [styles]
    base = job_form.base_of_new(site)
    for content in contents:
        files = Files(content.name, len(groups[0]), is_clip=is_clip(content.path))
        _, settings = job_form.read(form.fields, site.settings, base, files, NEW_FIELDS)
    pairs = [(content, group) for content in contents for group in groups]
    names = [_name(site, form, *pair) for pair in pairs]
    inbox = site.settings.inboxes[0]
    uploaded = (file for content, group in pairs for file in (content, *group))
    size = sum(file.path.stat().st_size for file in uploaded)
    disks.check([(inbox.path, size)], site.settings.limits.free_bytes)
    return [_new_job(name, *pair, settings) for name, pair in zip(names, pairs, strict=True)]


def _put(site: Context, new: Sequence[NewJob], jobs: list[str]) -> None:
    """Put new jobs into the first inbox, and add their names there to `jobs`.

    Raises InputError and OutputError.
    """
    inbox = site.settings.inboxes[0]
    try:
        is_kept = inbox.after == "keep"
        for name in submit.put_all(site.state, new, inbox.path, inbox.outbox, is_kept=is_kept):
            jobs.append(name)
    except OutputError as error:
        accepted = f"; jobs that were submitted before: {', '.join(jobs)}" if jobs else ""
        raise OutputError(f"{error}{accepted}") from error.__cause__


def _default_styles(site: Context) -> list[list[File]]:
    """Return one-element lists, one for each default style; empty if no default style is set.

    Raises FormError if `pairing.default_style` or the style library cannot be used.
    """
    try:
        styles = default_styles(site.settings.pairing)
    except SettingsError as error:
        raise FormError({"style": str(error)}) from error
    return [[File(safe(name, path.suffix), path)] for name, path in styles.items()]


def _name(site: Context, form: Form, content: File, styles: Sequence[File]) -> str:
    """Return the name of a job: the field `name`, or a name made from those of its pictures.

    If the inbox does not accept this name, UNNAMED is returned. Raises FormError if it does not
    accept the field.
    """
    given = form.fields.get("name")
    stems = (PurePosixPath(file.name).stem for file in (content, *styles[:1]))
    name = given or safe("-".join(stems))
    try:
        return submit.checked_name(name, site.settings.watch.ignore)
    except UsageError as error:
        if given:
            raise FormError({"name": str(error)}) from None
        return UNNAMED


def _new_job(
    name: str, content: File, styles: Sequence[File], settings: Mapping[str, Any]
) -> NewJob:
    """Return a job whose job.yaml has `settings`, and the original names of the files."""
    files = submit.files_of(content.path, tuple(style.path for style in styles))
    originals = {file.path: file.name for file in (content, *styles)}
    return NewJob(name, settings, files, originals)


# Jobs that are painted again


def ask_again(
    request: Request, form: Form = NOTHING, mistakes: Mapping[str, str] = NO_MISTAKES
) -> Response:
    """Answer with the form to paint a job again.

    If an earlier form was refused, `form` has its values, and `mistakes` the reasons. With `print`
    in the query, the form suggests settings for a larger print.
    """
    site = context(request)
    job = job_of(request, "retry")
    problem = ""
    operations.check("retry", job)
    values = job_page.view(site, job)
    receipt = values["view"].receipt
    base, note = job_form.base_of(site, job)
    is_print = "print" in request.query_params and receipt is not None
    suggested = job_form.print_fields(base, receipt) if is_print else NO_MISTAKES
    try:
        readers.read(job.id, job.outbox, partial(operations.pictures_of, site.state, job))
    except DaemonError as error:
        problem = str(error)
    places = [place for place, file in enumerate(job.inputs) if file.role == "style"]
    own = [image for image in values["inputs"] if image.digest]
    styles = [(str(1 + places.index(image.number)), image, "") for image in own]
    values |= {
        "form": job_form.view(site, base, form, mistakes, suggested, job),
        "styles": styles,
        "kept": form.values.get("keep", [number for number, _, _ in styles]),
        "note": note,
        "problem": problem,
    }
    return site.templates.TemplateResponse(request, "retry.html", values)


async def paint_again(request: Request) -> Response:
    """Run a job again with other settings or styles, as a new job.

    A form that is sent again gets the earlier answer. If the form has mistakes, a browser gets it
    back.
    """
    job = await run_in_threadpool(job_of, request, "retry")
    async with forms.received(request) as form:
        act = partial(_paint_again, request, job, form)
        return await _answered_once(request, form, act)


async def _paint_again(request: Request, job: Job, form: Form) -> Response:
    site = context(request)
    new = new_id()
    try:
        leave = await run_in_threadpool(_painted_again, site, job, form, new)
        acted = await ask_for(site, job, new, leave)
    except FormError as error:
        return await run_in_threadpool(_mistaken, request, error, ask_again, form)
    except Exception:
        shutil.rmtree(site.state / UPLOADS / new, ignore_errors=True)
        raise
    to = f"/jobs/{new}" if acted else "/"
    return done(request, to, acted=acted, job=new, page=f"{root_path(request)}{to}")


def _painted_again(site: Context, job: Job, form: Form, new: str) -> Callable[[], int]:
    """Return a function that leaves the request to paint `job` again as the job `new`.

    New styles are copied into the folder `new` of the uploads. Raises DaemonError for mistakes in
    the form.
    """
    operations.check("retry", job)
    unknown = form.files.keys() - {"style"}
    if unknown:
        raise FormError({shown(name): "pictures should be in `style`" for name in sorted(unknown)})
    added = [*form.files.get("style", ()), *_of_library(site, form)]
    without = [*_left_out(job, form, has_others=bool(added))]
    files = retries.files_of(job, None, without, [style.name for style in added])
    base, _ = job_form.base_of(site, job)
    wanted, _ = job_form.read(form.fields, site.settings, base, files, AGAIN_FIELDS)
    folder = site.state / UPLOADS / new
    taken = set[str]()
    names = [unused(style.name, taken) for style in added]
    for name, style in zip(names, added, strict=True):
        atomic.make_folder(folder)
        atomic.copy(style.path, folder / name)
    again = base.model_copy(update=dict(wanted))
    return partial(operations.retry, site.state, job, new, again, without=without, added=names)


def _left_out(job: Job, form: Form, *, has_others: bool) -> Iterator[int]:
    """Yield the numbers, from 1, of the styles of the job that the new job does not use.

    New styles replace them all, unless the form has `blend`. Otherwise `keep` has the numbers that
    stay; a form without `keep` keeps all. Raises FormError for other numbers.
    """
    styles = range(1, 1 + sum(file.role == "style" for file in job.inputs))
    if not {*form.values.get("keep", ())} <= {"", *map(str, styles)}:
        raise FormError({"keep": f"should be numbers of styles, from 1 to {len(styles)}"})
    if has_others and not _is_chosen(form.fields, "blend"):
        yield from styles
    elif "keep" in form.values:
        yield from (number for number in styles if str(number) not in form.values["keep"])


ROUTES = [
    Route("/trash", partial(with_selected, verb="trash"), methods=["POST"]),
    Route("/restore", partial(with_selected, verb="restore"), methods=["POST"]),
    Route("/delete", partial(with_selected, verb="delete"), methods=["POST"]),
    Route("/estimate", estimate_time),
    Route("/incomplete/style", choose_style, methods=["POST"]),
    Route(f"/jobs/{JOB}/again", ask_again),
]
"""The routes that the API does not have."""
