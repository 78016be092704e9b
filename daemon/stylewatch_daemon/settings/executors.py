"""The kinds of executors: their settings, and the questions that the daemon asks each kind.

A package adds a kind by an entry point of the group `stylewatch.executors`, whose name is the kind
and whose value is a subclass of `ExecutorSettings`. docs/cluster.md has an example.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from inspect import isabstract
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from stylewatch_daemon.base.errors import DaemonError, UnavailableError
from stylewatch_daemon.files import entries
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.settings.job import Name, Section
from stylewatch_daemon.settings.paths import shipped
from stylewatch_painter import installed
from stylewatch_painter.validation import quoted, refusing

if TYPE_CHECKING:  # an executor gets orders, which have the settings of jobs
    from stylewatch_daemon.executors.base import Executor

KEYS = ("kind", "hours")
"""The keys of the section `executor` that all kinds have."""

NAMES = ("opens", "own")
"""Names of a method and a property of the section `executor`, which no key can use."""

_GROUP = "executors"
_DROP_INS = "systemd/stylewatch.service.d"


@dataclass(frozen=True)
class Extra:
    """An optional package with the module `module`; `use` is a clause on what needs it.

    `command` installs the package. If it is empty, the extra `name` of stylewatch does.
    """

    name: str
    module: str
    use: str
    command: str = ""

    def is_installed(self) -> bool:
        """Return whether the module is installed; the packages of a dotted name are imported."""
        try:
            return find_spec(self.module) is not None
        except ModuleNotFoundError:  # a package of the dotted name
            return False


class ExecutorSettings(Section, ABC):
    """Base class of the settings of a kind of executor, which are keys of the section `executor`.

    Each key has a default, and a type (`Annotated`) that checks its value alone, because the
    section is built from the fields of all kinds. `mistakes` checks everything else.
    """

    is_remote: ClassVar[bool] = False
    """True if jobs run on other machines. These machines see the outboxes and not the state folder:
    each attempt leaves all its files in a folder of its own in the outbox. The daemon's service may
    then use the network."""
    extra: ClassVar[Extra | None] = None
    """The package that must be installed for this kind, if any."""
    drop_in: ClassVar[str] = ""
    """Name of a file in systemd/stylewatch.service.d that a service needs; empty: none."""

    @property
    def named_devices(self) -> tuple[str, ...]:
        """Devices of this machine that get their own workers; empty: all that are found."""
        return ()

    def mistakes(self) -> Iterable[str]:
        """Return a sentence for each reason why no job can run with these settings.

        A sentence begins with the dotted key of the wrong value. Other machines are not asked.
        """
        return ()

    def probe(self) -> str:
        """Return a description of the place where jobs run, for the doctor; empty: none.

        Raises UnavailableError if no job could run there now. This may take minutes.
        """
        return ""

    @abstractmethod
    def start(self, lock: Path, wake: Callable[[], object]) -> "Executor":
        """Return an executor with these settings, which calls `wake` when it has new events.

        Every process on this machine that could write the same files as the next daemon holds the
        file `lock` (`files.lock.shared`) while it lives: after a crash, the next daemon waits for
        it.
        """


def _check_devices(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) < len(names):
        raise ValueError("should name each device once")
    return names


class LocalSettings(ExecutorSettings):
    """Settings of the kind `local`: jobs run in processes of this machine, `workers` per device."""

    devices: (
        Literal["auto"]
        | Annotated[tuple[Name, ...], Field(min_length=1), AfterValidator(_check_devices)]
    ) = "auto"
    workers: Annotated[int, Field(ge=1, le=64)] = 1

    @property
    def named_devices(self) -> tuple[str, ...]:
        """Devices that get their own workers; empty: all that are found."""
        return () if self.devices == "auto" else self.devices

    def start(self, lock: Path, wake: Callable[[], object]) -> "Executor":
        """Return an executor for these devices, whose workers hold `lock`."""
        from stylewatch_daemon.executors.local import Local  # which needs the settings of jobs

        return Local(lock, devices=self.named_devices, workers=self.workers, wake=wake)


@cache
def kinds() -> dict[str, type[ExecutorSettings]]:
    """Return the settings class of each kind of executor by name; `local` is the first."""
    own: dict[str, type[ExecutorSettings]] = {"local": LocalSettings}
    taken = {*KEYS, *NAMES, *own, *LocalSettings.model_fields}

    def misfit(kind: str, settings: Any) -> str | None:
        reason = _misfit(settings)
        if reason:
            return reason
        names = [kind, *settings.model_fields]
        clashing = [name for name in names if name in taken or names.count(name) > 1]
        if clashing:
            return f"the name {clashing[0]} is that of another kind or of a key of one"
        taken.update(names)
        return None

    return {**own, **installed.load(_GROUP, misfit, own)}


def _misfit(settings: Any) -> str | None:
    """Return why the class `settings` cannot be used as a kind of executor; None if it can be."""
    if not (isinstance(settings, type) and issubclass(settings, ExecutorSettings)):
        return "it is no subclass of ExecutorSettings"
    if isabstract(settings):
        return f"it lacks {', '.join(sorted(settings.__abstractmethods__))}"
    decorators = settings.__pydantic_decorators__
    validators = {*decorators.field_validators, *decorators.model_validators}
    more = sorted(validators.difference(Section.__pydantic_decorators__.field_validators))
    if more:
        return f"the section would not run its validator {more[0]}: put it into a type (Annotated)"
    if settings.model_post_init is not Section.model_post_init:
        return "the section would not run its model_post_init: leave it out"
    return _missing_part(settings) or _wrong_key(settings)


def _missing_part(settings: type[ExecutorSettings]) -> str | None:
    """Return why the `extra` or the `drop_in` of a kind cannot be used; None if both can."""
    if not isinstance(settings.extra, Extra | None):
        return f"its extra is no Extra, but {quoted(settings.extra)}"
    if settings.drop_in and settings.drop_in not in entries.names(shipped(_DROP_INS)):
        return f"its drop_in {settings.drop_in} is no file of {_DROP_INS}"
    return None


def _wrong_key(settings: type[ExecutorSettings]) -> str | None:
    """Return why a key of a kind cannot be a key of the section; None if all can."""
    settings.model_rebuild()  # fails if the type of a field is not defined
    for key, field in settings.model_fields.items():
        if hasattr(Section, key):
            return f"no key can be called {key}"
        if field.is_required():
            return f"its key {key} has no default"
        if field.alias or field.validation_alias or field.serialization_alias:
            return f"its key {key} has an alias"
    return None


@dataclass(frozen=True)
class ChosenExecutor:
    """The executor of a `kind` with its `settings`; the daemon asks it only through this class."""

    kind: str
    settings: ExecutorSettings

    @property
    def is_remote(self) -> bool:
        """True if jobs run on other machines."""
        return self.settings.is_remote

    @property
    def drop_in(self) -> str:
        """Name of a file in systemd/stylewatch.service.d that a service needs; empty: none."""
        return self.settings.drop_in

    @property
    def named_devices(self) -> tuple[str, ...]:
        """Devices of this machine that get their own workers; empty: all that are found."""
        with asking(self.kind):
            return self.settings.named_devices

    def mistakes(self) -> list[str]:
        """Return a sentence for each reason why no job can run with the settings.

        Raises UnavailableError if the package of the kind fails.
        """
        with asking(self.kind):
            found = self.settings.mistakes()
            if isinstance(found, str):
                raise TypeError(f"mistakes() returns the text {quoted(found)}, and no list of them")
            sentences = [shown(sentence) for sentence in found]
            if not all(sentences):
                raise TypeError("mistakes() returns an empty text")
            return sentences

    def probe(self) -> str:
        """Return a description of the place where jobs run; empty: none.

        Raises UnavailableError if no job could run there, or if the package of the kind fails.
        """
        with asking(self.kind):
            return str(self.settings.probe() or "")

    def start(self, lock: Path, wake: Callable[[], object]) -> "Executor":
        """Return the executor, whose processes hold `lock`, and which calls `wake` at new events.

        Raises UnavailableError if the package of the kind fails.
        """
        from stylewatch_daemon.executors.base import Executor  # which needs the settings of jobs

        with asking(self.kind):
            executor = self.settings.start(lock, wake)
            if not isinstance(executor, Executor):
                raise TypeError(f"start() returns {quoted(executor)}, and no Executor")
            return executor


@contextmanager
def asking(kind: str) -> Iterator[None]:
    """Convert errors that the package of `kind` raises in the context to UnavailableError.

    The sentence names the kind and the package (law 14). A DaemonError stays as it is, and so do
    all errors of `local`, which are faults of stylewatch.
    """
    package = next(iter(installed.packages([kinds()[kind]])), None)
    if package is None:
        yield
        return
    what = f"{kind!r} of the {_GROUP} of package {package}"
    with refusing(UnavailableError, what, DaemonError):
        try:
            yield
        except DaemonError:
            raise
        except (OSError, SystemExit) as error:  # the package did not say what its error means
            reason = f"{type(error).__name__}: {error}"
            raise UnavailableError(f"{what} cannot be used: {reason}") from error


def left_out(kind: str) -> str | None:
    """Return the sentence that says why the installed `kind` was left out; None if it was not."""
    start = f"{kind!r} of the {_GROUP} of package "
    for sentence in installed.left_out():
        if sentence.startswith(start):
            return sentence
    return None
