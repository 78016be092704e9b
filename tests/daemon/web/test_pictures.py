"""Pictures come with the digest of their bytes; previews are made once, and only of those asked."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from starlette.testclient import TestClient
from tests.daemon.web.world import client, enter, finished_job, picture, sha256, write

from stylewatch_daemon.ingest.inspection.messages import Fine, Question, Refused, Verdict
from stylewatch_daemon.model import Picture
from stylewatch_daemon.store import thumbs
from stylewatch_daemon.web import pictures
from stylewatch_daemon.web.pictures import SIDES
from stylewatch_daemon.web.previews import FOLDER, Previews, sweep


@pytest.fixture
def page(tmp_path: Path) -> TestClient:
    enter(tmp_path / "state", finished_job(tmp_path))
    return client(tmp_path)


@pytest.mark.parametrize(
    ("what", "kind"),
    [("final", "image/png"), ("stage-10", "image/png"), ("input-0", "image/jpeg")],
)
def test_a_picture_is_sent_as_it_is_with_its_digest(
    what: str, kind: str, page: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "MAX_BUFFERED", 0 if what == "final" else 1 << 20)
    answer = page.get(f"/jobs/id-sea/pictures/{what}")
    assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
    digest = sha256(answer.content)
    assert answer.headers["etag"] == f'"{digest}"'
    assert int(answer.headers["content-length"]) == len(answer.content)
    again = page.get(f"/jobs/id-sea/pictures/{what}", headers={"If-None-Match": f'"{digest}"'})
    assert (again.status_code, again.content) == (304, b"")
    for known, control in (
        ("", pictures.REVALIDATE), (digest[:32], pictures.IMMUTABLE),
        ("f" * 32, pictures.REVALIDATE), (digest[:4], pictures.REVALIDATE),
    ):  # fmt: skip
        answer = page.get(f"/jobs/id-sea/pictures/{what}?d={known}")
        assert answer.headers["cache-control"] == control


def test_other_names_lead_to_no_file_and_a_file_that_browsers_could_run_is_a_download(
    page: TestClient, tmp_path: Path
) -> None:
    for what in ("stage-11", "input-2", "input-x", "%2E%2E", "%2E%2E%2Freceipt%2Ejson"):
        assert page.get(f"/jobs/id-sea/pictures/{what}").status_code == 404
    enter(tmp_path / "state", finished_job(tmp_path, "html", final="final.html"))
    answer = page.get("/jobs/id-html/pictures/final")
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
    source = tmp_path / "in/album/harbour.jpg"
    write(source, content)
    job = finished_job(tmp_path)
    archived.unlink()
    enter(tmp_path / "state", replace(job, inputs=(dict(job.inputs[0], source=str(source)),)))
    assert page.get(address).content == content


# Previews


class Maker:
    """Replaces the inspection process; `digests` are those that it reads, one for each question."""

    trouble = ""

    def __init__(self, *digests: str, refuses: bool = False) -> None:
        self.questions: list[Question] = []
        self._digests, self._refuses = list(digests), refuses
        self._verdicts: list[Verdict] = []

    def __call__(self, wake: Callable[[], object]) -> "Maker":
        self._wake = wake
        return self

    def ask(self, question: Question) -> None:
        self.questions.append(question)
        if self._refuses:
            self._verdicts.append(Refused(question.job, "no picture"))
        elif self._digests:
            digest = self._digests.pop(0)
            write(thumbs.path_of(question.thumbs, digest, question.side), b"small")
            self._verdicts.append(Fine(question.job, (Picture("a", digest, (1, 1)),)))
        self._wake()

    def verdicts(self) -> list[Verdict]:
        verdicts, self._verdicts = self._verdicts, []
        return verdicts

    def close(self) -> None:
        pass


def get(root: Path, maker: Maker, timeout_s: float = 5.0) -> set[Path | None]:
    """Ask for the preview of a picture, twice at once and then again."""

    async def ask() -> set[Path | None]:
        previews = Previews(root, 100, timeout_s=timeout_s, start=maker)
        asked = [previews.get(root / "a", "12ab", 512) for _ in range(2)]
        return {*await asyncio.gather(*asked), await previews.get(root / "a", "12ab", 512)}

    return asyncio.run(ask())


def test_a_preview_is_made_once_for_all_and_tried_once(tmp_path: Path) -> None:
    for maker, paths in (
        (Maker(refuses=True), {None}), (Maker("12ab"), {tmp_path / FOLDER / "12ab-512.jpg"}),
    ):  # fmt: skip
        assert get(tmp_path, maker) == paths
        assert len(maker.questions) == 1


def test_there_is_none_of_another_picture_or_a_slow_one(tmp_path: Path) -> None:
    assert get(tmp_path, Maker("another", "another")) == {None}
    assert get(tmp_path, Maker(), timeout_s=0.01) == {None}
    write(tmp_path / "thumbs/12ab.jpg", b"made by the inspection")
    assert Previews(tmp_path, 100).known("12ab", SIDES[0]) == tmp_path / "thumbs/12ab.jpg"
    assert Previews(tmp_path, 100).known("12ab", 512) is None


def test_the_oldest_files_are_removed(tmp_path: Path) -> None:
    for number in range(4):
        write(tmp_path / f"{number}.jpg", b"12345")
        os.utime(tmp_path / f"{number}.jpg", (number, number))
    sweep(tmp_path, 12)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2.jpg", "3.jpg"]


def test_a_process_makes_previews_of_what_browsers_do_not_show(tmp_path: Path) -> None:
    content = write(tmp_path / "final", picture(9, "TIFF", side=900))
    previews = Previews(tmp_path, 10_000, timeout_s=60)
    path = asyncio.run(previews.get(tmp_path / "final", sha256(content), 512))
    assert path is not None
    with Image.open(path) as small:
        assert (small.format, small.size[0]) == ("JPEG", 512)


def test_a_preview_is_sent_or_a_blank_in_its_place(page: TestClient, tmp_path: Path) -> None:
    digest = sha256(picture(15))
    write(tmp_path / "state" / FOLDER / f"{digest}-512.jpg", b"small")
    answer = page.get(f"/jobs/id-sea/small/512/final?d={digest[:32]}")
    assert (answer.content, answer.headers["content-type"]) == (b"small", "image/jpeg")
    assert answer.headers["cache-control"] == pictures.IMMUTABLE
    assert page.get("/jobs/id-sea/small/4096/final").status_code == 404
    (tmp_path / "out/sea/final.png").unlink()
    blank = page.get("/jobs/id-sea/small/512/final")
    assert (blank.status_code, blank.headers["cache-control"]) == (302, "no-store")
    assert page.get(blank.headers["location"]).headers["content-type"] == "image/svg+xml"
