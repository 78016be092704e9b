"""Backend `tones` keeps what every backend promises, and does what it says."""

from collections.abc import Mapping

import numpy as np
import pytest

from stylewatch_plugins.contract import Backend, BackendOptionError, Stage
from stylewatch_plugins.testing import BackendConformance
from stylewatch_plugins.testing.tasks import painted, picture, sample
from stylewatch_tones.backend import Tones


class TestTones(BackendConformance):
    """The conformance suite."""

    def make(self, options: Mapping[str, object]) -> Backend:
        """The backend, as the suite wants it."""
        return Tones(options)


def test_the_painting_takes_on_the_tones_of_the_style() -> None:
    """With the style alone, until they are the same."""
    alone = sample({"start": "noise", "noise_scale": 30, "steps": 60}, content=None)
    last = painted(Tones({}), alone)[-1]
    assert isinstance(last, Stage)
    pixels, style = last.picture.reshape(-1, 3), picture(20, 22, seed=1).reshape(-1, 3)
    assert np.quantile(pixels, 0.9, axis=0) == pytest.approx(np.quantile(style, 0.9, axis=0), abs=2)


def test_a_mistake_in_its_options_is_told_with_its_place() -> None:
    """By its own model, with what was likely meant."""
    with pytest.raises(BackendOptionError, match="unknown key 'pase'; did you mean 'pace'"):
        Tones({"pase": 1})
    with pytest.raises(BackendOptionError, match="pace: "):
        Tones({"pace": 7})
