"""Sends a message from a child process with a time limit, so a slow network delays nothing else."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import SecretStr

from stylewatch_daemon.alerts.collect import Message
from stylewatch_daemon.processes.child import Child

Ending = Literal["sent", "known", "failed", "unknown", "silent"]

IN_WORDS: Mapping[Ending, str] = {
    "sent": "sent",
    "known": "a URL that apprise knows",
    "failed": "not sent: the service cannot be reached, or did not take it",
    "unknown": "apprise does not know such a URL; its documentation lists them",
    "silent": "no answer in time",
}

CHECK_TIMEOUT = 60.0
"""Seconds that a child gets to load apprise and to check URLs."""

SERVE = "stylewatch_daemon.alerts.child:serve"


@dataclass(frozen=True)
class Result:
    """From the child: what became of the message at a URL, whose number counts from 0."""

    number: int
    ending: Ending


def send(urls: Sequence[SecretStr], message: Message | None, within: float) -> list[Ending]:
    """Send `message` to the `urls`, in `within` seconds; return what became of it at each.

    Without a message the URLs are only checked. They go through a connection, as the arguments
    and the environment of a process can be seen by others.
    """
    endings: list[Ending] = ["silent"] * len(urls)
    deadline = time.monotonic() + within
    secrets = [url.get_secret_value() for url in urls]
    try:
        child = Child(SERVE, secrets, message, name="alerts", isolated=True)
    except OSError:
        return endings
    try:
        while True:
            result = child.receive(Result, timeout=max(0.0, deadline - time.monotonic()))
            if 0 <= result.number < len(endings):
                endings[result.number] = result.ending
    except (OSError, EOFError, ValueError):
        return endings  # all results have come, or no more can come in time
    finally:
        child.kill()


def unusable(urls: Sequence[SecretStr]) -> list[str]:
    """Return a sentence for each of the `urls` that apprise does not know."""
    endings = send(urls, None, CHECK_TIMEOUT) if urls else []
    return [
        f"{place(number, len(urls))}: {IN_WORDS[ending]}"
        for number, ending in enumerate(endings)
        if ending != "known"
    ]


def place(number: int, count: int) -> str:
    """Name a URL by its number, which counts from 0: the URL itself is a secret."""
    return f"URL {number + 1} of {count}"
