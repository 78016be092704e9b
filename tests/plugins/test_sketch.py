"""Backend `sketch`: the contract, its options, its statistics, and the loop of NumPy backends."""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from stylewatch_painter.errors import CheckpointError
from stylewatch_painter.recipes.book import find, names
from stylewatch_painter.scene.task import Style
from stylewatch_painter.stage import Stage, Wish, go_on
from stylewatch_plugins.contract import Backend
from stylewatch_plugins.sketch import Sketch, StyleColors, Targets, colors, statistics
from stylewatch_plugins.testing import BackendConformance
from stylewatch_plugins.testing.tasks import painted, picture, sample, saved_and_loaded


class TestSketch(BackendConformance):
    """The conformance suite."""

    def make(self, options: Mapping[str, object]) -> Backend:
        return Sketch(options)


def test_picture_takes_on_mean_and_covariance_of_the_style() -> None:
    style = picture(20, 22, seed=1)
    alone = sample({"start": "picture", "steps": 300}, content=None, init=picture(24, 18))
    last = painted(Sketch({}), alone)[-1]
    assert isinstance(last, Stage)
    result, wanted = last.picture.reshape(-1, 3), style.reshape(-1, 3)
    assert result.mean(axis=0) == pytest.approx(wanted.mean(axis=0), abs=0.5)
    assert np.cov(result.T) == pytest.approx(np.cov(wanted.T), abs=0.02 * np.cov(wanted.T).max())


def test_strength_takes_the_picture_further_from_the_content() -> None:
    light, bold = (painted(Sketch({}), sample({"strength": s, "steps": 50}))[-1] for s in (0, 1))
    assert light.losses.content["colors"].value < bold.losses.content["colors"].value


def test_shipped_recipes_can_be_sketched() -> None:
    for name in names():
        steps = [*islice(Sketch({}).paint(replace(sample(), recipe=find(name)), go_on), 4)]
        assert steps[-1].losses.total < steps[0].losses.total


def test_options_slow_it_down_and_make_it_fail() -> None:
    """A process exits at a step without `finally` and without flushing; torch is not loaded."""
    script = (
        "import sys\n"
        "from stylewatch_painter.stage import go_on\n"
        "from stylewatch_plugins.sketch import Sketch\n"
        "assert not {'torch', 'onnxruntime'} & set(sys.modules)\n"
        "from stylewatch_plugins.testing.tasks import sample\n"
        "for step in Sketch({'exit_at_step': 3}).paint(sample(), go_on):\n"
        "    print(step.step, flush=True)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout.split(), ended.stderr) == (1, ["1", "2"], "")
    slow = Sketch({"seconds_per_step": 0.01})
    assert slow.estimate(sample()).seconds == pytest.approx(0.05)
    assert painted(slow, sample())[-1].seconds >= 0.05
    steps = Sketch({"fail_at_step": 2}).paint(sample(), go_on)
    assert next(steps).step == 1
    with pytest.raises(RuntimeError, match="step 2"):
        next(steps)
    masked = sample(styles=(Style(picture(20, 22), mask=np.ones((22, 20), np.float32)),))
    assert "does not look at masks" in slow.provenance(masked).warnings[-1]


def test_checkpoint_without_an_array_is_refused() -> None:
    (step,) = painted(Sketch({}), sample(), Wish.STOP)
    for name in ("picture", "step", "seconds"):
        rest = {
            key: array for key, array in saved_and_loaded(step.checkpoint).items() if key != name
        }
        with pytest.raises(CheckpointError, match=f"lacks '{name}'"):
            painted(Sketch({}), sample(resume=rest))


def test_losses_equal_those_computed_by_hand() -> None:
    """A gray picture is compared with a black and a red pixel: content, and a quarter of style."""
    black_and_red = np.array([[(0, 0, 0), (255, 0, 0)]], dtype=np.float32)
    style = StyleColors("s", 0.25, *statistics(black_and_red))
    targets = Targets(colors(black_and_red), 2.0, [style])
    losses = targets.losses(np.full((1, 2, 3), 127.5, dtype=np.float32))
    assert losses.content["colors"].value == pytest.approx(0.75)  # each color is 3/4 away
    assert losses.style["s"]["mean"].value == pytest.approx(0.5)  # (0, 1/2, 1/2) squared
    assert losses.style["s"]["covariance"].value == pytest.approx(1 / 16)
    assert losses.total == pytest.approx(2 * 0.75 + 0.25 * 0.5 + 0.25 * 10 / 16)
