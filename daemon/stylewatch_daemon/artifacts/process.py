"""Has things drawn by a child process: what that takes of memory is gone with it."""

import json
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator
from typing import IO

from stylewatch_daemon.artifacts.contract import Asked, Drawn
from stylewatch_daemon.processes import messages
from stylewatch_daemon.processes.child import fate

CHILD = "stylewatch_daemon.artifacts.child"

WITHIN = 300.0
"""Seconds that all that is asked for at once may take; it takes a few."""

LARGEST = 256 << 20
"""Bytes of a file that is believed."""


def drawn(asked: Asked, child: str = CHILD, within: float = WITHIN) -> Generator[Drawn, None, None]:
    """Each thing that was asked for, in that order; a problem where there is no such file.

    The module `child` draws, `within` so many seconds. Raises nothing: what can go wrong is told.
    """
    left = list(asked.wanted)
    try:
        process = _started(child)
    except OSError as error:
        yield from (Drawn(name, problem=f"no process could be had: {error}") for name in left)
        return
    too_long = threading.Timer(within, process.kill)
    too_long.start()
    try:
        for one in _answers(process, asked):
            left.remove(one.name)
            yield one
            if not left:
                return
        late = f"it took longer than {within:.0f} s"
        why = late if too_long.finished.is_set() else _fate(process)
        yield from (Drawn(name, problem=why) for name in left)
    finally:
        too_long.cancel()
        process.kill()
        process.communicate()


def _started(child: str) -> subprocess.Popen[bytes]:
    """-P: modules are looked for in the installation; an interrupt by the terminal is for us."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", child], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip


def _answers(process: subprocess.Popen[bytes], asked: Asked) -> Iterator[Drawn]:
    """What it answers, until it ends or says what makes no sense."""
    if process.stdin is None or process.stdout is None:
        return
    try:  # the pipe stays open: by its end the child hears that we are gone
        process.stdin.write(messages.pack(asked) + b"\n")
        process.stdin.flush()
        while line := process.stdout.readline():
            yield _answer(line, process.stdout, asked)
    except (OSError, ValueError, KeyError, TypeError):
        return


def _answer(line: bytes, rest: IO[bytes], asked: Asked) -> Drawn:
    """Raises ValueError, KeyError or TypeError where it is none."""
    said = json.loads(line)
    name, count = said["name"], min(int(said["bytes"]), LARGEST)
    content = rest.read(count)
    if name not in asked.wanted or len(content) < count:
        raise ValueError("half an answer")
    return Drawn(name, content, str(said["problem"]))


def _fate(process: subprocess.Popen[bytes]) -> str:
    """Why nothing comes any more."""
    process.kill()  # which does nothing to one that has ended
    return f"the process that draws it ended ({fate(process.wait())})"
