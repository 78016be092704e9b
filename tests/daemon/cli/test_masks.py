"""Masks named on a command line belong to the photograph and to the styles in their order."""

from pathlib import Path

import pytest

from stylewatch_daemon.cli.masks import Masks
from stylewatch_daemon.errors import InputError, UsageError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "m.png"
    path.write_text("a mask")
    return path


def test_masks_of_styles_come_in_the_order_of_the_styles(file: Path) -> None:
    assert Masks(file, ("none", str(file))).by_role(2) == {
        "content-mask": file, "style-2-mask": file
    }  # fmt: skip
    assert Masks().by_role(2) == {}


def test_more_masks_than_styles_and_one_that_is_not_there_are_refused(file: Path) -> None:
    with pytest.raises(UsageError, match="--style-mask is given 2 times for 1 styles"):
        Masks(None, (str(file), "none")).by_role(1)
    with pytest.raises(InputError, match="is not there"):
        Masks(file / "x").by_role(1)


def test_what_is_said_beats_what_is_repeated_side_by_side(file: Path) -> None:
    had = {"content-mask": Path("a"), "style-1-mask": Path("b"), "style-2-mask": Path("c")}
    assert Masks().by_role(2, had) == had
    assert Masks(file).by_role(2, had) == {**had, "content-mask": file}
    assert Masks(None, (str(file),)).by_role(2, had) == {
        "content-mask": Path("a"), "style-1-mask": file
    }  # fmt: skip
