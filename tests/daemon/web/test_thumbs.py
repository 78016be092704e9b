"""Small pictures are made once, for all who ask, and only of what was asked for."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from tests.daemon.web.jobs import lay, painted, picture, sha256
from tests.daemon.web.visitors import enter, visitor

from stylewatch_daemon.ingest.inspection.contract import Fine, Question, Refused, Verdict
from stylewatch_daemon.model import Picture
from stylewatch_daemon.store import thumbs as kept
from stylewatch_daemon.web.pictures import EVER
from stylewatch_daemon.web.thumbs import FOLDER, SIDES, Thumbs, sweep


class Maker:
    """Makes files in place of pictures; `reads` are the digests that it finds."""

    def __init__(self, *reads: str, refuses: bool = False) -> None:
        self.asked: list[Question] = []
        self._reads, self._refuses = list(reads), refuses
        self._said: list[Verdict] = []
        self.trouble = ""

    def __call__(self, wake: Callable[[], object]) -> "Maker":
        self._wake = wake
        return self

    def ask(self, question: Question) -> None:
        self.asked.append(question)
        if self._refuses:
            self._said.append(Refused(question.job, "no picture"))
        elif self._reads:
            self._said.append(Fine(question.job, (Picture("a", self._reads.pop(0), (1, 1)),)))
        self._wake()

    def verdicts(self) -> list[Verdict]:
        said, self._said = self._said, []
        for question, one in zip(self.asked, said, strict=False):
            if isinstance(one, Fine):
                digest = one.pictures[0].sha256
                lay(kept.path_of(question.thumbs, digest, question.side), b"small")
        return said

    def close(self) -> None:
        self.asked.clear()


def made(root: Path, maker: Maker, *digests: str, patience_s: float = 5.0) -> list[Path | None]:
    """What all get who ask at the same time for small pictures with these digests."""

    async def ask() -> list[Path | None]:
        thumbs = Thumbs(root, 100, patience_s=patience_s, looker=maker)
        return await asyncio.gather(*(thumbs.get(root / "a", one, 512) for one in digests))

    return asyncio.run(ask())


def test_many_who_ask_for_the_same_wait_for_one(tmp_path: Path) -> None:
    maker = Maker("12ab")
    found = made(tmp_path, maker, "12ab", "12ab", "12ab")
    assert len(maker.asked) == 1
    assert found == [tmp_path / FOLDER / "12ab-512.jpg"] * 3
    again = Maker()
    assert made(tmp_path, again, "12ab")[0] == found[0] and not again.asked


def test_what_turns_out_to_be_another_picture_is_not_given(tmp_path: Path) -> None:
    assert made(tmp_path, Maker("another"), "12ab") == [None]


def test_who_waited_long_enough_gets_none_for_now(tmp_path: Path) -> None:
    assert made(tmp_path, Maker(), "12ab", patience_s=0.01) == [None]


def test_what_cannot_be_decoded_is_not_asked_for_again(tmp_path: Path) -> None:
    maker = Maker(refuses=True)

    async def ask() -> None:
        thumbs = Thumbs(tmp_path, 100, looker=maker)
        assert await thumbs.get(tmp_path / "a", "12ab", 512) is None
        assert await thumbs.get(tmp_path / "a", "12ab", 512) is None

    asyncio.run(ask())
    assert len(maker.asked) == 1


def test_those_that_intake_made_are_taken_as_they_are(tmp_path: Path) -> None:
    lay(tmp_path / "thumbs/12ab.jpg", b"small")
    assert Thumbs(tmp_path, 100).known("12ab", SIDES[0]) == tmp_path / "thumbs/12ab.jpg"
    assert Thumbs(tmp_path, 100).known("12ab", 512) is None


def test_the_oldest_go_when_there_are_too_many(tmp_path: Path) -> None:
    for number in range(4):
        lay(tmp_path / f"{number}.jpg", b"12345")
        os.utime(tmp_path / f"{number}.jpg", (number, number))
    sweep(tmp_path, 12)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["2.jpg", "3.jpg"]


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_a_process_of_its_own_makes_what_browsers_cannot_show(kind: str, tmp_path: Path) -> None:
    content = lay(tmp_path / "final", picture(9, kind, side=900))

    async def ask() -> Path | None:
        thumbs = Thumbs(tmp_path, 10_000, patience_s=60)
        try:
            return await thumbs.get(tmp_path / "final", sha256(content), 512)
        finally:
            thumbs.close()

    found = asyncio.run(ask())
    assert found is not None
    with Image.open(found) as small:
        assert (small.format, small.size[0]) == ("JPEG", 512)


def test_a_small_picture_that_is_there_is_sent_to_be_kept(tmp_path: Path) -> None:
    job = painted(tmp_path)
    enter(tmp_path / "state", job)
    digest = sha256(picture(15))
    lay(tmp_path / "state" / FOLDER / f"{digest}-512.jpg", b"small")
    answer = visitor(tmp_path).get(f"/jobs/id-sea/small/512/final?d={digest[:32]}")
    assert (answer.content, answer.headers["content-type"]) == (b"small", "image/jpeg")
    assert answer.headers["cache-control"] == EVER
