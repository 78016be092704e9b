"""Which pairs lie in an inbox, by the rules of docs/folders.md, told apart by their contents.

This shares no code with the daemon.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from tests.simulate.contents import Content, Token

_PART = re.compile(
    r"(?:(?P<job>.+)\.)?(?:(?P<yaml>job\.ya?ml)|(?P<role>content|style(?:-(?P<number>\d+))?)"
    r"(?P<mask>\.mask)?\.(?P<suffix>[^.]+))"
)
_IGNORED = re.compile(
    r"\..*|.*\.(part|tmp)|thumbs\.db|desktop\.ini|@eadir|#recycle|\$recycle\.bin|"
    r".* \(put back by stylewatch\).*|.*\.sync-conflict-.*|.*\(conflicted copy.*"
)
_PICTURES = ("jpg", "png", "tif", "bmp", "gif", "ppm")


def folded(name: str) -> str:
    """Return a name in the form in which names are compared."""
    return unicodedata.normalize("NFC", name).casefold()


@dataclass(frozen=True)
class Key:
    """What is painted: a content, with styles, a mask and settings."""

    content: Token
    styles: tuple[Token, ...]
    mask: Token = 0
    seed: int = 0

    @property
    def tokens(self) -> frozenset[Token]:
        """All contents of the pair."""
        return self.pictures | {self.seed} - {0}

    @property
    def pictures(self) -> frozenset[Token]:
        """Contents of its pictures."""
        return frozenset({self.content, *self.styles, self.mask} - {0})

    def __str__(self) -> str:
        more = f" mask {self.mask}" if self.mask else ""
        seed = f" job.yaml {self.seed}" if self.seed else ""
        return f"{self.content} in {' and '.join(map(str, self.styles))}{more}{seed}"


@dataclass(frozen=True)
class Pair:
    """A complete pair: its key, its main file, and all of its files in the inbox."""

    key: Key
    main: str
    files: tuple[str, ...]
    is_whole: bool
    """True if no file is still being written."""
    has_default: bool = False
    """True if its style is one of the library."""


@dataclass
class _Parts:
    """Files of one job: paths by role and number."""

    found: dict[tuple[str, int], list[str]] = field(default_factory=dict)

    def add(self, role: str, number: int, path: str) -> None:
        self.found.setdefault((role, number), []).append(path)

    @property
    def is_clear(self) -> bool:
        return all(len(paths) == 1 for paths in self.found.values())

    def one(self, role: str) -> str:
        return self.found.get((role, 0), [""])[0]

    @property
    def styles(self) -> tuple[str, ...]:
        return tuple(paths[0] for (role, _), paths in sorted(self.found.items()) if role == "style")


@dataclass
class _Folder:
    own: _Parts = field(default_factory=_Parts)
    named: dict[str, _Parts] = field(default_factory=dict)
    pictures: list[str] = field(default_factory=list)
    masks: dict[str, str] = field(default_factory=dict)


def pairs(
    files: Mapping[str, Content | None], defaults: Iterable[Content], left_out: Iterable[str] = ()
) -> list[Pair]:
    """Return the pairs of an inbox that have all parts, whole or not.

    `files` are its files with their contents by their paths in it (None: not whole); `defaults`
    are the styles of lone pictures; `left_out` are clips of live photos.
    """
    folders: dict[str, _Folder] = {}
    for path in sorted(files):
        pure = PurePosixPath(path)
        if path not in left_out and not any(_IGNORED.fullmatch(folded(p)) for p in pure.parts):
            _classify(folders.setdefault(str(pure.parent), _Folder()), path)
    found = [pair for name, folder in folders.items() for pair in _pairs(name, folder, files)]
    lone = folders.get(".", _Folder())
    if not lone.own.styles:
        found += [
            _pair(files, path, (), _mask(lone, path), "", default)
            for path in _without_clips(lone.pictures)
            for default in defaults
        ]
    return found


def _classify(folder: _Folder, path: str) -> None:
    name = folded(PurePosixPath(path).name)
    stem, _, suffix = name.rpartition(".")
    match = _PART.fullmatch(name)
    if match and (match["yaml"] or match["suffix"] in (*_PICTURES, "mp4")):
        parts = folder.named.setdefault(match["job"], _Parts()) if match["job"] else folder.own
        role = "yaml" if match["yaml"] else match["role"].partition("-")[0]
        parts.add(f"{role} mask" if match["mask"] else role, int(match["number"] or 0), path)
    elif suffix in (*_PICTURES, "mp4"):
        if stem.endswith(".mask"):
            folder.masks[stem.removesuffix(".mask")] = path
        else:
            folder.pictures.append(path)


def _pairs(name: str, folder: _Folder, files: Mapping[str, Content | None]) -> Iterator[Pair]:
    for parts in (*folder.named.values(), folder.own):
        if parts.one("content") and parts.styles and parts.is_clear:
            mask = parts.one("content mask")
            yield _pair(files, parts.one("content"), parts.styles, mask, parts.one("yaml"))
    if name != "." and folder.own.styles and not folder.own.one("content"):
        for picture in _without_clips(folder.pictures):
            mask = _mask(folder, picture)
            yield _pair(files, picture, folder.own.styles, mask, folder.own.one("yaml"))


def _stem(path: str) -> str:
    return folded(PurePosixPath(path).stem)


def _mask(folder: _Folder, picture: str) -> str:
    return folder.masks.get(_stem(picture), "")


def _without_clips(pictures: list[str]) -> list[str]:
    """Return pictures without the clips of live photos."""
    stills = {_stem(path) for path in pictures if not folded(path).endswith(".mp4")}
    return [
        path for path in pictures if not (folded(path).endswith(".mp4") and _stem(path) in stills)
    ]


def _pair(
    files: Mapping[str, Content | None],
    main: str,
    styles: tuple[str, ...],
    mask: str,
    yaml: str,
    default: Content | None = None,
) -> Pair:
    def token(path: str) -> Token:
        content = files.get(path)
        return content.token if content else 0

    tokens = (default.token,) if default else tuple(map(token, styles))
    used = tuple(path for path in (main, *styles, mask, yaml) if path)
    is_whole = all(files[path] is not None for path in used)
    key = Key(token(main), tokens, token(mask), token(yaml))
    return Pair(key, main, used, is_whole, has_default=default is not None)
