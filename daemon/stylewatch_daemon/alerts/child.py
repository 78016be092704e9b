"""Sends one message with apprise; run as a process, told what to do through its standard input."""

import json
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from typing import Any

from apprise import Apprise, AppriseAsset, NotifyFormat

AT_ONCE = 16
"""How many URLs are told at the same time."""


def main() -> None:
    """Print a line for each URL as soon as it is told: its number from 0, and how that ended."""
    asked = json.load(sys.stdin)
    signal.alarm(int(asked["within"]) + 1)  # should nobody be left who would end us
    for number, ending in answers(asked["urls"], asked["message"]):
        print(number, ending, flush=True)


def answers(urls: list[str], message: list[str] | None) -> Iterator[tuple[int, str]]:
    """How `message`, a title and a body, went to each of the `urls`; None: whether it could."""
    asset = AppriseAsset(app_id="stylewatch", app_desc="stylewatch")
    known: dict[int, Apprise] = {}
    for number, url in enumerate(urls):
        one = Apprise(asset=asset)
        added = False
        with suppress(Exception):  # plugins are many, and what one raises may quote the URL
            added = bool(one.add(url))
        if added and message is not None:
            known[number] = one
        else:
            yield number, "known" if added else "unknown"
    if message is not None:
        yield from _told(known, *message)


def _told(known: dict[int, Apprise], title: str, body: str) -> Iterator[tuple[int, str]]:
    """All at once, so that a slow one keeps no other from being told."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        tries: dict[Any, int] = {
            pool.submit(one.notify, body=body, title=title, body_format=NotifyFormat.TEXT): number
            for number, one in known.items()
        }
        for tried in as_completed(tries):
            sent = tried.exception() is None and bool(tried.result())
            yield tries[tried], "sent" if sent else "failed"


if __name__ == "__main__":
    main()
