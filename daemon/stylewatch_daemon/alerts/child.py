"""The process that sends one message with apprise."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from apprise import Apprise, AppriseAsset, NotifyFormat

from stylewatch_daemon.alerts.collect import Message
from stylewatch_daemon.alerts.send import Result
from stylewatch_daemon.processes import child

MAX_THREADS = 16
"""How many URLs the message is sent to at the same time."""


def serve(pipe: Connection, urls: list[str], message: Message | None) -> None:
    """Send a Result for each of the `urls` as soon as it is known."""
    for result in results(urls, message):
        child.send(pipe, result)


def results(urls: list[str], message: Message | None) -> Iterator[Result]:
    """Send `message` to each of the `urls`, or only check them if it is None."""
    asset = AppriseAsset(app_id="stylewatch", app_desc="stylewatch")
    services: dict[int, Apprise] = {}
    for number, url in enumerate(urls):
        service = Apprise(asset=asset)
        added = False
        with suppress(Exception):  # plugins are many, and what one raises may quote the URL
            added = bool(service.add(url))
        if added and message is not None:
            services[number] = service
        else:
            yield Result(number, "known" if added else "unknown")
    if message is None:
        return
    with ThreadPoolExecutor(MAX_THREADS) as pool:  # a slow service must not delay the others
        numbers: dict[Future[Any], int] = {
            pool.submit(
                service.notify,
                body=message.body,
                title=message.title,
                body_format=NotifyFormat.TEXT,
            ): number
            for number, service in services.items()
        }
        for future in as_completed(numbers):
            is_sent = future.exception() is None and bool(future.result())
            yield Result(numbers[future], "sent" if is_sent else "failed")
