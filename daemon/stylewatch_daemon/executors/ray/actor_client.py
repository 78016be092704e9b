"""A place in the cluster: an actor, what it has to paint, and how long it may be silent."""

import asyncio
import pickle
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Protocol, get_args

from stylewatch_daemon.errors import UnavailableError
from stylewatch_daemon.executors.ray.actor import Hello, Program
from stylewatch_daemon.executors.ray.input_cache import Parcel
from stylewatch_daemon.executors.ray.job_inputs import Luggage
from stylewatch_daemon.executors.ray.messages import PIECE, Stream, heard
from stylewatch_daemon.worker.contract import End, Event, Failed, Lost, Order, Refused, Wanted

NOT_THERE = 69

MOST = 16 << 20
"""Bytes of an order without its files, which it takes as many names for; the usual has two kB."""

_TOO_LARGE = (
    "what this job says of itself has {:.0f} MB, and {:.0f} MB can be sent to a machine of the "
    "cluster: say less in its settings"
)

Tell = Callable[[str, Event], object]
"""Hears of every event, with its ticket."""


class Remote(Protocol):
    """A Painter, wherever it is."""

    def call(
        self, name: str, *args: Any, within: float | None = None, **more: Any
    ) -> Coroutine[Any, Any, Any]:
        """What its method says; raises UnavailableError."""
        ...

    def end(self) -> None:
        """End it at once."""
        ...


class Doors:
    """Lets nobody send the same file to the same machine while another does."""

    def __init__(self) -> None:
        self._locks: defaultdict[tuple[str, str], asyncio.Lock] = defaultdict(asyncio.Lock)

    def at(self, machine: str, parcel: Parcel) -> asyncio.Lock:
        """To be held while the file is sent."""
        return self._locks[machine, parcel.key]


class Post:
    """Paints in `actor` what comes together; `tell` hears the events, of each one End last.

    An actor that says nothing for `silent_s` seconds is given up; it would say that it lives.
    """

    def __init__(self, actor: Remote, tell: Tell, doors: Doors, silent_s: float) -> None:
        self._actor, self._tell, self._doors, self._silent_s = actor, tell, doors, silent_s
        self._hello: Hello | None = None
        self._wishes: dict[str, Wanted] = {}
        """What is wanted of those that the actor does not know yet."""
        self._begun = False
        self._sending = asyncio.Lock()
        self.going: set[str] = set()

    async def come(self) -> None:
        """Wait until the actor is there, however long the cluster is busy.

        Raises UnavailableError: it cannot come, or another program runs there.
        """
        self._hello = hello = await self._actor.call("hello")
        if hello.program != (ours := Program.ours()):
            raise UnavailableError(
                f"the machine {hello.machine} of the cluster has stylewatch "
                f"{hello.program.stylewatch} with Python {hello.program.python}, and this one "
                f"{ours.stylewatch} with {ours.python}: install the same on all"
            )

    async def paint(self, orders: Mapping[str, Order]) -> None:
        """Have attempts made, by ticket; raises UnavailableError once the actor is lost.

        Each then has its End, too. One that is too large to be sent is refused.
        """
        self.going = set(orders)
        for ticket, order in orders.items():
            if (size := len(pickle.dumps(order))) > MOST:
                self.going.remove(ticket)
                self._tell(ticket, Refused(_TOO_LARGE.format(size / 1e6, MOST / 1e6)))
        if not self.going:
            return
        try:
            fit = [ticket for ticket in orders if ticket in self.going]
            sent = {ticket: await self._send(orders[ticket]) for ticket in fit}
            for piece, is_last in _in_pieces(pickle.dumps(sent)):
                await self._call("begin", piece, is_last)
        except UnavailableError as error:
            self._end_all(Failed(str(error), NOT_THERE))
            raise
        self._begun = True
        wishes, self._wishes = self._wishes, {}
        try:
            for ticket, wanted in wishes.items():
                await self.ask(ticket, wanted)
            await self._listen()
        except (UnavailableError, ValueError) as error:
            self._end_all(Lost(str(error)))
            raise UnavailableError(str(error)) from error
        finally:
            self._begun = False

    async def ask(self, ticket: str, wanted: Wanted) -> None:
        """Tell the worker what is wanted of an attempt; what was said last holds."""
        if not self._begun:
            self._wishes[ticket] = wanted
            return
        async with self._sending:  # so that the last is not the first to come
            await self._try("ask", ticket, wanted)

    async def drop(self, ticket: str) -> None:
        """End an attempt now."""
        if self._begun:
            await self._try("drop", ticket)
        else:
            self._wishes[ticket] = Wanted.CANCEL

    def leave(self, why: str) -> None:
        """End the actor, and whatever it paints."""
        self._actor.end()
        self._end_all(Lost(why))

    async def _listen(self) -> None:
        stream = Stream()
        while self.going:
            for message in stream.feed(await self._call("heard")):
                ticket, event = heard(message)
                if ticket not in self.going or not isinstance(event, get_args(Event)):
                    raise ValueError(f"the machine of the cluster sent {message[:80]!r}")
                if isinstance(event, get_args(End)):
                    self.going.remove(ticket)
                self._tell(ticket, event)

    async def _send(self, order: Order) -> Order:
        """The order as it is there, once its files are."""
        luggage = await asyncio.to_thread(Luggage.of, order)
        assert self._hello is not None
        for path, parcel in luggage.parcels.items():
            async with self._doors.at(self._hello.machine, parcel):
                if await self._call("lacks", [parcel]):
                    await self._carry(path, parcel)
        return luggage.unpacked(self._hello.root)

    async def _carry(self, path: Path, parcel: Parcel) -> None:
        """Send a file in pieces; raises UnavailableError where it cannot be read, or kept there."""
        try:
            with path.open("rb") as file:
                for piece, is_last in _in_pieces(file):
                    await self._call("take", parcel, piece, is_last)
        except OSError as error:
            raise UnavailableError(f"{path} cannot be read: {error.strerror}") from error

    async def _call(self, name: str, *args: Any) -> Any:
        return await self._actor.call(name, *args, within=self._silent_s)

    async def _try(self, name: str, *args: Any) -> None:
        try:
            await self._call(name, *args)
        except UnavailableError:
            return  # it is gone, which is heard by who listens

    def _end_all(self, end: Failed | Lost) -> None:
        going, self.going = self.going, set()
        for ticket in going:
            self._tell(ticket, end)


def _in_pieces(content: bytes | BinaryIO) -> Iterator[tuple[bytes, bool]]:
    """So that Ray sends each along with a call; whether it is the last. Nothing is one piece."""
    file = BytesIO(content) if isinstance(content, bytes) else content
    piece, is_last = file.read(PIECE), False
    while not is_last:
        following = file.read(PIECE)
        is_last = not following
        yield piece, is_last
        piece = following
