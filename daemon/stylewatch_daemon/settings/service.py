"""What the daemon must be told to begin: plain values, frozen."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from stylewatch_daemon.errors import SettingsError
from stylewatch_daemon.files import mounts
from stylewatch_daemon.files.identity import Identity, identity
from stylewatch_daemon.files.permissions import OPEN, Sharing, sharing
from stylewatch_daemon.settings import config
from stylewatch_daemon.settings.batching import Batch
from stylewatch_daemon.settings.config import Config
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_daemon.settings.resources import Demand
from stylewatch_daemon.settings.retention import FOREVER, Retention
from stylewatch_daemon.settings.sections import Executor
from stylewatch_painter.validation import refusing


@dataclass(frozen=True)
class InboxSettings:
    """A folder to watch, where its paintings go, and what becomes of its pictures."""

    path: Path
    outbox: Path
    after: Literal["archive", "keep", "delete"] = "archive"
    weight: float = 1.0
    """Its share of the turns, beside the others'."""


@dataclass(frozen=True)
class ServiceSettings:
    """Settings of a run; times in seconds.

    `job` holds for what a job.yaml does not say, `overrides` (as job.yaml has them) beat it.
    `styles` is the library that `default_style` is looked up in. `backends` are options by
    backend. Each of `devices` gets a worker process (none are named: whatever there is); one that
    has nothing to do for `idle_s` is let go. No job is begun that might
    leave less than `free_bytes` free on a disk. At most `batch` jobs are painted at once by one
    worker (`auto`: several on an accelerator alone). With `cluster` they are painted there. What is
    published is shared by `sharing`, and
    kept by `retention`.
    """

    inboxes: tuple[InboxSettings, ...]
    state: Path
    quiet_s: float = 2.0
    rescan_s: float = 60.0
    polling: Literal["auto", "yes", "no"] = "auto"
    ignore: tuple[str, ...] = ()
    truncated_s: float = 60.0
    default_style: str | None = None
    styles: Path = Path("styles")
    job: JobSettings = field(default_factory=JobSettings)
    overrides: Mapping[str, Any] = field(default_factory=dict)
    recipe_folders: tuple[Path, ...] = ()
    backends: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    max_pixels: int = 250_000_000
    attempts: int = 3
    step_timeout_s: float | None = None
    memory: int | None = None
    out_of_memory: Literal["wait", "smaller", "cpu"] = "wait"
    devices: tuple[str, ...] = ()
    idle_s: float = 60.0
    batch: Batch = "auto"
    cluster: Demand | None = None
    free_bytes: int = 256_000_000
    sharing: Sharing = OPEN
    retention: Retention = FOREVER

    @property
    def outboxes(self) -> tuple[Path, ...]:
        """Each outbox once."""
        return tuple(dict.fromkeys(inbox.outbox for inbox in self.inboxes))

    def after(self, inbox: Path) -> Literal["archive", "keep", "delete"]:
        """What becomes of the inputs of that inbox; they are archived where nobody says."""
        return next((one.after for one in self.inboxes if one.path == inbox), "archive")

    def check(self) -> None:
        """Raise SettingsError where what we write, or styles, would be taken for dropped."""
        library = [] if self.default_style is None else [("style library", self.styles)]
        table = mounts.table()
        for inbox in self.inboxes:
            for what, path in (*self._ours(inbox), *library):
                if mounts.lies_in(path, inbox.path, table):
                    raise SettingsError(
                        f"the {what} {path} lies in the inbox {inbox.path}: "
                        "give it a place outside, or it would be painted itself"
                    )

    def apart(self, inbox: InboxSettings) -> Mapping[Identity, str]:
        """The folders that are no part of `inbox` wherever they are met in it, with the reason."""
        found = {}
        for what, path in self._ours(inbox):
            with suppress(OSError):
                found[identity(path.stat())] = f"it is the {what} {path}"
        return found

    def _ours(self, inbox: InboxSettings) -> list[tuple[str, Path]]:
        """The folders of the daemon besides `inbox`."""
        return [
            *(("outbox", path) for path in self.outboxes),
            ("state folder", self.state),
            *(("inbox", other.path) for other in self.inboxes if other is not inbox),
        ]


def service_settings(settings: Config, overrides: Mapping[str, Any]) -> ServiceSettings:
    """What the service must know of `settings`; SettingsError where folders lie in one another.

    What `overrides`, by the dotted keys of config.yaml, say of jobs beats every job.yaml.
    """
    ready = ServiceSettings(
        inboxes=tuple(
            InboxSettings(one.path, one.outbox, one.after, one.weight) for one in settings.inboxes
        ),
        state=settings.state.path,
        quiet_s=settings.watch.quiet_s,
        rescan_s=settings.watch.rescan_s,
        truncated_s=settings.watch.truncated_s,
        polling=settings.watch.polling,
        ignore=settings.watch.ignore,
        default_style=settings.pairing.default_style,
        styles=settings.pairing.styles,
        job=settings.job,
        overrides=config.job_part(overrides),
        recipe_folders=settings.recipes,
        backends=settings.backends,
        devices=() if settings.executor.devices == "auto" else settings.executor.devices,
        idle_s=settings.executor.idle_s,
        batch=settings.executor.batch,
        cluster=_demand(settings.executor),
        max_pixels=settings.limits.max_pixels,
        attempts=settings.limits.attempts,
        free_bytes=settings.limits.free_bytes,
        sharing=sharing(settings.outbox.mode, settings.outbox.group),
        retention=Retention(**settings.retention.model_dump()),
        step_timeout_s=settings.limits.step_timeout_s,
        memory=settings.limits.memory,
        out_of_memory=settings.limits.out_of_memory,
    )
    with refusing(SettingsError, "the settings"):
        ready.check()
    return ready


def _demand(executor: Executor) -> Demand | None:
    """What jobs take of a cluster; None where they are painted on this machine."""
    if executor.kind == "local":
        return None
    return Demand(executor.address, executor.gpus_per_job, executor.labels, executor.resources)
