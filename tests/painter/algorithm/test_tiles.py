"""Where tiles lie, and that their maps are those of the whole picture."""

import pytest
import torch
from tests.painter import small

from stylewatch_painter.algorithm.scales import pools_before
from stylewatch_painter.algorithm.tiles import grain, halo, map_size, tiles
from stylewatch_painter.recipes.recipe import LayerName

DEEP: tuple[LayerName, ...] = ("conv1_1", "conv5_1")


@pytest.mark.parametrize(
    ("layer", "pixels", "apart"),
    [("conv1_1", 1, 1), ("conv1_2", 2, 1), ("conv2_1", 4, 2), ("conv5_1", 80, 16),
     ("conv5_2", 96, 16), ("conv5_4", 128, 16)],
)  # fmt: skip
def test_halo_covers_the_deepest_layer(layer: LayerName, pixels: int, apart: int) -> None:
    """To conv5_1: 2 x 1 + 2 x 2 + 4 x 4 + 4 x 8 + 16 = 70, in steps of 16."""
    assert (halo({layer, "conv1_1"}), grain({layer, "conv1_1"})) == (pixels, apart)


@pytest.mark.parametrize("side", [1, 16, 20, 33, 64, 100, 1000, None])
@pytest.mark.parametrize("length", [1, 15, 16, 17, 100, 117])
def test_tiles_cover_every_pixel_once_on_the_pool_grid(side: int | None, length: int) -> None:
    found = tiles((length, 7), side, DEEP)
    seen = torch.zeros(7, length)
    for tile in found:
        seen[tile.rows.start : tile.rows.end, tile.columns.start : tile.columns.end] += 1
        assert tile.columns.start % 16 == 0
        assert tile.columns.end - tile.columns.start <= max(16, (side or length) + 15)
    assert torch.equal(seen, torch.ones(7, length))
    assert (len(found) == 1) == found[0].is_whole
    assert len(found) > 1 or length <= max(side or length, 16)


@pytest.mark.parametrize("edge", ["floor", "ceil"])
@pytest.mark.parametrize("pool", ["max", "average"])
@pytest.mark.parametrize("side", [16, 48])
def test_tile_maps_equal_those_of_the_whole(pool: str, edge: str, side: int) -> None:
    settings, size = small.pools(pool, edge), (117, 101)
    network, x = small.network(), torch.randn(1, 3, 101, 117) * 50
    whole = network(x, DEEP, settings)
    for tile in tiles(size, side, DEEP):
        for layer, f in network(tile.of(x), DEEP, settings).items():
            halvings = pools_before(layer)
            rows, columns = tile.rows.of_map(halvings), tile.columns.of_map(halvings)
            wanted = whole[layer][..., rows, columns]
            torch.testing.assert_close(tile.cut(f, layer), wanted, rtol=1e-5, atol=1e-2)
            assert torch.equal(tile.part(whole[layer][0], layer), wanted[0])
    for layer, f in whole.items():
        assert f.shape[-2:] == map_size(size, layer, settings)


def test_cut_keeps_the_memory_layout() -> None:
    """Position by position, as convolutions have them; what is cut off gets no gradient."""
    x = torch.randn(1, 4, 32, 32).contiguous(memory_format=torch.channels_last).requires_grad_()
    tile = tiles((64, 32), 32, ["conv1_1", "conv5_1"])[0]
    found = tile.cut(x, "conv1_1")
    assert found.shape == (1, 4, 32, 32)
    assert found.flatten(2).stride(-2) == 1
    (slope,) = torch.autograd.grad(found[..., :2, :2].sum(), x)
    assert slope.is_contiguous(memory_format=torch.channels_last)
    assert slope.sum() == 4 * 2 * 2
