"""Laws of the command `stylewatch render`."""

import csv
import json
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import replace
from fractions import Fraction
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import reject
from hypothesis import strategies as st
from PIL import Image
from tests.laws.painting import BrokenLawError, same
from tests.laws.plans import Plan, StylePlan, drawn, of_recipe, plans

from stylewatch_daemon.cli.main import call
from stylewatch_painter.errors import PictureError
from stylewatch_painter.images import read_clip, write_clip
from stylewatch_painter.images.clip import ClipLimits
from stylewatch_painter.size import Size
from stylewatch_painter.stage import Pixels

LIMITS = ClipLimits(1_000_000, 100)

_EXACT = ("--set", "backends.torch.precision=fp32", "--set", "backends.torch.threads=1", "-q")

_LOSSLESS: dict[str, dict[str, Any]] = {
    "png": {}, "tif": {"compression": "tiff_lzw"}, "webp": {"lossless": True}, "bmp": {}, "ppm": {},
}  # fmt: skip


def _save(pixels: Pixels, path: Path, **options: Any) -> Path:
    Image.fromarray(pixels.astype(np.uint8)).save(path, **options)
    return path


def _render(*words: object) -> None:
    """Run the command; leave the plan out if its pictures and settings do not go together."""
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = call(["render", *map(str, words), *_EXACT])
    if code == PictureError.exit_code:
        reject()
    if code:
        raise BrokenLawError(f"render ends with {code}: {err.getvalue()[-500:]}")


def _shown(path: Path) -> Pixels:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(np.float32)


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="laws-") as name:
        yield Path(name)


def _words(plan: Plan, folder: Path) -> list[object]:
    """Return the words of a plan but for its content and its output."""
    words: list[object] = ["--recipe", plan.recipe, "--seed", plan.seed]
    for number, style in enumerate(plan.styles, start=1):
        words.append(_save(drawn(style.size, style.seed), folder / f"style{number}.png"))
    for key, value in plan.settings.items():
        match key:
            case "size" | "strength" | "stroke" | "preview":
                words += [f"--{key}", value]
            case "enlarge":
                words += ["--enlarge" if value else "--no-enlarge"]
            case _:
                words += ["--set", f"{key}={_yaml(value)}"]
    rules = [style.rule or f"{100 * style.scale:g}%" for style in plan.styles]
    weights = [style.weight for style in plan.styles]
    words += ["--set", f"style_size={_yaml(rules)}", "--set", f"style_weights={_yaml(weights)}"]
    if plan.regions:
        width, height = plan.content
        mask = np.zeros((height, width, 3), np.float32)
        mask[:, : max(1, width // 2)] = 255
        words += ["--mask", _save(mask, folder / "mask.png")]
    return words


def _yaml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_yaml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_yaml, value)) + "]"
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


@st.composite
def plans_of_renders(draw: st.DrawFn) -> Plan:
    """Draw a painting that the command can be asked for."""
    plan = draw(plans(optimizers=False))
    # a style has a rule of its own, or a share of the recipe's
    styles = (replace(style, masked=False, scale=1.0 if style.rule else style.scale)
              for style in plan.styles)  # fmt: skip
    color = draw(st.sampled_from(["style", "style", "content", "luminance", "match"]))
    return replace(plan, styles=tuple(styles), regions=min(1, plan.regions)).changed(color=color)


@st.composite
def plans_of_clips(draw: st.DrawFn) -> Plan:
    """Draw a painting with even sides, in its own size, larger or smaller."""
    plan = draw(plans_of_renders())
    width, height = draw(st.integers(16, 40)), draw(st.integers(16, 40))
    factor = draw(st.sampled_from([1, 2, 3]))
    long = 2 * max(width, height)
    content = Size(2 * width * factor, 2 * height * factor)
    changes = {**dict(plan.changes), "size": str(long), "start": "content"}
    return replace(plan, content=content, changes=tuple(changes.items()))


def first_frame(plan: Plan) -> None:
    """Paint a photograph, and a clip that begins with it: the same picture."""
    with _folder() as folder:
        content = drawn(plan.content, plan.seed)
        words = _words(plan, folder)
        photograph = _save(content, folder / "photograph.png")
        film = _film([content], folder)
        still, clip = folder / "still.png", folder / "clip.mkv"
        _render(photograph, *words, "-o", still)
        wanted = _shown(still)
        if any(side % 2 for side in wanted.shape[:2]):
            reject()  # a clip is a pixel larger or smaller
        _render(film, *words, "-o", clip)
        frame = next(read_clip.frames(clip, LIMITS)).pixels.astype(np.float32)
        same(frame, wanted, "the first frame of a clip")


def _film(frames: Sequence[Pixels], folder: Path) -> Path:
    """Write a film without a loss."""
    segment, film = folder / "segment.mkv", folder / "film.mkv"
    for _ in write_clip.write_segment(
        segment, [each.astype(np.uint8) for each in frames], "mkv", 100
    ):
        pass
    write_clip.join(film, [segment], [Fraction(time) for time in range(len(frames) + 1)], "mkv")
    return film


_FRAMES = 3


def _pan(plan: Plan) -> list[Pixels]:
    """Return frames that move over a picture, slowly enough for one to show what the next does."""
    width, height = plan.content
    picture = drawn(Size(width + 2 * _FRAMES, height), plan.seed)
    return [picture[:, 2 * number : 2 * number + width] for number in range(_FRAMES)]


def _read(clip: Path) -> list[Pixels]:
    return [frame.pixels.astype(np.float32) for frame in read_clip.frames(clip, LIMITS)]


def later_frames(plan: Plan) -> None:
    """Paint a clip: each of its frames has losses of the styles if the first one has."""
    with _folder() as folder:
        words = _words(plan, folder)
        _render(_film(_pan(plan), folder), *words, "-o", f"{folder}/clip/")
        with (folder / "clip" / "losses.csv").open(encoding="utf-8") as file:
            frames = list(csv.DictReader(file))
        of_styles = [{key.partition(".")[0] for key, value in frame.items()
                      if key.startswith("style") and value} for frame in frames]  # fmt: skip
        for number, names in enumerate(of_styles, start=1):
            if bool(names) != bool(of_styles[0]):
                raise BrokenLawError(f"frame {number} has losses of {names}, the first of "
                                     f"{of_styles[0]}")  # fmt: skip


_STILL = 4
"""Number of frames that a picture stays after a film has become it."""

LEFT = 0.4
"""Share of the first picture, painted, that may be left in the last one: a pixel has the colors of
an earlier painting until those of the film have changed by a tenth of their range."""


@st.composite
def plans_of_dissolves(draw: st.DrawFn) -> tuple[Plan, int, float | None]:
    """Draw a film for `slow_change`: in how many frames it becomes a picture, and from which level.

    Without a level it begins with another picture. With one, its style is not matched to its
    colors, as it would be matched to those of a typical frame, which may be dark.
    """
    plan = draw(plans_of_clips())
    level = draw(st.sampled_from([None, None, 0.0, 255.0]))
    color = draw(st.sampled_from(["style", "content", *["match"] * (level is None)]))
    return plan.changed(strength=1.0, color=color), draw(st.integers(2, 20)), level


def slow_change(film: tuple[Plan, int, float | None]) -> None:
    """Paint a film that slowly becomes another picture: its end is painted like that one."""
    plan, number, level = film
    one, other = drawn(plan.content, plan.seed), drawn(plan.content, plan.seed + 1)
    if level is not None:
        one = np.full_like(one, level)
    shares = [min(1.0, frame / number) for frame in range(number + _STILL)]
    frames = [np.rint((1 - share) * one + share * other) for share in shares]
    with _folder() as folder:
        words = _words(plan, folder)
        _render(_film(frames, folder), *words, "-o", folder / "clip.mkv")
        stills = []
        for picture in (one, other):
            _render(_film([picture], folder), *words, "-o", folder / "still.mkv", "--force")
            stills += _read(folder / "still.mkv")
        left = np.abs(_read(folder / "clip.mkv")[-1] - stills[1]).mean()
        whole = np.abs(stills[0] - stills[1]).mean()
        if left > LEFT * whole:
            raise BrokenLawError(f"after a change in {number} frames {left / whole:.2f} is left")


_VIEWS = 6
"""Number of frames of a quick pan."""

AWAY = 14.0
"""Levels by which the mean of what a pan reveals may be away from that of the same part of a still:
it is fitted to what the frames before show, and their strokes lie elsewhere."""

FLATTER = 0.6
"""Share of the spread of a still that what a pan reveals has at least."""


@st.composite
def quick_pans(draw: st.DrawFn) -> tuple[Plan, int, bool]:
    """Draw a pan by `best`, its pixels a frame, and if a mask of two colors holds for it.

    A strip a frame comes into view, or from one region into the other; it is so wide that it is
    painted at smaller sizes first.
    """
    width = draw(st.sampled_from([80, 96]))
    style = StylePlan(Size(60, 50), seed=draw(st.integers(1, 5)))
    plan = Plan("best", Size(width, 48), (style,), seed=draw(st.integers(0, 99)))
    plan = plan.changed(size=str(width), steps=4, start="content", strength=1.0)
    return plan, draw(st.sampled_from([4, 6, 8])), draw(st.booleans())


def quick_pan(film: tuple[Plan, int, bool]) -> None:
    """Paint a quick pan: what came into view is as light and as rich as in a still."""
    plan, step, is_masked = film
    width, height = plan.content
    seen = step * (_VIEWS - 1)
    picture = drawn(Size(width + seen, height), plan.seed)
    frames = [picture[:, step * number :][:, :width] for number in range(_VIEWS)]
    parts = {"at the side": slice(width - seen, width)}
    with _folder() as folder:
        words = _words(plan, folder)
        if is_masked:
            middle = width // 2
            parts["in the other region"] = slice(max(0, middle - seen), middle)
            mask = np.zeros((height, width, 3), np.float32)
            mask[:, :middle, 0] = mask[:, middle:, 2] = 255
            words += ["--mask", _save(mask, folder / "mask.png")]
        _render(_film(frames[-1:], folder), *words, "-o", folder / "still.mkv")
        (still,) = _read(folder / "still.mkv")
        _render(_film(frames, folder), *words, "-o", folder / "clip.mkv")
        last = _read(folder / "clip.mkv")[-1]
    for where, columns in parts.items():
        away = float(last[:, columns].mean() - still[:, columns].mean())
        spread = float(last[:, columns].std() / still[:, columns].std())
        if abs(away) > AWAY or spread < FLATTER:
            raise BrokenLawError(f"what came into view {where} is {away:.0f} levels lighter than "
                                 f"in a still, its spread is {spread:.2f} of that")  # fmt: skip


_LONG = 20
"""Number of frames of a film that stays the same."""


@st.composite
def plans_of_stays(draw: st.DrawFn) -> tuple[Plan, float, int, float]:
    """Draw a film for `steady`: its grain, the size of the grain, and how its light pulses."""
    plan = draw(plans_of_clips()).changed(strength=draw(st.sampled_from([0.2, 1.0])))
    grain, size = draw(st.sampled_from([(0.0, 1), (12.0, 1), (20.0, 2)]))
    return plan, grain, size, draw(st.sampled_from([0.0, 0.15]))


def steady(film: tuple[Plan, float, int, float]) -> None:
    """Paint a film that stays the same but for grain and a lamp: it stays one scene."""
    plan, grain, size, light = film
    width, height = plan.content
    draw = np.random.default_rng(plan.seed)
    frames = []
    for number in range(_LONG):
        coarse = draw.normal(0, grain, (-(-height // size), -(-width // size), 1))
        fine = coarse.repeat(size, axis=0).repeat(size, axis=1)[:height, :width]
        gain = 1 + light * np.sin(2 * np.pi * number / 9.3)
        scene = 80 + drawn(plan.content, plan.seed) / 2
        frames.append(np.rint(np.clip(gain * scene + fine, 0, 255)))
    with _folder() as folder:
        _render(_film(frames, folder), *_words(plan, folder), "-o", f"{folder}/clip/")
        receipt = json.loads((folder / "clip" / "receipt.json").read_text("utf-8"))
    scenes = [scene["first"] for scene in receipt["clip"]["scenes"]]
    if scenes != [0]:
        raise BrokenLawError(f"scenes begin with the frames {scenes}")


_EVEN_FRAMES = 8
"""Number of frames of a film of an even picture."""

RESTLESS = 3.0
"""Levels by which grain may add to the mean change between two painted frames of an even picture:
a painting begins at what differs, which in an even picture is its grain."""


@st.composite
def plans_of_even_films(draw: st.DrawFn) -> tuple[Plan, str, float]:
    """Draw a film for `even_film`: what it shows, and its grain.

    Recipes that follow a source may begin each frame with a long step, whatever the flow is.
    """
    plan = of_recipe(draw(plans_of_clips()), draw(st.sampled_from(["best", "gram"])))
    plan = plan.changed(strength=draw(st.sampled_from([0.2, 1.0])))
    return plan, draw(st.sampled_from(["sky", "wall", "night"])), draw(st.sampled_from([0.5, 1, 2]))


def even_film(film: tuple[Plan, str, float]) -> None:
    """Paint a film of an even picture with grain: it is about as calm as without grain."""
    plan, shows, grain = film
    width, height = plan.content
    top, bottom = {
        "sky": ((90, 130, 200), (130, 180, 230)),
        "wall": ((120, 110, 100), (120, 110, 100)),
        "night": ((8, 10, 20), (12, 14, 26)),
    }[shows]
    bands = np.linspace(top, bottom, height, dtype=np.float32)
    picture = np.repeat(bands[:, None], width, axis=1)
    draw = np.random.default_rng(plan.seed)
    films = [
        [np.rint(picture + each * draw.normal(0, 1, picture.shape)).clip(0, 255)
         for _ in range(_EVEN_FRAMES)]
        for each in (0, grain)
    ]  # fmt: skip
    with _folder() as folder:
        words, changes = _words(plan, folder), []
        for frames in films:
            _render(_film(frames, folder), *words, "-o", folder / "clip.mkv", "--force")
            painted = _read(folder / "clip.mkv")
            changes.append(max(np.abs(b - a).mean() for a, b in pairwise(painted)))
    calm, restless = changes
    if restless > calm + RESTLESS:
        raise BrokenLawError(f"frames differ by {restless:.1f} levels, without grain {calm:.1f}")


FADED = 0.25
"""Share by which the mean strength of colors may change over a film of one picture."""


@st.composite
def plans_of_stills(draw: st.DrawFn) -> tuple[Plan, bool]:
    """Draw a film of one picture for `still_film`, and if its style is a drawing in one ink."""
    plan, is_ink = draw(plans_of_clips()), draw(st.booleans())
    plan = of_recipe(plan, "best") if is_ink else plan
    return plan.changed(strength=draw(st.sampled_from([0.2, 0.35, 1.0])), color="style"), is_ink


def still_film(film: tuple[Plan, bool]) -> None:
    """Paint a film of one picture: its last frame is as colored as its first."""
    plan, is_ink = film
    with _folder() as folder:
        words = _words(plan, folder)
        for path in folder.glob("style*.png") if is_ink else ():
            _save(_shown(path).mean(-1, keepdims=True).repeat(3, axis=-1), path)
        frames = [drawn(plan.content, plan.seed)] * _LONG
        _render(_film(frames, folder), *words, "-o", folder / "clip.mkv")
        first, *_, last = (float(np.abs(frame - frame.mean(-1, keepdims=True)).mean())
                           for frame in _read(folder / "clip.mkv"))  # fmt: skip
    if abs(last - first) > max(1, FADED * first):
        raise BrokenLawError(f"colors have {first:.1f} levels at first, {last:.1f} at last")


def powerless_clip(plan: Plan) -> None:
    """Paint a clip in its own size with strength 0: the clip, in its bytes."""
    with _folder() as folder:
        words, frames = _words(plan, folder), _pan(plan)
        _render(_film(frames, folder), *words, "-o", folder / "clip.mkv")
        for number, (made, frame) in enumerate(
            zip(_read(folder / "clip.mkv"), frames, strict=True), start=1
        ):
            same(made, frame, f"strength 0, frame {number}")


@st.composite
def powerless_clips(draw: st.DrawFn) -> Plan:
    """Draw a clip for `powerless_clip`."""
    plan = draw(plans_of_clips())
    width, height = (2 * draw(st.integers(16, 40)) for _ in range(2))
    changes = {"size": f"{width}x{height}", "fit": "stretch", "strength": 0.0, "color": "style"}
    plan = replace(of_recipe(plan, "best"), content=Size(width, height), regions=0)
    return plan.changed(**changes)


# What is not painted


def said(plan: Plan) -> None:
    """Paint with styles of any size: the sizes and styles that are left out are said.

    The first size has the initial steps, whichever it is.
    """
    with _folder() as folder:
        photograph = _save(drawn(plan.content, plan.seed), folder / "photograph.png")
        _render(photograph, *_words(plan, folder), "-o", f"{folder}/made/")
        told = " ".join(
            json.loads((folder / "made" / "receipt.json").read_text("utf-8"))["warnings"]
        )
        with (folder / "made" / "losses.csv").open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    painted = Counter(Size(int(row["width"]), int(row["height"])) for row in rows)
    for level in _with_large_styles(plan).task().levels():
        if level.size not in painted and str(level.size) not in told:
            raise BrokenLawError(f"{level.size} is not painted, and the warnings are {told!r}")
    first, steps = next(iter(painted.items()))
    wanted = plan.settings["initial_steps"]
    if wanted and len(painted) > 1 and steps != wanted:
        raise BrokenLawError(f"the first size {first} has {steps} steps, not the {wanted} initial")
    for row in rows:
        _check_columns(plan, row, told)


def _with_large_styles(plan: Plan) -> Plan:
    large = (replace(style, size=Size(400, 400), rule="area", scale=1.0) for style in plan.styles)
    return replace(plan, styles=tuple(large))


def _check_columns(plan: Plan, row: Mapping[str, str], told: str) -> None:
    """Raise BrokenLawError if a style has losses by another name, or has none without a word."""
    seen = {key.partition(".")[0] for key, value in row.items() if "." in key and value}
    seen.discard("content")
    style = plan.resolved().objective.fine.losses.get("style")
    if getattr(style, "several", None) == "grams" and len(plan.styles) > 1:
        return  # they are blended, and have the name of one
    numbers = range(1, len(plan.styles) + 1)
    known = {"style"} if len(plan.styles) == 1 else {f"style-{number}" for number in numbers}
    if not seen <= known:
        raise BrokenLawError(f"step {row['step']} has losses of {seen}, not of {known}")
    for missing in sorted(known - seen if seen & known and len(known) > 1 else ()):
        file = missing.replace("-", "") + ".png"
        if file not in told:
            raise BrokenLawError(f"step {row['step']} has no {missing}, the warnings are {told!r}")


@st.composite
def plans_with_narrow_styles(draw: st.DrawFn) -> Plan:
    """Draw a painting with styles that are too small for some sizes."""
    plan = draw(plans_of_renders())
    narrow = st.integers(16, 40)
    styles = (
        replace(style, size=Size(draw(st.integers(60, 200)), draw(narrow)), rule="area", scale=1.0)
        if draw(st.booleans())
        else style
        for style in plan.styles
    )
    changes = {key: value for key, value in plan.changes if key not in ("stroke", "preview")}
    pools = {"objective.network.pool_edge": "floor"}
    return replace(plan, styles=tuple(styles), changes=tuple({**changes, **pools}.items()))


def repeated(plan: Plan) -> None:
    """Paint again from the receipt: the same bytes of the file."""
    with _folder() as folder:
        photograph = _save(drawn(plan.content, plan.seed), folder / "photograph.png")
        words = _words(plan, folder)
        _render(photograph, *words, "-o", f"{folder}/one/")
        _render("--from", folder / "one" / "receipt.json", "-o", folder / "two.png")
        one = (folder / "one" / "final.png").read_bytes()
        if one != (folder / "two.png").read_bytes():
            same(_shown(folder / "two.png"), _shown(folder / "one" / "final.png"), "--from")
            raise BrokenLawError("--from: another file of the same picture")


def lossless(plan: Plan) -> None:
    """Paint the same pixels from each lossless format: the same picture."""
    with _folder() as folder:
        words, content = _words(plan, folder), drawn(plan.content, plan.seed)
        wanted = None
        for suffix, options in _LOSSLESS.items():
            photograph = _save(content, folder / f"photograph.{suffix}", **options)
            painted = folder / f"painted-{suffix}.png"
            _render(photograph, *words, "-o", painted)
            shown = _shown(painted)
            wanted = shown if wanted is None else wanted
            same(shown, wanted, f"from {suffix}")
