"""Checks of the backends, the weights and the libraries, each in a separate process.

A backend may be third-party code: the side effects of loading it end with the process.
"""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from multiprocessing.connection import Connection
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

from stylewatch_daemon.base import shortages
from stylewatch_daemon.base.child import Child, send
from stylewatch_daemon.base.errors import UnavailableError
from stylewatch_daemon.doctor.finding import Finding, Verdict, note, ok, problem
from stylewatch_daemon.settings.config import Config
from stylewatch_painter.errors import LibraryError, WeightsError
from stylewatch_painter.installation import library
from stylewatch_plugins import registry
from stylewatch_plugins.errors import BackendError

if TYPE_CHECKING:
    from stylewatch_plugins.contract import Backend

SERVE = "stylewatch_daemon.doctor.backends:serve"

TIMEOUT = 120.0
"""Timeout in seconds for each finding of a check, including the loading before the first."""

MAX_OUTPUT = 1 << 16
"""Maximum number of bytes of a child's output that are read."""

_CANNOT_RUN = UnavailableError.exit_code

_WITH_WEIGHTS = ("onnx", "torch")


LIBRARIES = {
    "numpy": True, "PIL.Image": True, "pyvips": True, "av": False, "cv2": False,
    "pillow_heif": False, "rawpy": False, "pillow_jxl": False,
}  # fmt: skip
"""The modules that read and write pictures and films: True if they are always installed, False if
they belong to an extra."""


def look(settings: Config) -> Iterator[Finding]:
    """Yield the findings on each backend, the one of the settings first, and on the weights.

    Problems of other backends, and of weights that the backend of the settings does not use, become
    notes.
    """
    wanted = settings.job.backend
    for name in sorted({wanted, *registry.names()}, key=lambda name: (name != wanted, name)):
        devices = settings.executor.own.named_devices if name == wanted else ()
        found = run("backend", name, settings.options_of(name), devices)
        yield from found if name == wanted else map(_as_note, found)
    found = run("weights", "")
    yield from found if wanted in _WITH_WEIGHTS else map(_as_note, found)


def look_at_libraries(settings: Config) -> Iterator[Finding]:
    """Yield a problem for each library that cannot be loaded; without problems, one success.

    An optional library is checked only if it is installed.
    """
    used = [name for name, is_needed in LIBRARIES.items() if is_needed or find_spec(name)]
    found = dict.fromkeys(finding for name in used for finding in run("library", name))
    problems = [finding for finding in found if finding.verdict is Verdict.PROBLEM]
    words = f"those for pictures and films can be loaded: {', '.join(used)}"
    yield from problems or [ok("libraries", words)]


def _as_note(finding: Finding) -> Finding:
    """Return a finding on what the jobs' backend does not use, with a problem as a note."""
    if finding.verdict is not Verdict.PROBLEM:
        return finding
    return note(finding.what, f"{finding.words} (this does not affect jobs with another backend)")


def run(check: str, name: str, *args: Any, timeout: float = TIMEOUT) -> Iterator[Finding]:
    """Yield the findings of `check`, one of _CHECKS: notes, then a problem or a success.

    `name` and `args` are the arguments of the check. It runs in a child process, which is killed at
    the end, with all processes that it started. It is also a problem if the process cannot be
    started, ends early, or sends no finding within `timeout` seconds.
    """
    what = f"{check} {name}".strip()
    with TemporaryFile(dir=shortages.temporary_folder()) as output:
        try:
            child = Child(SERVE, check, name, *args, name="doctor", isolated=True, output=output)
        except OSError as error:
            yield problem(what, f"its process could not be started: {error}", _CANNOT_RUN)
            return
        try:
            while True:
                finding = child.receive(Finding, timeout=timeout)
                yield finding
                if finding.verdict != Verdict.NOTE:
                    return
        except TimeoutError:
            words = f"it did not answer within {timeout:g} s; try again when the machine is idle"
        except ValueError as error:
            words = f"it sent {error}"
        except (EOFError, OSError):
            reason = child.exit_reason() or "its files closed"
            output.seek(max(0, output.seek(0, os.SEEK_END) - MAX_OUTPUT))
            *_, last = ("no message", *output.read().decode(errors="replace").strip().splitlines())
            words = f"the process that checked it ended with {reason}: {last}"
        finally:
            child.kill()
        yield problem(what, words, _CANNOT_RUN)


# In the child


def serve(pipe: Connection, check: str, name: str, *args: Any) -> None:
    """Send the findings of a check through `pipe`; then exit, even if threads are still running."""
    for finding in _CHECKS[check](name, *args):
        send(pipe, finding)
    os._exit(0)


def check_backend(
    name: str, options: Mapping[str, Any], wanted: Sequence[str] | None = None
) -> Iterator[Finding]:
    """Yield the findings on a backend: notes, if any, and a success, or else one problem.

    Check that the backend accepts `options`, can run, and has the devices `wanted`. If `wanted` is
    None, check only the options. A BackendError on loading and any exception in the backend's own
    check become problems.
    """
    what = f"backend {name}"
    try:
        backend = registry.load(name, options)
    except BackendError as error:
        yield problem(what, str(error), error.exit_code)
        return
    if wanted is None:
        yield ok(what, str(backend.version))
        return
    try:
        devices = {str(device.name): str(device.description) for device in backend.devices()}
        missing = ", ".join(name for name in wanted if name not in devices)
        wrong = backend.problem() or (
            missing
            and (
                f"executor.devices names {missing}, but this backend has only "
                f"{', '.join(devices)} here: name some of these, or auto"
            )
        )
    except Exception as error:  # third-party code
        whose = registry.author(error) or f"backend {name!r}"
        wrong = f"{whose} fails in its check, {type(error).__name__}: {error}"
    if wrong:
        yield problem(what, str(wrong), _CANNOT_RUN)
    else:
        yield from _described(what, backend, devices)


def _described(what: str, backend: "Backend", devices: Mapping[str, str]) -> Iterator[Finding]:
    """Yield notes on reasons why a backend is slow, then its version, devices and capabilities."""
    from stylewatch_plugins.contract import capabilities

    names = (f"{name} ({about})" if about else name for name, about in devices.items())
    words = f"{backend.version} on {', '.join(names)}"
    torch = sys.modules.get("torch")
    if torch is not None:  # otherwise the backend does not use the device
        instructions = str(torch.backends.cpu.get_cpu_capability())
        words += f", {instructions}"
        if instructions == "DEFAULT":
            yield note(
                what,
                "torch uses no vector instructions of this processor, which makes it many times "
                "slower: in a sandbox, make all of /proc visible (ProcSubset=all)",
            )
    kernels = sys.modules.get("stylewatch_painter.network.kernels")
    if what == "backend torch" and "cpu" in devices and kernels and (delay := kernels.delay()):
        yield note(what, delay)
    yield ok(what, f"{words}; can: {', '.join(capabilities(backend).words) or 'nothing else'}")


def check_weights(_name: str) -> Iterator[Finding]:
    """Yield a success if all installed weights have their digests, else the first problem."""
    from stylewatch_painter.network.store import verify
    from stylewatch_painter.network.weights import installed, locate

    intact = []
    try:
        for name in installed():
            verify(file := locate(name))
            intact.append(f"{name} ({file.architecture.upper()})")
    except WeightsError as error:
        yield problem("weights", str(error), error.exit_code)
        return
    yield ok("weights", f"{', '.join(intact)}: checksums OK")


def check_library(module: str) -> Iterator[Finding]:
    """Yield a success if a module of another package can be loaded, else a problem."""
    try:
        library(module)
    except LibraryError as error:
        yield problem("libraries", str(error), error.exit_code)
    else:
        yield ok("libraries", module)


_CHECKS: Mapping[str, Callable[..., Iterator[Finding]]] = {
    "backend": check_backend,
    "weights": check_weights,
    "library": check_library,
}
