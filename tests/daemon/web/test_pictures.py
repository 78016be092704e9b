"""Pictures are served by what they are, with the digest of their bytes, and from nowhere else."""

from dataclasses import replace
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from tests.daemon.web.jobs import lay, painted, picture, sha256
from tests.daemon.web.visitors import enter, visitor

from stylewatch_daemon.store.ledger import Entry
from stylewatch_daemon.web import pictures


def page_of(root: Path, *jobs: Entry) -> TestClient:
    enter(root / "state", *jobs)
    return visitor(root)


@pytest.mark.parametrize("at_once", [0, pictures.AT_ONCE])
@pytest.mark.parametrize(
    ("what", "kind"),
    [("final", "image/png"), ("stage-10", "image/png"), ("input-0", "image/jpeg")],
)
def test_a_picture_comes_as_it_is_with_its_digest(
    what: str, kind: str, at_once: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "AT_ONCE", at_once)
    answer = page_of(tmp_path, painted(tmp_path)).get(f"/jobs/id-sea/pictures/{what}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == kind
    assert answer.headers["etag"] == f'"{sha256(answer.content)}"'
    assert answer.headers["cache-control"] == pictures.NOW
    assert int(answer.headers["content-length"]) == len(answer.content)


def test_a_stage_is_known_by_its_number_however_many_digits_its_name_has(tmp_path: Path) -> None:
    page = page_of(tmp_path, painted(tmp_path))
    lay(tmp_path / "out/sea/stages/000020.png", b"of a long painting")
    assert page.get("/jobs/id-sea/pictures/stage-20").content == b"of a long painting"


def test_with_its_digest_in_its_address_it_may_be_kept_for_ever(tmp_path: Path) -> None:
    page = page_of(tmp_path, painted(tmp_path))
    digest = sha256(picture(15))
    known = page.get(f"/jobs/id-sea/pictures/final?d={digest[:32]}")
    assert known.headers["cache-control"] == pictures.EVER
    for other in ("f" * 32, digest[:4], ""):
        asked = page.get(f"/jobs/id-sea/pictures/final?d={other}")
        assert asked.headers["cache-control"] == pictures.NOW


def test_who_has_it_already_gets_no_bytes(tmp_path: Path) -> None:
    page = page_of(tmp_path, painted(tmp_path))
    etag = page.get("/jobs/id-sea/pictures/final").headers["etag"]
    again = page.get("/jobs/id-sea/pictures/final", headers={"If-None-Match": etag})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    "what", ["stage-11", "input-2", "input-x", "secret", "..", "../receipt.json", "receipt.json"]
)
def test_what_is_no_picture_of_the_job_is_not_there(what: str, tmp_path: Path) -> None:
    page = page_of(tmp_path, painted(tmp_path))
    written = what.replace(".", "%2E").replace("/", "%2F")
    assert page.get(f"/jobs/id-sea/pictures/{written}").status_code == 404


def test_a_link_out_of_the_outbox_is_no_picture(tmp_path: Path) -> None:
    job = painted(tmp_path)
    secret = lay(tmp_path / "secret.png", picture(3))
    final = tmp_path / "out/sea/final.png"
    final.unlink()
    final.symlink_to(tmp_path / "secret.png")
    assert secret and page_of(tmp_path, job).get("/jobs/id-sea/pictures/final").status_code == 404


def test_a_receipt_that_names_a_file_elsewhere_leads_nowhere(tmp_path: Path) -> None:
    lay(tmp_path / "secret.png", picture(3))
    job = painted(tmp_path)
    lay(tmp_path / "out/sea/receipt.json", b'{"final": "../../secret.png"}')
    assert pictures.find(job, tmp_path / "state", "final") is None


def test_the_painting_of_a_flat_job_lies_elsewhere(tmp_path: Path) -> None:
    job = painted(tmp_path, "_jobs/waves/a")
    lay(tmp_path / "out/waves/a.png", picture(77))
    found = pictures.find(job, tmp_path / "state", "final")
    assert found is not None and found.sha256 == sha256(picture(77))
    found.file.close()


def test_an_input_is_shown_where_it_lies_now_if_it_is_the_same(tmp_path: Path) -> None:
    job = painted(tmp_path)
    archived = tmp_path / "out/sea/inputs/content.jpg"
    content = archived.read_bytes()
    archived.write_bytes(b"another one")
    assert pictures.find(job, tmp_path / "state", "input-0") is None
    lay(tmp_path / "state/jobs/id-sea/files/content.jpg", content)
    found = pictures.find(job, tmp_path / "state", "input-0")
    assert found is not None
    found.file.close()


def test_what_was_left_in_the_inbox_is_shown_from_there(tmp_path: Path) -> None:
    job = painted(tmp_path)
    archived = tmp_path / "out/sea/inputs/content.jpg"
    lay(tmp_path / "in/album/harbour.jpg", archived.read_bytes())
    archived.unlink()
    kept = dict(job.inputs[0], source=str(tmp_path / "in/album/harbour.jpg"))
    found = pictures.find(replace(job, inputs=(kept,)), tmp_path / "state", "input-0")
    assert found is not None and found.place.root == tmp_path / "in"
    found.file.close()


def test_what_browsers_could_take_for_a_page_is_only_handed_over(tmp_path: Path) -> None:
    page = page_of(tmp_path, painted(tmp_path, final="final.html"))
    answer = page.get("/jobs/id-sea/pictures/final")
    assert answer.headers["content-type"] == pictures.UNKNOWN
    assert answer.headers["content-disposition"] == "attachment"
