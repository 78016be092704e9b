"""One field of the recipe, under each of its names, on each way: one setting, given once."""

from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

from tests.surface.ways import settings_by

from stylewatch_daemon.base.errors import DaemonError
from stylewatch_daemon.cli import options
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_painter.recipes.recipe import ObjectiveSettings, Schedule

VALUES: Mapping[str, tuple[str, str]] = {
    "size": ("'64'", "'96'"), "preview": ("'32'", "'48'"), "strength": ("0.25", "0.5"),
    "stroke": ("0.25", "0.5"), "steps": ("2", "3"), "save_every": ("2", "3"),
    "enlarge": ("yes", "no"), "style_size": ("'64'", "area"), "init": ("noise", "mixed"),
}  # fmt: skip
"""Two values of each setting that sets a field of the recipe."""

FIELDS = {**{name: f"schedule.{name}" for name in VALUES}, "strength": "objective.strength",
          "init": "schedule.start"}  # fmt: skip
"""The field that each of these settings sets."""

ONLY_ALIKE = frozenset({"content_weight", "style_weight", "mask", "set", "schedule"})
"""Settings with a name that a recipe has, too, for something else."""

WAYS = ("config.yaml", "job.yaml", "environment", "--set")


class Case(NamedTuple):
    """A setting that is given on a way under some of its names, each with the next value."""

    setting: str
    way: str
    names: tuple[str, ...]


def unlisted() -> set[str]:
    """Return the settings with a name of a field of the recipe that are not tried."""
    fields = {*Schedule.model_fields, *ObjectiveSettings.model_fields}
    return {*JobSettings.model_fields} & fields - VALUES.keys() - ONLY_ALIKE


def names(setting: str) -> tuple[str, ...]:
    """Return the names of a setting below `job`: its own, and those of its field in `set`."""
    field = FIELDS[setting]
    return (setting, f"set.{field.partition('.')[2]}", f"set.{field}")


def cases() -> Iterator[Case]:
    """Yield each name of each setting on each way, and all pairs of names."""
    for setting in VALUES:
        for way in WAYS:
            yield from (Case(setting, way, (name,)) for name in names(setting))
            yield from (Case(setting, way, pair) for pair in combinations(names(setting), 2))


def breaches(folder: Path, case: Case) -> Iterator[str]:
    """Yield how what the settings make of a case breaks a law."""
    texts = dict(zip(case.names, VALUES[case.setting], strict=False))
    given = {f"job.{name}": text for name, text in texts.items()}
    try:
        job = settings_by(case.way, folder, given)
    except DaemonError as error:
        if len(texts) == 1:
            yield f"it is refused: {error}"
        elif any(name.removeprefix("set.") not in str(error) for name in texts):
            yield f"the sentence does not have both names: {error}"
        return
    if len(texts) > 1:
        yield f"it is taken as {getattr(job, case.setting)!r}, with {job.set}"
        return
    plain = settings_by("config.yaml", folder, {f"job.{case.setting}": VALUES[case.setting][0]})
    if job != plain:
        # the form, the page and what is compared would not show it
        yield f"it is not the setting: {getattr(job, case.setting)!r}, with {job.set}"


def sweeps() -> Iterator[str]:
    """Yield the settings that a series may have twice, under two names."""
    for setting, (low, high) in VALUES.items():
        for pair in combinations(names(setting), 2):
            try:
                options.parse_sweep([f"{name}={low},{high}" for name in pair])
            except DaemonError:
                continue
            yield f"--sweep {pair[0]} --sweep {pair[1]}"


def main(folder: Path) -> int:
    """Try all cases; print each breach, and return their number."""
    tried = [*cases()]
    found = [(str(case), breach) for case in tried for breach in breaches(folder, case)]
    found += [(sweep, "it makes a series") for sweep in sweeps()]
    for case, breach in found:
        print(f"{case}\n    {breach}")
    print(f"{len(tried)} settings under one or two names; {len(found)} breaches")
    return len(found)
