"""All settings: load config.yaml, put the command line on top, check folders and the page."""

import filecmp
import os
import stat
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal

from platformdirs import user_config_path
from pydantic import Field, SecretStr, ValidationError

from stylewatch_daemon.base.errors import DaemonError, SettingsError, UnavailableError, UsageError
from stylewatch_daemon.files import disks
from stylewatch_daemon.files.identity import Identity, identity
from stylewatch_daemon.settings import yaml_lines
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_daemon.settings.sections import (
    Address,
    Alerts,
    Executor,
    Inbox,
    Limits,
    Log,
    Pairing,
    Retention,
    State,
    Watch,
    Web,
    parse_address,
)
from stylewatch_painter.errors import RecipeError
from stylewatch_painter.installation import install_command
from stylewatch_painter.recipes.recipe import Strict
from stylewatch_painter.validation import brief, quoted, refusing

_LONGEST_PATH, _LONGEST_NAME = 4095, 255
"""Bytes of a path, and of a name in it."""

SHORTEST_TOKEN = 16
"""Characters of the page's token."""

_WEB_PACKAGES = ("starlette", "uvicorn", "jinja2", "prometheus_client", "python_multipart")


class Config(Strict):
    """All settings of config.yaml; relative paths are made absolute on loading."""

    inboxes: Annotated[tuple[Inbox, ...], Field(min_length=1)] = (Inbox(),)
    state: State = State()
    watch: Watch = Watch()
    pairing: Pairing = Pairing()
    job: JobSettings = JobSettings()
    backends: dict[str, dict[str, Any]] = Field(default={})
    recipes: tuple[Path, ...] = ()
    executor: Executor = Executor()
    limits: Limits = Limits()
    retention: Retention = Retention()
    alerts: Alerts = Alerts()
    web: Web = Web()
    log: Log = Log()

    @property
    def outboxes(self) -> tuple[Path, ...]:
        """Each outbox once."""
        return tuple(dict.fromkeys(inbox.outbox for inbox in self.inboxes))

    @property
    def finals(self) -> tuple[Path, ...]:
        """Each folder for links to final images once."""
        folders = (inbox.finals for inbox in self.inboxes if inbox.finals is not None)
        return tuple(dict.fromkeys(folders))

    def after(self, inbox: Path) -> Literal["archive", "keep", "delete"]:
        """Return the `after` of that inbox; `archive` for one that is no longer configured."""
        return next((known.after for known in self.inboxes if known.path == inbox), "archive")

    def apart(self, inbox: Inbox) -> Mapping[Identity, str]:
        """Return the folders to leave alone wherever a scan of `inbox` meets them: why."""
        apart = {}
        for kind, path in self._own_folders(inbox):
            with suppress(OSError):
                apart[identity(path.stat())] = f"it is the {kind} {path}"
        return apart

    def check(self) -> None:
        """Raise SettingsError for folders that must not lie in others, or an unknown group.

        Files of the daemon's folders and styles in an inbox would be taken for input. A link to a
        final image in an outbox could take the place of a job's folder.
        """
        styles = self.pairing.styles
        library = [] if self.pairing.default_style is None else [("style library", styles)]
        for inbox in self.inboxes:
            for kind, path in (*self._own_folders(inbox), *library):
                if disks.lies_in(path, inbox.path):
                    raise SettingsError(
                        f"the {kind} {path} lies in the inbox {inbox.path}: "
                        "move it out, or its files would be taken for input"
                    )
        for finals in self.finals:
            for kind, path in self._results():
                if disks.lies_in(finals, path):
                    raise SettingsError(
                        f"the finals folder {finals} lies in the {kind} {path}: name another "
                        "folder in inboxes.finals"
                    )

    def _results(self) -> list[tuple[str, Path]]:
        return [*(("outbox", path) for path in self.outboxes), ("state folder", self.state.path)]

    def _own_folders(self, inbox: Inbox) -> list[tuple[str, Path]]:
        return [
            *self._results(),
            *(("finals folder", path) for path in self.finals),
            *(("inbox", other.path) for other in self.inboxes if other is not inbox),
        ]


class ServiceSettings(Config):
    """Settings of a running daemon: config.yaml, and job settings that beat every job.yaml."""

    overrides: dict[str, Any] = Field(default={})
    """Job settings of the command line, as job.yaml has them."""


def service_settings(config: Config, overrides: Mapping[str, Any]) -> ServiceSettings:
    """Return the settings of a daemon; raises SettingsError as `Config.check` does.

    The job settings in `overrides`, by the dotted keys of config.yaml, beat every job.yaml; they
    are those that `config` was loaded with.
    """
    above = job_overrides(overrides)
    if "recipe" in above:
        above["recipe"] = config.job.recipe  # absolute, if it is a path
    settings = ServiceSettings.model_construct(**dict(config), overrides=above)
    with refusing(SettingsError, "the settings"):
        settings.check()
    return settings


# Loading


def shipped(name: str) -> Path:
    """Find the file or folder `name` that ships: in the package, or at a checkout's root.

    Raises UnavailableError where it is in neither.
    """
    package = Path(__file__).parents[1]
    for path in (package / "shipped" / name, package.parents[1] / name):
        if path.exists():
            return path
    raise UnavailableError(
        f"{name}, which ships with stylewatch, is missing; "
        "reinstall it with `pip install --force-reinstall stylewatch`"
    )


def user_file() -> Path:
    """Return the path of the user's config.yaml, which need not exist."""
    return user_config_path("stylewatch") / "config.yaml"


def find() -> Path:
    """Find the default config.yaml: the current folder's, the user's, the machine's, the shipped.

    The shipped one comes last also where it is in the current folder, as in a clone. Raises
    SettingsError where the current folder's belongs to another user.
    """
    last, local = shipped("config.yaml"), Path("config.yaml")
    with suppress(OSError):  # where this user may not look into the current folder
        is_readable = os.access(local, os.R_OK)
        if local.is_file() and not (is_readable and filecmp.cmp(local, last, shallow=False)):
            if local.stat().st_uid not in (os.geteuid(), 0):
                raise SettingsError(
                    f"{local.absolute()} belongs to another user, who could have your pictures "
                    f"sent elsewhere: pass `--config {local}` to use it, or go to another folder"
                )
            return local.absolute()
    for path in (user_file(), Path("/etc/stylewatch/config.yaml")):
        with suppress(OSError):  # where this user may not look into its folder
            if path.is_file():
                return path
    return last


def load(
    path: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    *,
    inbox: Path | None = None,
    outbox: Path | None = None,
) -> Config:
    """Load the settings in the file `path` (default: see `find`) with `overrides` on top.

    `overrides` map dotted keys to values, as `watch.quiet_s: 1`. `inbox` replaces all inboxes,
    `outbox` the outbox of each. Paths in the file are relative to its folder (in the shipped
    file, to the current folder), all others to the current folder.

    Raises SettingsError for mistakes in the file, UsageError for those in `overrides`: all at
    once, one line each.
    """
    source = path or find()
    try:
        config = _load_file(source)
    except SettingsError as error:
        if path is None and source.parent == Path.cwd():  # many programs have a config.yaml
            raise SettingsError(
                f"{error}\n{source} is read because it is in the current folder; "
                "--config FILE names another"
            ) from error
        raise
    if overrides:
        config = override(config, overrides)
    with refusing(UsageError, "command line"):
        inboxes = config.inboxes
        if inbox is not None:
            inboxes = (inboxes[0].model_copy(update={"path": absolute(inbox, Path.cwd())}),)
        if outbox is not None:
            update = {"outbox": absolute(outbox, Path.cwd())}
            inboxes = tuple(known.model_copy(update=update) for known in inboxes)
        return config.model_copy(update={"inboxes": inboxes})


def _load_file(path: Path) -> Config:
    document = yaml_lines.read(path)
    config = yaml_lines.check(Config, document)
    is_shipped = path == shipped("config.yaml")
    with refusing(SettingsError, str(path), DaemonError):
        base = Path.cwd() if is_shipped else path.absolute().parent
        config = _with_absolute_paths(config, base)
        try:
            config.job.resolve(*config.recipes)
        except (RecipeError, OSError) as error:
            line = document.line(("job",))
            place = f"{path} line {line}" if line else str(path)
            raise SettingsError(f"{place}: job: {brief(str(error))}") from error
    return config


def override(config: Config, *layers: Mapping[str, Any]) -> Config:
    """Put each of `layers` on top of those before, as `load` takes it; UsageError lists mistakes.

    A later layer replaces a field of the recipe even if an earlier one gives it another name, as
    `schedule.steps` for `steps`.
    """
    with refusing(UsageError, "command line", DaemonError):
        plain = config.model_dump()
        for overrides in layers:
            plain["job"] = merge_job(plain["job"], job_overrides(overrides))
            for key, value in overrides.items():
                if not key.startswith("job."):
                    _put(plain, key, key.split("."), value)
        try:
            merged = _with_absolute_paths(Config.model_validate(plain), Path.cwd())
            merged.job.resolve(*merged.recipes)
        except ValidationError as error:
            document = yaml_lines.Document("command line")
            raise UsageError("\n".join(yaml_lines.describe(error, Config, document))) from None
        except (RecipeError, OSError) as error:
            raise UsageError(f"command line: {brief(str(error))}") from error
    return merged


def job_overrides(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return the job settings in dotted `overrides`, as job.yaml has them.

    `job.set.X` goes into `set`. Raises UsageError where a key leads into a value.
    """
    plain: dict[str, Any] = {}
    for key, value in overrides.items():
        section, _, name = key.partition(".")
        if section == "job":
            _put(plain, key, name.split(".", 1), value)
    return plain


def merge_job(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Put the plain settings `above` on top of those `below`, both as job.yaml has them.

    A setting in `above` beats the same field of the recipe in the `set` below.
    """
    fields = above.get("set", {})
    if isinstance(fields, Mapping):
        beaten = {*above, *fields, *(("start",) if "init" in above else ())}
        known = below.get("set", {})
        kept = {key: value for key, value in known.items() if key.split(".")[-1] not in beaten}
        fields = {**kept, **fields}
    inner = {
        key: {**below[key], **value}
        for key, value in above.items()
        if isinstance(value, Mapping) and isinstance(below.get(key), Mapping)
    }
    return {**below, **above, **inner, "set": fields}


def _put(plain: dict[str, Any], key: str, parts: Sequence[str], value: Any) -> None:
    """Set the value at the dotted `key`, whose `parts` lead to it from `plain`."""
    *parents, last = parts
    for parent in parents:
        inner = plain.get(parent, {})
        if not isinstance(inner, Mapping):
            raise UsageError(f"{key}: {parent!r} holds no keys; give it as a whole, as YAML")
        plain[parent] = dict(inner)
        plain = plain[parent]
    plain[last] = value


def _with_absolute_paths(config: Config, base: Path) -> Config:
    def update(section: Strict, *names: str) -> Any:
        paths = {name: getattr(section, name) for name in names}
        changes = {name: path and absolute(path, base) for name, path in paths.items()}
        return section.model_copy(update=changes)

    sections = {
        "inboxes": tuple(update(inbox, "path", "outbox", "finals") for inbox in config.inboxes),
        "state": update(config.state, "path"),
        "pairing": update(config.pairing, "styles"),
        "recipes": tuple(absolute(folder, base) for folder in config.recipes),
        "alerts": update(config.alerts, "urls_file"),
        "web": update(config.web, "token_file"),
    }
    if config.job.recipe.endswith((".yaml", ".yml")):  # else it is a name
        recipe = str(absolute(Path(config.job.recipe), base))
        sections["job"] = config.job.model_copy(update={"recipe": recipe})
    return config.model_copy(update=sections)


def absolute(path: Path, base: Path) -> Path:
    """Resolve `path` from `base`, without `..`.

    Raises ValueError if it is too long for any system, or not UTF-8, as text in the ledger must be.
    """
    path = base / path.expanduser()
    if ".." in path.parts:  # files are recognized as those of a folder by the start of their paths
        path = Path(os.path.realpath(path))
    longest_name = max(path.parts, key=len)
    if len(os.fsencode(path)) > _LONGEST_PATH or len(os.fsencode(longest_name)) > _LONGEST_NAME:
        raise ValueError(f"{quoted(str(path))} is too long for a path")
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{quoted(str(path))} is not a name in UTF-8: rename it") from error
    return path


# The web page


@dataclass(frozen=True)
class WebPage:
    """A page to serve at `address`, for a daemon with these `settings` (without alert URLs).

    With a `token`, only visitors who know it have access.
    """

    address: Address
    settings: Config
    token: SecretStr | None = None


def has_page_packages() -> bool:
    """True if the packages of the page are installed."""
    return all(map(find_spec, _WEB_PACKAGES))


def web_page(settings: Config) -> WebPage | None:
    """Return the page to serve; None where `web.listen` is not set.

    Raises SettingsError where its packages are missing or the token cannot be used.
    """
    web = settings.web
    if web.listen is None:
        return None
    if not has_page_packages():
        raise SettingsError(
            "web.listen is set, but the packages of the page are not installed: "
            f"{install_command('web')}"
        )
    token = None if web.token_file is None else _read_token(web.token_file)
    without_urls = settings.model_copy(update={"alerts": Alerts()})
    return WebPage(parse_address(web.listen), without_urls, token)


def _read_token(path: Path) -> SecretStr:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(4096).decode("ascii").strip()
    except OSError as error:
        raise SettingsError(
            f"web.token_file: {path} cannot be read: {error.strerror or error}"
        ) from None
    except UnicodeDecodeError:  # not chained: it quotes the secret text
        text = ""
    if stat.S_IMODE(mode) & 0o077:
        raise SettingsError(f"web.token_file: other users can read {path}: run `chmod 600 FILE`")
    if len(text) < SHORTEST_TOKEN or not text.isprintable() or " " in text:
        raise SettingsError(
            f"web.token_file: {path} holds no token of at least {SHORTEST_TOKEN} characters "
            "without spaces: `openssl rand -hex 32` makes a good one"
        )
    return SecretStr(text)
