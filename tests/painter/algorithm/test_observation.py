"""What is seen of tiles adds up, and can be taken apart from them."""

import torch

from stylewatch_painter.algorithm.losses import sums
from stylewatch_painter.algorithm.objective import Seen

MAPS = torch.tensor([[[1.0, 2.0, 3.0], [4.0, -1.0, 3.0]]])


def seen(values: float) -> Seen:
    return Seen([torch.tensor([values])], {"conv1_1": (sums(MAPS), sums(2 * MAPS))})


def test_of_two_tiles_all_adds_up() -> None:
    both = seen(1.0) + seen(2.0)
    assert [one.item() for one in both.contents] == [3]
    one, other = both.styles["conv1_1"]
    assert torch.equal(one.products, 2 * sums(MAPS).products)
    assert torch.equal(other.products, 8 * sums(MAPS).products)
    assert one.count == 6


def test_its_tensors_are_contents_and_then_the_regions_of_each_layer() -> None:
    assert [one.shape for one in seen(1.0).tensors] == [(1,), (1, 2, 2), (1, 2, 2)]


def test_apart_it_asks_for_a_slope_of_its_own() -> None:
    u = MAPS.clone().requires_grad_()
    whole = Seen([u.sum((1, 2))], {"conv1_1": (sums(u),)})
    alone = whole.apart()
    assert all(one.is_leaf and one.requires_grad for one in alone.tensors)
    assert [one.tolist() for one in alone.tensors] == [one.tolist() for one in whole.tensors]
