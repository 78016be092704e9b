"""Options that several commands share: settings of a job, `--set KEY=VALUE` and `--sweep`."""

import inspect
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import typer

from stylewatch_daemon.base.errors import SettingsError, UsageError
from stylewatch_daemon.files.names import candidates, first_free, folded, safe
from stylewatch_daemon.settings import yaml_lines
from stylewatch_daemon.settings.config import Config as Settings
from stylewatch_daemon.settings.config import Unusable
from stylewatch_daemon.settings.job import DESCRIBED, JobSettings, choices_of, given, setting_of
from stylewatch_daemon.views.formatting import as_text
from stylewatch_painter.recipes import book
from stylewatch_painter.recipes.recipe import Schedule
from stylewatch_painter.validation import nearest
from stylewatch_plugins import registry

_RECIPE_PARTS = ("objective", "schedule")

MORE = "More options"
"""The heading of the options that few people need."""

SETS_HELP = (
    "Any setting, dotted as in config.yaml, a job's setting by itself, or a field of the recipe: "
    "watch.quiet_s=1, format=jpg, objective.tv.weight=0.1. Repeatable."
)

Pictures = Annotated[
    list[Path],
    typer.Argument(
        metavar="CONTENT STYLE",
        help="The photograph, and one or more paintings.",
        default_factory=list,
        show_default=False,
    ),
]
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
    typer.Option("--set", metavar="KEY=VALUE", help=SETS_HELP),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only errors.")]
Force = Annotated[bool, typer.Option("--force", "-f", help="Replace what exists at OUT.")]


JobOptions = Mapping[str, Any]
"""The options of a job that are given on a command line, by their NAMES."""

_OWN: Mapping[str, tuple[Any, str | None, str]] = {
    "mask": (Path, "FILE",
        "Where the photograph is stylized: white, or colors that styles' masks have too."),
    "style": (list[str], "NAME",
        "A painting by its name in the style library, or of those that come with stylewatch."
        " Repeatable."),
    "sets": (list[str], "KEY=VALUE", SETS_HELP),
    "style_mask": (list[str], "FILE",
        "The part of a style to use: once for each style, in their order, or `none`."),
    "artifact": (list[str], "NAME",
        f"{DESCRIBED['artifacts'].sentence} Repeatable, or several with commas."),
    "sweep": (list[str], "KEY=V1,V2",
        "Run a job for each of these values: strength=0.3,0.5,0.7. Repeatable, for every"
        " combination. Without the daemon, a sheet of all is drawn."),
}  # fmt: skip
"""The options of a job that are not settings, each with its type, placeholder and help."""

NAMES = (*(name for name in DESCRIBED if DESCRIBED[name].option is not None), *_OWN)
"""The options of a job, in the order of `--help`."""

_YES_OR_NO = ("yes", "no")
"""Choices of a setting whose option is a flag."""

_COMPLETIONS = {"recipe": book.names, "backend": registry.names}


def with_job_options(*without: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that replaces the parameter `job` of a command by the options of a job.

    The command gets the values of these options as JobOptions. The options that `without` names are
    left out.
    """
    names = [name for name in NAMES if name not in without]

    def decorated(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def wrapper(*args: Any, **given: Any) -> None:
            options = {name: given.pop(name) for name in names}
            job = {name: value for name, value in options.items() if value is not None}
            command(*args, **given, job=job)

        signature = inspect.signature(command)
        parameters: list[inspect.Parameter] = []
        for parameter in signature.parameters.values():
            if parameter.name == "job":
                parameters += map(_parameter, names)
            else:
                parameters.append(parameter)
        wrapper.__dict__["__signature__"] = signature.replace(parameters=parameters)
        wrapper.__annotations__ = {each.name: each.annotation for each in parameters}
        return wrapper

    return decorated


def _parameter(name: str) -> inspect.Parameter:
    type_, metavar, text = _OWN.get(name, (str, None, ""))
    words: Sequence[str] = ()
    is_common = name in ("mask", "style", "sets")
    if name in DESCRIBED:  # a text, which is checked where all settings are
        described = DESCRIBED[name]
        words = choices_of(name)
        metavar = described.option or "|".join(words)
        text = described.sentence
        is_common = described.is_common
    names = flag(name)
    if words == _YES_OR_NO:
        type_ = bool
        metavar = None
        names = f"{flag(name)}/--no-{name}"
    completions: Callable[[], Sequence[str]] = _COMPLETIONS.get(name, lambda: words)
    option = typer.Option(
        None,
        "--set" if name == "sets" else names,
        metavar=metavar,
        help=text,
        rich_help_panel=None if is_common else MORE,
        autocompletion=lambda incomplete: [
            completion for completion in completions() if completion.startswith(incomplete)
        ],
    )
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=option, annotation=type_ | None
    )


def value_of(name: str, value: Any) -> Any:
    """Return the value of the job option `name`, with text read as by `--set`.

    Raises UsageError for text that is not valid YAML where YAML is expected.
    """
    try:
        return given(name, value) if isinstance(value, str) else value
    except SettingsError as error:
        raise UsageError(f"{flag(name)}: {error}") from error


def flag(name: str) -> str:
    """Return the flag of the job option `name`: `--save-every` for `save_every`."""
    return f"--{name.replace('_', '-')}"


def parse_sets(sets: Sequence[str] | None) -> dict[str, Any]:
    """Return the settings of `--set KEY=VALUE ...`, by the dotted keys of config.yaml.

    For a text without `=`, with an unknown key, with the secrets of alerts, or with a value that is
    not YAML, the key is `--set` and a number, and the value is an Unusable with the reason. So all
    mistakes are reported at once (law 25).
    """
    found: dict[str, Any] = {}
    for number, text in enumerate(sets or ()):
        try:
            if re.match(r"\s*alerts(\.urls\b.*|\s*)(=|$)", text, re.DOTALL):
                raise UsageError(
                    "--set alerts.urls: these are secrets, which others would see on a command "
                    "line; write them into config.yaml, or into a file that alerts.urls_file names"
                )
            key, value = parse_pair(text, "--set", "KEY=VALUE, as steps=100")
        except UsageError as error:
            key = f"--set {number}"
            value = Unusable(str(error))
        found[key] = value
    return found


def parse_pair(text: str, option: str, example: str, form: str = "{}") -> tuple[str, Any]:
    """Parse KEY=VALUE, the value of `option`; return the dotted key of config.yaml and the value.

    VALUE is put in place of the braces in `form`, and then read as YAML. Raises UsageError, which
    shows `example` if there is no `=`.
    """
    key, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"{option} takes {example}, got {text!r}")
    try:
        return full_key(key.strip(), option), yaml_lines.value(form.format(value))
    except SettingsError as error:
        raise UsageError(f"{option} {key}: {error}") from error


def full_key(key: str, option: str = "--set") -> str:
    """Return the dotted key of config.yaml for a `key` of `option`; UsageError if it is unknown."""
    head, _, _ = key.partition(".")
    if head in Settings.model_fields:
        return key
    if key in JobSettings.model_fields or (
        head in JobSettings.model_fields and head not in _RECIPE_PARTS
    ):
        return f"job.{key}"
    if head in {*Schedule.model_fields, *_RECIPE_PARTS}:
        return f"job.set.{key}"
    plain = Settings().model_dump(exclude={"job", "inboxes"})
    known = {*Settings.model_fields, *dict(book.dotted(plain)), *JobSettings.model_fields,
             *Schedule.model_fields, *_RECIPE_PARTS}  # fmt: skip
    raise UsageError(f"{option}: {nearest(head, known)}")


# A series: a job for each combination of the values that `--sweep` gives

MOST_MEMBERS = 64
"""Maximum number of jobs in a series."""

_NOT_SWEPT = ("name", "final", "priority", "artifacts", "set")

_LONGEST_VALUE = 60
"""Maximum number of characters of a value in the name of a job."""

_LONGEST_ROW = 6
"""Maximum number of pictures in a single row if one field is swept. More pictures are arranged in a
square."""

Sweep = Mapping[str, Sequence[Any]]
"""Values of each swept field of a job, which is named as for `--set`."""


@dataclass(frozen=True)
class Member:
    """One job of a series: its `name`, safe for a folder, and its own `values`.

    `label` lists the values, one per line. `styles` follow the styles that all jobs of the series
    have.
    """

    name: str
    values: Mapping[str, Any]
    label: str = ""
    styles: tuple[Path, ...] = ()

    @property
    def overrides(self) -> dict[str, Any]:
        """The values by the dotted keys of config.yaml."""
        return {full_key(key): value for key, value in self.values.items()}


def in_words(values: Mapping[str, Any]) -> list[str]:
    """Return a text for each value of a job in a series, such as `strength 0.5`."""
    return [f"{key.split('.')[-1]} {as_text(value)}" for key, value in values.items()]


def parse_sweep(sweeps: Sequence[str] | None) -> Sweep:
    """Return the values of `--sweep KEY=V1,V2 ...` by their fields.

    Raises UsageError if a text cannot be read, if a field cannot be swept or is swept twice, and if
    there are more than MOST_MEMBERS combinations.
    """
    sweep: dict[str, Sequence[Any]] = {}
    known: dict[str, str] = {}
    for text in sweeps or ():
        key, values = parse_pair(text, "--sweep", "KEY=V1,V2, as strength=0.3,0.5", "[{}]")
        name = re.sub(r"^job\.(set\.)?", "", key)
        if not key.startswith("job."):
            raise UsageError(
                f"--sweep {key}: `{key}` is a daemon setting; it can't be set for a job"
            )
        if name in _NOT_SWEPT:
            raise UsageError(f"--sweep: {name} is the same for a whole series: sweep other fields")
        first = known.setdefault(setting_of(name) or book.full_name(name), name)
        if name in sweep:
            raise UsageError(
                f"--sweep {name} is given twice: give all values at once, as {name}=V1,V2"
            )
        if first != name:
            raise UsageError(
                f"--sweep {name} is the same as --sweep {first}: give all values at once, as "
                f"{first}=V1,V2"
            )
        if not values:
            raise UsageError(f"--sweep {name} has no values: give some, as {name}=V1,V2")
        sweep[name] = values
    count = math.prod(map(len, sweep.values()))
    if count > MOST_MEMBERS:
        raise UsageError(
            f"--sweep: this makes {count} jobs, and a series has at most {MOST_MEMBERS}: ask for "
            "fewer"
        )
    return sweep


def members(sweep: Sweep) -> Sequence[Member]:
    """Return a member for each combination of values; the last field varies fastest.

    The names of the members are unique, also without regard to case.
    """
    by_name: dict[str, Member] = {}
    for combination in product(*sweep.values()):
        values = dict(zip(sweep, combination, strict=True))
        fields = (f"{key}={as_text(value)[:_LONGEST_VALUE]}" for key, value in values.items())
        names = candidates(safe(",".join(fields)))
        name = first_free(names, lambda name: folded(name) in by_name)
        by_name[folded(name)] = Member(name, values, "\n".join(in_words(values)))
    return [*by_name.values()]


def columns(sweep: Sweep) -> int:
    """Return the number of pictures in a row of the sheet.

    This is the number of values of the last field. If there is only one field with many values, the
    sheet becomes about square.
    """
    *before, last = (len(values) for values in sweep.values())
    return last if before or last <= _LONGEST_ROW else math.ceil(math.sqrt(last))
