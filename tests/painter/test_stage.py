"""What a painting reports: records that nobody changes, and their form in a receipt."""

import json
from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from stylewatch_painter.stage import Losses, Stage, Step, Term, Wish, go_on

LAYERS = {"conv1_1": Term(2.0, 0.5), "conv2_1": Term(3.0, 0.25)}


def test_who_only_waits_for_the_end_wishes_to_go_on() -> None:
    assert go_on() is Wish.GO_ON


def test_a_term_tells_its_value_and_its_weight() -> None:
    assert Term(2.0, 0.5).as_json() == {"value": 2.0, "weight": 0.5}


def test_a_term_that_only_pulls_says_so() -> None:
    told = Term(2.0, 0.0, gradient_weight=0.001).as_json()
    assert told == {"value": 2.0, "weight": 0.0, "gradient_weight": 0.001}


def test_the_layers_of_a_single_style_stand_by_themselves() -> None:
    losses = Losses(1.75, {"conv4_2": Term(1.0, 0.0)}, {"style-1": LAYERS})
    plain = losses.as_json()
    assert json.loads(json.dumps(plain)) == plain
    assert plain == {
        "total": 1.75,
        "content": {"conv4_2": {"value": 1.0, "weight": 0.0}},
        "style": {
            "conv1_1": {"value": 2.0, "weight": 0.5},
            "conv2_1": {"value": 3.0, "weight": 0.25},
        },
    }


def test_several_styles_have_an_entry_each() -> None:
    told = Losses(0.0, style={"style-1": LAYERS, "style-2": {}}).as_json()
    one = {layer: term.as_json() for layer, term in LAYERS.items()}
    assert told == {"total": 0.0, "content": {}, "style": {"style-1": one, "style-2": {}}}


def test_a_side_that_is_left_out_is_empty_and_smoothness_is_not_there() -> None:
    assert Losses(0.0).as_json() == {"total": 0.0, "content": {}, "style": {}}
    assert Losses(0.0, tv=Term(1.0, 2.0)).as_json()["tv"] == {"value": 1.0, "weight": 2.0}


def test_a_stage_is_a_step_with_a_picture() -> None:
    picture = np.zeros((2, 3, 3), dtype=np.float32)
    stage = Stage(1, 5, (3, 2), Losses(0.0), 0.5, picture=picture)
    assert isinstance(stage, Step)
    assert stage.picture is picture
    assert stage.checkpoint is None


@pytest.mark.parametrize(
    "record", [Term(1.0, 1.0), Losses(0.0), Step(1, 5, (3, 2), Losses(0.0), 0.5)]
)
def test_what_is_reported_is_frozen(record: object) -> None:
    name = next(iter(vars(record)))
    with pytest.raises(FrozenInstanceError):
        setattr(record, name, 2)


def test_a_report_is_told_without_its_thousands_of_numbers() -> None:
    """A log that holds pictures is of no use."""
    picture = np.zeros((64, 64, 3), dtype=np.float32)
    stage = Stage(1, 5, (64, 64), Losses(0.0), 0.5, picture=picture, checkpoint={"u": picture})
    assert "array" not in repr(stage)
