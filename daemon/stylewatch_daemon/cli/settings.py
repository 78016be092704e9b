"""`stylewatch config`: checks the settings, shows those in force, describes them to editors."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from stylewatch_daemon.alerts.sender import unusable
from stylewatch_daemon.cli import options
from stylewatch_daemon.cli.console import say, say_json
from stylewatch_daemon.doctor.backends import check_backend
from stylewatch_daemon.errors import SettingsError, UsageError
from stylewatch_daemon.settings import config
from stylewatch_daemon.settings.config import service_settings, web_page

app = typer.Typer(no_args_is_help=True, help="Check, show and describe the settings.")

File = Annotated[Path | None, typer.Argument(help="This config.yaml, not the one in force.")]


@app.command()
def check(file: File = None, config_file: options.Config = None) -> None:
    """Tell every mistake in config.yaml at once, each with its line."""
    path = _path(file, config_file)
    settings = config.load(path)
    service_settings(settings, {})
    web_page(settings)
    told = [f"{path}: alerts: {why}" for why in unusable(settings.alerts.targets().urls)]
    found = settings.backends.items()
    told += [
        f"{path}: backends.{name}: {why}" for name, given in found if (why := _wrong(name, given))
    ]
    if told:
        raise SettingsError("\n".join(told))
    say(f"{path} has no mistakes")


def _path(file: Path | None, config_file: Path | None) -> Path:
    """The one that is named, as FILE or by --config; else the one in force."""
    if file is not None and config_file is not None:
        raise UsageError("name one file of settings: FILE, or --config FILE")
    return file or config_file or config.find()


def _wrong(name: str, given: Mapping[str, Any]) -> str | None:
    """Return a backend's problem with its options; None if there is none."""
    status = check_backend(name, given)
    return None if status.version else status.problem


@app.command()
def show(
    file: File = None,
    config_file: options.Config = None,
    sets: options.Sets = None,
    json: options.AsJson = False,
) -> None:
    """Show the settings in force, the defaults included."""
    path = _path(file, config_file)
    plain = config.load(path, options.parse_sets(sets)).model_dump(mode="json")
    if json:
        say_json(plain)
    else:
        say(f"# from {path}\n{yaml.safe_dump(plain, sort_keys=False, width=100)}".rstrip())


@app.command()
def schema() -> None:
    """Print a JSON schema of config.yaml, for editors."""
    say_json(config.Config.model_json_schema())
