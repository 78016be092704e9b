"""Build the Order for a worker from the options of a command line."""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from os.path import lexists
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from stylewatch_daemon.base.errors import InputError, SettingsError, UsageError
from stylewatch_daemon.base.model import CONTENT_MASK, MASK
from stylewatch_daemon.cli import options, output_target, replay
from stylewatch_daemon.cli.exit_codes import note
from stylewatch_daemon.cli.options import JobOptions
from stylewatch_daemon.files.names import FINAL
from stylewatch_daemon.settings import config, job, yaml_lines
from stylewatch_daemon.settings.config import Config
from stylewatch_daemon.settings.job import JobSettings, Member, Side, Sweep
from stylewatch_daemon.settings.resolve import size_limit
from stylewatch_daemon.views.formatting import size as in_pixels
from stylewatch_daemon.worker.messages import Order
from stylewatch_painter.errors import PictureError
from stylewatch_painter.recipes.recipe import Recipe
from stylewatch_plugins import registry
from stylewatch_plugins.errors import BackendOptionError

STARTS = ("content", "style", "style_color", "noise", "mixed")
_JOB_SETTINGS = ("recipe", "schedule", "backend", "device", "size", "enlarge", "preview",
                 "steps", "save_every", "seed", "strength", "content_weight", "style_weight",
                 "stroke", "color", "only")  # fmt: skip
"""Options that are settings of a job with the same names."""

_SWEEP: TypeAdapter[dict[str, tuple[Any, ...]]] = TypeAdapter(Sweep)


@dataclass(frozen=True)
class RenderRequest:
    """A job as a command line describes it."""

    pictures: tuple[Path, ...] = ()
    options: JobOptions = field(default_factory=JobOptions)
    config_file: Path | None = None
    output: str | None = None
    receipt: Path | None = None
    member: Mapping[str, Any] = field(default_factory=dict)
    """Additional settings of one member of a series, by the dotted keys of config.yaml."""


@dataclass(frozen=True)
class Plan:
    """Order of a command, with its recipe and the place of its output."""

    order: Order
    recipe: Recipe
    place: output_target.Place
    debug: bool = False
    remarks: tuple[str, ...] = ()

    @property
    def pictures(self) -> tuple[Path, ...]:
        """All input files."""
        paths = (self.order.content, *self.order.styles, self.order.init)
        return (*(path for path in paths if path is not None), *self.order.masks.values())


def make_plan(request: RenderRequest, scratch: Path) -> Plan:
    """Plan a job before a backend is loaded; `scratch` is an empty folder.

    Raises UsageError, SettingsError, InputError or RecipeError.
    """
    repeated = replay.read(request.receipt) if request.receipt else None
    place = output_target.named(request.output) if request.output else None
    base = config.load(request.config_file)
    pictures, init, masks = request.pictures, init_picture(request.options), {}
    if repeated:
        base = repeated.configured(base, scratch)
        pictures = pictures or tuple(map(repeated.path, repeated.pictures))
        inputs = repeated.receipt.inputs
        if request.options.init is None:
            init = next((repeated.path(each) for each in inputs if each.role == "init"), None)
        masks = {each.role: repeated.path(each) for each in inputs if each.role.endswith(MASK)}
    settings = _override(base, request, place)
    check_pictures("render", pictures, settings.job.only)
    content, styles = content_and_styles(pictures, settings.job.only)
    place, final = _output(place, pictures, settings.job)
    order = Order(
        name=pictures[0].stem,
        settings=settings.job,
        content=content,
        styles=styles,
        staging=scratch,
        init=init,
        masks=masks_by_role(request.options, len(styles), masks),
        final=final,
        backend_options=settings.backends.get(settings.job.backend, {}),
        recipe_folders=settings.recipes,
        max_pixels=settings.limits.max_pixels,
        max_frames=settings.limits.max_frames,
        memory=settings.limits.memory,
        out_of_memory=settings.limits.out_of_memory,
    )  # fmt: skip
    return Plan(
        order=order,
        recipe=settings.job.resolve(*settings.recipes),
        place=place,
        debug=settings.log.level == "debug",
        remarks=tuple(repeated.differences(pictures)) if repeated else (),
    )


def _override(base: Config, request: RenderRequest, place: output_target.Place | None) -> Config:
    """Apply the options to `base`; a single picture as output sets the format, has no artifacts."""
    overrides = overrides_of(request.options)
    if place is not None and place.format is not None:
        key = "job.clip.format" if place.format in output_target.CLIPS else "job.format"
        format_ = overrides.setdefault(key, place.format)
        if format_ != place.format:
            raise UsageError(
                f"{place.path.name} is {place.format} by its name, and --set says format {format_}:"
                " leave that out, or give another name"
            )
    settings = config.override(base, overrides, request.member)
    for name, backend_options in settings.backends.items():
        if backend_options != base.backends.get(name):
            _check_backend_options(name, backend_options)
    if place is not None and place.format is None:
        return settings
    if option := _folder_option(overrides):
        raise UsageError(f"{option} needs a folder as output: name one, as -o painting/")
    return settings.model_copy(update={"job": settings.job.model_copy(update={"artifacts": ()})})


def _check_backend_options(name: str, backend_options: Mapping[str, Any]) -> None:
    try:
        registry.load(name, backend_options)
    except BackendOptionError as error:  # which else is a mistake in config.yaml
        raise UsageError(str(error)) from error


def _folder_option(overrides: Mapping[str, Any]) -> str | None:
    """Return the option, if any, whose files only the folder of a single job can have."""
    names = {"artifacts": "--artifact", "save_start": "--set save_start"}
    given = {key.rpartition(".")[2] for key, value in overrides.items() if value}
    return next((option for name, option in names.items() if name in given), None)


def _output(
    place: output_target.Place | None, pictures: Sequence[Path], settings: JobSettings
) -> tuple[output_target.Place, str]:
    """Return the place of the output, and the name under which the final picture is staged."""
    name, format_ = default_name(pictures, settings.only), _format_of(pictures[0], settings)
    if place is None:
        return output_target.unnamed(name, format_), FINAL
    if place.format is not None:
        if (place.format in output_target.CLIPS) != (format_ in output_target.CLIPS):
            kind = "a clip" if format_ in output_target.CLIPS else "a picture"
            raise UsageError(
                f"{pictures[0].name} is {kind}, and {place.path.name} is none by its name: name it "
                f"{place.path.stem}.{format_}"
            )
        return place, FINAL
    _, styles = content_and_styles(pictures, settings.only)
    values = job.name_fields(name, pictures[0], styles, recipe=settings.recipe, seed=settings.seed)
    final = job.fill_file(settings.final, values)
    return replace(place, final=f"{final}.{format_}"), final


def _format_of(content: Path, settings: JobSettings) -> str:
    from stylewatch_painter.images.clip import is_clip

    paints_clip = settings.only != "style" and is_clip(content)
    return settings.clip.format if paints_clip else settings.format


def plan_series(
    request: RenderRequest, series: Sequence[Member], scratch: Path
) -> tuple[Path, list[tuple[Member, Plan]]]:
    """Return the folder of a series and a plan for each member; raises as `make_plan` does."""
    place = output_target.named(request.output) if request.output else None
    if place is not None and place.format is not None:
        raise UsageError(f"--sweep makes several pictures: name a folder, not {place.path.name}")
    if option := _folder_option(overrides_of(request.options)):
        raise UsageError(
            f"{option}: a series has only its final pictures and their sheet: leave it out"
        )
    plans = []
    for number, member in enumerate(series):
        own_scratch = scratch / str(number)
        own_scratch.mkdir()
        single = replace(request, output=None, member=member.overrides)
        plans.append((member, make_plan(single, own_scratch)))
    folder = place.path if place else plans[0][1].place.path.with_suffix("")
    return folder, [(member, _in_folder(folder, member, plan)) for member, plan in plans]


def _in_folder(folder: Path, member: Member, plan: Plan) -> Plan:
    path = folder / f"{member.name}.{plan.place.format}"
    return replace(plan, place=replace(plan.place, path=path))


def parse_sweep(sweeps: Sequence[str] | None) -> dict[str, tuple[Any, ...]]:
    """Parse `--sweep KEY=V1,V2 ...` into the form of job.yaml; raises UsageError."""
    fields: dict[str, list[Any]] = {}
    for text in sweeps or ():
        key, values = _parse_field(text)
        if key in fields:
            raise UsageError(
                f"--sweep {key} is given twice: give all values at once, as {key}=V1,V2"
            )
        fields[key] = values
    try:
        return _SWEEP.validate_python(fields)
    except ValidationError as error:
        reason = str(error.errors()[-1]["msg"]).removeprefix("Value error, ")
        raise UsageError(f"--sweep: {reason}") from None


def _parse_field(text: str) -> tuple[str, list[Any]]:
    key, equals, values = text.partition("=")
    if not equals or not values.strip():
        raise UsageError(f"--sweep takes KEY=V1,V2 ..., as strength=0.3,0.5,0.7, got {text!r}")
    try:
        parsed = yaml_lines.value(f"[{values}]")
    except SettingsError as error:
        raise UsageError(f"--sweep {key}: {error}") from error
    full = options.full_key(key.strip(), "--sweep")
    if not full.startswith("job."):
        raise UsageError(f"--sweep {key}: `{key}` is a daemon setting; it can't be set for a job")
    return re.sub(r"^job\.(set\.)?", "", full), parsed


def overrides_of(job: JobOptions) -> dict[str, Any]:
    """Return the changed settings by the dotted keys of config.yaml; raises UsageError."""
    given = {key: getattr(job, key) for key in _JOB_SETTINGS} | {"artifacts": _artifacts(job)}
    if job.init is not None:
        given["init"] = job.init if job.init in STARTS else "picture"
    changed = {f"job.{key}": value for key, value in given.items() if value is not None}
    sets = options.parse_sets(job.sets)
    for key in changed.keys() & sets.keys():
        name = key.removeprefix("job.")
        raise UsageError(
            f"{name} is given twice, by its option and by --set: leave one of them out"
        )
    return changed | sets


def _artifacts(job: JobOptions) -> list[str] | None:
    if job.artifact is None:
        return None
    names = (name.strip() for text in job.artifact for name in text.split(","))
    return [name for name in names if name]


def job_part(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return the job's settings as its job.yaml has them; UsageError has every mistake."""
    wrong = [
        f"--set {key}: `{key}` is a daemon setting; it can't be set for a job"
        for key in overrides
        if not key.startswith("job.")
    ]
    recipe = overrides.get("job.recipe")
    if isinstance(recipe, str) and recipe.endswith((".yaml", ".yml")):
        wrong.append(
            f"--recipe {recipe}: a job of the daemon can't name a recipe file; put the file into a "
            "folder under `recipes` in config.yaml, and name the recipe"
        )
    if wrong:
        raise UsageError("\n".join(wrong))
    return config.job_overrides(overrides)


def check_pictures(command: str, pictures: Sequence[Path], only: Side | None) -> None:
    """Raise UsageError for a wrong number of pictures, InputError for a missing one."""
    if only == "content" and len(pictures) != 1:
        raise UsageError(f"{command} with --only content takes one picture, got {len(pictures)}")
    if only == "style" and not pictures:
        raise UsageError(f"{command} with --only style takes at least one painting: STYLE...")
    if only is None and len(pictures) < len(("content", "style")):
        raise UsageError(f"{command} takes a photograph and at least one style: CONTENT STYLE...")
    for path in pictures:
        _check_file(path)


def _check_file(path: Path) -> None:
    try:
        if path.is_dir():
            raise InputError(f"{path} is a folder, not a picture")
        if not path.exists():
            raise InputError(f"{path} does not exist")
        if not path.is_file():
            raise InputError(
                f"{path} is a pipe or a device, which can't be read twice: save it as a file, and "
                "name that"
            )
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error


def note_size(job: JobSettings, recipe: Recipe, content: Path | None, most: int) -> None:
    """Print a remark if the output has another size than one may expect.

    That is below the size that the job asks for, or, without one, below that of the photograph.
    `most` is the limit of pixels. A picture that can't be read is reported where it is used.
    """
    from stylewatch_painter.images.clip import is_clip
    from stylewatch_painter.images.read import picture_size
    from stylewatch_painter.scene.scales import final_size

    if content is None or is_clip(content):
        return
    with suppress(PictureError):
        own = picture_size(content, most)
        note("\n".join(size_limit(job, recipe, own)))
        final = final_size(recipe.schedule, own)
        if job.size is None and max(final) < max(own):
            note(f"{in_pixels(final)} of {in_pixels(own)} pixels; --size makes it larger")


def content_and_styles(
    pictures: Sequence[Path], only: Side | None
) -> tuple[Path | None, tuple[Path, ...]]:
    """Divide the pictures of a command line into the content and the styles."""
    if only == "style":
        return None, tuple(pictures)
    return pictures[0], tuple(pictures[1:])


def default_name(pictures: Sequence[Path], only: Side | None) -> str:
    """Return the default name of an output: `sea-wave`, or `sea-content`."""
    return f"{pictures[0].stem}-{only or pictures[1].stem}"


def init_picture(job: JobOptions) -> Path | None:
    """Return the picture that `--init` names, if any; raises UsageError or InputError."""
    if job.init is None or job.init in STARTS:
        return None
    path = Path(job.init)
    if not lexists(path) and path.name == job.init and not path.suffix:
        raise UsageError(f"--init takes {', '.join(STARTS)} or a picture, got {job.init!r}")
    _check_file(path)
    return path


def masks_by_role(
    job: JobOptions, styles: int, repeated: Mapping[str, Path] | None = None
) -> dict[str, Path]:
    """Return the masks of a job with so many styles by their roles: `content-mask` and so on.

    `--mask` and `--style-mask` each replace the `repeated` masks of their side. Raises UsageError
    for more masks than styles, InputError for a missing file.
    """
    style_masks = job.style_mask or ()
    if len(style_masks) > styles:
        raise UsageError(
            f"--style-mask is given {len(style_masks)} times for {styles} styles: "
            "give one for each, or `none`"
        )
    masks = {} if job.mask is None else {CONTENT_MASK: job.mask}
    for number, name in enumerate(style_masks, start=1):
        if name != "none":
            masks[f"style-{number}{MASK}"] = Path(name)
    for path in masks.values():
        _check_file(path)
    replaced = ("content",) * (job.mask is not None) + ("style",) * bool(style_masks)
    kept = {k: path for k, path in (repeated or {}).items() if not k.startswith(replaced)}
    return {**kept, **masks}
