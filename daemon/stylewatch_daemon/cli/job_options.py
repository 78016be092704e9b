"""The options that say what a job is to be, once for all commands that make one."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import Any, get_type_hints

from stylewatch_daemon.cli import options, series
from stylewatch_daemon.cli.build_order import Asked
from stylewatch_daemon.cli.masks import Masks

_GIVEN = ("recipe", "schedule", "backend", "device", "size", "steps", "save_every", "seed",
          "strength", "only")  # fmt: skip
"""Those that are settings of a job, by the same names."""


@dataclass(frozen=True)
class JobOptions:
    """Options of a job, in the order of `--help`."""

    recipe: options.Recipe = None
    schedule: options.Schedule_ = None
    backend: options.Backend = None
    device: options.Device = None
    size: options.Size = None
    steps: options.Steps = None
    save_every: options.SaveEvery = None
    seed: options.Seed = None
    init: options.Init = None
    strength: options.Strength = None
    only: options.Only = None
    artifact: options.Artifact = None
    sweep: options.Sweeps = None
    mask: options.Mask = None
    style_mask: options.StyleMasks = None
    sets: options.Sets = None

    def asked(
        self,
        pictures: list[Path] | None,
        config_file: Path | None,
        output: str | None = None,
        receipt: Path | None = None,
    ) -> Asked:
        """All that the command line says, but for the series."""
        return Asked(
            tuple(pictures or ()),
            output,
            receipt,
            self.init,
            {**{key: getattr(self, key) for key in _GIVEN}, "artifacts": _each(self.artifact)},
            tuple(self.sets or ()),
            config_file,
            masks=Masks(self.mask, tuple(self.style_mask or ())),
        )

    @property
    def swept(self) -> dict[str, tuple[Any, ...]]:
        """The series that is asked for; empty where none is. Raises UsageError."""
        return series.parse(self.sweep)


def _each(said: list[str] | None) -> list[str] | None:
    """The names in an option that may be given several times, or have several with commas."""
    if said is None:
        return None
    return [name.strip() for one in said for name in one.split(",") if name.strip()]


def with_job_options(command: Callable[..., None]) -> Callable[..., None]:
    """`command` with an option for each field of JobOptions in place of its parameter `job`."""
    hints = get_type_hints(JobOptions, include_extras=True)
    own = {one.name: one.default for one in fields(JobOptions)}
    ours = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=own[name], annotation=hint)
        for name, hint in hints.items()
    ]

    @wraps(command)
    def filled(*args: Any, **said: Any) -> None:
        job = JobOptions(**{name: said.pop(name) for name in own if name in said})
        command(*args, **said, job=job)

    signature = inspect.signature(command)
    found: list[inspect.Parameter] = []
    for one in signature.parameters.values():
        found += ours if one.name == "job" else [one]
    filled.__dict__["__signature__"] = signature.replace(parameters=found)
    filled.__annotations__ = {one.name: one.annotation for one in found}
    return filled
