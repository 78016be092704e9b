"""`stylewatch doctor`: what would keep the daemon from working here, each with what to do."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import typer

from stylewatch_daemon.cli import options
from stylewatch_daemon.cli.console import say, say_json
from stylewatch_daemon.doctor.finding import Finding, exit_code, mend, ok
from stylewatch_daemon.errors import SettingsError
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.settings import config
from stylewatch_daemon.settings.config import service_settings


def doctor(
    config_file: options.Config = None, sets: options.Sets = None, json: options.AsJson = False
) -> None:
    """Look for everything that would keep the daemon from working, and say what to do about it."""
    found = []
    for one in _findings(config_file, sets):
        found.append(one)
        if not json:
            say(shown(f"{one.verdict:<4}  {one.what}: {one.words}"))
    if json:
        say_json([asdict(one) for one in found])
    raise typer.Exit(exit_code(found))


def _findings(config_file: Path | None, sets: list[str] | None) -> Iterator[Finding]:
    """The settings, and if they are right, all that stands on them."""
    path = config_file or config.find()
    overrides = options.parse_sets(sets)
    try:
        loaded = config.load(path, overrides)
        settings = service_settings(loaded, overrides)
    except SettingsError as error:
        yield from (mend("settings", line, error.exit_code) for line in str(error).splitlines())
        return
    yield ok("settings", f"{path} has no mistakes")
    from stylewatch_daemon.doctor.diagnose import check_alerts, diagnose

    yield from diagnose(settings)
    yield from check_alerts(loaded.alerts)
