"""The sheet of a series: the pictures of its jobs by their receipts, and the states of others."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.daemon.worker.orders import order
from tests.painter.films import film

from stylewatch_daemon.errors import InputError
from stylewatch_daemon.outbox import receipt
from stylewatch_daemon.outbox.receipt import SeriesReceipt
from stylewatch_daemon.worker.contact_sheet import draw
from stylewatch_daemon.worker.messages import Done, Order, Part, Staged

RED = (200, 40, 40)


@pytest.fixture
def given(tmp_path: Path, pictures: Path) -> Order:
    """A series of two: one is done, the other was refused."""
    folder = tmp_path / "out/a/seed=1"
    folder.mkdir(parents=True)
    Image.new("RGB", (48, 36), RED).save(folder / "final.png")
    (folder / "receipt.json").write_text(json.dumps({"final": "final.png"}))
    outbox = str(tmp_path / "out")
    parts = (
        Part("seed=1", "seed 1", "done", outbox, "a/seed=1"),
        Part("seed=2", "seed 2", "refused", outbox, "a/seed=2"),
    )
    return replace(order(tmp_path / "job", pictures, sweep={"seed": [1, 2]}), parts=parts)


def test_the_sheet_has_the_pictures_and_the_receipt_is_last(given: Order, tmp_path: Path) -> None:
    Image.new("L", (8, 6), 255).save(tmp_path / "mask.png")
    *staged, end = draw(replace(given, masks={"content-mask": tmp_path / "mask.png"}))
    for event, name in zip(staged, ["sheet.png", "receipt.json"], strict=True):
        digest = hashlib.sha256((given.staging / name).read_bytes()).hexdigest()
        assert event == Staged(name, digest)
    assert isinstance(end, Done)
    assert end.receipt == json.loads((given.staging / "receipt.json").read_bytes())
    record = SeriesReceipt.model_validate(end.receipt)
    assert [(job.name, job.state, job.final) for job in record.jobs] == [
        ("seed=1", "done", "a/seed=1/final.png"), ("seed=2", "refused", None),
    ]  # fmt: skip
    assert [(file.role, file.size) for file in record.inputs] == [
        ("content", (48, 36)), ("style-1", (40, 32)), ("content-mask", (8, 6)),
    ]  # fmt: skip
    with Image.open(given.staging / "sheet.png") as sheet:
        assert (np.asarray(sheet.convert("RGB")) == RED).all(-1).sum() == 48 * 36


def test_transparent_parts_are_white(given: Order, tmp_path: Path) -> None:
    half = Image.new("RGBA", (48, 36), (*RED, 255))
    half.paste((0, 0, 0, 0), (0, 0, 24, 36))
    half.save(tmp_path / "out/a/seed=1/final.png")
    draw(given)
    with Image.open(given.staging / "sheet.png") as sheet:
        assert (np.asarray(sheet.convert("RGB")) == RED).all(-1).sum() == 24 * 36


def test_of_a_clip_the_sheet_has_the_last_key_frame(given: Order, tmp_path: Path) -> None:
    place = tmp_path / "out/a/seed=1"
    (place / "stages").mkdir()
    (place / "final.png").rename(place / "stages/0009.png")
    plain = {"final": "final.mp4", "clip": {}, "stages": [{"file": "stages/0009.png"}]}
    (place / "receipt.json").write_text(json.dumps(plain))
    content = film(tmp_path / "film.mkv", "ffv1", frames=2, pix_fmt="bgr0")
    mask = film(tmp_path / "mask.mkv", "ffv1", frames=2, pix_fmt="bgr0")
    *_, end = draw(replace(given, content=content, masks={"content-mask": mask}))
    assert isinstance(end, Done)
    record = SeriesReceipt.model_validate(end.receipt)
    assert record.jobs[0].final == "a/seed=1/final.mp4"
    first, *_, last = record.inputs
    assert (first.name, first.size) == ("film.mkv", (64, 48))
    assert (last.role, last.name, last.size) == ("content-mask", "mask.mkv", (64, 48))
    with Image.open(given.staging / "sheet.png") as sheet:
        assert (np.asarray(sheet.convert("RGB")) == RED).all(-1).sum() == 48 * 36


def test_damaged_receipts_and_links_are_no_pictures_and_without_any_the_series_is_refused(
    given: Order, pictures: Path
) -> None:
    failed = replace(given, parts=tuple(replace(part, state="failed") for part in given.parts))
    with pytest.raises(InputError, match="no job of this series was painted: seed=1 failed"):
        draw(failed)
    place = Path(given.parts[0].outbox, given.parts[0].place)
    receipt = (place / "receipt.json").read_bytes()
    for damaged in (b"[" * 100_000, b"{", b"[]", b'{"final": 5}'):
        (place / "receipt.json").write_bytes(damaged)
        with pytest.raises(InputError):
            draw(given)
    (place / "receipt.json").write_bytes(receipt)
    final = place / "final.png"
    final.unlink()
    final.symlink_to(pictures / "content.jpg")
    with pytest.raises(InputError):
        draw(given)


def test_the_schema_that_ships_is_that_of_the_receipt() -> None:
    schema = json.dumps(SeriesReceipt.model_json_schema(), indent=2, sort_keys=True) + "\n"
    shipped = Path(receipt.__file__).with_name("series.schema.json")
    assert shipped.read_text(encoding="utf-8") == schema
