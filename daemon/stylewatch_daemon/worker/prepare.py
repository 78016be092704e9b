"""Preparation of a job: resolve its recipe, read its pictures, load its backend."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from stylewatch_daemon.base.errors import SettingsError
from stylewatch_daemon.outbox.receipt import InputRecord
from stylewatch_daemon.settings import paintable
from stylewatch_daemon.settings.job import JobSettings, StyleScale, fields_with
from stylewatch_daemon.worker.messages import Order
from stylewatch_daemon.worker.output_image import STAGE_SIDE, OutputImage
from stylewatch_daemon.worker.paint_clip import ClipJob, ClipPainter, even
from stylewatch_daemon.worker.regions import masked
from stylewatch_painter.errors import PictureError
from stylewatch_painter.fields import MOST_STEPS
from stylewatch_painter.images import encode, read_clip, write_clip
from stylewatch_painter.images.clip import Clip
from stylewatch_painter.images.color import Spread, gray, lightness, lit_like, recolored
from stylewatch_painter.images.decode import NeededSize
from stylewatch_painter.images.read import Picture, read
from stylewatch_painter.images.resize import resize_plane
from stylewatch_painter.recipes import book, earlier
from stylewatch_painter.recipes.recipe import Recipe
from stylewatch_painter.scene import scales
from stylewatch_painter.size import Size
from stylewatch_painter.stage import Bytes, Pixels, Plane, Regions
from stylewatch_plugins import registry
from stylewatch_plugins.contract import (
    Backend,
    BackendMissingError,
    Checkpoint,
    Style,
    Task,
    capabilities,
)

_RECOLORS_STYLES = ("match", "luminance")
"""Values of `color` with which the styles get the colors of the content."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """Everything that a job needs to run; `inputs` are for the receipt."""

    backend: Backend
    task: Task
    inputs: tuple[InputRecord, ...]
    output: OutputImage
    doubts: tuple[str, ...] = ()
    """Sentences about what may be wrong with the pictures."""
    of_masks: tuple[str, ...] = ()
    """Warnings about the masks."""
    clip: ClipPainter | None = None
    """Painter of the frames if the content is a clip, else None. For a clip, `task` is the task of
    the first frame, without its pixels."""

    @property
    def steps_at(self) -> Sequence[tuple[Size, int]]:
        """Sizes of the painting and the number of steps at each; for a clip, of frames."""
        if self.clip is not None:
            job = self.clip.job
            return [(job.size, job.clip.frames)]
        return [(level.size, level.steps) for level in self.task.levels()]

    @property
    def unit(self) -> str:
        """Unit of the job's progress: `step`, or `frame` for a clip."""
        return "step" if self.clip is None else "frame"


def prepare(
    order: Order, resume: Checkpoint | None = None, decided: Mapping[str, Any] | None = None
) -> Prepared:
    """Read and check everything that `order` names; mistakes in the settings are reported first.

    `decided` are the options that `auto` chose in the attempt that left `resume`. They apply again,
    because, for example, another number of threads changes the last bits. Raises RecipeError,
    SettingsError, BackendError, PictureError, and CheckpointError if `resume` is of another clip.
    """
    # Settings
    settings = order.settings
    recipe = _recipe(order)
    _check_paintable(order, recipe)
    order = selected(order)
    shares = order.settings.style_shares(len(order.styles))
    style_size = settings.style_scales(len(order.styles))

    # Backend and pictures
    source = read_clip.inspect(order.main, order.clip_limits) if order.is_clip else None
    with ThreadPoolExecutor(1) as thread:  # decode while torch is imported, which takes seconds
        pictures = thread.submit(_read, order, recipe, style_size, source)
        backend = load_backend(order, decided or {})
    content, init, styles = pictures.result()
    init = _fitted(init, content)
    colors = ColorTransfer(settings, _colored_like(order, source, content))
    styles = [colors.noted(picture) for picture in styles]
    task = Task(
        recipe=recipe,
        content=None if content is None else colors.content_pixels(content.pixels),
        styles=tuple(
            Style(
                picture.pixels,
                name=f"style-{number}",
                weight=weight,
                scale=size.scale,
                size=size.rule,
                mask=picture.alpha,  # transparent pixels of a style do not count
                size_of_file=picture.size_of_file,
                sha256=picture.sha256,
            )
            for number, (picture, weight, size) in enumerate(
                zip(styles, shares, style_size, strict=True), start=1
            )
        ),
        init=None if init is None else colors.content_pixels(init.pixels),
        seed=settings.seed,
        resume=None if source else resume,
        content_size=None if content is None else content.size_of_file,
        init_size=None if init is None else init.size_of_file,
    )
    _check_done(task)
    _check_size(task, order)

    # Records for the receipt, masks, and the form of the output
    inputs = [InputRecord.of("content", order.main.name, content)] if content else []
    inputs += _style_records(order, task, styles, shares)
    if init is not None and order.init is not None:
        inputs.append(InputRecord.of("init", order.init.name, init))
    used = _used_styles(order, task)
    regions = masked(replace(order, styles=tuple(used.values())), task, backend)
    outside = regions.task.content_mask if settings.mask.outside == "keep" else None
    output = OutputImage(settings, content, recipe.schedule.rounding, outside)
    doubts = (*_doubts(content, colors.content, init, *styles), *_left_out(task, used))
    prepared = Prepared(
        backend,
        colors.of_styles(regions.task),
        (*inputs, *regions.inputs),
        output,
        doubts,
        regions.warnings,
    )
    return prepared if source is None else _as_clip(order, source, prepared, colors, resume)


def _colored_like(order: Order, source: Clip | None, content: Picture | None) -> Picture | None:
    """Return the picture whose colors the styles get: the content, or for a clip a typical frame.

    The first frame of a clip may be black, and would make all painted frames black. If the setting
    `color` does not recolor the styles, return `content` for a clip, too.
    """
    if source is None or content is None or order.settings.color not in _RECOLORS_STYLES:
        return content
    return read_clip.colored_like(order.main, order.clip_limits, source, content)


def _doubts(*pictures: Picture | None) -> tuple[str, ...]:
    """Return sentences about what may be wrong with pictures, each sentence once."""
    warnings = (
        warning for picture in pictures if picture is not None for warning in picture.warnings
    )
    return tuple(dict.fromkeys(warnings))


def _used_styles(order: Order, task: Task) -> Mapping[str, Path]:
    """Return the files of the styles that have a weight, by their names in the task."""
    files = {f"style-{number}": path for number, path in enumerate(order.styles, start=1)}
    return {style.name: files[style.name] for style in task.styles}


def _style_records(
    order: Order, task: Task, styles: Sequence[Picture], shares: Sequence[float]
) -> Iterator[InputRecord]:
    """Yield the records of all styles, including those without weight, in the order of `styles`."""
    used = {style.name: style for style in task.styles}
    last = task.levels()[-1].scale
    for number, (path, picture, share) in enumerate(
        zip(order.styles, styles, shares, strict=True), start=1
    ):
        record = InputRecord.of(f"style-{number}", path.name, picture, share)
        style = used.get(record.role)
        used_size = None if style is None else task.style_size(style, last)
        yield record if used_size is None else record.model_copy(update={"seen": used_size})


def _left_out(task: Task, files: Mapping[str, Path]) -> Iterator[str]:
    """Yield a sentence for each style that is left out at some sizes, and about left out sizes.

    `files` are the files of the styles, by their names in the task.
    """
    for name, levels in task.left_out().items():
        sizes = ", ".join(str(level.size) for level in levels)
        yield f"{files[name].name} is too small for the sizes {sizes}, and is left out there"
    reasons = {
        "painting": f"the painting is too small for them in recipe {task.recipe.name}",
        "styles": f"{', '.join(files[style.name].name for style in task.styles)} would show "
        "nothing there",
    }
    for why_not, reason in reasons.items():
        missing = [scale for scale in task.scales() if scale.why_not == why_not]
        if missing:
            sizes = ", ".join(dict.fromkeys(str(scale.size) for scale in missing))
            steps = sum(scale.steps for scale in missing)
            yield f"the sizes {sizes} with {steps} steps are left out: {reason}"


def _fitted(init: Picture | None, content: Picture | None) -> Picture | None:
    """Return `init`, cropped around its center to the shape of `content`.

    Return it unchanged if it has that shape, or if one of the pictures is missing.
    """
    if init is None or content is None or init.size.has_shape_of(content.size):
        return init
    height, width, _ = init.pixels.shape
    share = (content.size[0] * height) / (content.size[1] * width)  # of its width, or 1 / height
    wide, high = max(1, round(width * min(1, share))), max(1, round(height * min(1, 1 / share)))
    left, top = (width - wide) // 2, (height - high) // 2
    scale = init.size[0] / width
    whole = Size(round(wide * scale), round(high * scale))
    return replace(
        init,
        pixels=init.pixels[top : top + high, left : left + wide],
        converted=(*init.converted, f"cropped to {wide}x{high}, the shape of the photograph"),
        size_of_file=None if init.size_of_file is None else whole,
    )


def _recipe(order: Order) -> Recipe:
    """Return the recipe of an order, changed as its settings and pictures require."""
    recipe = book.check(order.recipe)
    if order.init is not None and not _names_start(order.settings):
        recipe = book.change(recipe, {"start": "picture"})
    if order.settings.color in _RECOLORS_STYLES:  # the styles get other colors
        recipe = book.change(recipe, {"one_ink": False})
    return recipe


def _names_start(settings: JobSettings) -> bool:
    return settings.init is not None or "start" in map(book.bare_name, settings.set)


def _as_clip(
    order: Order,
    source: Clip,
    first: Prepared,
    colors: "ColorTransfer",
    resume: Checkpoint | None,
) -> Prepared:
    """Return the prepared clip; `first` is its first frame, prepared as a still picture.

    To save memory, the result does not keep the pixels of that frame. Raises SettingsError if the
    settings are not for clips, or if the clip's format does not support the size; raises
    CheckpointError if `resume` does not belong to the clip.
    """
    settings = order.settings
    recipe = first.task.recipe
    size = even(first.task.final)
    format = settings.clip.format
    _check_sides(size, format, write_clip.longest_side(format))
    exact = {"size": f"{size[0]}x{size[1]}", "fit": "stretch", "enlarge": True,
             "save_every": MOST_STEPS, "save_start": False}  # fmt: skip
    of_frame = replace(first.task, content=_without_pixels(first.task.content), is_frame=True)
    task = replace(of_frame, recipe=book.change(recipe, exact), content_size=None, resume=None)
    photograph = first.output.content
    if photograph is not None:
        photograph = replace(photograph, pixels=_blank(Size.of(photograph.pixels)))
    frames = ClipFrames(
        task, replace(colors, content=None), replace(first.output, content=photograph)
    )
    digests = [record.sha256 for record in first.inputs]
    if colors.content is not first.output.content:  # earlier versions took the first frame's colors
        digests.append("colors of a typical frame")
    # without defaults: a setting that a later version adds changes nothing where it is not used
    of_frames = settings.model_dump_json(
        exclude=fields_with("spares_frames"), exclude_defaults=True
    )
    identity = _clip_identity(task, of_frames, digests)
    job = ClipJob(
        order, source, size, identity, frames.still, frames.shown,
        earlier=tuple(_earlier_identities(task, settings.text, digests)),
    )  # fmt: skip
    backend = _decided_for_all(order, first.backend, task)
    return replace(
        first,
        backend=backend,
        task=of_frame,
        # frames already have their colors and the clip's own parts
        output=OutputImage(settings, None, recipe.schedule.rounding),
        clip=ClipPainter(job, backend, resume),
    )


def _without_pixels(pixels: Pixels | None) -> Pixels | None:
    """Return a black picture of the same size that takes no memory; None for None."""
    return None if pixels is None else _blank(Size.of(pixels))


def _clip_identity(task: Task, settings: str, digests: Sequence[str]) -> str:
    """Return the SHA-256 of everything that determines the frames of a clip.

    `settings` are the job's settings as JSON, `digests` those of the pictures.
    """
    text = "\n".join([earlier.identity(task.recipe), settings, *digests])
    return hashlib.sha256(text.encode()).hexdigest()


def _earlier_identities(task: Task, settings: str, digests: Sequence[str]) -> Iterator[str]:
    """Yield the identities that earlier versions gave a clip, if they painted the same frames.

    Earlier versions hashed all settings, and named the plot of the losses `losses.png`. They
    painted other frames in three cases, for which nothing is yielded: no loss `style`, strength 0,
    or initial steps of which some are left out.
    """
    schedule = task.recipe.schedule
    losses = task.recipe.objective.fine.losses
    lost = schedule.initial_steps and any(scale.why_not == "styles" for scale in task.scales())
    if task.style_mix and "style" in losses and not lost:
        for text in (settings, settings.replace("losses.svg", "losses.png")):
            yield _clip_identity(task, text, digests)


def _decided_for_all(order: Order, backend: Backend, frame: Task) -> Backend:
    """Return the backend with its decisions for the first `frame` fixed for all frames.

    The free memory changes from frame to frame. It must not make the backend refuse a frame, or
    paint it in another way. A backend without the capability `memory` is returned unchanged.
    """
    if not capabilities(backend).memory:
        return backend
    return load_backend(order, backend.provenance(frame).decided)


@dataclass(frozen=True, eq=False)
class ClipFrames:
    """Frames of a clip as still pictures, based on `task` and `output` of the first one."""

    task: Task
    colors: "ColorTransfer"
    output: OutputImage

    def still(self, frame: Bytes) -> Task:
        """Return the task of a frame, (height, width, 3), 0..255, as it is in the file."""
        pixels = self.colors.content_pixels(frame.astype(np.float32))
        return replace(self.task, content=pixels)

    def shown(self, painted: Pixels, frame: Pixels) -> Pixels:
        """Return `painted`, (height, width, 3), with what the output keeps of `frame`."""
        photograph = self.output.content and replace(self.output.content, pixels=frame)
        return replace(self.output, content=photograph).shown(painted)


def _check_sides(size: Size, format: str, longest: int | None, instead: str = "") -> None:
    """Raise SettingsError if `size` exceeds the `longest` side of files in `format`, if limited.

    `instead` ends the message with another way out.
    """
    if longest is not None and size.long > longest:
        raise SettingsError(
            f"the output would be {size} pixels, and {format} holds at most "
            f"{longest} pixels a side: ask for a smaller size{instead}"
        )


def load_backend(order: Order, decided: Mapping[str, Any]) -> Backend:
    """Return the backend of `order`, ready to run; `decided` is as in `prepare`.

    Raises BackendError.
    """
    name = order.settings.backend
    settings = order.settings
    options = dict(order.backend_options)
    if settings.device is not None:
        options["device"] = settings.device
    options.update(decided)
    backend = registry.load(name, options)
    if order.memory is not None and capabilities(backend).memory:
        options = {"memory": order.memory, **options}
        backend = registry.load(name, options)
    if settings.device is None and _may_use(order.device, backend, options):
        backend = registry.load(name, {**options, "device": order.device})
    problem = backend.problem()
    if problem:
        raise BackendMissingError(problem)
    return backend


def _may_use(name: str | None, backend: Backend, options: Mapping[str, Any]) -> bool:
    """Return whether the backend has the device `name`, and `options` allow devices of its kind."""
    if name is None or name not in [device.name for device in backend.devices()]:
        return False
    kind = str(options.get("device", "auto")).partition(":")[0]
    return kind in ("auto", name.partition(":")[0])


def _check_paintable(order: Order, recipe: Recipe) -> None:
    """Raise SettingsError for the first setting that does not fit the recipe or the files.

    Without steps the losses are measured, unless it is a job.
    """
    files = paintable.Files(
        content="" if order.content is None else order.content.name,
        styles=len(order.styles),
        init="" if order.init is None else order.init.name,
        masks={role: path.name for role, path in order.masks.items()},
        is_clip=order.is_clip,
    )
    for name, why in paintable.conflicts(order.settings, recipe, files):
        if name != "steps":
            raise SettingsError(why)


def selected(order: Order) -> Order:
    """Return `order` with the pictures that `only` selects, or all without `only`."""
    if order.settings.only == "style":
        return replace(order, content=None)
    return replace(order, styles=()) if order.settings.only == "content" else order


def _check_done(task: Task) -> None:
    """Raise SettingsError if `done` leaves no steps."""
    schedule = task.recipe.schedule
    if schedule.done and not any(level.steps for level in task.levels()):
        raise SettingsError(
            f"done: {schedule.done} leaves no steps of the recipe: ask for more steps"
        )


def enlarged_start(task: Task) -> tuple[str, ...]:
    """Return a warning if `task` continues from a stage that was reduced in size, else ()."""
    if not task.recipe.schedule.done or task.init is None:
        return ()
    size = Size.of(task.init)
    first_size = task.levels()[0].size
    if size.width >= first_size.width and size.height >= first_size.height:
        return ()
    return (
        f"it starts from a stage of {size} pixels, enlarged to {first_size}: "
        f"stages have at most {STAGE_SIDE} pixels on the long side",
    )


def limited_size(task: Task, settings: JobSettings) -> tuple[str, ...]:
    """Return a warning if the content's size limits the output to less than requested, else ()."""
    if task.content is None:
        return ()
    return size_limit(settings, task.recipe, task.content_size or Size.of(task.content))


def size_limit(job: JobSettings, recipe: Recipe, content: Size) -> tuple[str, ...]:
    """Return a sentence if the `content` limits the output to less than `job` asks for, else ().

    The result is also () if `job` sets no size, sets `enlarge`, or shows only the style.
    """
    schedule = recipe.schedule
    final = scales.final_size(schedule, content)
    enlarged = scales.final_size(schedule.model_copy(update={"enlarge": True}), content)
    is_free = job.size is None or job.enlarge is not None or job.only == "style"
    if is_free or enlarged == final:
        return ()
    return (
        f"size {job.size}: the photograph has {content} pixels and is not enlarged, so the output "
        f"has {final}; enlarge: yes (--enlarge) makes it {enlarged}",
    )


@dataclass(frozen=True, eq=False)
class ColorTransfer:
    """Changes that the setting `color` makes to pictures, based on the content's colors."""

    settings: JobSettings
    content: Picture | None

    def content_pixels(self, pixels: Pixels) -> Pixels:
        """Return the content, or a picture to start from, as the backend gets it.

        With `color: luminance` it is gray, with the lightness of `pixels`.
        """
        if self.settings.color != "luminance":
            return pixels
        return gray(lightness(pixels))

    def noted(self, style: Picture) -> Picture:
        """Return `style` with a note for the receipt if its colors will be changed."""
        notes = {
            "luminance": "reduced to its lightness, like the content's in mean and deviation",
            "match": "recolored by mean and covariance of the content's colors",
        }
        note = notes.get(self.settings.color)
        if self.content is None or note is None:
            return style
        return replace(style, converted=(*style.converted, note))

    def of_styles(self, task: Task) -> Task:
        """Return `task` with the colors of its styles changed as the setting `color` requires.

        The masks of `task` must be set before: only the pixels that they cover count.
        """
        content = self.content
        if content is None or self.settings.color not in _RECOLORS_STYLES:
            return task
        weights = _covered(content, task.content_mask)
        styles = []
        for style in task.styles:
            own = style.shown().plane
            if self.settings.color == "luminance":
                pixels = lit_like(style.picture, content.pixels, (own, weights))
            else:
                target = Spread.of(content.pixels, weights)
                pixels = recolored(style.picture, Spread.of(style.picture, own), target)
            styles.append(replace(style, picture=pixels))
        return replace(task, styles=tuple(styles))


def _covered(content: Picture, mask: Regions | None) -> Plane | None:
    """Return weights of the content's pixels: visible pixels in the regions of `mask` count.

    The result is float32 (height, width), 0..1, or None if all pixels count.
    """
    if mask is None:
        return content.alpha
    covered = np.atleast_3d(mask).sum(axis=2).clip(0, 1)
    weights = resize_plane(covered, Size.of(content.pixels))
    return weights if content.alpha is None else weights * content.alpha


class _SizeNeeds:
    """Calculator of the sizes that a job needs of its pictures, before they are decoded.

    For each picture that was read, `task` has a blank picture of the same size.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.task = Task(recipe, None, ())

    def of_content(self, size: Size) -> Task:
        """Return the task with a content of `size`."""
        return replace(self.task, content=_blank(size))

    def of_init(self, size: Size) -> Task:
        """Return the task with a picture of `size` to start from."""
        return replace(self.task, init=_blank(size))

    def of_style(self, scale: StyleScale, size: Size) -> Task:
        """Return the task with one more style, of `size`."""
        style = Style(_blank(size), scale=scale.scale, size=scale.rule)
        return replace(self.task, styles=(*self.task.styles, style))

    def largest(self, task: Task) -> Size:
        """Return the greatest final width and height among the pictures of a task.

        For a task that cannot be painted, the result is 1x1.
        """
        try:
            sizes = [size for _, size in _sizes(task)]
        except PictureError:  # an impossible task is reported later
            return Size(1, 1)
        return Size(max(size.width for size in sizes), max(size.height for size in sizes))

    def read(self, path: Path, max_pixels: int, add: Callable[[Size], Task]) -> Picture:
        """Read a picture with as many pixels as needed, and add its size to the task.

        `add` returns the task with a picture of a given size, as `of_content` does.
        """
        needed = NeededSize(lambda size: self.largest(add(size)))
        picture = read(path, max_pixels=max_pixels, needed_size=needed)
        self.task = add(picture.size)
        return picture


def _read(
    order: Order, recipe: Recipe, style_size: Sequence[StyleScale], source: Clip | None
) -> tuple[Picture | None, Picture | None, list[Picture]]:
    """Read the content (of the clip `source` its first frame), the initial picture and the styles.

    Large pictures are decoded with as many pixels as the job needs.
    """
    needs = _SizeNeeds(recipe)
    content = init = None
    if source is not None:
        content = read_clip.first_picture(order.main, order.clip_limits, source)
        needs.task = needs.of_content(content.size)
    elif order.content is not None:
        content = needs.read(order.content, order.max_pixels, needs.of_content)
    if order.init is not None:
        init = needs.read(order.init, order.max_pixels, needs.of_init)
    styles = [
        needs.read(path, order.max_pixels, partial(needs.of_style, scale))
        for path, scale in zip(order.styles, style_size, strict=True)
    ]
    return content, init, styles


def _sizes(task: Task) -> list[tuple[str, Size]]:
    """Return the final sizes of the output and of each style, as pairs of name and size."""
    scale = task.levels()[-1].scale
    styles = ((style.name, task.style_size(style, scale)) for style in task.styles)
    return [("the painting", task.final), *styles]


def _blank(size: Size) -> Pixels:
    """Return a black picture (height, width, 3) of `size`, as a view that takes no memory."""
    return np.broadcast_to(np.float32(0), (*size.shape, 3))


def _check_size(task: Task, order: Order) -> None:
    """Raise SettingsError if a picture would have more pixels than the limits allow.

    Also raise it if the output is not a clip, and longer than its format allows.
    """
    for name, size in _sizes(task):
        if size.area > order.max_pixels:
            raise SettingsError(
                f"{name} would be {size} pixels, and limits.max_pixels allows "
                f"{order.max_pixels}: ask for a smaller size, or raise that limit"
            )
    if not order.is_clip:
        format = order.settings.format
        _check_sides(task.final, format, encode.longest_side(format), ", or for format: png")
