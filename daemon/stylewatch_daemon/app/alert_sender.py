"""Send a message with apprise, in a child process with a time limit.

The daemon itself never loads apprise, and a slow network delays nothing else.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Literal

from pydantic import SecretStr

from stylewatch_daemon.base import child
from stylewatch_daemon.base.child import Child

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

ASK_EVERY_S = 0.5
"""Longest time to wait for a result before `seconds_left` is asked again."""

SERVE = "stylewatch_daemon.app.alert_sender:serve"

MAX_THREADS = 16
"""How many URLs the message is sent to at the same time."""


@dataclass(frozen=True)
class Message:
    """A message: a line, and the lines below it."""

    title: str
    body: str


@dataclass(frozen=True)
class Result:
    """From the child: what became of the message at a URL, whose number counts from 0."""

    number: int
    ending: Ending


def send(
    urls: Sequence[SecretStr], message: Message | None, seconds_left: Callable[[], float]
) -> list[Ending]:
    """Send `message` to the `urls` while `seconds_left`; return what became of it at each.

    Without a message the URLs are only checked. They go through a connection, as the arguments
    and the environment of a process can be seen by others.
    """
    endings: list[Ending] = ["silent"] * len(urls)
    secrets = [url.get_secret_value() for url in urls]
    try:
        process = Child(SERVE, secrets, message, name="alerts", isolated=True)
    except OSError:
        return endings
    try:
        while (seconds := seconds_left()) > 0:
            with suppress(TimeoutError):
                result = process.receive(Result, timeout=min(seconds, ASK_EVERY_S))
                if 0 <= result.number < len(endings):
                    endings[result.number] = result.ending
    except (OSError, EOFError, ValueError):
        pass  # all results have come, or no more can come
    finally:
        process.kill()
    return endings


def countdown(seconds: float) -> Callable[[], float]:
    """Return a function that returns how many of so many seconds are left."""
    deadline = time.monotonic() + seconds
    return lambda: deadline - time.monotonic()


def unusable(urls: Sequence[SecretStr]) -> list[str]:
    """Return a sentence for each of the `urls` that apprise does not know."""
    endings = send(urls, None, countdown(CHECK_TIMEOUT)) if urls else []
    return [
        f"{url_number(number, len(urls))}: {IN_WORDS[ending]}"
        for number, ending in enumerate(endings)
        if ending != "known"
    ]


def url_number(number: int, count: int) -> str:
    """Name a URL by its number, which counts from 0: the URL itself is a secret."""
    return f"URL {number + 1} of {count}"


def serve(pipe: Connection, urls: list[str], message: Message | None) -> None:
    """In the child: send a Result for each of the `urls` as soon as it is known."""
    for result in _results(urls, message):
        child.send(pipe, result)


def _results(urls: list[str], message: Message | None) -> Iterator[Result]:
    from apprise import Apprise, AppriseAsset, NotifyFormat

    asset = AppriseAsset(app_id="stylewatch", app_desc="stylewatch")
    with ThreadPoolExecutor(MAX_THREADS) as pool:  # a slow service must not delay the others
        sending = {}
        for number, url in enumerate(urls):
            service = Apprise(asset=asset)
            is_known = False
            with suppress(Exception):  # plugins are many, and what one raises may quote the URL
                is_known = bool(service.add(url))
            if message is None or not is_known:
                yield Result(number, "known" if is_known else "unknown")
            else:
                future = pool.submit(
                    service.notify, message.body, message.title, body_format=NotifyFormat.TEXT
                )
                sending[future] = number
        for future in as_completed(sending):
            is_sent = future.exception() is None and bool(future.result())
            yield Result(sending[future], "sent" if is_sent else "failed")
