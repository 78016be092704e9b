"""`stylewatch learn`: from files to a file that `--backend learned` uses."""

import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.plugins.small_vgg import small_vgg

from stylewatch_daemon.cli.main import call
from stylewatch_learned import learned_style, training
from stylewatch_learned.learned_style import LearnedStyle
from stylewatch_learned.learning import Learning
from stylewatch_learned.network import StyleNetwork
from stylewatch_painter.errors import PictureError
from stylewatch_painter.images import write_clip
from stylewatch_plugins.learning import LearnRequest


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a style and two photographs; the network is small."""
    draw = np.random.Generator(np.random.PCG64(0))
    for name in ("waves.png", "one.png", "two.png"):
        pixels = draw.integers(0, 256, (60, 80, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    with small_vgg(tmp_path / "cache"):
        yield tmp_path


def learn(*words: object) -> int:
    given = ["waves.png", "one.png", "two.png", "--device", "cpu", "--size", "64"]
    return call([str(word) for word in ("learn", *given, *words)])


def test_what_was_learned_paints_photographs(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert learn("--steps", 3) == 0
    path = Path(capsys.readouterr().out.strip())
    assert path == learned_style.folder() / "waves.safetensors"
    about = LearnedStyle.at(path).about
    assert (about.style_name, about.steps, about.recipe["side"]) == ("waves.png", 3, 64)
    assert set(about.losses) == {"style", "content"}
    assert [each.name for each in path.with_suffix(".learning").iterdir()] == ["preview.jpg"]
    with Image.open(path.with_suffix(".learning") / "preview.jpg") as preview:
        assert preview.width > 2 * 64
    words = ["render", "one.png", "waves.png", "-o", "painted/", "--backend", "learned", "--quiet"]
    assert call([*words, "--size", "64"]) == 0
    receipt = json.loads(Path("painted/receipt.json").read_text())
    assert receipt["weights"]["name"] == "waves"
    assert call([*words[:2], "two.png", *words[3:-1], "--force", "--size", "64"]) != 0
    assert "`stylewatch learn`" in capsys.readouterr().err


def test_a_painting_by_two_learned_styles_is_repeated(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert learn("--steps", 1) == 0
    assert call(["learn", "one.png", "two.png", "--steps", "1", "--size", "64"]) == 0
    words = ["two.png", "waves.png", "one.png", "-o", "both/", "--backend", "learned"]
    assert call(["render", *words, "--size", "64", "--quiet"]) == 0
    weights = json.loads(Path("both/receipt.json").read_text())["weights"]
    assert weights["name"] == "auto" and len(weights["sha256"]) == 64
    repeated = ["render", "--from", "both/receipt.json", "-o", "again/", "--force"]
    assert call(repeated) == 0
    assert "not those of the receipt" not in capsys.readouterr().err
    assert Path("again/final.png").read_bytes() == Path("both/final.png").read_bytes()
    assert learn("--steps", 2) == 0
    assert call(repeated) == 0
    assert "not those of the receipt" in capsys.readouterr().err


def test_a_stopped_command_goes_on(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert learn("--steps", 6, "-o", "whole.safetensors") == 0
    step = Learning.learn
    monkeypatch.setattr(training, "SAVE_S", 0)

    def stopped(self: Learning) -> None:
        if self.step == 4:
            raise KeyboardInterrupt
        step(self)

    with monkeypatch.context() as patch:
        patch.setattr(Learning, "learn", stopped)
        assert learn("--steps", 6, "-o", "part.safetensors") != 0
    assert "goes on from step 4" in capsys.readouterr().err
    assert not Path("part.safetensors").exists()
    assert learn("--steps", 6, "-o", "part.safetensors") == 0
    assert "goes on from step 4" in capsys.readouterr().err
    assert Path("part.safetensors").read_bytes() == Path("whole.safetensors").read_bytes()


@pytest.mark.parametrize("fewer", [1, 4])
def test_a_training_that_is_ended_early_gives_what_was_learned(
    fewer: int, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert learn("--steps", 4, "-o", "whole.safetensors") == 0
    step = Learning.learn

    def stopped(self: Learning) -> None:
        if self.step == 4:
            raise KeyboardInterrupt
        step(self)

    monkeypatch.setattr(training, "SAVE_S", 0)
    with monkeypatch.context() as patch:
        patch.setattr(Learning, "learn", stopped)
        patch.setattr(Learning, "_rate", lambda self, step: 1.0)
        assert learn("--steps", 9, "-o", "part.safetensors") != 0
    assert learn("--steps", fewer, "-o", "part.safetensors") == 0
    learned = LearnedStyle.at(Path("part.safetensors"))
    assert learned.about.steps == 4 and set(learned.about.losses) == {"style", "content"}
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        untrained = StyleNetwork().tensors
    tensors = learned.network.tensors
    assert not all(np.array_equal(tensors[name], untrained[name]) for name in tensors)


def test_another_time_counts_for_a_training_that_goes_on(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = iter(range(10_000))
    monkeypatch.setattr("stylewatch_learned.training.time.monotonic", lambda: next(seconds) / 2)
    monkeypatch.setattr(training, "FEWEST", 6)
    monkeypatch.setattr(training, "MEASURED", 5)
    monkeypatch.setattr(training, "SAVE_S", 0)
    step = Learning.learn

    def stopped(self: Learning) -> None:
        if self.step == 8:
            raise KeyboardInterrupt
        step(self)

    with monkeypatch.context() as patch:
        patch.setattr(Learning, "learn", stopped)
        assert learn("--steps", 900, "-o", "part.safetensors") != 0
    assert learn("--minutes", 0.2, "-o", "part.safetensors") == 0
    assert 13 <= LearnedStyle.at(Path("part.safetensors")).about.steps < 30


def test_names_that_are_no_good_ones_for_a_learned_style(here: Path) -> None:
    for name in (".hidden.png", os.fsdecode(b"caf\xe9.png")):
        (here / name).write_bytes((here / "waves.png").read_bytes())
        assert call(["learn", name, "one.png", "--steps", "1", "--size", "64"]) == 0
    names = {path.stem for path in learned_style.files()}
    assert {"hidden", "caf"} <= names


def test_the_time_determines_the_steps(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step takes half a second of this clock; previews and states are written meanwhile."""
    seconds = iter(range(10_000))
    monkeypatch.setattr("stylewatch_learned.training.time.monotonic", lambda: next(seconds) / 2)
    monkeypatch.setattr(training, "FEWEST", 30)
    monkeypatch.setattr(training, "MEASURED", 5)
    assert learn("--minutes", 0.4, "-o", "timed.safetensors") == 0
    assert LearnedStyle.at(Path("timed.safetensors")).about.steps == 48


def test_nothing_of_people_is_replaced(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither pictures, nor what was learned from another painting, nor another training."""
    for name in ("waves.jpg", "mine.safetensors"):
        Path(name).write_text("mine")
    assert learn("--steps", 1, "-o", "waves.safetensors") == 0
    assert learn("--steps", 1, "-o", "mine.safetensors") == 73
    assert "mine.safetensors exists" in capsys.readouterr().err
    Path("odd.learning").mkdir()
    Path("odd.learning/notes").write_text("mine")
    assert learn("--steps", 1, "-o", "odd.safetensors") == 73
    assert {Path(name).read_text() for name in
            ("waves.jpg", "mine.safetensors", "odd.learning/notes")} == {"mine"}  # fmt: skip
    assert learn("--steps", 1, "-o", "waves.safetensors") == 0, "learned anew"
    Path("waves.learning/state").write_bytes(b"of another training")
    assert learn("--steps", 1, "-o", "waves.safetensors") == 73
    assert "unfinished training" in capsys.readouterr().err
    assert Path("waves.learning/state").read_bytes() == b"of another training"


def test_frames_of_a_clip_are_learned_from(here: Path) -> None:
    frames = [np.full((48, 64, 3), level, np.uint8) for level in range(0, 250, 10)]
    list(write_clip.write_segment(here / "film.mkv", frames, "mkv", 100))
    assert call(["learn", "waves.png", "film.mkv", "one.png", "--steps", "1", "-o",
                 "film.safetensors", "--size", "64"]) == 0  # fmt: skip
    digests = [sha256(Path(name).read_bytes()).hexdigest() for name in ("film.mkv", "one.png")]
    assert [*LearnedStyle.at(Path("film.safetensors")).about.photographs] == digests
    wanted = training.Wanted(1, side=64)
    said = list[str]()
    pictures = training._photographs(here / "film.mkv", wanted, said.append)
    assert len(said) == 9, "a long clip must not look hung"
    levels = [picture.mean() for picture in pictures]
    assert levels == pytest.approx([10 * (number * 25 // 8) for number in range(8)], abs=1)


def test_one_training_writes_at_a_time(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("waves.learning").mkdir()
    folder = os.open("waves.learning", os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    assert learn("--steps", 1, "-o", "waves.safetensors") == 73
    assert "used by another training" in capsys.readouterr().err
    os.close(folder)
    Path("waves.learning/.state.1.part").touch()
    assert learn("--steps", 1, "-o", "waves.safetensors") == 0
    assert [path.name for path in Path("waves.learning").iterdir()] == ["preview.jpg"]


def test_the_daemon_learns_what_is_not_known_and_spares_what_is_of_others(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "FEWEST", 1)
    monkeypatch.setattr(training, "MEASURED", 1)
    Image.new("RGB", (700, 4)).save(here / "thin.png")
    Image.new("RGB", (300, 300)).save(here / "style.png")
    state = learned_style.folder() / "style.learning/state"
    state.parent.mkdir(parents=True)
    state.write_bytes(b"of a training by hand")
    pictures = [here / name for name in ("one.png", "thin.png", "none.png", "style.png")]
    said = list[str]()
    request = LearnRequest((here / "style.png",), (*pictures,), 1e-9, 50_000, {"device": "cpu"})
    with pytest.raises(PictureError, match="the limit"):
        training.learn_styles(request, said.append)
    for _ in range(2):
        training.learn_styles(replace(request, max_pixels=90_000), said.append)
    learned = learned_style.of(sha256((here / "style.png").read_bytes()).hexdigest(), "")
    assert learned.name.startswith("style-") and len(learned.about.photographs) == 2
    assert [line.partition(" ")[0] for line in said if "left out" in line] == [
        "thin.png",
        "none.png",
    ]
    assert state.read_bytes() == b"of a training by hand"
    with pytest.raises(PictureError, match=r"thin\.png is too narrow"):
        Image.new("RGB", (90, 80)).save(here / "odd.png")
        request = LearnRequest((here / "odd.png",), (here / "thin.png",), 1e-9, 10**6, {})
        training.learn_styles(request, said.append)
    with pytest.raises(PictureError, match=r"gone\.png") as caught:
        training.learn_styles(replace(request, photographs=(here / "gone.png",)), said.append)
    assert isinstance(caught.value.__cause__, OSError), "it may come back"
    learned.path.unlink()


def test_what_another_program_learned_meanwhile_is_not_replaced(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    step = Learning.learn

    def learn_and_write(self: Learning) -> None:
        step(self)
        Path("mine.safetensors").write_text("of another program")

    monkeypatch.setattr(Learning, "learn", learn_and_write)
    assert learn("--steps", 1, "-o", "mine.safetensors") == 73
    assert Path("mine.safetensors").read_text() == "of another program"


def test_two_paintings_of_one_name_are_learned_apart(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = []
    for style in ("one.png", "two.png"):
        Path("same.png").write_bytes(Path(style).read_bytes())
        assert call(["learn", "same.png", "waves.png", "--steps", "1", "--size", "64"]) == 0
        paths.append(Path(capsys.readouterr().out.strip()))
    assert paths[0].name == "same.safetensors" and paths[1].name.startswith("same-")
    assert all(path.exists() for path in paths)


@pytest.mark.parametrize(
    ("words", "message"),
    [(("-o", "style.pt"), "must end in .safetensors"), (("missing.png",), "missing.png"),
     (("--device", "cuda:9"), "cuda:9")],
)  # fmt: skip
def test_mistakes_are_told_in_a_sentence(
    words: tuple[Any, ...], message: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert learn(*words, "--steps", 1) not in (0, 1)
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error
