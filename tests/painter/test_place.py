"""Where paintings stand; most of it is tested by breaking paintings off, in test_paint."""

import numpy as np
import pytest
import torch
from tests.painter import small
from tests.painter.paintings import painted, painting

from stylewatch_painter.canvas import Canvas
from stylewatch_painter.errors import CheckpointError
from stylewatch_painter.place import Place, fingerprint
from stylewatch_painter.stage import Wish
from stylewatch_painter.target import Target
from stylewatch_plugins.testing_tasks import after, kept


def begun(count: int) -> tuple[Place, Target]:
    """Some paintings that differ in their seeds, before their first step."""
    network = small.network()
    tasks = [painting({"start": "noise"}, seed=seed) for seed in range(count)]
    canvases = [Canvas(task, network.mean, network.device) for task in tasks]
    levels = canvases[0].levels()
    return Place.start(canvases, levels), Target(canvases, network, levels[0])


def test_a_picture_with_its_sides_changed_is_another_one() -> None:
    """Its bytes alone would not tell."""
    flat, upright = (np.zeros(shape, dtype=np.float32) for shape in ((2, 3, 3), (3, 2, 3)))
    one, other = (fingerprint(painting(content=picture)) for picture in (flat, upright))
    assert not np.array_equal(one, other)


def test_a_checkpoint_of_one_of_many_is_that_of_one_alone() -> None:
    (many, together), (single, alone) = begun(3), begun(1)
    for _ in range(3):
        many.optimiser.step(many.u, together)
        single.optimiser.step(single.u, alone)
    ours, theirs = many.save(0), single.save(0)
    assert ours.keys() == theirs.keys()
    assert all(ours[name].shape == theirs[name].shape for name in ours)
    assert np.abs(ours["u"].astype(np.float64) - theirs["u"].astype(np.float64)).max() < 1e-2


def test_those_that_are_kept_go_on_as_they_would_have() -> None:
    (place, target), (whole, _) = begun(3), begun(3)
    for _ in range(3):
        place.optimiser.step(place.u, target)
        whole.optimiser.step(whole.u, target)
    place.keep([2, 0])
    assert place.members == [2, 0]
    fewer = Target(place.canvases, target.network, target.level)
    for _ in range(2):
        place.optimiser.step(place.u, fewer)
        whole.optimiser.step(whole.u, target)
    torch.testing.assert_close(place.u, whole.u[[2, 0]], rtol=1e-4, atol=1e-3)


def test_steps_that_are_taken_back_are_counted_over_all_sizes_and_breaks() -> None:
    """With first steps so long that they lead uphill."""
    wild = {"optimiser": {"kind": "lbfgs", "first_step": 90, "step_back": 1.01}}
    steps = painted(painting(wild))
    counts = [step.taken_back for step in steps]
    assert sorted(counts) == counts
    assert counts[2] > 0  # at the small size
    assert counts[6] > counts[2]
    *_, stopped = painted(painting(wild), *after(5, Wish.STOP))
    rest = painted(painting(wild, resume=kept(stopped.checkpoint)))
    assert [step.taken_back for step in rest] == counts[5:]


def test_a_checkpoint_that_lacks_something_is_refused() -> None:
    checkpoint = painted(painting(), *after(2, Wish.STOP))[-1].checkpoint
    assert checkpoint is not None
    with pytest.raises(CheckpointError, match="belongs to another painting"):
        painted(painting(resume={}))
    for name in ("u", "level", "step", "seconds", "optimiser.begun"):
        rest = {key: array for key, array in checkpoint.items() if key != name}
        with pytest.raises(CheckpointError, match=f"lacks '{name.rpartition('.')[2]}'"):
            painted(painting(resume=rest))
