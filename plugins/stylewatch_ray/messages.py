"""Messages from the driver of a cluster to the daemon, and the options of the cluster's actors."""

import platform
from dataclasses import dataclass
from importlib.metadata import version
from typing import get_args

from stylewatch_daemon.base.child import decode, encode
from stylewatch_daemon.worker.messages import Event


@dataclass(frozen=True)
class ActorOptions:
    """The code that actors run, as `module:function`, and their time limits in seconds.

    An actor without work is ended after `idle_s`. One that sends nothing for `silent_s` counts as
    lost.
    """

    work: str
    idle_s: float = 60.0
    silent_s: float = 60.0


@dataclass(frozen=True)
class Capacity:
    """Message from the driver: the cluster answers, and can run `places` jobs at once."""

    places: int


@dataclass(frozen=True)
class ClusterLost:
    """Last message from the driver: the cluster cannot be used, with the reason."""

    reason: str


Message = Event | Capacity | ClusterLost


def versions() -> tuple[str, str]:
    """Return the versions of stylewatch and Python, which both ends of a message must share.

    The version of Python has two parts, such as `3.12`.
    """
    return version("stylewatch"), ".".join(platform.python_version_tuple()[:2])


def pack(message: Message, ticket: str = "") -> bytes:
    """Encode `message` for the daemon, after the ticket of its attempt, if any, and a tab."""
    return ticket.encode() + b"\t" + encode(message)


def unpack(line: bytes) -> tuple[str, Message]:
    """Decode the ticket and the message in `line`; raises ValueError if they are invalid."""
    ticket, _, packed = line.partition(b"\t")
    message: Message = decode(packed, *get_args(Event), Capacity, ClusterLost)
    return ticket.decode(), message
