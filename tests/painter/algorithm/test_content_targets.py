"""What a painting is held to by its content, kept or worked out at every look."""

import torch
from tests.painter import small

from stylewatch_painter.algorithm.targets import NOTHING, contents, together
from stylewatch_painter.algorithm.tiles import View, tiles
from stylewatch_painter.recipes.recipe import LayerName, Network

LAYERS: tuple[LayerName, ...] = ("conv1_1", "conv4_2")
PARTS = tiles((40, 40), 16, LAYERS)


def picture(seed: int) -> torch.Tensor:
    return torch.randn(1, 3, 40, 40, generator=torch.Generator().manual_seed(seed)) * 50


def test_what_is_kept_and_what_is_worked_out_anew_are_the_same() -> None:
    view = View(small.network(), Network(), LAYERS)
    kept = contents(view, picture(1), PARTS, keep=True)
    anew = contents(view, picture(1), PARTS, keep=False)
    assert (len(kept.kept), len(anew.kept)) == (len(PARTS), 0)
    for tile in PARTS:
        for layer, one in kept.at(tile).items():
            assert torch.equal(one, anew.at(tile)[layer])


def test_what_values_are_divided_by_is_of_the_whole_picture() -> None:
    view = View(small.network(), Network(), LAYERS)
    parts = contents(view, picture(1), PARTS, keep=False).wholes
    wholes = contents(view, picture(1), tiles((40, 40), None, LAYERS), keep=True).wholes
    for layer, one in wholes.items():
        assert parts[layer].entries == one.entries
        torch.testing.assert_close(parts[layer].energy, one.energy, rtol=1e-5, atol=0)


def test_contents_that_are_painted_at_once_stand_below_one_another() -> None:
    view, whole = View(small.network(), Network(), LAYERS), tiles((40, 40), None, LAYERS)
    one, two = (contents(view, picture(seed), whole, keep=True) for seed in (1, 2))
    both = together([one, two])
    for layer, maps in both.at(whole[0]).items():
        assert torch.equal(maps, torch.cat([one.at(whole[0])[layer], two.at(whole[0])[layer]]))
        assert both.wholes[layer].energy.shape == (2,)
    assert together([one]) is one


def test_of_nothing_there_is_nothing_to_see() -> None:
    assert NOTHING.at(PARTS[0]) == {}
