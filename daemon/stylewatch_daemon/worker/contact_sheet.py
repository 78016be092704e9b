"""The contact sheet of a series and its receipt, once all its jobs have ended."""

import hashlib
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import version
from io import BytesIO
from pathlib import Path, PurePosixPath

from stylewatch_daemon.errors import InputError
from stylewatch_daemon.files import flat_layout, safe_dirs
from stylewatch_daemon.outbox import job_files, publish
from stylewatch_daemon.outbox.publish import RECEIPT
from stylewatch_daemon.outbox.receipt import FileRecord, InputRecord, PartRecord, SeriesReceipt
from stylewatch_daemon.settings.job import columns
from stylewatch_daemon.store.journal import CONTENT_MASK
from stylewatch_daemon.worker.messages import Done, Event, Order, Part, Staged
from stylewatch_painter.errors import PictureError
from stylewatch_painter.images import clip, sheet
from stylewatch_painter.images.encode import encode, over_white
from stylewatch_painter.images.read import decoded, decoding, read, to_floats
from stylewatch_painter.images.reduced import NeededSize, long_side
from stylewatch_painter.stage import Pixels

FILE_NAME = "sheet.png"

_CLIPS: Mapping[str, int | None] = {"content": None, CONTENT_MASK: sheet.SIDE}
"""Roles that clips can have; for a mask the pixels of its long side."""


def draw(order: Order) -> list[Event]:
    """Write the sheet of the parts of `order`, and the receipt last, under `order.staging`.

    Raises InputError where no part has a picture; PictureError, SaveError, OSError.
    """
    began, started = time.monotonic(), datetime.now(UTC)
    finals = [_final(part, order.max_pixels) for part in order.parts]
    if not any(finals):
        states = ", ".join(f"{part.name} {part.state}" for part in order.parts)
        raise InputError(f"no job of this series was painted: {states}")
    cells = [
        sheet.Cell(part.label, final[1]) if final else sheet.Cell(f"{part.label}\n({part.state})")
        for part, final in zip(order.parts, finals, strict=True)
    ]
    content = encode(sheet.draw(sheet.in_rows(cells, columns(order.settings.sweep))))
    staged_sheet = _write(order, FILE_NAME, content)
    receipt = SeriesReceipt(
        job=order.name,
        retry_of=order.retry_of,
        state="done",
        sweep={key: list(values) for key, values in order.settings.sweep.items()},
        jobs=tuple(
            PartRecord(name=part.name, state=part.state, final=final and final[0])
            for part, final in zip(order.parts, finals, strict=True)
        ),
        inputs=_inputs(order),
        stages=(),
        final=FILE_NAME,
        files=(FileRecord(file=FILE_NAME, sha256=staged_sheet.sha256),),
        started=started,
        finished=datetime.now(UTC),
        seconds=round(time.monotonic() - began, 3),
        version=version("stylewatch"),
    )
    staged_receipt = _write(order, RECEIPT, receipt.as_json().encode())
    publish.keep_staged(order.staging, [FILE_NAME, RECEIPT])
    done = Done(receipt.model_dump(mode="json", exclude_none=True))
    return [staged_sheet, staged_receipt, done]


def _write(order: Order, name: str, content: bytes) -> Staged:
    publish.stage(order.staging, name, content)
    return Staged(name, hashlib.sha256(content).hexdigest())


def _final(part: Part, max_pixels: int) -> tuple[str, Pixels] | None:
    """The path of a final picture or clip in the outbox, and a small picture of it; or None.

    Others may write in the outbox too: no link is followed there.
    """
    if part.state != "done":
        return None
    with suppress(OSError, ValueError, KeyError, TypeError, PictureError):
        stored = _read(part, PurePosixPath(part.place, RECEIPT))
        receipt = job_files.parse_receipt(BytesIO(stored))
        path = PurePosixPath(flat_layout.painting(part.place, receipt["final"]))
        shown = path
        if "clip" in receipt:  # its last key frame
            shown = PurePosixPath(part.place, receipt["stages"][-1]["file"])
        data = _read(part, shown)
        with decoding(shown.name, data):
            raster = decoded(data, max_pixels, needed_size=NeededSize(long_side(sheet.SIDE)))
            pixels, alpha, _ = to_floats(raster)
        return str(path), sheet.shrunk(over_white(pixels, alpha))
    return None


def _read(part: Part, path: PurePosixPath) -> bytes:
    """The content of a file by its path in the outbox; raises OSError."""
    with (
        safe_dirs.opened(Path(part.outbox), str(path.parent)) as folder,
        job_files.open_file(path.name, folder) as file,
    ):
        return file.read()


def _inputs(order: Order) -> tuple[InputRecord, ...]:
    """The pictures and masks that all jobs of the series have in common."""
    roles: Sequence[tuple[str, Path | None]] = [
        ("content", order.content),
        *((f"style-{number}", path) for number, path in enumerate(order.styles, start=1)),
        ("init", order.init),
        *order.masks.items(),
    ]
    needed_size, limits = NeededSize(long_side(sheet.SIDE)), order.clip_limits
    records = []
    for role, path in roles:
        if path is None:
            continue
        if role in _CLIPS and clip.is_clip(path):
            described = clip.inspect(path, limits)
            picture = clip.first_picture(path, limits, described, _CLIPS[role])
        else:
            picture = read(path, max_pixels=order.max_pixels, needed_size=needed_size)
        records.append(InputRecord.of(role, path.name, picture))
    return tuple(records)
