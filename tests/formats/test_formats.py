"""A short form of `make formats`: the files that need no other program."""

from pathlib import Path

import pytest
from tests.formats.__main__ import main, wrong_with
from tests.formats.files import Made, every

BY_PYTHON = [made for made in every() if made.program == "python" and "mosaic" not in made.name]


@pytest.mark.parametrize("made", BY_PYTHON, ids=lambda made: made.name)
def test_files_are_read_as_what_they_are(made: Made, tmp_path: Path) -> None:
    assert wrong_with(made, tmp_path) == ""


def test_every_file_has_a_name_of_its_own_and_there_are_many() -> None:
    names = [made.name for made in every()]
    assert len(names) == len({*names}) >= 150


def test_a_wrong_color_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    right = next(made for made in BY_PYTHON if made.name == "pages.tif")
    wrong = Made("pages.tif", "python", right.make, says=right.says, seen=right.colors[::-1])
    assert "colors are" in wrong_with(wrong, tmp_path)
    assert "not 'else'" in wrong_with(
        Made("pages.tif", "python", right.make, says="else"), tmp_path
    )
    assert main(["no-such-file"]) == 1 and "0 files" in capsys.readouterr().out
