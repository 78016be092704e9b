"""Commands that list what can be named in a job: recipes, backends, devices."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Annotated, Any

import typer
import yaml

from stylewatch_daemon.cli import options
from stylewatch_daemon.cli.console import say, say_json
from stylewatch_daemon.doctor.backends import Status, check_all
from stylewatch_daemon.settings import config
from stylewatch_daemon.views.formatting import columns, memory
from stylewatch_painter.errors import RecipeError
from stylewatch_painter.recipes import book

ANSWER_WITHIN = 60.0
"""Seconds that a backend gets to be loaded and to answer."""


def recipes(
    name: Annotated[
        str | None, typer.Argument(help="Print this one, complete, as YAML to start your own from.")
    ] = None,
    config_file: options.Config = None,
    json: options.AsJson = False,
) -> None:
    """List the recipes that a job can name, or print one."""
    folders = config.load(config_file).recipes
    if name is not None:
        plain = book.find(name, *folders).model_dump(mode="json")
        _say(plain, _yaml(plain), json)
        return
    found = [_recipe(one, folders) for one in book.names(*folders)]
    _say(found, columns((one["name"], one["about"]) for one in found), json)


def _say(plain: object, text: str, json: bool) -> None:
    if json:
        say_json(plain)
    else:
        say(text)


def _recipe(name: str, folders: tuple[Any, ...]) -> dict[str, str]:
    try:
        recipe = book.find(name, *folders)
    except RecipeError as error:  # one broken file of the user's hides no other recipe
        return {"name": name, "about": f"broken: {error}"}
    return {"name": name, "about": recipe.about, "source": recipe.source}


def _yaml(plain: Mapping[str, Any]) -> str:
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=100).rstrip()


def backends(config_file: options.Config = None, json: options.AsJson = False) -> None:
    """List what can paint: its devices here and what it can, or why it cannot run here."""
    found = [_backend(name, status) for name, status in _checked(config_file)]
    rows = ((b["name"], b["version"], b["problem"] or _able(b)) for b in found)
    _say(found, columns(rows), json)


def _backend(name: str, status: Status) -> dict[str, Any]:
    return {
        "name": name, "version": status.version,
        "devices": [device.name for device in status.devices],
        "can": list(status.can), "problem": status.problem,
    }  # fmt: skip


def _able(backend: Mapping[str, Any]) -> str:
    return "; ".join(", ".join(named) for named in (backend["devices"], backend["can"]) if named)


def devices(config_file: options.Config = None, json: options.AsJson = False) -> None:
    """List where each backend can paint on this machine, best first."""
    found = [
        {"backend": name, **asdict(device)}
        for name, status in _checked(config_file)
        for device in status.devices
    ]
    rows = (
        (str(d["backend"]), str(d["name"]), str(d["description"]), _memory(d["memory"]))
        for d in found
    )
    _say(found, columns(rows), json)


def _memory(count: Any) -> str:
    return "" if count is None else memory(count)


def _checked(config_file: options.Config) -> Iterator[tuple[str, Status]]:
    """Check every backend with its options from config.yaml."""
    return check_all(config.load(config_file).backends, ANSWER_WITHIN)
