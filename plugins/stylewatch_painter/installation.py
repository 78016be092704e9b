"""The libraries of this installation: their import, and the commands that add and repair them."""

import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from importlib.util import find_spec
from shlex import join
from typing import Any

from stylewatch_painter.errors import LibraryError

_OURS = "stylewatch"
_MAX_CHARACTERS = 200  # maximum length of a library's message


def library(module: str, advice: str = "") -> Any:
    """Import a `module` of another package.

    Raises LibraryError if it cannot be loaded; `advice` says what helps, if not the usual command.
    """
    try:
        return import_module(module)
    except MemoryError:
        raise
    except Exception as error:  # the code of a module may raise anything
        raise _unloadable(module, error, advice) from error


def unloadable(error: ImportError) -> LibraryError:
    """Return the LibraryError for an import that failed, of `library` or elsewhere."""
    if isinstance(error, LibraryError):
        return error
    return _unloadable("a library", error)


def install_command(extra: str) -> str:
    """Return the shell command, in backticks, that adds `extra` to this installation."""
    if extra == "onnx" and _has_torch_for_cpu():
        extra = "onnx-cpu"  # `onnx` installs the runtime for CUDA, which is 300 MB larger
    return _command(f"{_OURS}[{extra}]")


def _unloadable(module: str, error: Exception, advice: str = "") -> LibraryError:
    names = [each.name for each in _chain(error) if isinstance(each, ImportError) and each.name]
    if names and names[-1].partition(".")[0] != module.partition(".")[0]:
        module, advice = names[-1], ""  # that it needs
    package, *_ = packages_distributions().get(module.partition(".")[0], [""])
    # where nothing brings it, it is a dependency of ours that is missing
    repair = _command("--force-reinstall", package) if package else _command(_OURS)
    *_, cause = _chain(error)
    reason = " ".join(str(cause).split())[:_MAX_CHARACTERS] or type(cause).__name__
    return LibraryError(f"{package or module} cannot be loaded ({reason}): {advice or repair}")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield the error and its causes; NumPy's error is a page of advice, its cause says why."""
    while error is not None:
        yield error
        error = error.__cause__


def _command(*words: str) -> str:
    """Return the shell command, in backticks, that installs something here.

    The command uses pip, or uv if the environment has no pip, as in environments created by uv.
    """
    pip = [sys.executable, "-m", "pip", "install"]
    uv = ["uv", "pip", "install", "--python", sys.executable]
    return f"`{join([*(pip if find_spec('pip') else uv), *words])}`"


def _has_torch_for_cpu() -> bool:
    """Return whether the installed build of torch has no CUDA."""
    try:
        return version("torch").endswith("+cpu")
    except PackageNotFoundError:
        return False
