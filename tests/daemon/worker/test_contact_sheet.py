"""The sheet of a series: the pictures of its jobs, by their receipts, and what became of others."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.daemon.worker.orders import order

from stylewatch_daemon.errors import InputError
from stylewatch_daemon.outbox.receipt import SeriesReceipt
from stylewatch_daemon.worker.contact_sheet import draw
from stylewatch_daemon.worker.contract import Done, Order, Part, Staged

SCHEMA = Path("daemon/stylewatch_daemon/outbox/series.schema.json")
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
    made = order(tmp_path / "job", pictures, sweep={"seed": [1, 2]})
    return replace(made, parts=parts)


def test_it_leaves_the_sheet_and_a_receipt_last(given: Order) -> None:
    events = list(draw(given))
    told = [one for one in events if isinstance(one, Staged)]
    assert [one.path for one in told] == ["sheet.png", "receipt.json"]
    for one in told:
        content = (given.staging / one.path).read_bytes()
        assert hashlib.sha256(content).hexdigest() == one.sha256
    assert isinstance(events[-1], Done)
    receipt = SeriesReceipt.model_validate_json((given.staging / "receipt.json").read_bytes())
    assert [(one.name, one.state, one.final) for one in receipt.jobs] == [
        ("seed=1", "done", "a/seed=1/final.png"), ("seed=2", "refused", None),
    ]  # fmt: skip
    assert receipt.sweep == {"seed": [1, 2]}
    assert [(one.role, one.name) for one in receipt.inputs] == [
        ("content", "content.jpg"), ("style-1", "style.jpg"),
    ]  # fmt: skip
    sheet = (given.staging / "sheet.png").read_bytes()
    assert receipt.files[0].sha256 == hashlib.sha256(sheet).hexdigest()


def test_its_receipt_tells_the_masks_too(given: Order, tmp_path: Path) -> None:
    roles = ("content-mask", "style-1-mask")
    masks = {role: tmp_path / f"{role}.png" for role in roles}
    for path in masks.values():
        Image.new("L", (8, 6), 255).save(path)
    list(draw(replace(given, masks=masks)))
    receipt = SeriesReceipt.model_validate_json((given.staging / "receipt.json").read_bytes())
    assert [(one.role, one.name, one.size) for one in receipt.inputs[2:]] == [
        (role, f"{role}.png", (8, 6)) for role in roles
    ]
    told = hashlib.sha256(masks[roles[0]].read_bytes()).hexdigest()
    assert receipt.inputs[2].sha256 == told


def test_the_pictures_that_were_painted_are_on_it(given: Order) -> None:
    list(draw(given))
    with Image.open(given.staging / "sheet.png") as sheet:
        seen = np.asarray(sheet.convert("RGB"))
    assert (seen == RED).all(-1).sum() == 48 * 36


def test_paintings_that_lie_beside_the_sheet_are_on_it(given: Order) -> None:
    out = Path(given.parts[0].outbox)
    (out / "_jobs/a").mkdir(parents=True)
    (out / "a/seed=1").rename(out / "_jobs/a/seed=1")
    (out / "_jobs/a/seed=1/final.png").rename(out / "a/seed=1.png")
    final = json.dumps({"final": "../../../a/seed=1.png"})
    (out / "_jobs/a/seed=1/receipt.json").write_text(final)
    first, second = given.parts
    list(draw(replace(given, parts=(replace(first, place="_jobs/a/seed=1"), second))))
    receipt = SeriesReceipt.model_validate_json((given.staging / "receipt.json").read_bytes())
    assert receipt.jobs[0].final == "a/seed=1.png"


def test_a_series_of_which_nothing_was_painted_is_refused(given: Order) -> None:
    failed = replace(given, parts=tuple(replace(one, state="failed") for one in given.parts))
    with pytest.raises(InputError, match="no job of this series was painted: seed=1 failed"):
        list(draw(failed))


def test_no_link_in_the_outbox_is_followed(given: Order, pictures: Path) -> None:
    """Whoever may write there could have any picture of ours shown."""
    final = Path(given.parts[0].outbox, given.parts[0].place, "final.png")
    final.unlink()
    final.symlink_to(pictures / "content.jpg")
    with pytest.raises(InputError):
        list(draw(given))


def test_the_schema_that_ships_is_that_of_this_receipt() -> None:
    wanted = json.dumps(SeriesReceipt.model_json_schema(), indent=2, sort_keys=True) + "\n"
    here = Path(__file__).parents[3] / SCHEMA
    assert here.read_text(encoding="utf-8") == wanted
