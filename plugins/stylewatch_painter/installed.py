"""What installed packages add to recipes: losses, optimizers, and recipes themselves.

A package names them as entry points. `losses`, `optimizers` and `recipes.book` each read one group.
"""

import logging
import tomllib
from collections.abc import Callable, Collection, Iterable
from importlib.metadata import EntryPoint, PackageNotFoundError, distribution, entry_points
from pathlib import Path
from typing import Any

_OURS = "stylewatch"
_PROJECT = Path(__file__).parents[2] / "pyproject.toml"
"""The project's file in a checkout, which names its entry points."""

_log = logging.getLogger(__name__)


def load(
    kind: str, misfit: Callable[[str, Any], str | None], taken: Collection[str] = ()
) -> dict[str, Any]:
    """Return what packages add to the group `stylewatch.` + `kind`, by name.

    Ours come first, then those of other packages, sorted. One that cannot be imported, for which
    `misfit` returns a reason, or whose name is `taken`, is left out with a warning in the log.
    """
    found: dict[str, Any] = {}
    for entry in sorted(_entries(f"{_OURS}.{kind}"), key=_place):
        try:
            if entry.name in taken or entry.name in found:
                reason: str | None = "there is another of that name"
            else:
                value = entry.load()
                reason = misfit(entry.name, value)
        except (Exception, SystemExit) as error:  # a third-party module may raise anything
            message = str(error).strip().partition("\n")[0]
            reason = ": ".join(filter(None, (type(error).__name__, message)))
        if reason is None:
            found[entry.name] = value
        else:
            _log.warning(
                "%r of the %s of package %s is left out: %s",
                entry.name, kind, _package(entry), reason,
            )  # fmt: skip
    return found


def _entries(group: str) -> Iterable[EntryPoint]:
    """Return the entry points of a group; ours also in a checkout that is not installed."""
    found = [*entry_points(group=group)]
    if any(_package(entry) == _OURS for entry in found) or not _PROJECT.is_file():
        return found
    try:
        distribution(_OURS)
    except PackageNotFoundError:
        project = tomllib.loads(_PROJECT.read_text(encoding="utf-8"))["project"]
        named = project["entry-points"].get(group, {}).items()
        found += [EntryPoint(name, value, group) for name, value in named]
    return found


def _place(entry: EntryPoint) -> tuple[bool, str, str]:
    package = _package(entry)
    return package != _OURS, package, entry.name


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else _OURS
