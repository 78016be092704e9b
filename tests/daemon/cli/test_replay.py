"""A receipt is read so that its job can be repeated."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from tests.daemon.web.world import receipt

from stylewatch_daemon.base.errors import InputError
from stylewatch_daemon.cli import replay
from stylewatch_daemon.cli.build_order import RenderRequest, make_plan
from stylewatch_daemon.cli.options import JobOptions
from stylewatch_daemon.files import atomic
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_painter.recipes import book


def an_input(role: str, name: str, **more: object) -> dict[str, Any]:
    sha256 = hashlib.sha256(role.encode()).hexdigest()
    return {"role": role, "name": name, "sha256": sha256, "size": [4, 3], "converted": [], **more}


RECIPE = book.change(book.find("keras"), {"steps": 7})
MASKS = (an_input("content-mask", "c.png"), an_input("style-2-mask", "s.png"))
INPUTS = (an_input("content", "sea.jpg"), an_input("style-1", "wave.jpg", weight=2),
          an_input("style-2", "sky.jpg", weight=1), an_input("init", "first.png"),
          *MASKS)  # fmt: skip
PLAIN: dict[str, Any] = receipt("sea", inputs=INPUTS, recipe=RECIPE.model_dump(mode="json"), seed=5)
Change = Callable[..., replay.Replay]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A job's folder in the outbox, with its receipt and its inputs."""
    inputs = tmp_path / "job" / "inputs"
    inputs.mkdir(parents=True)
    for record in INPUTS:
        (inputs / record["name"]).write_text(record["role"])
    (tmp_path / "job" / "receipt.json").write_text(json.dumps(PLAIN))
    return tmp_path / "job"


@pytest.fixture
def read(folder: Path) -> Change:
    """Read the receipt with some changes."""

    def read_(**changes: Any) -> replay.Replay:
        (folder / "receipt.json").write_text(json.dumps({**PLAIN, **changes}))
        return replay.read(folder)

    return read_


def test_its_inputs_lie_beside_it_known_by_name_or_digest(folder: Path) -> None:
    inputs = folder / "inputs"
    (inputs / "wave.jpg").rename(inputs / "style-1.jpg")
    for path in (folder, folder / "receipt.json"):
        repeated = replay.read(path)
        pictures = repeated.pictures()
        assert pictures == tuple(inputs / name for name in ("sea.jpg", "style-1.jpg", "sky.jpg"))
        assert repeated.init() == inputs / "first.png"
        masks = {"content-mask": inputs / "c.png", "style-2-mask": inputs / "s.png"}
        assert repeated.masks() == masks
    assert list(repeated.differences(pictures)) == []
    (inputs / "sky.jpg").write_text("another")
    (sentence,) = repeated.differences(pictures)
    assert "sky.jpg is not the style-2 of the receipt" in sentence


def test_an_input_that_cannot_be_read_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = PermissionError(13, "Permission denied", "in/sea.jpg")
    monkeypatch.setattr(atomic, "digest", Mock(side_effect=error))
    with pytest.raises(InputError, match=r"^in/sea\.jpg cannot be read: Permission denied$"):
        replay.read(folder).pictures()


def test_a_name_in_a_receipt_does_not_lead_out_of_its_folder(folder: Path, read: Change) -> None:
    (folder / "inputs/sea.jpg").rename(folder / "secret.jpg")
    outside = {**INPUTS[0], "name": "../secret.jpg"}
    with pytest.raises(InputError, match=r"inputs/secret\.jpg does not exist; pass CONTENT STYLE"):
        read(inputs=[outside, *INPUTS[1:]]).pictures()


BASE = JobSettings.model_validate({
    "final": "{stem}", "format": "tiff", "depth": 16, "metadata": "all", "stages": {"size": 9},
    "strength": 1, "color": "match", "set": {"objective.tv.weight": 1},
    "clip": {"format": "webm"},
})  # fmt: skip


def test_recipe_seed_backend_weights_and_recorded_output_are_repeated(
    read: Change, tmp_path: Path
) -> None:
    job = read().settings(tmp_path, 3, BASE)
    assert job.resolve() == RECIPE
    assert (job.seed, job.backend, job.style_weights) == (5, "sketch", (2.0, 1.0))
    assert (job.final, job.format, job.depth, job.metadata) == ("{stem}", "tiff", 16, "all")
    assert (job.stages.size, job.color, job.color_space) == (9, "style", "oklab")
    job = read(
        output={"format": "webp", "quality": 7, "depth": 8, "metadata": "none", "stages": {}},
        color={"mode": "match", "space": "linear"},
        mask={"feather": "2%", "outside": "keep"},
    ).settings(tmp_path, 3, BASE)
    assert (job.color, job.color_space, job.mask.feather) == ("match", "linear", "2%")
    assert (job.format, job.quality, job.depth, job.metadata) == ("webp", 7, 8, "none")
    assert read().settings(tmp_path, 2, BASE).style_weights is None, "there are other styles"
    recipe = book.change(RECIPE, {"start": "style", "keep_detail": 0.25, "objective.content": None})
    repeated = read(only="style", recipe=recipe.model_dump(mode="json"))
    assert repeated.settings(tmp_path, 2, JobSettings()).resolve() == recipe


def test_a_clip_is_repeated_and_the_device_of_its_backend_is_the_users(
    read: Change, tmp_path: Path
) -> None:
    clip = {"frames": 2, "seconds": 0.5, "format": "mkv", "scenes": []}
    for recorded, format_ in ((None, "webm"), (clip, "mkv")):
        job = read(clip=recorded).settings(tmp_path, 3, BASE)
        assert job.clip.format == format_
    for backend, device in (("sketch", "cpu"), ("torch", None)):
        base = BASE.model_copy(update={"backend": backend, "device": "cpu"})
        assert read().settings(tmp_path, 3, base).device == device


def test_memory_options_are_those_of_the_last_attempt_and_options_override_them(
    read: Change, here: Path
) -> None:
    decided = {"tile": 768, "history": 4, "device": "cpu"}
    attempts = [{"backend": "torch", "decided": {"tile": 96}, "ended": "failed"},
                {"backend": "torch", "decided": decided, "ended": "done"}]  # fmt: skip
    backend = {**PLAIN["backend"], "name": "torch"}
    repeated = read(attempts=attempts, inputs=INPUTS[:3], backend=backend)
    assert repeated.options() == {"tile": 768, "history": 4}
    (here / "config.yaml").write_text("backends: {torch: {tile: none, threads: 1}}\n")
    for sets, tile in (([], 768), (["backends.torch.tile=64"], 64)):
        request = RenderRequest(
            (here / "content.jpg", here / "style.jpg"), JobOptions(sets=sets),
            here / "config.yaml", receipt=repeated.folder,
        )  # fmt: skip
        order = make_plan(request, here).order
        assert order.backend_options == {"threads": 1, "tile": tile, "history": 4}


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 10**30},
        {"recipe": {key: PLAIN["recipe"][key] for key in ("name", "about")}},
        {"output": {"format": "jpg", "quality": 7, "depth": 16, "metadata": "none", "stages": {}}},
    ],
)
def test_invalid_receipts_are_refused(changes: dict[str, Any], read: Change, folder: Path) -> None:
    with pytest.raises(InputError, match=r"this receipt c|is not a receipt"):
        read(**changes).settings(folder, 3, BASE)
    for text in ("not JSON", "[" * 100_000, '{"sweep": 1}', "7"):
        (folder / "receipt.json").write_text(text)
        with pytest.raises(InputError, match=r"not a receipt: |RecursionError"):
            replay.read(folder)
