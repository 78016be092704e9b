"""`stylewatch run`: the daemon, or one look at what is there."""

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from stylewatch_daemon.alerts.notifier import Notifier, notifying
from stylewatch_daemon.cli import options
from stylewatch_daemon.events import Both, Reporter
from stylewatch_daemon.service.monitoring import Manager
from stylewatch_daemon.settings import config
from stylewatch_daemon.settings.config import Config, ServiceSettings, service_settings, web_page
from stylewatch_daemon.web.supervisor import Supervisor, supervising, systemd_socket


def run(
    context: typer.Context,
    *,
    once: Annotated[
        bool, typer.Option("--once", help="Take what is there, finish it and leave.")
    ] = False,
    config_file: options.Config = None,
    inbox: Annotated[
        Path | None, typer.Option(help="Watch this folder, not those in config.yaml.")
    ] = None,
    outbox: Annotated[Path | None, typer.Option(help="Put the paintings here.")] = None,
    state: Annotated[
        Path | None, typer.Option(help="Keep here what the daemon must remember.")
    ] = None,
    sets: options.Sets = None,
    quiet: options.Quiet = False,
) -> None:
    """Watch the inboxes, and paint each pair that lands in one."""
    overrides = {**options.parse_sets(sets), **({} if state is None else {"state.path": state})}
    load = partial(config.load, config_file, overrides, inbox=inbox, outbox=outbox)
    settings = load()
    context.obj.debug |= settings.log.level == "debug"
    ready, to = service_settings(settings, overrides), settings.alerts.targets()
    from stylewatch_daemon.cli.report import reporting
    from stylewatch_daemon.service import daemon as service

    with (
        reporting(settings.log, quiet=quiet) as log,
        notifying(to) as notifier,
        supervising(None if once else web_page(settings), systemd_socket(os.environ)) as supervisor,
    ):
        reporter = Both(log, Both(notifier, supervisor))
        if not once:
            tell = partial(_tell_of, settings, reporter, notifier, supervisor)
            reread = partial(_reread, load, overrides, tell)
            service.watch(ready, reporter, manager=Manager(os.environ), reread=reread)
            return
        summary = service.once(ready, reporter)
    raise typer.Exit(summary.exit_code)


def _reread(
    load: Callable[[], Config], overrides: Mapping[str, Any], tell: Callable[[Config], None]
) -> ServiceSettings:
    new = load()
    tell(new)
    return service_settings(new, overrides)


def _tell_of(
    before: Config, reporter: Reporter, notifier: Notifier, supervisor: Supervisor, new: Config
) -> None:
    """Let those who report have their part of `new` settings; SettingsError where it is wrong."""
    if new.log != before.log:
        reporter.needs_restart("log")
    supervisor.offer(web_page(new))
    notifier.offer(new.alerts.targets())
