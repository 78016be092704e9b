"""Sending of a message with apprise, in a child process with a time limit.

The daemon itself never loads apprise, and a slow network delays nothing else.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from time import monotonic
from typing import Literal

from pydantic import SecretStr

from stylewatch_daemon.base import child
from stylewatch_daemon.base.child import Child

Outcome = Literal["sent", "known", "failed", "unknown", "silent"]

IN_WORDS: Mapping[Outcome, str] = {
    "sent": "sent",
    "known": "a URL that apprise knows",
    "failed": "not sent: the service cannot be reached, or did not accept it",
    "unknown": "apprise does not know such a URL; its documentation lists them",
    "silent": "no answer in time",
}

CHECK_TIMEOUT = 60.0
"""Timeout in seconds for a child to load apprise and check URLs."""

SERVE = "stylewatch_daemon.app.alert_sender:serve"

MAX_THREADS = 16
"""Maximum number of URLs to which the message is sent at the same time."""


@dataclass(frozen=True)
class Message:
    """A message: a title line, and the lines below it."""

    title: str
    body: str


@dataclass(frozen=True)
class Result:
    """Outcome for one URL, which the child reports; the `number` of the URL counts from 0."""

    number: int
    outcome: Outcome


def send(urls: Sequence[SecretStr], message: Message | None, seconds: float) -> list[Outcome]:
    """Send `message` to the `urls` within `seconds`; return the outcome for each URL.

    Without a message the URLs are only checked. The outcome is "silent" for each URL about which
    the child has reported nothing in time, also if no child could be started. The child gets the
    URLs through a connection, because the arguments and the environment of a process are visible to
    others.
    """
    outcomes: list[Outcome] = ["silent"] * len(urls)
    deadline = monotonic() + seconds
    secrets = [url.get_secret_value() for url in urls]
    # this ends when all results have arrived, the time is over, or the process is gone
    with suppress(OSError, EOFError, ValueError), ExitStack() as stack:
        process = Child(SERVE, secrets, message, name="alerts", isolated=True)
        stack.callback(process.kill)
        while (left := deadline - monotonic()) > 0:
            result = process.receive(Result, timeout=left)
            if 0 <= result.number < len(outcomes):
                outcomes[result.number] = result.outcome
    return outcomes


def unusable(urls: Sequence[SecretStr]) -> list[str]:
    """Return a sentence for each of the `urls` that apprise rejects, or does not check in time.

    The time is CHECK_TIMEOUT.
    """
    outcomes = send(urls, None, CHECK_TIMEOUT) if urls else []
    return [
        f"{url_number(number, len(urls))}: {IN_WORDS[outcome]}"
        for number, outcome in enumerate(outcomes)
        if outcome != "known"
    ]


def url_number(number: int, count: int) -> str:
    """Return a text that names a URL, which is a secret, by its `number`, counted from 0."""
    return f"URL {number + 1} of {count}"


def serve(pipe: Connection, urls: list[str], message: Message | None) -> None:
    """Send a Result for each of the `urls` through `pipe` as soon as it is known, in the child.

    Without a message the URLs are only checked.
    """
    from apprise import Apprise, AppriseAsset, NotifyFormat

    asset = AppriseAsset(app_id="stylewatch", app_desc="stylewatch")
    content = {**asdict(message or Message("", "")), "body_format": NotifyFormat.TEXT}

    def result(number: int) -> Result:
        outcome: Outcome = "unknown"
        with suppress(Exception):  # errors of plugins are diverse and may quote the URL
            service = Apprise(asset=asset)
            if service.add(urls[number]):
                outcome = "known" if message is None else "failed"
            if outcome == "failed" and service.notify(**content):
                outcome = "sent"
        return Result(number, outcome)

    with ThreadPoolExecutor(MAX_THREADS) as pool:  # a slow service must not delay the others
        for sending in as_completed([pool.submit(result, number) for number in range(len(urls))]):
            child.send(pipe, sending.result())
