"""Previews of pictures, made on demand by the page's own inspection process.

Previews are stored in the state folder by digest and size; if they exceed MAX_BYTES, the oldest are
removed. The page's process itself never decodes a picture.
"""

import asyncio
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from stylewatch_daemon.files import entries
from stylewatch_daemon.intake.inspection.client import Inspector
from stylewatch_daemon.intake.inspection.messages import Answer, Question
from stylewatch_daemon.ledger import thumbs
from stylewatch_daemon.ledger.state_dir import StateDir
from stylewatch_daemon.settings.sections import LimitSettings

ENTRY = "stylewatch_daemon.intake.inspection.inspection_main:make_thumbnails"

MAX_BYTES = 512 << 20
"""Maximum size in bytes of all previews together, after each removal of the oldest."""

TIMEOUT_S = 4.0
"""Seconds that a viewer waits for a preview; then a blank picture replaces it."""

MAX_PENDING, MAX_FAILED = 256, 4096
"""Maximum numbers of previews that wait to be made, and of digests in `Previews._failed`."""

IDLE_S = 60.0
"""Seconds after which an idle inspection process ends."""

SWEEP_EVERY = 64
"""Number of previews that are made between two removals of the oldest previews."""


class Previews:
    """Store of previews in the folder `state`, which makes those that are missing.

    Pictures and clips that exceed `limits` get no previews.
    """

    def __init__(self, state: Path, limits: LimitSettings) -> None:
        folders = StateDir(state)
        self.folder = folders.previews
        self._thumbs = folders.thumbs
        self._limits = limits
        self._inspector: Inspector | None = None
        self._pending: dict[str, asyncio.Future[None]] = {}
        self._failed: deque[str] = deque(maxlen=MAX_FAILED)
        """Digests of pictures that cannot be decoded."""
        self._made = 0

    def known(self, sha256: str, side: int) -> Path | None:
        """Return the path of the stored preview of a picture with this digest; None without one.

        `side` is the maximum length of its sides in pixels.
        """
        paths = (thumbs.path_of(folder, sha256, side) for folder in (self._thumbs, self.folder))
        for path in paths:
            if entries.is_file(path):
                return path
        return None

    async def get(self, source: Path | None, sha256: str, side: int) -> Path | None:
        """Return the path of the preview of the file `source`, and make it if necessary.

        `side` is the maximum length of its sides in pixels. Returns None if `source` is None and
        there is no preview, if too many wait to be made, if making it takes longer than TIMEOUT_S,
        if the picture cannot be decoded, or if its digest is no longer `sha256`.
        """
        preview = self.known(sha256, side)
        is_possible = len(self._pending) < MAX_PENDING and sha256 not in self._failed
        if preview is None and source is not None and is_possible:
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._ask(source, sha256, side)), TIMEOUT_S)
            preview = self.known(sha256, side)
        return preview

    def _ask(self, source: Path, sha256: str, side: int) -> "asyncio.Future[None]":
        key = f"{sha256}-{side}"
        loop = asyncio.get_running_loop()
        limits = self._limits
        if key not in self._pending:
            self._pending[key] = loop.create_future()
            if self._inspector is None:
                self.folder.mkdir(parents=True, exist_ok=True)
                self._inspector = Inspector(partial(_post, loop), IDLE_S, ENTRY)
                weakref.finalize(self, self._inspector.close)  # else its process outlives `self`
            question = Question(
                (source,), limits.max_pixels, self.folder, side=side, max_frames=limits.max_frames
            )
            self._inspector.ask(question, partial(self._answered, self._inspector, key))
        return self._pending[key]

    def _answered(self, inspector: Inspector, key: str, verdict: Answer | Exception) -> None:
        """Record that the preview of a picture was made, or cannot be made, and wake its viewers.

        After every SWEEP_EVERY previews, remove the oldest.
        """
        if isinstance(verdict, Answer) and verdict.reason:
            self._failed.append(key.partition("-")[0])
        if not (future := self._pending.pop(key)).done():
            future.set_result(None)
        asyncio.get_running_loop().call_later(IDLE_S, inspector.end_if_idle)
        self._made += 1
        if self._made % SWEEP_EVERY == 0:
            sweep(self.folder, MAX_BYTES)


def _post(loop: asyncio.AbstractEventLoop, call: Callable[[], object]) -> None:
    """Make the event loop of the page call a function; threads of the inspector use it."""
    with suppress(RuntimeError):  # the loop is closed: the page is ending
        loop.call_soon_threadsafe(call)


def sweep(folder: Path, most: int) -> None:
    """Remove the oldest files of `folder` until the others have at most `most` bytes together."""
    with suppress(OSError):
        files = [(path.stat(), path) for path in folder.iterdir()]
        left = sum(status.st_size for status, _ in files)
        for status, path in sorted(files, key=lambda file: file[0].st_mtime_ns):
            if left <= most:
                return
            path.unlink(missing_ok=True)
            left -= status.st_size
