"""Tiles with their halo, and padding; `test_objective` compares tiles with the whole picture."""

from typing import Any

import numpy as np
import pytest
import torch
from tests.painter import small

from stylewatch_painter.resample import bordered
from stylewatch_painter.scene.tiles import alignment, halo, tiles
from stylewatch_painter.size import Size
from stylewatch_painter.vgg import LayerName

DEEP: tuple[LayerName, ...] = ("conv1_1", "conv5_1")


def test_halo_covers_the_deepest_layer() -> None:
    """To conv5_1: 2 x 1 + 2 x 2 + 4 x 4 + 4 x 8 + 16 = 70, in steps of 16."""
    assert (halo({"conv2_1", "conv1_1"}), alignment({"conv2_1", "conv1_1"})) == (4, 2)
    assert (halo(set(DEEP)), alignment(set(DEEP))) == (80, 16)


@pytest.mark.parametrize("side", [1, 20, 64, 1000, None])
def test_tiles_cover_every_pixel_once_on_the_pool_grid(side: int | None) -> None:
    for length in (1, 16, 17, 117):
        cover = tiles(Size(length, 7), side, DEEP)
        count = torch.zeros(7, length)
        for tile in cover:
            count[tile.rows.start : tile.rows.end, tile.columns.start : tile.columns.end] += 1
            assert tile.columns.start % 16 == 0
            assert tile.columns.end - tile.columns.start <= max(16, (side or length) + 15)
        assert torch.equal(count, torch.ones(7, length))
        assert (len(cover) == 1) == cover[0].is_whole


@pytest.mark.parametrize(("padding", "mode"), [("reflect", "reflect"), ("replicate", "edge")])
@pytest.mark.parametrize("wide", [1, 32])
def test_padding_matches_numpy(padding: Any, mode: Any, wide: int) -> None:
    """However small: a reflection is reflected again. Pixels get the gradient of their copies."""
    for shape in ((21, 18), (3, 2), (1, 1), (1, 9)):
        x = small.tensor(small.plain(small.picture(3, *shape)))
        expected = np.pad(x.numpy(), ((0, 0), (0, 0), (wide, wide), (wide, wide)), mode=mode)
        assert np.array_equal(bordered(x, wide, padding).numpy(), expected)
    x = torch.arange(12.0).view(1, 1, 3, 4).requires_grad_()
    padded = bordered(x, 5, padding)
    (gradient,) = torch.autograd.grad(padded.sum(), x)
    _, counts = np.unique(padded.detach().numpy(), return_counts=True)
    assert gradient.flatten().tolist() == counts.tolist()
