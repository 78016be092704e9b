"""What is still to come of a recipe for a picture that has some of its steps behind it."""

from collections.abc import Sequence

from stylewatch_daemon.errors import SettingsError
from stylewatch_painter import recipe_book
from stylewatch_painter.pyramid import Level
from stylewatch_painter.recipe import Recipe


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
    return recipe_book.change(recipe, {"done": step})
