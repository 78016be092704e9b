"""Laws of the command `stylewatch render`."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import reject
from hypothesis import strategies as st
from PIL import Image
from tests.laws.painting import BrokenLawError, same
from tests.laws.plans import Plan, drawn, plans

from stylewatch_daemon.cli.main import call
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
    if code in (64, 65):
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
    changes = dict(plan.changes)
    recipe = plan.resolved()
    scales = [{"scale": scale.scale, "steps": scale.steps} for scale in recipe.schedule.scales]
    words: list[object] = ["--recipe", plan.recipe, "--seed", plan.seed]
    settings = {"scales": scales, "smallest": 24, "initial_steps": "null", "save_every": 1000,
                **changes}  # fmt: skip
    for number, style in enumerate(plan.styles):
        words.append(_save(drawn(style.size, style.seed), folder / f"style{number}.png"))
    for key, value in settings.items():
        match key:
            case "size" | "strength" | "stroke" | "preview":
                words += [f"--{key}", value]
            case "enlarge":
                words += ["--enlarge"] if value else []
            case _:
                words += ["--set", f"{key}={_yaml(value)}"]
    if any(style.rule for style in plan.styles):
        rules = ",".join(style.rule or "area" for style in plan.styles)
        words += ["--style-size", rules]
    return words


def _yaml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_yaml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_yaml, value)) + "]"
    return str(value).lower() if isinstance(value, bool) else str(value)


@st.composite
def plans_of_renders(draw: st.DrawFn) -> Plan:
    """Draw a painting that the command can be asked for."""
    plan = draw(plans(optimizers=False))
    styles = tuple(replace(style, masked=False, scale=1.0) for style in plan.styles)
    return replace(plan, styles=styles, regions=0)


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
    plan.resolved()
    with _folder() as folder:
        content = drawn(plan.content, plan.seed)
        words = _words(plan, folder)
        photograph = _save(content, folder / "photograph.png")
        film = _film(content, folder)
        still, clip = folder / "still.png", folder / "clip.mkv"
        _render(photograph, *words, "-o", still)
        wanted = _shown(still)
        if any(side % 2 for side in wanted.shape[:2]):
            reject()  # a clip is a pixel larger or smaller
        _render(film, *words, "-o", clip)
        frame = next(read_clip.frames(clip, LIMITS)).pixels.astype(np.float32)
        same(frame, wanted, "the first frame of a clip")


def _film(content: Pixels, folder: Path) -> Path:
    """Write a film of one frame without a loss."""
    segment, film = folder / "segment.mkv", folder / "film.mkv"
    for _ in write_clip.write_segment(segment, [content.astype(np.uint8)], "mkv", 100):
        pass
    write_clip.join(film, [segment], [*_TIMES], "mkv")
    return film


_TIMES: Sequence[Any] = (0, 1)


def repeated(plan: Plan) -> None:
    """Paint again from the receipt: the same bytes of the file."""
    plan.resolved()
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
    plan.resolved()
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
