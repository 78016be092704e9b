"""The pictures of a job, named by what they are: `final`, `stage-50`, `input-0`, `animation`."""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path, PurePosixPath

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from stylewatch_daemon.errors import OutputError
from stylewatch_daemon.files import flat_layout
from stylewatch_daemon.outbox.job_files import Spot, stages
from stylewatch_daemon.store.ledger import Entry
from stylewatch_daemon.web import files

KINDS = {
    ".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp",
    ".gif": "image/gif", ".bmp": "image/bmp", ".tif": "image/tiff", ".tiff": "image/tiff",
}  # fmt: skip
"""The media types of pictures, by the endings of their files."""

UNKNOWN = "application/octet-stream"

SHOWN = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif"})
"""What every browser shows."""

KEEPSAKES = {
    "animation": ("progress.webp", "progress.gif"), "sheet": ("sheet.png",),
    "curve": ("losses.png",),
}  # fmt: skip
"""What may lie beside a painting, by what it is called here."""

EVER, NOW = "private, max-age=31536000, immutable", "private, no-cache"
"""For how long what was sent may be shown again: what has its digest in its address, and what has
not."""

AT_ONCE = 1 << 20
"""Bytes of a picture that is sent as a whole."""

_NUMBERED = re.compile(r"(stage|input)-([0-9]{1,9})")
_LEAST = 16  # letters of a digest that stand for all of it


@dataclass(frozen=True)
class Wanted:
    """Where a picture may be, and its SHA-256 where that is known: no other will do then."""

    places: tuple[Spot, ...]
    sha256: str = ""


@dataclass(frozen=True)
class Found:
    """A picture, opened; who has it closes `file`."""

    place: Spot
    file: BufferedReader
    sha256: str


def wanted(entry: Entry, state: Path, what: str) -> Wanted:
    """Where the picture `what` of a job may lie; `state` is the daemon's folder."""
    numbered = _NUMBERED.fullmatch(what)
    if numbered and numbered[1] == "stage":
        place = stages(entry).get(int(numbered[2]))
        return Wanted((place,) if place else ())
    if numbered:
        return _input(entry, state, int(numbered[2]))
    if entry.place is None:
        return Wanted(())
    root = Path(entry.outbox)
    if what == "final":
        return Wanted(tuple(_final(entry, entry.place, root)))
    return Wanted(tuple(Spot(root, entry.place, name) for name in KEEPSAKES.get(what, ())))


def find(entry: Entry, state: Path, what: str) -> Found | None:
    """The picture `what` of a job, opened; None where there is none."""
    sought = wanted(entry, state, what)
    for place in sought.places:
        with suppress(OSError, OutputError):
            file = place.open()
            sha256 = files.digest(file)
            if sought.sha256 in ("", sha256):
                return Found(place, file, sha256)
            file.close()
    return None


def answer(request: Request, found: Found) -> Response:
    """The picture, unless whoever asks has it already."""
    known = request.query_params.get("d", "")
    sure = len(known) >= _LEAST and found.sha256.startswith(known)
    headers = {
        "ETag": f'"{found.sha256}"',
        "Cache-Control": EVER if sure else NOW,
        "X-Content-Type-Options": "nosniff",
    }
    if headers["ETag"] in request.headers.get("If-None-Match", ""):
        found.file.close()
        return Response(status_code=304, headers=headers)
    kind = KINDS.get(PurePosixPath(found.place.name).suffix.lower(), UNKNOWN)
    if kind == UNKNOWN:
        headers["Content-Disposition"] = "attachment"
    length = files.look(found.file)[2]
    headers["Content-Length"] = str(length)
    if length <= AT_ONCE:
        with found.file:
            return Response(found.file.read(), media_type=kind, headers=headers)
    return StreamingResponse(files.chunks(found.file), media_type=kind, headers=headers)


def is_shown(name: str) -> bool:
    """Whether browsers show a file of this name."""
    return PurePosixPath(name).suffix.lower() in SHOWN


def _final(entry: Entry, place: str, root: Path) -> Iterator[Spot]:
    told = files.receipt(entry).get("final")
    if isinstance(told, str) and files.is_name(PurePosixPath(told).name):
        where = PurePosixPath(flat_layout.painting(place, told))
        yield Spot(root, str(where.parent), where.name)


def _input(entry: Entry, state: Path, number: int) -> Wanted:
    """Where it is while the job is ours, where it is archived, and where it lay and may lie yet."""
    if number >= len(entry.inputs) or not files.is_name(str(entry.inputs[number]["name"])):
        return Wanted(())
    one = entry.inputs[number]
    name, sha256 = str(one["name"]), str(one.get("sha256") or "")
    found = [Spot(state, f"jobs/{entry.id}/files", name)]
    if entry.place is not None:
        found.append(Spot(Path(entry.outbox), f"{entry.place}/inputs", name))
    if entry.refused_as is not None:
        found.append(Spot(Path(entry.outbox), entry.refused_as, name))
    source, inbox = Path(str(one.get("source") or "")), Path(entry.inbox)
    if sha256 and source.is_relative_to(inbox):
        found.append(Spot(inbox, str(source.relative_to(inbox).parent), source.name))
    return Wanted(tuple(found), sha256)
