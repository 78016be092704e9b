"""What an attempt announced: what lies there and was never announced is published by nobody.

Whoever paints writes a file first, and then says what is in it, by SHA-256. Where that is another
machine, the file counts only if it is the very one; one that this machine wrote is not read again.

Words come late: losses.csv may already be that of a later stage, whose word is still to come. So
one that does not fit decides nothing by itself; a file that none has fitted by the end does.
"""

import hashlib
from os.path import lexists
from pathlib import PurePosixPath
from typing import Literal

from stylewatch_daemon.files import safe_dirs
from stylewatch_daemon.outbox.manifest import regular
from stylewatch_daemon.outbox.publish import STAGING, Outbox
from stylewatch_daemon.worker.contract import Staged

Found = Literal["it", "another", "nothing"]
"""What lies where a file was announced."""


class Announced:
    """What was announced by an attempt that leaves its files at `place` below `.staging`.

    It is made on this machine, or `elsewhere`. `unlike` are the files that came to be others than
    the last word of them said.
    """

    def __init__(self, outbox: Outbox, place: str, *, elsewhere: bool) -> None:
        self._outbox, self.place, self._elsewhere = outbox, place, elsewhere
        self.unlike: set[str] = set()

    def look(self, staged: Staged) -> Found:
        """What lies there; raises OSError where that cannot be read."""
        if not self._elsewhere:
            path = f"{self._outbox.root}/{STAGING}/{self.place}/{staged.path}"
            return "it" if lexists(path) else "nothing"
        digest = self._digest(PurePosixPath(STAGING, self.place) / staged.path)
        if digest is None:
            return "nothing"
        if digest != staged.sha256:
            self.unlike.add(staged.path)
            return "another"
        self.unlike.discard(staged.path)
        return "it"

    def _digest(self, path: PurePosixPath) -> str | None:
        try:
            with (
                safe_dirs.opened(self._outbox.root, str(path.parent)) as folder,
                regular(folder, path.name) as file,
            ):
                return hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError:
            return None
