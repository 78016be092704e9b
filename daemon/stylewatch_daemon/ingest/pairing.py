"""Pair content and style pictures: job folders, albums, files side by side, lone pictures.

Pure functions of paths; no file is opened.

- A folder with `content.*` is a job; it is complete with `style.*` (or `style-1.*` ...).
- A folder with a style and no content is an album: each other picture in it is a job, and so is
  each in its subfolders, unless they have a content or a style of their own. The inbox itself can
  be an album too, but only for the files directly in it.
- `<job>.content.*` and `<job>.style.*` belong together, in any folder.
- Any other picture directly in the inbox is a lone picture, for the default styles. In a folder
  such a picture waits: the folder's style may still be on its way.
- A job whose job.yaml says that it is for one side only needs just `content.*`, or `style.*`.

Case does not matter. `X.mask.*` is the mask of picture X; the mask of a style waits for the style.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from stylewatch_daemon.files.names import PICTURE_SUFFIXES, candidates, safe, safe_path, shown
from stylewatch_daemon.model import Incomplete, Pair
from stylewatch_daemon.settings.job import Side
from stylewatch_daemon.store.journal import CONTENT_MASK, MASK

CONTENT_SUFFIXES = PICTURE_SUFFIXES | {"m4v", "mkv", "mov", "mp4", "webm"}
"""Those of contents: pictures and clips."""

_OTHER_SUFFIXES = frozenset(
    {"aae", "csv", "doc", "docx", "htm", "html", "ini", "json", "md", "rtf", "thm", "txt", "url",
     "xml", "xmp", "yaml", "yml"}
)  # fmt: skip
"""Suffixes of files that are no pictures, even if they are called `content`."""

_PART = re.compile(
    r"(?:(?P<job>.+)\.)?(?P<part>content|init|style(?:-(?P<number>\d+))?)"
    r"(?P<mask>(?<!init)\.mask)?\.(?P<suffix>[^.]+)",
    re.IGNORECASE | re.DOTALL | re.ASCII,  # without ASCII, `i` matches the dotted capital, too
)
_JOB_FILE = re.compile(r"(?:(?P<job>.+)\.)?job\.ya?ml", re.IGNORECASE | re.DOTALL | re.ASCII)

_SINGLE = {"content": "content picture", "init": "init picture", "job": "job.yaml",
           CONTENT_MASK: "mask of the content"}  # fmt: skip
"""Parts of which a job has one, by their roles, in words."""

CONTENT, STYLE = "a content picture ({0}content.jpg)", "a style picture ({0}style.jpg)"
"""Files that a job waits for; `format` inserts the prefix of their names, as in `sea.style.jpg`."""

PICTURES = "pictures to paint (content.jpg, or others for an album)"
DEFAULT_STYLE = "a style picture ({0}.style.jpg beside {0}.content.jpg, or pairing.default_style)"

SideOf = Callable[[Path | None], Side | None]
"""The one side that a job with this job.yaml (None: without one) is for; None: it needs both."""

IsUsed = Callable[[Path], bool]
"""Return whether jobs were made with this style picture of an album."""

TakenFrom = Callable[[Path], Collection[str]]
"""Return the names of the main files that jobs were made of, directly in this folder."""

LIVE_PHOTO = "it has the name of a picture of this folder, as the clips of live photos have"
NO_PICTURE = "it is a mask, and there is no picture of its name in this folder"
NO_JOB = "it has no effect without a content or a style picture in the same folder"


@dataclass(frozen=True)
class Pairing:
    """Pairs of an inbox."""

    complete: tuple[Pair, ...] = ()
    incomplete: tuple[Incomplete, ...] = ()
    skipped: Mapping[Path, str] = field(default_factory=dict)
    """Files that belong to no pair, with the reason."""


def pair(
    inbox: Path,
    files: Iterable[Path],
    default: Mapping[str, Path],
    side_of: SideOf = lambda job_file: None,
    is_used: IsUsed = lambda style: False,
    taken_from: TakenFrom = lambda folder: (),
) -> Pairing:
    """Pair `files`, all of them under `inbox`.

    `default` holds the style pictures for lone pictures, by name: none, one, or several for a
    job with each of them. In that case all jobs but the last share the content, which the last
    one may take away. An album without pictures is incomplete unless `is_used` its style.
    By `taken_from` a clip stays out after its picture was taken, and the rest of a job's
    folder stays out of the album around it.
    """
    by_folder: defaultdict[Path, list[Path]] = defaultdict(list)
    for path in files:
        by_folder[path.parent].append(path)
    folders = {
        folder: _classify(paths, partial(taken_from, folder))
        for folder, paths in sorted(by_folder.items())
    }
    with_pictures = {folder for folder, content in folders.items() if content.pictures}
    with_pictures = with_pictures.union(*(folder.parents for folder in with_pictures))
    pairs: list[Pair | Incomplete] = []
    skipped: dict[Path, str] = {}
    for folder in folders:
        pairing = _FolderPairing(
            inbox, folder, folders, side_of, with_pictures, is_used, taken_from
        )
        pairs += [*pairing.named_jobs(), *pairing.folder_jobs(default)]
        skipped |= pairing.skipped()
    return Pairing(
        tuple(pair for pair in pairs if isinstance(pair, Pair)),
        tuple(pair for pair in pairs if isinstance(pair, Incomplete)),
        skipped,
    )


def only_ready(
    pairing: Pairing, changing: Collection[Path], waits_for: Callable[[Collection[Path]], str]
) -> Pairing:
    """Return `pairing` with the pairs as incomplete that have files in `changing`, or wait for any.

    In a job's own folder any file counts: it may be another style that will belong to the job.
    `waits_for` says for which of a pair's files it waits; empty if for none.
    """
    complete, incomplete = [], list(pairing.incomplete)
    by_folder: defaultdict[Path | None, set[Path]] = defaultdict(set)
    for path in changing:
        by_folder[path.parent].add(path)
    for pair in pairing.complete:
        awaited = by_folder[pair.folder].union(path for path in pair.files if path in changing)
        reason = ", ".join(shown(path.name) for path in sorted(awaited))
        if reason := f"{reason} to stop changing" if reason else waits_for(pair.files):
            incomplete.append(Incomplete(pair.name, reason, changing=True, pair=pair))
        else:
            complete.append(pair)
    skipped = {path: why for path, why in pairing.skipped.items() if path not in changing}
    return Pairing(tuple(complete), tuple(incomplete), skipped)


@dataclass
class _Parts:
    """Files that carry the same job's `name`, as written first; with none, those of the folder."""

    name: str = ""
    single: defaultdict[str, list[Path]] = field(default_factory=lambda: defaultdict(list))
    """Content, init, job.yaml and the content's mask, by their roles: one of each is valid."""
    numbered: list[tuple[int, Path]] = field(default_factory=list)
    """The styles with their numbers, 0 where there is none."""
    style_masks: list[tuple[int, Path]] = field(default_factory=list)
    """With the numbers of their styles."""

    def add(self, match: re.Match[str], path: Path) -> None:
        part = match["part"].casefold()
        if part.startswith("style"):
            numbered = self.style_masks if match["mask"] else self.numbered
            numbered.append((int(match["number"] or 0), path))
        else:
            self.single[part + (MASK if match["mask"] else "")].append(path)

    def first(self, role: str) -> Path | None:
        return next(iter(self.single[role]), None)

    def pair(
        self, name: str, content: Path | None, masks: Mapping[str, Path] = {}, **more: Any
    ) -> Pair:
        """Pair `content`, if any, with all other parts; `masks` replace those of the parts."""
        init, job_file = self.first("init"), self.first("job")
        masks = {**self.masks, **masks}
        return Pair(name, content, self.styles, init, masks, job_file, **more)

    def incomplete(
        self, name: str, waits_for: str, folder: Path | None, others: Mapping[Path, str]
    ) -> Incomplete:
        """Return all parts, and `others` with their roles, as a pair that waits for something."""
        roles = {path: role for role, paths in self.single.items() for path in paths}
        roles |= {path: f"style-{number or 1}{MASK}" for number, path in self.style_masks}
        roles |= others
        content = next((path for path, role in roles.items() if role == "content"), None)
        pair = self.pair(name, content, folder=folder)
        rest = {path: role for path, role in roles.items() if path not in pair.files}
        return Incomplete(name, waits_for, pair=replace(pair, rest=rest))

    @property
    def styles(self) -> tuple[Path, ...]:
        """The style pictures in the order of their numbers."""
        return tuple(path for _, path in sorted(self.numbered))

    @property
    def all_but_content(self) -> tuple[Path, ...]:
        """Everything that the pictures of an album have in common."""
        others = (
            path for role, paths in self.single.items() if role != "content" for path in paths
        )
        return (*self.styles, *others, *(path for _, path in self.style_masks))

    @property
    def masks(self) -> dict[str, Path]:
        """The masks by role: that of the content, and of styles by their order in the job."""
        order = {number: place for place, (number, _) in enumerate(sorted(self.numbered), start=1)}
        styles = {
            f"style-{order[number]}{MASK}": path
            for number, path in self.style_masks
            if number in order
        }
        content = self.single[CONTENT_MASK]
        return {CONTENT_MASK: content[-1], **styles} if content else styles

    @property
    def missing_styles(self) -> tuple[str, ...]:
        """The styles of which there is only a mask, in words."""
        numbers = {number for number, _ in self.numbered}
        return tuple(
            f"the picture of {shown(path.name)}"
            for number, path in self.style_masks
            if number not in numbers
        )

    @property
    def duplicates(self) -> str:
        """The first part of which there is more than one, in words; empty if there is none."""
        parts = {what: self.single[role] for role, what in _SINGLE.items()}
        for number, path in self.style_masks:
            parts.setdefault(f"mask of style{-number or ''}", []).append(path)
        for what, paths in parts.items():
            if len(paths) > 1:
                names = " and ".join(path.name for path in paths)
                return shown(f"only one {what}: there are {names}")
        return ""


@dataclass
class _Folder:
    """The files of one folder by what their names say."""

    own: _Parts = field(default_factory=_Parts)
    named: dict[str, _Parts] = field(default_factory=dict)
    """By the case-folded name of the job."""
    pictures: list[Path] = field(default_factory=list)
    live_photos: list[Path] = field(default_factory=list)
    """Short clips that phones put beside a picture, under the same name."""
    picture_masks: dict[str, Path] = field(default_factory=dict)
    """Masks of `pictures`, by the case-folded stem."""

    def parts_of(self, job: str | None) -> _Parts:
        return self.own if job is None else self.named.setdefault(job.casefold(), _Parts(job))


def _classify(files: Iterable[Path], taken: Callable[[], Collection[str]]) -> _Folder:
    """Sort the `files` of one folder by their names; others than parts and pictures are dropped.

    `taken` returns the names of the files that jobs were made of.
    """
    folder = _Folder()
    for path in sorted(files):
        stem = path.stem.casefold()
        if match := _JOB_FILE.fullmatch(path.name):
            folder.parts_of(match["job"]).single["job"].append(path)
        elif (match := _PART.fullmatch(path.name)) and (
            match["suffix"].casefold() not in _OTHER_SUFFIXES
        ):
            folder.parts_of(match["job"]).add(match, path)
        elif _suffix(path) not in CONTENT_SUFFIXES:
            continue
        elif stem.endswith(".mask"):
            folder.picture_masks[stem.removesuffix(".mask")] = path
        else:
            folder.pictures.append(path)
    if clips := [path for path in folder.pictures if _suffix(path) not in PICTURE_SUFFIXES]:
        stills = {
            path.stem.casefold()
            for path in (*folder.pictures, *map(Path, taken()))
            if _suffix(path) in PICTURE_SUFFIXES
        }
        folder.live_photos = [path for path in clips if path.stem.casefold() in stills]
        folder.pictures = [path for path in folder.pictures if path not in folder.live_photos]
    return folder


def _suffix(path: Path) -> str:
    return path.suffix[1:].casefold()


@dataclass(frozen=True)
class _FolderPairing:
    """Pairing of one folder of the inbox, which knows all others."""

    inbox: Path
    path: Path
    folders: Mapping[Path, _Folder]
    side_of: SideOf
    with_pictures: Collection[Path]
    """The folders with pictures, directly or further down."""
    is_used: IsUsed
    taken_from: TakenFrom

    @property
    def content(self) -> _Folder:
        return self.folders[self.path]

    def named_jobs(self) -> Iterator[Pair | Incomplete]:
        """Pair the files whose names start with the name of a job."""
        for parts in self.content.named.values():
            yield self._job(self._name(parts.name), parts, None)

    def folder_jobs(self, default: Mapping[str, Path]) -> Iterator[Pair | Incomplete]:
        """Pair the other files: the folder is a job, an album, or neither."""
        own, is_inbox = self.content.own, self.path == self.inbox
        if self._is_job(own):
            side = "content" if own.single["content"] else "style"
            name = self._name(side) if is_inbox else self._name()
            yield self._job(name, own, None if is_inbox else self.path)
        elif own.styles:
            yield from self._album(own)
        elif album := self._album_around():
            yield from self._album(album)
        elif is_inbox:
            for picture, masks, needed in self._pictures():
                yield from self._lone_picture(picture, masks, needed, default)
        elif self.content.pictures:
            yield self._incomplete(STYLE.format(""))
        elif own.all_but_content:
            yield self._incomplete(f"{CONTENT} and {STYLE}".format(""))

    def skipped(self) -> dict[Path, str]:
        """Return the files that belong to no pair, with the reason."""
        content, own = self.content, self.content.own
        pictures = {path.stem.casefold() for path in content.pictures}
        masks = [path for stem, path in content.picture_masks.items() if stem not in pictures]
        skipped = dict.fromkeys(content.live_photos, LIVE_PHOTO)
        skipped |= dict.fromkeys(masks, NO_PICTURE)
        if not (own.styles or own.single["content"]) and (
            self.path == self.inbox or self._album_around()
        ):
            skipped |= dict.fromkeys(own.all_but_content, NO_JOB)
        return skipped

    def _incomplete(self, waits_for: str) -> Incomplete:
        """Return all files of the folder that have no job's name as a pair that waits."""
        others = dict.fromkeys(self.content.pictures, "content")
        others |= dict.fromkeys(self.content.picture_masks.values(), CONTENT_MASK)
        folder = None if self.path == self.inbox else self.path
        return self.content.own.incomplete(self._name(), waits_for, folder, others)

    def _is_job(self, own: _Parts) -> bool:
        """Return whether a folder with these files is one job, and no album."""
        is_style = bool(own.styles) and self.side_of(own.first("job")) == "style"
        return bool(own.single["content"]) or is_style

    def _album_around(self) -> _Parts | None:
        """Return the style of the album that the folder is in, if any."""
        inner = [self.path]
        for parent in self.path.parents:
            if parent in (self.inbox, self.inbox.parent):
                return None
            folder = self.folders.get(parent)
            if folder and folder.own.styles:
                is_apart = self._is_job(folder.own) or any(map(self._was_job, inner))
                return None if is_apart else folder.own
            inner.append(parent)
        return None

    def _was_job(self, folder: Path) -> bool:
        """Return whether the pictures of a job's own folder were taken from `folder`."""
        parts = filter(None, map(_PART.fullmatch, self.taken_from(folder)))
        return any(match["job"] is None for match in parts)

    def _job(self, name: str, parts: _Parts, folder: Path | None) -> Pair | Incomplete:
        """Pair a job all of whose parts are named as such."""
        only = self.side_of(parts.first("job"))
        sides = (("content", CONTENT, parts.single["content"]), ("style", STYLE, parts.styles))
        prefix = f"{shown(parts.name)}." if parts.name else ""
        missing = [
            what.format(prefix) for side, what, paths in sides if not paths and only in (None, side)
        ]
        missing += parts.missing_styles
        if missing or parts.duplicates:
            return parts.incomplete(name, " and ".join(missing) or parts.duplicates, folder, {})
        return parts.pair(name, parts.first("content"), folder=folder)

    def _album(self, style: _Parts) -> Iterator[Pair | Incomplete]:
        is_own = style is self.content.own
        if mistake := style.duplicates or " and ".join(style.missing_styles):
            if is_own or self.content.pictures:
                yield self._incomplete(mistake)
            return
        shared = frozenset(style.all_but_content)
        for picture, masks, needed in self._pictures():
            name = self._name(picture.stem)
            yield style.pair(name, picture, shared=shared | needed, masks=masks)
        is_empty = is_own and self.path not in self.with_pictures
        if is_empty and not self.is_used(style.styles[0]):
            yield self._incomplete(PICTURES)

    def _lone_picture(
        self,
        picture: Path,
        masks: dict[str, Path],
        needed: frozenset[Path],
        default: Mapping[str, Path],
    ) -> Iterator[Pair | Incomplete]:
        alone = Pair(self._name(picture.stem), picture, (), masks=masks, shared=needed)
        if self.side_of(None) == "content":
            yield alone
            return
        if not default:
            waits_for = DEFAULT_STYLE.format(shown(picture.stem))
            yield Incomplete(alone.name, waits_for, pair=alone)
        names: list[str] = []
        for left, (style, path) in zip(reversed(range(len(default))), default.items(), strict=True):
            name = self._name(picture.stem, f"-{style}" if len(default) > 1 else "")
            names.append(next(free for free in candidates(name) if free not in names))
            shared = needed | {path} | ({picture, *masks.values()} if left else set())
            yield replace(alone, name=names[-1], styles=(path,), shared=shared)

    def _pictures(self) -> Iterator[tuple[Path, dict[str, Path], frozenset[Path]]]:
        """Yield each picture, its mask, and the mask again if a later picture needs it, too."""
        last = {picture.stem.casefold(): picture for picture in self.content.pictures}
        for picture in self.content.pictures:
            stem = picture.stem.casefold()
            mask = self.content.picture_masks.get(stem)
            masks = {} if mask is None else {CONTENT_MASK: mask}
            yield picture, masks, frozenset(masks.values() if last[stem] != picture else ())

    def _name(self, last: str | None = None, ending: str = "") -> str:
        """Return the name in the outbox: that of the folder, with `last` and `ending` below it."""
        folder = safe_path(self.path.relative_to(self.inbox).as_posix())
        below = [safe(last, ending)] if last else []
        parts = below if self.path == self.inbox else [folder, *below]
        return "/".join(parts) or safe(self.inbox.name)
