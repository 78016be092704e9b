"""Checks of a job's settings against its recipe and its files, before anything is painted.

Commands, the page and the API ask before they take a job, and a worker before it reads pictures.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from stylewatch_daemon.base.errors import SettingsError, UsageError
from stylewatch_daemon.base.model import CONTENT_MASK
from stylewatch_daemon.settings.job import LEARNED, MEASURES_ONLY, JobSettings, not_for_clips
from stylewatch_painter.recipes.recipe import Recipe

_NEEDED_TO_START = {"content": "content", "mixed": "content", "style": "style",
                    "style_color": "style"}  # fmt: skip
"""The picture that a job needs for each start, unless that is noise or a picture of its own."""


@dataclass(frozen=True)
class Files:
    """The names of the files of a job, empty where it has none, and the number of its styles.

    `masks` are by role.
    """

    content: str = ""
    styles: int = 0
    init: str = ""
    masks: Mapping[str, str] = field(default_factory=dict)
    is_clip: bool = False


Mistake = tuple[str, str]
"""The name of a setting, and the sentence about it, which is empty if there is no mistake."""


def conflicts(job: JobSettings, recipe: Recipe | None, files: Files) -> Iterator[Mistake]:
    """Yield each setting for which a job is certain to be refused, and the sentence about it.

    Without the `recipe`, what depends on it is left out. What depends on the backend or on the
    content of the files is found out when the job begins.
    """
    used = replace(
        files,
        content="" if job.only == "style" else files.content,
        styles=0 if job.only == "content" else files.styles,
    )
    start = _start_of(job, recipe, used)
    steps = job.steps if recipe is None else recipe.schedule.steps
    found: tuple[Mistake, ...] = (
        ("learn", learner_mistake(job)),
        ("steps", MEASURES_ONLY if steps == 0 else ""),
        *(("only", why) for why in _missing_sides(job, used)),
        ("style_weights", _for_each(job.style_shares, used.styles)),
        ("style_size", _for_each(job.style_scales, used.styles)),
        ("color", _color_mistake(job, used)),
        ("mask", _mask_mistake(job, used)),
        ("set", _done_mistake(recipe, start)),
        ("init", _start_mistake(recipe, start, used)),
        *_clip_mistakes(job, recipe, files),
    )
    yield from (mistake for mistake in found if mistake[1])


def check(job: JobSettings, recipe: Recipe | None, files: Files) -> None:
    """Raise UsageError, with every sentence of `conflicts`, if there is one."""
    sentences = [sentence for _, sentence in conflicts(job, recipe, files)]
    if sentences:
        raise UsageError("\n".join(sentences))


def learner_mistake(job: JobSettings) -> str:
    """Return why settings beside `learn: true` contradict it; empty if they do not.

    The backend is the one that `config.for_learner` gives.
    """
    if job.learn and job.backend != LEARNED:
        named = f"is painted by backend {LEARNED}: leave out `backend`"
    elif job.learn and job.only is not None:
        named = "needs photographs and a style: leave out `only`"
    else:
        return ""
    return f"learn: true {named}, or set learn: false"


def _missing_sides(job: JobSettings, used: Files) -> Iterator[str]:
    has = {"content": bool(used.content), "style": bool(used.styles)}
    for side in ("content", "style") if job.only is None else (job.only,):
        if not has[side]:
            other = "style" if side == "content" else "content"
            hint = f"use only: {other}" if has[other] else f"leave out only: {side}"
            yield f"there is no {side} picture: add one, or {hint}"


def _for_each(values: Callable[[int], object], styles: int) -> str:
    try:
        values(styles)
    except SettingsError as error:
        return str(error)
    return ""


def _color_mistake(job: JobSettings, used: Files) -> str:
    if job.color != "style" and not used.content:
        return f"color: {job.color} needs a content picture, and there is none"
    if job.color == "match" and not used.styles:
        return "color: match recolors the styles, and there are none"
    return ""


def _mask_mistake(job: JobSettings, used: Files) -> str:
    mask = used.masks.get(CONTENT_MASK)
    if mask is not None and not used.content:
        return (
            f"{mask} is the mask of a content picture, and none is used: leave it out, or give it "
            "as the mask of the style"
        )
    if mask is not None and not used.styles and job.mask.outside != "keep":
        return (
            f"{mask} says where styles act, and there is no style: leave it out, or set "
            "mask.outside: keep"
        )
    return ""


def _start_of(job: JobSettings, recipe: Recipe | None, used: Files) -> str:
    """Return the start that the settings and the files lead to; empty if it is not known."""
    if recipe is None:
        return job.init or ""
    return "picture" if used.init and job.init is None else recipe.schedule.start


def _done_mistake(recipe: Recipe | None, start: str) -> str:
    done = 0 if recipe is None else recipe.schedule.done
    if done and start != "picture":
        return (
            f"done: {done} is for a picture after these steps: drop it as init.png, or leave done "
            "out"
        )
    return ""


def _start_mistake(recipe: Recipe | None, start: str, used: Files) -> str:
    if start == "picture" and not used.init:
        return (
            "start: picture needs a picture to start from, and there is none: drop it as init.png, "
            "or name it with --init"
        )
    is_noise = start == "mixed" and recipe is not None and recipe.schedule.noise_ratio == 1
    needed = "" if is_noise else _NEEDED_TO_START.get(start, "")
    has = {"": True, "content": bool(used.content), "style": bool(used.styles)}
    if has[needed]:
        return ""
    return f"start: {start} needs a {needed} picture, and there is none: change `init`"


def _clip_mistakes(job: JobSettings, recipe: Recipe | None, files: Files) -> Iterator[Mistake]:
    preview = job.preview if recipe is None else recipe.schedule.preview
    if files.is_clip:
        for name, value in {"only": job.only, "init": files.init, "preview": preview}.items():
            yield name, not_for_clips(files.content, **{name: value})
