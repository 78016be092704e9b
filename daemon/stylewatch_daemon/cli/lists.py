"""Commands that list what can be named in a job: recipes, backends, devices."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml

from stylewatch_daemon import config
from stylewatch_daemon.cli import options
from stylewatch_daemon.cli.say import say, say_json
from stylewatch_daemon.cli.words import columns, memory
from stylewatch_painter import recipe_book
from stylewatch_painter.errors import RecipeError
from stylewatch_plugins import registry
from stylewatch_plugins.errors import BackendError

if TYPE_CHECKING:  # brings NumPy
    from stylewatch_plugins.contract import Backend


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
        plain = recipe_book.find(name, *folders).model_dump(mode="json")
        _say(plain, _yaml(plain), json)
        return
    found = [_recipe(one, folders) for one in recipe_book.names(*folders)]
    _say(found, columns((one["name"], one["about"]) for one in found), json)


def _say(plain: object, text: str, json: bool) -> None:
    if json:
        say_json(plain)
    else:
        say(text)


def _recipe(name: str, folders: tuple[Any, ...]) -> dict[str, str]:
    try:
        recipe = recipe_book.find(name, *folders)
    except RecipeError as error:  # one broken file of the user's hides no other recipe
        return {"name": name, "about": f"broken: {error}"}
    return {"name": name, "about": recipe.about, "source": recipe.source}


def _yaml(plain: Mapping[str, Any]) -> str:
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=100).rstrip()


def backends(config_file: options.Config = None, json: options.AsJson = False) -> None:
    """List what can paint, with its devices here, or why it cannot run here."""
    found = [_backend(name, loaded) for name, loaded in _loaded(config_file)]
    rows = ((b["name"], b["version"], b["problem"] or ", ".join(b["devices"])) for b in found)
    _say(found, columns(rows), json)


def _backend(name: str, loaded: "Backend | BackendError") -> dict[str, Any]:
    if isinstance(loaded, BackendError):
        return {"name": name, "version": "", "devices": [], "problem": str(loaded)}
    devices_ = [device.name for device in loaded.devices()]
    problem = loaded.problem()
    return {"name": name, "version": loaded.version, "devices": devices_, "problem": problem}


def devices(config_file: options.Config = None, json: options.AsJson = False) -> None:
    """List where each backend can paint on this machine, best first."""
    found = [
        {"backend": name, "name": device.name, "description": device.description,
         "memory": device.memory}
        for name, loaded in _loaded(config_file) if not isinstance(loaded, BackendError)
        for device in loaded.devices()
    ]  # fmt: skip
    rows = (
        (str(d["backend"]), str(d["name"]), str(d["description"]), _memory(d["memory"]))
        for d in found
    )
    _say(found, columns(rows), json)


def _memory(count: Any) -> str:
    return "" if count is None else memory(count)


def _loaded(config_file: options.Config) -> "Iterator[tuple[str, Backend | BackendError]]":
    """Every backend with its options from config.yaml, or what keeps it from being there."""
    given = config.load(config_file).backends
    for name in registry.names():
        try:
            yield name, registry.load(name, given.get(name, {}))
        except BackendError as error:
            yield name, error
