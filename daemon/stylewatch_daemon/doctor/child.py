"""The process that checks one backend, or the weights."""

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
            Device(
                str(device.name),
                str(device.description),
                None if device.memory is None else int(device.memory),
            )
            for device in backend.devices()
        )
        problem = backend.problem()
    except Exception as error:  # third-party code
        whose = registry.author(error) or f"backend {name!r}"
        problem = f"{whose} fails when it is asked, {type(error).__name__}: {error}"
    names = [device.name for device in devices]
    problem = problem or _missing(wanted, names)
    if problem is not None:
        return Status(problem=str(problem), version=version, devices=devices, can=can)
    instructions = _vector_instructions()
    words = f"{version} on {', '.join(names)}" + (f", {instructions}" if instructions else "")
    return Status(words, notes=_slow(instructions), version=version, devices=devices, can=can)


def _missing(wanted: Sequence[str], devices: Sequence[str]) -> str | None:
    """Describe the devices of the settings that the backend does not have."""
    missing = [name for name in wanted if name not in devices]
    if not missing:
        return None
    return (
        f"executor.devices names {', '.join(missing)}, and it finds {', '.join(devices)} here: "
        "name some of these, or say auto"
    )


def _vector_instructions() -> str:
    """Name the vector instructions that torch found; empty if the backend did not load torch."""
    torch = sys.modules.get("torch")
    return "" if torch is None else str(torch.backends.cpu.get_cpu_capability())


def _slow(instructions: str) -> tuple[str, ...]:
    if instructions != "DEFAULT":
        return ()
    return (
        "torch uses no vector instructions of this processor, and is many times slower for it: "
        "in a sandbox, let /proc be seen as a whole (ProcSubset=all)",
    )


def weights_status() -> Status:
    """Check the bundled and the imported weights against their digests."""
    from stylewatch_painter.network.store import verify
    from stylewatch_painter.network.weights import BUNDLED, locate, own_files

    names = [BUNDLED, *(path.stem for path in own_files())]
    try:
        for name in names:
            verify(locate(name))
    except WeightsError as error:
        return Status(problem=str(error))
    return Status(f"{', '.join(names)}: checksums OK")
