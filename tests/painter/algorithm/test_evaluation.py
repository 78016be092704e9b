"""What is known at one picture is a record that nobody changes."""

from dataclasses import FrozenInstanceError, fields, replace

import pytest
import torch

from stylewatch_painter.algorithm.optimizers import Evaluation

SEEN = Evaluation(torch.zeros(2), torch.zeros(()), torch.zeros(1, 3, 4, 5))


@pytest.mark.parametrize("name", [field.name for field in fields(Evaluation)])
def test_an_evaluation_is_frozen(name: str) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(SEEN, name, torch.ones(2))


def test_evaluations_are_told_apart_by_which_they_are() -> None:
    """Comparing tensors would give a tensor, and no answer."""
    assert len({SEEN, replace(SEEN), SEEN}) == 2
