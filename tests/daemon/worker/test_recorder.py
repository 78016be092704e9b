"""The story of a painting: names that sort, a table that grows, a receipt that says it all."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.daemon.worker.orders import files, order, painted, receipt, table
from tests.painter.deep import png

from stylewatch_daemon.outbox.receipt import Receipt
from stylewatch_daemon.worker.contract import Order
from stylewatch_daemon.worker.prepare import prepare
from stylewatch_daemon.worker.recorder import Story
from stylewatch_painter.images.read import read
from stylewatch_painter.stage import Losses, Stage, Term
from stylewatch_plugins.contract import Wish
from stylewatch_plugins.testing.tasks import after

TERM = Term(2.0, 0.5)
LOSSES = Losses(3.0, {"conv4_2": TERM}, {"style-1": {"conv1_1": TERM, "conv2_1": TERM}})


@pytest.fixture
def given(tmp_path: Path, pictures: Path) -> Order:
    return order(tmp_path / "job", pictures)


def stage(step: int, steps: int, losses: Losses = LOSSES, value: float = 0.0) -> Stage:
    """A stage whose picture has that value everywhere."""
    picture = np.full((2, 3, 3), value, dtype=np.float32)
    return Stage(step, steps, (3, 2), losses, 1.23456, picture=picture)


def told(given: Order, *stages: Stage, remembered: Mapping[str, Any] | None = None) -> Story:
    """A story of these stages."""
    story = Story.begin(given, prepare(given), remembered or {})
    for one in stages:
        story.add(one)
        list(story.stage(one))
    return story


@pytest.mark.parametrize(
    ("step", "steps", "name"),
    [(5, 20, "0005"), (5, 9999, "0005"), (5, 10_000, "00005"), (123_456, 200_000, "123456")],
)
def test_stages_are_numbered_so_that_they_sort(
    step: int, steps: int, name: str, given: Order
) -> None:
    """At least four digits, or as many as the whole painting has steps."""
    told(given, stage(step, steps))
    assert [path.name for path in (given.staging / "stages").iterdir()] == [f"{name}.png"]


def test_the_table_has_a_row_for_each_step_and_a_column_for_each_term(given: Order) -> None:
    story = Story.begin(given, prepare(given), {})
    for step in (1, 2, 3):
        story.add(stage(step, 4))
    list(story.stage(stage(3, 4)))
    rows = table(given)
    assert list(rows[0]) == [
        "step", "width", "height", "seconds", "total", "content.conv4_2", "style.conv1_1",
        "style.conv2_1",
    ]  # fmt: skip
    assert list(rows[0].values()) == ["1", "3", "2", "1.235", "3.0", "2.0", "2.0", "2.0"]
    assert [row["step"] for row in rows] == ["1", "2", "3"]


def test_several_styles_have_columns_by_their_names_and_smoothness_has_one(given: Order) -> None:
    layers = {"conv1_1": TERM}
    losses = Losses(1.0, {}, {"style-1": layers, "style-2": layers}, tv=TERM)
    told(given, stage(1, 1, losses))
    assert list(table(given)[0])[4:] == ["total", "style-1.conv1_1", "style-2.conv1_1", "tv"]


def test_numbers_are_written_to_their_last_digit(given: Order) -> None:
    told(given, stage(1, 1, replace(LOSSES, total=0.1 + 0.2)))
    assert float(table(given)[0]["total"]) == 0.1 + 0.2


def test_what_was_remembered_goes_on(given: Order) -> None:
    before = told(given, stage(1, 4))
    remembered = before.remember()
    again = told(given, stage(2, 4), remembered=remembered)
    assert [row["step"] for row in table(given)] == ["1", "2"]
    assert [one["step"] for one in again.stages] == [1, 2]
    assert (again.started, again.step) == (before.started, 2)
    assert again.seconds >= remembered["seconds_before"]


@pytest.mark.parametrize(
    ("value", "rounding", "level"),
    [(300.0, "round", 255), (-1.0, "round", 0), (99.75, "round", 100), (99.75, "truncate", 99)],
)
def test_the_picture_is_clipped_and_rounded_where_it_is_written(
    value: float, rounding: str, level: int, tmp_path: Path, pictures: Path
) -> None:
    """As the recipe has it."""
    given = order(tmp_path / "job", pictures, fields={"rounding": rounding})
    told(given, stage(1, 1, value=value))
    with Image.open(given.staging / "stages/0001.png") as image:
        assert image.getpixel((0, 0)) == (level, level, level)


@pytest.mark.parametrize(
    ("format", "suffix"), [("png", ".png"), ("jpg", ".jpg"), ("webp", ".webp"), ("tiff", ".tiff")]
)
def test_every_picture_is_of_the_format_that_was_asked_for(
    format: str, suffix: str, tmp_path: Path, pictures: Path
) -> None:
    given = order(tmp_path / "job", pictures, format=format, steps=2)
    painted(given)
    assert {name for name in files(given) if name.endswith(suffix)} == {
        f"stages/0002{suffix}", f"stages/0004{suffix}", f"stages/0005{suffix}", f"final{suffix}",
    }  # fmt: skip
    assert receipt(given)["final"] == f"final{suffix}"
    with Image.open(given.staging / f"final{suffix}") as image:
        assert image.size == (32, 24)


def test_quality_makes_files_smaller(tmp_path: Path, pictures: Path) -> None:
    coarse, fine = (
        order(tmp_path / str(quality), pictures, format="jpg", quality=quality)
        for quality in (10, 95)
    )
    painted(coarse)
    painted(fine)
    assert len(files(coarse)["final.jpg"]) < len(files(fine)["final.jpg"])


def test_stages_may_be_smaller_and_the_final_picture_is_whole(
    tmp_path: Path, pictures: Path
) -> None:
    given = order(tmp_path / "job", pictures, stages={"size": 16}, steps=2)
    painted(given)
    sizes = {}
    for name in ("stages/0005.png", "final.png"):
        with Image.open(given.staging / name) as image:
            sizes[name] = image.size
    assert sizes == {"stages/0005.png": (16, 12), "final.png": (32, 24)}
    whole = order(tmp_path / "whole", pictures, steps=2)
    painted(whole)
    assert files(whole)["final.png"] == files(given)["final.png"]
    assert files(whole)["final.png"] == files(whole)["stages/0005.png"]


@pytest.mark.parametrize("color", ["content", "luminance", "match"])
def test_colors_are_those_asked_for_and_the_receipt_says_which(
    color: str, tmp_path: Path, pictures: Path
) -> None:
    plain, given = (
        order(tmp_path / one, pictures, color=one, strength=1.0) for one in ("style", color)
    )
    painted(plain)
    painted(given)
    assert receipt(given)["color"] == {"mode": color, "space": "oklab"}
    assert "color" not in receipt(plain)
    with Image.open(pictures / "content.jpg") as content:
        wanted = np.asarray(content.resize((32, 24))).reshape(-1, 3).mean(axis=0)
    away = []
    for one in (plain, given):
        with Image.open(one.staging / "final.png") as image:
            mean = np.asarray(image).reshape(-1, 3).mean(axis=0)
        away.append(np.ptp((mean - mean.mean()) - (wanted - wanted.mean())))
    assert away[1] < away[0] / 2


@pytest.mark.parametrize(("format", "depth"), [("png", 16), ("tiff", 16), ("png", 8)])
def test_a_ramp_of_16_bits_comes_through_whole_where_that_is_asked_for(
    format: str, depth: int, tmp_path: Path, pictures: Path
) -> None:
    """In the style of itself it stays the ramp that it was."""
    ramp = np.linspace(9_000, 50_000, 1200).astype(np.uint16)[None, :, None]
    (pictures / "ramp.png").write_bytes(png(np.tile(ramp, (4, 1, 3))))
    given = order(tmp_path / "job", pictures, format=format, depth=depth, size=1200, steps=1,
                  fields={"passes": []})  # fmt: skip
    both = pictures / "ramp.png"
    painted(replace(given, content=both, styles=(both,)))
    found = read(given.staging / f"final.{format}").pixels[0, :, 0]
    levels = len(np.unique(found))
    assert levels > 1100 if depth == 16 else levels <= 256
    assert np.abs(found - ramp[0, :, 0] / 257).max() < 3


def test_a_jpeg_of_what_is_transparent_is_warned_of(tmp_path: Path, pictures: Path) -> None:
    Image.new("RGBA", (48, 36), (90, 20, 30, 99)).save(pictures / "clear.png")
    given = order(tmp_path / "job", pictures, format="jpg", steps=1)
    painted(replace(given, content=pictures / "clear.png"))
    assert any("holds no transparency" in one for one in receipt(given)["warnings"])


def test_the_receipt_says_how_files_were_written(tmp_path: Path, pictures: Path) -> None:
    said: dict[str, Any] = {
        "format": "jpg",
        "quality": 60,
        "metadata": "none",
        "stages": {"size": None},
    }
    given = order(tmp_path / "job", pictures, **said, artifacts=["losses.png"])
    painted(given)
    written = {**said, "depth": 8, "stages": {}, "keep": ["losses.png"]}
    assert receipt(given)["output"] == written


def test_the_receipt_says_what_was_done_with_what(given: Order) -> None:
    painted(given)
    found = receipt(given)
    assert (found["job"], found["state"], found["seed"]) == ("a/job", "done", 0)
    assert found["backend"]["name"] == "sketch"
    assert found["size"] == [32, 24]
    assert found["recipe"]["name"] == "best"
    assert found["losses"] == found["stages"][-1]["losses"]
    started, finished = (datetime.fromisoformat(found[name]) for name in ("started", "finished"))
    assert started <= finished
    assert str(started.utcoffset()) == "0:00:00"


def test_the_digest_of_every_stage_and_input_is_that_of_its_file(
    given: Order, pictures: Path
) -> None:
    painted(given)
    for one in receipt(given)["stages"]:
        content = (given.staging / one["file"]).read_bytes()
        assert one["sha256"] == hashlib.sha256(content).hexdigest()
    for one in receipt(given)["inputs"]:
        content = (pictures / one["name"]).read_bytes()
        assert one["sha256"] == hashlib.sha256(content).hexdigest()


def test_earlier_attempts_stand_before_the_one_that_got_there(given: Order) -> None:
    earlier = {"backend": "torch", "device": "cuda:0", "ended": "failed: it burnt"}
    painted(replace(given, attempts=(earlier,)))
    first, last = receipt(given)["attempts"]
    assert (first["device"], first["ended"]) == ("cuda:0", "failed: it burnt")
    assert (last["backend"], last["device"], last["ended"]) == ("sketch", "cpu", "done")


def test_the_job_that_is_painted_again_is_named(given: Order) -> None:
    painted(given)
    assert "retry_of" not in receipt(given)
    painted(replace(given, retry_of="earlier", checkpoint=None))
    assert receipt(given)["retry_of"] == "earlier"


def test_the_notes_of_a_recipe_and_the_warnings_of_a_backend_are_in_the_receipt(
    given: Order, tmp_path: Path
) -> None:
    (tmp_path / "noted.yaml").write_text("extends: best\nabout: Mine.\nnotes: [It departs.]\n")
    settings = given.settings.model_copy(update={"recipe": "noted"})
    painted(replace(given, settings=settings, recipe_folders=(tmp_path,)))
    found = receipt(given)["warnings"]
    assert found[0] == "It departs."
    assert len(found) > 1  # sketch says that it is no painting


def test_steps_that_were_taken_back_are_in_the_receipt(given: Order) -> None:
    uphill = "steps that led far uphill, and were taken back: 2"
    assert uphill not in told(given, stage(3, 8)).warnings
    story = told(given, replace(stage(3, 8), taken_back=2))
    assert uphill in story.warnings
    assert uphill in told(given, remembered=story.remember()).warnings


@pytest.mark.parametrize("several", [False, True])
def test_a_resumed_painting_tells_of_all_its_stages(several: bool, given: Order) -> None:
    given = replace(given, styles=given.styles * 2) if several else given
    painted(given, *after(3, Wish.STOP))
    painted(given)
    found = Receipt.model_validate(receipt(given))
    assert [one.step for one in found.stages] == [2, 4, 6, 8]
    assert [row["step"] for row in table(given)] == [str(step) for step in range(1, 9)]
    assert sorted(found.losses.style) == (
        ["style-1", "style-2"] if several else ["covariance", "mean"]
    )


def test_the_receipt_holds_the_digest_of_every_other_file(tmp_path: Path, pictures: Path) -> None:
    given = order(tmp_path / "job", pictures)
    painted(given)
    told = receipt(given)
    digests = {one["file"]: one["sha256"] for one in (*told["stages"], *told["files"])}
    assert digests == {
        name: hashlib.sha256((given.staging / name).read_bytes()).hexdigest()
        for name in files(given)
        if name != "receipt.json"
    }


def test_the_last_picture_is_called_as_the_order_has_it(tmp_path: Path, pictures: Path) -> None:
    given = replace(order(tmp_path / "job", pictures, steps=2), final="sea.v2-wave")
    painted(given)
    assert (given.staging / "sea.v2-wave.png").is_file()
    found = receipt(given)
    assert found["final"] == "sea.v2-wave.png"
    assert "sea.v2-wave.png" in {one["file"] for one in found["files"]}
