"""The sample pair is written as a pair, ready for an inbox."""

from pathlib import Path

import pytest

from stylewatch_painter.images.read import read
from stylewatch_painter.sample.__main__ import main


def test_pair_is_written_with_the_names_of_an_inbox(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "inbox" / "rocket"
    assert main([str(folder)]) == 0
    assert read(folder / "content.jpg").size == (640, 427)
    assert read(folder / "style.jpg").size == (640, 507)
    assert main([str(folder / "content.jpg" / "pair")]) == 73
    assert "cannot be written" in capsys.readouterr().err
    assert main([]) == main(["a", "b"]) == 64
