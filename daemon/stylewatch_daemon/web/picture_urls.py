"""Addresses of pictures, and what a picture is for who does not see it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from stylewatch_daemon.files import flat_layout
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.store.ledger import Entry
from stylewatch_daemon.store.thumbs import SIDE
from stylewatch_daemon.web import files, pictures

CARD, LARGE = 512, 1600
"""Pixels of the longer side of a picture on a card, and of one that fills a page."""

LIGHT = 3 << 20
"""Bytes of a file that is shown itself, where it is shown large; else a smaller one is made."""


@dataclass(frozen=True)
class Image:
    """A picture on a page: `src` without the root of all addresses, and what it shows, in words.

    Of an input `name` is its file's.
    """

    src: str
    alt: str
    width: int = 0
    height: int = 0
    name: str = ""


@dataclass(frozen=True)
class Shower:
    """Says where the pictures of jobs are to be had; `state` is the daemon's folder."""

    state: Path

    def small(self, entry: Entry, what: str, alt: str, side: int = CARD) -> Image | None:
        """The picture `what` with `side` pixels at most; None where there is none."""
        known = self._digest(entry, what)
        if known is None:
            return None
        return Image(f"/jobs/{entry.id}/small/{side}/{what}?d={known[:32]}", alt)

    def large(self, entry: Entry, what: str, alt: str) -> Image | None:
        """The picture `what`, as large as a page shows it; None where there is none."""
        found = pictures.find(entry, self.state, what)
        if found is None:
            return None
        with found.file as file:
            light = files.look(file)[2] <= LIGHT
        if light and pictures.is_shown(found.place.name):
            return Image(f"/jobs/{entry.id}/pictures/{what}?d={found.sha256[:32]}", alt)
        return self.small(entry, what, alt, LARGE)

    def inputs(self, entry: Entry, role: str, side: int = SIDE) -> list[Image]:
        """The small pictures of all inputs of a `role`, with their sizes where these are known."""
        found = []
        for number, one in enumerate(entry.inputs):
            if one.get("role") == role and one.get("sha256"):
                src = f"/jobs/{entry.id}/small/{side}/input-{number}?d={one['sha256'][:32]}"
                words = f"{_ROLES.get(role, role)} {called(one)}"
                width, height = one.get("pixels", (0, 0))
                found.append(Image(src, words, width, height, called(one)))
        return found

    def _digest(self, entry: Entry, what: str) -> str | None:
        found = pictures.find(entry, self.state, what)
        if found is None:
            return None
        found.file.close()
        return found.sha256


_ROLES = {"content": "the photograph", "style": "the painting", "init": "the picture to begin from"}


def called(one: Mapping[str, object]) -> str:
    """What an input was called where it was dropped."""
    return shown(PurePosixPath(str(one.get("source") or one["name"])).name)


def number_of(entry: Entry, role: str) -> int | None:
    """Which of the inputs is the first one of a `role`."""
    return next((n for n, one in enumerate(entry.inputs) if one.get("role") == role), None)


def name_of(entry: Entry) -> str:
    """What a job is called, for people."""
    return shown(flat_layout.called(entry.place or entry.name))


def parents(entry: Entry, role: str) -> list[str]:
    """The pictures of a `role` that a job was made from, by names that say more than the role."""
    named = [called(one) for one in entry.inputs if one.get("role") == role]
    return [one for one in named if not one.startswith((f"{role}.", f"{role}-"))]
