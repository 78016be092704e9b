"""A receipt, read so that its job can be done once more."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from stylewatch_daemon.cli import replay
from stylewatch_daemon.errors import InputError
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_painter.recipes import book


def sha256(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


def an_input(role: str, name: str, **more: object) -> dict[str, Any]:
    plain = {"role": role, "name": name, "sha256": sha256(role), "size": [4, 3], "converted": []}
    return plain | more


@pytest.fixture
def plain() -> dict[str, Any]:
    """The JSON of a receipt with two styles and a start."""
    recipe = book.change(book.find("keras"), {"steps": 7})
    return {
        "job": "sea", "state": "done", "recipe": recipe.model_dump(mode="json"),
        "backend": {"name": "sketch", "version": "1", "device": "cpu", "precision": "fp32"},
        "size": [4, 3], "seed": 5,
        "inputs": [an_input("content", "sea.jpg"), an_input("style-1", "wave.jpg", weight=2),
                   an_input("style-2", "sky.jpg", weight=1), an_input("init", "first.png")],
        "stages": [], "final": "final.png", "files": [],
        "losses": {"total": 1, "content": {}, "style": {}},
        "attempts": [], "warnings": [], "seconds": 1, "version": "0.1.0",
        "started": "2026-01-01T00:00:00Z", "finished": "2026-01-01T00:00:01Z",
    }  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, plain: dict[str, Any]) -> Path:
    """A job's folder in the outbox, with its receipt and its inputs."""
    inputs = tmp_path / "job" / "inputs"
    inputs.mkdir(parents=True)
    for one in plain["inputs"]:
        (inputs / one["name"]).write_text(one["role"])
    (tmp_path / "job" / "receipt.json").write_text(json.dumps(plain))
    return tmp_path / "job"


def test_a_receipt_is_named_by_itself_or_by_its_folder(folder: Path) -> None:
    assert replay.read(folder) == replay.read(folder / "receipt.json")


def test_its_pictures_lie_beside_it(folder: Path) -> None:
    found = replay.read(folder)
    names = ("sea.jpg", "wave.jpg", "sky.jpg")
    assert found.pictures() == tuple(folder / "inputs" / name for name in names)
    assert found.init() == folder / "inputs" / "first.png"


def test_a_picture_under_another_name_is_known_by_its_digest(folder: Path) -> None:
    (folder / "inputs" / "wave.jpg").rename(folder / "inputs" / "style-1.jpg")
    assert replay.read(folder).pictures()[1] == folder / "inputs" / "style-1.jpg"


def test_pictures_of_a_flat_job_of_a_series_lie_with_the_series(
    folder: Path, tmp_path: Path
) -> None:
    apart = tmp_path / "out/_jobs/waves/a/seed=1"
    apart.mkdir(parents=True)
    (folder / "receipt.json").rename(apart / "receipt.json")
    (tmp_path / "out/waves/a").mkdir(parents=True)
    (folder / "inputs").rename(tmp_path / "out/waves/a/inputs")
    assert replay.read(apart).pictures()[0] == tmp_path / "out/waves/a/inputs/sea.jpg"


@pytest.mark.parametrize(
    ("name", "helps"), [("sky.jpg", "say CONTENT STYLE"), ("first.png", "say --init FILE")]
)
def test_a_picture_that_is_gone_is_told_with_what_helps(
    folder: Path, name: str, helps: str
) -> None:
    (folder / "inputs" / name).unlink()
    with pytest.raises(InputError, match=f"{name} is not there; {helps}"):
        _ = (replay.read(folder).pictures(), replay.read(folder).init())


def test_a_name_in_a_receipt_does_not_lead_out_of_its_folder(
    folder: Path, plain: dict[str, Any]
) -> None:
    (folder / "secret.jpg").write_text("content")
    plain["inputs"][0]["name"] = "../secret.jpg"
    (folder / "inputs" / "sea.jpg").unlink()
    (folder / "receipt.json").write_text(json.dumps(plain))
    with pytest.raises(InputError, match=r"inputs/secret\.jpg is not there"):
        replay.read(folder).pictures()


def test_pictures_that_differ_are_told(folder: Path) -> None:
    found = replay.read(folder)
    assert list(found.differences(found.pictures())) == []
    (folder / "inputs" / "sky.jpg").write_text("another")
    (told,) = found.differences(found.pictures())
    assert "sky.jpg is not the style-2 of the receipt" in told
    fewer = list(found.differences(found.pictures()[:2]))
    assert fewer == ["the receipt has 3 pictures, here are 2"]


def test_its_settings_repeat_recipe_seed_backend_and_weights(folder: Path, tmp_path: Path) -> None:
    job = replay.read(folder).settings(tmp_path, 3, JobSettings())
    assert job.resolve() == book.change(book.find("keras"), {"steps": 7})
    assert (job.seed, job.backend, job.style_weights) == (5, "sketch", (2.0, 1.0))


def test_with_other_styles_the_weights_are_not_repeated(folder: Path, tmp_path: Path) -> None:
    job = replay.read(folder).settings(tmp_path, 2, JobSettings())
    assert job.style_weights is None


def test_masks_lie_beside_it_and_are_repeated_as_they_were_taken(
    folder: Path, plain: dict[str, Any], tmp_path: Path
) -> None:
    masks = [an_input("content-mask", "c.png"), an_input("style-2-mask", "s.png")]
    for one in masks:
        (folder / "inputs" / one["name"]).write_text(one["role"])
    told = plain | {"inputs": [*plain["inputs"], *masks],
                    "mask": {"feather": "2%", "outside": "keep"}}  # fmt: skip
    (folder / "receipt.json").write_text(json.dumps(told))
    found = replay.read(folder)
    inputs = folder / "inputs"
    assert found.masks() == {"content-mask": inputs / "c.png", "style-2-mask": inputs / "s.png"}
    assert len(found.pictures()) == 3
    mask = found.settings(tmp_path, 2, JobSettings()).mask
    assert (mask.feather, mask.outside) == ("2%", "keep")
    (inputs / "s.png").unlink()
    with pytest.raises(InputError, match="say --mask or --style-mask FILE beside --from"):
        found.masks()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("not JSON", "is no receipt: "),
        ("{}", "is no receipt: job is missing"),
        ("[" * 100_000, "receipt.json cannot be used: RecursionError"),
        ('{"seed": 1' + "0" * 5000 + "}", "is no receipt: "),
    ],
)
def test_what_is_no_receipt_is_refused(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "receipt.json").write_text(text)
    with pytest.raises(InputError, match=told):
        replay.read(tmp_path)


def test_a_receipt_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"receipt\.json cannot be read: No such file"):
        replay.read(tmp_path / "receipt.json")


def test_a_recipe_that_makes_no_sense_is_told(folder: Path, plain: dict[str, Any]) -> None:
    del plain["recipe"]["schedule"]
    (folder / "receipt.json").write_text(json.dumps(plain))
    with pytest.raises(InputError, match=r"this receipt cannot be repeated: .*schedule"):
        replay.read(folder).settings(folder, 3, JobSettings())


@pytest.mark.parametrize(
    ("key", "value"),
    [("seed", 10**30), ("backend", "a\0"), ("backend", "\ud800"), ("mask", {"feather": "1e400"}),
     ("steps", 10**400), ("about", "a\ud800"), ("weight", 2e300)],
)  # fmt: skip
def test_settings_that_no_job_can_have_are_told(
    key: str, value: object, tmp_path: Path, plain: dict[str, Any]
) -> None:
    if key == "backend":
        plain["backend"]["name"] = value
    elif key == "steps":
        plain["recipe"]["schedule"]["steps"] = value
    elif key == "about":
        plain["recipe"]["about"] = value
    elif key == "weight":
        plain["inputs"][1]["weight"] = value
    else:
        plain[key] = value
    (tmp_path / "receipt.json").write_text(json.dumps(plain))
    with pytest.raises(InputError, match=r"this receipt c|is no receipt"):
        replay.read(tmp_path).settings(tmp_path, 3, JobSettings())


def test_colors_are_as_the_receipt_has_them(tmp_path: Path, plain: dict[str, Any]) -> None:
    told = {"color": {"mode": "match", "space": "linear"}}
    for more, wanted in ((told, ("match", "linear")), ({}, ("style", "oklab"))):
        (tmp_path / "receipt.json").write_text(json.dumps(plain | more))
        found = replay.read(tmp_path).settings(tmp_path, 2, JobSettings())
        assert (found.color, found.color_space) == wanted


def test_one_side_alone_starts_where_it_did(tmp_path: Path, plain: dict[str, Any]) -> None:
    """Not with noise, as it would by itself; and as much of the content's detail comes back."""
    told = {"start": "style", "keep_detail": 0.25, "objective.content": None}
    recipe = book.change(book.find("keras"), told)
    more = {"only": "style", "recipe": recipe.model_dump(mode="json")}
    (tmp_path / "receipt.json").write_text(json.dumps(plain | more))
    job = replay.read(tmp_path).settings(tmp_path, 2, JobSettings())
    assert job.resolve() == recipe


def test_its_recipe_keeps_its_name(plain: dict[str, Any], tmp_path: Path) -> None:
    """Patterns for names may have a place for it."""
    plain["recipe"]["name"] = "my/own"
    (tmp_path / "receipt.json").write_text(json.dumps(plain))
    job = replay.read(tmp_path).settings(tmp_path, 3, JobSettings())
    assert Path(job.recipe) == tmp_path / "my_own.yaml"


BELOW = JobSettings.model_validate({
    "final": "{stem}", "format": "tiff", "depth": 16, "metadata": "all", "stages": {"size": 9},
    "strength": 1, "color": "match", "set": {"objective.tv.weight": 1},
})  # fmt: skip


def test_files_are_written_as_the_receipt_has_it(tmp_path: Path, plain: dict[str, Any]) -> None:
    """Without the size of stages where they are as large as the painting: receipts have no null."""
    output = {"format": "webp", "quality": 7, "depth": 8, "metadata": "none", "stages": {}}
    for stages, size in (({}, None), ({"size": 30, "of_later_versions": 1}, 30)):
        told = plain | {"output": output | {"stages": stages}}
        (tmp_path / "receipt.json").write_text(json.dumps(told))
        job = replay.read(tmp_path).settings(tmp_path, 3, BELOW)
        found = (job.format, job.quality, job.depth, job.metadata, job.stages.size)
        assert found == ("webp", 7, 8, "none", size)
        assert job.final == "{stem}"


def test_of_a_receipt_that_does_not_say_they_are_written_as_everywhere(
    folder: Path, tmp_path: Path
) -> None:
    job = replay.read(folder).settings(tmp_path, 3, BELOW)
    assert job.final == "{stem}"
    assert (job.format, job.depth, job.metadata, job.stages.size) == ("tiff", 16, "all", 9)
    assert job.resolve() == book.change(book.find("keras"), {"steps": 7})
    assert job.color == "style"


def test_files_that_cannot_be_are_told(folder: Path, plain: dict[str, Any]) -> None:
    output = {"format": "jpg", "quality": 7, "depth": 16, "metadata": "none", "stages": {}}
    (folder / "receipt.json").write_text(json.dumps(plain | {"output": output}))
    with pytest.raises(InputError, match=r"cannot be repeated: .*depth: 16 is for png and tiff"):
        replay.read(folder).settings(folder, 3, BELOW)


@pytest.mark.parametrize(
    ("decided", "wanted"),
    [
        ({"tile": "none", "history": "whole", "threads": 2}, {}),
        ({"tile": 768, "history": 4, "device": "cpu"}, {"tile": 768, "history": 4}),
    ],
)
def test_what_memory_made_of_the_painting_is_repeated(
    tmp_path: Path, plain: dict[str, Any], decided: dict[str, Any], wanted: dict[str, Any]
) -> None:
    """By the attempt that got there, not by those before it."""
    attempts = [{"backend": "torch", "decided": {"tile": 96}, "ended": "failed"},
                {"backend": "torch", "decided": decided, "ended": "done"}]  # fmt: skip
    (tmp_path / "receipt.json").write_text(json.dumps(plain | {"attempts": attempts}))
    assert replay.read(tmp_path).options() == wanted
