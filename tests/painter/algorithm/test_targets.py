"""What a painting is held to; the numbers themselves are those of test_target."""

from dataclasses import replace

import torch
from tests.painter import small

from stylewatch_painter.algorithm.caches import StyleCache
from stylewatch_painter.algorithm.canvas import Canvas
from stylewatch_painter.algorithm.losses import feature_sums, gram
from stylewatch_painter.algorithm.scales import Level
from stylewatch_painter.algorithm.targets import StyleTarget, Targets
from stylewatch_painter.algorithm.task import Task
from stylewatch_painter.recipes.book import change


def styles(task: Task, level: Level | None = None) -> tuple[StyleTarget, ...]:
    network = small.network()
    canvas = Canvas(task, network.mean, network.device)
    return Targets(canvas, network, level or canvas.levels()[-1], StyleCache()).styles()


def test_blended_styles_are_one_that_lies_between() -> None:
    task = small.task("neural-style", styles=2)
    (blended,) = styles(task)
    name, share, blend = blended.name, blended.share, blended.grams
    apart = [styles(Task(task.recipe, task.content, (style,)))[0].grams for style in task.styles]
    assert (name, share) == ("blend", 1)
    for layer, one in blend.items():
        torch.testing.assert_close(one, 0.25 * apart[0][layer] + 0.75 * apart[1][layer])


def test_a_style_of_another_size_asks_for_no_other_brightness() -> None:
    """Sums over positions are brought to as many as the painting has."""
    task = small.task("devos", {"style_size": "area"})
    (style,) = task.styles
    small_one = replace(task, styles=(replace(style, size="16", digest=None),))
    found = styles(small_one)[0].grams
    network = small.network()
    canvas = Canvas(small_one, network.mean, network.device)
    wanted = small_one.recipe.objective.style
    assert wanted is not None
    seen = canvas.style(small_one.styles[0], canvas.levels()[-1])
    seen_at = network(seen, ["conv1_1"], small_one.recipe.objective.network)["conv1_1"].flatten(2)
    plain = gram(feature_sums(seen_at), wanted)
    width, height = small_one.style_size(small_one.styles[0])
    ratio = width * height / (task.final[0] * task.final[1])
    torch.testing.assert_close(found["conv1_1"], plain / ratio)


def test_where_a_style_has_no_grain_for_a_print_shallow_layers_see_it_as_it_is() -> None:
    """And deep ones enlarged: a style of the first size, and a print three times as large."""
    task = small.task("best")
    size = (3 * small.WIDTH, 3 * small.HEIGHT)
    found, as_it_is, enlarged = (
        styles(one, Level(size, scale, 1))[0].grams
        for one, scale in ((task, 3.0), (task, 1.0), (_enlarged(task), 1.0))
    )
    for layer, seen in found.items():
        shallow = layer in ("conv1_1", "conv2_1", "conv3_1")
        assert torch.equal(seen, as_it_is[layer] if shallow else enlarged[layer])


def _enlarged(task: Task) -> Task:
    """A painting of three times the size: its style is stretched to it."""
    wanted = {"size": f"{3 * small.WIDTH}x{3 * small.HEIGHT}", "fit": "stretch", "enlarge": True}
    return Task(change(task.recipe, wanted), task.content, task.styles)
