"""`stylewatch figure`: one picture, where it was said, and nothing replaced unasked."""

from pathlib import Path

import pytest
from PIL import Image

from stylewatch_daemon.cli.main import call

SMALL = ("--backend", "sketch", "--size", "32", "--steps", "1")


@pytest.fixture
def here(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(pictures)
    return pictures


def test_it_draws_one_picture_and_says_where(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert call(["figure", "content.jpg", "style.jpg", "-o", "layers.jpg", *SMALL]) == 0
    out, err = capfd.readouterr()
    assert out == "layers.jpg\n"
    assert "+ conv5_1" in err and "conv5_2" in err
    with Image.open(here / "layers.jpg") as drawn:
        assert (drawn.format, drawn.width > 6 * 32) == ("JPEG", True)


def test_what_is_there_is_replaced_only_by_force(
    here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (here / "layers.png").write_text("mine")
    asked = ["figure", "content.jpg", "style.jpg", *SMALL, "--quiet"]
    assert call(asked) == 73
    assert "layers.png is already there; --force replaces it" in capfd.readouterr().err
    assert (here / "layers.png").read_text() == "mine"
    assert call([*asked, "--force"]) == 0
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["-o", "layers"], "figure draws a picture"),
        (["--steps", "0"], "--steps takes 1 or more"),
    ],
)
def test_what_makes_no_figure_is_told(
    arguments: list[str], told: str, here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert call(["figure", "content.jpg", "style.jpg", *arguments]) == 64
    assert told in capfd.readouterr().err
