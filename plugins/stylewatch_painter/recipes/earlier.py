"""Recipes of earlier versions: how their files and receipts are read, and checkpoints recognized.

What has changed in the fields of recipes is told here alone. `neighbors` had a field `each`, whose
`layer` is the loss `layer_match` now; `enlarge` enlarged styles, too, and is `enlarge_styles` for
them now.
"""

from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json

from stylewatch_painter.errors import RecipeError
from stylewatch_painter.plain_yaml import merge
from stylewatch_painter.recipes.recipe import Recipe
from stylewatch_painter.validation import Location

_OF_COLUMNS = ("hub_penalty", "brightness", "dimensions", "by_length")
"""Fields that only `each: column` used, and that `each: layer` refused."""
_LOSSES = ("content", "style", "neighbors", "transport", "tv")
"""The losses, in the order of their fields."""
_NEIGHBORS = ("layers", "weight", "rotations", "each", "largest")
"""Fields of `neighbors` with `each: layer`, in their order."""


def of_file(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Return the mapping of a recipe that extends no other; raises RecipeError as `over` does."""
    return over({}, plain)


def of_receipt(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Return the mapping of a recipe in a receipt, which has all fields of its version."""
    read = of_file(plain)
    schedule = read.get("schedule")
    if isinstance(schedule, Mapping) and "enlarge_styles" not in schedule:
        read["schedule"] = {**schedule, "enlarge_styles": schedule.get("enlarge", False)}
    return read


def over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return the mapping `above` as it is to be merged over the recipe `below`.

    Changes of `neighbors` with `each` are of the time when it was one loss with two kinds: they are
    merged as they were then. Raises RecipeError for changes that can be meant in both ways.
    """
    objective = below.get("objective")
    changes = above.get("objective")
    if not isinstance(changes, Mapping):
        return dict(above)
    losses = objective if isinstance(objective, Mapping) else {}
    changed = _over(losses, changes, "objective")
    coarse = losses.get("coarse")
    more = changes.get("coarse")
    if isinstance(more, Mapping):
        coarse = coarse if isinstance(coarse, Mapping) else {}
        changed["coarse"] = _over(coarse, more, "objective.coarse")
    return {**above, "objective": changed}


def _over(below: Mapping[str, Any], above: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return changes of the losses `below`, which are those at `where`."""
    columns = below.get("neighbors")
    layers = below.get("layer_match")
    changes = above.get("neighbors")
    if not isinstance(changes, Mapping) or changes.get("each") not in ("column", "layer"):
        if (
            {"neighbors", "layer_match"} & above.keys() == {"neighbors"}
            and columns is None
            and layers
        ):
            raise RecipeError(
                f"{where}.neighbors: this recipe has {where}.layer_match, which was neighbors with "
                "each: layer in an earlier version: name layer_match to change it (null leaves it "
                "out, {} keeps it beside neighbors), or give neighbors each: layer or each: column"
            )
        return dict(above)
    if "layer_match" in above or (columns and layers):
        raise RecipeError(
            f"{where}.neighbors: each is of an earlier version, which had no layer_match: leave "
            "each out, and change neighbors and layer_match"
        )
    merged = merge(columns or layers or {}, changes)
    if merged.pop("each") == "column":
        return {**above, "neighbors": merged, "layer_match": None}
    return {**above, "neighbors": None, "layer_match": _of_layers(merged, where)}


def _of_layers(neighbors: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return fields of `each: layer` as those of `layer_match`."""
    for name in _OF_COLUMNS:
        if neighbors.get(name):
            raise RecipeError(
                f"{where}.neighbors: {name} is for each: column: leave it out with each: layer, "
                f"or set {name}: {'null' if name == 'dimensions' else 0}"
            )
    unused = (*_OF_COLUMNS, "content_share")
    return {name: value for name, value in neighbors.items() if name not in unused}


def lines_over(lines: Mapping[Location, int]) -> dict[Location, int]:
    """Return the lines of a file with those of fields that `over` may name otherwise."""
    moved: dict[Location, int] = {}
    for level in (("objective",), ("objective", "coarse")):
        neighbors = (*level, "neighbors")
        end = len(level) + 1
        if (*neighbors, "each") in lines:
            lines_of_neighbors = {
                where: line for where, line in lines.items() if where[:end] == neighbors
            }
            moved |= {
                (*level, "layer_match", *where[end:]): line
                for where, line in lines_of_neighbors.items()
            }
    return {**moved, **lines}


def identity(recipe: Recipe) -> str:
    """Return a recipe as text, by which checkpoints recognize it, also those of earlier versions.

    Defaults are left out, so that it stays the same when a later version adds a field.
    """
    schedule = recipe.schedule.model_copy(update={"enlarge_styles": False})
    without = recipe.model_copy(update={"schedule": schedule})
    plain = without.model_dump(mode="json", exclude_defaults=True)
    plain["objective"] = _as_before(plain["objective"])
    if "coarse" in plain["objective"]:
        plain["objective"]["coarse"] = _as_before(plain["objective"]["coarse"])
    text = to_json(plain).decode()
    is_as_before = recipe.schedule.enlarge_styles == recipe.schedule.enlarge
    return text if is_as_before else f"{text} {recipe.schedule.enlarge_styles}"


def _as_before(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields of an objective with the names and in the order of the first version."""
    named = dict(fields)
    if "layer_match" in named and "neighbors" not in named:
        settings = {**named.pop("layer_match"), "each": "layer"}
        named["neighbors"] = {name: settings[name] for name in _NEIGHBORS if name in settings}
    first = {name: named.pop(name) for name in _LOSSES if name in named}
    return {**first, **named}
