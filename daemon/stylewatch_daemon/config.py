"""config.yaml into frozen values; finds the files that ship."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    NonNegativeInt,
    PositiveInt,
    ValidationError,
    WithJsonSchema,
)

from stylewatch_daemon import yaml_lines
from stylewatch_daemon.errors import SettingsError, UnavailableError, UsageError
from stylewatch_daemon.settings import JobSettings
from stylewatch_painter.errors import RecipeError
from stylewatch_painter.recipe import Strict

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def _yes_or_no(value: object) -> object:
    """To YAML a plain yes is True."""
    return {True: "yes", False: "no"}.get(value, value) if isinstance(value, bool) else value


def _octal(value: object) -> object:
    """To YAML 0664 is a number, written in octal."""
    return f"{value:04o}" if isinstance(value, int) and not isinstance(value, bool) else value


def _is_mode(text: str) -> str:
    if re.fullmatch("06[0-7]{2}", text) is None or int(text, 8) & 0o111:
        raise ValueError(
            "should be the mode of a file, in octal with a 0 in front and at least 0600, as 0664; "
            "folders get the bits to enter them by themselves"
        )
    return text


Mode = Annotated[
    str,
    BeforeValidator(_octal),
    AfterValidator(_is_mode),
    WithJsonSchema({"type": ["string", "integer"], "pattern": "^06[0-7]{2}$"}),
]
"""The permissions of a file, as 0664."""


def _days(value: object) -> object:
    """`30 days` is 30."""
    found = re.fullmatch(r"(\d{1,6}) days?", value) if isinstance(value, str) else None
    return int(found[1]) if found else value


Keep = Annotated[
    Literal["keep"] | Annotated[int, Field(ge=0, le=1_000_000)],
    BeforeValidator(_days),
    WithJsonSchema(
        {"anyOf": [{"type": "integer", "minimum": 0}, {"pattern": r"^keep$|^\d+ days?$"}]}
    ),
]
"""A number of days, `30 days` too, or `keep` for ever."""


class Inbox(Strict):
    """A folder that is watched, where its paintings go, and what becomes of its pictures."""

    path: Path = Path("inbox")
    outbox: Path = Path("outbox")
    after: Literal["archive", "keep", "delete"] = "archive"
    weight: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0


class State(Strict):
    """Where the daemon keeps what is its own: the ledger, claimed pictures, checkpoints."""

    path: Path = Path("state")


class Watch(Strict):
    """How the inboxes are watched."""

    quiet_s: Seconds = 2.0
    rescan_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 60.0
    polling: Annotated[Literal["auto", "yes", "no"], BeforeValidator(_yes_or_no)] = "auto"
    ignore: tuple[str, ...] = ()


class Pairing(Strict):
    """The style of a photograph that comes alone: a name in the library `styles`, or `all`."""

    default_style: str | None = None
    styles: Path = Path("styles")


class Limits(Strict):
    """What is too much."""

    max_pixels: PositiveInt = 40_000_000
    attempts: PositiveInt = 3
    step_timeout_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    free_bytes: NonNegativeInt = 256_000_000


class Outbox(Strict):
    """Who may read and write what is published; None leaves that to the system."""

    mode: Mode | None = None
    group: Annotated[str, Field(min_length=1)] | NonNegativeInt | None = None


class Retention(Strict):
    """How many days finished jobs keep what can be done without."""

    stages: Keep = "keep"
    inputs: Keep = "keep"
    ledger: Keep = "keep"


class Log(Strict):
    """What the daemon tells of its work, on stderr."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["console", "json"] = "console"


class Config(Strict):
    """All settings; relative paths have become absolute ones."""

    inboxes: Annotated[tuple[Inbox, ...], Field(min_length=1)] = (Inbox(),)
    state: State = State()
    watch: Watch = Watch()
    pairing: Pairing = Pairing()
    job: JobSettings = JobSettings()
    backends: dict[str, dict[str, Any]] = Field(default={})
    recipes: tuple[Path, ...] = ()
    limits: Limits = Limits()
    outbox: Outbox = Outbox()
    retention: Retention = Retention()
    log: Log = Log()


def shipped(name: str) -> Path:
    """The file or folder `name` that ships: in the installed package, or at a checkout's root.

    Raises UnavailableError where it is in neither.
    """
    package = Path(__file__).parent
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
        config = _changed(config, overrides)
    return _elsewhere(config, inbox, outbox)


def _from_file(path: Path) -> Config:
    document = yaml_lines.read(path, str(path))
    config = yaml_lines.check(Config, document)
    try:
        config.job.resolve(*config.recipes)
    except RecipeError as error:
        where = document.line(("job",))
        raise SettingsError(f"{path}{f' line {where}' if where else ''}: job: {error}") from error
    ours = path == shipped("config.yaml")
    return _absolute(config, Path.cwd() if ours else path.absolute().parent)


def _changed(config: Config, overrides: Mapping[str, Any]) -> Config:
    plain = config.model_dump()
    plain["job"] = job_over(config.job, job_part(overrides))
    for key, value in overrides.items():
        if not key.startswith("job."):
            _put(plain, key, value)
    try:
        changed = Config.model_validate(plain)
        changed.job.resolve(*changed.recipes)
    except ValidationError as error:
        document = yaml_lines.Document("command line")
        raise UsageError("\n".join(yaml_lines.told(error, Config, document))) from error
    except RecipeError as error:
        raise UsageError(f"command line: {error}") from error
    return _absolute(changed, Path.cwd())


def job_part(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """What dotted `overrides` say of jobs, as job.yaml has it: `job.set.X` goes into `set`."""
    plain: dict[str, Any] = {}
    for key, value in overrides.items():
        section, _, name = key.partition(".")
        if section == "job" and name.startswith("set."):
            plain["set"] = {**plain.get("set", {}), name.removeprefix("set."): value}
        elif section == "job":
            plain[name] = value
    return plain


def job_over(below: JobSettings, above: Mapping[str, Any]) -> dict[str, Any]:
    """The plain settings `above`, as job.yaml says them, laid over `below`.

    A setting above beats the same field of the recipe in the `set` of `below`.
    """
    beaten = {*above, "start"} if "init" in above else set(above)
    kept = {key: value for key, value in below.set.items() if key.split(".")[-1] not in beaten}
    fields = above.get("set", {})
    merged = {**kept, **fields} if isinstance(fields, Mapping) else fields
    return {**below.model_dump(), **above, "set": merged}


def _put(plain: dict[str, Any], key: str, value: Any) -> None:
    """Put `value` where the dotted `key` says."""
    *around, last = key.split(".")
    for part in around:
        inner = plain.setdefault(part, {})
        if not isinstance(inner, dict):
            raise UsageError(f"{key}: {part!r} holds no keys; give it as a whole, as YAML")
        plain = inner
    plain[last] = value


def _absolute(config: Config, base: Path) -> Config:
    def at(path: Path) -> Path:
        return base / path.expanduser()

    inboxes = (
        one.model_copy(update={"path": at(one.path), "outbox": at(one.outbox)})
        for one in config.inboxes
    )
    places = {
        "inboxes": tuple(inboxes),
        "state": config.state.model_copy(update={"path": at(config.state.path)}),
        "pairing": config.pairing.model_copy(update={"styles": at(config.pairing.styles)}),
        "recipes": tuple(at(folder) for folder in config.recipes),
    }
    return config.model_copy(update=places)


def _elsewhere(config: Config, inbox: Path | None, outbox: Path | None) -> Config:
    inboxes = config.inboxes
    if inbox is not None:
        inboxes = (inboxes[0].model_copy(update={"path": inbox.expanduser().absolute()}),)
    if outbox is not None:
        there = outbox.expanduser().absolute()
        inboxes = tuple(one.model_copy(update={"outbox": there}) for one in inboxes)
    return config.model_copy(update={"inboxes": inboxes})
