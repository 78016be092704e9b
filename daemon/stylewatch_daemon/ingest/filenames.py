"""What the name of a file in an inbox says: content, style, mask, settings, of which job."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from stylewatch_daemon.files.names import shown
from stylewatch_daemon.store.journal import MASK

PICTURES = frozenset(
    {"avif", "bmp", "gif", "heic", "heif", "jfif", "jp2", "jpe", "jpeg", "jpg", "pgm", "png",
     "pnm", "ppm", "tga", "tif", "tiff", "webp"}
)  # fmt: skip
"""Endings of what counts as a picture where its name says nothing else."""

_NOTES = frozenset(
    {"aae", "csv", "doc", "docx", "htm", "html", "ini", "json", "md", "rtf", "thm", "txt", "url",
     "xml", "xmp", "yaml", "yml"}
)  # fmt: skip
"""Endings of what is no picture, even if it is called `content`."""

_PART = re.compile(
    r"(?:(?P<job>.+)\.)?(?P<part>content|init|style(?:-(?P<number>\d+))?)"
    r"(?P<mask>(?<!init)\.mask)?\.(?P<kind>[^.]+)",
    re.IGNORECASE | re.DOTALL,
)
_SETTINGS = re.compile(r"(?:(?P<job>.+)\.)?job\.ya?ml", re.IGNORECASE | re.DOTALL)


@dataclass
class Parts:
    """The files that carry the same job's name, or none: those of the folder itself."""

    contents: list[Path] = field(default_factory=list)
    inits: list[Path] = field(default_factory=list)
    content_masks: list[Path] = field(default_factory=list)
    settings: list[Path] = field(default_factory=list)
    numbered: list[tuple[int, Path]] = field(default_factory=list)
    style_masks: list[tuple[int, Path]] = field(default_factory=list)
    """By the numbers of their styles."""

    @property
    def styles(self) -> tuple[Path, ...]:
        """The style pictures in the order of their numbers."""
        return tuple(path for _, path in sorted(self.numbered))

    @property
    def beside_content(self) -> tuple[Path, ...]:
        """All there is but the content: what the pictures of an album have in common."""
        masks = (*self.content_masks, *(path for _, path in self.style_masks))
        return (*self.styles, *self.inits, *masks, *self.settings)

    @property
    def masks(self) -> dict[str, Path]:
        """The masks by their roles: whose they are, styles by their order in the job."""
        order = {number: place for place, (number, _) in enumerate(sorted(self.numbered), start=1)}
        own = {number: path for number, path in self.style_masks if number in order}
        content = {f"content{MASK}": path for path in self.content_masks}
        return content | {f"style-{order[number]}{MASK}": path for number, path in own.items()}

    @property
    def lacking(self) -> tuple[str, ...]:
        """The styles of which there are masks only, in words."""
        numbers = {number for number, _ in self.numbered}
        return tuple(
            f"the picture of {shown(path.name)}"
            for number, path in self.style_masks
            if number not in numbers
        )

    @property
    def double(self) -> str | None:
        """What there must be one of, and is more; in words."""
        ones = {"content picture": self.contents, "init picture": self.inits,
                "job.yaml": self.settings, "mask of the content": self.content_masks}  # fmt: skip
        for number, path in self.style_masks:
            ones.setdefault(f"mask of style{-number or ''}", []).append(path)
        for what, found in ones.items():
            if len(found) > 1:
                return f"only one {what}: there are {' and '.join(path.name for path in found)}"
        return None


@dataclass
class Folder:
    """The files of one folder, sorted by what their names say; job names are case-folded."""

    own: Parts = field(default_factory=Parts)
    named: dict[str, Parts] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    """The job names as they were written."""
    pictures: list[Path] = field(default_factory=list)
    picture_masks: dict[str, Path] = field(default_factory=dict)
    """Masks of `pictures`, by the case-folded stem."""


def sort(files: Iterable[Path]) -> Folder:
    """The parts among `files`, which lie in one folder; what is neither part nor picture goes."""
    folder = Folder()
    for path in sorted(files):
        if settings := _SETTINGS.fullmatch(path.name):
            _parts(folder, settings["job"]).settings.append(path)
        elif (part := _PART.fullmatch(path.name)) and part["kind"].casefold() not in _NOTES:
            _add(_parts(folder, part["job"]), part, path)
        elif path.suffix[1:].casefold() in PICTURES:
            _add_picture(folder, path)
    return folder


def _parts(folder: Folder, job: str | None) -> Parts:
    if job is None:
        return folder.own
    folder.names.setdefault(job.casefold(), job)
    return folder.named.setdefault(job.casefold(), Parts())


def _add(parts: Parts, part: re.Match[str], path: Path) -> None:
    kind = part["part"].casefold()
    number = int(part["number"] or 0)
    if part["mask"] and kind == "content":
        parts.content_masks.append(path)
    elif part["mask"]:
        parts.style_masks.append((number, path))
    elif kind == "content":
        parts.contents.append(path)
    elif kind == "init":
        parts.inits.append(path)
    else:
        parts.numbered.append((number, path))


def _add_picture(folder: Folder, path: Path) -> None:
    stem = path.stem.casefold()
    if stem.endswith(".mask"):
        folder.picture_masks[stem.removesuffix(".mask")] = path
    else:
        folder.pictures.append(path)
