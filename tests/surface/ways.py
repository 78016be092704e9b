"""The ways on which people give a setting: its value there, or the sentences that refuse it."""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial, reduce
from pathlib import Path
from typing import Any
from unittest.mock import patch

import typer
from typer.core import TyperGroup

from stylewatch_daemon.base.errors import DaemonError
from stylewatch_daemon.cli import options
from stylewatch_daemon.cli.build_order import overrides_of
from stylewatch_daemon.cli.main import make_app
from stylewatch_daemon.files.disks import MountGuard
from stylewatch_daemon.settings import config
from stylewatch_daemon.settings.config import ServiceSettings
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_daemon.settings.paintable import Files
from stylewatch_daemon.web import job_form
from stylewatch_daemon.web.job_form import FormError

REQUIRED = {"executor.address": {"executor.kind": "ray"}, "executor.gpus_per_job": {
    "executor.kind": "ray"}, "executor.resources": {"executor.kind": "ray"},
    "web.listen": {"web.token_file": "token"}, "job.depth": {"job.format": "tiff"}}  # fmt: skip
"""Other settings that a key has to have beside it."""


@dataclass(frozen=True)
class Answer:
    """The plain `value` of a text on one way, or the sentences that refuse it, as `said` there."""

    value: Any = None
    said: tuple[str, ...] = ()

    @property
    def sentences(self) -> tuple[str, ...]:
        """The sentences without what differs from way to way: the place, and how it was read."""
        return tuple(without_place(each).partition(", got ")[0] for each in self.said)


_PLACES = (
    r"[^ ]*(config|job)\.yaml( line \d+)?", "command line", "environment", "the variable [A-Z_]+",
    r"--(set|[a-z-]+)( [a-z_.]+)?", "Invalid value for '[^']*'", r"(job\.)?[a-z_]+(\.[a-z_0-9]+)*",
)  # fmt: skip
_PLACE = re.compile(f"^({'|'.join(_PLACES)}): ")


def without_place(sentence: str) -> str:
    """Return what a message says of a value, without where the value stands."""
    while match := _PLACE.match(sentence):
        sentence = sentence[match.end() :]
    return sentence


def value_of(settings: ServiceSettings, key: str) -> Any:
    """Return the plain value of a dotted key."""
    plain = settings.model_dump(mode="json")
    return reduce(lambda inner, part: inner[part], key.split("."), plain)


def _asked(load: Callable[[], Any]) -> Answer:
    try:
        return Answer(load())
    except DaemonError as error:
        return Answer(said=tuple(str(error).splitlines()))
    except FormError as error:
        return Answer(said=tuple(f"{name}: {words}" for name, words in error.sentences.items()))
    except typer.BadParameter as error:
        return Answer(said=(error.format_message(),))
    except Exception as error:
        return Answer(said=(f"a fault of stylewatch, {type(error).__name__}: {error}",))


def as_yaml(values: Mapping[str, str]) -> str:
    """Return a file of settings in YAML, with a line for each part of a key."""
    lines: list[str] = []
    opened: list[str] = []
    for key, text in sorted(values.items()):
        *above, last = key.split(".")
        for depth, part in enumerate(above):
            if opened[: depth + 1] != above[: depth + 1]:
                lines.append(f"{'  ' * depth}{part}:")
        opened = above
        lines.append(f"{'  ' * len(above)}{last}: {text}")
    return "\n".join(lines) + "\n"


def _load(folder: Path, values: Mapping[str, str], overrides: Mapping[str, Any]) -> ServiceSettings:
    file = folder / "config.yaml"
    file.write_text(as_yaml(values))
    return config.load(file, overrides)


def settings_by(way: str, folder: Path, values: Mapping[str, str]) -> JobSettings:
    """Return the settings of a job whose dotted `values` are given on one way.

    The way is config.yaml, job.yaml, environment or --set. Raises DaemonError.
    """
    by_way: dict[str, Mapping[str, str]] = {way: values}
    variables = {
        config.VARIABLE + key.replace(".", "__").upper(): text
        for key, text in by_way.get("environment", {}).items()
    }
    overrides = options.parse_sets([f"{k}={v}" for k, v in by_way.get("--set", {}).items()])
    job_file = folder / "job.yaml" if way == "job.yaml" else None
    if job_file is not None:
        job_file.write_text(as_yaml({key.removeprefix("job."): values[key] for key in values}))
    with patch.dict(os.environ, variables):
        settings = _load(folder, by_way.get("config.yaml", {}), overrides)
    return config.resolve(settings, job_file, MountGuard())[0]


def by_file(folder: Path, key: str, text: str) -> Answer:
    """Write it into config.yaml."""
    values = {**REQUIRED.get(key, {}), key: text}
    return _asked(lambda: value_of(_load(folder, values, {}), key))


def by_set(folder: Path, key: str, text: str) -> Answer:
    """Give it by `--set`."""
    others = REQUIRED.get(key, {})
    return _asked(
        lambda: value_of(_load(folder, others, options.parse_sets([f"{key}={text}"])), key)
    )


def by_environment(folder: Path, key: str, text: str) -> Answer:
    """Give it by a variable of the environment."""
    name = config.VARIABLE + key.replace(".", "__").upper()
    with patch.dict(os.environ, {name: text}):
        return _asked(lambda: value_of(_load(folder, REQUIRED.get(key, {}), {}), key))


def by_job_file(folder: Path, key: str, text: str) -> Answer:
    """Write it into job.yaml."""
    _, _, own = key.partition(".")
    others = {name.partition(".")[2]: other for name, other in REQUIRED.get(key, {}).items()}
    file = folder / "job.yaml"
    file.write_text(as_yaml({**others, own: text}))
    settings = ServiceSettings()

    def load() -> Any:
        plain = config.resolve(settings, file, MountGuard())[0].model_dump(mode="json")
        return reduce(lambda inner, part: inner[part], own.split("."), plain)

    return _asked(load)


def by_option(folder: Path, key: str, text: str) -> Answer:
    """Give it by an option of its own."""
    name = key.removeprefix("job.")
    flag = {"artifacts": "--artifact"}.get(name, options.flag(name))

    def load() -> Any:
        group = typer.main.get_command(make_app(["render"]))
        assert isinstance(group, TyperGroup)
        command = group.commands["render"]
        context = command.make_context("render", [f"{flag}={text}", "a.png", "b.png"])
        given = {each: context.params[each] for each in context.params if context.params[each]
                 is not None and each in options.NAMES}  # fmt: skip
        return value_of(_load(folder, REQUIRED.get(key, {}), overrides_of(given)), key)

    return _asked(load)


def by_form(folder: Path, key: str, text: str) -> Answer:
    """Type it into the form of the page, or send it to the API, which takes the same fields."""
    settings, name = ServiceSettings(), key.removeprefix("job.")

    def load(styles: int) -> Any:
        job, _ = job_form.read({name: text}, settings, settings.job, Files("content", styles), ())
        return job.model_dump(mode="json")[name]

    answers = [_asked(partial(load, styles)) for styles in (1, 2, 3)]  # some have one for each
    return next((each for each in answers if not each.said), answers[0])


Way = Callable[[Path, str, str], Answer]


def ways(key: str) -> dict[str, Way]:
    """Return the ways on which this key can be given."""
    found: dict[str, Way] = {
        "config.yaml": by_file, "--set": by_set, "environment": by_environment,
    }  # fmt: skip
    head, _, name = key.partition(".")
    if head == "job":
        found["job.yaml"] = by_job_file
        is_option = name in options.NAMES and name in JobSettings.model_fields
        if is_option and name not in ("mask", "init", "enlarge"):
            found["option"] = by_option
        if name in job_form.NAMES:
            found["form"] = by_form
    return found
