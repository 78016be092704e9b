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
from itertools import groupby
from pathlib import Path

from stylewatch_daemon.base.model import CONTENT_MASK, MASK, Pair
from stylewatch_daemon.files.names import PICTURE_SUFFIXES, candidates, safe, safe_path, shown
from stylewatch_daemon.settings.job import Side

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
_STYLE_MASK = f"style{MASK}"

_JOB_FILE = re.compile(r"(?:(?P<job>.+)\.)?job\.ya?ml", re.IGNORECASE | re.DOTALL | re.ASCII)

_SINGLE = {"content": "content picture", "init": "init picture", "job": "job.yaml",
           CONTENT_MASK: "mask of the content", _STYLE_MASK: "mask of style{0}"}  # fmt: skip
"""Parts of which a job has one, by their roles, in words; `format` inserts a style's number."""

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
    """Pairs of an inbox; the incomplete ones say what they wait for."""

    complete: tuple[Pair, ...] = ()
    incomplete: tuple[Pair, ...] = ()
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
    pairs: list[Pair] = []
    skipped: dict[Path, str] = {}
    for folder in folders:
        pairing = _FolderPairing(
            inbox, folder, folders, side_of, with_pictures, is_used, taken_from
        )
        pairs += [*pairing.named_jobs(), *pairing.folder_jobs(default)]
        skipped |= pairing.skipped()
    return Pairing(
        tuple(pair for pair in pairs if not pair.waits_for),
        tuple(pair for pair in pairs if pair.waits_for),
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
            incomplete.append(replace(pair, waits_for=reason, changing=True))
        else:
            complete.append(pair)
    skipped = {path: why for path, why in pairing.skipped.items() if path not in changing}
    return Pairing(tuple(complete), tuple(incomplete), skipped)


@dataclass
class _Parts:
    """Files that carry the same job's `name`, as written first; with none, those of the folder."""

    name: str = ""
    found: list[tuple[str, int, Path]] = field(default_factory=list)
    """Role, number (that of a style, 0 where there is none) and path of each."""

    def add(self, match: re.Match[str], path: Path) -> None:
        role = match["part"].casefold().partition("-")[0] + (MASK if match["mask"] else "")
        self.found.append((role, int(match["number"] or 0), path))

    def of(self, role: str) -> tuple[Path, ...]:
        """Return the files with a role, in the order of their numbers."""
        return tuple(path for each, _, path in sorted(self.found) if each == role)

    def first(self, role: str) -> Path | None:
        return next(iter(self.of(role)), None)

    @property
    def all_but_content(self) -> frozenset[Path]:
        """Everything that the pictures of an album have in common."""
        return frozenset(path for role, _, path in self.found if role != "content")

    def pair(self, name: str, content: Path | None, folder: Path | None = None) -> Pair:
        """Pair `content`, if any, with all other parts."""
        init, job_file = self.first("init"), self.first("job")
        return Pair(name, content, self.of("style"), init, self.masks, job_file, folder=folder)

    def incomplete(
        self, name: str, waits_for: str, folder: Path | None, others: Mapping[Path, str]
    ) -> Pair:
        """Return all parts, and `others` with their roles, as a pair that waits for something."""
        roles = {
            path: f"style-{number or 1}{MASK}" if role == _STYLE_MASK else role
            for role, number, path in self.found
        }
        roles |= others
        content = next((path for path, role in roles.items() if role == "content"), None)
        pair = self.pair(name, content, folder)
        rest = {path: role for path, role in roles.items() if path not in pair.files}
        return replace(pair, rest=rest, waits_for=waits_for)

    @property
    def style_numbers(self) -> list[int]:
        """The numbers of the styles, in their order in the job."""
        return sorted(number for role, number, _ in self.found if role == "style")

    @property
    def masks(self) -> dict[str, Path]:
        """The masks by role: that of the content, and of styles by their order in the job."""
        order = {number: place for place, number in enumerate(self.style_numbers, start=1)}
        masks = {}
        for role, number, path in sorted(self.found):
            if role == CONTENT_MASK:
                masks[role] = path
            elif role == _STYLE_MASK and number in order:
                masks[f"style-{order[number]}{MASK}"] = path
        return masks

    def mistake(self, *missing: str) -> str:
        """Return in words what is `missing`, or the first part of which there are too many."""
        numbers = self.style_numbers
        without_style = (
            f"the picture of {shown(path.name)}"
            for role, number, path in self.found
            if role == _STYLE_MASK and number not in numbers
        )
        if words := " and ".join((*missing, *without_style)):
            return words
        for (role, number), parts in groupby(sorted(self.found), key=lambda part: part[:2]):
            names = [path.name for _, _, path in parts]
            if role in _SINGLE and len(names) > 1:
                what = _SINGLE[role].format(-number or "")
                return shown(f"only one {what}: there are {' and '.join(names)}")
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
            folder.parts_of(match["job"]).found.append(("job", 0, path))
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

    def named_jobs(self) -> Iterator[Pair]:
        """Pair the files whose names start with the name of a job."""
        for parts in self.content.named.values():
            yield self._job(self._name(parts.name), parts, None)

    def folder_jobs(self, default: Mapping[str, Path]) -> Iterator[Pair]:
        """Pair the other files: the folder is a job, an album, or neither."""
        own, is_inbox = self.content.own, self.path == self.inbox
        if self._is_job(own):
            side = "content" if own.of("content") else "style"
            name = self._name(side) if is_inbox else self._name()
            yield self._job(name, own, None if is_inbox else self.path)
        elif album := own if own.of("style") else self._album_around():
            yield from self._album(album)
        elif is_inbox:
            for picture in self._pictures():
                yield from self._lone_picture(picture, default)
        elif self.content.pictures:
            yield self._incomplete(STYLE.format(""))
        elif own.found:
            yield self._incomplete(f"{CONTENT} and {STYLE}".format(""))

    def skipped(self) -> dict[Path, str]:
        """Return the files that belong to no pair, with the reason."""
        content, own = self.content, self.content.own
        pictures = {path.stem.casefold() for path in content.pictures}
        masks = [path for stem, path in content.picture_masks.items() if stem not in pictures]
        skipped = dict.fromkeys(content.live_photos, LIVE_PHOTO)
        skipped |= dict.fromkeys(masks, NO_PICTURE)
        has_sides = own.of("style") or own.of("content")
        if not has_sides and (self.path == self.inbox or self._album_around()):
            skipped |= dict.fromkeys(own.all_but_content, NO_JOB)
        return skipped

    def _incomplete(self, waits_for: str) -> Pair:
        """Return all files of the folder that have no job's name as a pair that waits."""
        others = dict.fromkeys(self.content.pictures, "content")
        others |= dict.fromkeys(self.content.picture_masks.values(), CONTENT_MASK)
        folder = None if self.path == self.inbox else self.path
        return self.content.own.incomplete(self._name(), waits_for, folder, others)

    def _is_job(self, own: _Parts) -> bool:
        """Return whether a folder with these files is one job, and no album."""
        if own.of("content"):
            return True
        return bool(own.of("style")) and self.side_of(own.first("job")) == "style"

    def _album_around(self) -> _Parts | None:
        """Return the style of the album that the folder is in, if any."""
        inner = [self.path]
        for parent in self.path.parents:
            if parent in (self.inbox, self.inbox.parent):
                return None
            folder = self.folders.get(parent)
            if folder and folder.own.of("style"):
                is_apart = self._is_job(folder.own) or any(map(self._was_job, inner))
                return None if is_apart else folder.own
            inner.append(parent)
        return None

    def _was_job(self, folder: Path) -> bool:
        """Return whether the pictures of a job's own folder were taken from `folder`."""
        parts = filter(None, map(_PART.fullmatch, self.taken_from(folder)))
        return any(match["job"] is None for match in parts)

    def _job(self, name: str, parts: _Parts, folder: Path | None) -> Pair:
        """Pair a job all of whose parts are named as such."""
        only = self.side_of(parts.first("job"))
        prefix = f"{shown(parts.name)}." if parts.name else ""
        missing = [
            what.format(prefix)
            for side, what in (("content", CONTENT), ("style", STYLE))
            if not parts.of(side) and only in (None, side)
        ]
        if mistake := parts.mistake(*missing):
            return parts.incomplete(name, mistake, folder, {})
        return parts.pair(name, parts.first("content"), folder)

    def _album(self, style: _Parts) -> Iterator[Pair]:
        is_own = style is self.content.own
        if mistake := style.mistake():
            if is_own or self.content.pictures:
                yield self._incomplete(mistake)
            return
        for picture in self._pictures():
            pair = style.pair(picture.name, picture.content)
            shared = style.all_but_content | picture.shared
            yield replace(pair, masks={**pair.masks, **picture.masks}, shared=shared)
        is_empty = is_own and self.path not in self.with_pictures
        if is_empty and not self.is_used(style.of("style")[0]):
            yield self._incomplete(PICTURES)

    def _lone_picture(self, picture: Pair, default: Mapping[str, Path]) -> Iterator[Pair]:
        if self.side_of(None) == "content":
            yield picture
            return
        stem = picture.main.stem
        if not default:
            yield replace(picture, waits_for=DEFAULT_STYLE.format(shown(stem)))
        names: list[str] = []
        for left, (style, path) in zip(reversed(range(len(default))), default.items(), strict=True):
            name = self._name(stem, f"-{style}" if len(default) > 1 else "")
            names.append(next(free for free in candidates(name) if free not in names))
            shared = picture.shared.union([path], picture.files if left else ())
            yield replace(picture, name=names[-1], styles=(path,), shared=shared)

    def _pictures(self) -> Iterator[Pair]:
        """Yield each picture with its mask, which is shared if a later picture needs it, too."""
        last = {picture.stem.casefold(): picture for picture in self.content.pictures}
        for picture in self.content.pictures:
            stem = picture.stem.casefold()
            mask = self.content.picture_masks.get(stem)
            masks = {} if mask is None else {CONTENT_MASK: mask}
            shared = frozenset(masks.values() if last[stem] != picture else ())
            yield Pair(self._name(picture.stem), picture, masks=masks, shared=shared)

    def _name(self, last: str | None = None, ending: str = "") -> str:
        """Return the name in the outbox: that of the folder, with `last` and `ending` below it."""
        folder = safe_path(self.path.relative_to(self.inbox).as_posix())
        below = [safe(last, ending)] if last else []
        parts = below if self.path == self.inbox else [folder, *below]
        return "/".join(parts) or safe(self.inbox.name)
