"""Backends by name, from entry points of installed packages; only the requested one is loaded."""

from collections.abc import Collection, Iterable, Mapping
from importlib.metadata import EntryPoint, EntryPoints
from inspect import get_annotations
from traceback import walk_tb
from typing import TYPE_CHECKING

from stylewatch_painter import installed
from stylewatch_painter.installation import command, repair_command, unloadable
from stylewatch_painter.installed import package_of
from stylewatch_painter.process_memory import import_uncollected
from stylewatch_painter.validation import closest, in_one_line
from stylewatch_plugins.errors import BackendError, BackendMissingError

if TYPE_CHECKING:  # the contract imports NumPy, which callers of `names` must not load
    from stylewatch_plugins.contract import Backend

GROUP = "stylewatch.backends"
_OURS = "stylewatch"


def names() -> list[str]:
    """Return the names of the installed backends, sorted, without importing any of them."""
    return sorted({entry.name for entry in _installed()})


def load(name: str, options: Mapping[str, object]) -> "Backend":
    """Import the backend called `name` and create it with `options`.

    Raises BackendMissingError if there is no such backend, several packages have one of that name,
    or the backend is broken or written for another version of the contract. Raises
    BackendOptionError if the backend does not accept `options`.
    """
    entry = _find(name)
    from stylewatch_plugins.contract import misfit

    try:
        import_uncollected(entry.module)
        cls = entry.load()
        reason = misfit(cls)
        if reason:
            package = package_of(entry)
            raise BackendMissingError(
                f"backend {name!r} of {package} does not fit: {reason};"
                f" {command('--upgrade', 'stylewatch', package)} brings two that do"
            )
        backend: Backend = cls(options)
    except BackendError:
        raise
    except ImportError as error:
        reason = str(unloadable(error, entry.module, package_of(entry)))
        raise BackendMissingError(f"{described(name)} cannot be used: {reason}") from error
    except (Exception, SystemExit) as error:  # a third-party module may raise anything
        raise BackendMissingError(_broken(entry, in_one_line(error))) from error
    missing = [member for member in _members() if not hasattr(backend, member)]
    if missing:
        raise BackendMissingError(_broken(entry, f"it lacks {', '.join(missing)}"))
    return backend


def author(error: BaseException) -> str | None:
    """Describe the third-party plugin whose code raised or passed on `error`.

    The text names a backend, loss or optimizer and its package, or only the package if several
    backends of the package are possible. Returns None if no such plugin is in the traceback of
    `error`.
    """
    frames = (frame for frame, _ in walk_tb(error.__traceback__))
    modules = {str(frame.f_globals.get("__name__")).partition(".")[0] for frame in frames}
    entries = _of_modules(_installed(), modules)
    if len(entries) > 1:  # the frames do not tell which of a package's backends it was
        return f"a backend of {package_of(entries[0])}"
    if entries:
        return described(entries[0].name)
    for kind, group in (("loss", "losses"), ("optimizer", "optimizers")):
        for entry in _of_modules(installed.entries(f"stylewatch.{group}"), modules):
            return f"the {kind} {entry.name!r} of {package_of(entry)}"
    return None


def _of_modules(entries: Iterable[EntryPoint], modules: Collection[str]) -> list[EntryPoint]:
    """Return the third-party entry points whose top-level module is one of `modules`."""
    return [
        entry
        for entry in entries
        if package_of(entry) != _OURS and entry.module.partition(".")[0] in modules
    ]


def described(name: str) -> str:
    """Return the name of a backend and, if it is installed, of its package, for messages."""
    packages = [package_of(entry) for entry in _installed().select(name=name)]
    return f"the backend {name!r}{f' of {packages[0]}' if packages else ''}"


def _find(name: str) -> EntryPoint:
    """Return the only entry point called `name`.

    If there is none, installed packages are searched again. Raises BackendMissingError if there is
    still none, or if several packages have one.
    """
    if name not in _installed().names:  # it may have been installed after the last call
        installed.look_again()
    entries = list(_installed().select(name=name))
    if not entries:
        raise BackendMissingError(_unknown(name))
    if len(entries) > 1:
        packages = " and ".join(sorted(package_of(entry) for entry in entries))
        raise BackendMissingError(
            f"{packages} both bring a backend {name!r}; `pip uninstall` the one not wanted"
        )
    return entries[0]


def _installed() -> EntryPoints:
    return EntryPoints(installed.entries(GROUP))


def _unknown(name: str) -> str:
    backends = names()
    if not backends:
        repair = repair_command("stylewatch")
        return f"no backend {name!r}, nor any other, is installed; {repair} helps"
    close = closest(name, backends)
    hint = f"there are {', '.join(backends)};" if close is None else f"did you mean {close!r}?"
    return (
        f"no backend {name!r} is installed: {hint} `stylewatch doctor` describes each of them,"
        " packages bring others"
    )


def _broken(entry: EntryPoint, why: str) -> str:
    return (
        f"backend {entry.name!r} of {package_of(entry)} is broken: {why};"
        f" {repair_command(package_of(entry))} may repair it"
    )


def _members() -> list[str]:
    """Return the names of all public members that a backend must have."""
    from stylewatch_plugins.contract import Backend

    methods = (name for name in vars(Backend) if callable(getattr(Backend, name)))
    return [name for name in (*get_annotations(Backend), *methods) if not name.startswith("_")]
