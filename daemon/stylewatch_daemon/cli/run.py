"""`stylewatch run`: the daemon, or one look at what is there."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from stylewatch_daemon import config
from stylewatch_daemon.alerts.settings import addressed
from stylewatch_daemon.alerts.teller import Teller, telling
from stylewatch_daemon.cli import options
from stylewatch_daemon.config import Config
from stylewatch_daemon.reporter import Both, Reporter
from stylewatch_daemon.retention import Retention
from stylewatch_daemon.service_settings import InboxSettings, ServiceSettings
from stylewatch_daemon.sharing import sharing
from stylewatch_daemon.systemd import Manager


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
    overrides = options.parse_sets(sets)
    if state is not None:
        overrides["state.path"] = state
    settings = config.load(config_file, overrides, inbox=inbox, outbox=outbox)
    context.obj.debug |= settings.log.level == "debug"
    ready, to = service_settings(settings, overrides), addressed(settings.alerts)
    from stylewatch_daemon import service
    from stylewatch_daemon.cli.report import reporting

    with reporting(settings.log, quiet=quiet) as log, telling(to) as teller:
        reporter = Both(log, teller)
        if not once:

            def reread() -> ServiceSettings:
                new = config.load(config_file, overrides, inbox=inbox, outbox=outbox)
                _tell_of(new, settings, reporter, teller)
                return service_settings(new, overrides)

            service.watch(ready, reporter, manager=Manager(os.environ), reread=reread)
            return
        summary = service.once(ready, reporter)
    raise typer.Exit(summary.exit_code)


def _tell_of(new: Config, before: Config, reporter: Reporter, teller: Teller) -> None:
    """Let those who report have their part of `new` settings; SettingsError where it is wrong."""
    if new.log != before.log:
        reporter.needs_restart("log")
    teller.offer(addressed(new.alerts))


def service_settings(settings: Config, overrides: Mapping[str, Any]) -> ServiceSettings:
    """What the service must know of `settings`; SettingsError where folders lie in one another.

    What `overrides`, by the dotted keys of config.yaml, say of jobs beats every job.yaml.
    """
    ready = ServiceSettings(
        inboxes=tuple(
            InboxSettings(one.path, one.outbox, one.after, one.weight) for one in settings.inboxes
        ),
        state=settings.state.path,
        quiet_s=settings.watch.quiet_s,
        rescan_s=settings.watch.rescan_s,
        truncated_s=settings.watch.truncated_s,
        polling=settings.watch.polling,
        ignore=settings.watch.ignore,
        default_style=settings.pairing.default_style,
        styles=settings.pairing.styles,
        job=settings.job,
        overrides=config.job_part(overrides),
        recipe_folders=settings.recipes,
        backends=settings.backends,
        devices=() if settings.executor.devices == "auto" else settings.executor.devices,
        idle_s=settings.executor.idle_s,
        batch=settings.executor.batch,
        max_pixels=settings.limits.max_pixels,
        attempts=settings.limits.attempts,
        free_bytes=settings.limits.free_bytes,
        sharing=sharing(settings.outbox.mode, settings.outbox.group),
        retention=Retention(**settings.retention.model_dump()),
        step_timeout_s=settings.limits.step_timeout_s,
        memory=settings.limits.memory,
        out_of_memory=settings.limits.out_of_memory,
    )
    ready.check()
    return ready
