"""What is still to come of a recipe for a picture that has some of its steps behind it."""

from collections.abc import Iterator, Sequence

from stylewatch_daemon.errors import SettingsError
from stylewatch_painter.algorithm.scales import Level
from stylewatch_painter.algorithm.task import Task, size_of
from stylewatch_painter.recipes import book
from stylewatch_painter.recipes.recipe import Recipe


def onward(recipe: Recipe, levels: Sequence[Level], step: int) -> Recipe:
    """`recipe`, which passes through `levels`, without its first `step` steps.

    Raises SettingsError where it starts from no picture, or where no step is left.
    """
    if recipe.schedule.start != "picture":
        raise SettingsError(
            f"from_step: {step} is for a picture that has these steps behind it: drop it as "
            "init.png, or leave from_step out"
        )
    whole = sum(level.steps for level in levels)
    if step >= whole:
        raise SettingsError(
            f"from_step: {step} leaves nothing to do, there are {whole} steps: ask for more steps"
        )
    return book.change(recipe, {"done": step})


def coarse(task: Task, step: int) -> Iterator[str]:
    """A sentence where `task` goes on after `step` steps from a picture that was made smaller."""
    if not step or task.init is None:
        return
    had, wanted = size_of(task.init), task.levels()[0].size
    if had[0] < wanted[0] or had[1] < wanted[1]:
        yield (
            f"it goes on from a stage of {had[0]}x{had[1]} pixels, enlarged to "
            f"{wanted[0]}x{wanted[1]}: stages.size made it smaller"
        )
