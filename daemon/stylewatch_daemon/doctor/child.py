"""Asks one backend, or the weights, how they are, and says so as JSON; run as a process."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stylewatch_painter.errors import WeightsError
from stylewatch_plugins import registry
from stylewatch_plugins.contract import capabilities
from stylewatch_plugins.errors import BackendError, BackendOptionError

if TYPE_CHECKING:  # brings NumPy
    from stylewatch_plugins.contract import Device

_WRONG, _NOT_THERE = 78, 69


def answer(asked: Mapping[str, Any]) -> dict[str, Any]:
    """`words` where all is well, else a `problem` with its `exit_code`; `notes` beside either.

    A backend that could be made has `version`, `devices` and `can`, too.
    """
    if "weights" in asked:
        return _weights()
    try:
        backend = registry.load(asked["backend"], asked["options"])
    except BackendOptionError as error:
        return {"problem": str(error), "exit_code": _WRONG}
    except BackendError as error:
        return {"problem": str(error), "exit_code": _NOT_THERE}
    made: dict[str, Any] = {
        "version": str(backend.version),
        "can": capabilities(backend).words,
        "devices": [],
    }
    try:
        made["devices"] = [_plain(device) for device in backend.devices()]
        problem = backend.problem()
    except Exception as error:  # a stranger's
        whose = registry.author(error) or f"backend {asked['backend']!r}"
        problem = f"{whose} fails when it is asked, {type(error).__name__}: {error}"
    devices = [device["name"] for device in made["devices"]]
    problem = problem or _missing(asked.get("devices", ()), devices)
    if problem is not None:
        return {**made, "problem": str(problem), "exit_code": _NOT_THERE}
    capability = _capability()
    told = f" on {', '.join(devices)}" + (f", {capability}" if capability else "")
    return {**made, "words": f"{backend.version}{told}", "notes": _slow(capability)}


def _plain(device: "Device") -> dict[str, Any]:
    memory = None if device.memory is None else int(device.memory)
    return {
        "name": str(device.name), "description": str(device.description), "memory": memory,
    }  # fmt: skip


def _missing(named: Sequence[str], here: Sequence[str]) -> str | None:
    """What is wrong with the devices that the settings name."""
    missing = [name for name in named if name not in here]
    if not missing:
        return None
    return (
        f"executor.devices names {', '.join(missing)}, and it finds {', '.join(here)} here: "
        "name some of these, or say auto"
    )


def _capability() -> str:
    """The vector instructions that torch found, where the backend brought torch in."""
    torch = sys.modules.get("torch")
    return "" if torch is None else str(torch.backends.cpu.get_cpu_capability())


def _slow(capability: str) -> list[str]:
    if capability != "DEFAULT":
        return []
    return [
        "torch uses no vector instructions of this processor, and is many times slower for it: "
        "in a sandbox, let /proc be seen as a whole (ProcSubset=all)"
    ]


def _weights() -> dict[str, Any]:
    from stylewatch_painter.network.catalogue import BUNDLED
    from stylewatch_painter.network.read import verify
    from stylewatch_painter.network.weights import locate, own_files

    names = [BUNDLED, *(path.stem for path in own_files())]
    try:
        for name in names:
            verify(locate(name))
    except WeightsError as error:
        return {"problem": str(error), "exit_code": _NOT_THERE}
    return {"words": f"{', '.join(names)}: held against the digests, and right"}


def main() -> None:
    """Answer what stdin asks on stdout, where nothing that a backend prints may come."""
    asked = json.load(sys.stdin)
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as told:
        os.dup2(2, 1)
        json.dump(answer(asked), told)
    os._exit(0)  # whatever threads, or doings at the end, a backend has left


if __name__ == "__main__":
    main()
