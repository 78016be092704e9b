"""The doctor's look at what paints: each backend, and the weights, in a process of its own.

A backend may be a stranger's: what it does on being loaded, and what it loads, stays in there.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from stylewatch_daemon.doctor.finding import Finding, mend, note, ok
from stylewatch_daemon.service_settings import ServiceSettings
from stylewatch_plugins import registry

ANSWER_WITHIN = 120.0
"""Seconds that a child gets to load what it needs, and to look at it."""

_NOT_THERE = 69


def look(settings: ServiceSettings) -> Iterator[Finding]:
    """Whether each backend, and the weights that are here, can be used."""
    wanted = settings.job.backend
    options = {**settings.backends}
    if settings.job.device is not None:
        options[wanted] = {**options.get(wanted, {}), "device": settings.job.device}
    asked: dict[str, Any]
    for name in sorted({wanted, *registry.names()}, key=lambda one: (one != wanted, one)):
        asked = {"backend": name, "options": options.get(name, {})}
        if name == wanted and settings.devices:
            asked["devices"] = settings.devices
        yield from _findings(f"backend {name}", asked, needed=name == wanted)
    yield from _findings("weights", {"weights": True}, needed=wanted == "torch")


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
    child = [sys.executable, "-m", "stylewatch_daemon.doctor.child"]
    try:
        ended = subprocess.run(
            child, input=json.dumps(asked), capture_output=True, text=True, timeout=within,
            check=False,
        )  # fmt: skip
        answer = json.loads(ended.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        return {"problem": f"it did not answer within {within:g} s; try again with less going on"}
    except (ValueError, IndexError):
        said = ended.stderr.strip().splitlines()[-1:] or ["without a word"]
        return {"problem": f"the process that asked it ended with {ended.returncode}: {said[0]}"}
    return answer if isinstance(answer, dict) else {"problem": "it answered nothing"}
