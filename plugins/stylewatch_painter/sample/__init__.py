"""The pictures that ship with stylewatch: a photograph, and styles.

Each style has its row in sources.yaml, with its origin and why it may be used; NOTICE names them
all. Begin with `shipped_styles`; nothing of stylewatch is imported.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

_FOLDER = Path(__file__).parent

CONTENT = _FOLDER / "rocket.jpg"
"""A photograph to try things with: a rocket launch at night, 640x427 pixels."""


@dataclass(frozen=True)
class ShippedStyle:
    """A style image with its row in sources.yaml; `sha256` is the digest of its file."""

    title: str
    author: str
    """Its painter, with the years of birth and death; empty for a style that code has drawn."""
    year: str
    published: str
    """Its first known publication, which was before 1931; empty for a style that code has drawn."""
    origin: str
    """The reproduction from which the file was made."""
    changes: str
    license: str
    sha256: str

    @property
    def path(self) -> Path:
        """The path of the file, which is named by its title."""
        return _FOLDER / f"{self.title}.jpg"

    @property
    def caption(self) -> str:
        """`Author, year`, or `drawn by code, year`, for people; the title is not in it."""
        return f"{self.author}, {self.year}" if self.author else f"drawn by code, {self.year}"


@cache
def shipped_styles() -> Mapping[str, ShippedStyle]:
    """Return the shipped styles by their titles."""
    rows = yaml.safe_load((_FOLDER / "sources.yaml").read_text("utf-8"))
    return {row["title"]: ShippedStyle(**row) for row in rows}


STYLE = shipped_styles()["The Starry Night"].path
"""The style of the sample pair."""
