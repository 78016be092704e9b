"""Words of an attempt on their way: the ticket and the event, as plain data, and a stream of them.

A stream can be cut into pieces anywhere: so none is larger than what Ray sends along with a
message, and nothing of ours is ever in its object store.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import get_args

from stylewatch_daemon.processes.child import MAX_MESSAGE, decode, encode
from stylewatch_daemon.worker.contract import Event

PIECE = 64 << 10
"""Bytes of a stream, or of a picture, that are sent at once; Ray stores what is over 100 kB."""

_LENGTH = struct.Struct("!I")


@dataclass(frozen=True)
class Room:
    """From the driver: the cluster answers, and has places for so many jobs at once."""

    places: int


@dataclass(frozen=True)
class Away:
    """From the driver: the cluster cannot be used, and why; nothing else comes after it."""

    reason: str


Word = Event | Room | Away


def said(word: Word, ticket: str = "") -> bytes:
    """A word, of the attempt with that ticket where it is an event."""
    return ticket.encode() + b"\n" + encode(word)


def heard(raw: bytes) -> tuple[str, Word]:
    """The ticket and the word; raises ValueError where it is nonsense."""
    ticket, _, packed = raw.partition(b"\n")
    word: Word = decode(packed, *get_args(Event), Room, Away)
    return ticket.decode(), word


def framed(raw: bytes) -> bytes:
    """A message as a part of a stream."""
    return _LENGTH.pack(len(raw)) + raw


class Stream:
    """Puts the pieces of a stream together."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """The messages that are whole with this piece; raises ValueError for one too long."""
        self._held += piece
        while len(self._held) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._held)
            if length > MAX_MESSAGE:
                raise ValueError(f"a message of {length} bytes, which makes no sense")
            end = _LENGTH.size + length
            if len(self._held) < end:
                return
            message = bytes(self._held[_LENGTH.size : end])
            del self._held[:end]
            yield message
