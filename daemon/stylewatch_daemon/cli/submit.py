"""`stylewatch submit`: a pair into the inbox, and if wanted its way to the end."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from stylewatch_daemon.cli import options, series
from stylewatch_daemon.cli.build_order import (
    Asked,
    check_pictures,
    init_of,
    job_part,
    name_of,
    overrides_of,
    sides_of,
)
from stylewatch_daemon.cli.client import Daemon, StateFolder, reach
from stylewatch_daemon.cli.console import note, say
from stylewatch_daemon.cli.follow import follow
from stylewatch_daemon.cli.job_options import JobOptions, with_job_options
from stylewatch_daemon.files.names import safe
from stylewatch_daemon.ingest import submit as submission
from stylewatch_daemon.settings import config
from stylewatch_daemon.settings.config import Config
from stylewatch_daemon.settings.job import members

Pictures = Annotated[
    list[Path],
    typer.Argument(metavar="CONTENT STYLE", help="The photograph, and the painting or several."),
]
InboxFolder = Annotated[
    Path | None,
    typer.Option("--inbox", help="Put it here, and not into the first inbox of config.yaml."),
]
Name = Annotated[
    str | None,
    typer.Option("--name", help="What the job is called. If not said: CONTENT-STYLE."),
]
Wait = Annotated[
    bool, typer.Option("--wait", "-w", help="Wait until it is painted, and say how it gets on.")
]


@with_job_options
def submit(
    pictures: Pictures,
    *,
    name: Name = None,
    job: JobOptions,
    inbox: InboxFolder = None,
    wait: Wait = False,
    config_file: options.Config = None,
    state: StateFolder = None,
    quiet: options.Quiet = False,
) -> None:
    """Put CONTENT and one or more STYLE pictures into the inbox, for the daemon to paint."""
    asked = job.asked(pictures, config_file)
    pair = _pair(asked, job.swept)
    here, (place, outbox) = reach(pair.settings, state), _places(pair.settings, inbox)
    free = submission.free(_name(name, pictures, pair.settings), place, *outbox)
    made = _put(here, place, free, pair)
    say(made)
    if wait:
        raise typer.Exit(follow(here, made, quiet=quiet))
    if not (quiet or here.is_at_work()):
        note(f"it waits in {place}: no daemon is at work with {here.state}")


def _name(name: str | None, pictures: Sequence[Path], settings: Config) -> str:
    """Return the name of the job if it is free; raises UsageError if it cannot be used."""
    wanted = name or safe(name_of(pictures, settings.job.only))
    return submission.check_name(wanted, settings.watch.ignore)


@dataclass(frozen=True)
class _Pair:
    """Return the files for the inbox by their names there, and the job.yaml."""

    files: Mapping[str, Path]
    job: Mapping[str, Any]
    settings: Config


def _put(here: Daemon, place: Path, names: Iterable[str], pair: _Pair) -> str:
    """Put `pair` into the inbox at `place`; the name that it has there, which no job has had."""
    with here.ledger() as ledger:
        new = (one for one in names if not (ledger and ledger.find(one)))
        return submission.put(place, new, pair.files, pair.job)


def _pair(asked: Asked, swept: Mapping[str, Any]) -> _Pair:
    """All that can be said before anything is written; raises as `make_plan` does."""
    overrides = overrides_of(asked)
    job = job_part(overrides)
    settings = config.load(asked.config_file, overrides)
    check_pictures("submit", asked.pictures, settings.job.only)
    for one in members(swept) if swept else ():
        config.load(asked.config_file, {**overrides, **series.overrides_of(one)})
    if swept:
        job = {**job, "sweep": {key: list(values) for key, values in swept.items()}}
    content, styles = sides_of(asked.pictures, settings.job.only)
    masks = asked.masks.by_role(len(styles))
    files = submission.files_of(content, styles, init_of(asked), masks)
    return _Pair(files, job, settings)


def _places(settings: Config, inbox: Path | None) -> tuple[Path, tuple[Path, ...]]:
    """The inbox, and its outbox where that is known."""
    if inbox is None:
        return settings.inboxes[0].path, (settings.inboxes[0].outbox,)
    place = inbox.expanduser().absolute()
    known = (one for one in settings.inboxes if one.path.resolve() == place.resolve())
    return place, tuple(one.outbox for one in known)
