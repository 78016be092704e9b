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

`X.mask.*` is the mask of picture X; the mask of a style waits for the style. Neither case nor how
accents are stored matters, but exact names win (law 8). If two files could be the same part of a
job, the job waits.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, groupby
from operator import itemgetter
from pathlib import Path

from stylewatch_daemon.base.model import CONTENT_MASK, MASK, Pair
from stylewatch_daemon.files.names import (
    CONTENT_SUFFIXES,
    candidates,
    folded,
    is_picture,
    safe,
    safe_path,
    shown,
    take_name,
    told_apart,
)
from stylewatch_daemon.settings.job import Side
from stylewatch_daemon.settings.style_library import needs_style

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

_COPY_WORD = "(?:copy|copi[ae]|kopi[ae]?)"
_COPY = re.compile(
    r"(?P<part>(?:.+\.)?(?:content|init|style(?:-\d+)?|job)(?:\.mask)?)"
    rf"(?: ?\((?:\d+|[^()]*{_COPY_WORD}[^()]*)\)| (?:- )?{_COPY_WORD}(?: \(?\d+\)?)?| \d+)"
    r"(?P<suffix>\.[^.]+)",
    re.IGNORECASE | re.DOTALL | re.ASCII,
)
"""Pattern for the names that browsers and file managers give to copies of a part of a job, such as
`style (1).jpg`, `style copy 2.jpg` and `style - Kopie.jpg`."""

_SETTINGS_TEXT = re.compile(
    r"(?P<start>(?:.+\.)?job)(?P<suffix>\.ya?ml)?\.txt", re.IGNORECASE | re.DOTALL | re.ASCII
)
"""Pattern for the name of a job.yaml that was saved with a text editor of Windows."""

_ONLY_ONE = {
    "content": "content picture", "init": "init picture", "job": "job.yaml",
    "style": "picture called style{0} (several are style-1, style-2 ...)",
    CONTENT_MASK: "mask of the content", _STYLE_MASK: "mask of style{0}",
}  # fmt: skip
"""Descriptions of parts by role, each of which a job can have once; `format` inserts a style's
number."""

CONTENT, STYLE = "a content picture ({0}content.jpg)", "a style picture ({0}style.jpg)"
"""Descriptions of files that a job waits for; `format` inserts the prefix of their names, as in
`sea.style.jpg`."""

PICTURES = "pictures to paint (content.jpg, or others for an album)"
DEFAULT_STYLE = "a style picture ({0}.style.jpg beside {0}.content.jpg, or pairing.default_style)"

SideOf = Callable[[Path | None], Side | None]
"""Function that returns the only side that a job with this job.yaml (or None) needs; None if it
needs both."""

IsKnown = Callable[[Path], bool]
"""Function that returns whether there is a record of a file of the inbox: it was used before, and
stayed."""

LIVE_PHOTO = "it has the name of a picture of this folder, like the clips of live photos"
UNKNOWN = "its suffix is not that of a picture or a clip"
NO_PICTURE = "it is a mask, and there is no picture of its name in this folder"
NO_JOB = "it has no effect without a content or a style picture in the same folder"
BESIDE = "it is in the folder of a job, and no part of it; to paint it, move it to another folder"
COPY = "it is named like a copy of {0}: rename it to {0}{1}"
"""Reason for a copy; `format` inserts the name of the part and other possible names."""
TO_PAINT = ", or otherwise to paint it"
AS_STYLE = ", to style-2.{0}, style-3.{0} ... as a further style"
NO_SETTINGS = "it has no effect: settings are read from {0} (Windows may hide the ending .txt)"


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
    is_known: IsKnown = lambda path: False,
    default_waits_for: str = "",
) -> Pairing:
    """Return the pairs of `files` in `inbox`; the caller omits files left out of earlier pairs.

    `default` has the default styles by name. A lone picture makes a pair with each of them; these
    pairs are adjacent and have the same main file. While the styles are not known, `default` is
    empty, and lone pictures wait for `default_waits_for`. An album without pictures is incomplete,
    unless one of its styles `is_known`: then it had pictures before.
    """
    by_folder: defaultdict[Path, list[Path]] = defaultdict(list)
    for path in sorted(files):
        by_folder[path.parent].append(path)
    folders = {path: _classified(path, by_folder[path]) for path in sorted(by_folder)}
    below: defaultdict[Path, list[_Folder]] = defaultdict(list)
    for folder in folders.values():
        for above in (folder.path, *folder.path.parents):
            below[above].append(folder)
    whole = _Inbox(inbox, folders, below, side_of, is_known, default_waits_for)
    pairs: list[Pair] = []
    skipped: dict[Path, str] = {}
    for folder in folders.values():
        pairs += whole.pairs_in(folder, default)
        skipped |= whole.skipped_in(folder)
    return Pairing(
        tuple(pair for pair in pairs if not pair.waits_for),
        tuple(_told_of_twins((pair for pair in pairs if pair.waits_for), folders)),
        skipped,
    )


def _told_of_twins(incomplete: Iterable[Pair], folders: Iterable[Path]) -> Iterator[Pair]:
    """Yield incomplete pairs, with a remark if another folder has the same name once folded."""
    names: defaultdict[tuple[Path, str], list[str]] = defaultdict(list)
    for path in folders:
        names[path.parent, folded(path.name)].append(path.name)
    for pair in incomplete:
        folder = pair.main.parent
        twins = names[folder.parent, folded(folder.name)]
        remark = f"; there are the folders {told_apart(twins)}" if len(twins) > 1 else ""
        yield replace(pair, waits_for=f"{pair.waits_for}{remark}")


def only_ready(
    pairing: Pairing, changing: Collection[Path], waits_for: Callable[[Collection[Path]], str]
) -> Pairing:
    """Return `pairing` with those pairs marked incomplete that have unstable or unfinished files.

    Files in `changing` are unstable, and not reported as skipped. `waits_for` describes which files
    of a pair are unfinished, or returns "". In a job's own folder any unstable file counts, because
    it may be another style of the job.
    """
    complete = []
    incomplete = list(pairing.incomplete)
    by_folder: defaultdict[Path | None, set[Path]] = defaultdict(set)
    for path in changing:
        by_folder[path.parent].add(path)
    for pair in pairing.complete:
        awaited = by_folder[pair.folder].union(path for path in pair.files if path in changing)
        reason = ", ".join(shown(path.name) for path in sorted(awaited))
        reason = f"{reason} to stop changing" if reason else waits_for(pair.files)
        if reason:
            incomplete.append(replace(pair, waits_for=reason, changing=True))
        else:
            complete.append(pair)
    skipped = {path: why for path, why in pairing.skipped.items() if path not in changing}
    return Pairing(tuple(complete), tuple(incomplete), skipped)


_Part = tuple[str, int, Path]
"""Role, number (of a style, or 0 if there is none) and path of a file."""


def folders_of(inbox: Path, main: Path) -> list[Path]:
    """Return the folders in which a new file may concern the pair with the main file `main`.

    These are the folder of `main`, and each folder between that one and `inbox`: an album may begin
    there. `inbox` is included only if `main` is directly in it.
    """
    folder = main.parent
    above = [parent for parent in folder.parents if inbox in parent.parents]
    return [folder, *above]


class Entries:
    """Index of entries of folders, to find those that may concern a pair."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._by_folder = defaultdict[Path, list[Path]](list)
        self._by_job = defaultdict[str | None, list[Path]](list)
        self._by_stem = defaultdict[tuple[Path, str], list[Path]](list)
        for path in paths:
            stem = folded(path.stem).removesuffix(_MASK_ENDING)
            self._by_folder[path.parent].append(path)
            self._by_job[job_named(path)].append(path)
            self._by_stem[path.parent, stem].append(path)

    def concerning(self, main: Path, own_folder: Path | None) -> set[Path]:
        """Return the entries that may belong to a pair, or to its album.

        `main` is the main file of the pair, `own_folder` its own folder, or None. An entry may be
        another part of the pair, or make it ambiguous. All entries in `own_folder` are returned,
        because each may be a part that is still being renamed.
        """
        job = job_named(main)
        # a part without a name is for the album, or makes a job of its folder
        found = {*self._by_job[job or ""]}
        if not job:
            found.update(self._by_stem[main.parent, folded(main.stem)])
        if own_folder is not None:
            found.update(self._by_folder[own_folder])
        return found


def still_holds(pair: Pair, new: Iterable[Path]) -> bool:
    """Return whether a pair is still valid although the entries `new` came after it was found.

    `new` are entries of the folders that `folders_of` returns, except ignored entries. In case of
    doubt the result is False, and the caller pairs the files anew.
    """
    return not Entries(new).concerning(pair.main, pair.folder)


def job_named(path: Path) -> str | None:
    """Return the name of the job that a part belongs to, folded; None if a file is no part.

    The name is "" for a part of its folder's own job.
    """
    match = _PART.fullmatch(path.name)
    return None if match is None else folded(match["job"] or "")


@dataclass
class _Parts:
    """Parts of one job, whose `name` is spelled as in the first file; "" for a folder's own job."""

    name: str = ""
    found: list[_Part] = field(default_factory=list)

    def of(self, role: str) -> tuple[Path, ...]:
        """Return the files with a role, in the order of their numbers."""
        return tuple(path for part_role, _, path in sorted(self.found) if part_role == role)

    def first(self, role: str) -> Path | None:
        """Return the first file with a role; None if there is none."""
        paths = self.of(role)
        return paths[0] if paths else None

    @property
    def all_but_content(self) -> frozenset[Path]:
        """All files that the pictures of an album share."""
        return frozenset(path for role, _, path in self.found if role != "content")

    def pair(self, name: str, content: Path | None, folder: Path | None = None) -> Pair:
        """Return the pair of `content`, which may be None, with all other parts."""
        numbers = [number for role, number, _ in sorted(self.found) if role == "style"]
        masks = {
            role if role == CONTENT_MASK else f"style-{numbers.index(number) + 1}{MASK}": path
            for role, number, path in sorted(self.found)
            if role.endswith(MASK)
        }
        styles = self.of("style")
        init = self.first("init")
        job_file = self.first("job")
        return Pair(name, content, styles, init, masks, job_file, folder=folder)

    def mistake(self, *missing: str) -> str:
        """Describe why these are not the parts of one job; empty if they are.

        The reasons are the parts that the caller found `missing`, and masks without their styles;
        if there are none, the first part that occurs more than once.
        """
        numbers = {number for role, number, _ in self.found if role == "style"}
        without_style = (
            f"the picture of {shown(path.name)}"
            for role, number, path in self.found
            if role == _STYLE_MASK and number not in numbers
        )
        words = " and ".join((*missing, *without_style))
        if words:
            return words
        for (role, number), parts in groupby(sorted(self.found), key=itemgetter(0, 1)):
            paths = [path for _, _, path in parts]
            if len(paths) > 1:
                style_number = f"-{number}" if number else ""
                return _only_one(_ONLY_ONE[role].format(style_number), paths)
        return ""

    def by_spelling(self) -> list["_Parts"]:
        """Return the parts, divided by the spelling of the job's name."""
        spelled: defaultdict[str, list[_Part]] = defaultdict(list)
        for part in self.found:
            match = _PART.fullmatch(part[2].name)
            spelled[match["job"] if match else self.name].append(part)
        return [_Parts(name, parts) for name, parts in spelled.items()]


def _only_one(what: str, paths: Iterable[Path]) -> str:
    """Describe that only one of these files can be `what`."""
    return f"only one {what}: there are {told_apart([path.name for path in paths])}"


TWO = 2
"""Number of pictures, a content and a style, that people drop together."""


def _style_for(pictures: Sequence[Path]) -> str:
    """Describe the style that a folder with these pictures waits for.

    If there are two pictures, one of them is probably meant as the style.
    """
    if len(pictures) != TWO or not all(map(is_picture, pictures)):
        return STYLE.format("")
    names = (f"{shown(path.name)} to style{shown(path.suffix)}" for path in pictures)
    return f"a style picture (rename {', or '.join(names)})"


@dataclass
class _Folder:
    """The files of one folder, classified by name."""

    path: Path
    own: _Parts = field(default_factory=_Parts)
    named: dict[str, _Parts] = field(default_factory=dict)
    """Parts by the folded name of the job."""
    pictures: list[Path] = field(default_factory=list)
    masks: list[Path] = field(default_factory=list)
    """All masks, including those that fit none of the `pictures`."""
    clips: dict[str, tuple[Path, ...]] = field(default_factory=dict)
    """Clips of live photos, by the folded stem."""
    skipped: dict[Path, str] = field(default_factory=dict)
    """Files that belong to no picture, with the reason."""


def _classified(path: Path, files: Iterable[Path]) -> _Folder:
    """Return the `files` of one folder, sorted into parts of jobs, pictures, masks and clips.

    Texts, sidecar files and masks without a picture are skipped, with the reason; files of other
    kinds are left out.
    """
    folder = _Folder(path)
    for file in files:
        suffix = _suffix(file)
        match = _PART.fullmatch(file.name)
        if match and (match["picture"] is None or suffix not in _OTHER_SUFFIXES):
            job = match["job"]
            picture = folded(match["picture"] or "job").partition("-")[0]
            parts = folder.named.setdefault(folded(job), _Parts(job)) if job else folder.own
            role = picture + (MASK if match["mask"] else "")
            parts.found.append((role, int(match["number"] or 0), file))
        elif reason := _reason_to_skip(file):
            folder.skipped[file] = reason
        elif suffix in CONTENT_SUFFIXES:
            (folder.pictures if _stem(file) == file.stem else folder.masks).append(file)
    _set_clips_apart(folder)
    masked = _Masks(folder.pictures, folder.masks)
    without = (mask for mask in folder.masks if not masked.pictures_of(mask))
    folder.skipped |= dict.fromkeys(without, NO_PICTURE)
    return folder


def _set_clips_apart(folder: _Folder) -> None:
    """Move clips of live photos from the pictures of a folder to its clips and skipped files."""
    clips = [file for file in folder.pictures if not is_picture(file)]
    if not clips:
        return
    stills = [file for file in folder.pictures if is_picture(file)]
    stems = {folded(file.stem) for file in stills}
    folder.pictures = stills
    for clip in clips:
        stem = folded(clip.stem)
        if stem in stems:
            folder.clips[stem] = (*folder.clips.get(stem, ()), clip)
            folder.skipped[clip] = LIVE_PHOTO
        else:
            folder.pictures.append(clip)


def _reason_to_skip(file: Path) -> str:
    """Return why a file that is no part of a job is skipped.

    Empty if it may be a picture, or is a text or a sidecar file: the status names none of these.
    """
    suffix = _suffix(file)
    text = _SETTINGS_TEXT.fullmatch(file.name)
    if text:
        return NO_SETTINGS.format(shown(f"{text['start']}{text['suffix'] or '.yaml'}"))
    copy = _COPY.fullmatch(file.name)
    if copy:
        *_, kind = folded(copy["part"]).split(".")
        if _fits(kind, suffix):
            return COPY.format(shown(f"{copy['part']}{copy['suffix']}"), _other_names(kind, suffix))
    return "" if suffix in CONTENT_SUFFIXES | _OTHER_SUFFIXES else UNKNOWN


def _fits(kind: str, suffix: str) -> bool:
    """Return whether a part of `kind`, such as `job` or `style-2`, may have this suffix."""
    if kind == "job":
        return suffix in ("yaml", "yml")
    return suffix not in _OTHER_SUFFIXES


def _other_names(kind: str, suffix: str) -> str:
    """Return the end of COPY for a copy of a part of this kind: further names to rename it to."""
    if kind in ("job", "mask"):
        return ""
    if kind.startswith("style"):
        return f"{AS_STYLE.format(suffix)}{TO_PAINT}"
    return TO_PAINT


def _suffix(path: Path) -> str:
    return folded(path.suffix[1:])


_MASK_ENDING = ".mask"
"""End of the stem of a mask, after the stem of its picture."""


class _Masks:
    """The masks of a folder, matched with its pictures by their stems; exact names win (law 8)."""

    def __init__(self, pictures: Collection[Path], masks: Collection[Path]) -> None:
        self._exact = set(map(_stem, pictures)) & set(map(_stem, masks))
        self._pictures = self._by_key(pictures)
        self._masks = self._by_key(masks)

    def _by_key(self, paths: Iterable[Path]) -> Mapping[tuple[bool, str], list[Path]]:
        keys: defaultdict[tuple[bool, str], list[Path]] = defaultdict(list)
        for path in paths:
            keys[self._key(path)].append(path)
        return dict(keys)

    def _key(self, path: Path) -> tuple[bool, str]:
        """Return the key that a picture shares with its mask: the stem, exact or folded."""
        stem = _stem(path)
        return (True, stem) if stem in self._exact else (False, folded(stem))

    def masks_of(self, picture: Path) -> list[Path]:
        """Return the masks that fit a picture; more than one is a mistake."""
        return self._masks.get(self._key(picture), [])

    def pictures_of(self, mask: Path) -> list[Path]:
        """Return the pictures that a mask fits; more than one is a mistake."""
        return self._pictures.get(self._key(mask), [])

    def mistake(self, picture: Path) -> str:
        """Describe why the mask of a picture is ambiguous; empty if it is not."""
        masks = self.masks_of(picture)
        if len(masks) > 1:
            return _only_one(f"mask of {shown(picture.name)}", masks)
        for mask in masks:
            pictures = self.pictures_of(mask)
            if len(pictures) > 1:
                return _only_one(f"picture for {shown(mask.name)}", pictures)
        return ""


def _stem(path: Path) -> str:
    """Return the stem of a picture, or of the picture that a mask is for."""
    is_mask = folded(path.stem).endswith(_MASK_ENDING)
    return path.stem[: -len(_MASK_ENDING)] if is_mask else path.stem


@dataclass(frozen=True)
class _Inbox:
    """All folders of an inbox that contain files, and the functions that find their pairs."""

    path: Path
    folders: Mapping[Path, _Folder]
    below: Mapping[Path, list[_Folder]]
    """For each folder, itself and the folders at any depth in it, as far as they have files."""
    side_of: SideOf
    is_known: IsKnown
    default_waits_for: str

    def pairs_in(self, folder: _Folder, default: Mapping[str, Path]) -> Iterator[Pair]:
        """Yield the pairs of a folder, complete or not: those of named jobs, then the others.

        The folder may be a job itself, a part of an album, or neither. `default` has the default
        styles by name.
        """
        for parts in chain.from_iterable(map(self._jobs_called, folder.named.values())):
            yield self._job(self._name(folder, parts.name), parts, None)
        is_job = self._is_job(folder.own)
        if is_job:
            yield self._own_job(folder)
        album = self._album_of(folder.path)
        if album:
            yield from self._album(folder, album)
        elif folder.path == self.path:
            for picture in self._pictures(folder):
                yield from self._lone_picture(folder, picture, default)
        elif not is_job:
            yield from self._without_style(folder)

    def _own_job(self, folder: _Folder) -> Pair:
        """Return the pair of the files that are called `content`, `style` and so on."""
        if folder.path != self.path:
            pair = self._job(self._name(folder), folder.own, folder.path)
            return replace(pair, left_out=self._left_out_of_album(folder))
        side = "content" if folder.own.of("content") else "style"
        return self._job(self._name(folder, side), folder.own, None)

    def _without_style(self, folder: _Folder) -> Iterator[Pair]:
        """Yield the incomplete pair of a folder that is neither a job nor in an album, if any."""
        if folder.pictures:
            pair = self._waiting(folder, _style_for(folder.pictures))
            paths = [*map(str, folder.pictures)]
            is_pair = len(paths) == TWO and paths == [*map(shown, paths)]  # else none can name it
            is_pair = is_pair and all(map(is_picture, folder.pictures))  # no film is a style
            yield replace(pair, may_be_style=tuple(folder.pictures) if is_pair else ())
        elif folder.own.found:
            yield self._waiting(folder, f"{CONTENT} and {STYLE}".format(""))

    def skipped_in(self, folder: _Folder) -> dict[Path, str]:
        """Return the files of a folder that belong to no pair, with the reason."""
        parts = folder.own
        if self._is_job(parts) and folder.path != self.path:
            return dict.fromkeys((*folder.pictures, *folder.masks), BESIDE) | folder.skipped
        has_sides = parts.of("style") or parts.of("content")
        if has_sides or not (folder.path == self.path or self._album_of(folder.path)):
            return folder.skipped
        return folder.skipped | dict.fromkeys(parts.all_but_content, NO_JOB)

    def _is_job(self, parts: _Parts) -> bool:
        """Return whether a folder with these files is a single job, not an album."""
        if parts.of("content"):
            return True
        return bool(parts.of("style")) and self.side_of(parts.first("job")) == "style"

    def _album_of(self, path: Path) -> _Parts | None:
        """Return the parts, with the style, of the album that pictures in a folder belong to.

        Returns None if they belong to no album.
        """
        folder = self.folders.get(path)
        if folder and self._is_job(folder.own):
            return None
        if folder and folder.own.of("style"):
            return folder.own
        return self._album_around(path)

    def _album_around(self, path: Path) -> _Parts | None:
        """Return the parts of the album that a folder is in, whatever is in the folder itself.

        Returns None if it is in no album.
        """
        return None if self.path in (path, path.parent) else self._album_of(path.parent)

    def _left_out_of_album(self, folder: _Folder) -> tuple[Path, ...]:
        """Return the pictures that the album around a job's folder would get once the job is gone.

        These are the pictures and clips in the folder, and in each folder below it that is in no
        other album.
        """
        if self._album_around(folder.path) is None:
            return ()
        rest = [inner for inner in self.below[folder.path] if self._album_of(inner.path) is None]
        clips = (clip for inner in rest for clips in inner.clips.values() for clip in clips)
        return (*(picture for inner in rest for picture in inner.pictures), *clips)

    def _waiting(self, folder: _Folder, waits_for: str) -> Pair:
        """Return an incomplete pair of the files of a folder that are not of a named job."""
        own_files = (path for _, _, path in folder.own.found)
        files = (*folder.pictures, *own_files, *folder.masks)
        return Pair(self._name(folder), None, others=files, waits_for=waits_for)

    def _jobs_called(self, parts: _Parts) -> list[_Parts]:
        """Return the job of these parts, or one job for each spelling of its name.

        There are several jobs if the parts together are ambiguous, and each spelling is a whole
        job.
        """
        if parts.mistake() and not any(map(self._mistake, parts.by_spelling())):
            return parts.by_spelling()
        return [parts]

    def _mistake(self, parts: _Parts) -> str:
        """Describe what keeps the parts from being a job; empty if they are one."""
        only = self.side_of(parts.first("job"))
        prefix = f"{shown(parts.name)}." if parts.name else ""
        missing = [
            description.format(prefix)
            for side, description in (("content", CONTENT), ("style", STYLE))
            if not parts.of(side) and only in (None, side)
        ]
        return parts.mistake(*missing)

    def _job(self, name: str, parts: _Parts, folder: Path | None) -> Pair:
        """Return the pair of a job with these parts, incomplete if there is a mistake in them."""
        mistake = self._mistake(parts)
        if mistake:
            files = tuple(path for _, _, path in sorted(parts.found))
            return Pair(name, None, others=files, waits_for=mistake)
        return parts.pair(name, parts.first("content"), folder)

    def _album(self, folder: _Folder, style: _Parts) -> Iterator[Pair]:
        """Yield the pair of each picture in a folder with the parts `style` of its album.

        If the parts are ambiguous, yield all files as one incomplete pair instead. An album that
        has no pictures, and never had any, is an incomplete pair itself.
        """
        is_own = style is folder.own
        mistake = style.mistake()
        if mistake:
            if is_own or folder.pictures:
                yield self._waiting(folder, mistake)
            return
        for picture in self._pictures(folder):
            pair = style.pair(picture.name, picture.content)
            masks = {**pair.masks, **picture.masks}
            clips = picture.left_out
            whole = replace(pair, masks=masks, shared=style.all_but_content, left_out=clips)
            yield picture if picture.waits_for else whole
        has_pictures = any(inner.pictures for inner in self.below[folder.path])
        if is_own and not has_pictures and not any(map(self.is_known, style.of("style"))):
            yield self._waiting(folder, PICTURES)

    def _lone_picture(
        self, folder: _Folder, picture: Pair, default: Mapping[str, Path]
    ) -> Iterator[Pair]:
        """Yield a picture paired with each of the default styles, or alone if jobs need no style.

        Without default styles, or if its mask is ambiguous, the picture is an incomplete pair.
        """
        stem = picture.main.stem
        if picture.waits_for or not needs_style(self.side_of(None)):
            yield picture
            return
        if self.default_waits_for:
            yield replace(picture, waits_for=self.default_waits_for, changing=True)
        elif not default:
            yield replace(picture, waits_for=DEFAULT_STYLE.format(shown(stem)))
        taken: set[str] = set()
        for style, path in default.items():
            name = self._name(folder, stem, f"-{style}" if len(default) > 1 else "")
            name = take_name(candidates(name), taken)
            yield replace(picture, name=name, styles=(path,), shared=frozenset([path]))

    def _pictures(self, folder: _Folder) -> Iterator[Pair]:
        """Yield a pair without style for each picture; incomplete if its mask is ambiguous."""
        masked = _Masks(folder.pictures, folder.masks)
        for picture in folder.pictures:
            clips = folder.clips.get(folded(picture.stem), ())
            pair = Pair(self._name(folder, picture.stem), picture, left_out=clips)
            masks = masked.masks_of(picture)
            mistake = masked.mistake(picture)
            if mistake:
                yield replace(pair, others=tuple(masks), waits_for=mistake)
            else:
                yield replace(pair, masks={CONTENT_MASK: masks[0]} if masks else {})

    def _name(self, folder: _Folder, last: str | None = None, ending: str = "") -> str:
        """Return the name in the outbox: the folder's, then `last` with `ending`, if given."""
        below = [safe(last, ending)] if last else []
        if folder.path == self.path:
            return "/".join(below) or safe(self.path.name)
        return "/".join([safe_path(folder.path.relative_to(self.path).as_posix()), *below])
