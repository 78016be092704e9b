"""Messages of a cluster: between the daemon and the driver, and the actors' streams of events.

A stream can be cut into pieces anywhere: so none is larger than what Ray sends along with a call,
and nothing of ours is ever in its object store.
"""

import platform
from dataclasses import dataclass
from importlib.metadata import version
from typing import get_args

from stylewatch_daemon.base.child import MAX_MESSAGE, decode, encode
from stylewatch_daemon.worker.messages import Event

PIECE = 64 << 10
"""Bytes that are sent at once; Ray stores what is over 100 kB."""


@dataclass(frozen=True)
class ActorOptions:
    """The code that actors run, as `module:function`, and their time limits in seconds.

    An actor without work is ended after `idle_s`; one that is silent for `silent_s` is given up.
    """

    work: str
    idle_s: float = 60.0
    silent_s: float = 60.0


@dataclass(frozen=True)
class Capacity:
    """From the driver: the cluster answers, and has places for so many jobs at once."""

    places: int


@dataclass(frozen=True)
class ClusterLost:
    """From the driver, as its last message: the cluster cannot be used, and why."""

    reason: str


Message = Event | Capacity | ClusterLost


def versions() -> tuple[str, str]:
    """Return the versions of stylewatch and Python: with others, messages mean something else."""
    return version("stylewatch"), ".".join(platform.python_version_tuple()[:2])


def pack(message: Message, ticket: str = "") -> bytes:
    """Return a message as a line without its end, after the ticket of its attempt, if any."""
    return ticket.encode() + b"\t" + encode(message)


def unpack(line: bytes) -> tuple[str, Message]:
    """Return the ticket and the message; raises ValueError where `line` is neither."""
    ticket, _, packed = line.partition(b"\t")
    message: Message = decode(packed, *get_args(Event), Capacity, ClusterLost)
    return ticket.decode(), message


class Stream:
    """Puts the pieces of a stream of lines together."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, piece: bytes) -> list[bytes]:
        """Return the lines that this piece completes; raises ValueError for one too long."""
        self._buffer += piece
        if len(self._buffer) > MAX_MESSAGE + PIECE:
            raise ValueError(f"a message of more than {MAX_MESSAGE} bytes")
        if b"\n" not in piece:
            return []
        *lines, self._buffer = self._buffer.split(b"\n")
        return [bytes(line) for line in lines]
