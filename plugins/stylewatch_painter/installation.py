"""The libraries of this installation: their import, and the commands that add and repair them."""

import json
import shutil
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import (
    PackageNotFoundError,
    distribution,
    packages_distributions,
    version,
)
from importlib.util import find_spec
from pathlib import Path
from shlex import join
from typing import Any
from urllib.parse import unquote, urlsplit

from stylewatch_painter.errors import LibraryError

_OURS = "stylewatch"
_MAX_CHARACTERS = 200  # maximum length of a library's message

_COMPILERS = ("c++", "g++", "clang++")  # as in plugins/build_kernels.py
_WITH_COMPILER = {
    "apt-get": "sudo apt-get install --yes g++",
    "dnf": "sudo dnf install --assumeyes gcc-c++",
    "zypper": "sudo zypper --non-interactive install gcc-c++",
    "pacman": "sudo pacman --sync --noconfirm gcc",
    "apk": "sudo apk add g++",
    "xcode-select": "xcode-select --install",
}
"""The command that installs a C++ compiler, by the program that comes with the system."""


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


def compile_command() -> str:
    """Return the shell command, in backticks, that installs this program anew with a C++ compiler.

    It installs from where the program came. Where the compiler is there already, the command shows
    what it says.
    """
    words = ["--force-reinstall", "--no-deps"]
    first = ""
    if any(map(shutil.which, _COMPILERS)):
        words.append("--verbose")
    else:
        programs = filter(shutil.which, _WITH_COMPILER)
        first = next((f"{_WITH_COMPILER[program]} && " for program in programs), "")
    return f"`{first}{_command(*words, *_origin())[1:]}"


def _origin() -> list[str]:
    """Return the words for an installer that name the sources of this installation."""
    try:
        recorded = json.loads(distribution(_OURS).read_text("direct_url.json") or "{}")
    except PackageNotFoundError:  # it runs from a folder on the path
        return [str(Path(__file__).parents[2])]
    url = recorded.get("url", "")
    path = unquote(urlsplit(url).path)
    if "dir_info" in recorded:
        return ["--editable", path] if recorded["dir_info"].get("editable") else [path]
    if "vcs_info" in recorded:
        vcs = recorded["vcs_info"]
        return [f"{vcs['vcs']}+{url}@{vcs['commit_id']}"]
    if path.endswith(".whl"):  # its sources are elsewhere
        return [f"{_OURS}-{version(_OURS)}.tar.gz"]
    if url:
        return [path if url.startswith("file:") else url]
    return ["--no-binary", _OURS, _OURS]  # it came from an index


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
