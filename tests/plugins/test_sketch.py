"""Backend `sketch`: the contract, its options, and its statistics, computed by hand."""

import subprocess
import sys
import tracemalloc
from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import pytest

from stylewatch_painter.algorithm.task import Style
from stylewatch_painter.errors import CheckpointError
from stylewatch_painter.recipes.book import find, names
from stylewatch_painter.stage import Pixels, Stage, go_on
from stylewatch_plugins.contract import Backend, BackendOptionError
from stylewatch_plugins.sketch import Sketch, StyleColors, Targets, colors
from stylewatch_plugins.testing import BackendConformance
from stylewatch_plugins.testing.tasks import painted, picture, sample


class TestSketch(BackendConformance):
    """The conformance suite."""

    def make(self, options: Mapping[str, object]) -> Backend:
        return Sketch(options)


def test_the_painting_takes_on_the_mean_and_spread_of_the_styles_colors() -> None:
    """With the style alone, until they are the same."""
    style = picture(20, 22, seed=1)
    alone = sample({"start": "picture", "steps": 300}, content=None, init=picture(24, 18))
    last = painted(Sketch({}), alone)[-1]
    assert isinstance(last, Stage)
    colors, wanted = last.picture.reshape(-1, 3), style.reshape(-1, 3)
    assert colors.mean(axis=0) == pytest.approx(wanted.mean(axis=0), abs=0.5)
    assert np.cov(colors.T) == pytest.approx(np.cov(wanted.T), abs=0.02 * np.cov(wanted.T).max())


def test_strength_takes_the_content_further_from_itself() -> None:
    light, bold = (painted(Sketch({}), sample({"strength": s, "steps": 50}))[-1] for s in (0, 1))
    assert light.losses.content["colors"].value < bold.losses.content["colors"].value


@pytest.mark.parametrize("name", names())
def test_every_recipe_that_ships_can_be_sketched(name: str) -> None:
    """Each with its own start and sizes; ten steps are enough to see."""
    recipe = find(name)
    task = sample()
    steps = Sketch({}).paint(type(task)(recipe, task.content, task.styles), go_on)
    losses = [step.losses.total for step, _ in zip(steps, range(10), strict=False)]
    assert losses[-1] < losses[0]


def test_noise_lies_around_gray_and_mixes_by_its_ratio() -> None:
    """A ratio of 0 is the content itself, 1 is noise alone."""
    backend, noise = Sketch({}), {"start": "noise", "noise_scale": 4}
    mixed = {**noise, "start": "mixed"}
    alone = backend.measure(sample(noise)).as_json()
    assert backend.measure(sample({**mixed, "noise_ratio": 1.0})).as_json() == alone
    content = backend.measure(sample({**mixed, "noise_ratio": 0.0}))
    assert content.content["colors"].value == 0
    assert backend.measure(sample()).as_json() == content.as_json()


def test_a_checkpoint_that_is_empty_is_refused() -> None:
    with pytest.raises(CheckpointError, match="another painting"):
        painted(Sketch({}), sample(resume={}))


def test_masks_are_told_in_a_warning_since_they_are_not_looked_at() -> None:
    backend, mask = Sketch({}), np.ones((22, 20), dtype=np.float32)
    masked = sample(styles=(Style(picture(20, 22), mask=mask),))
    assert (
        len(backend.provenance(masked).warnings) == len(backend.provenance(sample()).warnings) + 1
    )


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"second_per_step": 1}, "did you mean 'seconds_per_step'"),
        ({"seconds_per_step": -1}, "seconds_per_step: "),
        ({"fail_at_step": 0}, "fail_at_step: "),
        ({"device": "cuda"}, "device: "),
    ],
)
def test_a_wrong_option_is_told_with_its_name(options: Mapping[str, object], told: str) -> None:
    with pytest.raises(BackendOptionError, match=told):
        Sketch(options)


def test_it_can_be_told_how_long_a_step_takes() -> None:
    backend = Sketch({"seconds_per_step": 0.01})
    assert backend.estimate(sample()).seconds == pytest.approx(0.05)
    assert painted(backend, sample())[-1].seconds >= 0.05
    assert Sketch({}).estimate(sample()).seconds is None


def test_it_can_be_told_to_fail_at_a_step() -> None:
    steps = Sketch({"fail_at_step": 3}).paint(sample(), go_on)
    assert [next(steps).step, next(steps).step] == [1, 2]
    with pytest.raises(RuntimeError, match="step 3"):
        next(steps)


def test_it_can_be_told_to_end_its_process_at_a_step() -> None:
    """Nothing runs after it: neither `finally` nor what is left to be printed."""
    script = (
        "from stylewatch_painter.stage import go_on\n"
        "from stylewatch_plugins.sketch import Sketch\n"
        "from stylewatch_plugins.testing.tasks import sample\n"
        "for step in Sketch({'exit_at_step': 3}).paint(sample(), go_on):\n"
        "    print(step.step, flush=True)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout.split(), ended.stderr) == (1, ["1", "2"], "")


def test_it_paints_without_torch() -> None:
    """Quick to start is what it is for."""
    script = (
        "import sys, stylewatch_plugins.sketch\n"
        "sys.exit(any(name in sys.modules for name in ('torch', 'onnxruntime')))"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def two_pixels(first: tuple[float, ...], second: tuple[float, ...]) -> Pixels:
    """A picture of 1x2, its colors given with white as 1."""
    return np.array([[first, second]], dtype=np.float32) * 255


BLACK_AND_RED = two_pixels((0, 0, 0), (1, 0, 0))
GRAYS = two_pixels((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def test_colors_that_move_together_have_a_covariance() -> None:
    look = StyleColors.of("style-1", 1.0, two_pixels((0, 1, 0), (1, 0, 0)))
    assert look.covariance == pytest.approx(
        np.array([[0.25, -0.25, 0], [-0.25, 0.25, 0], [0, 0, 0]])
    )


def test_losses_are_those_worked_out_by_hand() -> None:
    """Of gray beside black and red, which is content and, by a quarter, style."""
    wanted = Targets(colors(BLACK_AND_RED), 2.0, [StyleColors.of("s", 0.25, BLACK_AND_RED)])
    losses = wanted.losses(GRAYS)
    assert losses.content["colors"].value == pytest.approx(0.75)  # each color is 3/4 away
    assert losses.style["s"]["mean"].value == pytest.approx(0.5)  # (0, 1/2, 1/2) squared
    assert losses.style["s"]["covariance"].value == pytest.approx(1 / 16)
    assert losses.total == pytest.approx(2 * 0.75 + 0.25 * 0.5 + 0.25 * 10 / 16)


def drawn(seed: int, spread: float = 60) -> Pixels:
    """A picture of 4x3, its levels whole numbers around gray."""
    draw = np.random.Generator(np.random.PCG64(seed))
    return np.rint(draw.normal(127, spread, (3, 4, 3))).astype(np.float32)


def test_the_slope_is_that_of_the_total() -> None:
    """Against central differences over two levels, which float32 holds exactly."""
    x, y, z = drawn(0), drawn(1), drawn(2)
    wanted = Targets(colors(y), 0.4, [StyleColors.of("s", 0.3, y), StyleColors.of("t", 0.7, z)])
    slope = wanted.gradient(x)
    for position in range(len(slope)):
        step = np.zeros_like(slope, dtype=np.float32)
        step[position, position % 3] = 1
        ahead, behind = (wanted.losses(x + s * step.reshape(x.shape)).total for s in (1, -1))
        difference = len(slope) * (ahead - behind) / (2 / 255)
        assert difference == pytest.approx(slope[position, position % 3], rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("spread", [1, 60, 5000])
def test_every_step_makes_the_total_smaller(spread: float) -> None:
    """However far the colors lie from those wanted."""
    x, wanted = drawn(0, spread), Targets(None, 1.0, [StyleColors.of("s", 1.0, drawn(1))])
    totals = []
    for _ in range(20):
        totals.append(wanted.losses(x).total)
        x = wanted.step(x)
    assert all(later < earlier for earlier, later in pairwise(totals))


def test_a_single_pixel_has_no_spread() -> None:
    one = np.full((1, 1, 3), 51, dtype=np.float32)
    assert StyleColors.of("s", 1.0, one).covariance.tolist() == [[0.0] * 3] * 3
    wanted = Targets(None, 1.0, [StyleColors.of("s", 1.0, GRAYS)])
    assert np.isfinite(wanted.step(one)).all()


def test_a_look_is_to_the_bit_the_one_of_all_positions_at_once_in_less_memory() -> None:
    picture = np.random.default_rng(4).uniform(-9, 300, (700, 1001, 3)).astype(np.float32)
    whole = picture.reshape(-1, 3).astype(np.float64) / 255
    centered = whole - whole.mean(axis=0)
    covariance = np.einsum("mi,mj->ij", centered, centered) / len(whole)
    tracemalloc.start()
    look = StyleColors.of("s", 1.0, picture)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert np.array_equal(look.mean, whole.mean(axis=0))
    assert np.array_equal(look.covariance, covariance)
    assert peak < picture.nbytes
