"""Sends a message by a child process with a time limit: a slow network touches nobody else."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

from pydantic import SecretStr

from stylewatch_daemon.alerts.collect import Message

Ending = Literal["sent", "known", "failed", "unknown", "silent"]

IN_WORDS: Mapping[Ending, str] = {
    "sent": "sent",
    "known": "a URL that apprise knows",
    "failed": "not sent: the service cannot be reached, or did not take it",
    "unknown": "apprise does not know such a URL; its documentation lists them",
    "silent": "no answer in time",
}

LOOKED_AT_WITHIN = 60.0
"""Seconds that a child gets to load apprise and to look at URLs."""

_CHILD = ("-P", "-m", "stylewatch_daemon.alerts.child")
"""-P: modules are looked for in the installation, and never in the current folder."""


def send(urls: Sequence[SecretStr], message: Message | None, within: float) -> list[Ending]:
    """What became of `message` at each of the `urls`, `within` seconds; None: only look at them.

    The URLs go through a pipe, since a process's arguments and environment can be seen by others.
    """
    asked = {
        "urls": [url.get_secret_value() for url in urls],
        "message": None if message is None else [message.title, message.body],
        "within": within,
    }
    endings: list[Ending] = ["silent"] * len(urls)
    for number, ending in _answers(json.dumps(asked), within):
        if number < len(urls):
            endings[number] = ending
    return endings


def unusable(urls: Sequence[SecretStr]) -> list[str]:
    """What is wrong with each of the `urls` that apprise does not know, in words."""
    ends = send(urls, None, LOOKED_AT_WITHIN) if urls else []
    return [
        f"{place(number, len(urls))}: {IN_WORDS[end]}"
        for number, end in enumerate(ends)
        if end != "known"
    ]


def place(number: int, count: int) -> str:
    """A URL by its number, which counts from 0: what it says is a secret."""
    return f"URL {number + 1} of {count}"


def _answers(asked: str, within: float) -> list[tuple[int, Ending]]:
    """What the child says until it ends, or is ended."""
    command = [sys.executable, *_CHILD]
    said: str | bytes | None = None
    try:  # a session of its own: an interrupt from the terminal is for us
        said = subprocess.run(
            command, input=asked.encode(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            timeout=within, check=False, start_new_session=True,
        ).stdout  # fmt: skip
    except subprocess.TimeoutExpired as error:
        said = error.stdout
    except OSError:
        said = None
    lines = said.decode(errors="replace") if isinstance(said, bytes) else said or ""
    return [found for line in lines.splitlines() if (found := _answer(line))]


def _answer(line: str) -> tuple[int, Ending] | None:
    number, _, word = line.partition(" ")
    ending = next((one for one in get_args(Ending) if one == word), None)
    return None if ending is None or not number.isdecimal() else (int(number), ending)
