"""Pictures come with the digest of their bytes; previews are made once, and only of those asked."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from PIL import Image
from starlette.testclient import TestClient
from tests.daemon.web.world import (
    HERE,
    STEPS,
    client,
    enter,
    finished_job,
    picture,
    settings,
    sha256,
    write,
)

from stylewatch_daemon.intake.inspection.client import Inspector
from stylewatch_daemon.intake.inspection.messages import Question
from stylewatch_daemon.ledger.state_dir import PREVIEWS
from stylewatch_daemon.settings.sections import Limits
from stylewatch_daemon.views.output_files import all_files
from stylewatch_daemon.web import pictures, previews
from stylewatch_daemon.web.previews import Previews, sweep
from stylewatch_daemon.web.serve import application


@pytest.fixture
def page(tmp_path: Path) -> TestClient:
    return client(tmp_path, finished_job(tmp_path))


@pytest.mark.parametrize(("what", "kind"), [("final", "image/png"), ("input-0", "image/jpeg")])
def test_a_picture_is_sent_as_it_is_with_its_digest(
    what: str, kind: str, page: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "MAX_BUFFERED", 0 if what == "final" else 1 << 20)
    address = f"/jobs/id-sea/pictures/{what}"
    answer = page.get(address)
    assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
    digest = sha256(answer.content)
    assert answer.headers["etag"] == f'"{digest}"'
    assert int(answer.headers["content-length"]) == len(answer.content)
    again = page.get(address, headers={"If-None-Match": f'"{digest}"'})
    assert (again.status_code, again.content) == (304, b"")
    for known, control in (
        ("", pictures.REVALIDATE), (digest[:32], pictures.IMMUTABLE),
        ("f" * 32, pictures.REVALIDATE), (digest[:4], pictures.REVALIDATE),
    ):  # fmt: skip
        assert page.get(f"{address}?d={known}").headers["cache-control"] == control


def test_other_names_lead_to_no_file_and_a_file_that_browsers_could_run_is_a_download(
    page: TestClient, tmp_path: Path
) -> None:
    for what in ("stage-11", "input-2", "input-x", "%2E%2E", "%2E%2E%2Freceipt%2Ejson"):
        assert page.get(f"/jobs/id-sea/pictures/{what}").status_code == 404
    enter(tmp_path / "state", finished_job(tmp_path, "html", final="final.html"))
    answer = page.get("/jobs/id-html/pictures/final")
    assert answer.headers["content-type"] == pictures.DOWNLOAD
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''html.html"


def test_browsers_get_the_part_of_a_clip_that_they_ask_for(tmp_path: Path) -> None:
    page = client(tmp_path, finished_job(tmp_path, final="final.mp4"))
    digits = write(tmp_path / "out/sea/final.mp4", b"0123456789")
    address = f"/jobs/id-sea/pictures/final?d={sha256(digits)}"
    page.get(address)  # viewers of a second share an answer, but not a part of one
    for asked, status, part in (
        ("2-5", 206, "2345"), ("6-", 206, "6789"), ("-3", 206, "789"), ("8-99", 206, "89"),
        ("0-0", 206, "0"),
    ):  # fmt: skip
        answer = page.get(address, headers={"Range": f"bytes={asked}"})
        assert (answer.status_code, answer.text) == (status, part)
        assert answer.headers["content-range"] == f"bytes {part[0]}-{part[-1]}/10"
    assert page.get(address, headers={"Range": "bytes=10-"}).status_code == 416
    whole = page.get(address)
    assert (whole.status_code, whole.content) == (200, digits)
    assert (whole.headers["accept-ranges"], whole.headers["content-type"]) == ("bytes", "video/mp4")


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
    enter(tmp_path / "state", replace(job, inputs=(replace(job.inputs[0], source=str(source)),)))
    assert page.get(address).content == content


# Downloads


NAMED = {"file_names": {"content.jpg": "../Hafen ä.jpg", "style.jpg": "Hafen ä.jpg"}}


def test_a_picture_is_saved_under_the_name_of_its_job_or_its_original_name(
    page: TestClient, tmp_path: Path
) -> None:
    enter(tmp_path / "state", finished_job(tmp_path, settings=NAMED))
    for address, disposition in (
        ("final?download", "attachment; filename*=UTF-8''sea.png"),
        ("final", "inline; filename*=UTF-8''sea.png"),
        ("stage-10?download", "attachment; filename*=UTF-8''sea-0010.png"),
        ("input-0?download", "attachment; filename*=UTF-8''Hafen%20%C3%A4.jpg"),
    ):
        answer = page.get(f"/jobs/id-sea/pictures/{address}")
        assert answer.headers["content-disposition"] == disposition


def test_all_files_come_as_a_zip_in_pieces_with_their_original_names(
    page: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = finished_job(tmp_path, settings=NAMED)
    enter(tmp_path / "state", job, finished_job(tmp_path, "new", place=None))
    os.utime(tmp_path / "out/sea/losses.csv", (0, 0))  # a zip has no time before 1980
    write(tmp_path / "out/sea/somebody-elses.txt", b"not ours")
    (tmp_path / "out/sea/sheet.png").symlink_to("/etc/passwd")
    monkeypatch.setattr(pictures, "CHUNK", 16)
    answer = page.get("/jobs/id-sea/files.zip")
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''sea.zip"
    assert "content-length" not in answer.headers
    with ZipFile(BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        content = {name: archive.read(name) for name in archive.namelist()}
    assert content.pop("sea/inputs/Hafen ä.jpg") == picture(200, "JPEG")
    assert content.pop("sea/inputs/Hafen ä-2.jpg") == picture(90, "JPEG")
    written = {name: (tmp_path / "out" / name).read_bytes() for name in content}
    assert content == written
    stages = {f"sea/stages/{step:04}.png" for step in STEPS}
    assert set(content) == {"sea/final.png", "sea/losses.csv", "sea/receipt.json", *stages}
    for name in ("new", "nobody"):
        assert page.get(f"/jobs/id-{name}/files.zip").status_code == 404
    # made while it is sent: no more than a piece is in memory at a time
    sizes = list(map(len, pictures.zipped("sea", all_files(job, tmp_path / "state"))))
    assert len(sizes) > 20 and max(sizes) < 1000


def test_a_style_of_the_library_has_a_preview_and_other_files_have_none(
    page: TestClient, tmp_path: Path
) -> None:
    path = tmp_path / "styles/great wave.png"
    digest = sha256(write(path, picture(7)))
    write(tmp_path / "styles/secret.txt", b"no picture")
    write(tmp_path / "state" / PREVIEWS / f"{digest}.jpg", b"small")
    version = path.stat().st_mtime_ns
    for query, control in ((f"?v={version}", pictures.IMMUTABLE), ("?v=1", pictures.REVALIDATE)):
        answer = page.get(f"/library/small/great%20wave{query}")
        assert (answer.content, answer.headers["cache-control"]) == (b"small", control)
    for name in ("secret", "secret.txt", "great%20wave.png", "%2E%2E", "..%2Fstate%2Fledger"):
        assert page.get(f"/library/small/{name}").status_code == 404


# Previews


def test_the_oldest_files_are_removed(tmp_path: Path) -> None:
    for number in range(4):
        write(tmp_path / f"{number}.jpg", b"12345")
        os.utime(tmp_path / f"{number}.jpg", (number, number))
    sweep(tmp_path, 12)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2.jpg", "3.jpg"]


def test_a_process_makes_each_preview_once_and_none_of_what_is_no_picture_or_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Question] = []
    limits = Limits(max_pixels=10_000)
    really_ask = Inspector.ask

    def ask(inspector: Inspector, question: Question, done: Callable[[Any], object]) -> None:
        asked.append(question)
        really_ask(inspector, question, done)

    async def body() -> None:
        monkeypatch.setattr(previews, "TIMEOUT_S", 60.0)
        made = Previews(tmp_path, limits)
        for path, digest, preview, times in (
            (tmp_path / "a", tiff, tmp_path / PREVIEWS / f"{tiff}-512.jpg", 1),
            (tmp_path / "b", text, None, 1), (tmp_path / "a", "12ab", None, 2),
        ):  # fmt: skip
            asked.clear()
            first, second = (made.get(path, digest, 512) for _ in range(2))
            assert [*await asyncio.gather(first, second)] == [preview] * 2
            assert await made.get(path, digest, 512) == preview
            assert len(asked) == times
        monkeypatch.setattr(previews, "TIMEOUT_S", 0.0)
        assert await Previews(tmp_path, limits).get(tmp_path / "a", tiff, 1600) is None

    monkeypatch.setattr(Inspector, "ask", ask)
    tiff = sha256(write(tmp_path / "a", picture(9, "TIFF", side=900)))
    text = sha256(write(tmp_path / "b", b"no picture"))
    asyncio.run(body())
    with Image.open(tmp_path / PREVIEWS / f"{tiff}-512.jpg") as small:
        assert (small.format, small.size[0]) == ("JPEG", 512)
    write(tmp_path / "thumbs/12ab.jpg", b"made by the inspection")
    assert Previews(tmp_path, limits).known("12ab", 256) == tmp_path / "thumbs/12ab.jpg"


def test_a_preview_has_the_limits_of_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Question] = []
    monkeypatch.setattr(Inspector, "ask", lambda _, question, done: asked.append(question))
    monkeypatch.setattr(previews, "TIMEOUT_S", 0.1)
    enter(tmp_path / "state", finished_job(tmp_path))
    limits = Limits(max_pixels=1_000_000, max_frames=9)
    app = application(settings(tmp_path).model_copy(update={"limits": limits}), None)
    TestClient(app, HERE).get("/jobs/id-sea/small/512/final")
    (question,) = asked
    assert (question.max_pixels, question.max_frames) == (1_000_000, 9)


def test_a_preview_is_sent_or_a_blank_in_its_place(page: TestClient, tmp_path: Path) -> None:
    digest = sha256(picture(15))
    write(tmp_path / "state" / PREVIEWS / f"{digest}-512.jpg", b"small")
    answer = page.get(f"/jobs/id-sea/small/512/final?d={digest[:32]}")
    assert (answer.content, answer.headers["content-type"]) == (b"small", "image/jpeg")
    assert answer.headers["cache-control"] == pictures.IMMUTABLE
    assert page.get("/jobs/id-sea/small/4096/final").status_code == 404
    (tmp_path / "out/sea/final.png").unlink()
    blank = page.get("/jobs/id-sea/small/512/final")
    assert (blank.status_code, blank.headers["cache-control"]) == (302, "no-store")
    assert page.get(blank.headers["location"]).headers["content-type"] == "image/svg+xml"
