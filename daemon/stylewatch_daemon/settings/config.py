"""config.yaml into frozen values; finds the files that ship."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, field_validator

from stylewatch_daemon.errors import DaemonError, SettingsError, UnavailableError, UsageError
from stylewatch_daemon.settings import yaml_lines
from stylewatch_daemon.settings.alerts import Alerts
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_daemon.settings.sections import (
    Executor,
    Inbox,
    Limits,
    Log,
    Outbox,
    Pairing,
    Retention,
    State,
    Watch,
)
from stylewatch_daemon.settings.web import Web
from stylewatch_painter.errors import RecipeError
from stylewatch_painter.recipes.recipe import Strict
from stylewatch_painter.validation import brief, quoted, refusing

_LONGEST_PATH, _PART = 4095, 255
"""Bytes of a path, and of a name in it."""


class Config(Strict):
    """All settings; relative paths have become absolute ones."""

    inboxes: Annotated[tuple[Inbox, ...], Field(min_length=1)] = (Inbox(),)
    state: State = State()
    watch: Watch = Watch()
    pairing: Pairing = Pairing()
    job: JobSettings = JobSettings()
    backends: dict[str, dict[str, Any]] = Field(default={})
    recipes: tuple[Path, ...] = ()
    executor: Executor = Executor()
    limits: Limits = Limits()
    outbox: Outbox = Outbox()
    retention: Retention = Retention()
    alerts: Alerts = Alerts()
    web: Web = Web()
    log: Log = Log()

    @field_validator("job")
    @classmethod
    def _no_sweep_for_all(cls, job: JobSettings) -> JobSettings:
        if job.sweep:
            raise ValueError(
                "sweep makes a series of one job: say it in its job.yaml, or with --sweep"
            )
        return job


def shipped(name: str) -> Path:
    """The file or folder `name` that ships: in the installed package, or at a checkout's root.

    Raises UnavailableError where it is in neither.
    """
    package = Path(__file__).parents[1]
    for place in (package / "shipped" / name, package.parents[1] / name):
        if place.exists():
            return place
    raise UnavailableError(
        f"{name}, which ships with stylewatch, is not there; "
        "`pip install --force-reinstall stylewatch` brings it back"
    )


def find() -> Path:
    """The config.yaml that holds where none is named: the user's, the machine's, the shipped."""
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    for folder in (home / "stylewatch", Path("/etc/stylewatch")):
        if (folder / "config.yaml").is_file():
            return folder / "config.yaml"
    return shipped("config.yaml")


def load(
    path: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    *,
    inbox: Path | None = None,
    outbox: Path | None = None,
) -> Config:
    """The settings in the file `path` (or the one that `find` finds) with `overrides` on top.

    `overrides` map dotted keys to values, as `watch.quiet_s: 1`. `inbox` stands in place of all
    inboxes, `outbox` in place of the outbox of each. Paths in the file are relative to its
    folder (in the one that ships, to the current folder), all others to the current folder.

    Raises SettingsError for mistakes in the file, UsageError for those in `overrides`: all at
    once, a line of text for each.
    """
    config = _from_file(path or find())
    if overrides:
        config = changed(config, overrides)
    with refusing(UsageError, "command line"):
        return _elsewhere(config, inbox, outbox)


def _from_file(path: Path) -> Config:
    document = yaml_lines.read(path, str(path))
    config = yaml_lines.check(Config, document)
    with refusing(SettingsError, str(path), DaemonError):
        try:
            config.job.resolve(*config.recipes)
        except (RecipeError, OSError) as error:
            line = document.line(("job",))
            place = f"{path} line {line}" if line else str(path)
            raise SettingsError(f"{place}: job: {brief(str(error))}") from error
        ours = path == shipped("config.yaml")
        return _absolute(config, Path.cwd() if ours else path.absolute().parent)


def changed(config: Config, overrides: Mapping[str, Any]) -> Config:
    """`config` with `overrides` on top, as `load` takes them; UsageError tells all mistakes."""
    with refusing(UsageError, "command line", DaemonError):
        plain = config.model_dump()
        plain["job"] = job_over(config.job, job_part(overrides))
        for key, value in overrides.items():
            if not key.startswith("job."):
                _put(plain, key, value)
        try:
            found = Config.model_validate(plain)
            found.job.resolve(*found.recipes)
        except ValidationError as error:
            document = yaml_lines.Document("command line")
            raise UsageError("\n".join(yaml_lines.told(error, Config, document))) from None
        except (RecipeError, OSError) as error:
            raise UsageError(f"command line: {brief(str(error))}") from error
        return _absolute(found, Path.cwd())


def job_part(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """What dotted `overrides` say of jobs, as job.yaml has it: `job.set.X` goes into `set`.

    Raises UsageError where a key leads into a value.
    """
    plain: dict[str, Any] = {}
    for key, value in overrides.items():
        section, _, name = key.partition(".")
        around, dot, inner = name.partition(".")
        if section == "job" and dot:
            outer = plain.get(around, {})
            if not isinstance(outer, Mapping):
                raise _no_keys(key, around)
            plain[around] = {**outer, inner: value}
        elif section == "job":
            _put(plain, name, value)
    return plain


def job_over(below: JobSettings, above: Mapping[str, Any]) -> dict[str, Any]:
    """The plain settings `above`, as job.yaml says them, laid over `below`.

    A setting above beats the same field of the recipe in the `set` of `below`.
    """
    beaten = {*above, "start"} if "init" in above else set(above)
    kept = {key: value for key, value in below.set.items() if key.split(".")[-1] not in beaten}
    fields = above.get("set", {})
    merged = {**kept, **fields} if isinstance(fields, Mapping) else fields
    plain = below.model_dump()
    inner = {
        key: {**plain[key], **value}
        for key, value in above.items()
        if isinstance(value, Mapping) and isinstance(plain.get(key), Mapping)
    }
    return {**plain, **above, **inner, "set": merged}


def _put(plain: dict[str, Any], key: str, value: Any) -> None:
    """Put `value` where the dotted `key` says."""
    *around, last = key.split(".")
    for part in around:
        inner = plain.setdefault(part, {})
        if not isinstance(inner, dict):
            raise _no_keys(key, part)
        plain = inner
    plain[last] = value


def _no_keys(key: str, part: str) -> UsageError:
    return UsageError(f"{key}: {part!r} holds no keys; give it as a whole, as YAML")


def _absolute(config: Config, base: Path) -> Config:
    def at(path: Path) -> Path:
        return _checked(base / path.expanduser())

    urls, token = config.alerts.urls_file, config.web.token_file
    inboxes = (
        one.model_copy(update={"path": at(one.path), "outbox": at(one.outbox)})
        for one in config.inboxes
    )
    places = {
        "inboxes": tuple(inboxes),
        "state": config.state.model_copy(update={"path": at(config.state.path)}),
        "pairing": config.pairing.model_copy(update={"styles": at(config.pairing.styles)}),
        "recipes": tuple(at(folder) for folder in config.recipes),
        "alerts": config.alerts.model_copy(update={"urls_file": urls and at(urls)}),
        "web": config.web.model_copy(update={"token_file": token and at(token)}),
    }
    return config.model_copy(update=places)


def _checked(path: Path) -> Path:
    """`path`, unless no system has paths that long."""
    if len(os.fsencode(path)) > _LONGEST_PATH or len(os.fsencode(max(path.parts, key=len))) > _PART:
        raise ValueError(f"{quoted(str(path))} is too long for a path")
    return path


def _elsewhere(config: Config, inbox: Path | None, outbox: Path | None) -> Config:
    inboxes = config.inboxes
    if inbox is not None:
        there = _checked(inbox.expanduser().absolute())
        inboxes = (inboxes[0].model_copy(update={"path": there}),)
    if outbox is not None:
        there = _checked(outbox.expanduser().absolute())
        inboxes = tuple(one.model_copy(update={"outbox": there}) for one in inboxes)
    return config.model_copy(update={"inboxes": inboxes})
