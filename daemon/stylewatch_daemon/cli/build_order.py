"""Orders for a worker, built from the options of a command line or from a receipt."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from os.path import lexists, realpath
from pathlib import Path
from stat import S_ISREG
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel

from stylewatch_daemon.base.errors import InputError, SettingsError, UnavailableError, UsageError
from stylewatch_daemon.base.model import CONTENT_MASK, MASK
from stylewatch_daemon.base.words import in_pixels
from stylewatch_daemon.cli import options, output_target
from stylewatch_daemon.cli.exit_codes import note
from stylewatch_daemon.cli.options import Member
from stylewatch_daemon.cli.output_target import Place
from stylewatch_daemon.client.operations import disks_of
from stylewatch_daemon.files import atomic, entries
from stylewatch_daemon.files.names import FINAL, safe, shortened, shown
from stylewatch_daemon.outbox.job_files import MAX_BYTES
from stylewatch_daemon.outbox.publish import INPUTS, RECEIPT
from stylewatch_daemon.outbox.receipt import InputRecord, Receipt
from stylewatch_daemon.settings import config, yaml_lines
from stylewatch_daemon.settings.job import (
    CLIP_FORMATS,
    STARTS,
    JobFile,
    JobSettings,
    Side,
    fill_file,
    is_file,
    name_fields,
    of_record,
)
from stylewatch_daemon.settings.paintable import Files
from stylewatch_daemon.settings.style_library import named_styles
from stylewatch_daemon.worker.messages import Order, order_for
from stylewatch_painter import installed
from stylewatch_painter.errors import PictureError, RecipeError, RecipesAwayError, WeightsError
from stylewatch_painter.network import weights
from stylewatch_painter.plain_yaml import Document
from stylewatch_painter.recipes import book, earlier
from stylewatch_painter.recipes.recipe import Recipe
from stylewatch_painter.size import Size
from stylewatch_plugins import registry
from stylewatch_plugins.errors import BackendOptionError

_MEMORY_OPTIONS = ("tile", "history")
"""Backend options that depend on the available memory and affect the picture."""

_RELATIVE = ("job.content_weight", "job.style_weight", "job.schedule", "job.only")
"""Settings that do not replace a field of the recipe by their value, but compute with it."""

_Model = TypeVar("_Model", bound=BaseModel)


@dataclass(frozen=True)
class RenderRequest:
    """A job, or one `member` of a series, as a command line describes it."""

    pictures: tuple[Path, ...] = ()
    job: options.JobOptions = field(default_factory=dict)
    config_file: Path | None = None
    output: str | None = None
    receipt: Path | None = None
    member: Member = field(default_factory=lambda: Member("", {}))


@dataclass(frozen=True)
class Plan:
    """A planned job: the worker's order, the recipe, and the `place` of the output.

    `member` is the job's part in its series. `remarks` are the differences of a repeated job from
    its receipt. `weights` is the digest of the receipt's weights if only the backend can look them
    up, else empty. With `debug`, an error is shown with its traceback.
    """

    order: Order
    recipe: Recipe
    place: Place
    member: Member
    debug: bool = False
    remarks: tuple[str, ...] = ()
    weights: str = ""

    @property
    def files(self) -> Mapping[str, Sequence[Path]]:
        """The input files by role."""
        order = self.order
        single = {"content": order.content, "init": order.init, **order.masks}
        files = {role: [path] for role, path in single.items() if path is not None}
        return {**files, "style": order.styles}


def make_plan(request: RenderRequest, scratch: Path) -> Plan:
    """Plan the requested job without running it; `scratch` is an empty folder for its files.

    Raises UsageError, SettingsError, InputError, OutputError, UnavailableError, RecipeError,
    RecipesAwayError or BackendError.
    """
    repeated = read_receipt(request.receipt) if request.receipt else None
    base: config.Config = config.load(request.config_file)
    pictures = request.pictures
    job = request.job
    remarks = tuple[str, ...]()
    if repeated:
        named = {**overrides_of(request.job), **request.member.overrides}
        base = repeated.configured(base, scratch, named)
    place = output_target.named(request.output) if request.output is not None else None
    settings = _override(base, request, place)
    pictures = with_named_styles(pictures, job, settings)
    if repeated:
        records = repeated.pictures(settings.job.only)
        pictures = pictures or tuple(map(repeated.path, records))
        remarks = tuple(repeated.differences(records, pictures))
    content, styles = sides("render", pictures, settings.job.only)
    place, final = _output(place, content, styles, settings.job)
    if repeated:
        is_masked = bool(content and (styles or settings.job.mask.outside == "keep"))
        job = {**repeated.options(len(styles), is_masked=is_masked), **job}
    recipe = settings.job.resolve(*settings.recipes)
    order = order_for(
        settings,
        settings.job,
        recipe,
        name=shown(pictures[0].stem),
        pictures=(content, styles),
        staging=scratch,
    )
    masks = masks_by_role(job, len(styles))
    order = replace(order, init=init_picture(job), masks=masks, final=final)
    debug = settings.log.level == "debug"
    weights = repeated.late_weights if repeated else ""
    return Plan(order, recipe, place, request.member, debug, remarks, weights)


def plan_series(request: RenderRequest, members: Sequence[Member], scratch: Path) -> Sequence[Plan]:
    """Plan the jobs of a series, which write into one folder; raises as `make_plan` does."""
    place = output_target.named(request.output) if request.output is not None else None
    if place is not None and place.format is not None:
        raise UsageError(f"--sweep makes several pictures: name a folder, not {place.path.name}")
    plans = list[Plan]()
    folder = place and place.path
    for number, member in enumerate(members):
        own_scratch = scratch / str(number)
        own_scratch.mkdir()
        pictures = (*request.pictures, *member.styles)
        own = replace(request, output=None, member=member, pictures=pictures)
        plan = make_plan(own, own_scratch)
        folder = folder or output_target.unused(plan.place.path.stem)
        path = folder / f"{member.name}.{plan.place.format}"
        plans.append(replace(plan, place=Place(path, plan.place.format)))
    return plans


def _override(base: config.Config, request: RenderRequest, place: Place | None) -> config.Config:
    """Return `base` with the options of `request`; raises UsageError or BackendError.

    The suffix of an output file sets the format. Artifacts are kept only if the output is a folder.
    """
    overrides = overrides_of(request.job)
    if place is not None and place.format is not None:
        key = "job.clip.format" if place.format in CLIP_FORMATS else "job.format"
        format_ = overrides.setdefault(key, place.format)
        if format_ != place.format:
            raise UsageError(
                f"{place.path.name} is {place.format} by its name, and --set says format {format_}:"
                " leave that out, or give another name"
            )
    put = config.override_new if request.receipt is None else config.override_again
    settings = put(base, overrides, request.member.overrides)
    for name in {*settings.backends, settings.job.backend}:
        own = settings.options_of(name)
        if own != base.options_of(name):
            try:
                registry.load(name, own)
            except BackendOptionError as error:  # uncaught, it would blame config.yaml
                raise UsageError(str(error)) from error
    if place is not None and place.format is None:
        return settings
    if overrides.get("job.artifacts"):
        raise UsageError(
            "--artifact draws into the folder of a single job: name one, as -o painting/, or leave "
            "that out"
        )
    return settings.model_copy(update={"job": settings.job.model_copy(update={"artifacts": ()})})


def _output(
    place: Place | None, content: Path | None, styles: Sequence[Path], settings: JobSettings
) -> tuple[Place, str]:
    """Return the place of the output, and the name, without suffix, of the staged final picture.

    If `place` is None, the output is an unused file in the current folder. Only in a folder does
    the setting `final` name the picture. Raises UsageError if the suffix of `place` is for a clip
    and the content is not a clip, or the reverse; raises OutputError as `unnamed` does.
    """
    from stylewatch_painter.images.read_clip import is_clip

    paints_clip = content is not None and is_clip(content)
    format_ = settings.clip.format if paints_clip else settings.format
    name = default_name(content, styles)
    if place is None:
        return output_target.unnamed(name, format_), FINAL
    if place.format is None:
        main = content or styles[0]
        recipe = settings.recipe
        seed = settings.seed
        values = name_fields(name, main, styles, recipe=recipe, seed=seed)
        final = fill_file(settings.final, values)
        return replace(place, final=f"{final}.{format_}"), final
    if (place.format in CLIP_FORMATS) != paints_clip:
        kind = "a clip" if paints_clip else "a picture"
        raise UsageError(
            f"{(content or styles[0]).name} is {kind}, and {place.path.name} is none by its name: "
            f"name it {place.path.stem}.{format_}"
        )
    return place, FINAL


def overrides_of(job: options.JobOptions) -> dict[str, Any]:
    """Return the settings that the options change, by dotted keys.

    Raises UsageError if the value of an option cannot be read, or if an option and `--set` name the
    same field. Other mistakes in `--set` become Unusable values; see `options.parse_sets`.
    """
    given = {
        name: options.value_of(name, job[name])
        for name in job
        # the option `mask` names a file, the setting says how masks are used
        if name in JobSettings.model_fields and name != "mask"
    }
    if "artifact" in job:
        names = (name.strip() for text in job["artifact"] for name in text.split(","))
        given["artifacts"] = [name for name in names if name]
    if "init" in job and job["init"] not in STARTS:
        given["init"] = "picture"
    sets = options.parse_sets(job.get("sets"))
    set_fields = {book.bare_name(key.removeprefix("job.").removeprefix("set.")) for key in sets}
    for name in given:
        if book.bare_name(name) in set_fields:
            raise UsageError(
                f"{name} is given twice, by its option and by --set: leave one of them out"
            )
    return {f"job.{name}": value for name, value in given.items()} | sets


def job_part(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return `overrides` in the form of job.yaml; raises a UsageError that lists every mistake."""
    wrong = [
        value.why
        if isinstance(value, config.Unusable)
        else f"--set {key}: `{key}` is a daemon setting; it can't be set for a job"
        for key, value in overrides.items()
        if not key.startswith("job.")
    ]
    recipe = overrides.get("job.recipe")
    if isinstance(recipe, str) and is_file(recipe):
        wrong.append(
            f"--recipe {recipe}: a job of the daemon can't name a recipe file; put the file into a "
            "folder under `recipes` in config.yaml, and name the recipe"
        )
    if wrong:
        raise UsageError("\n".join(wrong))
    return config.job_overrides(overrides)


def over_variables(own: Mapping[str, Any], *, quiet: bool = False) -> dict[str, Any]:
    """Return the settings `own` of a command line over those in variables of the environment.

    Both are in the form of job.yaml, in which the daemon gets them: it has another environment. A
    recipe file in a variable is left out, with a note unless `quiet`, because no job can name one.
    """
    found = config.from_environment(os.environ)
    below = config.job_overrides({k: v for k, v in found.items() if k.startswith("job.")})
    if is_file(str(below.get("recipe", ""))):
        recipe = below.pop("recipe")
        if "recipe" not in own and not quiet:
            note(
                f"the recipe file {recipe} of the environment is left to the settings of the daemon"
            )
    merged = config.merge_job(below, own)
    return {key: value for key, value in merged.items() if value != {}}


def with_named_styles(
    pictures: Sequence[Path], job: options.JobOptions, settings: config.Config
) -> tuple[Path, ...]:
    """Return `pictures`, followed by the styles that the option `--style` names.

    Raises UsageError if a style is not found, or if styles are named without a photograph, and
    OutputError if the disk of the style library is missing.
    """
    names = job.get("style", ())
    if not names:
        return tuple(pictures)
    if not pictures and settings.job.only != "style":
        raise UsageError("--style names a painting: name the photograph, too")
    with style_library(settings) as library:
        return (*pictures, *named_styles(library, names))


@contextmanager
def style_library(settings: config.Config) -> Iterator[Path]:
    """Yield the path of the style library; check its disk before and after the block (law 2).

    Raises OutputError if the disk is missing, and UsageError if the block raises an OSError.
    """
    library = settings.pairing.styles
    with disks_of(settings.state.path, library).checked(library):
        try:
            yield library
        except OSError as error:
            why = f"the style library {library} cannot be read: {error.strerror}"
            raise UsageError(why) from error


def sides(
    command: str, pictures: Sequence[Path], only: Side | None
) -> tuple[Path | None, tuple[Path, ...]]:
    """Divide the pictures of a command line into the content and the styles.

    The content is None if `only` is `style`. `command` is for messages. Raises UsageError for a
    wrong number of pictures, and InputError if one is not a regular file.
    """
    if only == "content" and len(pictures) != 1:
        raise UsageError(f"{command} with --only content takes one picture, got {len(pictures)}")
    if only == "style" and not pictures:
        raise UsageError(f"{command} with --only style takes at least one painting: STYLE...")
    if only is None and len(pictures) < len(("content", "style")):
        raise UsageError(f"{command} takes a photograph and at least one style: CONTENT STYLE...")
    for path in pictures:
        check_file(path)
    return (None, tuple(pictures)) if only == "style" else (pictures[0], tuple(pictures[1:]))


def default_name(content: Path | None, styles: Sequence[Path]) -> str:
    """Return the default name of an output: `sea-wave`, `sea-content` or `wave-style`."""
    if content is None:
        return f"{styles[0].stem}-style"
    return f"{content.stem}-{styles[0].stem if styles else 'content'}"


def check_file(path: Path) -> None:
    """Raise InputError if `path` is not a regular file."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    if not S_ISREG(mode):
        raise InputError(f"{path} is a folder, a pipe or a device: name a file")


def photograph_size(content: Path | None, most: int) -> Size | None:
    """Return the size of the photograph `content`; None if it cannot be read.

    The result is also None if `content` is None or a clip, or has more than `most` pixels.
    """
    from stylewatch_painter.images.read import picture_size
    from stylewatch_painter.images.read_clip import is_clip

    with suppress(PictureError):
        if content is not None and not is_clip(content):
            return picture_size(content, most)
    return None


def note_size(job: JobSettings, recipe: Recipe, photograph: Size | None) -> None:
    """Print a remark if the output will be smaller than the requested size.

    If the job requests no size, the output is compared with the photograph. Without the size of a
    photograph no remark is printed.
    """
    from stylewatch_daemon.worker.prepare import size_limit
    from stylewatch_painter.scene.scales import final_size

    if photograph is None:
        return
    note("\n".join(size_limit(job, recipe, photograph)))
    final = final_size(recipe.schedule, photograph)
    if job.size is None and max(final) < max(photograph):
        note(f"{in_pixels(final)} of {in_pixels(photograph)} pixels; --size makes it larger")


def init_picture(job: options.JobOptions) -> Path | None:
    """Return the picture that `--init` names; None if it names none, or is not given.

    Raises UsageError for an unknown word, and InputError if the picture is not a regular file.
    """
    if job.get("init", "content") in STARTS:
        return None
    path = Path(job["init"])
    if not lexists(path) and path.name == job["init"] and not path.suffix:
        raise UsageError(f"--init takes {', '.join(STARTS)} or a picture, got {job['init']!r}")
    check_file(path)
    return path


def masks_by_role(job: options.JobOptions, styles: int) -> dict[str, Path]:
    """Return the masks of a job by role, such as `content-mask`; `styles` is the number of styles.

    Raises UsageError if there are more style masks than styles, and InputError if a mask is not a
    regular file.
    """
    style_masks = job.get("style_mask", ())
    if len(style_masks) > styles:
        raise UsageError(
            f"--style-mask is given {len(style_masks)} times for {styles} styles: "
            "give one for each, or `none`"
        )
    masks = {CONTENT_MASK: Path(job["mask"])} if "mask" in job else {}
    for number, name in enumerate(style_masks, start=1):
        if name != "none":
            masks[f"style-{number}{MASK}"] = Path(name)
    for path in masks.values():
        check_file(path)
    return masks


def names_of(
    content: Path | None, styles: Sequence[Path], init: Path | None, masks: Mapping[str, Path]
) -> Files:
    """Return the names of the files of a job, by which a mistake about them can be told."""
    from stylewatch_painter.images.read_clip import is_clip

    return Files(
        content="" if content is None else content.name,
        styles=len(styles),
        init="" if init is None else init.name,
        masks={role: path.name for role, path in masks.items()},
        is_clip=content is not None and is_clip(content),
    )


# Repetition of a job from its receipt


@dataclass(frozen=True)
class Replay:
    """A receipt, from which a job is repeated, and its folder."""

    receipt: Receipt
    folder: Path

    def pictures(self, only: Side | None) -> Sequence[InputRecord]:
        """Return the records of the content and the styles, or only of the side that `only` names.

        If both sides are wanted and the receipt has no content, the result is empty, because no
        style may take the place of the content.
        """
        inputs = [
            record for record in self.receipt.inputs if not record.role.endswith(("init", MASK))
        ]
        if only is None:
            return inputs if any(record.role == "content" for record in inputs) else ()
        return [record for record in inputs if record.role.startswith(only)]

    def options(self, styles: int, *, is_masked: bool) -> dict[str, Any]:
        """Return options that name the masks and the starting picture of the receipt.

        `styles` is the number of styles. The mask of the content is left out unless the job
        `is_masked`.
        """
        records = [record for record in self.receipt.inputs if record.role.endswith(("init", MASK))]
        files = {record.role: str(self.path(record)) for record in records}
        masks = [files.get(f"style-{number}{MASK}", "none") for number in range(1, 1 + styles)]
        named = {"mask": is_masked and files.get(CONTENT_MASK), "init": files.get("init")}
        return {name: file for name, file in named.items() if file} | {"style_mask": masks}

    def path(self, record: InputRecord) -> Path:
        """Return the file of an input beside the receipt, found by its digest, else its name.

        Raises InputError if there is none, or if the folder of inputs cannot be read.
        """
        folder = self.folder / INPUTS
        by_name = folder / Path(record.name).name
        try:
            paths = (by_name, *(folder / name for name in entries.names(folder)))
            files = [path for path in paths if entries.is_file(path, follow=True)]
        except OSError as error:
            raise InputError(f"{folder} cannot be read: {error.strerror}") from error
        path = next((path for path in files if _digest(path) == record.sha256), by_name)
        if path not in files:
            raise InputError(
                f"{by_name} does not exist; with --from, name the pictures that lie elsewhere: "
                "CONTENT STYLE..., --init, --mask, --style-mask"
            )
        return path

    def differences(
        self, records: Sequence[InputRecord], pictures: Sequence[Path]
    ) -> Iterator[str]:
        """Yield a sentence for each difference of pictures, weights and packages from the receipt.

        `records`, those of the receipt, are compared with `pictures` in the same order. Raises
        InputError if a picture cannot be read.
        """
        if len(pictures) != len(records):
            yield f"the receipt has {len(records)} pictures for this, here are {len(pictures)}"
        for record, path in zip(records, pictures, strict=False):
            if _digest(path) != record.sha256:
                yield f"{path} is not the {record.role} of the receipt, {record.name}"
        with suppress(WeightsError):  # of another kind, or missing, which the backend reports
            weights_record = self.receipt.weights
            if weights_record and not self.late_weights:
                local = weights.locate(weights_record.name).for_receipt()
                is_same = weights_record.normalization in (None, local["normalization"])
                if weights_record.sha256 != local["sha256"] or not is_same:
                    yield f"the weights {weights_record.name!r} are not those of the receipt"
        for name, had_version in self.receipt.packages.items():
            with suppress(PackageNotFoundError):  # as `_with_recipe` reports
                here_version = version(name)
                if here_version != had_version:
                    yield f"{name} is {here_version} here, and was {had_version} for the receipt"

    @property
    def late_weights(self) -> str:
        """Digest of the receipt's weights if only the backend can look them up, else empty."""
        record = self.receipt.weights
        if record is None or _is_vgg(record.name):
            return ""
        return record.sha256

    def configured(
        self, base: config.Config, scratch: Path, overrides: Mapping[str, Any]
    ) -> config.Config:
        """Return `base` with the job settings, the weights and the memory options of the receipt.

        The device of `base` is kept if the backend is the same; otherwise no device is named.
        Unless the `overrides` name another recipe, the settings give the recipe of the receipt; see
        `_with_recipe`. Raises InputError for an invalid value, and UsageError for overrides that
        cannot be used.
        """
        job: JobSettings = _check(
            JobFile, of_record(self.receipt.settings), "the settings of this receipt cannot be used"
        )
        device = base.job.device if base.job.backend == job.backend else None
        if "job.recipe" not in overrides:
            job = self._with_recipe(job, base, scratch, overrides)
        job = job.model_copy(update={"device": device})
        decided = self.receipt.attempts[-1].decided if self.receipt.attempts else {}
        had = {key: decided[key] for key in _MEMORY_OPTIONS if isinstance(decided.get(key), int)}
        if self.receipt.weights is not None:
            had["weights"] = self.receipt.weights.name
        own = {job.backend: {**base.backends.get(job.backend, {}), **had}}
        try:
            registry.load(job.backend, own[job.backend])
        except BackendOptionError as error:  # uncaught, it would blame config.yaml
            raise InputError(f"the options of this receipt cannot be used: {error}") from error
        return base.model_copy(update={"job": job, "backends": {**base.backends, **own}})

    def _with_recipe(
        self, job: JobSettings, base: config.Config, scratch: Path, overrides: Mapping[str, Any]
    ) -> JobSettings:
        """Return the settings of `job`, changed if necessary to give the recipe of the receipt.

        If the settings give that recipe here, they are returned, with `init: picture` if necessary.
        Otherwise the recipe is written into the folder `scratch`, and the settings name its file.
        The recipe before the job's changes is not known then, so overrides that compute with it
        raise UsageError. Raises UnavailableError if a package of the recipe is not installed.
        """
        lacking = installed.lacking(self.receipt.packages)
        if lacking:
            raise UnavailableError(
                f"the recipe of this receipt takes {' and '.join(lacking)}, which is not installed "
                "here, or cannot be loaded: install it"
            )
        plain = earlier.of_receipt(self.receipt.recipe)
        recipe = _check(Recipe, plain, "the recipe of this receipt cannot be used")
        folders = {key: value for key, value in overrides.items() if key == "recipes"}
        recipes = config.override(base, folders).recipes
        # a dropped starting picture is used without a setting that names it
        for settings in (job, job.model_copy(update={"init": "picture"})):
            if _resolved(settings, recipes) == recipe:
                return settings
        refused = [key for key, value in overrides.items() if _is_relative(key, value)]
        if refused:
            names = ", ".join(key.removeprefix("job.") for key in refused)
            raise UsageError(
                f"the recipe {shown(job.recipe)} of this receipt has changed, or cannot be read"
                f" here: leave out {names}, or name a recipe with --recipe"
            )
        file = scratch / f"{safe(recipe.name)}.yaml"
        file.write_text(yaml.safe_dump(recipe.model_dump(mode="json")), encoding="utf-8")
        return job.with_whole_recipe(recipe, file)


def _resolved(job: JobSettings, folders: Sequence[Path]) -> Recipe | None:
    """Return the recipe that a job's settings give; None for a file or an unreadable recipe."""
    if "/" in job.recipe or is_file(job.recipe):
        return None  # the file of a recipe is not in a receipt, only its path
    try:
        return job.resolve(*folders)
    except (RecipeError, RecipesAwayError):
        return None


def _is_relative(key: str, value: object) -> bool:
    """Return whether an override computes with the recipe as it is before a job changes it."""
    return key in _RELATIVE or (key == "job.style_size" and "%" in str(value))


def read_receipt(path: Path) -> Replay:
    """Read the receipt in the file or folder `path`; raises InputError if there is no valid one."""
    file = path
    try:
        file = path / RECEIPT if entries.is_folder(path) else path
        plain = json.loads(atomic.read(Path(realpath(file)), MAX_BYTES))
    except OSError as error:
        raise InputError(f"{shortened(file)} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file} is not a receipt: {error}") from error
    return Replay(_check(Receipt, plain, f"{file} is not a receipt"), file.parent)


def _digest(path: Path) -> str:
    try:
        return atomic.digest(path.resolve())
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error


def _check(model: type[_Model], plain: Any, problem: str) -> _Model:
    """Validate `plain`, a receipt or a part of one, and return it as a `model`.

    Raises InputError with all mistakes, each after `problem`, if it is not valid.
    """
    try:
        return yaml_lines.check(model, Document(problem, plain))
    except SettingsError as error:
        raise InputError("; ".join(str(error).splitlines())) from error


def _is_vgg(name: str) -> bool:
    """Return whether `name`, other than AUTO, names installed weights of VGG16 or VGG19."""
    try:
        weights.locate(name)
    except WeightsError:
        return False
    return name != weights.AUTO
