"""What a report is made from: the receipt, and its files where they lie now."""

import json
from pathlib import Path

import pytest
from PIL import Image
from tests.daemon.cli.states import enter, entry
from tests.daemon.worker.orders import order, painted, receipt

from stylewatch_daemon.artifacts.drawing import small
from stylewatch_daemon.cli.client import Daemon
from stylewatch_daemon.cli.html.painted import in_folder, of_job
from stylewatch_daemon.errors import InputError, UsageError


@pytest.fixture
def folder(tmp_path: Path, pictures: Path) -> Path:
    """A folder with all that a job leaves, its inputs too."""
    given = order(tmp_path / "job", pictures)
    painted(given)
    pictures.rename(given.staging / "inputs")
    return given.staging


def test_in_a_folder_all_its_pictures_are_found(folder: Path) -> None:
    found = in_folder(folder)
    assert found.name == "a/job" and found.story is None
    assert [step for step, _ in found.stages()] == [2, 4, 6]
    inputs = [found.input(one.sha256, one.name) for one in found.receipt.inputs]
    for one in (found.painting, *inputs, *(seen for _, seen in found.stages())):
        assert one is not None and small(one, 24, 10_000) is not None


def test_an_input_is_found_under_another_name_or_not_at_all(folder: Path) -> None:
    found = in_folder(folder)
    (content, style) = found.receipt.inputs
    (folder / "inputs/content.jpg").rename(folder / "inputs/else.jpg")
    (folder / "inputs/style.jpg").write_bytes(b"changed")
    assert found.input(content.sha256, content.name) is not None
    assert found.input(style.sha256, style.name) is None


def test_of_a_flat_job_the_painting_lies_beside_its_folder(folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "out/_jobs/waves/a"
    place.parent.mkdir(parents=True)
    folder.rename(place)
    told = json.loads((place / "receipt.json").read_bytes())
    told["final"] = "../../../waves/a.png"
    (place / "receipt.json").write_text(json.dumps(told))
    (tmp_path / "out/waves").mkdir()
    (place / "final.png").rename(tmp_path / "out/waves/a.png")
    assert in_folder(place).final == tmp_path / "out/waves/a.png"


def test_a_receipt_of_somebody_leads_nowhere_else(folder: Path, tmp_path: Path) -> None:
    Image.new("RGB", (9, 9)).save(tmp_path / "secret.png")
    told = receipt(order(folder.parent, folder / "inputs"))
    told["final"] = "../../secret.png"
    told["stages"][0]["file"] = "../secret.png"
    told["stages"][1]["file"] = "stages/../../../secret.png"
    (folder / "receipt.json").write_text(json.dumps(told))
    found = in_folder(folder)
    assert found.final == folder / "secret.png"
    assert [step for step, _ in found.stages()] == [6]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{}", "is no receipt of ours"),
        ("nonsense", "is no receipt of ours"),
        ('{"sweep": {}, "jobs": [{"name": "seed=1"}]}', "name one of its jobs, as staging/seed=1"),
        ('{"sweep": {}, "jobs": 3}', "that of a series"),
    ],
)
def test_other_receipts_are_told_apart(text: str, why: str, folder: Path) -> None:
    (folder / "receipt.json").write_text(text)
    with pytest.raises(InputError, match=why):
        in_folder(folder)


@pytest.mark.parametrize(
    ("state", "why"),
    [
        ("running", r"not finished yet \(running\)"),
        ("queued", "not finished yet"),
        ("refused", r"was not painted \(refused\)"),
        ("done", "the receipt of sea is not in out any more"),
    ],
)
def test_a_job_without_a_receipt_says_how_it_stands(state: str, why: str, tmp_path: Path) -> None:
    enter(tmp_path / "state", entry("sea", state))
    with pytest.raises(InputError, match=why):
        of_job(Daemon(tmp_path / "state"), "sea")


def test_a_job_that_there_is_not_is_told_with_the_nearest(tmp_path: Path) -> None:
    enter(tmp_path / "state", entry("sea", "done"))
    with pytest.raises(UsageError, match="did you mean 'sea'"):
        of_job(Daemon(tmp_path / "state"), "see")


def test_where_inputs_are_gone_their_thumbnails_are_shown(folder: Path, tmp_path: Path) -> None:
    outbox = tmp_path / "out"
    outbox.mkdir()
    folder.rename(outbox / "sea")
    for path in (outbox / "sea/inputs").iterdir():
        path.unlink()
    enter(tmp_path / "state", entry("sea", "done", outbox=str(outbox)))
    (tmp_path / "state/thumbs").mkdir()
    found = of_job(Daemon(tmp_path / "state"), "sea")
    content, style = found.receipt.inputs
    Image.new("RGB", (9, 9)).save(tmp_path / f"state/thumbs/{content.sha256}.jpg")
    seen = found.input(content.sha256, content.name)
    assert seen is not None and seen.paths == (
        str(tmp_path / f"state/thumbs/{content.sha256}.jpg"),
    )
    assert found.input(style.sha256, style.name) is None
