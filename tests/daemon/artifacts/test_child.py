"""The process that draws: a fault at one file does not affect the others."""

import io
from pathlib import Path

import pytest
from PIL import Image
from tests.daemon.artifacts.paintings import gone, painting, seen

from stylewatch_daemon.artifacts import drawing
from stylewatch_daemon.artifacts.child import draw
from stylewatch_daemon.artifacts.contract import Small
from stylewatch_daemon.settings.job import ARTIFACTS

KINDS = {"losses.png": "PNG", "progress.webp": "WEBP", "progress.gif": "GIF", "sheet.png": "PNG"}


def test_each_file_has_the_format_of_its_name(tmp_path: Path) -> None:
    files = list(draw(painting(tmp_path, wanted=ARTIFACTS)))
    assert [file.name for file in files] == [*ARTIFACTS]
    for file in files:
        with Image.open(io.BytesIO(file.content)) as image:
            assert image.format == KINDS[file.name]


def test_small_pictures_are_jpegs_named_by_their_numbers(tmp_path: Path) -> None:
    picture = seen(tmp_path / "a.png", size=(100, 50))
    first, second = draw(Small((picture, gone(picture)), 40))
    with Image.open(io.BytesIO(first.content)) as image:
        assert (image.format, image.size) == ("JPEG", (40, 20))
    assert (first.name, second.name, second.content) == ("0", "1", b"")
    assert second.problem == "it is not there any more"


@pytest.mark.parametrize(
    ("error", "problem"),
    [(MemoryError(), "memory did not suffice"), (KeyError("x"), "a fault of our own, KeyError")],
)
def test_a_fault_at_one_file_is_its_problem_and_the_next_is_drawn(
    error: Exception, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> bytes:
        raise error

    monkeypatch.setattr(drawing, "animation", fail)
    first, second = draw(painting(tmp_path, wanted=["progress.webp", "sheet.png"]))
    assert first.problem.startswith(problem) and not first.content
    assert second.content and not second.problem
