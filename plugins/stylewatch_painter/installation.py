"""Import of libraries, and shell commands that install, compile or repair them."""

import csv
import json
import os
import shutil
import sys
import sysconfig
from collections.abc import Collection, Iterator
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
from traceback import walk_tb
from typing import Any
from urllib.parse import unquote, urlsplit

from stylewatch_painter import regular_file
from stylewatch_painter.errors import LibraryError

_OURS = "stylewatch"
_MAX_CHARACTERS = 200  # maximum length of a library's message

_COMPILERS = ("c++", "g++", "clang++")  # as in plugins/build_kernels.py
_WITH_COMPILER = {
    # without package lists, apt-get takes `g++` for a pattern and reports success
    "apt-get": "apt-get update && apt-get install --yes g++",
    "dnf": "dnf install --assumeyes gcc-c++",
    "zypper": "zypper --non-interactive install gcc-c++",
    "pacman": "pacman --sync --noconfirm gcc",
    "apk": "apk add g++",
}
"""Shell commands that install a C++ compiler as root, by the name of the package manager."""

_ON_A_MAC = "xcode-select"


def library(module: str, advice: str = "") -> Any:
    """Import a `module` of another package and return it.

    Raises LibraryError if the module cannot be loaded, but passes a MemoryError on. The message
    ends with `advice`. If `advice` is empty, or if the fault lies in a package that the module
    needs, it ends with a command for the repair instead.
    """
    try:
        return import_module(module)
    except MemoryError:
        raise
    except Exception as error:  # the code of a module may raise anything
        raise _unloadable(module, error, advice) from error


def unloadable(error: ImportError, module: str = "a library", package: str = _OURS) -> LibraryError:
    """Return the LibraryError for a failed import of a `module` that `package` needs.

    An `error` that is a LibraryError is returned unchanged.
    """
    if isinstance(error, LibraryError):
        return error
    return _unloadable(module, error, package=package)


def incomplete() -> str:
    """Return a sentence about a missing file of this installation; empty if no file is missing.

    The result is also empty if the program runs from its sources. While an installer replaces the
    program, files are missing, and work that needs them has to wait. Raises OSError if the status
    of a file cannot be read.
    """
    if _project() is not None:
        return ""
    try:
        files = list(_recorded_files())
        lacking = [file for file in files if regular_file.status(file) is None]
    except PackageNotFoundError:
        lacking = [Path("METADATA")]
    if not lacking:
        return ""
    return (
        f"stylewatch lacks files of its own, such as {lacking[0].name}, as while it is installed "
        f"anew; if that stays so, {repair_command(_OURS)} repairs it"
    )


def _recorded_files() -> Iterator[Path]:
    """Yield the paths that the installer recorded, except those of `.pyc` files.

    Python writes missing `.pyc` files itself. Raises PackageNotFoundError if stylewatch has no
    metadata.
    """
    ours = distribution(_OURS)
    for row in csv.reader((ours.read_text("RECORD") or "").splitlines()):
        if not row[0].endswith(".pyc"):
            yield Path(str(ours.locate_file(row[0])))


def _project() -> Path | None:
    """Return the folder of the sources from which this program runs; None if it is installed."""
    folder = Path(__file__).parents[2]
    return folder if regular_file.is_file(folder / "pyproject.toml") else None


def install_command(extra: str) -> str:
    """Return the shell command, in backticks, that adds `extra` to this installation."""
    if extra == "onnx" and _has_torch_for_cpu():
        extra = "onnx-cpu"  # `onnx` installs the runtime for CUDA, which is 300 MB larger
    return command(f"{_OURS}[{extra}]")


def compile_command() -> str:
    """Return the shell command, in backticks, that reinstalls this program from its sources.

    The installation compiles the program's libraries. Without a C++ compiler, the command first
    installs one if a known package manager is found. With a compiler, it shows the compiler's
    messages.
    """
    # installers cache the wheels that they build, even a wheel without the compiled libraries
    words = ["--force-reinstall", "--no-deps", "--no-cache-dir" if _has_pip() else "--no-cache"]
    if has_compiler():
        words.append("--verbose")
    steps = [_compiler_command(), command(*words, *_sources()).strip("`")]
    return f"`{' && '.join(filter(None, steps))}`"


def has_compiler() -> bool:
    """Return whether a C++ compiler is found on PATH; it may still fail to compile."""
    return any(map(shutil.which, _COMPILERS))


def _compiler_command() -> str:
    """Return the shell command that installs a C++ compiler.

    The result is empty if there is a compiler, or if no known package manager is installed.
    """
    if has_compiler():
        return ""
    if shutil.which(_ON_A_MAC):
        return f"{_ON_A_MAC} --install"
    as_root = next((_WITH_COMPILER[each] for each in _WITH_COMPILER if shutil.which(each)), "")
    if not as_root or os.geteuid() == 0:
        return as_root
    if shutil.which("sudo"):
        return " && ".join(f"sudo {step}" for step in as_root.split(" && "))
    return join(["su", "-c", as_root])


def _origin() -> list[str]:
    """Return an installer's arguments for the origin of this installation (PEP 610).

    The list is empty if the origin is unknown.
    """
    try:
        recorded = json.loads(distribution(_OURS).read_text("direct_url.json") or "{}")
    except PackageNotFoundError:
        project = _project()
        return [] if project is None else [str(project)]
    url = recorded.get("url", "")
    path = unquote(urlsplit(url).path)
    if "dir_info" in recorded:
        return ["--editable", path] if recorded["dir_info"].get("editable") else [path]
    if "vcs_info" in recorded:
        vcs = recorded["vcs_info"]
        return [f"{vcs['vcs']}+{url}@{vcs['commit_id']}"]
    if url:
        return [path if url.startswith("file:") else url]
    return [_OURS]  # it came from an index


def _sources() -> list[str]:
    """Return an installer's arguments for the sources of this installation."""
    origin = _origin()
    if origin in ([], [_OURS]):
        return ["--no-binary", _OURS, _OURS]
    if origin[-1].endswith(".whl"):  # its sources are elsewhere
        return [f"{_OURS}-{version(_OURS)}.tar.gz"]
    return origin


def _unloadable(
    module: str, error: Exception, advice: str = "", package: str = _OURS
) -> LibraryError:
    installed = packages_distributions()
    needed = _named(error) or _raising(error, installed)
    if needed and needed.partition(".")[0] != module.partition(".")[0]:
        module, advice = needed, ""
    brought_by, *_ = installed.get(module.partition(".")[0], [""])
    if brought_by:
        repair = repair_command(brought_by)
    else:  # a dependency that is missing
        repair = _again() if package == _OURS else command("--force-reinstall", package)
    *_, cause = _chain(error)
    reason = " ".join(str(cause).split())[:_MAX_CHARACTERS] or type(cause).__name__
    return LibraryError(f"{brought_by or module} cannot be loaded ({reason}): {advice or repair}")


def _named(error: Exception) -> str:
    """Return the module that the innermost failed import names; empty if no error names one."""
    names = [each.name for each in _chain(error) if isinstance(each, ImportError) and each.name]
    return names[-1] if names else ""


def _raising(error: Exception, packages: Collection[str]) -> str:
    """Return the innermost of `packages` in the traceback of the last cause, or an empty string.

    `packages` are names of top-level modules.
    """
    *_, cause = _chain(error)
    frames = [frame for frame, _ in walk_tb(cause.__traceback__)]
    modules = [str(frame.f_globals.get("__name__")).partition(".")[0] for frame in frames]
    return next((module for module in reversed(modules) if module in packages), "")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield the error and its causes, outermost first.

    The last cause states the shortest reason, for example in errors of NumPy.
    """
    while error is not None:
        yield error
        error = error.__cause__


def command(*words: str) -> str:
    """Return the shell command, in backticks, that installs packages; it ends with `words`.

    The command uses pip, or uv if the environment has no pip, as in environments created by uv.
    """
    pip = [sys.executable, "-m", "pip", "install"]
    uv = ["uv", "pip", "install", "--python", sys.executable]
    installer = pip if _has_pip() else uv
    if _is_managed_by_the_system():
        installer.append("--break-system-packages")  # this program was installed with it, too
    return f"`{join([*installer, *words])}`"


def repair_command(package: str) -> str:
    """Return the shell command, in backticks, that reinstalls `package` without its dependencies.

    This program itself is installed from its origin. If the origin is unknown, the result is a
    phrase instead of a command.
    """
    options = ["--force-reinstall", "--no-deps"]
    return _again(*options) if package == _OURS else command(*options, package)


def _again(*options: str) -> str:
    """Return the command that installs this program from its origin, with an installer's `options`.

    If the origin is unknown, the result is a phrase instead of a command.
    """
    origin = _origin()
    return command(*options, *origin) if origin else f"another installation of {_OURS}"


def _has_pip() -> bool:
    return find_spec("pip") is not None


def _is_managed_by_the_system() -> bool:
    """Return whether this Python is externally managed (PEP 668), outside virtual environments."""
    is_virtual = sys.prefix != sys.base_prefix
    marker = Path(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED")
    return not is_virtual and os.path.lexists(marker)


def _has_torch_for_cpu() -> bool:
    """Return whether the version of the installed torch marks it as a build for CPUs."""
    try:
        return version("torch").endswith("+cpu")
    except PackageNotFoundError:
        return False
