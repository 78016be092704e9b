"""What a painting is held to; the numbers themselves are those of test_target."""

from dataclasses import replace

import torch
from tests.painter import small

from stylewatch_painter.algorithm.caches import Looks
from stylewatch_painter.algorithm.canvas import Canvas
from stylewatch_painter.algorithm.losses import gram, maps, sums
from stylewatch_painter.algorithm.scales import Level
from stylewatch_painter.algorithm.targets import Held, held_to
from stylewatch_painter.algorithm.task import Task
from stylewatch_painter.recipes.book import change


def held(task: Task, level: Level | None = None) -> Held:
    network = small.network()
    canvas = Canvas(task, network.mean, network.device)
    return held_to(canvas, network, level or canvas.levels()[-1], Looks())


def test_it_is_the_contents_features_and_the_styles_grams() -> None:
    task = small.task("best", styles=2)
    found = held(task)
    (kept,) = found.contents.kept.values()
    assert {layer: maps.ndim for layer, maps in kept.items()} == {"conv4_2": 3}
    shares = {name: share for name, share, _ in found.styles}
    assert shares == {"style-1": 0.25, "style-2": 0.75}
    for _, _, grams in found.styles:
        assert list(grams) == ["conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1"]
        assert all(one.ndim == 3 and torch.equal(one, one.mT) for one in grams.values())


def test_blended_styles_are_one_that_lies_between() -> None:
    task = small.task("neural-style", styles=2)
    ((name, share, blend),) = held(task).styles
    apart = [held(Task(task.recipe, task.content, (style,))).styles[0][2] for style in task.styles]
    assert (name, share) == ("blend", 1)
    for layer, one in blend.items():
        torch.testing.assert_close(one, 0.25 * apart[0][layer] + 0.75 * apart[1][layer])


def test_without_pictures_there_is_nothing_to_hold_to() -> None:
    task = small.task("best")
    assert held(Task(task.recipe, None, task.styles)).contents.wholes == {}
    assert held(Task(task.recipe, task.content, ())).styles == ()


def test_a_style_of_another_size_asks_for_no_other_brightness() -> None:
    """Sums over positions are brought to as many as the painting has."""
    task = small.task("devos", {"style_size": "area"})
    (style,) = task.styles
    small_one = replace(task, styles=(replace(style, size="16", digest=None),))
    ((_, _, found),) = held(small_one).styles
    network = small.network()
    canvas = Canvas(small_one, network.mean, network.device)
    wanted = small_one.recipe.objective.style
    assert wanted is not None
    seen = canvas.style(small_one.styles[0], canvas.levels()[-1])
    seen_at = maps(network(seen, ["conv1_1"], small_one.recipe.objective.network)["conv1_1"])
    plain = gram(sums(seen_at), wanted)
    width, height = small_one.style_size(small_one.styles[0])
    ratio = width * height / (task.final[0] * task.final[1])
    torch.testing.assert_close(found["conv1_1"], plain / ratio)


def test_where_a_style_has_no_grain_for_a_print_shallow_layers_see_it_as_it_is() -> None:
    """And deep ones enlarged: a style of the first size, and a print three times as large."""
    task = small.task("best")
    size = (3 * small.WIDTH, 3 * small.HEIGHT)
    found, as_it_is, enlarged = (
        held(one, Level(size, scale, 1)).styles[0][2]
        for one, scale in ((task, 3.0), (task, 1.0), (_enlarged(task), 1.0))
    )
    for layer, seen in found.items():
        shallow = layer in ("conv1_1", "conv2_1", "conv3_1")
        assert torch.equal(seen, as_it_is[layer] if shallow else enlarged[layer])


def test_a_gram_that_grows_with_the_picture_is_as_large_as_of_one_enlarged() -> None:
    task = small.task("gatys")
    size = (3 * small.WIDTH, 3 * small.HEIGHT)
    found, as_it_is = (held(task, Level(size, k, 1)).styles[0][2] for k in (3.0, 1.0))
    torch.testing.assert_close(found["conv1_1"], 9 * as_it_is["conv1_1"])


def _enlarged(task: Task) -> Task:
    """A painting of three times the size: its style is stretched to it."""
    wanted = {"size": f"{3 * small.WIDTH}x{3 * small.HEIGHT}", "fit": "stretch", "enlarge": True}
    return Task(change(task.recipe, wanted), task.content, task.styles)
