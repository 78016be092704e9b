"""Checks of the backends and of the weights, each in a process of its own.

A backend may be third-party code: what it does when it is loaded affects that process only.
"""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from tempfile import TemporaryFile
from typing import IO, Any

from stylewatch_daemon.base.child import Child, send
from stylewatch_daemon.doctor.finding import Finding, note, ok, problem
from stylewatch_daemon.settings.config import Config
from stylewatch_painter.errors import WeightsError
from stylewatch_plugins import registry
from stylewatch_plugins.errors import BackendError, BackendOptionError

CHECK_BACKEND = "stylewatch_daemon.doctor.backends:serve_backend"
CHECK_WEIGHTS = "stylewatch_daemon.doctor.backends:serve_weights"

TIMEOUT = 120.0
"""Seconds that a check gets to load what it needs."""

MAX_OUTPUT = 1 << 16
"""Bytes of a child's output that are read."""

WRONG_OPTION, NOT_THERE = 78, 69

_WITH_WEIGHTS = ("onnx", "torch")

_SLOW = (
    "torch uses no vector instructions of this processor, which makes it many times slower: "
    "in a sandbox, make all of /proc visible (ProcSubset=all)",
)

_NOT_COMPILED = (
    "its convolutions are not compiled, so painting on the CPU takes about twice as long: install "
    "a C++ compiler such as g++, then install stylewatch again"
)


@dataclass(frozen=True)
class Device:
    """A device of a backend, with so many bytes of memory; None: unknown."""

    name: str
    description: str = ""
    memory: int | None = None


@dataclass(frozen=True)
class Status:
    """The result of a check: `words` if all is well, else a `problem` with its `exit_code`.

    `version` and `devices` are those of a backend that could be loaded.
    """

    words: str = ""
    problem: str | None = None
    exit_code: int = NOT_THERE
    notes: tuple[str, ...] = ()
    version: str = ""
    devices: tuple[Device, ...] = ()


def look(settings: Config) -> Iterator[Finding]:
    """Yield findings on each backend and on the weights; the backend of the settings first."""
    wanted = settings.job.backend
    options = {**settings.backends}
    if settings.job.device is not None:
        options[wanted] = {**options.get(wanted, {}), "device": settings.job.device}
    for name in sorted({wanted, *registry.names()}, key=lambda name: (name != wanted, name)):
        devices = settings.executor.named_devices if name == wanted else ()
        status = check_backend(name, options.get(name, {}), devices)
        yield from _findings(f"backend {name}", status, needed=name == wanted)
    yield from _findings("weights", run(CHECK_WEIGHTS), needed=wanted in _WITH_WEIGHTS)


def _findings(what: str, status: Status, *, needed: bool) -> Iterator[Finding]:
    """Yield the findings of a check; the problem of what is not `needed` is only a note."""
    for words in status.notes:
        yield note(what, words)
    if status.problem is None:
        yield ok(what, status.words)
    elif needed:
        yield problem(what, status.problem, status.exit_code)
    else:
        yield note(what, f"{status.problem} (this does not affect jobs with another backend)")


def check_backend(
    name: str,
    options: Mapping[str, Any],
    devices: tuple[str, ...] = (),
    timeout: float = TIMEOUT,
) -> Status:
    """Check that a backend works with `options` and has the `devices`."""
    return run(CHECK_BACKEND, name, options, devices, timeout=timeout)


def run(check: str, *args: Any, timeout: float = TIMEOUT) -> Status:
    """Run a check (`module:function`) in a child process, which is killed with all it started."""
    with TemporaryFile() as output:
        try:
            child = Child(check, *args, name="doctor", isolated=True, output=output)
        except OSError as error:
            return Status(problem=f"its process could not be started: {error}")
        try:
            return child.receive(Status, timeout=timeout)
        except TimeoutError:
            advice = "try again when the machine is less busy"
            return Status(problem=f"it did not answer within {timeout:g} s; {advice}")
        except ValueError as error:
            return Status(problem=f"it sent {error}")
        except (EOFError, OSError):
            reason = child.exit_reason() or "its files closed"
            words = _last_line(output) or "no message"
            return Status(problem=f"the process that checked it ended with {reason}: {words}")
        finally:
            child.kill()


def _last_line(output: IO[bytes]) -> str:
    output.seek(max(0, output.seek(0, os.SEEK_END) - MAX_OUTPUT))
    lines = output.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""


def serve_backend(
    pipe: Connection, name: str, options: Mapping[str, Any], devices: Sequence[str]
) -> None:
    """In the child: send the Status of a backend, and exit at once, whatever threads it left."""
    send(pipe, backend_status(name, options, devices))
    os._exit(0)


def serve_weights(pipe: Connection) -> None:
    """In the child: send the Status of the weights."""
    send(pipe, weights_status())


def backend_status(name: str, options: Mapping[str, Any], wanted: Sequence[str] = ()) -> Status:
    """Load a backend with `options`; check that it can run, on the devices `wanted`."""
    from stylewatch_plugins.contract import capabilities

    try:
        backend = registry.load(name, options)
    except BackendOptionError as error:
        return Status(problem=str(error), exit_code=WRONG_OPTION)
    except BackendError as error:
        return Status(problem=str(error))
    version = str(backend.version)
    devices: tuple[Device, ...] = ()
    try:
        devices = tuple(
            Device(str(each.name), str(each.description), each.memory and int(each.memory))
            for each in backend.devices()
        )
        problem = backend.problem()
    except Exception as error:  # third-party code
        whose = registry.author(error) or f"backend {name!r}"
        problem = f"{whose} fails in its check, {type(error).__name__}: {error}"
    names = [device.name for device in devices]
    missing = [name for name in wanted if name not in names]
    if not problem and missing:
        problem = (
            f"executor.devices names {', '.join(missing)}, but this backend has only "
            f"{', '.join(names)} here: name some of these, or auto"
        )
    if problem:
        return Status(problem=str(problem), version=version, devices=devices)
    words = f"{version} on {', '.join(map(_described, devices))}"
    notes: tuple[str, ...] = ()
    if (torch := sys.modules.get("torch")) is not None:  # else the backend does not use it
        instructions = str(torch.backends.cpu.get_cpu_capability())
        words, notes = f"{words}, {instructions}", _SLOW if instructions == "DEFAULT" else ()
        kernels = sys.modules.get("stylewatch_painter.network.kernels")
        if name == "torch" and "cpu" in names and kernels and kernels.library() is None:
            notes = (*notes, _NOT_COMPILED)
    words = f"{words}; can: {', '.join(capabilities(backend).words) or 'nothing else'}"
    return Status(words, notes=notes, version=version, devices=devices)


def _described(device: Device) -> str:
    return f"{device.name} ({device.description})" if device.description else device.name


def weights_status() -> Status:
    """Check the bundled and the imported weights against their digests."""
    from stylewatch_painter.network.store import verify
    from stylewatch_painter.network.weights import installed, locate

    intact = []
    try:
        for name in installed():
            verify(file := locate(name))
            intact.append(f"{name} ({file.architecture.upper()})")
    except WeightsError as error:
        return Status(problem=str(error))
    return Status(f"{', '.join(intact)}: checksums OK")
