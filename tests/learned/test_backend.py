"""Backend `learned`: the contract, the choice of the learned style, and what a painting is."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.learned.examples import about, untrained, written

from stylewatch_learned import learned_style
from stylewatch_learned.backend import Learned, _seed
from stylewatch_learned.learned_style import LearnedStyle
from stylewatch_learned.network import as_picture, as_tensor, noise_for, sampled
from stylewatch_painter.errors import WeightsError
from stylewatch_painter.network import weights
from stylewatch_painter.scene.task import Prior
from stylewatch_painter.size import Size
from stylewatch_painter.stage import Pixels, Stage
from stylewatch_plugins.contract import Backend, Style, Task
from stylewatch_plugins.testing import BackendConformance
from stylewatch_plugins.testing.tasks import painted, picture, sample


class ByColor(Learned):
    """The backend with networks that paint in the mean color of each style.

    Pictures of the suite have no file by which a learned style could be found.
    """

    def _chosen(self, style: Style) -> LearnedStyle:
        network = untrained(0)
        color = torch.from_numpy(style.picture.mean((0, 1)))
        network.colors.weight.data *= 0.01
        network.colors.bias = torch.nn.Parameter(2 * torch.atanh((color - 120) / 160))
        own = replace(about(), palette=learned_style.palette_of(replace(style, mask=None)))
        return LearnedStyle(Path(f"{style.name}.safetensors"), own, "0" * 64, network)


class TestLearned(BackendConformance):
    """The conformance suite."""

    def make(self, options: Mapping[str, object]) -> Backend:
        return ByColor(options)


def last(task: Task, **options: object) -> Pixels:
    stage = painted(Learned(options), task)[-1]
    assert isinstance(stage, Stage)
    return stage.picture


def by(learned: LearnedStyle, content: Pixels) -> Pixels:
    """A photograph as a learned style paints it for a job."""
    return learned.paint(content, _seed(sample(content=content)), torch.device("cpu"))


def test_a_style_is_recognized_by_its_file_and_the_latest_counts() -> None:
    written("other", style="6" * 64)
    written("older", seed=1)
    latest = written("latest", seed=2)
    task = sample({"strength": 1.0})
    task = replace(task, styles=(replace(task.styles[0], sha256="5" * 64),))
    assert np.allclose(last(task), by(latest, picture(24, 18)), atol=1e-3)
    about = Learned({}).provenance(task)
    assert about.decided["weights"] == about.weights["name"] == "latest"
    assert about.weights["sha256"] == latest.sha256
    named = last(task, weights="older")
    assert np.allclose(named, by(learned_style.find("older"), picture(24, 18)), atol=1e-3)


def test_without_a_learned_style_it_says_how_to_learn_one() -> None:
    for options in ({}, {"weights": "nobody"}):
        with pytest.raises(WeightsError, match="`stylewatch learn`"):
            painted(Learned(options), sample())


@pytest.mark.parametrize(("strength", "share"), [(0, 0), (0.4, 0.5), (0.8, 1)])
def test_strength_mixes_the_photograph_in(strength: float, share: float) -> None:
    content = picture(24, 18)
    task = sample({"strength": strength, "objective.strength_by": "blend"})
    mixed = (1 - share) * content + share * by(written("mixed"), content)
    assert np.allclose(last(task, weights="mixed"), mixed, atol=1e-3)


@pytest.mark.parametrize("size", [(1, 1), (3, 50), (17, 16), (40, 23)])
def test_the_network_paints_any_size(size: tuple[int, int]) -> None:
    width, height = size
    painting = untrained(0).paint(picture(width, height))
    assert painting.shape == (height, width, 3)
    assert np.isfinite(painting).all()


@pytest.mark.parametrize(("width", "height"), [(150, 61), (64, 200)])
def test_tiles_do_not_show(width: int, height: int) -> None:
    """In tiles a painting is the same as in one piece with the same normalization."""
    network, photograph = untrained(0), picture(width, height)
    in_tiles = network.paint(photograph, side=40)
    noise = noise_for(Size(width, height), np.random.Generator(np.random.PCG64(0)))
    with torch.inference_mode(), network.normalized_as(sampled(photograph, 40), 0):
        in_one_piece = as_picture(network(as_tensor(photograph), noise)).clip(0, 255)
    assert np.allclose(in_tiles, in_one_piece, atol=0.01)
    with torch.inference_mode():
        whole = as_picture(network(as_tensor(photograph), noise)).clip(0, 255)
    assert np.array_equal(network.paint(photograph), whole)
    assert np.abs(in_tiles - whole).mean() < 30


def test_a_mask_says_where_it_paints() -> None:
    """In two regions by two learned styles, and elsewhere not at all."""
    content = picture(24, 18)
    two = [written(f"in-{n}", seed=n, style=f"{n}" * 64) for n in (3, 4)]
    masks = np.zeros((18, 24, 2), np.float32)
    masks[:, :8, 0] = masks[:, 8:16, 1] = 1
    only = np.ones((5, 5, 2), np.float32) * np.eye(2, dtype=np.float32)[:, None, None]
    styles = tuple(
        Style(picture(20, 22), f"style-{n}", sha256=f"{n}" * 64, mask=mask)
        for n, mask in zip((3, 4), only, strict=True)
    )
    painting = last(sample({"strength": 1.0}, styles=styles, content_mask=masks))
    expected = [by(two[0], content)[:, :8], by(two[1], content)[:, 8:16]]
    expected.append(content[:, 16:])
    assert np.allclose(painting, np.concatenate(expected, 1), atol=0.01)
    said = Learned({}).provenance(sample(styles=styles)).warnings
    assert any("masks of styles" in sentence for sentence in said)


@pytest.mark.parametrize(("weight", "share"), [(0, 0), (60, 20 / 21)])
def test_a_frame_stays_near_the_previous_one(
    weight: float, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stylewatch_learned.backend._MOST_GAIN", 1)
    content, previous = picture(24, 18), picture(24, 18, seed=3)
    trust = np.zeros((18, 24), np.float32)
    trust[:, :12] = 1
    recipe = {"strength": 1.0, "objective.temporal": weight}
    painting = written("film").paint(content, 0, torch.device("cpu"))
    frame = last(sample(recipe, prior=Prior(previous, trust, 1.0)), weights="film")
    kept = share * trust[..., None]
    assert np.allclose(frame, kept * previous + (1 - kept) * painting, atol=0.01)


def test_frames_keep_the_strokes_that_their_mean_would_lose() -> None:
    """The mean of two pictures of noise has less contrast than either."""
    content, previous = picture(96, 64), picture(96, 64, seed=3)
    trust = np.full((64, 96), 1 / 20, np.float32)
    recipe = {"strength": 0.0, "objective.strength_by": "blend", "size": 96}
    frame = last(sample(recipe, content=content, prior=Prior(previous, trust, 1.0)), weights="film")
    mean = (content + previous) / 2
    contrasts = [each.std((0, 1)).mean() for each in (mean, frame, content)]
    assert contrasts[0] < 0.8 * contrasts[2]
    assert contrasts[1] == pytest.approx(contrasts[2], rel=0.1)


def test_photographs_have_strokes_in_other_places_and_frames_in_the_same() -> None:
    one, other = (sample(content=picture(24, 18, seed=seed)) for seed in (1, 2))
    assert _seed(one) == _seed(sample(content=picture(24, 18, seed=1))) != _seed(other)
    prior = Prior(picture(24, 18), np.ones((18, 24), np.float32), 1.0)
    assert _seed(replace(one, prior=prior)) == _seed(replace(other, prior=prior))
    assert _seed(replace(one, is_frame=True)) == _seed(one), "a still is the first frame"


def test_a_job_keeps_the_learned_styles_that_it_began_with() -> None:
    """A training that ends meanwhile changes neither the rest of a film nor its receipt."""
    styles = tuple(Style(picture(20, 22, seed=1), f"style-{n}", sha256=f"{n}" * 64) for n in (8, 9))
    both = [written(f"of-{n}", seed=n, style=f"{n}" * 64) for n in (8, 9)]
    backend, task = Learned({}), sample(styles=styles)
    about, before = backend.provenance(task), painted(backend, task)[-1]
    assert about.weights["name"] == "auto" and len(str(about.weights["sha256"])) == 64
    written("later-of-8", seed=1, style="8" * 64)
    written("of-9", seed=1, style="9" * 64)
    after = painted(backend, task)[-1]
    assert isinstance(before, Stage) and isinstance(after, Stage)
    assert np.array_equal(before.picture, after.picture)
    assert backend.provenance(task) == about
    assert Learned({}).provenance(task).weights != about.weights
    for learned in both:
        learned.path.unlink()


def test_painting_needs_no_weights_of_vgg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "problem", lambda _: "the weights are missing")
    assert Learned({}).problem() is None
    assert "no device cuda:99" in str(Learned({"device": "cuda:99"}).problem())
