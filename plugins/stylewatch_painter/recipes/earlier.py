"""Recipes of earlier versions: how their files and receipts are read, and checkpoints recognized.

What has changed in the fields of recipes is told here alone. `neighbors` had a field `each`, whose
`layer` is the loss `layer_match` now; `enlarge` enlarged styles, too, and is `enlarge_styles` for
them now.
"""

from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json

from stylewatch_painter.recipes.recipe import Recipe

_OF_COLUMNS = ("hub_penalty", "brightness", "dimensions", "by_length")
"""Fields that only `each: column` used."""
_LOSSES = ("content", "style", "neighbors", "transport", "tv")
"""The losses, in the order of their fields."""
_NEIGHBORS = ("layers", "weight", "rotations", "each", "largest")
"""Fields of `neighbors` with `each: layer`, in their order."""


def of_file(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Return the mapping of a recipe file, before it is merged over what it extends."""
    objective = plain.get("objective")
    if not isinstance(objective, Mapping):
        return dict(plain)
    read = _losses(objective)
    if isinstance(coarse := objective.get("coarse"), Mapping):
        read["coarse"] = _losses(coarse)
    return {**plain, "objective": read}


def of_receipt(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Return the mapping of a recipe in a receipt, which has all fields of its version."""
    read = of_file(plain)
    schedule = read.get("schedule")
    if isinstance(schedule, Mapping) and "enlarge_styles" not in schedule:
        read["schedule"] = {**schedule, "enlarge_styles": schedule.get("enlarge", False)}
    return read


def _losses(fields: Mapping[str, Any]) -> dict[str, Any]:
    neighbors = fields.get("neighbors")
    if not isinstance(neighbors, Mapping) or neighbors.get("each") not in ("column", "layer"):
        return dict(fields)
    given = {name: value for name, value in neighbors.items() if name != "each"}
    if neighbors["each"] == "column":
        return {**fields, "neighbors": given, "layer_match": None}
    known = fields.get("layer_match")
    moved = {**(known if isinstance(known, Mapping) else {}), **_of_layers(given)}
    return {**fields, "neighbors": None, "layer_match": moved}


def _of_layers(given: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out fields that had no effect with `each: layer`."""
    unused = {name for name in _OF_COLUMNS if not given.get(name)} | {"content_share"}
    return {name: value for name, value in given.items() if name not in unused}


def over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return the mapping `above` as it is to be merged over the recipe `below`.

    Changes of `neighbors` that do not mention `layer_match` are those of a recipe from the time
    when it was their `each: layer`, if `below` has `layer_match` in place of `neighbors`.
    """
    objective, changes = below.get("objective"), above.get("objective")
    if not (isinstance(objective, Mapping) and isinstance(changes, Mapping)):
        return of_file(above)
    changed = _over(objective, changes)
    coarse, more = objective.get("coarse"), changes.get("coarse")
    if isinstance(coarse, Mapping) and isinstance(more, Mapping):
        changed["coarse"] = _over(coarse, more)
    return of_file({**above, "objective": changed})


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    matched = below.get("layer_match")
    is_of_earlier = "neighbors" in above and "layer_match" not in above
    if not (is_of_earlier and isinstance(matched, Mapping)) or below.get("neighbors") is not None:
        return dict(above)
    changes = above["neighbors"]
    if changes is None:
        return {**above, "layer_match": None}
    if not isinstance(changes, Mapping) or changes.get("each", "layer") not in ("column", "layer"):
        return dict(above)
    given = {name: value for name, value in changes.items() if name != "each"}
    if changes.get("each") == "column":
        return {**above, "neighbors": {**matched, **given}, "layer_match": None}
    return {**above, "neighbors": None, "layer_match": _of_layers(given)}


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
