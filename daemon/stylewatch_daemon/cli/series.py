"""`--sweep KEY=V1,V2`: a job for each of several values, by the commands that paint and submit."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from stylewatch_daemon.cli import options, output_target
from stylewatch_daemon.cli.build_order import Asked, Plan, make_plan
from stylewatch_daemon.errors import OutputError, SettingsError, UsageError
from stylewatch_daemon.files import atomic
from stylewatch_daemon.settings import yaml_lines
from stylewatch_daemon.settings.job import Member, Sweep, columns, is_of_job, members

SHEET = "sheet.png"

_SWEEP: TypeAdapter[dict[str, tuple[Any, ...]]] = TypeAdapter(Sweep)


@dataclass(frozen=True)
class Series:
    """Return a plan for each member of `sweep`, to be written into `folder`."""

    sweep: Mapping[str, Sequence[Any]]
    folder: Path
    plans: tuple[tuple[Member, Plan], ...]


def parse(sweeps: Sequence[str] | None) -> dict[str, tuple[Any, ...]]:
    """Parse `--sweep KEY=V1,V2 ...` into the form of job.yaml; raises UsageError."""
    found = dict(_parsed(one) for one in sweeps or ())
    try:
        return _SWEEP.validate_python(found)
    except ValidationError as error:
        told = str(error.errors()[-1]["msg"]).removeprefix("Value error, ")
        raise UsageError(f"--sweep: {told}") from None


def overrides_of(member: Member) -> dict[str, Any]:
    """Return the settings of one member, by the dotted keys of config.yaml."""
    return {
        f"job.{key}" if is_of_job(key) else f"job.set.{key}": value
        for key, value in member.values.items()
    }


def plan_series(asked: Asked, sweep: Mapping[str, Sequence[Any]], scratch: Path) -> Series:
    """A plan for each member, before anything is painted; raises as `make_plan` does."""
    place = output_target.named(asked.output) if asked.output else None
    if place is not None and place.format is not None:
        raise UsageError(f"--sweep paints several pictures: name a folder, not {place.path.name}")
    plans = []
    for number, member in enumerate(members(sweep)):
        own = scratch / str(number)
        own.mkdir()
        one = replace(asked, output=None, swept=overrides_of(member))
        plans.append((member, make_plan(one, own)))
    folder = (
        place.path if place else output_target.unnamed(*_called(plans[0][1])).path.with_suffix("")
    )
    return Series(sweep, folder, tuple(_placed(folder, plans)))


def paint_series(series: Series, paint: Callable[[Member, Plan], None], *, force: bool) -> Path:
    """Have each painted by `paint`, and draw the sheet of them; where that lies.

    Raises OutputError where it is there already, and not to be replaced, or cannot be written.
    """
    sheet = series.folder / SHEET
    if sheet.exists() and not force:
        raise OutputError(f"{sheet} is already there; --force replaces it")
    try:
        atomic.make_folder(series.folder)
        for member, plan in series.plans:
            paint(member, plan)
        atomic.write(sheet, _drawn(series))
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(f"{series.folder} cannot be written: {error.strerror}") from error
    return sheet


def _drawn(series: Series) -> bytes:
    from stylewatch_painter.images import sheet
    from stylewatch_painter.images.encode import encode
    from stylewatch_painter.images.read import read
    from stylewatch_painter.images.reduced import Enough, within

    enough = Enough(within(sheet.SIDE))
    cells = [
        sheet.Cell(
            member.label,
            sheet.shrunk(
                read(plan.place.path, max_pixels=plan.order.max_pixels, enough=enough).pixels
            ),
        )
        for member, plan in series.plans
    ]
    return encode(sheet.draw(sheet.in_rows(cells, columns(series.sweep))))


def _parsed(text: str) -> tuple[str, list[Any]]:
    key, equals, values = text.partition("=")
    if not equals or not values.strip():
        raise UsageError(f"--sweep takes KEY=V1,V2 ..., as strength=0.3,0.5,0.7, got {text!r}")
    try:
        found = yaml_lines.value(f"[{values}]")
    except SettingsError as error:
        raise UsageError(f"--sweep {key}: {error}") from error
    return field_of(key.strip()), found


def field_of(key: str) -> str:
    """The field of a job, or of its recipe, that `key` names as with `--set`."""
    full = options.full_key(key)
    if not full.startswith("job."):
        raise UsageError(f"--sweep {key}: that is the daemon's to say, and no setting of a job")
    return re.sub(r"^job\.(set\.)?", "", full)


def _called(plan: Plan) -> tuple[str, str]:
    return plan.place.path.stem, str(plan.place.format)


def _placed(folder: Path, plans: Sequence[tuple[Member, Plan]]) -> Iterator[tuple[Member, Plan]]:
    for member, plan in plans:
        format_ = plan.order.settings.format
        path = folder / f"{member.name}.{format_}"
        yield member, replace(plan, place=output_target.Place(path, format_))
