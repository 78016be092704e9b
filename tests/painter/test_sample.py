"""The sample pair is written whole, or a sentence says why not."""

from pathlib import Path

import pytest
from PIL import Image

from stylewatch_painter import sample
from stylewatch_painter.errors import PictureError


def test_a_photograph_and_a_painting_are_written_under_the_names_of_a_pair(tmp_path: Path) -> None:
    folder = tmp_path / "inbox" / "portrait"
    assert sample.main([str(folder)]) == 0
    assert sorted(path.name for path in folder.iterdir()) == ["content.jpg", "style.jpg"]
    for path in folder.iterdir():
        with Image.open(path) as picture:
            picture.load()
            assert min(picture.size) > 400


def test_the_photograph_is_the_one_that_matplotlib_carries(tmp_path: Path) -> None:
    sample.write(tmp_path)
    assert (tmp_path / "content.jpg").read_bytes() == sample.photograph().read_bytes()


def test_a_missing_photograph_is_told_in_words_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sample, "PHOTOGRAPH", Path("nowhere", "nobody.jpg"))
    with pytest.raises(PictureError, match=r"without its nobody\.jpg"):
        sample.photograph()
    assert sample.main([str(tmp_path / "pair")]) == 69
    assert "content.jpg and style.jpg" in capsys.readouterr().err
    assert not (tmp_path / "pair").exists()


def test_a_folder_that_cannot_be_made_is_told_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert sample.main([str(tmp_path / "file" / "pair")]) == 73
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["one", "two"]])
def test_one_folder_must_be_named(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert sample.main(arguments) == 64
    assert "FOLDER" in capsys.readouterr().err
