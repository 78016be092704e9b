"""A pair on its way: which files belong to it, and records that nobody changes."""

from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest

from stylewatch_daemon.model import Incomplete, Job, Pair

CONTENT, STYLE, OTHER = Path("content.jpg"), Path("style-1.jpg"), Path("style-2.jpg")
INIT, MASK, SETTINGS = Path("init.png"), Path("content.mask.png"), Path("job.yaml")
FOLDER, OUT = Path("state/job"), Path("out")


def test_a_pair_is_two_files_the_content_first() -> None:
    assert Pair("a", CONTENT, (STYLE,)).files == (CONTENT, STYLE)


def test_all_that_belongs_to_a_pair_is_among_its_files() -> None:
    pair = Pair("a", CONTENT, (STYLE, OTHER), INIT, {"content-mask": MASK}, SETTINGS)
    assert pair.files == (CONTENT, STYLE, OTHER, INIT, MASK, SETTINGS)


def test_what_is_shared_with_other_jobs_is_used_all_the_same() -> None:
    assert Pair("a", CONTENT, (STYLE,), shared=frozenset({STYLE})).files == (CONTENT, STYLE)


@pytest.mark.parametrize(
    "record",
    [
        Pair("a", CONTENT, (STYLE,)),
        Incomplete("a", "a style"),
        Job("1", "a", FOLDER, OUT, CONTENT, (STYLE,)),
    ],
)
def test_records_are_frozen_and_equal_by_what_they_say(record: Pair | Incomplete | Job) -> None:
    assert record == replace(record)
    assert record != replace(record, name="b")
    with pytest.raises(FrozenInstanceError):
        setattr(record, next(iter(vars(record))), "b")
