"""Functions that find recipes by name, read them from YAML, and change single fields."""

import errno
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache, partial, reduce
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from pydantic import ValidationError

from stylewatch_painter import installation, installed, regular_file
from stylewatch_painter.errors import PainterError, RecipeError, RecipesAwayError
from stylewatch_painter.patience import Patience, SilentError
from stylewatch_painter.plain_yaml import Document, YamlError, merge, merge_into, parse
from stylewatch_painter.recipes import earlier
from stylewatch_painter.recipes.recipe import GEOMETRY, Recipe, Schedule, Terms
from stylewatch_painter.regular_file import NotAFileError
from stylewatch_painter.validation import Location, brief, mistakes, nearest, quoted, refusing

_OWN = Path(__file__).parent
_SUFFIX = ".yaml"
_DEEPEST = 5  # maximum length of a chain of recipes that extend one another
_LONGEST = 1_000_000  # maximum bytes of a file
ANSWER_WITHIN = 1.0
"""Maximum time in seconds to wait for an answer from the disk of a user's folder."""

_Result = TypeVar("_Result")
_readers: dict[Path, Patience] = {}
"""Runners of the calls that read users' folders, by the path of the folder."""

_NO_FILE = frozenset(
    {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL}
)
"""Error numbers of a path at which there is no file, so that a retry would not help."""


def names(*folders: Path) -> list[str]:
    """Return the names of the installed recipes and of those in `folders`, sorted.

    Raises RecipesAwayError if a folder is empty, does not answer or cannot be listed.
    """
    found = (name for folder in folders for name in _listed(folder))
    return sorted({*found, *packaged()})


def _listed(folder: Path) -> Mapping[str, Path]:
    """Return the recipes in a user's folder, by name.

    Raises RecipesAwayError if the folder is empty, does not answer or cannot be listed. An empty
    folder may be the mount point of a disk that is not mounted. The recipes on that disk are
    unknown, and a recipe of an installed package must not take the place of a recipe of the same
    name on the disk (law 2).
    """
    try:
        found = _answered(folder, partial(regular_file.listed, folder))
    except RecipesAwayError:
        raise
    except OSError as error:
        raise _away(folder, f"cannot be listed ({error.strerror})") from error
    if not found:
        raise _away(folder, "is empty")
    return {path.stem: path for path in found if path.suffix == _SUFFIX}


def _answered(folder: Path, read: Callable[[], _Result]) -> _Result:
    """Call `read`, which reads a user's folder, and return its result.

    Raises RecipesAwayError if there is no answer within ANSWER_WITHIN seconds, and the errors of
    `read`. While one call hangs, every further call for the same folder fails at once, so that at
    most one thread hangs (law 9). A call for a folder of a package has no time limit.
    """
    if folder in {path.parent for path in packaged().values()}:
        return read()
    reader = _readers.setdefault(folder, Patience(f"recipes in {folder.name}", ANSWER_WITHIN))
    try:
        return reader.call(read)
    except SilentError as error:
        raise _away(folder, "does not answer") from error


def _away(folder: Path, reason: str) -> RecipesAwayError:
    return RecipesAwayError(
        f"the folder of recipes {folder} {reason}: mount its disk, put a recipe there, or take the "
        "folder out of `recipes` in config.yaml"
    )


@lru_cache(maxsize=1)
def packaged() -> Mapping[str, Path]:
    """Return the files of the recipes of the painter and of installed packages, by name.

    A recipe with the name of an earlier one is left out, with a warning in the log. Raises
    RecipesAwayError if the recipes of the painter cannot be listed.
    """
    try:
        found = {path.stem: path for path in _files(_OWN)}
    except OSError as error:
        reason = installation.incomplete() or f"the folder {_OWN} cannot be read: {error.strerror}"
        raise RecipesAwayError(reason) from error
    for package in installed.load("recipes", _misfit, are_names_free=True).values():
        for path in _of_package(package):
            if found.setdefault(path.stem, path) != path:
                installed.leave_out(str(path), "there is another recipe of that name")
    return found


def _files(*folders: Path) -> list[Path]:
    """Return the recipes in folders of packages; raises OSError if a folder cannot be listed."""
    listed = (path for folder in folders for path in regular_file.listed(folder))
    return [path for path in listed if path.suffix == _SUFFIX]


def _of_package(package: ModuleType) -> list[Path]:
    """Return the recipes in the folder of an imported package."""
    return _files(*map(Path, package.__path__))


def _misfit(name: str, package: Any) -> str | None:
    """Return the reason why a package has no recipes; None if it has recipes."""
    if not hasattr(package, "__path__"):
        return "it is no package of YAML files"
    return None if _of_package(package) else "there is no YAML file in its folder"


def find(name: str, *folders: Path) -> Recipe:
    """Load the recipe called `name`, or the YAML file with that path; `folders` are searched first.

    Raises RecipeError if there is no such recipe, or if it is invalid, with a list of all mistakes.
    Raises RecipesAwayError if the recipe, or a part of it, may be in a folder or file that cannot
    be read, or in a package that cannot be imported.
    """
    with _sure(), refusing(RecipeError, f"recipe {quoted(name)}"):
        path = _locate(name, folders)
        try:
            return _checked(_read(path, folders), path)
        except RecursionError as error:
            raise RecipeError(f"{path} is nested too deeply for a recipe") from error


@contextmanager
def _sure() -> Iterator[None]:
    """Turn a RecipeError into a RecipesAwayError while the installation is incomplete (law 2).

    The recipes, losses and optimizers of a package that cannot be imported are unknown, not
    missing. So are those of the painter while files of the painter are missing. The cache of
    `packaged` is cleared, so that a later call finds recipes that have come back.
    """
    try:
        yield
    except RecipeError as error:
        reasons = [*installed.failed(), installation.incomplete()]
        if any(reasons):
            packaged.cache_clear()
            raise RecipesAwayError("; ".join(filter(None, (str(error), *reasons)))) from error
        raise


def _locate(
    name: str, folders: tuple[Path, ...], start: Path = Path(), above: Collection[Path] = ()
) -> Path:
    """Return the file of the recipe `name`, which may be a path that is relative to `start`.

    Files in `above` are skipped: a recipe that extends its own name extends the next file of that
    name. Raises RecipeError if there is no such recipe, and RecipesAwayError if it may be on a disk
    that is not available.
    """
    for folder in folders:
        if "/" not in name and (path := _listed(folder).get(name)) and path not in above:
            with _reading(path):
                _check_there(path, is_listed=True)
            return path
    if name in packaged():
        return packaged()[name]
    if name.endswith((_SUFFIX, ".yml")):
        path = start / name
        with _reading(path):
            _check_there(path)
        return path
    raise RecipeError(unknown(name, names(*folders)))


def unknown(name: str, known: Collection[str]) -> str:
    """Return the message that no recipe has this `name`, with the nearest of the `known` names."""
    return nearest(name, known).replace("unknown key", "there is no recipe")


def _check_there(path: Path, *, is_listed: bool = False) -> None:
    """Raise FileNotFoundError if no file is at `path`, or RecipesAwayError if it may be away.

    A file may be away, not missing, if its folder lists its name (`is_listed`), if `path` is a
    link, or if the folder does not answer, is missing, empty or unreadable (law 2). Any other
    OSError is passed on.
    """
    try:
        _answered(path.parent, path.stat)
    except FileNotFoundError as error:
        if is_listed or regular_file.status(path, follow=False):
            reason = "leads to a file that is not there: mount its disk, or remove the name"
            raise RecipesAwayError(f"{path} {reason}") from error
        try:
            _listed(path.parent)
        except RecipesAwayError:
            reason = "is missing, empty or unreadable: mount its disk, or name another file"
            raise RecipesAwayError(f"{path}: its folder {reason}") from error
        raise


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn an OSError into a RecipeError if no file is at `path`, else into a RecipesAwayError."""
    try:
        yield
    except PainterError:
        raise
    except OSError as error:
        reason = f"{path} cannot be read: {error.strerror}"
        is_no_file = isinstance(error, NotAFileError) or error.errno in _NO_FILE
        raise (RecipeError if is_no_file else RecipesAwayError)(reason) from error


@dataclass(frozen=True)
class _Merged:
    """The fields of a recipe, merged over those of the recipe that it extends.

    `places` has the file and the line of each value, by the path of the value.
    """

    plain: Mapping[str, Any]
    places: Mapping[Location, str]

    def place(self, where: Location) -> str:
        """Return the file and line of the value at `where`, or else of its nearest known parent."""
        ends = (where[:end] for end in range(len(where), -1, -1))
        return next(self.places[end] for end in ends if end in self.places)


def _read(path: Path, folders: tuple[Path, ...], above: tuple[Path, ...] = ()) -> _Merged:
    """Read the recipe in `path`, merged over the recipe that it extends.

    `above` are the files that extend `path`. Raises RecipeError if a file is invalid, and
    RecipesAwayError if it cannot be read now.
    """
    with _reading(path):
        content = _answered(path.parent, partial(_content, path))
    document = _parsed(path, content)
    fields = {"name": path.stem, **deepcopy(dict(document.plain))}
    base = fields.pop("extends", None)
    if base is None:
        below = _Merged({}, {})
    else:
        with _placed(document, "extends"):
            extended = _extended(str(base), path, folders, above)
        below = _read(extended, folders, (*above, path))
    with _placed(document, "objective"):
        changes = earlier.over(below.plain, fields)
    lines = earlier.lines_over(document.lines)
    places = {where: f"{path} line {line}" for where, line in lines.items()}
    return _Merged(merge(below.plain, changes), {**below.places, **places})


@contextmanager
def _placed(document: Document, key: str) -> Iterator[None]:
    """Put the file and the line of `key` in front of the message of a RecipeError."""
    try:
        yield
    except RecipeError as error:
        raise RecipeError(f"{document.place((key,))}: {error}") from error


def _extended(base: str, path: Path, folders: tuple[Path, ...], above: tuple[Path, ...]) -> Path:
    """Return the file that `path` extends; `above` are the files that extend `path`.

    Raises RecipeError if a recipe extends itself, or if more than _DEEPEST + 1 recipes extend one
    another.
    """
    chain = (*above, path)
    below = _locate(base, folders, path.parent, chain if base == path.stem else ())
    if below in chain:
        raise RecipeError("this way a recipe extends itself")
    if len(chain) > _DEEPEST:
        raise RecipeError(f"at most {_DEEPEST + 1} recipes extend one another")
    return below


def _content(path: Path) -> bytes:
    """Return the content of a file, but at most its first _LONGEST + 1 bytes."""
    with regular_file.opened(path) as file:
        return file.read(_LONGEST + 1)


@lru_cache(maxsize=64)
def _parsed(path: Path, content: bytes) -> Document:
    """Parse the mapping in the `content` of the file `path`.

    Raises RecipeError if the content is too long, no text in UTF-8, no valid YAML, or no mapping.
    """
    if len(content) > _LONGEST:
        raise RecipeError(f"{path} is longer than {_LONGEST} bytes: that is no recipe")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path} is not text in UTF-8: save it as such") from error
    try:
        document = parse(text, str(path))
    except YamlError as error:
        raise RecipeError(str(error)) from error
    if not document.plain:
        raise RecipeError(f"{path} should be a mapping with objective and schedule")
    return document


def check(plain: Mapping[str, Any]) -> Recipe:
    """Return the recipe in a mapping of its fields, which may be of an earlier version.

    Raises RecipeError with a list of all mistakes, or RecipesAwayError if there is a mistake while
    the installation is incomplete.
    """
    name = f"recipe {brief(str(plain.get('name', '?')))}"
    with _sure(), refusing(RecipeError, name):
        try:
            return _validated(earlier.of_file(plain))
        except ValidationError as error:
            sentences = "; ".join(str(mistake) for mistake in mistakes(error, Recipe))
            raise RecipeError(f"{name}: {sentences}") from error


def _checked(merged: _Merged, path: Path) -> Recipe:
    """Validate and return a merged recipe; raises RecipeError with the place of every mistake."""
    with refusing(RecipeError, str(path)):
        try:
            return _validated(merged.plain)
        except ValidationError as error:
            found = mistakes(error, Recipe)
            sentences = "; ".join(f"{merged.place(each.loc)}: {each}" for each in found)
            raise RecipeError(sentences) from error


def _validated(plain: Mapping[str, Any]) -> Recipe:
    recipe = Recipe.model_validate(plain)
    recipe.model_dump_json()  # receipts contain it; it fails for text that is not valid Unicode
    return recipe


def fast(recipe: Recipe, *folders: Path) -> Recipe:
    """Return `recipe` with all fields of the schedule of `gram` except those in GEOMETRY.

    `gram` is searched for in `folders` first. Raises RecipeError and RecipesAwayError as `find`
    does.
    """
    quick = find("gram", *folders).schedule
    update = {name: getattr(quick, name) for name in Schedule.model_fields if name not in GEOMETRY}
    return recipe.model_copy(update={"schedule": recipe.schedule.model_copy(update=update)})


def change(recipe: Recipe, changes: Mapping[str, Any]) -> Recipe:
    """Return a copy of `recipe` with changes by path, such as `objective.tv.weight`.

    The prefix `schedule.` may be omitted, as may `objective.` before `strength`. None removes a
    layer or a whole loss. Setting `noise_ratio` changes the start from `content` to `mixed`, unless
    `changes` sets the start. Raises RecipeError for unknown keys, for invalid values, and for a
    `noise_ratio` with a start other than `mixed` or `picture`. While the installation is
    incomplete, these errors become RecipesAwayError.
    """
    changed_fields: dict[str, Any] = {}
    with _sure(), refusing(RecipeError, f"recipe {brief(recipe.name)} with changes"):
        for key, value in changes.items():
            nested = reduce(lambda inner, part: {part: inner}, reversed(_path(key)), value)
            merge_into(changed_fields, nested)
        plain = recipe.model_dump()
        plain = merge(plain, earlier.over(plain, changed_fields))
        named = dict(dotted(changed_fields))
        if "schedule.noise_ratio" in named:
            start = plain["schedule"]["start"]
            if start == "content" and "schedule.start" not in named:
                plain["schedule"]["start"] = "mixed"
            # the picture may be a stage of a job that was mixed
            elif start not in ("mixed", "picture"):
                raise RecipeError(
                    f"noise_ratio mixes noise into the content, but this starts from {start}: "
                    "set start=mixed"
                )
        return check(plain)


def weigh(recipe: Recipe, content: float | None, style: float | None) -> Recipe:
    """Return a copy of `recipe` with content and style weights multiplied, at all scales.

    A factor of None leaves the weights of its side unchanged. If both are None, the result is
    `recipe` itself. Raises RecipeError if no scale has weights for both sides.
    """
    if content is None and style is None:
        return recipe
    objective = recipe.objective
    if not any(_balances(terms) for terms in objective.scales):
        option = "content_weight" if style is None else "style_weight"
        raise RecipeError(
            f"recipe {recipe.name} has no loss of the content that is weighed against one of the "
            f"style: leave {option} out"
        )
    objective = objective.weighed(content or 1.0, style or 1.0)
    return check(recipe.model_copy(update={"objective": objective}).model_dump())


def _balances(terms: Terms) -> bool:
    """Return whether `terms` has weights for the content and weights for the style."""
    return terms.weighed(2, 1) != terms != terms.weighed(1, 2)


def _path(key: str) -> list[str]:
    """Return the path to the field `key` from the top of a recipe.

    Raises RecipeError if the first part of `key` is unknown.
    """
    path = key.split(".")
    if path[0] in Schedule.model_fields:
        return ["schedule", *path]
    if path[0] == "strength":
        return ["objective", *path]
    if path[0] not in ("objective", "schedule"):
        names = {*Schedule.model_fields, "strength", "objective", "schedule"}
        raise RecipeError(nearest(key, names))
    return path


def bare_name(key: str) -> str:
    """Return the name of the field `key` without a prefix: `size` for `schedule.size`.

    Users may put the part of the recipe, `schedule.` or `objective.`, before the name. The setting
    `init` of a job sets the field `start`.
    """
    name = key.removeprefix("schedule.").removeprefix("objective.")
    return "start" if name == "init" else name


def full_name(key: str) -> str:
    """Return the name of the field `key` from the top of a recipe: `schedule.size` for `size`.

    An unknown key is returned as it is.
    """
    try:
        return ".".join(_path(key))
    except RecipeError:
        return key


def dotted(plain: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted name, after `prefix`, and the value of each leaf of a nested mapping.

    An empty mapping is a leaf.
    """
    for key, value in plain.items():
        if isinstance(value, Mapping) and value:
            yield from dotted(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
