"""A handful of the fault matrix of `make faults`, with real daemons and kill -9."""

from pathlib import Path

import pytest
from tests.e2e.faults import short
from tests.e2e.invariants import Place
from tests.e2e.strike import Row


@pytest.mark.parametrize("row", short(), ids=lambda row: f"{row.fault}, {row.step}")
def test_struck_and_started_again_the_line_keeps_its_promises(row: Row, tmp_path: Path) -> None:
    assert row.try_it(tmp_path) == []


def test_what_is_lost_or_half_there_is_seen(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.drop("a")
    assert list(place.wrong_now({})) == []
    (place.outbox / "a").mkdir(parents=True)
    (place.outbox / "a/final.png").write_bytes(b"half of")
    (place.inbox / "a/content.jpg").unlink()
    assert list(place.wrong_now({"a/final.png": b"half of it"})) == [
        "a is lost",
        "a/final.png is not what it is when nothing happens",
    ]
