"""Backends by name, from the entry points of what is installed; loads only the one asked for."""

import sys
from collections.abc import Mapping
from difflib import get_close_matches
from functools import lru_cache
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from inspect import get_annotations
from traceback import walk_tb
from typing import TYPE_CHECKING

from stylewatch_plugins.capabilities import misfit
from stylewatch_plugins.errors import BackendError, BackendMissingError
from stylewatch_plugins.malloc import ask_for_large_pages

if TYPE_CHECKING:  # the contract speaks of arrays: importing it would bring NumPy in
    from stylewatch_plugins.contract import Backend

GROUP = "stylewatch.backends"


def names() -> list[str]:
    """The backends that can be asked for, sorted; none of them is imported to tell."""
    return sorted({entry.name for entry in _installed(tuple(sys.path))})


def load(name: str, options: Mapping[str, object]) -> "Backend":
    """The backend called `name`, made with `options`.

    Raises BackendMissingError: there is no such backend, several lay claim to its name, it is
    broken, or made for another stylewatch. BackendOptionError: it does not take these options.
    """
    entry = _find(name)
    ask_for_large_pages()
    try:
        made = entry.load()
        if why := misfit(made):
            raise BackendMissingError(_unfit(entry, why))
        backend: Backend = made(options)
    except BackendError:
        raise
    except (Exception, SystemExit) as error:  # a stranger's module may do anything on import
        raise BackendMissingError(_broken(entry, _brief(error))) from error
    if missing := [member for member in _members() if not hasattr(backend, member)]:
        raise BackendMissingError(_broken(entry, f"it lacks {', '.join(missing)}"))
    return backend


def author(error: BaseException) -> str | None:
    """Whose backend `error` came through on its way, in words; None where it was nobody else's."""
    frames = (frame for frame, _ in walk_tb(error.__traceback__))
    rooms = {str(frame.f_globals.get("__name__")).partition(".")[0] for frame in frames}
    strange = rooms - {__name__.partition(".")[0]}
    installed = _installed(tuple(sys.path))
    found = [entry for entry in installed if entry.module.partition(".")[0] in strange]
    if len(found) > 1:  # a package of several: which of them it was is not to be seen
        return f"a backend of {_package(found[0])}"
    return f"the backend {found[0].name!r} of {_package(found[0])}" if found else None


def _find(name: str) -> EntryPoint:
    """The one entry point called `name`."""
    found = list(_installed(tuple(sys.path)).select(name=name))
    if not found:  # then it may have been installed since
        _installed.cache_clear()
        found = list(_installed(tuple(sys.path)).select(name=name))
    if not found:
        raise BackendMissingError(_unknown(name))
    if len(found) > 1:
        claims = " and ".join(sorted(_package(entry) for entry in found))
        told = f"{claims} both bring a backend {name!r}; `pip uninstall` the one not wanted"
        raise BackendMissingError(told)
    return found[0]


@lru_cache(maxsize=1)
def _installed(path: tuple[str, ...]) -> EntryPoints:
    """What is installed on the search `path`, read once: a worker asks before every job."""
    return entry_points(group=GROUP)


def _unknown(name: str) -> str:
    known = names()
    if not known:
        return f"no backend {name!r}, nor any other, is installed; `pip install stylewatch` helps"
    near = get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)};"
    return (
        f"no backend {name!r} is installed: {hint} `stylewatch backends` says what each of them"
        " can do here, `pip install` brings others"
    )


def _broken(entry: EntryPoint, why: str) -> str:
    return (
        f"backend {entry.name!r} of {_package(entry)} is broken: {why};"
        f" `pip install --force-reinstall {_package(entry)}` may mend it"
    )


def _unfit(entry: EntryPoint, why: str) -> str:
    return (
        f"backend {entry.name!r} of {_package(entry)} does not fit: {why};"
        f" `pip install --upgrade stylewatch {_package(entry)}` brings two that do"
    )


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else entry.module


def _brief(error: BaseException) -> str:
    """What kind of error, and the first line of what it says."""
    said = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def _members() -> list[str]:
    """All that a backend must have."""
    from stylewatch_plugins.contract import Backend

    methods = (name for name in vars(Backend) if callable(getattr(Backend, name)))
    return [name for name in (*get_annotations(Backend), *methods) if not name.startswith("_")]
