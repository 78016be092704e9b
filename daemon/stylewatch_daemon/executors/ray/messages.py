"""Messages of a cluster: between the supervisor and the driver, and the actors' streams of events.

A stream can be cut into pieces anywhere: so none is larger than what Ray sends along with a call,
and nothing of ours is ever in its object store.
"""

import struct
from dataclasses import dataclass
from typing import get_args

from stylewatch_daemon.processes.child import MAX_MESSAGE, decode, encode
from stylewatch_daemon.worker.messages import Event

PIECE = 64 << 10
"""Bytes that are sent at once; Ray stores what is over 100 kB."""

NOT_THERE = 69
"""Exit code of an attempt that failed since the cluster cannot be used."""

_LENGTH = struct.Struct("!I")


@dataclass(frozen=True)
class Manner:
    """The code that actors run, as `module:function`, and their time limits in seconds.

    An actor without work is ended after `idle_s`; one that is silent for `silent_s` is given up.
    """

    work: str
    idle_s: float = 60.0
    silent_s: float = 60.0


@dataclass(frozen=True)
class Room:
    """From the driver: the cluster answers, and has places for so many jobs at once."""

    places: int


@dataclass(frozen=True)
class Away:
    """From the driver, as its last message: the cluster cannot be used, and why."""

    reason: str


Word = Event | Room | Away


def said(word: Word, ticket: str = "") -> bytes:
    """A message, with the ticket of its attempt where it is an event."""
    return ticket.encode() + b"\n" + encode(word)


def heard(raw: bytes) -> tuple[str, Word]:
    """The ticket and the message; raises ValueError where `raw` is neither."""
    ticket, _, packed = raw.partition(b"\n")
    word: Word = decode(packed, *get_args(Event), Room, Away)
    return ticket.decode(), word


def framed(raw: bytes) -> bytes:
    """A message as a part of a stream."""
    return _LENGTH.pack(len(raw)) + raw


class Stream:
    """Puts the pieces of a stream together."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, piece: bytes) -> list[bytes]:
        """The messages that are complete with this piece; raises ValueError for one too long."""
        self._buffer += piece
        complete: list[bytes] = []
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            if length > MAX_MESSAGE:
                raise ValueError(f"a message of {length} bytes, which makes no sense")
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                break
            complete.append(bytes(self._buffer[_LENGTH.size : end]))
            del self._buffer[:end]
        return complete
