"""Finds recipes by name, reads them from YAML, and changes single fields."""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from stylewatch_painter.errors import RecipeError
from stylewatch_painter.recipes.recipe import GEOMETRY, Recipe, Schedule
from stylewatch_painter.validation import brief, mistakes, nearest, quoted, refusing

SHIPPED = Path(__file__).parent

_DEEPEST = 5  # recipes that extend recipes that extend ...
_LONGEST = 1_000_000  # bytes of a file


def names(*folders: Path) -> list[str]:
    """Names of the shipped recipes and of those in `folders`."""
    return sorted({path.stem for folder in (SHIPPED, *folders) for path in folder.glob("*.yaml")})


def find(name: str, *folders: Path) -> Recipe:
    """Load the recipe called `name`, or the YAML file of that path; `folders` come first.

    Raises RecipeError: there is no such recipe, or it has mistakes (all are listed).
    """
    with refusing(RecipeError, f"recipe {quoted(name)}"):
        return check(_without_removed(_read(_locate(name, folders), folders)))


def seen(name: str, *folders: Path) -> tuple[object, ...]:
    """A key that changes when the files that may define the recipe change."""
    own = Path(name)
    files = [own] if own.suffix in (".yaml", ".yml") else []
    files += [path for folder in (*folders, *(file.parent for file in files))
              for path in sorted(folder.glob("*.yaml"))]  # fmt: skip
    return tuple((str(path), *_as_seen(path)) for path in files if path.exists())


def _as_seen(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_ino, status.st_mtime_ns, status.st_size


def _locate(name: str, folders: tuple[Path, ...]) -> Path:
    for folder in (*folders, SHIPPED):
        path = folder / f"{name}.yaml"
        if name in {candidate.stem for candidate in folder.glob("*.yaml")}:
            return path
    if name.endswith((".yaml", ".yml")) and Path(name).is_file():
        return Path(name)
    hint = nearest(name, names(*folders)).replace("unknown key", "there is no recipe")
    raise RecipeError(f"{hint} (a file of your own is named by its path, ending in .yaml)")


def _read(path: Path, folders: tuple[Path, ...], depth: int = 0) -> dict[str, Any]:
    """Read the mapping in `path` and merge it over the recipe that it extends."""
    plain = deepcopy(_parsed(path, _as_seen(path)))
    plain.setdefault("name", path.stem)
    base = plain.pop("extends", None)
    if base is None:
        return plain
    if depth == _DEEPEST:
        raise RecipeError(f"{path} extends a recipe that extends itself, or a chain too long")
    below = _read(_locate(str(base), tuple(f for f in folders if f / f"{base}.yaml" != path)),
                  folders, depth + 1)  # fmt: skip
    return merge(below, plain)


@lru_cache(maxsize=64)
def _parsed(path: Path, as_seen: tuple[int, int, int]) -> dict[str, Any]:
    """Parse the mapping in `path`; cached until the file changes."""
    with path.open("rb") as file:
        content = file.read(_LONGEST + 1)
    if len(content) > _LONGEST:
        raise RecipeError(f"{path} is longer than {_LONGEST} bytes: that is no recipe")
    try:
        plain = yaml.safe_load(content.decode("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(brief(f"{path} is not YAML: {error}".replace("\n", " "))) from error
    if not isinstance(plain, dict):
        raise RecipeError(f"{path} should be a mapping with objective and schedule")
    return plain


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Merge `above` over `below`, mapping by mapping; a mapping of another `kind` replaces."""
    merged = deepcopy(dict(below))
    _lay_over(merged, above)
    return merged


def _lay_over(below: dict[str, Any], above: Mapping[str, Any]) -> None:
    """Merge `above` into `below`, in place; the time depends on `above` only."""
    for key, value in above.items():
        old = below.get(key)
        if isinstance(value, Mapping) and isinstance(old, dict) and _same_kind(old, value):
            _lay_over(old, value)
        else:
            below[key] = deepcopy(value)


def _same_kind(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """True unless both name a `kind` and they differ."""
    return "kind" not in a or "kind" not in b or bool(a["kind"] == b["kind"])


def check(plain: Mapping[str, Any]) -> Recipe:
    """Validate a mapping; RecipeError lists every mistake."""
    name = f"recipe {brief(str(plain.get('name', '?')))}"
    with refusing(RecipeError, name):
        try:
            recipe = Recipe.model_validate(plain)
        except ValidationError as error:
            sentences = "; ".join(str(mistake) for mistake in mistakes(error, Recipe))
            raise RecipeError(f"{name}: {sentences}") from error
        recipe.model_dump_json()  # as receipts have it; it fails on text that is no Unicode
    return recipe


def fast(recipe: Recipe, *folders: Path) -> Recipe:
    """`recipe` with its objective and geometry, and the schedule of `best`."""
    ours = find("best", *folders).schedule
    way = {name: getattr(ours, name) for name in Schedule.model_fields if name not in GEOMETRY}
    return recipe.model_copy(update={"schedule": recipe.schedule.model_copy(update=way)})


def change(recipe: Recipe, changes: Mapping[str, Any]) -> Recipe:
    """Change single fields, named as `schedule.steps` or `objective.tv.weight`.

    A field of the schedule may be named by itself. None removes a layer, or a side of the
    objective. Raises RecipeError for unknown keys and invalid values.
    """
    wanted: dict[str, Any] = {}
    with refusing(RecipeError, f"recipe {brief(recipe.name)} with changes"):
        for key, value in changes.items():
            _lay_over(wanted, _nested(_path(key), value))
        plain = merge(recipe.model_dump(), wanted)
        named = {key.removeprefix("schedule.") for key in changes}
        if "noise_ratio" in named and "start" not in named:
            plain = _mixed(plain)
        return check(_without_removed(plain))


def _path(key: str) -> list[str]:
    """The path to the field `key` from the top of a recipe."""
    path = key.split(".")
    if path[0] in Schedule.model_fields:
        return ["schedule", *path]
    if path[0] == "strength":
        return ["objective", *path]
    if path[0] not in ("objective", "schedule"):
        known = {*Schedule.model_fields, "strength", "objective", "schedule"}
        raise RecipeError(nearest(key, known))
    return path


def _mixed(plain: dict[str, Any]) -> dict[str, Any]:
    """Set `start: mixed`: a `noise_ratio` without a start implies it."""
    start = plain["schedule"]["start"]
    if start not in ("content", "mixed"):
        raise RecipeError(
            f"noise_ratio mixes noise into the content, but this starts from {start}: "
            "add start=mixed"
        )
    return merge(plain, {"schedule": {"start": "mixed"}})


def _nested(path: list[str], value: Any) -> dict[str, Any]:
    for part in reversed(path):
        value = {part: value}
    nested: dict[str, Any] = value
    return nested


def _without_removed(plain: dict[str, Any]) -> dict[str, Any]:
    """Remove layers whose weight is None."""
    for side in ("content", "style"):
        layers = _mapping(plain, "objective", side, "layers")
        for layer in [layer for layer, weight in layers.items() if weight is None]:
            del layers[layer]
    return plain


def _mapping(plain: Any, *way: str) -> dict[str, Any]:
    """The mapping at a path into `plain`; empty if there is none."""
    for key in way:
        plain = plain.get(key) if isinstance(plain, dict) else None
    return plain if isinstance(plain, dict) else {}


def dotted(plain: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Dotted names of all leaves of a mapping."""
    for key, value in plain.items():
        if isinstance(value, Mapping) and value:
            yield from dotted(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"
