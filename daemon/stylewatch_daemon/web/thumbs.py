"""Small pictures on demand, made by an intake process of the page's own, one at a time.

They lie in a folder of the page's, by digest and size; the oldest go when there are too many.
This process never decodes a picture itself.
"""

import asyncio
import os
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from stylewatch_daemon.ingest.inspection.contract import Fine, Inspector, Question
from stylewatch_daemon.ingest.inspection.process import Intake
from stylewatch_daemon.store import thumbs
from stylewatch_daemon.web.files import Memory

SHRINK = "stylewatch_daemon.ingest.inspection.inspect:shrink"

FOLDER = "previews"
"""In the state folder."""

SIDES = (thumbs.SIDE, 512, 1600)
"""Pixels of the longer side, at most: in a list, on a card, as large as a page is wide."""

MOST_BYTES = 512 << 20
"""Bytes of all of them together, at most."""

PATIENCE_S = 4.0
"""Seconds that a viewer waits for one that has to be made; then there is a blank in its place."""

MOST_ASKED = 256
"""How many may wait to be made."""

_SWEEP_EVERY = 64


class MakesInspector(Protocol):
    """What starts a Inspector, which calls `wake` from a thread of its own."""

    def __call__(self, wake: Callable[[], object]) -> Inspector:
        """The looker."""
        ...


def intake(wake: Callable[[], object]) -> Inspector:
    """The intake process that makes small pictures."""
    return Intake(wake, look=SHRINK)


class Thumbs:
    """The small pictures of the state folder `state`; of larger ones than `max_pixels` are none."""

    def __init__(
        self,
        state: Path,
        max_pixels: int,
        most_bytes: int = MOST_BYTES,
        patience_s: float = PATIENCE_S,
        looker: MakesInspector = intake,
    ) -> None:
        self.folder, self._taken_in = state / FOLDER, state / "thumbs"
        self._max_pixels, self._most_bytes, self._patience_s = max_pixels, most_bytes, patience_s
        self._make_looker = looker
        self._looker: Inspector | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._awaited: dict[str, asyncio.Future[bool]] = {}
        self._hopeless = Memory()
        self._made = 0

    def known(self, sha256: str, side: int) -> Path | None:
        """The small picture, if it is there already."""
        for folder in (self._taken_in, self.folder):
            path = thumbs.path_of(folder, sha256, side)
            if path.is_file():
                return path
        return None

    async def get(self, path: Path, sha256: str, side: int) -> Path | None:
        """The small picture of the file `path`; None where it takes too long, or there is none.

        What is made bears the digest of what was read: if that is not `sha256`, it is not given.
        """
        found = self.known(sha256, side)
        if found is None and self._hopes(sha256):
            with suppress(TimeoutError):
                asked = asyncio.shield(self._ask(path, sha256, side))
                await asyncio.wait_for(asked, self._patience_s)
            found = self.known(sha256, side)
        return found

    def close(self) -> None:
        """Let the process go."""
        if self._looker is not None:
            self._looker.close()
            self._looker = None

    def _hopes(self, sha256: str) -> bool:
        """Whether it is worth asking: the line is short, and nobody failed at that picture."""
        failed = self._hopeless.get(sha256, list)
        return not failed and len(self._awaited) < MOST_ASKED

    def _ask(self, path: Path, sha256: str, side: int) -> "asyncio.Future[bool]":
        key = f"{sha256}-{side}"
        if key not in self._awaited:
            self._loop = asyncio.get_running_loop()
            self._awaited[key] = self._loop.create_future()
            if self._looker is None:
                self.folder.mkdir(parents=True, exist_ok=True)
                self._looker = self._make_looker(wake=self._wake)
                weakref.finalize(self, self._looker.close)  # else its process outlives this one
            question = Question(key, (path,), self._max_pixels, self.folder, side=side)
            self._looker.ask(question)
        return self._awaited[key]

    def _wake(self) -> None:
        """There is a verdict; said in a thread of the looker's."""
        if self._loop is not None:
            with suppress(RuntimeError):  # we are leaving
                self._loop.call_soon_threadsafe(self._hear)

    def _hear(self) -> None:
        for verdict in self._looker.verdicts() if self._looker else ():
            if not isinstance(verdict, Fine):
                self._hopeless.get(verdict.job.partition("-")[0], list).append(verdict)
            future = self._awaited.pop(verdict.job, None)
            if future is not None and not future.done():
                future.set_result(isinstance(verdict, Fine))
            self._made += 1
            if self._made % _SWEEP_EVERY == 0:
                sweep(self.folder, self._most_bytes)


def sweep(folder: Path, most_bytes: int) -> None:
    """Remove the oldest files of `folder` until what is left has no more than `most_bytes`."""
    with suppress(OSError), os.scandir(folder) as found:
        seen = [(one.stat(follow_symlinks=False), one.name) for one in found]
        left = sum(status.st_size for status, _ in seen)
        for status, name in sorted(seen, key=lambda one: one[0].st_mtime_ns):
            if left <= most_bytes:
                return
            (folder / name).unlink(missing_ok=True)
            left -= status.st_size
