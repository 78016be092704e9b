"""`stylewatch prune`: removes what finished jobs need no longer keep, or tells what that is."""

import time
from typing import Annotated

import typer

from stylewatch_daemon.cli import options
from stylewatch_daemon.cli.client import reach
from stylewatch_daemon.cli.console import say
from stylewatch_daemon.files.disk_space import amount
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.outbox import retention
from stylewatch_daemon.settings import config
from stylewatch_daemon.settings.config import Config, service_settings
from stylewatch_daemon.settings.sections import Keep, Retention


def prune(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Remove nothing, only tell.")] = False,
    config_file: options.Config = None,
    sets: options.Sets = None,
) -> None:
    """Remove the stages and inputs of finished jobs that `retention` keeps no longer.

    The daemon does the same at its start and once a day, and forgets the oldest jobs.
    """
    overrides = options.parse_sets(sets)
    read = config.load(config_file, overrides)
    settings = service_settings(read, overrides)
    if settings.retention == Retention():
        say("nothing: by `retention` all stages, inputs and jobs are kept; see docs/settings.md")
        return
    count = bytes_ = 0
    for outbox in settings.outboxes:
        for file in retention.outlived(outbox, settings.retention, time.time()):
            if not dry_run:
                retention.remove(file)
            say(f"{amount(file.bytes):>9}  {shown(file.path)}")
            count, bytes_ = count + 1, bytes_ + file.bytes
    done = "would be removed" if dry_run else "removed"
    say(f"{count} files {done}: {amount(bytes_)}")
    _tell_of_ledger(read, settings.retention.ledger)


def _tell_of_ledger(settings: Config, kept: Keep) -> None:
    """Tell what the daemon will forget: it alone writes the ledger."""
    if kept == "keep":
        return
    with reach(settings, None).ledger() as ledger:
        count = ledger.outlived(retention.forgotten_before(kept)) if ledger else 0
    say(f"{count} jobs in the ledger are for the daemon to forget, at its start or within a day")
