"""Child processes: start, exchange of messages, and stop.

Messages from the parent are pickled, because a child trusts its parent. A child decodes untrusted
files or runs third-party code, so its own messages are JSON of limited size, from which only
instances of the expected records are created.
"""

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict
from functools import cache, partial
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pkgutil import resolve_name
from typing import IO, TYPE_CHECKING, Any, TypeVar

from pydantic import TypeAdapter

from stylewatch_daemon.base import shortages
from stylewatch_painter.errors import LibraryError
from stylewatch_painter.installation import unloadable

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

STOP_TIMEOUT = 2.0
"""Default time in seconds to wait until a process has exited; `Child.stop` then kills it."""

HALF_MESSAGE_S = 60
"""Maximum pause in seconds within a message; after a longer one the message counts as incomplete.
"""

MAX_MESSAGE = 64 << 20
"""Maximum size of a message from a child in bytes, enough for a receipt of thousands of stages."""

BOOTSTRAP = "from stylewatch_daemon.base.child import main; main()"
"""Program of every child; in a list of processes the name of the child follows the program."""

NO_LIBRARY = "a library of the installation cannot be loaded: `stylewatch doctor` names it"
"""Reason for the end of a child whose code could not be imported."""

Message = TypeVar("Message", bound="DataclassInstance")


class Child:
    """A child process and the connection to it.

    The process calls `entry` (`module:function`) with its own end of the connection and with
    `args`, which must be picklable. It ignores SIGINT, SIGTERM and SIGHUP, and exits at once when
    this process ends. It inherits the descriptors `pass_fds` and, unless it is isolated, standard
    output and standard error. Lists of processes show its `name`.

    An `isolated` child gets its own session, so that `kill` also kills the processes that it has
    started; its output goes to the file `output`, or nowhere. Raises ShortageError if no process
    can be started.
    """

    def __init__(
        self,
        entry: str,
        *args: Any,
        name: str,
        pass_fds: Sequence[int] = (),
        isolated: bool = False,
        output: IO[bytes] | None = None,
    ) -> None:
        self._isolated = isolated
        try:
            with ExitStack() as on_failure:
                self.line, theirs = Pipe()
                on_failure.callback(self.line.close)
                with theirs:
                    limit_silence(self.line)
                    lifeline, self._lifeline = Pipe(duplex=False)
                    on_failure.callback(self._lifeline.close)
                    with lifeline:
                        fds = (theirs.fileno(), lifeline.fileno())
                        written_to = output or subprocess.DEVNULL if isolated else None
                        self._process = subprocess.Popen(
                            # -P: do not import modules from the current directory
                            [sys.executable, "-P", "-c", BOOTSTRAP, name, *map(str, fds)],
                            stdin=subprocess.DEVNULL, stdout=written_to, stderr=written_to,
                            pass_fds=(*fds, *pass_fds), start_new_session=isolated,
                        )  # fmt: skip
                        on_failure.callback(self.kill)
                self.line.send(([path for path in sys.path if path], entry, args))
                on_failure.pop_all()
        except OSError as error:
            raise shortages.no_process(error) from error

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def is_alive(self) -> bool:
        """Return whether the process is running."""
        return self._process.poll() is None

    def send(self, message: object) -> None:
        """Send `message`, which must be picklable; raises OSError if the process has exited."""
        self.line.send(message)

    def receive(self, *kinds: type[Message], timeout: float | None = None) -> Message:
        """Return the next message, a record of one of `kinds`.

        Raises TimeoutError after `timeout` seconds (None: never), EOFError or OSError if the
        process closed the connection, OSError if the message is longer than MAX_MESSAGE, ValueError
        if it is invalid.
        """
        if not self.line.poll(timeout):
            raise TimeoutError
        return decode(self.receive_bytes(), *kinds)

    def receive_bytes(self, most: int = MAX_MESSAGE) -> bytes:
        """Return the next message as bytes; `line` must be ready to be read.

        Raises EOFError or OSError if the process closed the connection, OSError if the message is
        longer than `most` bytes, ValueError if it is incomplete.
        """
        try:
            return self.line.recv_bytes(most)
        except BlockingIOError as error:
            raise ValueError(f"half a message, then nothing for {HALF_MESSAGE_S} s") from error

    def exit_reason(self, within: float = STOP_TIMEOUT) -> str:
        """Wait for the end of the process, and describe it.

        Returns "" if the process still runs after `within` seconds.
        """
        try:
            code = self._process.wait(within)
        except subprocess.TimeoutExpired:
            return ""
        if code == LibraryError.exit_code:
            return NO_LIBRARY
        if code == -signal.SIGKILL:
            return "signal 9, often for lack of memory"
        return f"signal {-code}" if code < 0 else f"exit code {code}"

    def stop(self, within: float = STOP_TIMEOUT) -> None:
        """Close the connection, so that an idle child exits; kill the child after `within` seconds.

        Processes that an isolated child has left are killed in any case.
        """
        self.line.close()
        self.exit_reason(within)
        self.kill()

    def kill(self) -> None:
        """Kill the process, and those that an isolated child has started; close the connection."""
        if self._isolated:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait()
        self.line.close()
        self._lifeline.close()


def limit_silence(line: Connection) -> None:
    """Make a read from `line` that waits longer than HALF_MESSAGE_S raise BlockingIOError."""
    timeval = struct.pack("ll", HALF_MESSAGE_S, 0)
    with socket.fromfd(line.fileno(), socket.AF_UNIX, socket.SOCK_STREAM) as same:
        same.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)


def received(pipe: Connection) -> Any:
    """Wait for the next object from the parent, in a child, and return it.

    Returns None if the parent has closed `pipe`.
    """
    try:
        return pipe.recv()
    except (EOFError, ConnectionError):
        return None


def send(pipe: Connection, message: "DataclassInstance", head: bytes = b"") -> None:
    """Send `head` and a record, encoded by `encode`, in a child, as one message.

    Raises SystemExit if the parent has ended, TypeError or ValueError as `encode` does.
    """
    try:
        pipe.send_bytes(head + encode(message))
    except ConnectionError:
        raise SystemExit(1) from None


def encode(message: "DataclassInstance") -> bytes:
    """Return a record as JSON in ASCII: a list of its class name and its fields.

    NumPy's numbers are converted to Python's. Raises TypeError or ValueError if JSON cannot
    represent a value.
    """
    return json.dumps([type(message).__name__, asdict(message)], default=_plain).encode("ascii")


def decode(raw: bytes, *kinds: type[Message]) -> Message:
    """Return the record that `encode` wrote to `raw`, an instance of one of `kinds`.

    Raises ValueError if `raw` is anything else.
    """
    try:  # not validate_json, which rejects file names that are not UTF-8
        name, fields = json.loads(raw)
        kind = {kind.__name__: kind for kind in kinds}[name]
        message: Message = _adapter(kind).validate_python(fields)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"an invalid message: {raw[:80]!r}") from error
    return message


_adapter = cache(TypeAdapter)


def _plain(value: Any) -> Any:
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{value!r} cannot be sent")


def main() -> None:
    """Run a child process, whose arguments are its name and the descriptors of its connections.

    Raises SystemExit if the code to run cannot be imported.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    name, *fds = sys.argv[1:]
    sys.argv[:] = [name]
    for fd in map(int, fds):
        os.set_inheritable(fd, False)  # processes started by this one must not keep them open
    line, lifeline = (Connection(int(fd)) for fd in fds)
    watch = partial(_exit_with_parent, lifeline)
    threading.Thread(target=watch, name="parent", daemon=True).start()
    start = received(line)
    if start is not None:
        sys.path[:], entry, args = start
        try:
            function = resolve_name(entry)
        except ImportError as error:
            reason = unloadable(error)
            print(reason, file=sys.stderr)
            raise SystemExit(reason.exit_code) from None
        function(line, *args)


def _exit_with_parent(lifeline: Connection) -> None:
    """Exit as soon as the parent has ended for any reason."""
    with suppress(EOFError, OSError):
        lifeline.recv_bytes()
    os._exit(1)
