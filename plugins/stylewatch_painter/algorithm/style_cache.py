"""What styles look like to a network, kept for the next paintings in the same manner."""

from collections import OrderedDict
from collections.abc import Callable, Hashable

from stylewatch_painter.algorithm.disk_cache import Shelf
from stylewatch_painter.algorithm.statistics import Look

MOST = 128 * 2**20
"""Bytes that are kept: at five layers a style at one size takes 2.4 MB."""


class Looks:
    """Sums over the maps of styles in one network, by all that they depend on beside it.

    What was asked for longest ago goes where more than `most` bytes would be kept; it may still
    lie on a `shelf`, from where later processes have it, too. `worked_out` counts how often they
    had to be worked out, `used_again` how often they were there.
    """

    def __init__(self, most: int = MOST, shelf: Shelf | None = None) -> None:
        self.worked_out = self.used_again = 0
        self._shelf = shelf
        self._most = most
        self._kept: OrderedDict[Hashable, Look] = OrderedDict()

    def find(self, key: Hashable, work_out: Callable[[], Look]) -> Look:
        """What is kept under `key`, or else what `work_out` gives, which is then kept."""
        if key in self._kept:
            self._kept.move_to_end(key)
            self.used_again += 1
            return self._kept[key]
        found = self._shelf.take(key) if self._shelf else None
        if found is None:
            found = work_out()
            self.worked_out += 1
            if self._shelf:
                self._shelf.put(key, found)
        else:
            self.used_again += 1
        self._kept[key] = found
        while self.bytes > self._most:
            self._kept.popitem(last=False)
        return found

    @property
    def bytes(self) -> int:
        """What is kept takes so many bytes."""
        return sum(
            one.nbytes for look in self._kept.values() for each in look.values() for one in each
        )
