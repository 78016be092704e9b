"""The pools and the way back through them, against numbers worked out by hand and in NumPy."""

from itertools import product

import numpy as np
import pytest
import torch
from tests.painter import small
from tests.painter.plain_vgg19 import pooled, unpooled

from stylewatch_painter.network.vgg19 import Pool

POOLS = list(product(("max", "average"), ("floor", "ceil")))


def maps(values: list[list[float]]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32).view(1, 1, len(values), -1)


THREE_BY_THREE = maps([[1, 2, 3], [4, 5, 6], [7, 8, 9]])


@pytest.mark.parametrize(
    ("kind", "edge", "wanted"),
    [
        ("max", "floor", [[5]]),
        ("average", "floor", [[3]]),
        ("max", "ceil", [[5, 6], [8, 9]]),
        ("average", "ceil", [[3, 4.5], [7.5, 9]]),
    ],
)
def test_an_odd_edge_is_dropped_or_pooled_as_far_as_it_goes(
    kind: str, edge: str, wanted: list[list[float]]
) -> None:
    """An average at the edge counts what is there only."""
    found, _ = Pool(small.pools(kind, edge))(THREE_BY_THREE)
    assert found[0, 0].tolist() == wanted


@pytest.mark.parametrize(
    ("kind", "edge", "wanted"),
    [
        ("max", "floor", [[0, 0, 0], [0, 4, 0], [0, 0, 0]]),
        ("average", "floor", [[1, 1, 0], [1, 1, 0], [0, 0, 0]]),
        ("max", "ceil", [[0, 0, 0], [0, 4, 8], [0, 12, 16]]),
        ("average", "ceil", [[1, 1, 4], [1, 1, 4], [6, 6, 16]]),
    ],
)
def test_the_way_back_gives_each_place_its_share(
    kind: str, edge: str, wanted: list[list[float]]
) -> None:
    pool = Pool(small.pools(kind, edge))
    found, passed = pool(THREE_BY_THREE)
    gradient = maps([[4, 8], [12, 16]])[..., : found.shape[-2], : found.shape[-1]]
    assert pool.back(gradient, passed)[0, 0].tolist() == wanted


@pytest.mark.parametrize(("kind", "edge"), POOLS)
@pytest.mark.parametrize("size", [(4, 6), (5, 6), (4, 7), (5, 7), (1, 3), (2, 1)])
def test_maps_of_any_size_are_pooled_as_in_numpy(
    kind: str, edge: str, size: tuple[int, int]
) -> None:
    """There and back, several maps at once; a map that would vanish is left to `ceil`."""
    if edge == "floor" and min(size) == 1:
        size = (2, 3)
    x = np.random.Generator(np.random.PCG64(0)).standard_normal((3, *size))
    pool, u = Pool(small.pools(kind, edge)), small.tensor(x)
    found, passed = pool(u)
    np.testing.assert_allclose(small.array(found), pooled(x, kind, edge), rtol=1e-5)
    slope = np.random.Generator(np.random.PCG64(1)).standard_normal(found.shape[1:])
    back = small.array(pool.back(small.tensor(slope), passed))
    np.testing.assert_allclose(back, unpooled(slope, x, kind, edge), rtol=1e-5)


def test_a_single_position_stays_where_pools_round_up() -> None:
    found, _ = Pool(small.pools("average", "ceil"))(maps([[7]]))
    assert found.tolist() == [[[[7]]]]
