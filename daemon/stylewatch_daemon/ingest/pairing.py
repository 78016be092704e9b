"""Which content belongs to which style: job folders, albums, names side by side, lone pictures.

Pure: it is given paths and opens nothing.

- A folder with `content.*` is a job; it is complete with `style.*` (or `style-1.*` ...).
- A folder with a style and no content is an album: each other picture in it is a job, and so is
  each in its subfolders, unless they have a content or a style of their own. The inbox itself can
  be an album too, but only for what lies directly in it.
- `<job>.content.*` and `<job>.style.*` belong together, in whatever folder they lie.
- What is left over directly in the inbox is a lone picture, for the default styles. In a folder
  it waits: the folder's style may still be on its way.

- What is for one side only, by its job.yaml, needs no other: `content.*`, or `style.*`.

Case does not matter. `X.mask.*` is the mask of picture X; a mask of a style waits for its style.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from stylewatch_daemon.files.names import safe, safe_path, shown
from stylewatch_daemon.ingest.filenames import Folder, Parts, sort
from stylewatch_daemon.model import Incomplete, Pair
from stylewatch_daemon.settings.job import Side
from stylewatch_daemon.store.journal import MASK

Only = Callable[[Path | None], Side | None]
"""The one side that a job is for by its job.yaml, or by there being none; None: it needs both."""

Used = Callable[[Path], bool]
"""Whether jobs were made with this style picture of an album."""

CONTENT, STYLE = "a content picture (content.jpg)", "a style picture (style.jpg)"
PICTURES = "pictures to paint (content.jpg, or others for an album)"
DEFAULT_STYLE = "a style picture ({0}.style.jpg beside {0}.content.jpg, or pairing.default_style)"


@dataclass(frozen=True)
class Pairing:
    """What an inbox comes to."""

    complete: tuple[Pair, ...] = ()
    incomplete: tuple[Incomplete, ...] = ()


def _both(job_file: Path | None) -> Side | None:
    return None


def _never(style: Path) -> bool:
    return False


def pair(
    inbox: Path,
    files: Iterable[Path],
    default: Mapping[str, Path],
    only: Only = _both,
    used: Used = _never,
) -> Pairing:
    """The pairs among `files`, all of them under `inbox`.

    `default` holds the style pictures for lone pictures, by name: none, one, or several for a
    job with each of them. In that case all jobs but the last share the content, which the last
    one may take away. An album without pictures is incomplete unless its style was `used`.
    """
    by_folder: defaultdict[Path, list[Path]] = defaultdict(list)
    for path in files:
        by_folder[path.parent].append(path)
    folders = {folder: sort(inside) for folder, inside in sorted(by_folder.items())}
    full = {folder for folder, inside in folders.items() if inside.pictures}
    around = full.union(*(folder.parents for folder in full))
    found: list[Pair | Incomplete] = []
    for folder in folders:
        place = _Place(inbox, folder, folders, only, around, used)
        found += [*place.side_by_side(), *place.itself(default)]
    return Pairing(
        tuple(one for one in found if isinstance(one, Pair)),
        tuple(one for one in found if isinstance(one, Incomplete)),
    )


def only_settled(pairing: Pairing, moving: Collection[Path]) -> Pairing:
    """`pairing` without the pairs that a file in `moving` belongs to: they wait for it.

    In a job's own folder any file counts: it may be another style, about to belong to it.
    """
    complete, incomplete = [], list(pairing.incomplete)
    by_folder: defaultdict[Path | None, set[Path]] = defaultdict(set)
    for path in moving:
        by_folder[path.parent].add(path)
    for one in pairing.complete:
        awaited = by_folder[one.folder].union(path for path in one.files if path in moving)
        if awaited:
            names = ", ".join(shown(path.name) for path in sorted(awaited))
            incomplete.append(Incomplete(one.name, f"{names} to stand still", changing=True))
        else:
            complete.append(one)
    return Pairing(tuple(complete), tuple(incomplete))


@dataclass(frozen=True)
class _Place:
    """A folder of the inbox among the others."""

    inbox: Path
    folder: Path
    folders: Mapping[Path, Folder]
    only: Only
    full: Collection[Path]
    """The folders with pictures, directly or further down."""
    used: Used

    @property
    def inside(self) -> Folder:
        return self.folders[self.folder]

    @property
    def album(self) -> Parts | None:
        """The style that holds here because a folder around is an album."""
        for around in self.folder.parents:
            if around in (self.inbox, self.inbox.parent):
                return None
            inside = self.folders.get(around)
            if inside and inside.own.styles:
                alone = inside.own.contents or self._only(inside.own) == "style"
                return None if alone else inside.own
        return None

    def side_by_side(self) -> Iterator[Pair | Incomplete]:
        for key, parts in self.inside.named.items():
            yield self._whole(self._named(self.inside.names[key]), parts, None)

    def itself(self, default: Mapping[str, Path]) -> Iterator[Pair | Incomplete]:
        """The folder as a job, as an album, or as neither."""
        own, at_top = self.inside.own, self.folder == self.inbox
        if own.contents or (own.styles and self._only(own) == "style"):
            side = "content" if own.contents else "style"
            name = self._named(side) if at_top else self._named()
            yield self._whole(name, own, None if at_top else self.folder)
        elif own.styles:
            yield from self._album(own)
        elif album := self.album:
            yield from self._album(album)
        elif at_top:
            for picture in self.inside.pictures:
                yield from self._lone(picture, default)
        elif self.inside.pictures:
            yield Incomplete(self._named(), STYLE)
        elif own.beside_content:
            yield Incomplete(self._named(), f"{CONTENT} and {STYLE}")

    def _whole(self, name: str, parts: Parts, folder: Path | None) -> Pair | Incomplete:
        """A job all of whose parts say so by name."""
        only = self._only(parts)
        sides = (("content", CONTENT, parts.contents), ("style", STYLE, parts.styles))
        needs = [what for side, what, there in sides if not there and only in (None, side)]
        needs += parts.lacking
        if needs or parts.double:
            return Incomplete(name, " and ".join(needs) or shown(parts.double))
        return _pair(name, next(iter(parts.contents), None), parts, folder=folder)

    def _only(self, parts: Parts) -> Side | None:
        return self.only(next(iter(parts.settings), None))

    def _album(self, style: Parts) -> Iterator[Pair | Incomplete]:
        if trouble := style.double or " and ".join(style.lacking):
            yield Incomplete(self._named(), shown(trouble))
            return
        for picture in self.inside.pictures:
            shared = frozenset(style.beside_content)
            mask = self._mask(picture)
            yield _pair(self._named(picture.stem), picture, style, shared=shared, masks=mask)
        is_empty = style is self.inside.own and self.folder not in self.full
        if is_empty and not self.used(style.styles[0]):
            yield Incomplete(self._named(), PICTURES)

    def _lone(self, picture: Path, default: Mapping[str, Path]) -> Iterator[Pair | Incomplete]:
        if self.only(None) == "content":
            yield Pair(self._named(picture.stem), picture, (), masks=self._mask(picture))
            return
        if not default:
            stem = shown(picture.stem)
            yield Incomplete(self._named(picture.stem), DEFAULT_STYLE.format(stem))
        several, mask = len(default) > 1, self._mask(picture)
        for left, (style, path) in zip(reversed(range(len(default))), default.items(), strict=True):
            name = self._named(f"{picture.stem}-{style}" if several else picture.stem)
            shared = frozenset({path, picture, *mask.values()} if left else {path})
            yield Pair(name, picture, (path,), masks=mask, shared=shared)

    def _mask(self, picture: Path) -> dict[str, Path]:
        mask = self.inside.picture_masks.get(picture.stem.casefold())
        return {} if mask is None else {f"content{MASK}": mask}

    def _named(self, last: str | None = None) -> str:
        """The name in the outbox: that of the folder, with `last` below it."""
        around = safe_path(self.folder.relative_to(self.inbox).as_posix())
        parts = ([] if self.folder == self.inbox else [around]) + ([safe(last)] if last else [])
        return "/".join(parts) or safe(self.inbox.name)


def _pair(
    name: str,
    content: Path | None,
    parts: Parts,
    *,
    folder: Path | None = None,
    shared: frozenset[Path] = frozenset(),
    masks: Mapping[str, Path] | None = None,
) -> Pair:
    """The pair of `content`, if any, with all other parts; `masks` go before theirs."""
    return Pair(
        name,
        content,
        parts.styles,
        init=next(iter(parts.inits), None),
        masks={**parts.masks, **(masks or {})},
        job_file=next(iter(parts.settings), None),
        shared=shared,
        folder=folder,
    )
