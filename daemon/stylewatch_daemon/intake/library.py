"""The default styles: copies, in the state folder, of pictures of the style library.

The disk of the library may not answer, and then only the pairs that need it may wait (law 9).
Therefore only its own lane looks there, and copies each default style once; claims link the copies.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stylewatch_daemon.base import shortages
from stylewatch_daemon.base.errors import OutputError, SettingsError
from stylewatch_daemon.base.lanes import Lanes, Step
from stylewatch_daemon.files import atomic, disks, entries
from stylewatch_daemon.files.disks import MountGuard
from stylewatch_daemon.files.identity import Look, look
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.intake.claim import copy_whole
from stylewatch_daemon.ledger.memory import Seen
from stylewatch_daemon.ledger.state_dir import StateDir, style_key
from stylewatch_daemon.settings.config import ServiceSettings
from stylewatch_daemon.settings.style_library import default_styles

ANSWERS_WITHIN = 5.0
"""Time in seconds that a look at the library may take; after it the styles count as unknown."""


@dataclass(frozen=True)
class Styles:
    """The default styles, or the reason why they are unknown."""

    pictures: Mapping[str, Seen] = field(default_factory=dict)
    """Records of the default styles, by name. A picture that is too large is not copied, and has no
    digest."""
    waits_for: str = ""
    """Reason for pairs that need a default style to wait, in words that follow "waits for", such as
    `the style library to answer`; empty if the styles are known."""
    trouble: str = ""
    """Reason why the library cannot be used, for the status; empty if it can, or is only late."""


class Library:
    """The main loop's view of the style library, which never waits for the disk of the library.

    `changed` is called when `styles` has changed after a look. `clock` is monotonic, in seconds.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        state: StateDir,
        guard: MountGuard,
        lanes: Lanes,
        clock: Callable[[], float],
        changed: Callable[[], object],
    ) -> None:
        self._pairing = settings.pairing
        self.folder = settings.pairing.styles
        self._is_wanted = settings.pairing.default_style is not None
        self._limits = settings.limits
        self._state = state
        self._guard = guard
        self._lanes = lanes
        self._clock = clock
        self._changed = changed
        self._since: float | None = None
        """Time at which the present look began; None if none is under way."""
        self._late = Styles(waits_for=f"the style library {shown(self.folder)} to answer")
        self._last = self._late if self._is_wanted else Styles()

    @property
    def is_looking(self) -> bool:
        """True while a look at the library is under way."""
        return self._since is not None

    @property
    def styles(self) -> Styles:
        """The default styles as they are known now; any thread may ask."""
        since = self._since
        is_late = since is not None and self._clock() - since > ANSWERS_WITHIN
        return self._late if is_late else self._last

    def look(self) -> None:
        """Begin a look at the library, unless one is under way, or no pair needs it."""
        if self._is_wanted and not self.is_looking:
            self._since = self._clock()
            self._lanes.do(self.folder, self._work, self._looked)

    def _looked(self, result: Mapping[str, Seen] | Exception) -> None:
        former = self.styles
        self._since = None
        if not isinstance(result, Exception):
            self._last = Styles(result)
        elif isinstance(result, OSError | SettingsError):
            is_settings = isinstance(result, SettingsError)
            trouble = str(result) if is_settings else shortages.in_words(result)
            self._last = Styles(
                waits_for=f"the style library {shown(self.folder)} to be usable", trouble=trouble
            )
        else:
            raise result
        if self._last != former:
            self._changed()

    # -- in the lane

    def _work(self, step: Step) -> Mapping[str, Seen]:
        """Copy the default styles into the state folder; return the records of all by name.

        Styles that have a copy already, or are too large, are not copied. Copies of other pictures
        are removed. Raises OSError or SettingsError if the library cannot be used.
        """
        pictures = dict[str, Seen]()
        used = set[str]()
        with self._guard.checked(self._state.root, self.folder):
            atomic.make_folder(self._state.styles)
            copies = self._state.style_copies()
            for name, path in default_styles(self._pairing).items():
                step()
                looked = look(path)
                sha256 = ""
                if looked is None:  # it has just been removed
                    continue
                if looked.size <= self._limits.largest("style"):
                    key = style_key(path, looked)
                    copy, sha256 = copies.get(key) or self._copy(path, looked, key, step)
                    used.add(copy.name)
                pictures[name] = Seen(str(path), "", "", looked.size, looked.mtime_ns, sha256)
            for left in {*entries.names(self._state.styles)} - used:
                entries.attempt_removal(self._state.styles / left)
        return pictures

    def _copy(self, path: Path, looked: Look, key: str, step: Step) -> tuple[Path, str]:
        """Copy a default style into the state folder; return the path and SHA-256 of the copy.

        Raises FullError if the disk is full, OutputError if the style is changing.
        """
        folder = self._state.styles
        free = self._limits.free_bytes
        disks.check([(folder, looked.size + free)], free)
        with entries.opened(path.parent, follow=True) as source:
            sha256 = copy_whole(path.name, source, folder / key, step)
        if look(path) != looked:
            raise OutputError(f"{shown(path)} is changing")
        copy = folder / f"{key}-{sha256}"
        atomic.move(folder / key, copy)
        return copy, sha256
