"""Backend `sketch` keeps the contract, and what it promises beyond."""

import subprocess
import sys
from collections.abc import Mapping

import numpy as np
import pytest

from stylewatch_painter.algorithm.task import Style
from stylewatch_painter.errors import CheckpointError, DivergedError, RecipeError
from stylewatch_painter.recipes.book import find, names
from stylewatch_painter.stage import Stage, Wish, go_on
from stylewatch_plugins.contract import Backend, BackendOptionError, PaintsMany
from stylewatch_plugins.sketch import Sketch
from stylewatch_plugins.testing import BackendConformance
from stylewatch_plugins.testing.tasks import after, kept, painted, picture, sample


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


@pytest.mark.parametrize(
    ("start", "given"),
    [
        ("content", {"content": None}),
        ("mixed", {"content": None}),
        ("style", {"styles": ()}),
        ("picture", {"init": None}),
    ],
)
def test_a_start_without_its_picture_is_refused_by_name(
    start: str, given: Mapping[str, object]
) -> None:
    with pytest.raises(RecipeError, match=f"start: {start}"):
        Sketch({}).measure(sample({"start": start}, **given))


def test_a_picture_of_numbers_that_are_none_is_told_and_not_shown() -> None:
    broken = picture(24, 18)
    broken[3, 3] = np.nan
    with pytest.raises(DivergedError, match="step 1"):
        painted(Sketch({}), sample(content=broken))


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


def test_after_a_failure_it_goes_on_from_the_checkpoint_before() -> None:
    """As the next attempt does, without the fault."""
    kind, whole = {"save_every": 1}, painted(Sketch({}), sample({"save_every": 1}))
    before = painted(Sketch({"fail_at_step": 3}), sample(kind), *after(2, Wish.STOP))[-1]
    rest = painted(Sketch({}), sample(kind, resume=kept(before.checkpoint)))
    assert [step.losses for step in rest] == [step.losses for step in whole[2:]]


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


def test_several_at_once_come_out_as_they_do_alone() -> None:
    sketch, tasks = Sketch({}), [sample({"steps": 3}, seed=seed) for seed in (1, 2)]
    assert isinstance(sketch, PaintsMany)
    last = dict(sketch.paint_many(tasks, [go_on] * 2))
    for index, task in enumerate(tasks):
        alone, said = painted(sketch, task)[-1], last[index]
        assert isinstance(alone, Stage)
        assert isinstance(said, Stage)
        assert np.array_equal(alone.picture, said.picture)
        assert said.losses == alone.losses
