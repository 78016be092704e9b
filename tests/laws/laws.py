"""The laws, each with the plans that it is tried with and its measure.

A measure is `bytes`, or a bound in levels of 0..255 with the reason for it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import reject
from hypothesis import strategies as st
from PIL import Image
from tests.laws import commands
from tests.laws.painting import (
    BrokenLawError,
    backend,
    near,
    picture,
    possible,
    same,
    steps,
)
from tests.laws.plans import (
    RECIPES,
    Plan,
    StylePlan,
    drawn,
    of_recipe,
    plans,
    shape,
    sizes,
    style_plans,
)
from tests.painter import deep
from tests.painter.files import decoded, saved
from tests.painter.tensor_bytes import peak

from stylewatch_painter.errors import PainterError, PictureError
from stylewatch_painter.images.decode import NeededSize
from stylewatch_painter.images.resize import resize
from stylewatch_painter.images.vips import vips
from stylewatch_painter.paint.memory import needed
from stylewatch_painter.paint.memory_plan import MemoryPlan
from stylewatch_painter.scene.task import Task
from stylewatch_painter.size import Size
from stylewatch_painter.stage import Pixels, Stage, Step, Wish
from stylewatch_plugins.testing.tasks import saved_and_loaded


@dataclass(frozen=True)
class Law:
    """A law: its name, what it says with its measure, what is drawn for it, and its check.

    The check raises BrokenLawError.
    """

    name: str
    about: str
    drawn: st.SearchStrategy[Any]
    check: Callable[[Any], None]


def _task(plan: Plan) -> Task:
    """Return the task of a plan; leave the plan out if its settings do not go together."""
    try:
        return plan.task()
    except PainterError:
        reject()


def _shown(made: list[Step]) -> Pixels:
    last = made[-1]
    if not isinstance(last, Stage):
        raise BrokenLawError(f"the last step {last.step} of {last.steps} has no picture")
    return last.picture


# Continued


def continued(plan: Plan, by: Any = None) -> None:
    """Continue after each step: the same pictures and losses as undisturbed."""
    task = _task(plan)
    whole = possible(replace(task, resume=None), by)
    saved = steps(task, by, [Wish.CHECKPOINT] * len(whole))
    same(_shown(saved), _shown(whole), "with checkpoints")
    for at, step in enumerate(saved[:-1], start=1):
        rest = steps(replace(task, resume=saved_and_loaded(step.checkpoint)), by)
        same(_shown(rest), _shown(whole), f"continued after step {at} of {len(whole)}")
        if [each.losses for each in rest] != [each.losses for each in whole[at:]]:
            raise BrokenLawError(f"continued after step {at} of {len(whole)}: other losses")


# Absent


@st.composite
def _with_a_zero(draw: st.DrawFn) -> tuple[Plan, StylePlan, int]:
    plan = draw(plans(prints=draw(st.booleans())))
    zero = replace(draw(style_plans(masked=plan.regions > 0)), weight=0.0)
    tiny = draw(st.sampled_from([zero.size, Size(9, 12), Size(5, 300)]))
    return plan, replace(zero, size=tiny), draw(st.integers(0, len(plan.styles)))


def weightless(drawn: tuple[Plan, StylePlan, int]) -> None:
    """Add a style of weight 0, of any size: as if it were absent."""
    plan, zero, at = drawn
    without = _shown(possible(_task(plan)))
    styles = (*plan.styles[:at], zero, *plan.styles[at:])
    try:
        same(picture(replace(plan, styles=styles).task()), without, "with a style of weight 0")
    except PainterError as error:
        raise BrokenLawError(f"with a style of weight 0: {error}") from error


# Tiles

_TILED = 0.1
"""Sums of tiles are added in another order than those of a whole picture."""


@st.composite
def _in_tiles(draw: st.DrawFn) -> tuple[Plan, int]:
    plan = draw(plans())
    # more steps add up what is rounded; strokes that are broadened take them at two sizes
    few = min(2, dict(plan.changes)["steps"])
    quick = plan.changed(steps=few, upscale_steps=1, scales=())
    return quick, draw(st.sampled_from([16, 32, 48]))


def tiled(drawn: tuple[Plan, int]) -> None:
    """Paint in tiles: as in one piece, but for rounding."""
    plan, tile = drawn
    task = _task(plan)
    whole = possible(task)
    parts = steps(replace(task), backend(tile=tile))
    near(_shown(parts), _shown(whole), _TILED, f"in tiles of {tile}")
    for one, other in zip(parts, whole, strict=True):
        _close(one, other, 1e-3, f"step {one.step} in tiles of {tile}")


def _close(one: Step, other: Step, within: float, what: str) -> None:
    """Raise BrokenLawError if two losses are further apart than this share."""
    a, b = one.losses.total, other.losses.total
    if abs(a - b) > within * max(abs(a), abs(b)):
        raise BrokenLawError(f"{what}: the loss is {a:.6g}, not {b:.6g}")


# Sizes of styles

_RESAMPLED = 6.0
"""At coarse scales a small file is resampled twice, a large one once."""


@st.composite
def _small_styles(draw: st.DrawFn) -> Plan:
    size, plan = draw(sizes()), draw(plans(optimizers=False))
    style = StylePlan(draw(sizes(st.integers(100, 160))), seed=draw(st.integers(1, 5)))
    has_scales = draw(st.booleans())
    changes: dict[str, Any] = {
        "size": str(max(size)), "steps": 3, "enlarge": False, "fit": "within",
        "style_size": "area", "eight_bit": False,
    }  # fmt: skip
    if not has_scales:
        changes["scales"] = ()
    small = shape(style.size, draw(st.integers(24, 40)))
    kept = {key: value for key, value in plan.changes if key in ("objective.network.pool_edge",)}
    return Plan(plan.recipe, size, (replace(style, smaller=small),),
                tuple({**changes, **kept}.items()), seed=plan.seed)  # fmt: skip


def small_style(plan: Plan) -> None:
    """See a style small, as a file, by a rule, by its own size or by percent: one painting."""
    (style,) = plan.styles
    by_file, long = _task(plan), max(style.smaller or (1, 1))
    whole = replace(style, smaller=None)
    assert style.smaller is not None
    share = math.sqrt(math.prod(style.smaller) / math.prod(by_file.first))
    ways = {
        "by the recipe's rule": replace(plan, styles=(whole,)).changed(style_size=str(long)),
        "by its own size": replace(plan, styles=(replace(whole, rule=str(long)),)),
        "by percent": replace(plan, styles=(replace(whole, scale=share),)),
    }
    seen = by_file.style_size(by_file.styles[0])
    expected = _shown(possible(by_file))
    has_scales = len(by_file.levels()) > 1
    for what, way in ways.items():
        task = way.task()
        if task.style_size(task.styles[0]) != seen:
            continue  # rounded to another pixel
        found = _shown(possible(task))
        if not has_scales:
            same(found, expected, f"{what}, at {seen[0]}x{seen[1]}")
        else:
            near(found, expected, _RESAMPLED, f"{what}, at {seen[0]}x{seen[1]}")


# Prints

_PRINTED = 12.0
"""The steps of a print repaint what is finer than its preview; resampled, little of it remains."""


_OVERSHOOTING = ("neural-style", "pastiche")
"""Recipes whose L-BFGS begins with a step of the whole gradient, and needs more to come back."""

_REPLACED = ("objective.style", "objective.layer_match")


@st.composite
def _prints(draw: st.DrawFn) -> tuple[Plan, int, int]:
    # the fixed rate of `keras` is for 400 rows; it diverges at these sizes
    plan = draw(plans(optimizers=False).filter(lambda plan: plan.recipe != "keras"))
    # a loss put in the place of Gram matrices has other weights; steps overshoot and come back
    kept = tuple((key, value) for key, value in plan.changes if key not in _REPLACED)
    # no style is enlarged: one smaller than the preview has much finer strokes in the print
    styles = tuple(
        replace(style, size=Size(*(max(20, side) for side in style.size))) for style in plan.styles
    )
    plan = replace(plan, changes=kept, styles=styles)
    small = draw(st.integers(32, 48))
    # a few steps make no painting of noise, and nothing of noise remains in its print
    start = plan.resolved().schedule.start
    begun = {} if start != "noise" else {"start": "content"}
    return plan.changed(enlarge=True, steps=3, **begun), small, draw(st.integers(2, 3)) * small


def printed(drawn: tuple[Plan, int, int]) -> None:
    """Paint a print: made small again it looks like its preview."""
    plan, small, large = drawn
    steps = 8 if plan.recipe in _OVERSHOOTING else 2
    alike = plan.changed(upscale_steps=steps)  # broad strokes take them at the preview's size, too
    preview = _shown(possible(_task(alike.changed(size=str(small)))))
    large_task = _task(alike.changed(size=str(large), preview=str(small)))
    print_ = resize(_shown(possible(large_task)), Size.of(preview))
    near(print_, preview, _PRINTED, f"a print of {large} pixels at {small}")


# Strength


def _by_strength(plan: Plan, strength: float) -> Plan:
    return plan.changed(strength=strength)


_MIXED = tuple(name for name in RECIPES if name == "best")
"""Recipes in which a strength of 0 is the photograph; in the others it only balances losses."""


@st.composite
def _strong(draw: st.DrawFn) -> Plan:
    plan = of_recipe(draw(plans(optimizers=False, prints=draw(st.booleans()))),
                     draw(st.sampled_from(_MIXED)))  # fmt: skip
    changes = tuple((key, value) for key, value in plan.changes if key != "start")
    return replace(plan, changes=changes)


def _as_written(pixels: Pixels) -> Pixels:
    return np.rint(pixels).clip(0, 255).astype(np.uint8).astype(np.float32)


def powerless(plan: Plan) -> None:
    """Paint with strength 0: the photograph, in its bytes."""
    task = _task(_by_strength(plan, 0.0).changed(start="content"))
    content = task.content
    assert content is not None
    made = _shown(possible(task))
    wanted = resize(content, task.final, task.recipe.schedule.resample)
    same(_as_written(made), _as_written(wanted), "strength 0")


def stronger(plan: Plan) -> None:
    """Paint stronger: further from the photograph, but for the spread of three seeds."""
    seen = []
    for strength in (0.2, 0.5, 0.9):
        away = []
        for seed in range(3):
            task = _task(_by_strength(replace(plan, seed=seed), strength).changed(steps=4))
            content = resize(drawn(plan.content, seed), task.final)
            away.append(float(np.abs(_shown(possible(task)) - content).mean()))
        seen.append(away)
    for weak, strong in pairwise(seen):
        spread = max(weak) - min(weak)
        if np.mean(strong) < np.mean(weak) - spread:
            raise BrokenLawError(f"levels from the photograph by strength: {seen}")


# Weights


@st.composite
def _in_regions(draw: st.DrawFn) -> tuple[Plan, float, float]:
    plan = draw(plans(optimizers=False))
    styles = [*plan.styles, draw(style_plans())][:2]
    # the fixed rate of `keras` is for 400 rows; it diverges at these sizes
    recipe = draw(st.sampled_from([name for name in RECIPES if name != "keras"]))
    plan = of_recipe(plan, recipe)
    weights = st.sampled_from([1.0, 1e14, 1e-30, 1e-50, 1e50])
    # not from the mean color of the styles, which is weighted
    plan = replace(plan, styles=tuple(styles), regions=2).changed(start="content")
    return plan, draw(weights), draw(weights)


def relative(drawn: tuple[Plan, float, float]) -> None:
    """Weigh styles that have a region each: as if they had one weight."""
    plan, *weights = drawn
    task = _task(plan)

    def weighed(weights: Sequence[float]) -> Task:
        whole = task.content_mask
        assert whole is not None
        own = []
        for region, (style, weight) in enumerate(zip(task.styles, weights, strict=True)):
            mask = np.zeros((1, 1, whole.shape[2]), np.float32)
            mask[..., region] = 1
            own.append(replace(style, weight=weight, mask=mask))
        return replace(task, styles=tuple(own))

    wanted = possible(weighed([1.0, 1.0]))
    try:
        made = steps(weighed(weights))
    except PainterError as error:
        raise BrokenLawError(f"weights {weights}: {error}") from error
    near(_shown(made), _shown(wanted), _TILED, f"weights {weights}")


# Backends

_OTHER_LIBRARY = 1.0
"""Two libraries round convolutions in different ways, and optimizers add that up."""


@st.composite
def _two_backends(draw: st.DrawFn) -> Plan:
    plan = draw(plans(optimizers=False))
    # steps of some levels in the direction of the gradient, however large a recipe's gradient is
    optimizer = {"kind": "lbfgs", "first_step": 3}
    return plan.changed(steps=2, optimizer=optimizer, carry_moments=False, scales=(),
                        ema_decay=0.0)  # fmt: skip


def two_backends(plan: Plan) -> None:
    """Paint by torch and by ONNX Runtime: the same picture but for rounding."""
    task = _task(plan)
    by_torch = possible(task)
    by_onnx = possible(replace(task), backend("onnx"))
    near(_shown(by_onnx), _shown(by_torch), _OTHER_LIBRARY, "by ONNX Runtime")
    _close(by_onnx[0], by_torch[0], 5e-3, "the first step by ONNX Runtime")


# Costs


def within_plan(drawn: tuple[Plan, int]) -> None:
    """Paint: no more memory than planned, and the sizes and steps of the forecast."""
    plan, tile = drawn
    task = _task(plan)
    by: Any = backend(tile=tile)
    possible(task, by)  # the network keeps what its first evaluations allocate
    planned = needed(task, by._network(task), MemoryPlan(tile))
    forecast = by.estimate(task)
    with peak() as used:
        made = steps(task, by)
    if used.peak > planned:
        raise BrokenLawError(f"{used.peak:,} bytes were used, and {planned:,} planned")
    sizes = [size for size, count in zip(forecast.sizes, forecast.steps, strict=True)
             for _ in range(count)]  # fmt: skip
    if sizes != [step.size for step in made]:
        raise BrokenLawError(f"the forecast has sizes {sizes}, not {[s.size for s in made]}")


# Transparency


def _by_libvips(most: float, dtype: type) -> Callable[[Pixels], bytes]:
    def make(values: Pixels) -> bytes:
        scaled: Any = (values.astype(np.float64) * most).astype(dtype)
        image = vips().Image.new_from_array(scaled, interpretation="srgb")
        return bytes(image.tiffsave_buffer())

    return make


def _in_16_bits(*chunks: tuple[bytes, bytes]) -> Callable[[Pixels], bytes]:
    return lambda values: deep.png((values * 65535).astype(np.uint16), *chunks)


_TRANSPARENT: dict[str, Callable[[Pixels], bytes]] = {
    "8 bits": lambda values: saved(Image.fromarray((values * 255).astype(np.uint8)), "PNG"),
    "16 bits": _in_16_bits(),
    "PQ": _in_16_bits((b"cICP", bytes((9, 16, 0, 1)))),
    "HLG": _in_16_bits((b"cICP", bytes((9, 18, 0, 1)))),
    "floats": _by_libvips(1, np.float32),
    "floats up to 200": _by_libvips(200, np.float32),
    "32 bits": _by_libvips(2**32 - 1, np.uint32),
}
"""Functions that make a file of values (height, width, 4) in 0..1, by their names."""

_BEYOND: dict[str, float] = {"white": 1, "light": 300, "no number": math.nan}
"""Values that alpha can hide, by name: colors up to white and, in floats, brighter ones or NaN."""


@st.composite
def _hiding(draw: st.DrawFn) -> tuple[str, str, Size, int, bool]:
    name = draw(st.sampled_from(sorted(_TRANSPARENT)))
    beyond = draw(st.sampled_from(sorted(_BEYOND))) if "floats" in name else "white"
    return name, beyond, draw(sizes()), draw(st.integers(0, 9)), draw(st.booleans())


def hidden(drawn: tuple[str, str, Size, int, bool]) -> None:
    """Read a picture with other colors where it is transparent: the same picture."""
    name, beyond, size, seed, is_reduced = drawn
    random = np.random.default_rng(seed)
    values = np.zeros((*size.shape, 4), np.float32)
    values[..., :3] = random.random((*size.shape, 3)) * random.choice([0.0, 0.58, 1.0])
    values[..., 3] = random.choice([0.0, 0.5, 1.0], size.shape, p=[0.99, 0.005, 0.005])
    values[0, 0, 3] = 1
    other = values.copy()
    is_hidden = values[..., 3] == 0
    other[is_hidden, :3] = random.random((is_hidden.sum(), 3)) * _BEYOND[beyond]
    needed = NeededSize(Size(8, 8), above=1) if is_reduced else None
    make = _TRANSPARENT[name]
    try:
        one, two = (decoded(make(each), needed) for each in (values, other))
    except PictureError as error:
        raise BrokenLawError(f"{name}, {beyond} hidden: {error}") from error
    what = f"{name}, with {beyond} hidden"
    same(two.pixels, one.pixels, what)
    if (two.converted, two.warnings) != (one.converted, one.warnings):
        raise BrokenLawError(f"{what}: {two.converted}, {two.warnings}, not {one.converted}, "
                             f"{one.warnings}")  # fmt: skip


LAWS = (
    Law("continued", "continued after each step is undisturbed: bytes",
        st.builds(Plan.changed, plans(prints=True)) | plans(), continued),
    Law("weightless", "a style of weight 0 is absent: bytes", _with_a_zero(), weightless),
    Law("tiled", f"tiles are the whole: {_TILED:g} levels in the mean", _in_tiles(), tiled),
    Law("small-style", "a style small as a file, by a rule, by its size, by percent: bytes; with "
        f"scales {_RESAMPLED:g} levels", _small_styles(), small_style),
    Law("printed", f"a print looks like its preview: {_PRINTED:g} levels", _prints(), printed),
    Law("powerless", "strength 0 is the photograph: bytes", _strong(), powerless),
    Law("stronger", "distances from the photograph rise with strength, within the spread of three "
        "seeds", _strong(), stronger),
    Law("relative", f"the weight of a style alone in its region is 1: {_TILED:g} levels",
        _in_regions(), relative),
    Law("two-backends", f"torch is onnx: {_OTHER_LIBRARY:g} level", _two_backends(), two_backends),
    Law("within-plan", "memory is within the plan, sizes and steps are the forecast's",
        _in_tiles(), within_plan),
    Law("first-frame", "a still is the first frame of its clip: bytes", commands.plans_of_clips(),
        commands.first_frame),
    Law("later-frames", "each frame of a clip has losses of the styles if its first has",
        commands.plans_of_clips(), commands.later_frames),
    Law("slow-change", "a film that slowly becomes another picture is painted like that at its end:"
        f" {commands.LEFT:g} of their difference", commands.plans_of_dissolves(),
        commands.slow_change),
    Law("quick-pan", "what a pan reveals is painted as in a still: means within "
        f"{commands.AWAY:g} levels, {commands.FLATTER:g} of the spread", commands.quick_pans(),
        commands.quick_pan),
    Law("steady", "a film that stays the same but for grain and a lamp is one scene",
        commands.plans_of_stays(), commands.steady),
    Law("even-film", f"grain moves an even picture by {commands.RESTLESS:g} levels a frame more",
        commands.plans_of_even_films(), commands.even_film),
    Law("still-film", "a film of one picture keeps the strength of its colors within "
        f"{commands.FADED:g} of it", commands.plans_of_stills(), commands.still_film),
    Law("powerless-clip", "strength 0 is the clip: bytes", commands.powerless_clips(),
        commands.powerless_clip),
    Law("said", "sizes that are not painted and styles that do not act are said, and the first "
        "size has the initial steps", commands.plans_with_narrow_styles(), commands.said),
    Law("repeated", "`--from` repeats: bytes", commands.plans_of_renders(), commands.repeated),
    Law("lossless", "the same pixels in any lossless format: bytes", commands.plans_of_renders(),
        commands.lossless),
    Law("hidden", "what alpha hides does not count: bytes", _hiding(), hidden),
)  # fmt: skip
"""All laws."""
