"""Recipes of earlier versions: how their files and receipts are read, and checkpoints recognized.

Two things have changed in the fields of recipes:
- `neighbors` had a field `each`. With `each: column` it is `neighbors` now, with `each: layer` it
  is the loss `layer_match`.
- `enlarge` also enlarged styles, for which there is `enlarge_styles` now.

No other module knows the earlier fields. Checkpoints of earlier versions have further rules, which
are not about fields of recipes: see `scene.task.fingerprint` and `PaintState.load`.
"""

from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json

from stylewatch_painter.errors import RecipeError
from stylewatch_painter.plain_yaml import merge
from stylewatch_painter.recipes.recipe import Recipe
from stylewatch_painter.validation import Location

_OF_COLUMNS = ("hub_penalty", "brightness", "dimensions", "by_length")
"""Fields of `neighbors` that `each: column` used and `each: layer` refused."""
_LOSSES = ("content", "style", "neighbors", "transport", "tv")
"""The losses of the first version, in the order of their fields."""
_NEIGHBORS = ("layers", "weight", "rotations", "each", "largest")
"""Fields of `neighbors` with `each: layer`, in their order."""


def of_file(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a recipe that extends no other, converted to the current version.

    Raises RecipeError for fields of different versions, or of different values of `each`.
    """
    return over({}, plain)


def of_receipt(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a recipe in a receipt, converted to the current version.

    A receipt has all fields of its version. Raises RecipeError as `of_file` does.
    """
    read = of_file(plain)
    schedule = read.get("schedule")
    if isinstance(schedule, Mapping) and "enlarge_styles" not in schedule:
        read["schedule"] = {**schedule, "enlarge_styles": schedule.get("enlarge", False)}
    return read


def over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields `above`, converted to the current version, to be merged over `below`.

    `below` are the fields of the recipe that `above` changes or extends. Changes of `neighbors`
    with `each` were written when that was one loss with two kinds, and are merged as they were
    then. Raises RecipeError for changes that are ambiguous, or mix fields of different versions or
    of different values of `each`.
    """
    changes = above.get("objective")
    if not isinstance(changes, Mapping):
        return dict(above)
    losses = _mapping(below.get("objective"))
    changed = _over(losses, changes, "objective")
    coarse_changes = changes.get("coarse")
    if isinstance(coarse_changes, Mapping):
        coarse_losses = _mapping(losses.get("coarse"))
        changed["coarse"] = _over(coarse_losses, coarse_changes, "objective.coarse")
    return {**above, "objective": changed}


def _mapping(value: Any) -> Mapping[str, Any]:
    """Return `value` if it is a mapping, or else an empty mapping."""
    return value if isinstance(value, Mapping) else {}


def _over(below: Mapping[str, Any], above: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return the changes `above` of the losses `below`, converted to the current version.

    `where` is the field that holds the losses. Raises RecipeError for changes that are refused. The
    cases:

      above                                below               result
      neighbors with each: column          not both losses     neighbors replaces the loss
      neighbors with each: layer           not both losses     layer_match replaces the loss
      neighbors with each                  both losses         refused: which one is meant?
      neighbors with each, layer_match     any                 refused: fields of two versions
      neighbors without each               layer_match alone   refused: neighbors of which version?
      all other changes                    any                 the changes as they are
    """
    names_layer_match = "layer_match" in above
    columns = below.get("neighbors")
    layers = below.get("layer_match")
    if not _is_of_earlier(above.get("neighbors")):
        names_neighbors_alone = "neighbors" in above and not names_layer_match
        if names_neighbors_alone and columns is None and layers:
            raise RecipeError(
                f"{where}.neighbors: this recipe has {where}.layer_match, which was neighbors with "
                "each: layer in an earlier version: name layer_match to change it (null leaves it "
                "out, {} keeps it beside neighbors), or give neighbors each: layer or each: column"
            )
        return dict(above)
    if names_layer_match or (columns and layers):
        raise RecipeError(
            f"{where}.neighbors: each is of an earlier version, which had no layer_match: leave "
            "each out, and change neighbors and layer_match"
        )
    neighbors = merge(columns or layers or {}, above["neighbors"])
    if neighbors.pop("each") == "column":
        return {**above, "neighbors": neighbors, "layer_match": None}
    return {**above, "neighbors": None, "layer_match": _of_layers(neighbors, where)}


def _is_of_earlier(neighbors: Any) -> bool:
    """Return whether changes of `neighbors` were written for an earlier version."""
    return _mapping(neighbors).get("each") in ("column", "layer")


def _of_layers(neighbors: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return fields of `neighbors` with `each: layer` as fields of `layer_match`.

    Raises RecipeError if a field that only `each: column` used is set.
    """
    for name in _OF_COLUMNS:
        if neighbors.get(name):
            raise RecipeError(
                f"{where}.neighbors: {name} is for each: column: leave it out with each: layer, "
                f"or set {name}: {'null' if name == 'dimensions' else 0}"
            )
    unused = (*_OF_COLUMNS, "content_share")
    return {name: value for name, value in neighbors.items() if name not in unused}


def lines_over(lines: Mapping[Location, int]) -> dict[Location, int]:
    """Return the line of each field of a file, by its name and by the name that `over` gives it."""
    renamed: dict[Location, int] = {}
    for losses in (("objective",), ("objective", "coarse")):
        neighbors = (*losses, "neighbors")
        if (*neighbors, "each") not in lines:
            continue
        for where, line in lines.items():
            if where[: len(neighbors)] == neighbors:
                renamed[(*losses, "layer_match", *where[len(neighbors) :])] = line
    return {**renamed, **lines}


def identity(recipe: Recipe) -> str:
    """Return the text by which a checkpoint of this or an earlier version recognizes its recipe.

    The text has the fields of the first version. Fields with default values are left out, so that
    the text stays the same when a later version adds a field. `match_grain` and `one_ink` are also
    left out, because they change the picture that is shown, but not the one that a checkpoint
    holds.
    """
    schedule = recipe.schedule
    without = {"enlarge_styles": False, "match_grain": False, "one_ink": False}
    comparable = recipe.model_copy(update={"schedule": schedule.model_copy(update=without)})
    plain = comparable.model_dump(mode="json", exclude_defaults=True)
    objective = _of_first_version(plain["objective"])
    if "coarse" in objective:
        objective["coarse"] = _of_first_version(objective["coarse"])
    text = to_json({**plain, "objective": objective}).decode()
    # the first version enlarged styles if it enlarged the content
    if schedule.enlarge_styles == schedule.enlarge:
        return text
    return f"{text} {schedule.enlarge_styles}"


def _of_first_version(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields of an objective with the names and in the order of the first version."""
    named = dict(fields)
    if "layer_match" in named and "neighbors" not in named:
        settings = {**named.pop("layer_match"), "each": "layer"}
        named["neighbors"] = {name: settings[name] for name in _NEIGHBORS if name in settings}
    losses = {name: named.pop(name) for name in _LOSSES if name in named}
    return {**losses, **named}
