"""Names in the outbox are safe and recognizable, also in flat albums."""

import hashlib
import os
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.daemon.faults import fill
from tests.daemon.worker.orders import order, painted, receipt

from stylewatch_daemon.errors import OutputError
from stylewatch_daemon.files import flat_layout
from stylewatch_daemon.files.names import LONGEST, candidates, safe, safe_path, shortened, shown
from stylewatch_daemon.outbox.publish import Outbox


@pytest.mark.parametrize(
    ("dropped", "kept"),
    [
        ("holiday 2026", "holiday 2026"), ("e\u0301t\u00e9", "\u00e9t\u00e9"), ("", "_"),
        ("line\nbreak", "line_break"), ("-rf", "_rf"), ("..", "_"), (".hidden", "_hidden"),
        ("what?", "what_"), ("end. ", "end"), (os.fsdecode(b"latin\xe9"), "latin_"),
        ("_refused", "__refused"), ("_JOBS", "__JOBS"), ("a/b", "a_b"), ("CON", "_CON"),
        ("nul.v2", "_nul.v2"), ("com1 .x", "_com1 .x"), ("console", "console"),
    ],
)  # fmt: skip
def test_a_name_is_made_safe_and_stays_recognizable(dropped: str, kept: str) -> None:
    assert safe(dropped) == kept


@given(st.text() | st.text(st.characters(categories=["Cs", "Cc", "Po"])))
def test_no_name_leads_elsewhere_or_cannot_be_stored(name: str) -> None:
    for part in safe_path(name).split("/"):
        assert part not in ("", ".", "..", "_refused", "_status.txt", "_jobs")
        assert not part.startswith((".", "-"))
        assert len(part.encode()) <= LONGEST + 1


def test_a_taken_name_gets_a_number() -> None:
    assert list(islice(candidates("job"), 3)) == ["job", "job-2", "job-3"]


def test_a_shown_path_cannot_mislead() -> None:
    assert shown(os.fsdecode(b"a\xe9\nb")) == "a??b"
    assert shown("a\x1b[2J\u202egpj\u2066\u2028b\x9b") == "a?[2J?gpj??b?"
    assert shown("Füße 海.jpg") == "Füße 海.jpg"
    assert shortened(Path("/in/a\x1b.jpg")) == "/in/a?.jpg"
    assert shortened("a" * 120 + "b" * 500 + "c" * 120) == "a" * 120 + "..." + "c" * 120


FLAT = "_jobs/waves/a"


def test_the_final_picture_of_a_flat_job_has_its_name() -> None:
    place = flat_layout.folder("waves/a.b")
    assert (place, flat_layout.called(place)) == ("_jobs/waves/a.b", "waves/a.b")
    assert flat_layout.painting(place, "final.png") == "waves/a.b.png"
    assert ("final.webp", "waves/a.b.webp") in flat_layout.paintings(place)
    assert flat_layout.painting(FLAT, "../../../etc/x.png") == "waves/a.png"


def test_the_final_picture_of_another_job_is_in_its_folder() -> None:
    assert flat_layout.is_flat(FLAT) and not flat_layout.is_flat("waves/a")
    assert flat_layout.called("waves/a") == "waves/a"
    assert flat_layout.painting("waves/a", "../../../etc/passwd") == "waves/a/passwd"
    assert flat_layout.as_seen("waves/a", "a-sea.png") == "a-sea.png"
    assert list(flat_layout.paintings("waves/a")) == []


@pytest.mark.parametrize("name", ["a", "2026/waves/a"])
def test_a_receipt_leads_from_its_folder_to_the_final_picture(name: str) -> None:
    place = flat_layout.folder(name)
    path = os.path.normpath(Path("/out", place, flat_layout.as_seen(place, "final.jpg")))
    assert path == f"/out/{name}.jpg"


@pytest.mark.parametrize(
    ("folder", "around"),
    [
        ("/out/_jobs/waves/a", "/out/waves"),
        ("/out/_jobs/a", "/out"),
        ("/_jobs/out/_jobs/waves/a", "/_jobs/out/waves"),
        ("/out/waves/_jobs", "/out/waves/_jobs"),
    ],
)
def test_the_folder_around_a_final_picture(folder: str, around: str) -> None:
    assert flat_layout.around(Path(folder)) == Path(around)


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    outbox = Outbox(tmp_path / "out")
    outbox.probe()
    return outbox


def test_flat_and_other_jobs_do_not_share_names(outbox: Outbox) -> None:
    fill(outbox.root, "waves/a.webp", f"{FLAT}-2/receipt.json", "_jobs/waves/b/receipt.json")
    assert outbox.reserve(FLAT, lambda name: None) == outbox.root / f"{FLAT}-3"
    assert outbox.reserve("waves/b", lambda name: None) == outbox.root / "waves/b-2"
    outbox.stage_refused("1", [], "no")
    folder = outbox.publish_refused("1", outbox.choose_refused(FLAT))
    assert folder == outbox.root / "_refused/waves/a"


def test_a_link_in_a_flat_album_does_not_lead_out(outbox: Outbox, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (outbox.root / "waves").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match="leads out of the outbox"):
        outbox.reserve(FLAT, lambda name: None)


def test_the_receipt_of_a_flat_job_names_its_final_picture(tmp_path: Path, pictures: Path) -> None:
    given = replace(order(tmp_path / "job", pictures, steps=2), name=FLAT)
    painted(given)
    plain = receipt(given)
    digests = {file["file"]: file["sha256"] for file in plain["files"]}
    digest = hashlib.sha256((given.staging / "final.png").read_bytes()).hexdigest()
    assert plain["final"] == "../../../waves/a.png"
    assert (digests["../../../waves/a.png"], "final.png" in digests) == (digest, False)
