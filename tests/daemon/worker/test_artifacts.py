"""What is to be drawn of a painting: which pictures, by which labels and names."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from errno import ENOSPC
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.worker.orders import files as left
from tests.daemon.worker.orders import order, painted, receipt

from stylewatch_daemon.artifacts.contract import Drawn, Keepsakes
from stylewatch_daemon.artifacts.pictures import small
from stylewatch_daemon.artifacts.process import drawn
from stylewatch_daemon.outbox import publish
from stylewatch_daemon.worker import recorder
from stylewatch_daemon.worker.artifacts import Told, asked, files
from stylewatch_daemon.worker.contract import Order, Staged
from stylewatch_daemon.worker.prepare import prepare
from stylewatch_painter.stage import Losses
from stylewatch_plugins.contract import Wish
from stylewatch_plugins.testing.tasks import after

DIGEST = "c" * 64
STAGES: list[dict[str, Any]] = [
    {"file": f"stages/{step:04}.png", "sha256": str(step), "step": step, "seconds": 20.0 * step}
    for step in (2, 4, 600)
]


def wanted(given: Order, seconds: float = 42.4) -> Keepsakes:
    told = Told(
        columns=["total"],
        rows=[[1, 32, 24, 0.5, 3.0]],
        stages=STAGES,
        losses=Losses(3.0, {}, {}),
        final="final.png",
        digest=DIGEST,
        size=(32, 24),
        seconds=seconds,
    )
    return asked(given, prepare(given), told)


def test_labels_tell_names_steps_seconds_and_the_recipe(tmp_path: Path, pictures: Path) -> None:
    (pictures / "style.jpg").rename(pictures / "wave.jpg")
    given = order(tmp_path / "job", pictures, artifacts=["sheet"])
    found = wanted(replace(given, styles=(pictures / "wave.jpg",)))
    assert found.content is not None and found.content.label == "content"
    assert [one.label for one in found.styles] == ["style\nwave.jpg"]
    assert [one.label for one in found.stages] == ["step 2, 40 s", "step 4, 1:20 min"]
    assert found.final.label == "final: step 600, 42 s\nbest, 32x24, sketch"
    assert found.curves.stages == (2, 4, 600) and found.curves.rows == ((1, 32, 24, 3.0),)
    assert found.wanted == ("sheet.png",)


@pytest.mark.parametrize(
    ("seconds", "told"), [(1.25, "1.2 s"), (59.7, "1:00 min"), (7500.0, "2:05 h")]
)
def test_times_are_told_in_little_room(
    seconds: float, told: str, tmp_path: Path, pictures: Path
) -> None:
    found = wanted(order(tmp_path / "job", pictures), seconds)
    assert found.final.label.splitlines()[0] == f"final: step 600, {told}"


def test_stages_are_looked_for_where_they_are_made_and_where_they_are_published(
    tmp_path: Path, pictures: Path
) -> None:
    given = replace(order(tmp_path / "job", pictures), place=tmp_path / "out/job")
    found = wanted(given)
    assert found.final.paths == (
        str(given.staging / "final.png"), str(tmp_path / "out/job/final.png"),
    )  # fmt: skip
    assert found.final.sha256 == DIGEST
    content = (pictures / "content.jpg").read_bytes()
    (tmp_path / "out/job").mkdir(parents=True)
    (tmp_path / "out/job/final.png").write_bytes(content)
    published = replace(found.final, sha256=hashlib.sha256(content).hexdigest())
    assert small(published, 24, 10_000) is not None


def test_of_one_side_alone_only_that_is_shown(tmp_path: Path, pictures: Path) -> None:
    texture = wanted(order(tmp_path / "a", pictures, only="style"))
    assert texture.content is None and len(texture.styles) == 1
    plain = wanted(order(tmp_path / "b", pictures, only="content"))
    assert plain.content is not None and plain.styles == ()


def test_the_final_picture_keeps_its_name(tmp_path: Path, pictures: Path) -> None:
    given = order(tmp_path / "job", pictures, artifacts=["sheet", "losses"])
    assert files(given, "sheet.png") == {"sheet.png": "sheet-2.png", "losses.png": "losses.png"}
    assert files(given, "final.png")["sheet.png"] == "sheet.png"


def test_keepsakes_are_left_before_the_receipt_which_names_them(
    tmp_path: Path, pictures: Path
) -> None:
    given = order(tmp_path / "job", pictures, artifacts=["losses", "progress", "gif", "sheet"])
    staged = [one.path for one in painted(given) if isinstance(one, Staged)]
    assert staged[-6:] == [
        "final.png", "losses.png", "progress.webp", "progress.gif", "sheet.png", "receipt.json",
    ]  # fmt: skip
    digests = {one["file"]: one["sha256"] for one in receipt(given)["files"]}
    for name in staged[-5:-1]:
        assert digests[name] == hashlib.sha256((given.staging / name).read_bytes()).hexdigest()


def test_a_painting_that_goes_on_has_the_same_keepsakes(tmp_path: Path, pictures: Path) -> None:
    whole, cut = (
        order(tmp_path / one, pictures, artifacts=["losses", "progress"])
        for one in ("whole", "cut")
    )
    painted(whole)
    painted(cut, *after(3, Wish.STOP))
    assert not (cut.staging / "losses.png").exists()
    painted(cut)
    for name in ("losses.png", "progress.webp"):
        assert (cut.staging / name).read_bytes() == (whole.staging / name).read_bytes()


def test_a_painting_that_is_finished_early_has_keepsakes(tmp_path: Path, pictures: Path) -> None:
    given = order(tmp_path / "job", pictures, artifacts=["sheet"])
    painted(given, *after(3, Wish.FINISH))
    assert receipt(given)["state"] == "finished"
    assert "sheet.png" in left(given)


@pytest.mark.parametrize("where", ["drawing", "writing"])
def test_a_keepsake_that_fails_costs_nothing_but_a_warning(
    where: str, tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = order(tmp_path / "job", pictures, artifacts=["sheet", "losses"])
    real = publish.stage

    def stage(staging: Path, name: str, content: bytes) -> None:
        if where == "writing" and name == "sheet.png":
            raise OSError(ENOSPC, "No space left on device")
        real(staging, name, content)

    def failing(asked: Keepsakes) -> Iterator[Drawn]:
        yield Drawn("sheet.png", problem="memory did not suffice")
        yield from drawn(replace(asked, wanted=("losses.png",)))

    monkeypatch.setattr(publish, "stage", stage)
    if where == "drawing":
        monkeypatch.setattr(recorder, "drawn", failing)
    painted(given)
    found = receipt(given)
    why = {"drawing": "memory did not suffice",
           "writing": "it cannot be written: No space left on device"}[where]  # fmt: skip
    assert f"sheet.png was not drawn: {why}" in found["warnings"]
    names = {one["file"] for one in found["files"]}
    assert "losses.png" in names and "sheet.png" not in names
