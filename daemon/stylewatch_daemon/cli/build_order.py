"""From what a command line asks to the Order that a worker takes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from stylewatch_daemon.cli import options, output_target, replay
from stylewatch_daemon.cli.masks import Masks, check_there
from stylewatch_daemon.errors import UsageError
from stylewatch_daemon.files.names import FINAL
from stylewatch_daemon.settings import config, patterns
from stylewatch_daemon.settings.config import Config
from stylewatch_daemon.settings.job import JobSettings, Side
from stylewatch_daemon.worker.messages import Order
from stylewatch_painter.recipes.recipe import Recipe

_STARTS = ("content", "style", "noise", "mixed")


@dataclass(frozen=True)
class Asked:
    """Options of a command line; `given` are a job's settings by name, None if not given."""

    pictures: tuple[Path, ...] = ()
    output: str | None = None
    receipt: Path | None = None
    init: str | None = None
    given: Mapping[str, Any] = field(default_factory=dict)
    sets: tuple[str, ...] = ()
    config_file: Path | None = None
    swept: Mapping[str, Any] = field(default_factory=dict)
    """Additional settings of one member of a series, by the dotted keys of config.yaml."""
    masks: Masks = field(default_factory=Masks)


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
        """All that the painting is made from."""
        found = (self.order.content, *self.order.styles, self.order.init)
        return (*(path for path in found if path is not None), *self.order.masks.values())


def make_plan(asked: Asked, scratch: Path) -> Plan:
    """Everything that can be said before a backend is loaded; `scratch` is a folder to use.

    Raises UsageError, SettingsError, InputError or RecipeError.
    """
    repeated = replay.read(asked.receipt) if asked.receipt else None
    pictures = asked.pictures or (repeated.pictures() if repeated else ())
    place = output_target.named(asked.output) if asked.output else None
    overrides = {**overrides_of(asked), **_format(asked, place), **asked.swept}
    below = config.load(asked.config_file)
    if repeated:
        below = _repeating(repeated, repeated.settings(scratch, len(pictures), below.job), below)
    settings = config.override(below, overrides)
    settings = _without_folder(settings, asked, place)
    check_pictures("render", pictures, settings.job.only)
    content, styles = sides_of(pictures, settings.job.only)
    place, final = _placed(place, pictures, settings.job)
    order = Order(
        name=pictures[0].stem,
        settings=settings.job,
        content=content,
        styles=styles,
        staging=scratch,
        init=init_of(asked, repeated),
        masks=asked.masks.by_role(len(styles), repeated.masks() if repeated else None),
        final=final,
        backend_options=settings.backends.get(settings.job.backend, {}),
        recipe_folders=settings.recipes,
        max_pixels=settings.limits.max_pixels,
        memory=settings.limits.memory,
        out_of_memory=settings.limits.out_of_memory,
    )
    return Plan(
        order=order,
        recipe=settings.job.resolve(*settings.recipes),
        place=place,
        debug=settings.log.level == "debug",
        remarks=tuple(repeated.differences(pictures)) if repeated else (),
    )


def _format(asked: Asked, place: output_target.Place | None) -> dict[str, Any]:
    """Return the format that a picture's name implies; UsageError if `--set` differs."""
    if place is None or place.format is None:
        return {}
    said = overrides_of(asked).get("job.format", place.format)
    if said != place.format:
        raise UsageError(
            f"{place.path.name} is {place.format} by its name, and --set says format {said}: "
            "leave that out, or give another name"
        )
    return {"job.format": place.format}


def _without_folder(settings: Config, asked: Asked, place: output_target.Place | None) -> Config:
    """`settings` without artifacts where one picture is all; UsageError where they are asked for.

    What config.yaml or a receipt says of them is for paintings in folders.
    """
    if place is not None and place.format is None:
        return settings
    if asked.given.get("artifacts"):
        raise UsageError("--artifact is for a painting in a folder: name one, as -o painting/")
    return settings.model_copy(update={"job": settings.job.model_copy(update={"artifacts": ()})})


def _placed(
    place: output_target.Place | None, pictures: Sequence[Path], settings: JobSettings
) -> tuple[output_target.Place, str]:
    """Where it goes, and what the last picture is called on its way: in a folder, for good."""
    name = name_of(pictures, settings.only)
    if place is None or place.format:
        return place or output_target.unnamed(name, settings.format), FINAL
    _, styles = sides_of(pictures, settings.only)
    places = patterns.values(name, pictures[0], styles, recipe=settings.recipe, seed=settings.seed)
    final = patterns.file(settings.final, places)
    return replace(place, final=f"{final}.{settings.format}"), final


def _repeating(repeated: replay.Repeat, job: JobSettings, below: Config) -> Config:
    """`below` with what the receipt says of the `job` and of its backend's memory."""
    said = below.backends.get(job.backend, {}) | repeated.options()
    backends = {**below.backends, job.backend: said} if said else below.backends
    return below.model_copy(update={"job": job, "backends": backends})


def overrides_of(asked: Asked) -> dict[str, Any]:
    """Return the changed settings by the dotted keys of config.yaml; raises UsageError."""
    given = {f"job.{key}": value for key, value in asked.given.items() if value is not None}
    if asked.init is not None:
        given["job.init"] = asked.init if asked.init in _STARTS else "picture"
    return {**given, **options.parse_sets(asked.sets)}


def job_part(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return the job's settings as its job.yaml has them.

    Raises UsageError, which tells all that a job may not say.
    """
    wrong = [
        f"--set {key}: that is the daemon's to say, and no setting of a job"
        for key in overrides
        if not key.startswith("job.")
    ]
    recipe = overrides.get("job.recipe")
    if isinstance(recipe, str) and recipe.endswith((".yaml", ".yml")):
        wrong.append(
            f"--recipe {recipe}: the daemon takes no files for recipes from others; put it into a "
            "folder that `recipes` in config.yaml names, and say its name"
        )
    if wrong:
        raise UsageError("\n".join(wrong))
    return config.job_overrides(overrides)


def check_pictures(command: str, pictures: Sequence[Path], only: Side | None) -> None:
    """Raise UsageError for too few or too many for the `command`, InputError where one is not."""
    if only == "content" and len(pictures) != 1:
        raise UsageError(f"{command} with --only content takes one picture, got {len(pictures)}")
    if only == "style" and not pictures:
        raise UsageError(f"{command} with --only style takes at least one painting: STYLE...")
    if only is None and len(pictures) < len(("content", "style")):
        raise UsageError(f"{command} takes a photograph and at least one style: CONTENT STYLE...")
    for path in pictures:
        check_there(path)


def sides_of(pictures: Sequence[Path], only: Side | None) -> tuple[Path | None, tuple[Path, ...]]:
    """Of the pictures that are named, the content and the styles."""
    if only == "style":
        return None, tuple(pictures)
    return pictures[0], tuple(pictures[1:])


def name_of(pictures: Sequence[Path], only: Side | None) -> str:
    """Return the default name of an output: `sea-wave`, or `sea-content`."""
    return f"{pictures[0].stem}-{only or pictures[1].stem}"


def init_of(asked: Asked, repeated: replay.Repeat | None = None) -> Path | None:
    """The picture to start from, if it is one; raises UsageError, or InputError as above."""
    if asked.init is None:
        return repeated.init() if repeated else None
    if asked.init in _STARTS:
        return None
    path = Path(asked.init)
    if not path.exists() and path.name == asked.init and not path.suffix:
        raise UsageError(f"--init takes {', '.join(_STARTS)} or a picture, got {asked.init!r}")
    check_there(path)
    return path
