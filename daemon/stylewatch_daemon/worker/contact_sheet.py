"""The contact sheet of a series, and its receipt, once all its jobs are at their ends."""

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path, PurePosixPath

from stylewatch_daemon.errors import InputError
from stylewatch_daemon.files import flat_layout, safe_dirs
from stylewatch_daemon.outbox import job_files, publish
from stylewatch_daemon.outbox.publish import RECEIPT
from stylewatch_daemon.outbox.receipt import FileRecord, InputRecord, PartRecord, SeriesReceipt
from stylewatch_daemon.settings import sweep
from stylewatch_daemon.worker.contract import Done, Event, Order, Part, Staged
from stylewatch_painter.errors import PictureError
from stylewatch_painter.images import sheet
from stylewatch_painter.images.convert import to_floats
from stylewatch_painter.images.decode import decoded, decoding
from stylewatch_painter.images.encode import encode
from stylewatch_painter.images.read import read
from stylewatch_painter.images.reduced import Enough, within
from stylewatch_painter.stage import Pixels

FILE_NAME = "sheet.png"


def draw(order: Order) -> Iterator[Event]:
    """Leave the sheet of the parts of `order`, and the receipt last, under `order.staging`.

    Raises InputError where none of them was painted; PictureError, SaveError, OSError.
    """
    began, started = time.monotonic(), datetime.now(UTC)
    finals = [_final(one, order.max_pixels) for one in order.parts]
    if not any(finals):
        told = ", ".join(f"{one.name} {one.state}" for one in order.parts)
        raise InputError(f"no job of this series was painted: {told}")
    cells = [
        sheet.Cell(one.label, final[1]) if final else sheet.Cell(f"{one.label}\n({one.state})")
        for one, final in zip(order.parts, finals, strict=True)
    ]
    content = encode(sheet.draw(sheet.in_rows(cells, sweep.columns(order.settings.sweep))))
    left = _staged(order, FILE_NAME, content)
    yield left
    receipt = SeriesReceipt(
        job=order.name,
        retry_of=order.retry_of,
        state="done",
        sweep={key: list(values) for key, values in order.settings.sweep.items()},
        jobs=tuple(
            PartRecord(name=one.name, state=one.state, final=final and final[0])
            for one, final in zip(order.parts, finals, strict=True)
        ),
        inputs=tuple(_inputs(order)),
        stages=(),
        final=FILE_NAME,
        files=(FileRecord(file=FILE_NAME, sha256=left.sha256),),
        started=started,
        finished=datetime.now(UTC),
        seconds=round(time.monotonic() - began, 3),
        version=version("stylewatch"),
    )
    last = _staged(order, RECEIPT, receipt.as_json().encode())
    publish.keep_staged(order.staging, [FILE_NAME, RECEIPT])
    yield last
    yield Done(receipt.model_dump(mode="json", exclude_none=True))


def _staged(order: Order, name: str, content: bytes) -> Staged:
    publish.stage(order.staging, name, content)
    return Staged(name, hashlib.sha256(content).hexdigest())


def _final(part: Part, max_pixels: int) -> tuple[str, Pixels] | None:
    """The path of its final picture in the outbox, and the picture, small; None: there is none.

    Others may write in the outbox too: no link is followed there.
    """
    if part.state != "done":
        return None
    with suppress(OSError, ValueError, KeyError, TypeError, PictureError):
        told = json.loads(_read(part, PurePosixPath(part.place, RECEIPT)))
        path = PurePosixPath(flat_layout.painting(part.place, told["final"]))
        data = _read(part, path)
        with decoding(path.name, data):
            enough = Enough(within(sheet.SIDE))
            pixels, _, _ = to_floats(decoded(data, max_pixels, enough=enough))
        return str(path), sheet.shrunk(pixels)
    return None


def _read(part: Part, path: PurePosixPath) -> bytes:
    """A file by its path in the outbox; raises OSError."""
    with (
        safe_dirs.opened(Path(part.outbox), str(path.parent)) as folder,
        job_files.open_regular(folder, path.name) as file,
    ):
        return file.read()


def _inputs(order: Order) -> Iterator[InputRecord]:
    """The pictures and masks that all jobs of the series have in common."""
    roles: Sequence[tuple[str, Path | None]] = [
        ("content", order.content),
        *((f"style-{number}", path) for number, path in enumerate(order.styles, start=1)),
        ("init", order.init),
        *order.masks.items(),
    ]
    for role, path in roles:
        if path is not None:
            enough = Enough(within(sheet.SIDE))
            picture = read(path, max_pixels=order.max_pixels, enough=enough)
            yield InputRecord.of(role, path.name, picture)
