"""Nothing outside is read or written while files, folders and links are swapped."""

from pathlib import Path

import pytest
from tests.e2e import swaps


@pytest.mark.parametrize("act", swaps.ACTS)
def test_nothing_outside_is_read_or_written_whatever_is_swapped_meanwhile(
    act: str, tmp_path: Path
) -> None:
    assert swaps.wrong_with(tmp_path, act, rounds=20) == []
