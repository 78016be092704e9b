"""`stylewatch submit`, which puts jobs into the inbox and, with `--wait`, waits for their ends."""

import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from os.path import realpath
from pathlib import Path
from typing import Any

import typer

from stylewatch_daemon.base.errors import EXIT_OF_END, Exit, UsageError
from stylewatch_daemon.base.model import PICTURES, Job, State
from stylewatch_daemon.cli import build_order, options
from stylewatch_daemon.cli.exit_codes import echo, echo_json, note
from stylewatch_daemon.cli.progress import PacedLines, in_place
from stylewatch_daemon.client import status_json, status_text
from stylewatch_daemon.client import submit as submission
from stylewatch_daemon.client.condition import condition
from stylewatch_daemon.client.operations import disks_of, open_ledger
from stylewatch_daemon.client.submit import NewJob
from stylewatch_daemon.files.names import safe, shown
from stylewatch_daemon.ledger.ledger import Ledger
from stylewatch_daemon.settings import config, paintable
from stylewatch_daemon.settings.style_library import default_styles, needs_style
from stylewatch_daemon.views import estimate
from stylewatch_daemon.views.job import view_of

POLL_EVERY_S = 0.25

AWAY_S = 10.0
"""Seconds that a daemon may take to start again with new settings."""

STANDS_S = 3.0
"""Seconds for which the status must report that a pair is not painted, before `follow` gives up. At
first, the report may be about earlier files in a folder of the same name."""


@options.with_job_options()
def submit(
    pictures: options.Pictures,
    *,
    name: str | None = typer.Option(
        None, metavar="NAME", help="Name of the job; by default CONTENT-STYLE."
    ),
    job: options.JobOptions,
    inbox: Path | None = typer.Option(
        None, metavar="FOLDER", help="Use this inbox, not the first one of config.yaml."
    ),
    wait: bool = typer.Option(
        False, "--wait", "-w", help="Wait for the end of each job, with its progress."
    ),
    config_file: options.Config = None,
    state: options.State = None,
    quiet: bool = typer.Option(
        False, "--quiet", "-q", help="Print only the names of the jobs, and errors."
    ),
    json: options.AsJson = False,
) -> None:
    """Put a photograph and paintings into the inbox of the daemon.

    Without a painting, pairing.default_style is used. With --sweep there is a job for each value.
    """
    own, settings = _settings(job, config_file, quiet=quiet)
    pictures = [*build_order.with_named_styles(pictures, job, settings)]
    jobs = _new_jobs(pictures, name, job, own, settings)
    folder = state.absolute() if state else settings.state.path
    place = inbox.absolute() if inbox else settings.inboxes[0].path
    _refuse_inside(place, [*(str(each.path) for each in settings.inboxes), *_watched(folder)])
    inboxes = [each for each in settings.inboxes if _is_same(place, str(each.path))]
    folders = [*chain.from_iterable((each.path, each.outbox) for each in inboxes)] or [place]
    ignored = settings.watch.ignore
    jobs = [each._replace(name=submission.checked_name(each.name, ignored)) for each in jobs]
    submitted = []
    is_kept = all(watched.after == "keep" for watched in inboxes)  # unknown for other inboxes
    for title in submission.put_all(folder, jobs, *folders, is_kept=is_kept):
        submitted.append(title)
        if not json:
            echo(title)
    if not quiet:
        recipe = settings.job.resolve(*settings.recipes)
        content = None if settings.job.only == "style" else pictures[0]
        photograph = build_order.photograph_size(content, settings.limits.max_pixels)
        build_order.note_size(settings.job, recipe, photograph)
        # earlier times are those of stills with the same settings
        is_one_still = len(jobs) == 1 and (content is None or photograph is not None)
        time = ""
        if is_one_still and not (job.get("sweep") or json):
            time = estimate.in_words(folder, settings.job, settings.recipes, photograph)
        if time:
            note(f"time: {time}")
    raise typer.Exit(_report(submitted, folder, place, wait=wait, quiet=quiet, json=json))


def _settings(
    job: options.JobOptions, config_file: Path | None, *, quiet: bool
) -> tuple[Mapping[str, Any], config.ServiceSettings]:
    """Return the settings of the jobs in the form of job.yaml, and all settings with them on top.

    Raises UsageError and SettingsError.
    """
    overrides = build_order.overrides_of(job)
    asked = build_order.job_part(overrides)
    settings = config.load(config_file, overrides)
    own = build_order.over_variables(asked, quiet=quiet)
    painted = config.for_learner(settings.job, own)
    return own, settings.model_copy(update={"job": painted})


def _new_jobs(
    pictures: Sequence[Path],
    name: str | None,
    job: options.JobOptions,
    own: Mapping[str, Any],
    settings: config.Config,
) -> list[NewJob]:
    """Return the jobs that a command line asks for: one for each default style and each variant.

    `own` are the settings that all these jobs have, in the form of job.yaml.
    """
    only = settings.job.only
    is_photograph = only != "style"  # else the one picture is the style itself
    is_alone = is_photograph and len(pictures) == 1
    groups = [[*pictures]]
    if is_alone and needs_style(only) and settings.pairing.default_style is not None:
        with build_order.style_library(settings):
            defaults = default_styles(settings.pairing)
        groups = [[*pictures, style] for style in defaults.values()]
    sweep = options.parse_sweep(job.get("sweep"))
    jobs: list[NewJob] = []
    for group in groups:
        content, styles = build_order.sides("submit", group, settings.job.only)
        masks = build_order.masks_by_role(job, len(styles))
        init = build_order.init_picture(job)
        files = submission.files_of(content, styles, init, masks)
        named = build_order.names_of(content, styles, init, masks)
        wanted = safe(build_order.default_name(content, styles)) if name is None else name
        if name is not None and len(groups) > 1:
            wanted = f"{name}-{safe(styles[0].stem)}"
        if not sweep:
            paintable.check(settings.job, settings.job.resolve(*settings.recipes), named)
            jobs.append(NewJob(wanted, own, files))
        for member in options.members(sweep) if sweep else ():
            varied = config.override(settings, member.overrides)
            build_order.sides("submit", group, varied.job.only)
            merged = config.merge_job(own, build_order.job_part(member.overrides))
            asked = config.for_learner(varied.job, merged)
            paintable.check(asked, asked.resolve(*settings.recipes), named)
            job_yaml = {key: value for key, value in merged.items() if value != {}}
            jobs.append(NewJob(safe(f"{wanted}-{member.name}"), job_yaml, files))
    return jobs


def _report(
    jobs: Sequence[str], state: Path, inbox: Path, *, wait: bool, quiet: bool, json: bool
) -> int:
    """Print where the jobs wait or, with `wait`, how they ended; return the exit code.

    With `wait`, wait for the ends, unless the running daemon does not watch the inbox.
    """
    submitted = {name: {"name": name, "inbox": str(inbox)} for name in jobs}
    watched = _watched(state)
    others = [] if any(_is_same(inbox, each) for each in watched) else watched
    if wait and not others:
        return _follow_all(state, submitted, quiet=quiet, json=json)
    if json:
        echo_json([*submitted.values()])
    if others and (wait or not quiet):
        note(f"{', '.join(jobs)}: {_unwatched(inbox, others)}")
    elif not (quiet or others or status_json.is_at_work(state)):
        note(f"waiting in {inbox}: {_sentence(state)}")
    return Exit.LATER if wait else 0


def _follow_all(
    state: Path, submitted: Mapping[str, Mapping[str, str]], *, quiet: bool, json: bool
) -> int:
    """Wait until the jobs end, and print their output folders or reasons; return the exit code.

    `submitted` has a mapping with name and inbox for each job, by the name.
    """
    ended = {}
    for name, pair in submitted.items():
        job = ended[name] = follow(state, name, Path(pair["inbox"]), quiet=quiet)
        if job is None or json:
            continue
        if job.end not in PICTURES:
            note(f"{job.title}: {job.seen}: {job.reason}".removesuffix(": "))
        elif not quiet:
            echo(str(Path(job.outbox, job.title)))
    if json:
        echo_json([
            view_of(state, job).as_json() if job else submitted[name]
            for name, job in ended.items()
        ])  # fmt: skip
    codes = [EXIT_OF_END[job.end] if job and job.end else Exit.LATER for job in ended.values()]
    failures = [code for code in codes if code]
    return failures[0] if failures else 0


def follow(state: Path, job: str, inbox: Path, *, quiet: bool) -> Job | None:
    """Wait until the job that was submitted to `inbox` as `job` has ended, and return it.

    Return None, and print why, if no daemon has been running for AWAY_S seconds (at first: if none
    is running), or if the pair cannot become a job without help.
    """
    pair = _Submitted(state, inbox, job)
    with in_place(sys.stderr, wanted=not quiet) as on_terminal:
        show = on_terminal or PacedLines((lambda line: None) if quiet else note)
        seen_at = reason_since = -float("inf")
        reason = ""
        while True:
            if status_json.is_at_work(state):
                seen_at = time.monotonic()
            pair.look()
            record = pair.job
            if record is not None and record.has_ended:
                return record
            if time.monotonic() - seen_at >= AWAY_S and not pair.gone:
                note(f"{job} waits: {_sentence(state)}")
                return None
            status = status_json.current(state)
            if (why := pair.why_over(status)) != reason:
                reason = why
                reason_since = time.monotonic()
            if pair.gone or (reason and time.monotonic() - reason_since >= STANDS_S):
                note(f"{job} {reason}")
                return None
            show(f"{job}: {_progress(pair, status)}")
            time.sleep(POLL_EVERY_S)


class _Submitted:
    """A pair that was put into the folder `name` of `inbox`, and the job that it becomes.

    The job is found by that folder, and later by its id, because other jobs may get the same name.
    """

    def __init__(self, state: Path, inbox: Path, name: str) -> None:
        self.inbox = inbox
        self.name = name
        self.job: Job | None = None
        """The job; None as long as the pair is in the inbox."""
        self.gone = ""
        """Why no job will come of the pair, such as that it was removed; empty otherwise."""
        self._state = state
        self._guard = disks_of(state, inbox)  # remembers the disk of the inbox
        self._main: frozenset[str] = frozenset()
        """Names of the pair's main pictures when they were first seen."""

    def look(self) -> None:
        """Update `job` and `gone`: look for the job in the ledger and, without one, for the pair.

        A job is in the ledger before its files leave the inbox, and until they are back there.
        Therefore the pair is gone only if it is missing before and after the look at the ledger.
        """
        former = self.job
        found = self._found() if former is None else None
        with open_ledger(self._state) as ledger:
            if ledger is not None:
                self.job = self._find(ledger) if former is None else ledger.get(former.id)
        self.gone = ""
        if self.job is not None:
            return
        if former is not None and former.state is not State.CLAIMED:
            self.gone = "was deleted"
            return
        self._main = self._main or found or frozenset()
        if self._lacks_main(found) and self._lacks_main(self._found()):
            self.gone = f"was removed from {self.inbox} before it was painted"

    def _find(self, ledger: Ledger) -> Job | None:
        """Return the job whose files come from the folder of the pair; None without one.

        Retries do not count. Earlier jobs had other names, because the name was new to the ledger.
        """
        place = realpath(self.inbox)
        for job in ledger.called(self.name):
            source = Path(job.inputs[0].source) if job.inputs else Path()
            folder = source.parent
            is_ours = folder.name == self.name and realpath(folder.parent) == place
            if is_ours and not job.retry_of:
                return job
        return None

    def _lacks_main(self, found: frozenset[str] | None) -> bool:
        """Return whether the main pictures are not among those `found`; False if unknown."""
        return found is not None and not self._main & found

    def _found(self) -> frozenset[str] | None:
        return submission.main_pictures(self._guard, self.inbox, self.name)

    def why_over(self, status: Mapping[str, Any]) -> str:
        """Return why the pair cannot become a job without help; empty if it can, or has."""
        if self.gone or self.job is not None:
            return self.gone
        is_started = status["health"]["at_work"] and status["health"]["since"]
        if is_started and not _records_of(self.inbox, status):
            return _unwatched(self.inbox, [record["path"] for record in status["inboxes"]])
        waits_for = [pair["waits_for"] for pair in self._incomplete(status)
                     if not pair.get("changing", True)]  # fmt: skip
        if waits_for:
            return f"waits for {'; '.join(waits_for)}"
        skipped = [f"{name} is skipped: {why}" for name, why, changing in self._ignored(status)
                   if not changing]  # fmt: skip
        return f"is not painted: {skipped[0]}" if skipped else ""

    def waits_for(self, status: Mapping[str, Any]) -> str:
        """Return what the pair waits for, such as missing pictures; empty if for nothing."""
        unread = [f"{name}: {why}" for name, why, changing in self._ignored(status) if changing]
        return "; ".join((*(pair["waits_for"] for pair in self._incomplete(status)), *unread))

    def _ignored(self, status: Mapping[str, Any]) -> Iterator[tuple[str, str, bool]]:
        """Yield each ignored main picture, with the reason, and whether it may end by itself."""
        main = {f"{folder}/{name}": name for folder in self._folders(status) for name in self._main}
        for record in _records_of(self.inbox, status):
            for file in record.get("ignored", ()):
                if file["path"] in main:
                    yield main[file["path"]], file["reason"], file.get("changing", False)

    def _incomplete(self, status: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """Return the entries of the pair in `status`; none if the pair is not incomplete."""
        folders = tuple(f"{folder}/" for folder in self._folders(status))
        return [
            pair
            for pair in status["incomplete"]
            if pair["name"] == self.name and any(file.startswith(folders) for file in pair["files"])
        ]

    def _folders(self, status: Mapping[str, Any]) -> list[str]:
        """Return the path of the pair's folder as in `status`; none without the inbox there."""
        return [f"{record['path']}/{self.name}" for record in _records_of(self.inbox, status)]


def _records_of(inbox: Path, status: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the records of an inbox in `status`; none if the daemon does not watch it."""
    return [each for each in status["inboxes"] if _is_same(inbox, each["path"])]


def _is_same(folder: Path, inbox: str) -> bool:
    """Return whether a folder is the `inbox`, perhaps with another spelling.

    Paths in status.json may differ from the real ones, because they are made safe to print.
    """
    real = realpath(folder)
    return inbox in (shown(folder), shown(real)) or realpath(inbox) == real


def _refuse_inside(folder: Path, inboxes: Iterable[str]) -> None:
    """Raise UsageError if a folder is inside an inbox, where a pair may become part of an album."""
    for inbox in inboxes:
        roots = (inbox, realpath(inbox))
        spellings = (folder, Path(realpath(folder)))
        is_inside = any(each.is_relative_to(root) for each in spellings for root in roots)
        if is_inside and not _is_same(folder, inbox):
            raise UsageError(
                f"{folder} lies in the inbox {inbox}: submit to that inbox; --name names the job"
            )


def _watched(state: Path) -> list[str]:
    """Return the inboxes that the running daemon watches; none if no daemon runs."""
    if not status_json.is_at_work(state):
        return []
    return [record["path"] for record in status_json.read(state)["inboxes"]]


def _unwatched(inbox: Path, others: Sequence[str]) -> str:
    return (
        f"in {inbox}, which the running daemon does not watch: add that inbox to its config.yaml, "
        f"or submit to {' or '.join(others)} with --inbox"
    )


def _sentence(state: Path) -> str:
    sentence: str = status_json.current(state)["health"]["sentence"]
    return f"{sentence} Its state folder is {state}"


def _progress(pair: _Submitted, status: Mapping[str, Any]) -> str:
    if pair.job is not None:
        return status_text.standing(pair.job, status)
    if waits_for := pair.waits_for(status):
        return f"waits for {waits_for}"
    records = _records_of(pair.inbox, status)
    folders = [folder for record in records for folder in (record["path"], record["outbox"])]
    reason = status_text.obstacle(status, pair.name, *folders)
    now = condition(status)
    reason = reason or ("" if now.is_ready else now.sentence)
    return f"waits in the inbox: {reason}" if reason else "waits in the inbox"
