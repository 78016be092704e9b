"""Pictures are sent with the digest of their bytes, and from nowhere but the job's own places."""

from dataclasses import replace
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from tests.daemon.web.world import client, enter, finished_job, picture, sha256, write

from stylewatch_daemon.web import pictures


@pytest.fixture
def page(tmp_path: Path) -> TestClient:
    enter(tmp_path / "state", finished_job(tmp_path))
    return client(tmp_path)


@pytest.mark.parametrize("buffered", [0, pictures.MAX_BUFFERED])
@pytest.mark.parametrize(
    ("what", "kind"),
    [("final", "image/png"), ("stage-10", "image/png"), ("input-0", "image/jpeg")],
)
def test_a_picture_is_sent_as_it_is_with_its_digest(
    what: str, kind: str, buffered: int, page: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "MAX_BUFFERED", buffered)
    answer = page.get(f"/jobs/id-sea/pictures/{what}")
    assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
    assert answer.headers["etag"] == f'"{sha256(answer.content)}"'
    assert answer.headers["cache-control"] == pictures.REVALIDATE
    assert int(answer.headers["content-length"]) == len(answer.content)
    headers = {"If-None-Match": answer.headers["etag"]}
    again = page.get(f"/jobs/id-sea/pictures/{what}", headers=headers)
    assert (again.status_code, again.content) == (304, b"")


def test_an_address_with_the_digest_is_cached_for_ever(page: TestClient) -> None:
    digest = sha256(picture(15))
    for known, control in (
        (digest[:32], pictures.IMMUTABLE), ("f" * 32, pictures.REVALIDATE),
        (digest[:4], pictures.REVALIDATE),
    ):  # fmt: skip
        answer = page.get(f"/jobs/id-sea/pictures/final?d={known}")
        assert answer.headers["cache-control"] == control


@pytest.mark.parametrize(
    "what", ["stage-11", "input-2", "input-x", "secret", "..", "../receipt.json", "receipt.json"]
)
def test_other_names_lead_to_no_file(what: str, page: TestClient) -> None:
    escaped = what.replace(".", "%2E").replace("/", "%2F")
    assert page.get(f"/jobs/id-sea/pictures/{escaped}").status_code == 404


def test_a_file_that_browsers_could_run_is_a_download(tmp_path: Path) -> None:
    enter(tmp_path / "state", finished_job(tmp_path, final="final.html"))
    answer = client(tmp_path).get("/jobs/id-sea/pictures/final")
    assert answer.headers["content-type"] == pictures.DOWNLOAD
    assert answer.headers["content-disposition"] == "attachment"


def test_an_input_is_found_in_every_place_where_it_has_the_same_bytes(
    page: TestClient, tmp_path: Path
) -> None:
    archived, address = tmp_path / "out/sea/inputs/content.jpg", "/jobs/id-sea/pictures/input-0"
    content = archived.read_bytes()
    archived.write_bytes(b"another file")
    assert page.get(address).status_code == 404
    write(tmp_path / "state/jobs/id-sea/files/content.jpg", content)
    assert page.get(address).content == content
    (tmp_path / "state/jobs/id-sea/files/content.jpg").unlink()
    write(tmp_path / "in/album/harbour.jpg", content)
    job = finished_job(tmp_path)
    kept = dict(job.inputs[0], source=str(tmp_path / "in/album/harbour.jpg"))
    archived.unlink()
    enter(tmp_path / "state", replace(job, inputs=(kept,)))
    assert page.get(address).content == content
