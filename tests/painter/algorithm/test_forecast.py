"""What a painting would take: bytes worked out by hand, seconds by a clock of the test's own."""

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
import torch
from tests.painter import small
from tests.painter.paintings import AT_ONCE, painting
from tests.painter.plain_vgg19 import filters
from torch import Tensor

from stylewatch_painter.algorithm import forecast as module
from stylewatch_painter.algorithm.canvas import Canvas
from stylewatch_painter.algorithm.forecast import (
    content_bytes,
    evaluations,
    forecast,
    map_bytes,
    needed,
    optimizer_bytes,
)
from stylewatch_painter.algorithm.objective import Target
from stylewatch_painter.algorithm.optimizers import Evaluation
from stylewatch_painter.algorithm.paint import paint
from stylewatch_painter.algorithm.scales import Level
from stylewatch_painter.algorithm.task import Room
from stylewatch_painter.errors import PictureError
from stylewatch_painter.network.vgg19 import Vgg19
from stylewatch_painter.recipes.book import change, find
from stylewatch_painter.recipes.recipe import Objective

FIRST_BLOCK = 3 * 64 * 4
SEARCHING = {"kind": "lbfgs", "line_search": "strong_wolfe", "first_step": None}


def objective(pool: str, *layers: str) -> Objective:
    """An objective of style alone."""
    style = {"gram": "mean", "loss": "mean", "layers": dict.fromkeys(layers, 1.0)}
    return Objective.model_validate({"network": {"pool": pool}, "style": style})


def every(seconds: float) -> Callable[[], float]:
    """A clock that goes on by so much whenever somebody looks at it."""
    ticks = count()
    return lambda: next(ticks) * seconds


def test_a_map_that_a_loss_looks_at_counts_with_its_gradient() -> None:
    assert map_bytes(objective("max", "conv1_1")) == FIRST_BLOCK + 64 * 2 * 4


def test_of_other_maps_a_byte_a_value_counts_and_the_places_of_maxima() -> None:
    """128 maps of a quarter of the pixels, after 2 x 64 maps and a pool of 64 quarters."""
    asked = FIRST_BLOCK + 128 // 4 * 2 * 4 + 2 * 64
    assert map_bytes(objective("average", "conv2_1")) == asked
    assert map_bytes(objective("max", "conv2_1")) == asked + 64 // 4 * 8


def test_in_fewer_bits_maps_are_half_and_those_between_are_kept_whole() -> None:
    """3 and 2 times 64 maps at the first block, a quarter of 128 twice, conv1_2's map itself."""
    first = (3 * 64 + 2 * 64 + 64) * 2
    wanted = objective("average", "conv1_1", "conv2_1")
    assert map_bytes(wanted, 2) == first + 128 // 4 * 2 * 2


def test_of_a_network_in_bfloat16_less_is_foretold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_held", lambda: 1000)
    task = painting()
    weights = {name: torch.from_numpy(w).float() for name, w in filters(0).items()}
    coarse = Vgg19(weights, (0.0, 0.0, 0.0), "bf16")
    less = forecast(task, small.network()).memory - forecast(task, coarse).memory
    each = map_bytes(task.recipe.objective) - map_bytes(task.recipe.objective, 2)
    assert less == 21 * 18 * each > 0


def test_deeper_maps_are_more_and_smaller() -> None:
    """conv1_1 to conv3_1, by hand: the deepest of them asked for, and one on the way."""
    before = 2 * 64 + 128 // 4
    asked = (128 // 4 + 256 // 16) * 2 * 4
    places = (64 // 4 + 128 // 16) * 8
    found = map_bytes(objective("max", "conv2_2", "conv3_1"))
    assert found == FIRST_BLOCK + before + asked + places


@pytest.mark.parametrize(
    ("plain", "vectors"),
    [({"kind": "adam"}, 4), ({"kind": "sgd"}, 2), ({"kind": "lbfgs", "history": 10}, 28),
     ({"kind": "lbfgs", "history": 100}, 2 * 30 + 8),
     ({"kind": "lbfgs", "history": 100, "step_back": None}, 2 * 30 + 5)],
)  # fmt: skip
def test_an_optimizer_counts_by_the_vectors_it_remembers(
    plain: dict[str, Any], vectors: int
) -> None:
    """Three floats for each pixel; after 30 steps L-BFGS knows 30 moves at the most."""
    settings = painting({"optimizer": plain}).recipe.schedule.optimizer
    assert optimizer_bytes(settings, 30) == vectors * 3 * 4


def test_memory_is_what_the_process_holds_and_the_bytes_of_every_pixel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_held", lambda: 1000)
    task = painting()
    each = map_bytes(task.recipe.objective)
    each += optimizer_bytes(task.recipe.schedule.optimizer, task.recipe.schedule.steps)
    assert forecast(task, small.network()).memory == 1000 + 21 * 18 * each


def test_borders_and_averages_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """32 pixels on each side are seen, and not kept; an average is kept, and made ready once."""
    monkeypatch.setattr(module, "_held", lambda: 1000)
    plain, bordered = painting(), painting({"objective.network.padding": "reflect"})
    more = forecast(bordered, small.network()).memory - forecast(plain, small.network()).memory
    assert more == (85 * 82 - 21 * 18) * map_bytes(plain.recipe.objective)
    averaged = forecast(painting({"ema_decay": 0.9}), small.network()).memory
    assert averaged - forecast(plain, small.network()).memory == 21 * 18 * 3 * 3 * 4
    seen = forecast(bordered, small.network(), clock=every(2.0))
    per_pixel = 2.0 / (85 * 82)
    assert seen.seconds == pytest.approx(per_pixel * (74 * 73 * (3 + 1) + 85 * 82 * (4 + 1)))


def test_what_a_process_holds_is_told_in_bytes() -> None:
    """With torch in it, more than 50 MB; and less than this machine has, surely."""
    assert 50 * 2**20 < module._held() < 2**40


def test_it_tells_the_sizes_and_steps_that_will_be_painted() -> None:
    found = forecast(painting(), small.network())
    assert found.levels == (Level((10, 9), 0.5, 3), Level((21, 18), 1.0, 4))


def test_seconds_are_those_of_an_evaluation_for_each_pixel_step_and_target() -> None:
    """An evaluation of 21x18 takes 2 s by this clock; a size needs one more for its targets."""
    found = forecast(painting(), small.network(), clock=every(2.0))
    per_pixel = 2.0 / (21 * 18)
    assert found.seconds == pytest.approx(per_pixel * (10 * 9 * (3 + 1) + 21 * 18 * (4 + 1)))


def test_a_line_search_is_reckoned_with() -> None:
    told = {"optimizer": SEARCHING, **AT_ONCE}
    found = forecast(painting(told), small.network(), clock=every(2.0))
    assert found.seconds == pytest.approx(2.0 * (4 * 1.03 + 20 + 1))


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        (SEARCHING, 300 * 1.03 + 20),
        ({**SEARCHING, "first_step": 3}, 300 * 1.03),
        ({"kind": "lbfgs"}, 300),
        ({"kind": "adam"}, 300),
        ({"kind": "sgd"}, 300),
    ],
)
def test_a_step_is_an_evaluation_but_for_line_searches(said: dict[str, Any], wanted: float) -> None:
    settings = change(find("best"), {"optimizer": said}).schedule.optimizer
    assert evaluations(settings, 300) == pytest.approx(wanted)


@pytest.mark.parametrize("name", ["gatys", "blank-canvas"])
def test_recipes_that_search_take_about_as_many_evaluations_as_reckoned(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    evaluate = Target.__call__

    def counted(self: Target, u: Tensor) -> Evaluation:
        seen.append(u)
        return evaluate(self, u)

    monkeypatch.setattr(Target, "__call__", counted)
    task = small.task(name, {"objective.network.pool_edge": "ceil", "steps": 40})
    list(paint(task, small.network()))
    wanted = evaluations(task.recipe.schedule.optimizer, 40)
    assert len(seen) == pytest.approx(wanted, rel=0.25)


def test_of_several_trials_the_quickest_counts() -> None:
    """The machine may have been busy with something else."""
    looks = iter([0.0, 9.0, 9.0, 10.0, 10.0, 15.0])
    found = forecast(painting(AT_ONCE), small.network(), clock=lambda: next(looks))
    assert found.seconds == pytest.approx(4 + 1)


def test_a_large_painting_is_judged_by_a_small_trial() -> None:
    """A trial of 192x165 for 840x720 pixels: 1 s there is so much more here."""
    told = {"size": "840x720", "enlarge": True, "style_size": "21", **AT_ONCE}
    found = forecast(painting(told), small.network(), clock=every(1.0))
    assert found.seconds == pytest.approx((4 + 1) * 840 * 720 / (192 * 165))


def test_a_print_is_judged_by_a_trial_of_its_last_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """The style is looked at in proportion to it, and to the size that the print begins with."""
    tried = []

    def noted(canvas: list[Canvas], network: Vgg19, level: Level) -> Target:
        tried.append(level)
        return Target(canvas, network, level)

    monkeypatch.setattr(module, "Target", noted)
    told = {"size": "840x720", "enlarge": True, "preview": "420x360", "style_size": "21"}
    found = forecast(painting({**told, **AT_ONCE}), small.network(), clock=every(1.0))
    assert [level.size for level in found.levels] == [(420, 360), (840, 720)]
    (trial,) = tried
    assert trial.scale == pytest.approx(192 / 420)


def test_what_cannot_be_painted_is_refused_before_it_is_tried() -> None:
    with pytest.raises(PictureError, match="neither a content nor a style"):
        forecast(painting(content=None, styles=()), small.network())
    with pytest.raises(PictureError, match="leave nothing of a side under 16"):
        forecast(painting({"objective.network.pool_edge": "floor", "size": "12"}), small.network())


def test_in_tiles_maps_are_those_of_a_tile_and_its_halo() -> None:
    """Beside them vectors, what is kept of the content, and what a step works with if more."""
    task = painting({"size": "2100x1800", "enlarge": True, "optimizer.history": 3, **AT_ONCE})
    pixels, objective = 2100 * 1800, task.recipe.objective
    vectors = optimizer_bytes(task.recipe.schedule.optimizer, task.recipe.schedule.steps)
    kept = pixels * (vectors + content_bytes(objective) + 3 * 4)
    maps = (1024 + 160) ** 2 * map_bytes(objective)
    assert maps > pixels * 4 * 12
    assert needed(task, Room(1024), 4) == kept + maps
    assert needed(task, Room(16), 4) == kept + pixels * 4 * 12
    anew = needed(task, Room(1024, keeps_content=False), 4)
    assert anew == kept + maps - pixels * (content_bytes(objective) - 3 * 4)


def test_a_shorter_history_takes_less() -> None:
    task = painting({"optimizer": {"kind": "lbfgs", "history": 20}, "steps": 30, **AT_ONCE})
    less = needed(task, Room(), 4) - needed(task, Room(history=15), 4)
    assert less == 21 * 18 * 2 * 5 * 3 * 4


def test_a_print_remembers_as_many_moves_as_it_makes_steps_at_its_last_size() -> None:
    """Three there, while its preview, of a hundredth of the pixels, makes thirty."""
    told = {"optimizer": {"kind": "lbfgs", "history": 20}, "steps": 30, "upscale_steps": 3,
            "size": "210x180", "enlarge": True, "preview": "21", **AT_ONCE}  # fmt: skip
    task = painting(told)
    settings = task.recipe.schedule.optimizer
    maps = 210 * 180 * map_bytes(task.recipe.objective)
    assert needed(task, Room(), 4) == maps + 210 * 180 * optimizer_bytes(settings, 3)
    many = painting({**told, "upscale_steps": 20})
    assert needed(many, Room(), 4) == maps + 210 * 180 * optimizer_bytes(settings, 20)


def test_halos_and_a_second_look_take_their_time() -> None:
    task = painting({"size": "210x180", "enlarge": True, "style_size": "21", **AT_ONCE})
    whole = forecast(task, small.network(), clock=every(1.0))
    parts = forecast(task, small.network(), clock=every(1.0), room=Room(96))
    assert (whole.tile, parts.tile) == (None, 96)
    assert parts.seconds > 2 * whole.seconds
    anew = forecast(task, small.network(), every(1.0), Room(96, keeps_content=False))
    assert anew.seconds > parts.seconds
