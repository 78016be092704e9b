"""The doctor's look at what paints: each backend, and the weights, in a process of its own.

A backend may be a stranger's: what it does on being loaded, and what it loads, stays in there.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from tempfile import TemporaryFile
from typing import IO, Any

from stylewatch_daemon.doctor.finding import Finding, mend, note, ok
from stylewatch_daemon.settings.config import ServiceSettings
from stylewatch_plugins import registry

ANSWER_WITHIN = 120.0
"""Seconds that a child gets to load what it needs, and to look at it."""

AT_ONCE = 4
"""How many are asked at the same time, so that one that hangs keeps few others waiting."""

LONGEST = 1 << 16
"""Bytes of what a child writes that are read."""

_NOT_THERE = 69
_WITH_WEIGHTS = ("onnx", "torch")


def look(settings: ServiceSettings) -> Iterator[Finding]:
    """Whether each backend, and the weights that are here, can be used."""
    wanted = settings.job.backend
    options = {**settings.backends}
    if settings.job.device is not None:
        options[wanted] = {**options.get(wanted, {}), "device": settings.job.device}
    asked: dict[str, Any]
    for name in sorted({wanted, *registry.names()}, key=lambda one: (one != wanted, one)):
        asked = {"backend": name, "options": options.get(name, {})}
        if name == wanted and settings.executor.named_devices:
            asked["devices"] = settings.executor.named_devices
        yield from _findings(f"backend {name}", asked, needed=name == wanted)
    yield from _findings("weights", {"weights": True}, needed=wanted in _WITH_WEIGHTS)


def _findings(what: str, asked: Mapping[str, Any], *, needed: bool) -> Iterator[Finding]:
    """What the child says; what is not `needed` need not be mended."""
    answer = ask(asked)
    for words in answer.get("notes", ()):
        yield note(what, words)
    problem = answer.get("problem")
    if problem is None:
        yield ok(what, answer["words"])
    elif needed:
        yield mend(what, problem, answer.get("exit_code", _NOT_THERE))
    else:
        yield note(what, f"{problem} (jobs that ask for another backend do not mind)")


def ask(asked: Mapping[str, Any], within: float = ANSWER_WITHIN) -> Mapping[str, Any]:
    """What `doctor.child` answers; a `problem` in words where it does not."""
    try:
        with TemporaryFile() as told, TemporaryFile() as said:
            code = _run(json.dumps(asked), told, said, within)
            answer = json.loads(_read(told) or "null")
            words = _read(said).strip().splitlines()[-1:] or ["without a word"]
    except subprocess.TimeoutExpired:
        return {"problem": f"it did not answer within {within:g} s; try again with less going on"}
    except (OSError, ValueError) as error:
        return {"problem": f"it could not be asked: {error}"}
    if answer is None:
        return {"problem": f"the process that asked it ended with {code}: {words[0]}"}
    return answer if isinstance(answer, dict) else {"problem": "it answered nothing"}


def ask_all(
    options: Mapping[str, Mapping[str, Any]], within: float = ANSWER_WITHIN
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each backend that is installed, by name, with what it answers; none waits for another."""
    names = registry.names()
    asked = ({"backend": name, "options": options.get(name, {})} for name in names)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield from zip(names, pool.map(lambda one: ask(one, within), asked), strict=True)


def _run(asked: str, told: IO[bytes], said: IO[bytes], within: float) -> int:
    """The exit code of a child that is asked; nothing that it started outlives it.

    It tells, and says on stderr, into files: a pipe could be held open by what it leaves behind.
    """
    command = [sys.executable, "-m", "stylewatch_daemon.doctor.child"]
    child = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=told, stderr=said, start_new_session=True
    )
    try:
        child.communicate(asked.encode(), within)
        return child.returncode
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _read(file: IO[bytes]) -> str:
    """The end of what was written to `file`; an answer is shorter than that."""
    file.seek(max(0, file.seek(0, os.SEEK_END) - LONGEST))
    return file.read().decode(errors="replace")
