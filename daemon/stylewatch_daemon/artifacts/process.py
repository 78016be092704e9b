"""Draws files in a child process, which gives back the memory that this takes."""

import time
from collections.abc import Generator
from dataclasses import dataclass

from stylewatch_daemon.artifacts.contract import Asked, Drawn
from stylewatch_daemon.processes.child import Child

SERVE = "stylewatch_daemon.artifacts.child:serve"

TIMEOUT = 300.0
"""Seconds that all files of one request may take; they take a few."""

MAX_FILE = 256 << 20
"""Bytes of a file that is accepted."""


@dataclass(frozen=True)
class Header:
    """From the child: a file that was drawn, whose content comes next, or the `problem`."""

    name: str
    problem: str = ""


def drawn(
    asked: Asked, serve: str = SERVE, timeout: float = TIMEOUT
) -> Generator[Drawn, None, None]:
    """Yield each file of the request, in its order; with a problem if it could not be drawn.

    The child calls `serve` (`module:function`) with its end of a connection and the request.
    Raises nothing; closing the generator ends the child.
    """
    left = list(asked.wanted)
    try:
        child = Child(serve, asked, name="artifacts", isolated=True)
    except OSError as error:
        yield from (Drawn(name, problem=f"no process could be had: {error}") for name in left)
        return
    deadline = time.monotonic() + timeout
    try:
        while left:
            try:
                file = _receive(child, deadline)
                left.remove(file.name)
            except TimeoutError:
                why = f"it took longer than {timeout:.0f} s"
                break
            except (EOFError, OSError):
                why = f"the process that draws it ended ({child.exit_reason() or 'unknown'})"
                break
            except ValueError:
                why = "the process that draws it sent an invalid message"
                break
            yield file
        yield from (Drawn(name, problem=why) for name in left)
    finally:
        child.kill()


def _receive(child: Child, deadline: float) -> Drawn:
    """Return the next file; raises as Child.receive does."""
    header = child.receive(Header, timeout=max(0.0, deadline - time.monotonic()))
    if header.problem:
        return Drawn(header.name, problem=header.problem)
    if not child.line.poll(max(0.0, deadline - time.monotonic())):
        raise TimeoutError
    return Drawn(header.name, child.line.recv_bytes(MAX_FILE))
