"""The options that several commands have, and what `--set KEY=VALUE` may name."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from stylewatch_daemon.errors import SettingsError, UsageError
from stylewatch_daemon.settings import yaml_lines
from stylewatch_daemon.settings.config import Config as Settings
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_painter.recipes import book
from stylewatch_painter.recipes.recipe import Schedule
from stylewatch_painter.validation import nearest
from stylewatch_plugins import registry

_JOB = "Job"
_SIDES = ("objective", "schedule")

Config = Annotated[
    Path | None,
    typer.Option(
        "--config", help="Read this config.yaml, not the user's, the machine's or the shipped one."
    ),
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
AsJson = Annotated[bool, typer.Option("--json", help="Tell it as JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Tell nothing but errors.")]


def _recipes(incomplete: str) -> list[str]:
    return [name for name in book.names() if name.startswith(incomplete)]


def _backends(incomplete: str) -> list[str]:
    return [name for name in registry.names() if name.startswith(incomplete)]


Recipe = Annotated[
    str | None,
    typer.Option(
        help="What is wanted and how to get there: a name that `stylewatch recipes` lists, or a"
        " YAML file.",
        autocompletion=_recipes,
        rich_help_panel=_JOB,
    ),
]
Schedule_ = Annotated[
    Literal["source", "fast"] | None,
    typer.Option("--schedule", help="Get there as the recipe's source did, or our own fast way.",
                 rich_help_panel=_JOB),
]  # fmt: skip
Backend = Annotated[
    str | None,
    typer.Option(
        help="What paints: a name that `stylewatch backends` lists.",
        autocompletion=_backends,
        rich_help_panel=_JOB,
    ),
]
Device = Annotated[
    str | None,
    typer.Option(help="Where it paints, as `stylewatch devices` names it.", rich_help_panel=_JOB),
]
Size = Annotated[
    str | None,
    typer.Option(
        help="Pixels: 640 the long side, 640x480 a box, x400 rows, 400x columns; 0.25mp an area.",
        rich_help_panel=_JOB,
    ),
]
Steps = Annotated[
    int | None,
    typer.Option(
        min=0,
        help="Steps at the final size. 0 only measures the losses, and writes nothing.",
        rich_help_panel=_JOB,
    ),
]
SaveEvery = Annotated[
    int | None,
    typer.Option(min=1, help="Steps between two stages.", rich_help_panel=_JOB),
]
Seed = Annotated[
    int | None,
    typer.Option(
        min=0, help="Of the noise; the same seed gives the same painting.", rich_help_panel=_JOB
    ),
]
Artifact = Annotated[
    list[str] | None,
    typer.Option(
        "--artifact",
        metavar="NAME",
        help="Also draw this file into the job's folder: losses, progress, gif, sheet."
        " Repeatable, or several with commas.",
        rich_help_panel=_JOB,
    ),
]
Only = Annotated[
    Literal["content", "style"] | None,
    typer.Option(
        "--only",
        help="One side alone: the content, as its layers keep it, or a texture like the style.",
        rich_help_panel=_JOB,
    ),
]
Sweeps = Annotated[
    list[str] | None,
    typer.Option(
        "--sweep",
        metavar="KEY=V1,V2",
        help="A job for each of these values, and a sheet of all: strength=0.3,0.5,0.7. Of two"
        " keys, every pairing.",
        rich_help_panel=_JOB,
    ),
]
Init = Annotated[
    str | None,
    typer.Option(
        metavar="START",
        help="Start from content, style, noise, mixed, or from a picture FILE.",
        rich_help_panel=_JOB,
    ),
]
Mask = Annotated[
    Path | None,
    typer.Option(
        "--mask",
        metavar="FILE",
        help="Where the photograph is painted: white, or colors that styles' masks have too.",
        rich_help_panel=_JOB,
    ),
]
StyleMasks = Annotated[
    list[str] | None,
    typer.Option(
        "--style-mask",
        metavar="FILE",
        help="Where to look in a style: for each style one, in their order, or `none`. Repeatable.",
        rich_help_panel=_JOB,
    ),
]
Strength = Annotated[
    float | None,
    typer.Option(
        min=0.0, max=1.0, help="How strongly the style acts, 0 to 1.", rich_help_panel=_JOB
    ),
]


def parse_sets(sets: Sequence[str] | None) -> dict[str, Any]:
    """Return the settings that `--set KEY=VALUE ...` changes, by the dotted keys of config.yaml.

    Raises UsageError: no `=`, a value that is no YAML, or a key that there is not, with the
    nearest right one.
    """
    return dict(_parsed(one) for one in sets or ())


def _parsed(text: str) -> tuple[str, Any]:
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


def full_key(key: str) -> str:
    """Where `key` stands in config.yaml."""
    head, dot, _ = key.partition(".")
    if head in Settings.model_fields:
        return key
    if key in JobSettings.model_fields or (head in JobSettings.model_fields and head not in _SIDES):
        return f"job.{key}"
    if key in Schedule.model_fields or (dot and head in {*Schedule.model_fields, *_SIDES}):
        return f"job.set.{key}"
    plain = Settings().model_dump(exclude={"job", "inboxes"})
    known = {*Settings.model_fields, *book.dotted(plain), *JobSettings.model_fields,
             *Schedule.model_fields, *_SIDES}  # fmt: skip
    raise UsageError(f"--set: {nearest(head, known)}")
