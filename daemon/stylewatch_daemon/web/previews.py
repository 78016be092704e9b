"""Previews of pictures, made on demand by an inspection process of the page's own.

They are in a folder of the state folder, by digest and size; the oldest go when there are too many.
The page's process itself never decodes a picture.
"""

import asyncio
import os
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from stylewatch_daemon.intake.inspection.client import Inspector
from stylewatch_daemon.intake.inspection.messages import Inspected, Question
from stylewatch_daemon.ledger import thumbs
from stylewatch_daemon.ledger.state_dir import PREVIEWS
from stylewatch_daemon.settings.sections import Limits

ENTRY = "stylewatch_daemon.intake.inspection.inspection_main:make_thumbnails"

MAX_BYTES = 512 << 20
"""Bytes of all previews together."""

TIMEOUT_S = 4.0
"""Seconds that a viewer waits for a preview to be made; then there is a blank in its place."""

MAX_PENDING, MAX_FAILED = 256, 4096
"""Previews that may wait to be made, and pictures remembered as not to be decoded."""

IDLE_S = 60.0
"""Seconds after which an idle inspection process ends."""

_SWEEP_EVERY = 64


class Previews:
    """The previews of a state folder; pictures and clips beyond `limits` have none."""

    def __init__(self, state: Path, limits: Limits) -> None:
        self.folder, self._thumbs = state / PREVIEWS, state / "thumbs"
        self._limits = limits
        self._inspector: Inspector | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pending: dict[str, asyncio.Future[None]] = {}
        self._failed: deque[str] = deque(maxlen=MAX_FAILED)
        """Digests of pictures that cannot be decoded."""
        self._made = 0

    def known(self, sha256: str, side: int) -> Path | None:
        """The preview of the picture with this digest, if it was made before."""
        paths = (thumbs.path_of(folder, sha256, side) for folder in (self._thumbs, self.folder))
        return next((path for path in paths if path.is_file()), None)

    async def get(self, path: Path, sha256: str, side: int) -> Path | None:
        """Make the preview of the file `path`; None where it takes too long, or cannot be made.

        A preview is named by the digest of what was read: where that is not `sha256` it is None.
        """
        preview = self.known(sha256, side)
        may_ask = len(self._pending) < MAX_PENDING and sha256 not in self._failed
        if preview is None and may_ask:
            with suppress(TimeoutError):
                async with asyncio.timeout(TIMEOUT_S):
                    await asyncio.shield(self._ask(path, sha256, side))
            preview = self.known(sha256, side)
        return preview

    def _ask(self, path: Path, sha256: str, side: int) -> "asyncio.Future[None]":
        key = f"{sha256}-{side}"
        if key not in self._pending:
            self._loop = asyncio.get_running_loop()
            self._pending[key] = self._loop.create_future()
            if self._inspector is None:
                self.folder.mkdir(parents=True, exist_ok=True)
                self._inspector = Inspector(self._post, IDLE_S, ENTRY)
                weakref.finalize(self, self._inspector.close)  # else its process outlives this one
            self._inspector.ask(
                Question(
                    (path,),
                    self._limits.max_pixels,
                    self.folder,
                    side=side,
                    max_frames=self._limits.max_frames,
                ),
                partial(self._asked, key),
            )
        return self._pending[key]

    def _post(self, call: Callable[[], object]) -> None:
        """Have the page's loop call a function; called in a thread of the inspector's."""
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed: the page is ending
                self._loop.call_soon_threadsafe(call)

    def _asked(self, key: str, verdict: Inspected | Exception) -> None:
        """Note that the preview of a picture is made, or cannot be."""
        if isinstance(verdict, Inspected) and verdict.reason:
            self._failed.append(key.partition("-")[0])
        future = self._pending.pop(key, None)
        if future is not None and not future.done():
            future.set_result(None)
        if self._inspector is not None and self._loop is not None:
            self._loop.call_later(IDLE_S, self._inspector.end_if_idle)
        self._made += 1
        if self._made % _SWEEP_EVERY == 0:
            sweep(self.folder, MAX_BYTES)


def sweep(folder: Path, max_bytes: int) -> None:
    """Remove the oldest files of `folder` until the others have `max_bytes` together."""
    with suppress(OSError), os.scandir(folder) as entries:
        files = [(entry.stat(follow_symlinks=False), entry.name) for entry in entries]
        left = sum(status.st_size for status, _ in files)
        for status, name in sorted(files, key=lambda file: file[0].st_mtime_ns):
            if left <= max_bytes:
                return
            (folder / name).unlink(missing_ok=True)
            left -= status.st_size
