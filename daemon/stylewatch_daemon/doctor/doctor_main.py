"""Main functions of the process that checks one backend, or the weights."""

import os
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any

from stylewatch_daemon.doctor.backends import WRONG_OPTION, Device, Status
from stylewatch_daemon.processes.child import send
from stylewatch_painter.errors import WeightsError
from stylewatch_plugins import registry
from stylewatch_plugins.contract import capabilities
from stylewatch_plugins.errors import BackendError, BackendOptionError

_SLOW = (
    "torch uses no vector instructions of this processor, which makes it many times slower: "
    "in a sandbox, make all of /proc visible (ProcSubset=all)",
)

_NOT_COMPILED = (
    "its convolutions are not compiled, so painting on the CPU takes about twice as long: install "
    "a C++ compiler such as g++, then install stylewatch again"
)


def check_backend(
    pipe: Connection, name: str, options: Mapping[str, Any], devices: Sequence[str]
) -> None:
    """Send the Status of a backend, and exit at once, whatever threads the backend has left."""
    send(pipe, backend_status(name, options, devices))
    os._exit(0)


def check_weights(pipe: Connection) -> None:
    """Send the Status of the weights."""
    send(pipe, weights_status())


def backend_status(name: str, options: Mapping[str, Any], wanted: Sequence[str] = ()) -> Status:
    """Load a backend with `options`; check that it can run, on the devices `wanted`."""
    try:
        backend = registry.load(name, options)
    except BackendOptionError as error:
        return Status(problem=str(error), exit_code=WRONG_OPTION)
    except BackendError as error:
        return Status(problem=str(error))
    version, can = str(backend.version), capabilities(backend).words
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
        return Status(problem=str(problem), version=version, devices=devices, can=can)
    words = f"{version} on {', '.join(names)}"
    notes: tuple[str, ...] = ()
    if (torch := sys.modules.get("torch")) is not None:  # else the backend does not use it
        instructions = str(torch.backends.cpu.get_cpu_capability())
        words, notes = f"{words}, {instructions}", _SLOW if instructions == "DEFAULT" else ()
        kernels = sys.modules.get("stylewatch_painter.network.kernels")
        if name == "torch" and "cpu" in names and kernels and kernels.library() is None:
            notes = (*notes, _NOT_COMPILED)
    return Status(words, notes=notes, version=version, devices=devices, can=can)


def weights_status() -> Status:
    """Check the bundled and the imported weights against their digests."""
    from stylewatch_painter.network.store import verify
    from stylewatch_painter.network.weights import BUNDLED, locate, own_files

    names = [BUNDLED, *(path.stem for path in own_files())]
    intact = []
    try:
        for name in names:
            verify(file := locate(name))
            intact.append(f"{name} ({file.architecture.upper()})")
    except WeightsError as error:
        return Status(problem=str(error))
    return Status(f"{', '.join(intact)}: checksums OK")
