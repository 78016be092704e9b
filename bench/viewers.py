"""Viewers of the page without a browser each: they read the stream of events, and count."""

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Thread

EVENTS = "/events?page=now"

PICTURE = re.compile(rb'src=\\"(/jobs/[^"\\]+/pictures/stage-[^"\\]+)\\"')
"""The address of a stage, as an event tells it."""


@dataclass
class Tally:
    """Totals over all viewers: their number and their events."""

    viewers: int = 0
    events: int = 0


@contextmanager
def watching(port: int, viewers: int, pictures: bool) -> Iterator[Tally]:
    """So many viewers of a page, while the body runs; with `pictures` they fetch each stage."""
    tally, loop = Tally(), asyncio.new_event_loop()

    async def all_of_them() -> None:
        every = (Viewer(port, tally, pictures).watch() for _ in range(viewers))
        await asyncio.gather(*every)

    task = loop.create_task(all_of_them())

    def run() -> None:
        with suppress(asyncio.CancelledError):
            loop.run_until_complete(task)

    thread = Thread(target=run)
    thread.start()
    try:
        yield tally
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join()
        loop.close()


@dataclass
class Viewer:
    """One of them."""

    port: int
    tally: Tally
    pictures: bool
    newest: bytes = b""

    async def watch(self) -> None:
        """Read the stream, to the end of the program; raises ConnectionError if it is none."""
        reader, writer = await self._ask(EVENTS)
        head = await reader.readuntil(b"\r\n\r\n")
        if b"text/event-stream" not in head:
            raise ConnectionError(f"{EVENTS} is no stream of events: {head!r}")
        self.tally.viewers += 1
        try:
            while line := await reader.readline():
                self.tally.events += line.startswith(b"data:")
                match = PICTURE.search(line)
                if self.pictures and match and match[1] != self.newest:
                    self.newest = match[1]
                    await self._fetch(self.newest.decode("ascii"))
        finally:
            writer.close()

    async def _fetch(self, path: str) -> None:
        reader, writer = await self._ask(path, "Connection: close\r\n")
        await reader.read(-1)
        writer.close()

    async def _ask(
        self, path: str, more: str = ""
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 20)
        request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n{more}\r\n"
        writer.write(request.encode("ascii"))
        return reader, writer
