"""Files of learned styles: what is in them, and which are refused."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from tests.learned.examples import PALETTE, about, tampered, untrained, written

from stylewatch_learned import learned_style
from stylewatch_learned.learned_style import FORMAT, MOST_BYTES, LearnedStyle
from stylewatch_painter.errors import WeightsError
from stylewatch_painter.scene.task import Style
from stylewatch_plugins.testing.tasks import picture


def test_what_is_written_is_read() -> None:
    learned = written("read", seed=3)
    assert (learned.name, learned.about) == ("read", about())
    expected = untrained(3).tensors
    found = learned.network.tensors
    assert expected.keys() == found.keys()
    assert all(np.array_equal(expected[name], found[name]) for name in expected)


def with_another_tensor(path: Path) -> None:
    tensors = {**untrained(0).tensors, "more": np.zeros(1, np.float32)}
    save_file(tensors, path, about().metadata())


def with_a_huge_tensor(path: Path) -> None:
    """Only its header says so: nothing may be allocated for it."""
    tampered(path, b'"shape":[24,3,6,6]', b'"shape":[24,3,6,9]')


def with_no_number(path: Path) -> None:
    tensors = untrained(0).tensors
    tensors["colors.bias"][0] = np.nan
    learned_style.write(path, tensors, about())


def too_large(path: Path) -> None:
    with path.open("ab") as file:
        file.truncate(MOST_BYTES + 1)


def of_another_version(path: Path) -> None:
    tampered(path, FORMAT.encode(), FORMAT.replace("1", "2").encode())


@pytest.mark.parametrize(
    "make",
    [
        with_another_tensor,
        with_a_huge_tensor,
        with_no_number,
        too_large,
        of_another_version,
        lambda path: path.write_bytes(b"nothing of that kind"),
        lambda path: path.write_bytes(b"version 1\n"),
    ],
)
def test_other_files_are_refused_in_a_sentence(make: Callable[[Path], object]) -> None:
    path = written("wrong").path
    make(path)
    with pytest.raises(WeightsError, match=r"^wrong.safetensors cannot be used as a learned style"):
        LearnedStyle.at(path)
    path.unlink()


def test_paintings_get_the_palette_of_the_style() -> None:
    photograph = picture(96, 64)
    learned = written("palette", seed=4)
    painting = learned.paint(photograph, 0, torch.device("cpu"))
    without = learned.network.paint(photograph)
    mean, *covariance = np.array(PALETTE)
    assert np.allclose(painting.mean((0, 1)), mean, atol=1)
    former, later = (np.cov(each.reshape(-1, 3).T) for each in (without, painting))
    assert np.abs(later - covariance).max() < 0.5 * np.abs(former - covariance).max()
    flat = np.full((64, 96, 3), 90, np.float32)
    painted = learned.paint(flat, 0, torch.device("cpu"))
    assert painted.std() < 2.1 * learned.network.paint(flat).std(), "it is bounded"


def test_the_palette_is_that_of_what_a_style_shows() -> None:
    shown, hidden = picture(20, 20), picture(20, 20, seed=1)
    mask = np.concatenate([np.ones((20, 20)), np.zeros((20, 20))], 1).astype(np.float32)
    both = Style(np.concatenate([shown, hidden], 1), mask=mask)
    assert np.allclose(learned_style.palette_of(both), learned_style.palette_of(Style(shown)))


def test_names_that_people_read_as_one_are_one() -> None:
    written("Cafe\u0301")  # as a Mac writes it
    assert learned_style.find("Caf\u00e9").name == "Cafe\u0301"
    written("caf\u00e9")
    for name in ("Cafe\u0301", "caf\u00e9"):
        assert learned_style.find(name).name == name, "an exact name wins"
    with pytest.raises(WeightsError, match="no learned style"):
        learned_style.find("CAF\u00c9")


def test_only_names_in_the_folder_are_found(tmp_path: Path) -> None:
    written("inside")
    learned_style.write(tmp_path / "outside.safetensors", untrained(0).tensors, about())
    for name in ("outside", str(tmp_path / "outside"), "../learned/inside", "nobody"):
        with pytest.raises(WeightsError, match="no learned style"):
            learned_style.find(name)
    assert learned_style.find("inside").name == "inside"


def test_odd_files_in_the_folder_keep_nobody_from_painting() -> None:
    good = written("good", style="7" * 64)
    folder = good.path.parent
    os.mkfifo(folder / "pipe.safetensors")
    (folder / "gone.safetensors").symlink_to(folder / "nowhere")
    (folder / "folder.safetensors").mkdir()
    (folder / "empty.safetensors").touch()
    save_file(untrained(0).tensors, folder / "deep.safetensors",
              {FORMAT: "[" * 100_000})  # fmt: skip
    assert learned_style.of("7" * 64, "style-1").name == "good"
    for name in ("pipe", "gone", "folder", "empty", "deep"):
        with pytest.raises(WeightsError, match=f"{name}.safetensors cannot be used"):
            learned_style.find(name)
    (folder / "folder.safetensors").rmdir()
    for name in ("pipe", "gone", "empty", "deep"):
        (folder / f"{name}.safetensors").unlink()


def test_the_palette_of_a_style_with_a_small_detail_is_that_of_the_detail() -> None:
    style = np.zeros((1024, 1024, 3), np.float32)
    style[101, 101] = 200, 100, 50
    mask = np.zeros((1024, 1024, 1), np.float32)
    mask[101, 101] = 1
    mean, *covariance = learned_style.palette_of(Style(style, mask=mask))
    assert mean == (200, 100, 50)
    assert not np.any(covariance)


def test_a_failure_to_measure_a_photograph_leaves_the_network_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = untrained(0)
    photograph = picture(64, 48, 1)
    before = network.paint(photograph, 1)
    shortage: dict[str, object] = {}
    with monkeypatch.context() as patch:
        patch.setattr(network, "_painted", lambda *_: shortage["memory"])
        with pytest.raises(KeyError), network.normalized_as(photograph, 1):
            pass
    assert np.array_equal(network.paint(photograph, 1), before)
