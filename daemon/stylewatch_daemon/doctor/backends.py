"""Checks of the backends and of the weights, each in a process of its own.

A backend may be third-party code: what it does when it is loaded affects that process only.
"""

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from tempfile import TemporaryFile
from typing import IO, Any

from stylewatch_daemon.doctor.finding import Finding, mend, note, ok
from stylewatch_daemon.processes.child import Child
from stylewatch_daemon.settings.config import ServiceSettings
from stylewatch_plugins import registry

CHECK_BACKEND = "stylewatch_daemon.doctor.doctor_main:check_backend"
CHECK_WEIGHTS = "stylewatch_daemon.doctor.doctor_main:check_weights"

TIMEOUT = 120.0
"""Seconds that a check gets to load what it needs."""

MAX_CHECKS = 4
"""How many checks run at the same time, so that one that hangs delays few others."""

MAX_OUTPUT = 1 << 16
"""Bytes of a child's output that are read."""

WRONG_OPTION, NOT_THERE = 78, 69

_WITH_WEIGHTS = ("onnx", "torch")


@dataclass(frozen=True)
class Device:
    """A device of a backend, with so many bytes of memory; None: unknown."""

    name: str
    description: str = ""
    memory: int | None = None


@dataclass(frozen=True)
class Status:
    """The result of a check: `words` if all is well, else a `problem` with its `exit_code`.

    `version`, `devices` and `can` (capabilities) are those of a backend that could be loaded.
    """

    words: str = ""
    problem: str | None = None
    exit_code: int = NOT_THERE
    notes: tuple[str, ...] = ()
    version: str = ""
    devices: tuple[Device, ...] = ()
    can: tuple[str, ...] = ()


def look(settings: ServiceSettings) -> Iterator[Finding]:
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
        yield mend(what, status.problem, status.exit_code)
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


def check_all(
    options: Mapping[str, Mapping[str, Any]], timeout: float = TIMEOUT
) -> Iterator[tuple[str, Status]]:
    """Yield each installed backend by name, with its status; checks run in parallel."""
    names = registry.names()
    given = [options.get(name, {}) for name in names]
    check = partial(check_backend, timeout=timeout)
    with ThreadPoolExecutor(MAX_CHECKS) as pool:
        yield from zip(names, pool.map(check, names, given), strict=True)


def run(check: str, *args: Any, timeout: float = TIMEOUT) -> Status:
    """Run a check (`module:function`) in a child process; kill it with everything it started.

    A child that does not answer is a problem in the status.
    """
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
