"""How soft edges are is said in pixels of the painting, or in percent of its long side."""

from typing import Any

import pytest
from pydantic import ValidationError

from stylewatch_daemon.settings.config import job_over, job_part
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_daemon.settings.masks import MaskSettings


@pytest.mark.parametrize(
    ("said", "reach"),
    [(0, 0), (8, 0.01), ("8", 0.01), (2.5, 1 / 320), ("2%", 0.02), ("1.5 %", 0.015)],
)  # fmt: skip
def test_feather_is_a_share_of_the_long_side(said: object, reach: float) -> None:
    assert MaskSettings.model_validate({"feather": said}).reach(800) == pytest.approx(reach)


@pytest.mark.parametrize("said", ["soft", "-1", "60%", "3px", "2%%", "", True, None, "1e3", 99999])
def test_what_is_no_length_is_told(said: object) -> None:
    with pytest.raises(ValidationError):
        MaskSettings.model_validate({"feather": said})


def test_by_default_edges_are_hard_and_what_is_outside_is_free() -> None:
    assert JobSettings().mask == MaskSettings(feather="0", outside="free")


@pytest.mark.parametrize(
    "above", [{"mask": {"outside": "keep"}}, job_part({"job.mask.outside": "keep"})]
)
def test_what_is_said_of_masks_leaves_the_rest_of_it_as_it_was(above: dict[str, Any]) -> None:
    below = JobSettings.model_validate({"mask": {"feather": "3%"}})
    found = JobSettings.model_validate(job_over(below, above)).mask
    assert found == MaskSettings(feather="3%", outside="keep")
