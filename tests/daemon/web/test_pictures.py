"""Pictures come with the digest of their bytes; previews are made once, and only of those asked."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace
from io import BufferedReader, BytesIO
from pathlib import Path
from threading import Event
from zipfile import ZipFile

import pytest
from httpx2 import ASGITransport, AsyncClient
from PIL import Image
from starlette.testclient import TestClient
from tests.daemon.web.world import (
    HERE,
    STEPS,
    client,
    enter,
    finished_job,
    picture,
    sha256,
    write,
)

from stylewatch_daemon.files import atomic
from stylewatch_daemon.ledger.state_dir import PREVIEWS
from stylewatch_daemon.settings.sections import LimitSettings
from stylewatch_daemon.web import pictures, previews
from stylewatch_daemon.web.previews import Previews, sweep
from stylewatch_painter.sample import shipped_styles

NAMED = {"file_names": {"content.jpg": "../Hafen ä.jpg", "style.jpg": "Hafen ä.jpg"}}
AT = "/jobs/id-sea/pictures"


@pytest.fixture
def page(tmp_path: Path) -> TestClient:
    """A page with a job whose inputs had other names."""
    return client(tmp_path, finished_job(tmp_path, settings=NAMED))


@pytest.mark.parametrize(("what", "kind"), [("final", "image/png"), ("input-0", "image/jpeg")])
def test_a_picture_is_sent_as_it_is_with_its_digest(
    what: str, kind: str, page: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "MAX_BUFFERED", 0 if what == "final" else 1 << 20)
    answer = page.get(f"{AT}/{what}")
    assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
    digest = sha256(answer.content)
    assert answer.headers["etag"] == f'"{digest}"'
    again = page.get(f"{AT}/{what}", headers={"If-None-Match": f'"{digest}"'})
    assert (again.status_code, again.content) == (304, b"")
    for known, control in (
        ("", pictures.REVALIDATE), (digest[:32], pictures.IMMUTABLE),
        ("f" * 32, pictures.REVALIDATE),
    ):  # fmt: skip
        assert page.get(f"{AT}/{what}?d={known}").headers["cache-control"] == control


def test_a_picture_is_saved_under_the_name_of_its_job_or_its_original_name(
    page: TestClient, tmp_path: Path
) -> None:
    enter(tmp_path / "state", finished_job(tmp_path, "html", final="final.html"))
    for address, disposition in (
        ("sea/pictures/final", "inline; filename*=UTF-8''sea.png"),
        ("sea/pictures/stage-10?download", "attachment; filename*=UTF-8''sea-0010.png"),
        ("sea/pictures/input-0?download", "attachment; filename*=UTF-8''Hafen%20%C3%A4.jpg"),
        ("html/pictures/final", "attachment; filename*=UTF-8''html.html"),  # it could be run
    ):
        answer = page.get(f"/jobs/id-{address}")
        assert answer.headers["content-disposition"] == disposition
        assert (answer.headers["content-type"] == pictures.DOWNLOAD) == ("html" in address)
    for what in ("stage-11", "input-2", "%2E%2E", "%2E%2E%2Freceipt%2Ejson"):
        assert page.get(f"{AT}/{what}").status_code == 404


def test_browsers_get_the_part_of_a_clip_that_they_ask_for(tmp_path: Path) -> None:
    page = client(tmp_path, finished_job(tmp_path, final="final.mp4"))
    digits = write(tmp_path / "out/sea/final.mp4", b"0123456789")
    address = f"{AT}/final?d={sha256(digits)}"
    whole = page.get(address)  # viewers of a second share an answer, but not a part of one
    assert (whole.status_code, whole.content) == (200, digits)
    for asked, part in (("2-5", "2345"), ("6-", "6789"), ("-3", "789"), ("8-99", "89")):
        answer = page.get(address, headers={"Range": f"bytes={asked}"})
        assert (answer.status_code, answer.text) == (206, part)
        assert answer.headers["content-range"] == f"bytes {part[0]}-{part[-1]}/10"
    assert page.get(address, headers={"Range": "bytes=10-"}).status_code == 416


def test_an_input_is_found_in_every_place_where_it_has_the_same_bytes(
    page: TestClient, tmp_path: Path
) -> None:
    archived = tmp_path / "out/sea/inputs/content.jpg"
    content, source = archived.read_bytes(), tmp_path / "in/album/harbour.jpg"
    job = finished_job(tmp_path)
    enter(tmp_path / "state", replace(job, inputs=(replace(job.inputs[0], source=str(source)),)))
    archived.write_bytes(b"another file")
    assert page.get(f"{AT}/input-0").status_code == 404
    for place in (tmp_path / "state/jobs/id-sea/files/content.jpg", source):
        write(place, content)
        assert page.get(f"{AT}/input-0").content == content
        place.unlink()


def test_all_files_come_as_a_zip_with_their_original_names(
    page: TestClient, tmp_path: Path
) -> None:
    os.utime(tmp_path / "out/sea/losses.csv", (0, 0))  # a zip has no time before 1980
    write(tmp_path / "out/sea/somebody-elses.txt", b"not ours")
    (tmp_path / "out/sea/sheet.png").symlink_to("/etc/passwd")
    answer = page.get("/jobs/id-sea/files.zip")
    assert "content-length" not in answer.headers, "it is made while it is sent"
    with ZipFile(BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        content = {name: archive.read(name) for name in archive.namelist()}
    assert content.pop("sea/inputs/Hafen ä.jpg") == picture(200, "JPEG")
    assert content.pop("sea/inputs/Hafen ä-2.jpg") == picture(90, "JPEG")
    stages = {f"sea/stages/{step:04}.png" for step in STEPS}
    assert set(content) == {"sea/final.png", "sea/losses.csv", "sea/receipt.json", *stages}
    assert content == {name: (tmp_path / "out" / name).read_bytes() for name in content}


def test_a_slow_picture_holds_up_neither_other_pictures_nor_other_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its viewers are more than the threads of the page (law 11)."""
    slow, quick = finished_job(tmp_path, "slow"), finished_job(tmp_path, "quick")
    page, end, real = client(tmp_path, slow, quick), Event(), atomic.digest_of
    size = len(write(tmp_path / "out/slow/final.png", picture(3, side=900)))

    def digest_of(file: BufferedReader, step: Callable[[], object], *, most: int) -> str:
        if most == size:
            end.wait()
        return real(file, step, most=most)

    async def visit() -> None:
        address, transport = "/jobs/id-slow/pictures/final", ASGITransport(page.app)
        async with AsyncClient(transport=transport, base_url=HERE) as visitor:
            viewers = [asyncio.create_task(visitor.get(address)) for _ in range(60)]
            for other in ("/gallery", "/", "/jobs/id-slow", "/jobs/id-quick/pictures/final"):
                answer = await visitor.get(other)
                assert answer.status_code == 200, (other, answer.text)
            for viewer in viewers:
                answer = await viewer
                assert (answer.status_code, "answers slowly" in answer.text) == (503, True)
            end.set()
            while (await visitor.get(address)).status_code == 503:
                await asyncio.sleep(0.01)
            assert (await visitor.get(address)).status_code == 200

    monkeypatch.setattr(atomic, "digest_of", digest_of)
    try:
        asyncio.run(visit())
    finally:
        end.set()


# Previews


def test_a_preview_is_sent_or_a_blank_in_its_place(page: TestClient, tmp_path: Path) -> None:
    path = tmp_path / "styles/great wave.png"
    final, wave = sha256(picture(15)), sha256(write(path, picture(7)))
    write(tmp_path / "styles/secret.txt", b"no picture")
    for name in (f"{final}-512", wave):
        write(tmp_path / "state" / PREVIEWS / f"{name}.jpg", b"small")
    version = path.stat().st_mtime_ns
    for address in (f"/jobs/id-sea/small/512/final?d={final[:32]}",
                    f"/library/small/great%20wave?v={version}"):  # fmt: skip
        answer = page.get(address)
        assert (answer.content, answer.headers["content-type"]) == (b"small", "image/jpeg")
        assert answer.headers["cache-control"] == pictures.IMMUTABLE
        older = page.get(address.partition("=")[0] + "=1")
        assert older.headers["cache-control"] == pictures.REVALIDATE
    assert page.get("/jobs/id-sea/small/4096/final").status_code == 404
    for name in ("secret", "secret.txt", "%2E%2E", "..%2Fstate%2Fledger"):
        assert page.get(f"/library/small/{name}").status_code == 404
    path.unlink()
    write(tmp_path / "state" / PREVIEWS / f"{shipped_styles()['Mosaic'].sha256}.jpg", b"mosaic")
    assert page.get("/library/small/Mosaic").content == b"mosaic", "the library is empty"
    (tmp_path / "out/sea/final.png").unlink()
    blank = page.get("/jobs/id-sea/small/512/final")
    assert (blank.status_code, blank.headers["cache-control"]) == (302, "no-store")
    assert page.get(blank.headers["location"]).headers["content-type"] == "image/svg+xml"


def test_no_preview_is_made_of_what_is_no_picture_or_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body() -> None:
        made = Previews(tmp_path, LimitSettings())
        wanted = (("a", tiff), ("a", tiff), ("b", text), ("a", "12ab"))
        pending = (made.get(tmp_path / name, digest, 512) for name, digest in wanted)
        assert [*await asyncio.gather(*pending)] == [small, small, None, None]

    monkeypatch.setattr(previews, "TIMEOUT_S", 60.0)
    tiff = sha256(write(tmp_path / "a", picture(9, "TIFF", side=900)))
    text = sha256(write(tmp_path / "b", b"no picture"))
    small = tmp_path / PREVIEWS / f"{tiff}-512.jpg"
    asyncio.run(body())
    with Image.open(small) as image:
        assert (image.format, image.size[0]) == ("JPEG", 512)


def test_the_oldest_previews_are_removed(tmp_path: Path) -> None:
    for number in range(4):
        write(tmp_path / f"{number}.jpg", b"12345")
        os.utime(tmp_path / f"{number}.jpg", (number, number))
    sweep(tmp_path, 12)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2.jpg", "3.jpg"]
