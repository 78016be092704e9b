"""`stylewatch retry`: a job that is at its end is painted again, with other settings if wanted."""

from typing import Annotated

import typer

from stylewatch_daemon.cli import jobs, options
from stylewatch_daemon.cli.build_order import job_part
from stylewatch_daemon.cli.client import StateFolder, reach
from stylewatch_daemon.cli.console import note, say
from stylewatch_daemon.cli.show import Job
from stylewatch_daemon.errors import InputError
from stylewatch_daemon.ingest.inbox import new_id
from stylewatch_daemon.queue import job_actions as again
from stylewatch_daemon.settings import config

FromStage = Annotated[
    int | None,
    typer.Option(
        "--from-stage",
        metavar="N",
        min=1,
        help="Go on from its stage after step N, with the steps that came after it.",
    ),
]


def retry(
    job: Job,
    sets: options.Sets = None,
    from_stage: FromStage = None,
    config_file: options.Config = None,
    state: StateFolder = None,
) -> None:
    """Paint a job that is at its end again, as a new one, by the settings that it had."""
    settings = config.load(config_file)
    here = reach(settings, state)
    entry = jobs.entered(here, job)
    again.check_at_end(entry)
    overrides = options.parse_sets(sets)
    job_part(overrides)  # tells what a job may not say
    wanted = again.settings_for(entry, settings, overrides, from_stage)
    for one in again.needed(entry, from_stage):
        one.find()
    new = new_id()
    name = jobs.called(entry)
    if not jobs.asked(here, "retry", job=entry.id, new=new, settings=wanted, from_stage=from_stage):
        note(f"{name} will be painted again as the job {new}")
        return
    with here.ledger() as ledger:
        made = ledger.find(new) if ledger else None
    if made is None:
        raise InputError(f"{name} could not be painted again; the daemon's log says why")
    say(f"{name} is painted again, as the job {new}")
