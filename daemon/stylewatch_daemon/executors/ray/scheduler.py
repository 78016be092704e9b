"""What waits for a place in the cluster, and the posts that paint; all within one event loop.

An actor is asked for where there is work, and takes what waits once it is there: so nothing waits
for a machine that others keep, while another has nothing to do.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stylewatch_daemon.errors import UnavailableError
from stylewatch_daemon.executors.ray.actor_client import NOT_THERE, Doors, Post, Remote, Tell
from stylewatch_daemon.settings.resources import Demand, Machine
from stylewatch_daemon.worker.contract import End, Failed, Lost, Order, Stopped, Wanted

Hire = Callable[[str], Remote]
"""Asks for an actor, on the machine of that id where one is said."""


@dataclass(frozen=True)
class Manner:
    """What is painted with, `module:function`, and how patiently; times in seconds.

    An actor without work is let go after `idle_s`, one that is silent for `silent_s` is given up.
    Machines keep below `cache` what they are sent; empty: in the cache of their user.
    """

    work: str
    idle_s: float = 60.0
    silent_s: float = 60.0
    cache: str = ""


@dataclass(eq=False)
class _Hand:
    """A post, the machine it is bound to, and what it waits for while it rests."""

    post: Post
    machine: str
    resting: asyncio.Future[Mapping[str, Order]] | None = None
    task: asyncio.Task[None] | None = None
    here: bool = False


@dataclass(eq=False)
class Yard:
    """Has attempts made by posts that it hires; `tell` hears of the events, by ticket."""

    demand: Demand
    manner: Manner
    hire: Hire
    tell: Tell
    _machines: Sequence[Machine] = ()
    _known: bool = False
    """Whether the cluster has answered, so that we know which machines there are."""
    _waiting: list[dict[str, Order]] = field(default_factory=list)
    _wanted: dict[str, Wanted] = field(default_factory=dict)
    _hands: list[_Hand] = field(default_factory=list)
    _doors: Doors = field(default_factory=Doors)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def places(self) -> int:
        """How many attempts, or batches, can be made at once."""
        return self.demand.places(self._machines)

    def submit(self, orders: Mapping[str, Order]) -> None:
        """Have attempts made, by ticket, by one worker."""
        self._waiting.append(dict(orders))
        self._go_on()

    def look(self, machines: Sequence[Machine]) -> None:
        """Go on with the machines that there are now."""
        self._machines, self._known = machines, True
        self._go_on()

    def ask(self, ticket: str, wanted: Wanted) -> None:
        """Pass on what is wanted of an attempt."""
        for hand in self._hands:
            if ticket in hand.post.going:
                self._do(hand.post.ask(ticket, wanted))
        if any(ticket in orders for orders in self._waiting):
            self._wanted[ticket] = wanted
            if wanted in ("stop", "cancel"):
                self._forget(ticket, Stopped(0))

    def drop(self, ticket: str) -> None:
        """End an attempt now."""
        for hand in self._hands:
            if ticket in hand.post.going:
                self._do(hand.post.drop(ticket))
        self._forget(ticket, Lost("it was given up"))

    def close(self) -> None:
        """End all actors, and what they do; nobody is hired for what still waits."""
        self._known = False
        for hand in self._hands:
            hand.post.leave("the daemon left")

    def _go_on(self) -> None:
        """Give what waits to those that rest, and hire as many more as there are places for."""
        if not self._known:
            return
        for hand in self._hands:
            if self._waiting and hand.resting is not None:
                self._begin(hand, hand.resting, self._waiting.pop(0))
        if not self.places:
            self._refuse_all(self.demand.impossible(self._machines))
        while len(self._waiting) > len(list(self._coming())) and len(self._hands) < self.places:
            self._hire()

    def _begin(
        self, hand: _Hand, rest: asyncio.Future[Mapping[str, Order]], orders: dict[str, Order]
    ) -> None:
        hand.resting, hand.post.going = None, set(orders)  # from here it is the post that is asked
        for ticket in orders.keys() & self._wanted.keys():
            self._do(hand.post.ask(ticket, self._wanted.pop(ticket)))
        rest.set_result(orders)

    def _coming(self) -> Iterator[_Hand]:
        return (hand for hand in self._hands if not hand.here)

    def _hire(self) -> None:
        machine = "" if self.demand.taken else self._free_machine()
        post = Post(self.hire(machine), self.tell, self._doors, self.manner.silent_s)
        hand = _Hand(post, machine)
        self._hands.append(hand)
        hand.task = self._do(self._man(hand))

    def _free_machine(self) -> str:
        """One of ours has nobody yet, where each has one place."""
        manned = {hand.machine for hand in self._hands}
        fit = (one.id for one in self._machines if self.demand.fits(one))
        return next((one for one in fit if one not in manned), "")

    async def _man(self, hand: _Hand) -> None:
        """All that a post does, until it has no work for a while, or is lost."""
        try:
            await hand.post.come()
            hand.here = True
            while (orders := await self._next(hand)) is not None:
                await hand.post.paint(orders)
        except UnavailableError as error:
            if not hand.here and self._waiting:
                self._refuse(self._waiting.pop(0), str(error))
        finally:
            self._hands.remove(hand)
            hand.post.leave("it was given up")
            self._go_on()

    async def _next(self, hand: _Hand) -> Mapping[str, Order] | None:
        """What comes next for a post that rests; None where nothing does for a time."""
        rest: asyncio.Future[Mapping[str, Order]] = asyncio.get_running_loop().create_future()
        hand.resting = rest
        self._go_on()
        done, _ = await asyncio.wait({rest}, timeout=self.manner.idle_s)
        hand.resting = None
        return rest.result() if done else None

    def _refuse_all(self, reason: str) -> None:
        waiting, self._waiting = self._waiting, []
        for orders in waiting:
            self._refuse(orders, reason)
        for hand in list(self._coming()):
            if hand.task is not None:
                hand.task.cancel()

    def _refuse(self, orders: Mapping[str, Order], reason: str) -> None:
        for ticket in orders:
            self._wanted.pop(ticket, None)
            self.tell(ticket, Failed(reason, NOT_THERE))

    def _forget(self, ticket: str, end: End) -> None:
        """End an attempt that waits."""
        self._wanted.pop(ticket, None)
        for orders in self._waiting:
            if orders.pop(ticket, None) is not None:
                self.tell(ticket, end)
        self._waiting = [orders for orders in self._waiting if orders]

    def _do(self, what: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(what)
        self._tasks.add(task)  # else it may be collected before it is done
        task.add_done_callback(self._tasks.discard)
        return task
