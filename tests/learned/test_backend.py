"""Backend `learned`: the contract, the choice of the learned style, and what a painting is."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from tests.learned.examples import written

from stylewatch_learned import learned_style
from stylewatch_learned.backend import Learned
from stylewatch_learned.learned_style import LearnedStyle
from stylewatch_learned.network import StyleNetwork, as_picture, as_tensor
from stylewatch_painter.errors import WeightsError
from stylewatch_painter.stage import Pixels, Stage
from stylewatch_plugins.contract import Backend, Style, Task
from stylewatch_plugins.testing import BackendConformance
from stylewatch_plugins.testing.tasks import painted, picture, sample


class ByName(Learned):
    """The backend with a learned style for each name: pictures of the suite have no file."""

    def _chosen(self, style: Style) -> LearnedStyle:
        return learned_style.find("second" if style.name == "two" else "first")


@pytest.fixture(scope="module", autouse=True)
def first_and_second() -> None:
    written("first")
    written("second", seed=1)


class TestLearned(BackendConformance):
    """The conformance suite."""

    is_seeded = False

    def make(self, options: Mapping[str, object]) -> Backend:
        return ByName(options)


def last(task: Task, **options: object) -> Pixels:
    stage = painted(Learned(options), task)[-1]
    assert isinstance(stage, Stage)
    return stage.picture


def by(learned: LearnedStyle, content: Pixels) -> Pixels:
    """A photograph as a learned style paints it."""
    return as_picture(learned.network(as_tensor(content)).detach()).clip(0, 255)


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
    painting = StyleNetwork()(as_tensor(picture(width, height)))
    assert painting.shape == (1, 3, height, width)
    assert painting.isfinite().all()


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
