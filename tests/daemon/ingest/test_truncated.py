"""What ends too early is waited for until it changes, or has stood still for long enough."""

from pathlib import Path

import pytest

from stylewatch_daemon.files.identity import Look
from stylewatch_daemon.ingest.truncated import Lack, Rests

PHOTO, OTHER = Path("in/a\n.jpg"), Path("in/b.jpg")
LOOK = Look(1, 2, 3)


def never(path: Path) -> bool:
    return False


class Waiting(Rests):
    """With a clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0
        super().__init__(lambda: self.now, 60.0)


@pytest.fixture
def rests() -> Waiting:
    return Waiting()


def test_it_is_waited_for_in_words_until_its_time_is_over(rests: Waiting) -> None:
    assert (rests.awaited, rests.missing([PHOTO, OTHER])) == (False, "")
    rests.begin(PHOTO, LOOK)
    rests.now += 59
    said = "the rest of a?.jpg: it ends too early, and may still be on its way"
    assert (rests.awaited, rests.missing([PHOTO, OTHER]), rests.is_over([PHOTO, OTHER])) == (
        True,
        said,
        False,
    )
    assert rests.missing([OTHER]) == ""
    rests.now += 1
    assert (rests.awaited, rests.missing([PHOTO]), rests.is_over([PHOTO])) == (False, "", True)
    assert not rests.is_over([OTHER])


def test_several_are_named_together(rests: Waiting) -> None:
    rests.begin(PHOTO, LOOK)
    rests.begin(OTHER, LOOK)
    assert rests.missing([PHOTO, OTHER]).startswith("the rest of a?.jpg and b.jpg: they end")


@pytest.mark.parametrize(
    "now", [{}, {PHOTO: Look(1, 9, 3)}, {PHOTO: Look(1, 2, 4)}, {PHOTO: Look(5, 2, 3)}]
)
def test_one_that_changes_or_goes_is_new(now: Look | None, rests: Waiting) -> None:
    rests.begin(PHOTO, LOOK)
    rests.compare({PHOTO: LOOK, OTHER: LOOK}, never)
    assert rests.awaited
    rests.compare({} if now is None else {PHOTO: now}, never)
    assert not rests.awaited
    rests.now += 100
    assert not rests.is_over([PHOTO])


def test_who_is_told_twice_waits_no_longer_unless_it_has_grown(rests: Waiting) -> None:
    rests.begin(PHOTO, LOOK)
    rests.now += 50
    rests.begin(PHOTO, LOOK)
    rests.now += 10
    assert rests.is_over([PHOTO])
    rests.begin(PHOTO, Look(1, 5, 6))
    assert rests.awaited


def test_one_that_is_open_for_writing_is_waited_for_until_it_is_closed(rests: Waiting) -> None:
    rests.begin(PHOTO, LOOK, Lack.WRITER_DONE)
    rests.begin(OTHER, LOOK)
    rests.compare({PHOTO: LOOK, OTHER: LOOK}, lambda path: True)
    assert rests.missing([PHOTO]) == ("a?.jpg, which is still being written: a program has it open")
    assert "; " in rests.missing([PHOTO, OTHER])
    rests.compare({PHOTO: LOOK, OTHER: LOOK}, never)
    assert (rests.missing([PHOTO]), rests.missing([OTHER])[:8]) == ("", "the rest")
    rests.begin(PHOTO, LOOK, Lack.WRITER_DONE)
    rests.now += 60
    assert rests.is_over([PHOTO])
