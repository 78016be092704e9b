"""The chain of convolutions up to the deepest layer asked for."""

from onnx import TensorProto
from tests.export.little import plan

from stylewatch_export.graph import links


def test_it_ends_with_the_deepest_layer_and_marks_what_is_asked_for() -> None:
    found = links(plan(layers=("conv1_1", "conv2_1")))
    assert [link.layer for link in found] == ["conv1_1", "conv1_2", "conv2_1"]
    assert [link.wanted for link in found] == [True, False, True]
    assert [link.pooled for link in found] == [False, True, False]


def test_a_pool_behind_the_deepest_layer_is_left_out() -> None:
    assert not links(plan(layers=("conv1_2",)))[-1].pooled


def test_shapes_of_a_block_agree_by_name() -> None:
    last = links(plan(layers=("conv3_1",)))[-1]
    assert last.shape() == [1, 256, "height_3", "width_3"]
    before = links(plan(layers=("conv3_1",)))[-2]
    assert before.shape(after_pool=True) == [1, 128, "height_3", "width_3"]


def test_the_way_back_needs_masks_of_what_nobody_asked_for_and_places_of_maxima() -> None:
    first, second, _ = links(plan())
    assert list(first.state("max")) == []
    assert [name for name, _, _ in second.state("average")] == ["conv1_2.above"]
    assert list(second.state("max")) == [
        ("conv1_2.above", [1, 64, "height", "width"], TensorProto.BOOL),
        ("conv1_2.places", [1, 64, "height_2", "width_2"], TensorProto.INT64),
    ]
