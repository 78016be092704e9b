"""Clients that try to keep the page from answering others, each kind bounded in number and time.

They speak HTTP by hand over loopback sockets, since no library sends what they send. Each kind is
a function that opens so many connections and keeps at it for so many seconds, in a process of its
own, so that what the attack itself costs does not count as a delay of the page.
"""

import asyncio
import resource
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass

RANGES = b",".join(b"%d-%d" % (start, start + 50) for start in range(0, 1_200, 13))
"""Overlapping ranges, as many as fit into one header with a few others."""

HEADS: Mapping[str, bytes] = {
    "page": b"GET / HTTP/1.1\r\n",
    "style": b"GET /static/page.css HTTP/1.1\r\n",
    "events": b"GET /events HTTP/1.1\r\n",
    "health": b"GET /healthz HTTP/1.1\r\n",
    "form": b"POST /jobs/x/retry HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\n",
    "upload": b"POST /upload HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=line\r\n",
}
PART = b'--line\r\nContent-Disposition: form-data; name="content"; filename="a.jpg"\r\n\r\n'


@dataclass(frozen=True)
class Target:
    """The page at `port` of this machine; `until` is when to stop, by the loop's clock."""

    port: int
    until: float

    @property
    def left(self) -> float:
        """Seconds until we stop."""
        return self.until - asyncio.get_running_loop().time()

    def head(self, kind: str, *lines: bytes) -> bytes:
        """The head of a request, with these further lines, without the empty line at its end."""
        ours = b"Host: 127.0.0.1:%d\r\nOrigin: http://127.0.0.1:%d\r\n" % (self.port, self.port)
        return HEADS[kind] + ours + b"".join(line + b"\r\n" for line in lines)


class Line:
    """An open connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def send(self, content: bytes) -> None:
        """Send all of it."""
        self._writer.write(content)
        await self._writer.drain()

    async def drip(self, seconds: float) -> None:
        """Send a byte a second, for so long."""
        for _ in range(max(1, round(seconds))):
            await self.send(b"x")
            await asyncio.sleep(min(1.0, seconds))

    async def read(self, seconds: float) -> int:
        """Read until the page ends the connection, for so long at most; the bytes that came."""
        count = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while chunk := await self._reader.read(1 << 16):
                    count += len(chunk)
        return count


WITHIN = 2.0
"""Seconds in which all connections of an attack are opened first."""

Client = Callable[[Target, Line], Awaitable[object]]


async def slow_headers(target: Target, line: Line) -> None:
    """Begin a request, and send its headers a byte a second."""
    await line.send(target.head("page") + b"X: ")
    await line.drip(target.left)


async def slow_bodies(target: Target, line: Line) -> None:
    """Send a form of a few bytes a byte a second."""
    await line.send(target.head("form", b"Content-Length: 9999") + b"\r\n")
    await line.drip(target.left)


async def idle(target: Target, line: Line) -> None:
    """Connect, and say nothing."""
    await line.read(target.left)


async def streams(target: Target, line: Line) -> None:
    """Look on."""
    await line.send(target.head("events") + b"\r\n")
    await line.read(target.left)


async def deaf_streams(target: Target, line: Line) -> None:
    """Look on, and take nothing of what is sent."""
    await line.send(target.head("events") + b"\r\n")
    await asyncio.sleep(target.left)


async def half_uploads(target: Target, line: Line) -> None:
    """Begin to send a picture of 50 MB, and stop after a part of it."""
    await line.send(target.head("upload", b"Content-Length: 50000000") + b"\r\n" + PART)
    await line.send(bytes(300_000))
    await line.read(target.left)


async def empty_parts(target: Target, line: Line) -> None:
    """Send a form with 400,000 empty parts."""
    body = b'--line\r\nContent-Disposition: form-data; name="x"\r\n\r\n\r\n' * 400_000
    await line.send(target.head("upload", b"Content-Length: %d" % len(body)) + b"\r\n" + body)
    await line.read(target.left)


async def ranges(target: Target, line: Line) -> None:
    """Ask for overlapping, huge and thousands of ranges, one request after the other."""
    asked = (RANGES, b"0-" + b"9" * 4_000, b"-" + b"9" * 4_000, b"0-," * 2_000, b"5-1,0-0,-1")
    lines = [target.head("style", b"Range: bytes=" + one) + b"\r\n" for one in asked]
    while target.left > 0:
        for one in lines:
            await line.send(one)
        await line.read(0.2)


async def pipelined(target: Target, line: Line) -> None:
    """Ask a thousand times before reading anything."""
    while target.left > 0:
        reading = asyncio.create_task(line.read(target.left))
        await line.send((target.head("style") + b"\r\n") * 1_000)
        await reading


async def pages(target: Target, line: Line) -> None:
    """Load the first page over and over."""
    while target.left > 0:
        await line.send(target.head("page") + b"\r\n")
        await line.read(0.2)


ATTACKS: Mapping[str, tuple[Client, int]] = {
    "slow headers": (slow_headers, 500),
    "slow bodies": (slow_bodies, 1_000),
    "idle connections": (idle, 2_000),
    "event streams": (streams, 100),
    "event streams that are not read": (deaf_streams, 100),
    "half-finished uploads": (half_uploads, 64),
    "uploads of 400,000 empty parts": (empty_parts, 8),
    "range requests": (ranges, 16),
    "pipelined requests": (pipelined, 8),
    "page loads": (pages, 4),
}
"""What each kind of client does, and how many there are of it."""


async def _keep_at_it(client: Client, target: Target, after: float) -> None:
    """Be such a client, again and again whenever the page ends the connection."""
    await asyncio.sleep(after)
    while target.left > 0:
        with suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
            try:
                await client(target, Line(reader, writer))
            finally:
                writer.close()
        await asyncio.sleep(0.1)


async def _all(names: Collection[str], port: int, seconds: float, share: float) -> None:
    loop = asyncio.get_running_loop()
    target = Target(port, loop.time() + seconds)
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds + 5), asyncio.TaskGroup() as group:
            for client, most in map(ATTACKS.__getitem__, names):
                count = max(1, round(most * share))
                for number in range(count):
                    group.create_task(_keep_at_it(client, target, WITHIN * number / count))


def attack(names: Collection[str], port: int, seconds: float, share: float = 1.0) -> None:
    """Do these at once, each with this share of its connections; for a process of its own."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asyncio.run(_all(names, port, seconds, share))
