"""Links in an inbox or outbox that others may write to lead nowhere, also if swapped in later."""

from pathlib import Path

from tests.e2e import swaps


def test_nothing_outside_is_read_or_written_whatever_is_swapped_meanwhile(tmp_path: Path) -> None:
    assert swaps.wrong(tmp_path, rounds=15) == []
