"""The process that draws: each thing by itself, and it goes when nobody is there who asked."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from tests.daemon.artifacts.paintings import gone, painting, seen

from stylewatch_daemon.artifacts import animation, child
from stylewatch_daemon.artifacts.child import answered
from stylewatch_daemon.artifacts.contract import Small
from stylewatch_daemon.processes import messages
from stylewatch_daemon.settings.job import ARTIFACTS

KINDS = {"losses.png": "PNG", "progress.webp": "WEBP", "progress.gif": "GIF", "sheet.png": "PNG"}


def test_each_file_is_drawn_as_its_name_says(tmp_path: Path) -> None:
    found = list(answered(painting(tmp_path, wanted=ARTIFACTS)))
    assert [one.name for one in found] == [*ARTIFACTS]
    for one in found:
        with Image.open(io.BytesIO(one.content)) as image:
            assert image.format == KINDS[one.name]


def test_small_pictures_are_jpegs(tmp_path: Path) -> None:
    there = seen(tmp_path / "a.png", size=(100, 50))
    first, second = answered(Small((there, gone(there)), 40))
    with Image.open(io.BytesIO(first.content)) as image:
        assert (image.format, image.size) == ("JPEG", (40, 20))
    assert (second.name, second.content) == ("1", b"")
    assert second.problem == "it is not there any more"


@pytest.mark.parametrize(
    ("error", "told"),
    [(MemoryError(), "memory did not suffice"), (KeyError("x"), "a fault of our own, KeyError")],
)
def test_what_goes_wrong_with_one_is_told_and_the_next_is_drawn(
    error: Exception, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def draw(*_: object) -> bytes:
        raise error

    monkeypatch.setattr(animation, "draw", draw)
    first, second = answered(painting(tmp_path, wanted=["progress.webp", "sheet.png"]))
    assert first.problem.startswith(told) and not first.content
    assert second.content and not second.problem


def test_it_answers_in_lines_of_json_and_bytes(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", child.__name__]
    asked = messages.pack(Small((seen(tmp_path / "a.png"),), 24)) + b"\n"
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(asked)
        process.stdin.flush()
        head = json.loads(process.stdout.readline())
        content = process.stdout.read(head["bytes"])
        assert process.wait() == 0  # with its pipe still open
    assert (head["name"], head["problem"]) == ("0", "")
    with Image.open(io.BytesIO(content)) as image:
        assert image.size == (24, 18)


def test_it_leaves_when_who_asked_is_gone(tmp_path: Path) -> None:
    """One that is killed closes its end of the pipe, too."""
    program = (
        "import time\nfrom stylewatch_daemon.artifacts import child\n"
        "child.answered = lambda asked: time.sleep(1000)\nchild.main()"
    )
    asked = messages.pack(Small((), 24)) + b"\n"
    command = [sys.executable, "-c", program]
    ended = subprocess.run(command, input=asked, capture_output=True, check=False)
    assert (ended.returncode, ended.stdout) == (1, b"")
