"""The sample pair is written as a pair, ready for an inbox."""

import subprocess
import sys
from pathlib import Path

import pytest

from stylewatch_painter.images.read import read
from stylewatch_painter.sample.__main__ import main


def test_pair_is_written_with_the_names_of_an_inbox(tmp_path: Path) -> None:
    folder = tmp_path / "inbox" / "rocket"
    command = [sys.executable, "-m", "stylewatch_painter.sample", str(folder)]
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0
    assert read(folder / "content.jpg").size == (640, 427)
    assert read(folder / "style.jpg").size == (640, 507)
    assert sum(path.stat().st_size for path in folder.iterdir()) < 250_000


def test_unwritable_folder_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert main([str(tmp_path / "file" / "pair")]) == 73
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["a", "b"]])
def test_exactly_one_folder_is_needed(arguments: list[str]) -> None:
    assert main(arguments) == 64
