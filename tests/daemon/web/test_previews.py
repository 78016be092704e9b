"""Previews are made once for all viewers, and only of the picture that was asked for."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from tests.daemon.web.world import client, enter, finished_job, picture, sha256, write

from stylewatch_daemon.ingest.inspection.messages import Fine, Question, Refused, Verdict
from stylewatch_daemon.model import Picture
from stylewatch_daemon.store import thumbs
from stylewatch_daemon.web.pictures import IMMUTABLE
from stylewatch_daemon.web.previews import FOLDER, SIDES, Previews, sweep


class Maker:
    """Stands for the inspection process; `digests` are those that it reads, one a question."""

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


def get(root: Path, maker: Maker, times: int = 1, timeout_s: float = 5.0) -> list[Path | None]:
    """Ask for the preview of one picture, several times at once."""

    async def ask() -> list[Path | None]:
        previews = Previews(root, 100, timeout_s=timeout_s, start=maker)
        asked = [previews.get(root / "a", "12ab", 512) for _ in range(times)]
        return [*await asyncio.gather(*asked), await previews.get(root / "a", "12ab", 512)]

    return asyncio.run(ask())


def test_a_preview_is_made_once_for_all(tmp_path: Path) -> None:
    maker = Maker("12ab")
    assert get(tmp_path, maker, times=3) == [tmp_path / FOLDER / "12ab-512.jpg"] * 4
    assert len(maker.questions) == 1


def test_there_is_none_of_another_picture_or_a_slow_one(tmp_path: Path) -> None:
    assert get(tmp_path, Maker("another", "another")) == [None, None]
    assert get(tmp_path, Maker(), timeout_s=0.01) == [None, None]


def test_what_cannot_be_decoded_is_tried_once(tmp_path: Path) -> None:
    maker = Maker(refuses=True)
    assert get(tmp_path, maker) == [None, None]
    assert len(maker.questions) == 1


def test_thumbnails_of_the_inspection_are_used(tmp_path: Path) -> None:
    write(tmp_path / "thumbs/12ab.jpg", b"small")
    previews = Previews(tmp_path, 100)
    assert previews.known("12ab", SIDES[0]) == tmp_path / "thumbs/12ab.jpg"
    assert previews.known("12ab", 512) is None


def test_the_oldest_files_are_removed(tmp_path: Path) -> None:
    for number in range(4):
        write(tmp_path / f"{number}.jpg", b"12345")
        os.utime(tmp_path / f"{number}.jpg", (number, number))
    sweep(tmp_path, 12)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2.jpg", "3.jpg"]


def test_a_process_makes_previews_of_what_browsers_do_not_show(tmp_path: Path) -> None:
    content = write(tmp_path / "final", picture(9, "TIFF", side=900))

    async def ask() -> Path | None:
        previews = Previews(tmp_path, 10_000, timeout_s=60)
        try:
            return await previews.get(tmp_path / "final", sha256(content), 512)
        finally:
            previews.close()

    path = asyncio.run(ask())
    assert path is not None
    with Image.open(path) as small:
        assert (small.format, small.size[0]) == ("JPEG", 512)


def test_a_preview_is_sent_or_a_blank_in_its_place(tmp_path: Path) -> None:
    enter(tmp_path / "state", finished_job(tmp_path))
    digest = sha256(picture(15))
    write(tmp_path / "state" / FOLDER / f"{digest}-512.jpg", b"small")
    page = client(tmp_path)
    answer = page.get(f"/jobs/id-sea/small/512/final?d={digest[:32]}")
    assert (answer.content, answer.headers["content-type"]) == (b"small", "image/jpeg")
    assert answer.headers["cache-control"] == IMMUTABLE
    assert page.get("/jobs/id-sea/small/4096/final").status_code == 404
    (tmp_path / "out/sea/final.png").unlink()
    blank = page.get("/jobs/id-sea/small/512/final")
    assert (blank.status_code, blank.headers["cache-control"]) == (302, "no-store")
    assert page.get(blank.headers["location"]).headers["content-type"] == "image/svg+xml"
