"""Supervision of the page's process by a thread, which replaces the process if it fails.

The daemon listens and the process accepts connections, so that waiting visitors are not lost if
the process dies. The process sends signs of life; if it hangs or is stopped, it is replaced.
"""

import logging
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import NamedTuple

from stylewatch_daemon.base import shortages
from stylewatch_daemon.base.child import Child
from stylewatch_daemon.base.wakeup import Backoff
from stylewatch_daemon.settings.config import WebPage
from stylewatch_daemon.settings.sections import Address, parse_address

SERVE = "stylewatch_daemon.web.serve:serve"

NAME = "web"
"""Name of the process and of the thread."""

RETRY = Backoff(first=1.0, most=60.0)
"""Delays before the page is started again."""

SILENT_S = 30.0
"""Time in seconds without a sign of life after which the process is replaced."""

STABLE_S = 60.0
"""Minimum runtime in seconds of a process whose failure counts as the first one again."""

GRACE_S = 6.0
"""Timeout in seconds for running requests, such as uploads, to end when the process stops."""

QUEUE = 128
"""Maximum number of connections that wait to be accepted."""

_MODE = 0o660
"""Mode of a UNIX socket, which lets its owner and its group connect."""


# Listening sockets


class Listening(NamedTuple):
    """A socket that listens, for the next image of this process."""

    fd: int
    address: str
    """An `Address` as text."""


@contextmanager
def listening_socket(address: Address, inherited: int | None = None) -> Iterator[socket.socket]:
    """Open a socket that listens at `address`, or use the descriptor `inherited`; raises OSError.

    At the end of the block the socket is closed, and the file of a UNIX socket removed, unless the
    socket was detached.
    """
    listening = _opened(address) if inherited is None else socket.socket(fileno=inherited)
    try:
        yield listening
    finally:
        is_kept = listening.fileno() < 0
        listening.close()
        if address.socket is not None and not is_kept:
            with suppress(OSError):
                _remove_abandoned(address.socket)


def _opened(address: Address) -> socket.socket:
    """Open a socket at `address`; replace a UNIX socket that an ended process has left there."""
    if address.socket is None:
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        # `::` stands for every address of this machine, so it includes the IPv4 addresses.
        is_dual = address.host == "::" and socket.has_dualstack_ipv6()
        place = (address.host, address.port)
        return socket.create_server(place, family=family, backlog=QUEUE, dualstack_ipv6=is_dual)
    _remove_abandoned(address.socket)
    with ExitStack() as on_failure:
        listening = on_failure.enter_context(socket.socket(socket.AF_UNIX))
        listening.bind(str(address.socket))
        address.socket.chmod(_MODE)
        listening.listen(QUEUE)
        on_failure.pop_all()
    return listening


def _remove_abandoned(path: Path) -> None:
    """Remove the file of a UNIX socket at which no process listens."""
    if path.is_socket() and _is_abandoned(path):
        path.unlink(missing_ok=True)


def url_of(listening: socket.socket, path: str = "") -> str:
    """Return the address of the page, for a browser; `path` is the setting `web.path`.

    The address of a UNIX socket begins with `unix:`, and has no `path`.
    """
    if listening.family == socket.AF_UNIX:
        return f"unix:{listening.getsockname()}"
    host, port, *_ = listening.getsockname()
    return f"http://{f'[{host}]' if ':' in host else host}:{port}{path}/"


def _is_abandoned(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except ConnectionRefusedError:
            return True
    return False


# The page's process


class Supervisor:
    """Supervisor of the process that serves `page` (None: no page), from `start` until `close`.

    The daemon calls `start` once the inboxes are watched. The process calls `serve`
    (`module:function`). If an earlier image of this process left an `inherited` socket that listens
    at the right address, it is used, so that no visitor is turned away during a restart.
    """

    def __init__(
        self,
        page: WebPage | None,
        serve: str = SERVE,
        retry: Backoff = RETRY,
        inherited: Listening | None = None,
    ) -> None:
        self._page = page
        self._serve = serve
        self._retry = retry
        self._inherited = inherited
        self._keeps = False
        self._kept: Listening | None = None
        self._left, self._leave = Pipe(duplex=False)
        self._thread: threading.Thread | None = None
        self._log = logging.getLogger(__name__)
        self._warned = ""

    def start(self) -> None:
        """Start the thread, if there is a page; close an inherited socket of another address.

        If no thread can be started, log that there is no page.
        """
        old = self._inherited
        address = None if self._page is None else str(self._page.address)
        if old is not None and old.address != address:
            self._inherited = None
            with listening_socket(parse_address(old.address), old.fd):
                pass  # it is closed, as nobody is to listen there any more
        if self._page is not None:
            thread = threading.Thread(target=self._run, args=[self._page], name=NAME, daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                why = shortages.no_process(error)
                self._warn(f"the page cannot be served ({why}): painting goes on without it")
            else:
                self._thread = thread

    def leave(self, *, keeps: bool = False) -> None:
        """Begin to stop the page's process; with `keeps`, keep the socket for `hand_over`."""
        self._keeps = keeps
        self._leave.close()

    def close(self) -> None:
        """Stop the page's process and the thread."""
        self._leave.close()
        if self._thread is not None:
            self._thread.join()

    def hand_over(self) -> Listening | None:
        """Stop the page's process and the thread; return the socket, which keeps listening.

        Returns None if there is none.
        """
        self.leave(keeps=True)
        self.close()
        return self._kept

    def _run(self, page: WebPage) -> None:
        """Serve the page until `leave` or `close` is called; try again after each OSError."""
        failures = 0
        while not self._is_leaving([], 0):
            began = time.monotonic()
            try:
                inherited = self._inherited
                self._inherited = None
                fd = None if inherited is None else inherited.fd
                with listening_socket(page.address, fd) as listening:
                    self._log_address(page, listening)
                    self._keep_serving(page, listening)
                    if self._keeps:
                        self._kept = Listening(listening.detach(), str(page.address))
            except OSError as error:
                failures = 1 if time.monotonic() - began >= STABLE_S else failures + 1
                why = shortages.shortage(error) or error.strerror or error
                self._warn(f"the page cannot be served at {page.address} ({why}): "
                           "painting goes on, and it is tried again")  # fmt: skip
                self._is_leaving([], self._retry.seconds(failures))

    def _keep_serving(self, page: WebPage, listening: socket.socket) -> None:
        """Run the page's process, and a new one after each failure, until `leave` is called.

        Raises ShortageError if no process can be started.
        """
        failures = 0
        while True:
            began = time.monotonic()
            fd = listening.fileno()
            child = Child(self._serve, fd, page, name=NAME, pass_fds=[fd])
            try:
                why = self._watch(child)
                if not why:
                    child.stop(GRACE_S + 1)
                    return
            finally:
                child.kill()
            failures = 1 if time.monotonic() - began >= STABLE_S else failures + 1
            self._log.warning("the page's process ended (%s): it is started again", why)
            if self._is_leaving([], self._retry.seconds(failures)):
                return

    def _watch(self, child: Child) -> str:
        """Wait until the process fails; return why, or an empty string once `leave` is called."""
        while not self._is_leaving([child.line], SILENT_S):
            if not child.line.poll():
                return f"no sign of life for {SILENT_S:g} s"
            try:
                child.receive_bytes()
            except (EOFError, OSError, ValueError):
                return child.exit_reason() or "it closed its files"
        return ""

    def _is_leaving(self, others: Sequence[Connection], seconds: float | None) -> bool:
        """Wait for `leave`, `close` or `others`; return whether `leave` or `close` was called.

        Wait at most `seconds` (None: without limit).
        """
        return self._left in wait([self._left, *others], seconds)

    def _log_address(self, page: WebPage, listening: socket.socket) -> None:
        where = url_of(listening, page.settings.web.path)
        who = "this machine alone" if page.address.is_near else "other machines too"
        token = "" if page.token is None else ", with the token"
        self._warn("")
        self._log.info("the page is at %s, for %s%s", where, who, token)

    def _warn(self, text: str) -> None:
        """Log a warning, unless it repeats the last one; an empty `text` forgets the last one."""
        if text and text != self._warned:
            self._log.warning("%s", text)
        self._warned = text
