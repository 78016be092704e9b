"""Executors: where attempts run, in processes of this machine or on a cluster."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from multiprocessing import Pipe
from queue import SimpleQueue

from stylewatch_daemon.base import shortages, words
from stylewatch_daemon.executors.scheduler import Ask, Command, Drop, Submit
from stylewatch_daemon.worker.messages import AttemptEnd, AttemptEvent, AttemptRequest, Order


class Executor(ABC):
    """Abstract base of executors, which run attempts, each under a ticket: a name used once.

    Each submitted attempt gets exactly one AttemptEnd, as its last event, even if processes die. An
    executor never retries: the caller decides. The events of one attempt arrive in order, those of
    several attempts interleaved. One thread calls all public methods; only `close` blocks.

    An executor has its own thread, which is started for the first order. Only that thread uses
    child processes; calls from other threads reach it as commands. Therefore nothing needs a lock,
    and a slow disk elsewhere in the daemon neither delays a worker nor hides a hung one. The thread
    runs the underscore methods of subclasses.
    """

    def __init__(self, name: str, wake: Callable[[], object]) -> None:
        self.wake = wake
        """Function called, by any thread, when there are new events."""
        self.capacity = 1
        """Number of attempts that can run at once."""
        self._submitted: set[str] = set()
        """Tickets of the attempts whose end `events` has not returned yet."""
        self._events: SimpleQueue[AttemptEvent] = SimpleQueue()
        self._commands: SimpleQueue[Command | None] = SimpleQueue()
        """Commands for the thread; None makes it stop."""
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._started = self._leaving = False

    def submit(self, ticket: str, order: Order) -> None:
        """Queue an attempt, which begins as soon as a worker for it is free.

        Raises ShortageError if no thread can be started.
        """
        if not self._started:
            try:
                self._wakeup, self._waker = Pipe(duplex=False)
                self._thread.start()
            except (OSError, RuntimeError) as error:
                raise shortages.no_process(error) from error
            self._started = True
        self._submitted.add(ticket)
        self._do(Submit(ticket, order))

    def ask(self, ticket: str, wanted: AttemptRequest) -> None:
        """Pass a request on to an attempt, unless it has ended."""
        self._do(Ask(ticket, wanted))

    def drop(self, ticket: str) -> None:
        """End an attempt now, without saving anything.

        Its AttemptEnd is AttemptLost, unless the attempt has already ended in another way.
        """
        self._do(Drop(ticket))

    def events(self) -> Iterable[AttemptEvent]:
        """Return the events since the last call; those of one attempt are in order."""
        events: list[AttemptEvent] = []
        while not self._events.empty():  # there is no other consumer
            events.append(self._events.get())
            if isinstance(events[-1].event, AttemptEnd):
                self._submitted.discard(events[-1].ticket)
        return events

    def free(self) -> int:
        """Return how many further attempts could begin at once."""
        return max(0, self.capacity - len(self._submitted))

    def close(self) -> None:
        """End all attempts as lost, and wait until processes and the thread have ended.

        Nothing can be submitted afterwards.
        """
        if self._started:
            self._do(None)
            self._thread.join()
            self._started = False
            self._wakeup.close()
            self._waker.close()

    def _do(self, command: Command | None) -> None:
        """Pass a command to the thread; without a thread there is nothing to ask or drop."""
        if self._started:
            self._commands.put(command)
            self._waker.send_bytes(b"!")

    def _obey_next(self) -> None:
        """Wait for the next command, and carry it out; None makes the thread leave."""
        self._wakeup.recv_bytes()
        command = self._commands.get()
        if command is None:
            self._leaving = True
        else:
            self._obey(command)

    def _emit(self, event: AttemptEvent) -> None:
        self._events.put(event)
        self.wake()

    def _run(self) -> None:
        while not self._leaving:
            try:
                self._wait()
            except Exception as error:  # whatever the error is, no caller may wait forever
                self._fail(words.fault(error))
        self._leave("the daemon stopped")

    @abstractmethod
    def _obey(self, command: Command) -> None:
        """Carry out a command, or pass it on to the process that does."""

    @abstractmethod
    def _wait(self) -> None:
        """Wait for a command or another event, and handle it."""

    @abstractmethod
    def _fail(self, why: str) -> None:
        """End all attempts after an unforeseen error, which `why` describes."""

    @abstractmethod
    def _leave(self, why: str) -> None:
        """End all processes, and all attempts as lost with the reason `why`."""
