"""Pairing of content and style pictures: job folders, albums, files side by side, lone pictures.

These are pure functions of paths; no file is opened.

- A folder with `content.*` is a job; it is complete with `style.*` (or `style-1.*` ...).
- A folder with a style and no content is an album: each other picture in it is a job, and so is
  each in its subfolders, unless these have a content or a style of their own. The inbox itself can
  also be an album, but only for the files directly in it.
- `<job>.content.*` and `<job>.style.*` belong together, in any folder.
- Any other picture directly in the inbox is a lone picture, for the default styles. In a folder
  such a picture waits, because the folder's style may still arrive.
- A job whose job.yaml restricts it to one side needs only `content.*`, or only `style.*`.

Case does not matter. `X.mask.*` is the mask of picture X; the mask of a style waits for the style.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path

from stylewatch_daemon.base.model import CONTENT_MASK, MASK, Pair
from stylewatch_daemon.files.names import PICTURE_SUFFIXES, candidates, safe, safe_path, shown
from stylewatch_daemon.settings.job import Side

CONTENT_SUFFIXES = PICTURE_SUFFIXES | {"m4v", "mkv", "mov", "mp4", "webm"}
"""Suffixes of contents: pictures and clips."""

_OTHER_SUFFIXES = frozenset(
    {"aae", "csv", "doc", "docx", "htm", "html", "ini", "json", "md", "rtf", "thm", "txt", "url",
     "xml", "xmp", "yaml", "yml"}
)  # fmt: skip
"""Suffixes of files that are not pictures, even if they are called `content`."""

_PART = re.compile(
    r"(?:(?P<job>.+)\.)?(?:job\.ya?ml|(?P<picture>content|init|style(?:-(?P<number>\d+))?)"
    r"(?P<mask>(?<!init)\.mask)?\.(?P<suffix>[^.]+))",
    re.IGNORECASE | re.DOTALL | re.ASCII,  # without ASCII, `i` would also match the dotted capital
)
_STYLE_MASK = f"style{MASK}"

_SINGLE = {"content": "content picture", "init": "init picture", "job": "job.yaml",
           CONTENT_MASK: "mask of the content", _STYLE_MASK: "mask of style{0}"}  # fmt: skip
"""Descriptions, by role, of parts that a job can have once; `format` inserts a style's number."""

CONTENT, STYLE = "a content picture ({0}content.jpg)", "a style picture ({0}style.jpg)"
"""Descriptions of files that a job waits for; `format` inserts the prefix of their names, as in
`sea.style.jpg`."""

PICTURES = "pictures to paint (content.jpg, or others for an album)"
DEFAULT_STYLE = "a style picture ({0}.style.jpg beside {0}.content.jpg, or pairing.default_style)"

SideOf = Callable[[Path | None], Side | None]
"""Function that returns the only side that a job with this job.yaml (or None) needs; None if it
needs both."""

TakenFrom = Callable[[Path], Collection[str]]
"""Function that returns the main files in and below a folder that became jobs, as relative
paths."""

LIVE_PHOTO = "it has the name of a picture of this folder, like the clips of live photos"
UNKNOWN = "its suffix is not that of a picture or a clip"
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
    taken_from: TakenFrom = lambda folder: (),
) -> Pairing:
    """Pair `files`, all of them under `inbox`.

    `default` holds the style pictures for lone pictures, by name: none, one, or several for one job
    with each of them. In that case all jobs but the last share the content, which the last one may
    take away. An album is incomplete until it has, or had, a picture. According to `taken_from`, a
    clip is left out even after its picture was taken, and the rest of a job's folder is left out of
    the album around it.
    """
    by_folder: defaultdict[Path, list[Path]] = defaultdict(list)
    for path in sorted(files):
        by_folder[path.parent].append(path)
    folders = {path: _classified(path, by_folder[path], taken_from) for path in sorted(by_folder)}
    whole = _Inbox(inbox, folders, side_of, taken_from)
    pairs: list[Pair] = []
    skipped: dict[Path, str] = {}
    for folder in folders.values():
        pairs += whole.pairs_in(folder, default)
        skipped |= whole.skipped_in(folder)
    last = {path: number for number, pair in enumerate(pairs) for path in pair.files}
    for number, pair in enumerate(pairs):  # the last of several pairs takes a shared file away
        if stays := {path for path in pair.files if last[path] != number} - pair.shared:
            pairs[number] = replace(pair, shared=pair.shared | stays)
    return Pairing(
        tuple(pair for pair in pairs if not pair.waits_for),
        tuple(pair for pair in pairs if pair.waits_for),
        skipped,
    )


def only_ready(
    pairing: Pairing, changing: Collection[Path], waits_for: Callable[[Collection[Path]], str]
) -> Pairing:
    """Return `pairing` with those pairs marked incomplete that have unstable or unfinished files.

    Files in `changing` are unstable; `waits_for` describes which of a pair's files are unfinished,
    or returns "". In a job's own folder any unstable file counts, because it may be another style
    of the job.
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
    """Files with one job name, spelled as in the first file; `name` is "" for a folder's own."""

    name: str = ""
    found: list[tuple[str, int, Path]] = field(default_factory=list)
    """Role, number (of a style, or 0 if there is none) and path of each file."""

    def of(self, role: str) -> tuple[Path, ...]:
        """Return the files with a role, in the order of their numbers."""
        return tuple(path for each, _, path in sorted(self.found) if each == role)

    def first(self, role: str) -> Path | None:
        return next(iter(self.of(role)), None)

    @property
    def all_but_content(self) -> frozenset[Path]:
        """All files that the pictures of an album share."""
        return frozenset(path for role, _, path in self.found if role != "content")

    def pair(self, name: str, content: Path | None, folder: Path | None = None) -> Pair:
        """Pair `content`, if any, with all other parts."""
        numbers = [number for role, number, _ in sorted(self.found) if role == "style"]
        masks = {
            role if role == CONTENT_MASK else f"style-{numbers.index(number) + 1}{MASK}": path
            for role, number, path in sorted(self.found)
            if role.endswith(MASK)
        }
        styles, init, job_file = self.of("style"), self.first("init"), self.first("job")
        return Pair(name, content, styles, init, masks, job_file, folder=folder)

    def mistake(self, *missing: str) -> str:
        """Describe what is `missing`, or the first part that occurs too often."""
        numbers = {number for role, number, _ in self.found if role == "style"}
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
    """The files of one folder, classified by name."""

    path: Path
    own: _Parts = field(default_factory=_Parts)
    named: dict[str, _Parts] = field(default_factory=dict)
    """Parts by the case-folded name of the job."""
    pictures: list[Path] = field(default_factory=list)
    masks: dict[str, Path] = field(default_factory=dict)
    """Masks of `pictures`, by the case-folded stem."""
    skipped: dict[Path, str] = field(default_factory=dict)
    """Files that belong to no picture, with the reason."""


def _classified(path: Path, files: Iterable[Path], taken_from: TakenFrom) -> _Folder:
    """Classify the `files` of one folder by name, dropping all but parts and pictures."""
    folder = _Folder(path)
    for file in files:
        suffix, stem, match = _suffix(file), file.stem.casefold(), _PART.fullmatch(file.name)
        if match and (match["picture"] is None or suffix not in _OTHER_SUFFIXES):
            job, picture = match["job"], (match["picture"] or "job").casefold().partition("-")[0]
            parts = folder.named.setdefault(job.casefold(), _Parts(job)) if job else folder.own
            role = picture + (MASK if match["mask"] else "")
            parts.found.append((role, int(match["number"] or 0), file))
        elif suffix in CONTENT_SUFFIXES and stem.endswith(".mask"):
            folder.masks[stem.removesuffix(".mask")] = file
        elif suffix in CONTENT_SUFFIXES:
            folder.pictures.append(file)
        elif suffix not in _OTHER_SUFFIXES:
            folder.skipped[file] = UNKNOWN
    if clips := [file for file in folder.pictures if _suffix(file) not in PICTURE_SUFFIXES]:
        known = (*folder.pictures, *(Path(name) for name in taken_from(path) if "/" not in name))
        stills = {file.stem.casefold() for file in known if _suffix(file) in PICTURE_SUFFIXES}
        live_photos = [file for file in clips if file.stem.casefold() in stills]
        folder.pictures = [file for file in folder.pictures if file not in live_photos]
        folder.skipped |= dict.fromkeys(live_photos, LIVE_PHOTO)
    stems = {picture.stem.casefold() for picture in folder.pictures}
    without = (mask for stem, mask in folder.masks.items() if stem not in stems)
    folder.skipped |= dict.fromkeys(without, NO_PICTURE)
    return folder


def _suffix(path: Path) -> str:
    return path.suffix[1:].casefold()


@dataclass(frozen=True)
class _Inbox:
    """All folders of an inbox that contain files, and functions to look up their jobs."""

    path: Path
    folders: Mapping[Path, _Folder]
    side_of: SideOf
    taken_from: TakenFrom

    def pairs_in(self, folder: _Folder, default: Mapping[str, Path]) -> Iterator[Pair]:
        """Pair the files of a folder: those with the names of jobs, then the others.

        The folder is a job itself, an album, or neither.
        """
        for parts in folder.named.values():
            yield self._job(self._name(folder, parts.name), parts, None)
        own, is_inbox = folder.own, folder.path == self.path
        if self._is_job(own):
            side = "content" if own.of("content") else "style"
            name = self._name(folder, side if is_inbox else None)
            yield self._job(name, own, None if is_inbox else folder.path)
        elif album := self._album_of(folder.path):
            yield from self._album(folder, album)
        elif is_inbox:
            for picture in self._pictures(folder):
                yield from self._lone_picture(folder, picture, default)
        elif folder.pictures:
            yield self._waiting(folder, STYLE.format(""))
        elif own.found:
            yield self._waiting(folder, f"{CONTENT} and {STYLE}".format(""))

    def skipped_in(self, folder: _Folder) -> dict[Path, str]:
        """Return the files of a folder that belong to no pair, with the reason."""
        own = folder.own
        has_sides = own.of("style") or own.of("content")
        if has_sides or not (folder.path == self.path or self._album_of(folder.path)):
            return folder.skipped
        return folder.skipped | dict.fromkeys(own.all_but_content, NO_JOB)

    def _is_job(self, own: _Parts) -> bool:
        """Return whether a folder with these files is a single job, not an album."""
        if own.of("content"):
            return True
        return bool(own.of("style")) and self.side_of(own.first("job")) == "style"

    def _album_of(self, path: Path) -> _Parts | None:
        """Return the style of the album that the pictures in a folder belong to, if any."""
        folder = self.folders.get(path)
        if folder and folder.own.of("style"):
            return None if self._is_job(folder.own) else folder.own
        if self.path in (path, path.parent):
            return None
        album = self._album_of(path.parent)
        return None if album and self._was_job(path) else album

    def _was_job(self, path: Path) -> bool:
        """Return whether the pictures of a job's own folder were taken from a folder."""
        here = (name for name in self.taken_from(path) if "/" not in name)
        return any(match["job"] is None for match in filter(None, map(_PART.fullmatch, here)))

    def _had_picture(self, path: Path) -> bool:
        """Return whether a picture of an album, or of a folder in it, became a job."""
        names = (name.rpartition("/")[2] for name in self.taken_from(path))
        return any(_PART.fullmatch(name) is None for name in names)

    def _waiting(self, folder: _Folder, waits_for: str) -> Pair:
        """Return all files of a folder without a job's name as an incomplete pair."""
        own = (path for _, _, path in folder.own.found)
        files = (*folder.pictures, *own, *folder.masks.values())
        return Pair(self._name(folder), None, others=files, waits_for=waits_for)

    def _job(self, name: str, parts: _Parts, folder: Path | None) -> Pair:
        """Return the pair of a job whose parts all have its name."""
        only = self.side_of(parts.first("job"))
        prefix = f"{shown(parts.name)}." if parts.name else ""
        missing = [
            what.format(prefix)
            for side, what in (("content", CONTENT), ("style", STYLE))
            if not parts.of(side) and only in (None, side)
        ]
        if mistake := parts.mistake(*missing):
            files = tuple(path for _, _, path in sorted(parts.found))
            return Pair(name, None, others=files, waits_for=mistake)
        return parts.pair(name, parts.first("content"), folder)

    def _album(self, folder: _Folder, style: _Parts) -> Iterator[Pair]:
        """Pair each picture of a folder with the style of its album."""
        is_own = style is folder.own
        if mistake := style.mistake():
            if is_own or folder.pictures:
                yield self._waiting(folder, mistake)
            return
        for picture in self._pictures(folder):
            pair = style.pair(picture.name, picture.content)
            masks = {**pair.masks, **picture.masks}
            yield replace(pair, masks=masks, shared=style.all_but_content)
        if is_own and not (folder.pictures or self._had_picture(folder.path)):
            below = (path for path, each in self.folders.items() if each.pictures)
            if not any(folder.path in path.parents for path in below):
                yield self._waiting(folder, PICTURES)

    def _lone_picture(
        self, folder: _Folder, picture: Pair, default: Mapping[str, Path]
    ) -> Iterator[Pair]:
        """Pair a picture with each of the default styles."""
        stem = picture.main.stem
        if self.side_of(None) == "content":
            yield picture
            return
        if not default:
            yield replace(picture, waits_for=DEFAULT_STYLE.format(shown(stem)))
        names: list[str] = []
        for style, path in default.items():
            name = self._name(folder, stem, f"-{style}" if len(default) > 1 else "")
            names.append(next(free for free in candidates(name) if free not in names))
            yield replace(picture, name=names[-1], styles=(path,), shared=frozenset([path]))

    def _pictures(self, folder: _Folder) -> Iterator[Pair]:
        """Yield each picture with its mask."""
        for picture in folder.pictures:
            mask = folder.masks.get(picture.stem.casefold())
            masks = {} if mask is None else {CONTENT_MASK: mask}
            yield Pair(self._name(folder, picture.stem), picture, masks=masks)

    def _name(self, folder: _Folder, last: str | None = None, ending: str = "") -> str:
        """Return the name in the outbox: the folder's, then `last` with `ending`, if given."""
        below = [safe(last, ending)] if last else []
        if folder.path == self.path:
            return "/".join(below) or safe(self.path.name)
        return "/".join([safe_path(folder.path.relative_to(self.path).as_posix()), *below])
