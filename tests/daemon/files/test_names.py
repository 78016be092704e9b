"""Names in the outbox are safe and recognizable, also in flat albums."""

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.daemon.faults import fill
from tests.daemon.worker.orders import order, painted, receipt

from stylewatch_daemon.errors import OutputError
from stylewatch_daemon.files import flat_layout
from stylewatch_daemon.files.names import LONGEST, safe, safe_path, shortened, shown
from stylewatch_daemon.outbox.publish import Outbox


@pytest.mark.parametrize(
    ("dropped", "kept"),
    [
        ("holiday 2026", "holiday 2026"), ("e\u0301t\u00e9", "\u00e9t\u00e9"), ("", "_"),
        ("-rf", "_rf"), (".hidden", "_hidden"), ("what?", "what_"), ("end. ", "end"),
        (os.fsdecode(b"latin\xe9"), "latin_"), ("_JOBS", "__JOBS"), ("nul.v2", "_nul.v2"),
        ("com1 .x", "_com1 .x"), ("console", "console"),
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


def test_a_shown_path_cannot_mislead() -> None:
    assert shown("a\x1b[2J\u202egpj\u2066\u2028b\x9b") == "a?[2J?gpj??b?"
    assert shown("Füße 海" + os.fsdecode(b"\xe9\n") + ".jpg") == "Füße 海??.jpg"
    assert shortened("a" * 120 + "b" * 500 + "c" * 120) == "a" * 120 + "..." + "c" * 120


FLAT = "_jobs/waves/a"


def test_the_final_picture_of_a_flat_job_has_its_name_and_lies_around_its_folder() -> None:
    place = flat_layout.folder("waves/a.b")
    assert (place, flat_layout.called(place)) == ("_jobs/waves/a.b", "waves/a.b")
    assert flat_layout.painting(place, "final.png") == "waves/a.b.png"
    assert ("final.webp", "waves/a.b.webp") in flat_layout.paintings(place)
    assert flat_layout.painting(FLAT, "../../../etc/x.png") == "waves/a.png"
    assert flat_layout.as_seen(FLAT, "final.jpg") == "../../../waves/a.jpg"
    assert flat_layout.around(Path("/_jobs/out/_jobs/waves/a")) == Path("/_jobs/out/waves")
    assert flat_layout.called("waves/a") == "waves/a"
    assert flat_layout.painting("waves/a", "../../../etc/passwd") == "waves/a/passwd"
    assert flat_layout.around(Path("/out/waves/_jobs")) == Path("/out/waves/_jobs")
    assert list(flat_layout.paintings("waves/a")) == []


def test_flat_and_other_jobs_do_not_share_names_or_follow_links(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "out")
    outbox.probe()
    fill(outbox.root, "waves/a.webp", f"{FLAT}-2/receipt.json", "_jobs/waves/b/receipt.json")
    assert outbox.reserve(FLAT, lambda name: None) == outbox.root / f"{FLAT}-3"
    assert outbox.reserve("waves/b", lambda name: None) == outbox.root / "waves/b-2"
    outbox.stage_refused("1", [], "no")
    folder = outbox.publish_refused("1", outbox.choose_refused(FLAT))
    assert folder == outbox.root / "_refused/waves/a"
    (outbox.root / "sea").symlink_to(tmp_path)
    with pytest.raises(OutputError, match="leads out of the outbox"):
        outbox.reserve("_jobs/sea/a", lambda name: None)


def test_the_receipt_of_a_flat_job_names_its_final_picture(tmp_path: Path, pictures: Path) -> None:
    given = replace(order(tmp_path / "job", pictures, steps=2), name=FLAT)
    painted(given)
    plain = receipt(given)
    digests = {file["file"]: file["sha256"] for file in plain["files"]}
    digest = hashlib.sha256((given.staging / "final.png").read_bytes()).hexdigest()
    assert plain["final"] == "../../../waves/a.png"
    assert (digests["../../../waves/a.png"], "final.png" in digests) == (digest, False)
