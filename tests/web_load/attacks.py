"""Clients that try to keep the page from answering others, each kind bounded in number and time.

They speak HTTP by hand over loopback sockets, since no library sends such requests. The attacks run
in a process of their own, so that their own cost does not count as a delay of the page.
"""

import asyncio
import resource
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

TOKEN = "a-token-of-the-studio-0123456789"
"""The access token of the page under attack; most clients have it."""

STYLE = "GET /static/page.css"
EVENTS = "GET /events"
UPLOAD = "POST /jobs HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=line"
LOGIN = "POST /login HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded"
PAIR = "POST /pair HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded"
FORM = "POST /jobs/x/retry HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded"
PART = b'--line\r\nContent-Disposition: form-data; name="content"; filename="a.jpg"\r\n\r\n'
EMPTY_PARTS = b'--line\r\nContent-Disposition: form-data; name="x"\r\n\r\n\r\n' * 400_000

RANGES = (",".join(f"{start}-{start + 50}" for start in range(0, 1_200, 13)), "0-," * 2_000)
"""Values of the header Range: ranges that overlap, and thousands of ranges."""


def head(request: str, *lines: str, token: str = TOKEN) -> bytes:
    """The head of a request with these further lines; PORT is replaced."""
    if "HTTP/" not in request:
        request += " HTTP/1.1"
    own = ["Host: 127.0.0.1:PORT", "Origin: http://127.0.0.1:PORT"]
    own += [f"Authorization: Bearer {token}"] if token else []
    return "\r\n".join([request, *own, *lines, "", ""]).encode()


@dataclass(frozen=True)
class Attack:
    """A kind of client: its `count`, what each sends first, and what it does until the end."""

    count: int
    content: bytes
    then: Literal["read", "send a byte a second", "sleep", "repeat"] = "read"


ATTACKS: Mapping[str, Attack] = {
    "slow headers": Attack(500, head("GET /")[:-2] + b"X: ", "send a byte a second"),
    "slow bodies": Attack(
        1_000, head(FORM, "Content-Length: 9999", token=""), "send a byte a second"
    ),
    "idle connections": Attack(2_000, b""),
    "event streams that are not read": Attack(100, head(EVENTS), "sleep"),
    "half-finished uploads": Attack(
        64, head(UPLOAD, "Content-Length: 50000000") + PART + bytes(300_000)
    ),
    "uploads of 400,000 empty parts": Attack(
        8, head(UPLOAD, f"Content-Length: {len(EMPTY_PARTS)}") + EMPTY_PARTS
    ),
    "range requests": Attack(
        16, b"".join(head(STYLE, f"Range: bytes={value}") for value in RANGES), "repeat"
    ),
    "unfinished logins": Attack(
        200, head(LOGIN, "Content-Length: 99", token=""), "send a byte a second"
    ),
    "guessed tokens": Attack(16, head("GET /", token="guessed"), "repeat"),
    "guessed codes": Attack(
        16, head(PAIR, "Content-Length: 13", token="") + b"code=00000000", "repeat"
    ),
}

WITHIN = 2.0
"""Seconds in which all connections of an attack are opened first."""


async def _read(reader: asyncio.StreamReader, seconds: float) -> None:
    """Read until the page closes the connection, for so many seconds at most."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while await reader.read(1 << 16):
                pass


async def _run(attack: Attack, port: int, end: float, delay: float) -> None:
    """Run a client until `end`, again whenever the page closes the connection."""
    time = asyncio.get_running_loop().time
    content = attack.content.replace(b"PORT", b"%d" % port)
    await asyncio.sleep(delay)
    while time() < end:
        with suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                while time() < end and not reader.at_eof():
                    writer.write(content)
                    if attack.then != "repeat":
                        break
                    await _read(reader, 0.2)
                while attack.then == "send a byte a second" and time() < end:
                    await writer.drain()
                    await asyncio.sleep(1.0)
                    writer.write(b"x")
                if attack.then == "sleep":
                    await asyncio.sleep(end - time())
                await _read(reader, end - time())
            finally:
                writer.close()
        await asyncio.sleep(0.1)


async def _all(names: Collection[str], port: int, seconds: float, share: float) -> None:
    end = asyncio.get_running_loop().time() + seconds
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds + 5), asyncio.TaskGroup() as group:
            for attack in map(ATTACKS.__getitem__, names):
                count = max(1, round(attack.count * share))
                for number in range(count):
                    group.create_task(_run(attack, port, end, WITHIN * number / count))


def attack(names: Collection[str], port: int, seconds: float, share: float = 1.0) -> None:
    """Run these attacks at once, each with this share of its connections; for a process."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asyncio.run(_all(names, port, seconds, share))
