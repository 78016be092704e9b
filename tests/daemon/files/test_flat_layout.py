"""Flat albums: where the painting of a job lies, and how its folder and its receipt name it."""

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pytest
from tests.daemon.faults import fill, tree
from tests.daemon.worker.orders import order, painted, receipt

from stylewatch_daemon.errors import OutputError
from stylewatch_daemon.files import flat_layout
from stylewatch_daemon.outbox.publish import Outbox


def test_a_flat_jobs_painting_lies_where_its_name_says_and_its_folder_elsewhere() -> None:
    place = flat_layout.folder("waves/a.b")
    assert (place, flat_layout.called(place)) == ("_jobs/waves/a.b", "waves/a.b")
    assert flat_layout.is_flat(place)
    assert flat_layout.painting(place, "final.png") == "waves/a.b.png"
    assert list(flat_layout.paintings(place)) == [
        (f"final{ending}", f"waves/a.b{ending}") for ending in (".png", ".jpg", ".webp", ".tiff")
    ]


def test_any_other_job_has_its_painting_in_its_folder() -> None:
    assert not flat_layout.is_flat("waves/a")
    assert flat_layout.called("waves/a") == "waves/a"
    assert flat_layout.painting("waves/a", "a-sea.png") == "waves/a/a-sea.png"
    assert flat_layout.as_seen("waves/a", "a-sea.png") == "a-sea.png"
    assert list(flat_layout.paintings("waves/a")) == []


def test_a_painting_that_a_receipt_has_elsewhere_is_looked_for_in_the_folder() -> None:
    assert flat_layout.painting("waves/a", "../../../etc/passwd") == "waves/a/passwd"
    assert flat_layout.painting("_jobs/waves/a", "../../../etc/x.png") == "waves/a.png"


@pytest.mark.parametrize("name", ["a", "waves/a", "2026/waves/a"])
def test_a_receipt_leads_from_its_folder_to_the_painting(name: str) -> None:
    place = flat_layout.folder(name)
    led = os.path.normpath(Path("/out", place, flat_layout.as_seen(place, "final.jpg")))
    assert led == f"/out/{name}.jpg"


@pytest.mark.parametrize(
    ("folder", "around"),
    [
        ("/out/_jobs/waves/a", "/out/waves"),
        ("/out/_jobs/a", "/out"),
        ("/_jobs/out/_jobs/waves/a", "/_jobs/out/waves"),
        ("/out/waves/a", "/out/waves/a"),
        ("/out/waves/_jobs", "/out/waves/_jobs"),
    ],
)
def test_the_folder_around_a_painting_is_found_from_the_jobs(folder: str, around: str) -> None:
    assert flat_layout.around(Path(folder)) == Path(around)


FLAT = "_jobs/waves/a"


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "out")


def ending(outbox: Outbox, place: str = FLAT) -> list[str]:
    """Finish a job that has painted a JPEG; what was told of it, by its path in the outbox."""
    folder = outbox.reopen(place)
    fill(folder, "final.jpg")
    fill(outbox.staging("1"), "receipt.json")
    told = outbox.finish("1", folder)
    return [path.relative_to(outbox.root).as_posix() for path in told]


def test_the_painting_of_a_flat_job_moves_to_its_place_before_the_receipt_comes(
    outbox: Outbox,
) -> None:
    assert ending(outbox) == ["waves/a.jpg", f"{FLAT}/receipt.json"]
    assert tree(outbox.root) == {
        "waves/a.jpg": "final.jpg", f"{FLAT}/receipt.json": "receipt.json"
    }  # fmt: skip


def test_the_painting_of_another_job_stays_in_its_folder(outbox: Outbox) -> None:
    assert ending(outbox, "waves/a") == ["waves/a/receipt.json"]
    assert set(tree(outbox.root)) == {"waves/a/final.jpg", "waves/a/receipt.json"}


def test_a_file_of_others_in_the_place_of_a_painting_is_not_replaced(outbox: Outbox) -> None:
    outbox.probe()
    fill(outbox.root, "waves/a.jpg")
    with pytest.raises(OutputError, match=r"waves/a\.jpg, which was not there before, .* move it"):
        ending(outbox)
    assert not (outbox.root / FLAT / "receipt.json").exists()
    (outbox.root / "waves/a.jpg").unlink()
    assert ending(outbox) == ["waves/a.jpg", f"{FLAT}/receipt.json"]


def test_a_flat_job_is_called_otherwise_where_its_folder_or_its_painting_is_taken(
    outbox: Outbox,
) -> None:
    outbox.probe()
    fill(outbox.root, "waves/a.webp", f"{FLAT}-2/receipt.json")
    folder = outbox.reserve(FLAT, lambda name: None)
    assert folder == outbox.root / f"{FLAT}-3"


def test_another_job_is_called_otherwise_where_a_flat_one_has_its_name(outbox: Outbox) -> None:
    """As a series in a flat album, whose jobs would lie in the folder of the other."""
    outbox.probe()
    fill(outbox.root, f"{FLAT}/receipt.json")
    assert outbox.reserve("waves/a", lambda name: None) == outbox.root / "waves/a-2"


def test_a_link_among_the_paintings_of_a_flat_album_does_not_lead_out(
    outbox: Outbox, tmp_path: Path
) -> None:
    outbox.probe()
    (tmp_path / "elsewhere").mkdir()
    (outbox.root / "waves").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match="leads out of the outbox"):
        outbox.reserve(FLAT, lambda name: None)


def test_what_is_refused_of_a_flat_album_goes_by_its_own_name(
    outbox: Outbox, tmp_path: Path
) -> None:
    outbox.stage_refused("1", [], "no")
    folder = outbox.publish_refused("1", outbox.choose_refused(FLAT))
    assert folder == outbox.root / "_refused/waves/a"


def test_the_receipt_of_a_flat_job_tells_where_its_painting_will_be(
    tmp_path: Path, pictures: Path
) -> None:
    given = replace(order(tmp_path / "job", pictures, steps=2), name="_jobs/waves/a")
    painted(given)
    found = receipt(given)
    assert found["final"] == "../../../waves/a.png"
    told = {one["file"]: one["sha256"] for one in found["files"]}
    left = (given.staging / "final.png").read_bytes()
    assert told["../../../waves/a.png"] == hashlib.sha256(left).hexdigest()
    assert "final.png" not in told
