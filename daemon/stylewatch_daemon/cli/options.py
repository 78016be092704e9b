"""Options that several commands share, and the keys of `--set KEY=VALUE`."""

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import typer

from stylewatch_daemon.base.errors import SettingsError, UsageError
from stylewatch_daemon.settings import yaml_lines
from stylewatch_daemon.settings.config import Config as Settings
from stylewatch_daemon.settings.job import Color, JobSettings
from stylewatch_painter.recipes import book
from stylewatch_painter.recipes.recipe import Schedule
from stylewatch_painter.validation import nearest
from stylewatch_plugins import registry


def expanded(path: Path) -> Path:
    """Return `path` with a home folder in place of `~`; raises UsageError for an unknown user."""
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise UsageError(f"{path} cannot be used: {error}") from error


_RECIPE_PARTS = ("objective", "schedule")

MORE = "More options"
"""The heading of the options that few people need."""

Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        rich_help_panel=MORE,
        help="Read this config.yaml, not that of the current folder, the user or the machine.",
    ),
]
State = Annotated[
    Path | None,
    typer.Option(
        "--state",
        metavar="FOLDER",
        rich_help_panel=MORE,
        help="The daemon's state folder, if it is not that of config.yaml.",
    ),
]
Job = Annotated[
    str, typer.Argument(metavar="JOB", help="Its name in the outbox or in the inbox, or its id.")
]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Any setting, dotted as in config.yaml, a job's setting by itself, or a field of the"
        " recipe: watch.quiet_s=1, format=jpg, objective.tv.weight=0.1. Repeatable.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only errors.")]
Force = Annotated[bool, typer.Option("--force", "-f", help="Replace what exists at OUT.")]


def _first(*names: str, **more: Any) -> Any:
    return typer.Option(*names, **more)


def _more(*names: str, **more: Any) -> Any:
    return typer.Option(*names, rich_help_panel=MORE, **more)


def _completing(names: Callable[[], Sequence[str]]) -> Callable[[str], list[str]]:
    def complete(incomplete: str) -> list[str]:
        return [name for name in names() if name.startswith(incomplete)]

    return complete


@dataclass(frozen=True)
class JobOptions:
    """Options of a job, in the order of `--help`; names are those of the job's settings."""

    recipe: Annotated[
        str | None,
        _first(
            metavar="NAME",
            help="How to paint: a name that `stylewatch recipes` lists, or a YAML file.",
            autocompletion=_completing(book.names),
        ),
    ] = None
    size: Annotated[
        str | None,
        _first(
            metavar="SIZE",
            help="Pixels: 640 the long side, 512-short the short side, 640x480 a box, x400 rows,"
            " 400x columns; 0.25mp an area.",
        ),
    ] = None
    strength: Annotated[
        float | None,
        _first(metavar="X", min=0.0, max=1.0, help="How strongly the style acts, 0 to 1."),
    ] = None
    stroke: Annotated[
        float | None,
        _first(
            metavar="X",
            min=0.0625,
            max=16.0,
            help="Size of the strokes; 2 is twice the usual size.",
        ),
    ] = None
    color: Annotated[
        Color | None,
        _first(help="Which colors the output has; docs/color.md shows each."),
    ] = None
    mask: Annotated[
        Path | None,
        _first(
            metavar="FILE",
            help="Where the photograph is stylized: white, or colors that styles' masks have too.",
        ),
    ] = None
    sets: Sets = None
    enlarge: Annotated[
        bool | None,
        _more("--enlarge/--no-enlarge", help="Enlarge a photograph smaller than the size."),
    ] = None
    preview: Annotated[
        str | None,
        _more(
            metavar="SIZE", help="Paint at this size first, then scale up from there: for prints."
        ),
    ] = None
    steps: Annotated[
        int | None,
        _more(metavar="N", min=0, help="Steps at the final size. 0 only measures the losses."),
    ] = None
    seed: Annotated[
        int | None,
        _more(metavar="N", min=0, help="Seed of the noise; the same seed gives the same output."),
    ] = None
    style_mask: Annotated[
        list[str] | None,
        _more(
            metavar="FILE",
            help="The part of a style to use: once for each style, in their order, or `none`.",
        ),
    ] = None
    only: Annotated[
        Literal["content", "style"] | None,
        _more(help="Reconstruct the content alone, or make a texture of the style alone."),
    ] = None
    init: Annotated[
        str | None,
        _more(
            metavar="START",
            help="Start from content, style, style_color, noise, mixed, or from a picture FILE.",
        ),
    ] = None
    content_weight: Annotated[
        float | None,
        _more(metavar="X", help="Factor of the recipe's weights of the content."),
    ] = None
    style_weight: Annotated[
        float | None,
        _more(metavar="X", help="Factor of the recipe's weights of the style."),
    ] = None
    schedule: Annotated[
        Literal["source", "fast"] | None,
        _more(help="The schedule of the recipe's source, or our own fast one."),
    ] = None
    backend: Annotated[
        str | None,
        _more(
            metavar="NAME",
            help="The backend: a name that `stylewatch doctor` lists.",
            autocompletion=_completing(registry.names),
        ),
    ] = None
    device: Annotated[
        str | None,
        _more(metavar="NAME", help="The device: a name that `stylewatch doctor` lists."),
    ] = None
    save_every: Annotated[
        int | None, _more(metavar="N", min=1, help="Steps between two stages.")
    ] = None
    artifact: Annotated[
        list[str] | None,
        _more(
            metavar="NAME",
            help="Also draw this file into the job's folder: losses, progress, gif, sheet."
            " Repeatable, or several with commas.",
        ),
    ] = None
    sweep: Annotated[
        list[str] | None,
        _more(
            metavar="KEY=V1,V2",
            help="Run a job for each of these values: strength=0.3,0.5,0.7. Repeatable, for every"
            " combination. Without the daemon, a sheet of all is drawn.",
        ),
    ] = None


def words_of(job: JobOptions) -> list[str]:
    """Return the words of a command line that give these options."""
    words = []
    for name, value in sorted(vars(job).items(), key=lambda item: item[0] == "sets"):
        option = f"--{name.replace('_', '-')}" if name != "sets" else "--set"
        if isinstance(value, bool):
            words.append(option if value else option.replace("--", "--no-", 1))
        elif isinstance(value, list):
            words += [word for each in value for word in (option, str(each))]
        elif value is not None:
            words += [option, str(value)]
    return words


def with_job_options(command: Callable[..., None]) -> Callable[..., None]:
    """Replace the parameter `job` of a command by an option for each field of JobOptions."""
    defaults = {field.name: field.default for field in fields(JobOptions)}
    job_parameters = [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=defaults[name], annotation=hint
        )
        for name, hint in get_type_hints(JobOptions, include_extras=True).items()
    ]

    @wraps(command)
    def wrapper(*args: Any, **given: Any) -> None:
        job = JobOptions(**{name: given.pop(name) for name in defaults if name in given})
        command(*args, **given, job=job)

    signature = inspect.signature(command)
    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        parameters += job_parameters if parameter.name == "job" else [parameter]
    wrapper.__dict__["__signature__"] = signature.replace(parameters=parameters)
    wrapper.__annotations__ = {each.name: each.annotation for each in parameters}
    return wrapper


def parse_sets(sets: Sequence[str] | None) -> dict[str, Any]:
    """Return the settings of `--set KEY=VALUE ...`, by the dotted keys of config.yaml.

    Raises UsageError for a missing `=`, a value that is not YAML, and an unknown key.
    """
    return dict(_parse_set(text) for text in sets or ())


def _parse_set(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if re.match(r"\s*alerts(\.urls\b.*|\s*)$", key, re.DOTALL):
        raise UsageError(
            "--set alerts.urls: these are secrets, which others would see on a command line; "
            "write them into config.yaml, or into a file that alerts.urls_file names"
        )
    if not equals:
        raise UsageError(f"--set takes KEY=VALUE, as steps=100, got {text!r}")
    try:
        return full_key(key.strip()), yaml_lines.value(value)
    except SettingsError as error:
        raise UsageError(f"--set {key}: {error}") from error


def full_key(key: str, option: str = "--set") -> str:
    """Return the dotted key of config.yaml for a `key` of `--set`, or of that `option`."""
    head, dot, _ = key.partition(".")
    if head in Settings.model_fields:
        return key
    if key in JobSettings.model_fields or (
        head in JobSettings.model_fields and head not in _RECIPE_PARTS
    ):
        return f"job.{key}"
    if key in Schedule.model_fields or (dot and head in {*Schedule.model_fields, *_RECIPE_PARTS}):
        return f"job.set.{key}"
    plain = Settings().model_dump(exclude={"job", "inboxes"})
    known = {*Settings.model_fields, *book.dotted(plain), *JobSettings.model_fields,
             *Schedule.model_fields, *_RECIPE_PARTS}  # fmt: skip
    raise UsageError(f"{option}: {nearest(head, known)}")
