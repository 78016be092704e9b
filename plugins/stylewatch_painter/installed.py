"""Entry points of installed packages, such as their losses, optimizers and recipes.

The packages `losses` and `optimizers` and the module `recipes.book` load one group each.
"""

import logging
import sys
import tomllib
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cache, lru_cache
from importlib.metadata import EntryPoint, distributions
from pathlib import Path
from typing import Any

from stylewatch_painter import regular_file
from stylewatch_painter.validation import brief, in_one_line

OTHER_VERSIONS = (
    "this checkpoint was painted with another version of a package of losses or optimizers"
)

_OURS = "stylewatch"
_PROJECT = Path(__file__).parents[2] / "pyproject.toml"
"""Path of the pyproject.toml with our entry points, if this is a checkout."""

_log = logging.getLogger(__name__)
_left_out: dict[str, bool] = {}
"""Sentences about extensions that were left out. The value is True if loading raised an error;
loading may then succeed after a restart."""
_versions: dict[Any, tuple[str, str]] = {}
"""Name and version of the package of each value that `load` returned, except our own values."""


def load(
    kind: str,
    misfit: Callable[[str, Any], str | None],
    taken: Collection[str] = (),
    *,
    are_names_free: bool = False,
) -> dict[str, Any]:
    """Load the entry points of the group `stylewatch.` + `kind`; return their values by name.

    Our entry points come first, then those of other packages, sorted by package and name. `misfit`
    gets a name and a value, and returns a reason to refuse the value, or None. An entry point is
    left out, with a warning in the log (see `leave_out`), if its name is in `taken` or belongs to
    an earlier one, if it cannot be imported, or if `misfit` refuses its value or raises an error.
    With `are_names_free`, several packages may use the same name, and the keys have the form
    `package name`.
    """
    found: dict[str, Any] = {}
    for entry in sorted(entries(f"{_OURS}.{kind}"), key=_place):
        key = f"{package_of(entry)} {entry.name}" if are_names_free else entry.name
        has_failed = False
        try:
            if key in taken or key in found:
                reason: str | None = "there is another of that name"
            else:
                value = entry.load()
                reason = misfit(entry.name, value)
        except (Exception, SystemExit) as error:  # a third-party module may raise anything
            reason = in_one_line(error)
            has_failed = True
        if reason is None:
            found[key] = value
            if entry.dist is not None and package_of(entry) != _OURS:
                _versions[value] = package_of(entry), str(entry.dist.version)
        else:
            what = f"{entry.name!r} of the {kind} of package {package_of(entry)}"
            leave_out(what, brief(reason), has_failed=has_failed)
    return found


def packages(kinds: Iterable[object]) -> dict[str, str]:
    """Return the versions of the packages from which `kinds` were loaded, by package name, sorted.

    `kinds` are values that `load` returned. Our own values are ignored.
    """
    return dict(sorted({_versions[settings] for settings in kinds if settings in _versions}))


def lacking(versions: Mapping[str, str]) -> tuple[str, ...]:
    """Return `name version` for each package in `versions` from which nothing was loaded.

    Such a package is not installed, or all of its entry points were left out. `versions` maps names
    of packages to versions.
    """
    present = {name for name, _ in _versions.values()}
    return tuple(f"{name} {versions[name]}" for name in versions if name not in present)


def leave_out(what: str, why: str, *, has_failed: bool = False) -> None:
    """Log a warning that `what` is left out because of `why`, and keep the sentence for `left_out`.

    With `has_failed`, which means that loading raised an error, `failed` returns the sentence as
    well.
    """
    sentence = f"{what} is left out: {why}"
    _log.warning("%s", sentence)
    _left_out[sentence] = has_failed


def failed() -> tuple[str, ...]:
    """Return the sentences about extensions whose loading raised an error.

    Loading them may succeed after a restart.
    """
    return tuple(sentence for sentence, has_failed in _left_out.items() if has_failed)


def left_out() -> tuple[str, ...]:
    """Return the sentences about everything that was left out (see `leave_out`)."""
    return tuple(_left_out)


def entries(group: str) -> list[EntryPoint]:
    """Return the entry points of a group.

    In a checkout, our entry points are read from pyproject.toml. If several distributions have the
    same name, only the first one on `sys.path` with entry points of the group counts. Distributions
    whose metadata cannot be read are skipped. The result for a `sys.path` is cached until
    `look_again` is called.
    """
    found = _of_checkout(group)
    names = {_OURS} if found else set()
    for name, ours in _distributions(tuple(sys.path)):
        fitting = [entry for entry in ours if entry.group == group]
        if fitting and name not in names:
            names.add(name)
            found += fitting
    return found


def look_again() -> None:
    """Clear the cache of `entries`, so that it finds packages that were installed meanwhile."""
    _distributions.cache_clear()


@lru_cache(maxsize=1)
def _distributions(path: tuple[str, ...]) -> list[tuple[str, list[EntryPoint]]]:
    """Return the name and the `stylewatch.*` entry points of each distribution that has any.

    Distributions on `path` whose metadata cannot be read are skipped.
    """
    found = []
    for each in distributions(path=list(path)):
        try:
            for_us = [entry for entry in each.entry_points if entry.group.startswith(f"{_OURS}.")]
            if for_us:
                found.append((each.name, for_us))
        except Exception as error:
            _log.debug("the metadata of a package cannot be read: %s", error)
    return found


def _of_checkout(group: str) -> list[EntryPoint]:
    """Return our entry points of `group` from pyproject.toml; none if this is not a checkout."""
    named = _checkout().get(group, {}).items()
    return [EntryPoint(name, value, group) for name, value in named]


@cache
def _checkout() -> dict[str, dict[str, str]]:
    try:
        if not regular_file.is_file(_PROJECT):
            return {}
        project = tomllib.loads(_PROJECT.read_text(encoding="utf-8")).get("project", {})
    except (OSError, ValueError) as error:  # it may be the file of a project that contains ours
        _log.debug("%s cannot be read: %s", _PROJECT, error)
        return {}
    entry_points: dict[str, dict[str, str]] = project.get("entry-points", {})
    return entry_points if project.get("name") == _OURS else {}


def _place(entry: EntryPoint) -> tuple[bool, str, str]:
    package = package_of(entry)
    return package != _OURS, package, entry.name


def package_of(entry: EntryPoint) -> str:
    """Return the name of the package of an entry point; `stylewatch` for one from a checkout."""
    return str(entry.dist.name or "without a name") if entry.dist else _OURS
