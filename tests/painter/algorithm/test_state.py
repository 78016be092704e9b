"""Where paintings stand; most of it is tested by breaking paintings off, in test_paint."""

import numpy as np
import pytest
import torch
from tests.painter import small
from tests.painter.paintings import painted, painting

from stylewatch_painter.algorithm.canvas import Canvas
from stylewatch_painter.algorithm.objective import Objective
from stylewatch_painter.algorithm.state import PaintState
from stylewatch_painter.errors import CheckpointError
from stylewatch_painter.stage import Stage, Wish
from stylewatch_plugins.testing.tasks import after, kept


def begun(count: int) -> tuple[PaintState, Objective]:
    """Some paintings that differ in their seeds, before their first step."""
    network = small.network()
    tasks = [painting({"start": "noise"}, seed=seed) for seed in range(count)]
    canvases = [Canvas(task, network.mean, network.device) for task in tasks]
    levels = canvases[0].levels()
    return PaintState.start(canvases, levels), Objective(canvases, network, levels[0])


def test_a_checkpoint_of_one_of_many_is_that_of_one_alone() -> None:
    (many, together), (single, alone) = begun(3), begun(1)
    for _ in range(3):
        many.optimizer.step(many.u, together)
        single.optimizer.step(single.u, alone)
    ours, theirs = many.save(0), single.save(0)
    assert ours.keys() == theirs.keys()
    assert all(ours[name].shape == theirs[name].shape for name in ours)
    assert np.abs(ours["u"].astype(np.float64) - theirs["u"].astype(np.float64)).max() < 1e-2


def test_steps_that_are_taken_back_are_counted_over_all_sizes_and_breaks() -> None:
    """With first steps so long that they lead uphill."""
    wild = {"optimizer": {"kind": "lbfgs", "first_step": 90, "step_back": 1.01}}
    steps = painted(painting(wild))
    counts = [step.taken_back for step in steps]
    assert sorted(counts) == counts
    assert counts[2] > 0  # at the small size
    assert counts[6] > counts[2]
    *_, stopped = painted(painting(wild), *after(5, Wish.STOP))
    rest = painted(painting(wild, resume=kept(stopped.checkpoint)))
    assert [step.taken_back for step in rest] == counts[5:]


AVERAGED = {"ema_decay": 0.8, "save_every": 1}


def test_what_is_shown_is_the_average_of_the_pictures_at_this_size() -> None:
    """By hand from the pictures themselves, the start of each size included."""
    made, (place, _) = painting(AVERAGED), begun(1)
    canvas = Canvas(made, (0.0, 0.0, 0.0), place.u.device)
    averaged = PaintState.start([canvas], canvas.levels())
    seen = [averaged.u.clone()]
    for step in range(3):
        averaged.u.add_(step + 1.0)
        averaged.count_step()
        seen.append(averaged.u.clone())
    weights = [0.8 ** (3 - at) for at in range(4)]
    wanted = sum((w * u for w, u in zip(weights, seen, strict=True)), torch.zeros(1)) / sum(weights)
    torch.testing.assert_close(averaged.shown(), wanted)
    averaged.next_level(canvas.levels())
    torch.testing.assert_close(averaged.u, canvas.enlarged(wanted, (21, 18)))
    torch.testing.assert_close(averaged.shown(), averaged.u)
    place.count_step()
    assert place.shown() is place.u


@pytest.mark.parametrize("at", [2, 5])
def test_averages_and_carried_moments_go_on_in_the_same_bytes(at: int) -> None:
    """Broken off at the small size, and at the large one."""
    changes = {**AVERAGED, "carry_moments": True, "optimizer": {"kind": "adam", "rate": 2.0}}
    whole = painted(painting(changes))
    *_, stopped = painted(painting(changes), *after(at, Wish.STOP))
    rest = painted(painting(changes, resume=kept(stopped.checkpoint)))
    for one, other in zip(rest, whole[at:], strict=True):
        assert isinstance(one, Stage) and isinstance(other, Stage)
        assert one.picture.tobytes() == other.picture.tobytes()
        assert one.losses == other.losses


def test_moments_are_carried_to_the_next_size_where_that_is_asked() -> None:
    """The steps there differ from those of an optimizer that knows nothing."""
    adam = {"optimizer": {"kind": "adam", "rate": 2.0}, "save_every": 1}
    carried, fresh = (
        painted(painting({**adam, "carry_moments": carry})) for carry in (True, False)
    )
    for one, other in zip(carried, fresh, strict=True):
        assert isinstance(one, Stage) and isinstance(other, Stage)
        small_yet = one.size == carried[0].size
        assert small_yet == (one.picture.tobytes() == other.picture.tobytes())


def test_a_checkpoint_that_lacks_something_is_refused() -> None:
    checkpoint = painted(painting(), *after(2, Wish.STOP))[-1].checkpoint
    assert checkpoint is not None
    with pytest.raises(CheckpointError, match="belongs to another painting"):
        painted(painting(resume={}))
    for name in ("u", "level", "step", "seconds", "optimizer.begun"):
        rest = {key: array for key, array in checkpoint.items() if key != name}
        with pytest.raises(CheckpointError, match=f"lacks '{name.rpartition('.')[2]}'"):
            painted(painting(resume=rest))
