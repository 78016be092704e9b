"""Losses, optimizers and recipes of installed packages.

A package names them as entry points. `losses`, `optimizers` and `recipes.book` each read one group.
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
"""The project's file in a checkout, which names its entry points."""

_log = logging.getLogger(__name__)
_left_out: dict[str, bool] = {}
"""Sentences about entries that were left out, each with True if the entry raised an error, which
may not happen at the next start."""
_versions: dict[Any, tuple[str, str]] = {}
"""Name and version of the package of each loaded loss, optimizer and recipe that is not ours."""


def load(
    kind: str,
    misfit: Callable[[str, Any], str | None],
    taken: Collection[str] = (),
    *,
    are_names_free: bool = False,
) -> dict[str, Any]:
    """Load the entries of all packages in the group `stylewatch.` + `kind`; return them by name.

    Our entries come first, then those of other packages, sorted. An entry is left out (see
    `leave_out`) if it cannot be imported, if `misfit`, which gets its name and its value, returns a
    reason or raises an error, or if its name is in `taken` or belongs to an earlier entry. With
    `are_names_free` several packages may use the same name, and a key is package and name.
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
    """Return the versions, by name, of the packages other than ours that `kinds` come from.

    `kinds` are values that `load` returned, or ours.
    """
    return dict(sorted({_versions[settings] for settings in kinds if settings in _versions}))


def lacking(versions: Mapping[str, str]) -> tuple[str, ...]:
    """Return the name and version of each package in `versions` from which nothing was loaded.

    Such a package is not installed, or all of its entries were left out. `versions` maps names to
    versions.
    """
    present = {name for name, _ in _versions.values()}
    return tuple(f"{name} {versions[name]}" for name in versions if name not in present)


def leave_out(what: str, why: str, *, has_failed: bool = False) -> None:
    """Warn in the log that `what` is left out, and keep the sentence for `left_out`.

    `has_failed` tells that it raised an error; then the sentence is kept for `failed`, too.
    """
    sentence = f"{what} is left out: {why}"
    _log.warning("%s", sentence)
    _left_out[sentence] = has_failed


def failed() -> tuple[str, ...]:
    """Return the sentences about entries that raised an error, which the next start may load."""
    return tuple(sentence for sentence, has_failed in _left_out.items() if has_failed)


def left_out() -> tuple[str, ...]:
    """Return a sentence for each thing that was left out by `leave_out`."""
    return tuple(_left_out)


def entries(group: str) -> list[EntryPoint]:
    """Return the entry points of a group; ours in a checkout are those of its pyproject.toml.

    If several distributions have one name, the first on the path counts. A distribution with
    unreadable metadata is ignored: it may have nothing to do with us. The entry points of the same
    `sys.path` are kept until `look_again` is called.
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
    """Let the next call of `entries` find packages that were installed meanwhile."""
    _distributions.cache_clear()


@lru_cache(maxsize=1)
def _distributions(path: tuple[str, ...]) -> list[tuple[str, list[EntryPoint]]]:
    """Return names and entry points of the distributions on `path` that have any for us."""
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
    """Return our entry points by the pyproject.toml of a checkout; none in an installation."""
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
    """Return the name of the package of an entry point."""
    return str(entry.dist.name or "without a name") if entry.dist else _OURS
