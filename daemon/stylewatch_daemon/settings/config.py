"""All settings: config.yaml with the environment and the command line on top, and their checks.

The settings of a job and of the page follow from them.
"""

import filecmp
import os
import re
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import cache, reduce
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

from platformdirs import user_config_path
from pydantic import Field, InstanceOf, SecretStr, ValidationError

from stylewatch_daemon.base import shortages
from stylewatch_daemon.base.errors import (
    DaemonError,
    InputError,
    OutputError,
    SettingsError,
    UsageError,
)
from stylewatch_daemon.files import atomic, disks, entries
from stylewatch_daemon.files.disks import MountGuard
from stylewatch_daemon.settings import sections, yaml_lines
from stylewatch_daemon.settings.job import (
    LEARNED,
    OF_RECIPE,
    RECIPES,
    JobFile,
    JobSettings,
    Side,
    is_file,
    of_record,
    setting_of,
    with_own_names,
)
from stylewatch_daemon.settings.paintable import learner_mistake
from stylewatch_daemon.settings.paths import BASE, FilePath, shipped
from stylewatch_painter.errors import RecipeError, RecipesAwayError
from stylewatch_painter.fields import Strict
from stylewatch_painter.installation import install_command
from stylewatch_painter.plain_yaml import Document, merge, remove
from stylewatch_painter.recipes import book
from stylewatch_painter.recipes.recipe import Recipe
from stylewatch_painter.validation import Location, Mistake, brief, refusing

SHORTEST_TOKEN = 16
"""Minimum number of characters of the page's token."""

VARIABLE = "STYLEWATCH_"
"""Prefix of the names of environment variables that contain settings."""

COMMAND_LINE = "command line"
"""Name of the source of overrides in messages."""

_Job = TypeVar("_Job", bound=JobSettings)

_WEB_PACKAGES = ("starlette", "uvicorn", "jinja2", "prometheus_client", "python_multipart",
                 "segno")  # fmt: skip


MUST_NOT_HOLD: Mapping[str, Collection[str]] = {
    # they would be taken for input
    "inbox": ("inbox", "outbox", "finals folder", "state folder", "style library"),
    # a link to a final picture could replace a job's folder, and a job's folder the ledger
    "outbox": ("finals folder", "state folder"),
    "state folder": ("outbox", "finals folder", "style library"),
    # links to the final pictures of an album of that name would be taken for input or styles
    "finals folder": ("inbox", "style library"),
    "style library": (),
}
"""By the kind of a folder: the kinds of folders that must not be inside it, nor be the same folder.
The style library counts only if a default style is set."""

MUST_DIFFER = frozenset({("outbox", "style library")})
"""Pairs of kinds of folders: one of the second kind may be inside one of the first, but must not be
the same folder. Only pictures directly in a style library are styles."""


def _holds(outer: tuple[str, Path], inner: tuple[str, Path]) -> bool:
    """Return whether the place of `inner` in `outer` breaks MUST_NOT_HOLD or MUST_DIFFER.

    Both are pairs of a folder's kind and its path.
    """
    (kind, path), (inner_kind, inner_path) = outer, inner
    if inner_kind in MUST_NOT_HOLD[kind]:
        return disks.lies_in(inner_path, path)
    is_same = disks.lies_in(inner_path, path) and disks.lies_in(path, inner_path)
    return is_same and (kind, inner_kind) in MUST_DIFFER


class Config(Strict):
    """All settings of config.yaml; relative paths are made absolute on loading."""

    inboxes: Annotated[tuple[sections.InboxSettings, ...], Field(min_length=1)] = (
        sections.InboxSettings(),
    )
    state: sections.StateSettings = sections.StateSettings()
    watch: sections.WatchSettings = sections.WatchSettings()
    pairing: sections.PairingSettings = sections.PairingSettings()
    job: JobSettings = JobSettings()
    backends: dict[str, dict[str, Any]] = Field(default={})
    recipes: tuple[FilePath, ...] = ()
    executor: sections.ExecutionSettings = sections.ExecutionSettings()
    limits: sections.LimitSettings = sections.LimitSettings()
    retention: sections.RetentionSettings = sections.RetentionSettings()
    alerts: sections.AlertSettings = sections.AlertSettings()
    hooks: sections.HookSettings = sections.HookSettings()
    web: sections.WebSettings = sections.WebSettings()
    log: sections.LogSettings = sections.LogSettings()

    @property
    def outboxes(self) -> tuple[Path, ...]:
        """All outboxes, without duplicates."""
        return tuple(dict.fromkeys(inbox.outbox for inbox in self.inboxes))

    @property
    def finals(self) -> tuple[Path, ...]:
        """All finals folders, without duplicates."""
        folders = (inbox.finals for inbox in self.inboxes if inbox.finals is not None)
        return tuple(dict.fromkeys(folders))

    @property
    def recipe_folders(self) -> tuple[Path, ...]:
        """All folders in which jobs find their recipes, except the folders of packages."""
        named = Path(self.job.recipe)
        return (*self.recipes, *([named.parent] if is_file(self.job.recipe) else ()))

    def options_of(self, backend: str) -> dict[str, Any]:
        """Return the options of a backend; the one that jobs use gets `job.device`, if set."""
        own = self.backends.get(backend, {})
        device = self.job.device
        if backend == self.job.backend and device is not None:
            return {**own, "device": device}
        return own

    def inbox(self, path: Path) -> sections.InboxSettings | None:
        """Return the settings of the inbox at `path`; None if no inbox there is configured."""
        return {inbox.path: inbox for inbox in self.inboxes}.get(path)

    def check(self) -> None:
        """Raise SettingsError, with a line for each misplaced folder and each unusable hook."""
        found = [*map(str, self.mistakes()), *map(str, self.hooks.mistakes())]
        if found:
            raise SettingsError("\n".join(found))

    def mistakes(self) -> Iterator[Mistake]:
        """Yield a mistake for each folder whose place breaks MUST_NOT_HOLD or MUST_DIFFER."""
        for number, inbox in enumerate(self.inboxes):
            for kind, path in (*self.apart(inbox), *self._library()):
                if _holds(("inbox", inbox.path), (kind, path)):
                    yield Mistake(
                        ("inboxes", number),
                        f"the {kind} {path} lies in the inbox {inbox.path}: move it out, or its "
                        "files would be taken for input",
                    )
        yield from self._overlaps()
        yield from self._results_as_styles()

    def _overlaps(self) -> Iterator[Mistake]:
        """Yield the mistakes about state folders, outboxes and finals folders in one another.

        Inboxes in a finals folder are included.
        """
        state = ("state folder", self.state.path)
        for path in self.outboxes:
            outbox = ("outbox", path)
            if _holds(state, outbox) or _holds(outbox, state):
                yield Mistake(
                    ("state", "path"),
                    f"the state folder {self.state.path} and the outbox {path} should not lie in "
                    "one another: name another folder",
                )
        for finals in self.finals:
            for kind, path in self._results():
                if _holds((kind, path), ("finals folder", finals)):
                    yield Mistake(
                        ("inboxes",),
                        f"the finals folder {finals} lies in the {kind} {path}: name another "
                        "folder in inboxes.finals",
                    )
            yield from self._inboxes_in(("finals folder", finals))

    def _inboxes_in(self, finals: tuple[str, Path]) -> Iterator[Mistake]:
        """Yield a mistake for each inbox in the finals folder `finals`, a pair of kind and path.

        An inbox that is the same folder is left out: `mistakes` reports it.
        """
        for number, inbox in enumerate(self.inboxes):
            own = ("inbox", inbox.path)
            if _holds(finals, own) and not _holds(own, finals):
                yield Mistake(
                    ("inboxes", number),
                    f"the inbox {inbox.path} lies in the finals folder {finals[1]}: name another "
                    "folder in inboxes.finals, or what is painted would be taken for input",
                )

    def _results_as_styles(self) -> Iterator[Mistake]:
        """Yield the mistakes about folders of results whose pictures would be default styles."""
        finals = (("finals folder", path) for path in self.finals)
        for library in self._library():
            for kind, path in (*self._results(), *finals):
                if _holds((kind, path), library):
                    yield Mistake(
                        ("pairing", "styles"),
                        f"the style library {library[1]} lies in the {kind} {path}, or is that "
                        "folder: name another one, or what is painted would be a style",
                    )

    def _library(self) -> list[tuple[str, Path]]:
        """Return the kind and path of the style library if a default style is set, else nothing."""
        styles = ("style library", self.pairing.styles)
        return [] if self.pairing.default_style is None else [styles]

    def _results(self) -> list[tuple[str, Path]]:
        return [*(("outbox", path) for path in self.outboxes), ("state folder", self.state.path)]

    def apart(self, inbox: sections.InboxSettings) -> list[tuple[str, Path]]:
        """Return the folders that a scan of `inbox` must skip, as pairs of kind and path."""
        return [
            *self._results(),
            *(("finals folder", path) for path in self.finals),
            *(("inbox", other.path) for other in self.inboxes if other is not inbox),
        ]


@dataclass(frozen=True)
class Origin:
    """Sources of settings, and the wrong values among them; comparisons of settings ignore it."""

    places: Mapping[Location, str] = field(default_factory=dict, compare=False)
    """Place of each value, by its path: a file and a line, or the name of another source."""
    wrong: frozenset[Location] = field(default=frozenset(), compare=False)
    """Paths of values that cannot be used; the settings have other values in their place."""
    refusal: DaemonError | None = field(default=None, compare=False)
    """The error with a sentence for each mistake; None without mistakes."""

    def spoils(self, *keys: str) -> bool:
        """Return whether a wrong value is at one of the dotted `keys`, inside it, or around it."""
        return _overlap(self.wrong, *map(_location, keys))

    def placed(self, sentence: object) -> str:
        """Return `sentence` after the place of the setting with whose key it begins, if known."""
        key = re.match(r"[a-z_]+(\.[\w-]+)*(?=:? )", str(sentence))
        parts = key[0].split(".") if key else ()
        path = tuple(int(part) if part.isdecimal() else part for part in parts)
        around = (path[:end] for end in range(len(path), -1, -1))
        places = [self.places[outer] for outer in around if outer in self.places]
        place = places[0] if places else ""
        return f"{place}: {sentence}" if place else str(sentence)


def _location(key: str) -> Location:
    return tuple(key.split("."))


def _overlap(wrong: Collection[Location], *paths: Location) -> bool:
    return any(bad[: len(path)] == path[: len(bad)] for bad in wrong for path in paths)


class ServiceSettings(Config):
    """Settings in force: config.yaml with the environment and the command line on top."""

    overrides: dict[str, Any] = Field(default={})
    """Job settings of the command line, in the form of job.yaml; they take precedence over every
    job.yaml."""
    origin: InstanceOf[Origin] = Field(default=Origin(), exclude=True, repr=False)


# Loading


def user_file() -> Path:
    """Return the path of the user's config.yaml, which need not exist."""
    return user_config_path("stylewatch") / "config.yaml"


def find() -> Path:
    """Return the path of the default config.yaml: the first of four files that exists.

    These are the file in the current folder, the user's, the machine's, and the shipped one. The
    shipped file comes last even if it is in the current folder, as in a clone. Raises SettingsError
    if the file in the current folder belongs to another user, except root.
    """
    last = shipped("config.yaml")
    local = Path("config.yaml")
    with suppress(OSError):  # this user may not read the current folder
        is_shipped = os.access(local, os.R_OK) and filecmp.cmp(local, last, shallow=False)
        if not is_shipped and entries.is_file(local, follow=True):
            if local.stat().st_uid not in (os.geteuid(), 0):
                raise SettingsError(
                    f"{local.absolute()} belongs to another user, who could have your pictures "
                    f"sent elsewhere: pass `--config {local}` to use it, or go to another folder"
                )
            return local.absolute()
    for path in (user_file(), Path("/etc/stylewatch/config.yaml")):
        try:
            is_there = entries.is_file(path, follow=True)
        except OSError:  # this user may not read its folder
            continue
        if is_there:
            return path
    return last


def load(
    path: Path | None = None, overrides: Mapping[str, Any] | None = None, **more: Any
) -> ServiceSettings:
    """Return the settings as `read` does, but raise an error if they have mistakes.

    Raises SettingsError for mistakes in the file and the environment, and UsageError if all
    mistakes are in `overrides`. The error has a line for each mistake.
    """
    settings = read(path, overrides, **more)
    if settings.origin.refusal is not None:
        raise settings.origin.refusal
    return settings


def read(
    path: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    *,
    inbox: Path | None = None,
    outbox: Path | None = None,
    content: bytes | None = None,
) -> ServiceSettings:
    """Read the settings in the file `path` (default: see `find`), and leave out wrong values.

    `overrides` map dotted keys, such as `watch.quiet_s`, to values, and take precedence over
    variables of the environment (see `from_environment`), which take precedence over the file. If
    `content` is given, it replaces the file's content.

    With `inbox`, the first inbox gets this path, and the others are left out; with `outbox`, every
    inbox gets this outbox. Paths in the file are relative to its folder (in the shipped file, to
    the current folder), all others to the current folder.

    In place of a wrong value, the settings have the value of the next lower source, or the default;
    `origin` of the result has the mistakes. Raises SettingsError if the file cannot be read or is
    not YAML, and as `find` does.
    """
    layers = _file_layer(path, content)
    variables = from_environment(os.environ)
    if variables:
        layers = layers.with_overrides(variables, source="environment")
    kind = SettingsError if layers.mistakes else UsageError
    overrides = dict(overrides or {})
    folders = {key: folder for key, folder in (("path", inbox), ("outbox", outbox)) if folder}
    if folders:
        known = layers.config.inboxes
        inboxes = known if inbox is None else known[:1]
        overrides["inboxes"] = [{**each.model_dump(), **folders} for each in inboxes]
    if overrides:
        layers = layers.with_overrides(overrides)
    above = job_overrides(overrides)
    if "recipe" in above:
        above["recipe"] = layers.config.job.recipe  # absolute, if it is a path
    refusal = kind("\n".join(layers.mistakes)) if layers.mistakes else None
    origin = Origin(layers.places, layers.wrong, refusal)
    return ServiceSettings.model_construct(**dict(layers.config), overrides=above, origin=origin)


def _file_layer(path: Path | None, content: bytes | None) -> "_Layers":
    source = path or find()
    hint = f"{source} is read because it is in the current folder; --config FILE names another"
    hints = (
        (hint,) if path is None and source.parent == Path.cwd() else ()
    )  # many programs have a file of this name
    try:
        if content is None:
            content = yaml_lines.content_of(source)
        document = yaml_lines.parse_bytes(content, str(source), yaml_lines.LONGEST)
        layers = _Layers(Config()).with_document(document, _base(source))
    except SettingsError as error:
        if hints:
            raise SettingsError("\n".join([str(error), *hints])) from error
        raise
    return replace(layers, mistakes=(*layers.mistakes, *hints)) if layers.mistakes else layers


def state_path(path: Path | None = None) -> Path:
    """Return the state folder, even if other settings are wrong.

    Raises as `load` does if the state folder itself is wrong, or the file cannot be read.
    """
    settings = read(path)
    if settings.origin.refusal is not None and settings.origin.spoils("state"):
        raise settings.origin.refusal
    return settings.state.path


@dataclass(frozen=True)
class Unusable:
    """Stand-in for the value of a setting that cannot be used; `why` is a sentence."""

    why: str


def from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings in variables such as STYLEWATCH_JOB__SIZE=640, by their dotted keys.

    Variables such as STYLEWATCH_RECIPES hold a whole section. STYLEWATCH_JOB and STYLEWATCH_STATE
    are not read, because hooks get these variables with another meaning. The value is Unusable if
    the text is not YAML, or if the name has one underscore in place of two.
    """
    found: dict[str, Any] = {}
    for name, text in environment.items():
        key = key_of_variable(name)
        if key:
            try:
                found[key] = yaml_lines.value(text)
            except SettingsError as error:
                found[key] = Unusable(f"the variable {name}: {error}")
        elif key := _meant(name):
            right = f"{VARIABLE}{key.replace('.', '__')}".upper()
            found[key] = Unusable(
                f"the variable {name}: two underscores stand for the dot of a key: {right}"
            )
    return found


def key_of_variable(name: str) -> str:
    """Return the dotted key that the environment variable `name` sets; empty if it sets none."""
    if not name.startswith(VARIABLE):
        return ""
    key = name[len(VARIABLE) :].lower()
    if "__" in key:
        return key.replace("__", ".")
    return key if key in Config.model_fields.keys() - {"job", "state"} else ""


def _meant(name: str) -> str:
    """Return the key that a variable means if it has one underscore for two, else an empty text."""
    key = name.removeprefix(VARIABLE).lower()
    keys = _dotted_keys() if name.startswith(VARIABLE) else ()
    for known in keys:
        if known.replace(".", "_") == key:
            return known
    return ""


@cache
def _dotted_keys() -> tuple[str, ...]:
    """Return the keys of all settings inside sections, such as `watch.quiet_s`."""
    return tuple(key for key, _ in book.dotted(Config().model_dump()) if "." in key)


def _base(path: Path) -> Path:
    """Return the folder to which paths in a file of settings are relative."""
    return Path.cwd() if path == shipped("config.yaml") else path.absolute().parent


@dataclass(frozen=True)
class _Layers:
    """The settings of several sources, each on top of the earlier ones, without their mistakes.

    Each layer is checked by itself, together with the layers below, and not all layers once at the
    end: each has its own base for relative paths, and its own places (a file and its lines, the
    environment, the command line) that messages name. A value that is wrong is left out before the
    next layer comes, so that all mistakes of all layers are found at once.
    """

    config: Config
    mistakes: tuple[str, ...] = ()
    wrong: frozenset[Location] = frozenset()
    places: Mapping[Location, str] = field(default_factory=dict)

    def with_overrides(
        self, *overrides: Mapping[str, Any], source: str = COMMAND_LINE
    ) -> "_Layers":
        """Return these layers with `overrides` on top; a later one takes precedence.

        Each maps dotted keys to values; `source` is their place in messages.
        """
        unusable = {
            k: v for layer in overrides for k, v in layer.items() if isinstance(v, Unusable)
        }
        plain = reduce(_put, map(_nested, overrides), dict[str, Any]())
        keys = (_location(key) for layer in overrides for key in layer)
        document = Document(source, plain, dict.fromkeys(keys, 0))
        layers = self.with_document(document, Path.cwd())
        mistakes = (*layers.mistakes, *(value.why for value in unusable.values()))
        return replace(layers, mistakes=mistakes, wrong=layers.wrong | {*map(_location, unusable)})

    def with_document(self, document: Document, base: Path) -> "_Layers":
        """Return these layers with the settings in `document` on top; its paths start at `base`."""
        with refusing(SettingsError, document.file_name):
            document = _with_own_names(document, section="job")
            config, mistakes, wrong = self._validated(document, base)
            sentences = [
                yaml_lines.placed(mistake, document)
                for mistake in mistakes
                if not (mistake.other and _overlap(self.wrong, mistake.loc, mistake.other))
            ]
            why = _misfit_of_learner(config.job, document)
            sentences += [f"{document.place(('job',))}: job: {why}"] if why else []
            why = _recipe_mistake(config, Origin(wrong=wrong))
            if why:
                sentences.append(f"{document.place(('job',))}: job: {why}")
                wrong |= {("job", name) for name in OF_RECIPE}
                below = {name: getattr(self.config.job, name) for name in OF_RECIPE}
                job = config.job.model_copy(update=below)
                config = config.model_copy(update={"job": job})
        return _Layers(config, (*self.mistakes, *sentences), wrong, self._places_with(document))

    def _validated(
        self, document: Document, base: Path
    ) -> tuple[Config, list[Mistake], frozenset[Location]]:
        """Return the settings with the valid part of `document`, its mistakes, and the wrong paths.

        Wrong values are left out and the rest is checked again, until nothing is wrong. If the
        mistakes are in a layer below, the whole of `document` is left out.
        """
        # the defaults contain relative paths, too
        below = self.config.model_dump(include=set(Config.model_fields))
        above = deepcopy(dict(document.plain))
        wrong = self.wrong
        as_written = list[Mistake]()
        while True:
            try:
                config = Config.model_validate(_put(below, above), context={BASE: base})
                return config, as_written, wrong
            except ValidationError as error:
                mistakes = yaml_lines.in_order(error, Config, document)
            # later checks see only the values that the first check has left
            as_written = as_written or mistakes
            wrong |= {mistake.loc for mistake in mistakes}
            if not remove(above, [mistake.loc for mistake in mistakes]):
                return (
                    self.config,
                    as_written,
                    wrong,
                )  # a lower layer was wrong already, as with settings of an earlier version

    def _places_with(self, document: Document) -> Mapping[Location, str]:
        """Return the place of each setting; those in `document` have their places there."""
        below = {
            path: place
            for path, place in self.places.items()
            if not any(path[: len(line)] == line for line in document.lines)
        }
        return {**below, **{path: document.place(path) for path in document.lines}}


def _misfit_of_learner(job: JobSettings, document: Document) -> str:
    """Return why settings that `document` gives to `job` contradict `learn`; empty if none do.

    A backend in config.yaml is for the jobs that take `learn` back, one on a command line for all.
    """
    own = document.plain.get("job")
    if not isinstance(own, Mapping):
        return ""
    is_for_all = document.file_name == COMMAND_LINE and "backend" in own
    if not (is_for_all or own.keys() & {"learn", "only"}):
        return ""
    return learner_mistake(for_learner(job, own if is_for_all else {}))


def _recipe_mistake(config: Config, origin: Origin) -> str:
    """Return the mistake in the recipe of the jobs; empty if there is none.

    It is also empty if the recipe cannot be looked up: its name or the folders are wrong or away.
    """
    job = config.job
    folders = config.recipes
    if origin.spoils("job.recipe", "recipes"):
        return ""
    try:
        if origin.spoils(*(f"job.{name}" for name in OF_RECIPE)):
            book.find(job.recipe, *folders)
        else:
            job.resolve(*folders)
    except RecipesAwayError:
        return ""  # whoever needs a recipe finds that out (law 16)
    except RecipeError as error:
        return brief(str(error))
    return ""


def override(config: Config, *layers: Mapping[str, Any]) -> Config:
    """Return `config` with `layers` on top, later ones over earlier ones; raises UsageError.

    Layers have the form of the `overrides` of `load`. A later layer replaces a field of the recipe
    even if an earlier one uses another name for it, such as `schedule.steps` for `steps`.
    """
    found = _Layers(config).with_overrides(*layers)
    if found.mistakes:
        raise UsageError("\n".join(found.mistakes))
    return found.config


def override_again(config: Config, *layers: Mapping[str, Any]) -> Config:
    """Put `layers` on top of `config`, whose job is painted again, with its own backend.

    With another backend the job is not learned again, unless `layers` say so. Raises as `override`
    does.
    """
    before = config.job
    asked = _asked(layers)
    own = {"backend": before.backend, **asked} if before.learn else asked
    if before.learn and asked.get("backend", LEARNED) != LEARNED and "learn" not in asked:
        before = before.model_copy(update={"learn": False})
    found = override(config.model_copy(update={"job": before}), *layers)
    return found.model_copy(update={"job": for_learner(found.job, own)})


def override_new(config: Config, *layers: Mapping[str, Any]) -> Config:
    """Put `layers` on top of `config` for a new job, with the backend that paints it.

    Raises as `override` does.
    """
    found = override(config, *layers)
    return found.model_copy(update={"job": for_learner(found.job, _asked(layers))})


def _asked(layers: Iterable[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the job settings of `layers` together, in the form of job.yaml."""
    asked: Mapping[str, Any] = reduce(_put, map(_nested, layers), dict[str, Any]()).get("job", {})
    return asked


def _put(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plain settings `below` with `above` on top, in the form of config.yaml."""
    plain = merge(below, above)
    if isinstance(job := above.get("job"), Mapping):
        plain["job"] = merge_job(below.get("job", {}), job)
    return plain


def _nested(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return dotted `overrides` in the form of config.yaml; `job.set.X.Y` is `X.Y` in `job.set`.

    Unusable values are left out.
    """
    plain: dict[str, Any] = {}
    for key, value in overrides.items():
        if not isinstance(value, Unusable):
            path = key.split(".", 2 if key.startswith("job.set.") else -1)
            nested = reduce(lambda inner, part: {part: inner}, reversed(path), value)
            plain = merge(plain, nested)
    return plain


def job_overrides(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return the job settings in dotted `overrides`, in the form of job.yaml."""
    return with_own_names(_nested(overrides).get("job", {}))


def merge_job(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plain settings `below` with `above` on top, in the form of job.yaml.

    A setting in `above` takes precedence over the same field of the recipe in the `set` of `below`,
    and a field in the `set` of `above` over the same setting in `below`.
    """
    below = with_own_names(below)
    above = with_own_names(above)
    known = below.get("set", {})
    fields = above.get("set", {})
    if not isinstance(known, Mapping):  # a mistake, which is found when all is checked
        fields = fields or known
    elif isinstance(fields, Mapping):
        replaced = {*map(book.bare_name, (*above, *fields))}
        kept = {key: value for key, value in known.items() if book.bare_name(key) not in replaced}
        named = {*map(setting_of, fields)} & below.keys()
        below |= dict.fromkeys(named)
        fields = {**kept, **fields}
    return {**merge(below, above), "set": fields}


def _with_own_names(document: Document, section: str = "") -> Document:
    """Return a document whose settings of a job, in `section` or at the top, have their own names.

    Each name has the line of the field that it had in `set`.
    """
    job = document.plain.get(section) if section else document.plain
    if not isinstance(job, Mapping):
        return document
    start: Location = (section,) if section else ()
    end = len(start) + 1
    lines = dict[Location, int]()
    for where, line in document.lines.items():
        name = setting_of(".".join(map(str, where[end:]))) if where[:end] == (*start, "set") else ""
        if name:
            lines[*start, name] = line
    own = with_own_names(job)
    plain = {**document.plain, section: own} if section else own
    return replace(document, plain=plain, lines={**lines, **document.lines})


# Settings of one job


_NOTHING = Document("the settings")
"""Document in place of the job.yaml of a job that has none."""


def resolve(
    settings: ServiceSettings, job_file: Path | None, guard: MountGuard, *, is_retry: bool = False
) -> tuple[JobFile, Recipe]:
    """Return the settings of a job, and its recipe with the changes that these settings make.

    `job_file` is the path of the job's job.yaml, or None if there is none. With `is_retry`, the
    job.yaml has all settings, so `job.set` of config.yaml is left out. Raises SettingsError, which
    lists every mistake in the file with its line, OSError if the file cannot be read, and
    RecipesAwayError if a disk with recipes is away.
    """
    with recipes_at_hand(settings, guard):
        document = _NOTHING if job_file is None else _read(job_file)
        if is_retry:  # of a job that an earlier version painted
            document = replace(document, plain=of_record(document.plain))
        yaml_lines.check(JobFile, document, {RECIPES: settings.recipes})
        job = _merged(settings, document, is_retry=is_retry)
        return job, recipe_of(job, settings, document.file_name)


def defaults(settings: ServiceSettings) -> JobFile:
    """Return the settings of a job without a job.yaml, without looking for its recipe."""
    return _merged(settings, _NOTHING, is_retry=False)


def _merged(settings: ServiceSettings, document: Document, *, is_retry: bool) -> JobFile:
    with refusing(SettingsError, document.file_name):
        below = settings.job.model_dump(exclude={"set"} if is_retry else None)
        merged = merge_job(merge_job(below, document.plain), settings.overrides)
        job = yaml_lines.check(JobFile, Document(document.file_name, merged))
    job = for_learner(job, {**document.plain, **settings.overrides})
    why = learner_mistake(job)
    if why:
        raise SettingsError(f"{document.file_name}: {why}")
    return job


def for_learner(job: _Job, own: Mapping[str, Any]) -> _Job:
    """Return the settings of a job, with backend LEARNED if it has `learn: true`.

    A backend that the job names in its `own` settings stays; the one of config.yaml is for other
    jobs.
    """
    is_learned = job.learn and "backend" not in own
    return job.model_copy(update={"backend": LEARNED}) if is_learned else job


def recipe_of(job: JobSettings, settings: Config, file_name: str) -> Recipe:
    """Return the recipe that `job` names, with the changes that its settings make.

    Raises SettingsError, whose message begins with `file_name`, if there is no such recipe or a
    change is invalid, and RecipesAwayError if recipes cannot be read now.
    """
    with refusing(SettingsError, file_name):
        try:
            return job.resolve(*settings.recipes)
        except RecipeError as error:
            raise SettingsError(f"{file_name}: {error}") from error


def check_recipes(settings: Config) -> None:
    """Raise SettingsError if a recipe folder cannot be listed, or `job.recipe` cannot be used."""
    try:
        book.names(*settings.recipes)
        settings.job.resolve(*settings.recipes)
    except (RecipeError, RecipesAwayError) as error:
        raise SettingsError(f"recipes: {error}") from error


@contextmanager
def recipes_at_hand(settings: Config, guard: MountGuard) -> Iterator[None]:
    """Check before and after a block that the folders of recipes are on their disks (law 2).

    Raises RecipesAwayError, even if the block raises another error: a recipe whose disk is away is
    not missing.
    """
    book.names(*settings.recipes)  # first, as it waits for no disk that hangs (law 9)
    try:
        with guard.checked(*settings.recipe_folders):
            yield
    except OutputError as error:
        raise RecipesAwayError(str(error)) from error


def only_side(
    settings: ServiceSettings, job_file: Path | None, folder: int | None = None
) -> Side | None:
    """Return the setting `only` of a job; `job_file` is its job.yaml, or None if it has none.

    If the file has mistakes, return the default: the job is refused for them later. If `folder`, a
    handle of the file's folder, is given, the file is opened in that folder. Raises OSError if the
    file cannot be read, and ShortageError if the machine has a shortage.
    """
    default = settings.job.only
    try:
        plain = {} if job_file is None else _read(job_file, folder).plain
    except SettingsError as error:
        shortage = shortages.shortage(error)
        if shortage is not None:
            raise shortage from error
        plain = {}
    side = settings.overrides.get("only", plain.get("only", default))
    return side if side in (None, *get_args(Side)) else default


def _read(job_file: Path, folder: int | None = None) -> Document:
    """Return the document in a job.yaml; raises SettingsError if it is not valid.

    The file is opened in `folder` if this handle is given. Links are not followed, and pipes are
    not opened. Raises OSError if the file cannot be read.
    """
    try:
        with atomic.open_regular(job_file if folder is None else job_file.name, folder) as file:
            content = file.read(sections.LARGEST_JOB_FILE + 1)
    except InputError as error:
        raise SettingsError(str(error)) from error
    return parse_job_file(content, job_file.name)


def parse_job_file(content: bytes, name: str) -> Document:
    """Parse the bytes of a job.yaml; raises SettingsError if they are not YAML, or too many."""
    return _with_own_names(yaml_lines.parse_bytes(content, name, sections.LARGEST_JOB_FILE))


@dataclass(frozen=True)
class Start:
    """Options of a command line that choose the settings: the arguments of `load`."""

    config_file: Path | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    inbox: Path | None = None
    outbox: Path | None = None

    def read(self, path: Path | None = None, content: bytes | None = None) -> ServiceSettings:
        """Call the function `read` for the file `path`, by default `config_file`.

        `content`, if given, is used in place of the file's content.
        """
        source = path or self.config_file
        return read(source, self.overrides, inbox=self.inbox, outbox=self.outbox, content=content)


# The web page


@dataclass(frozen=True)
class WebPage:
    """A page to serve at `address`, for a daemon with `settings` (without alerts and hooks).

    With a `token`, only visitors who know it, and phones paired by a code, have access. `start` has
    the options of the daemon's command line, for checks in another process.
    """

    address: sections.Address
    settings: Config
    token: SecretStr | None = None
    start: Start = field(default=Start(), compare=False)


def has_page_packages() -> bool:
    """Return whether the packages of the page are installed."""
    return all(map(find_spec, _WEB_PACKAGES))


def web_page(settings: Config) -> WebPage | None:
    """Return the page to serve; None if `web.listen` is not set.

    Raises SettingsError if the page's packages are missing or its token cannot be used.
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
    nothing = {"alerts": sections.AlertSettings(), "hooks": sections.HookSettings()}
    without_secrets = settings.model_copy(update=nothing)
    return WebPage(sections.parse_address(web.listen), without_secrets, token)


def _read_token(path: Path) -> SecretStr:
    with sections.secret_file("web.token_file", path) as file:
        mode, text = os.fstat(file.fileno()).st_mode, file.read(4096).strip()
    if stat.S_IMODE(mode) & 0o077:
        raise SettingsError(f"web.token_file: other users can read {path}: run `chmod 600 FILE`")
    if len(text) < SHORTEST_TOKEN or not (text.isascii() and text.isprintable()) or " " in text:
        raise SettingsError(
            f"web.token_file: {path} has no token of at least {SHORTEST_TOKEN} characters "
            "without spaces: `openssl rand -hex 32` makes a good one"
        )
    return SecretStr(text)
