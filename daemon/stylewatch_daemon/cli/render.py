"""`stylewatch render`: one job directly, painted in this process, with no inbox."""

import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from stylewatch_daemon.cli import options, output_target, series
from stylewatch_daemon.cli.build_order import Plan, make_plan
from stylewatch_daemon.cli.console import note, say, say_json
from stylewatch_daemon.cli.job_options import JobOptions, with_job_options
from stylewatch_daemon.cli.progress import telling
from stylewatch_daemon.errors import WorkerError
from stylewatch_daemon.model import Started
from stylewatch_daemon.settings.sweep import Member
from stylewatch_daemon.views.formatting import duration, losses, memory
from stylewatch_daemon.views.formatting import size as in_pixels
from stylewatch_daemon.worker.messages import Done, Event, Order, Staged

Pictures = Annotated[
    list[Path] | None,
    typer.Argument(metavar="CONTENT STYLE", help="The photograph, and the painting or several."),
]
Output = Annotated[
    str | None,
    typer.Option(
        "--output", "-o", metavar="OUT",
        help="A picture (.png .jpg .webp .tiff), or a folder for the stages, the receipt and all."
        " If not said: CONTENT-STYLE.png here.",
    ),
]  # fmt: skip
Force = Annotated[bool, typer.Option("--force", "-f", help="Replace what is at OUT already.")]
From = Annotated[
    Path | None,
    typer.Option("--from", metavar="RECEIPT", help="Repeat the job of this receipt.json."),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Only say what it would take: sizes, steps, time, memory.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the receipt on stdout, as one line.")]


@with_job_options
def render(
    context: typer.Context,
    pictures: Pictures = None,
    *,
    output: Output = None,
    job: JobOptions,
    receipt: From = None,
    config_file: options.Config = None,
    force: Force = False,
    dry_run: DryRun = False,
    json: Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Paint CONTENT in the manner of one or more STYLE pictures, here and now."""
    asked = job.asked(pictures, config_file, output, receipt)
    how, swept = _How(force, json, quiet, dry_run), job.swept
    with tempfile.TemporaryDirectory(prefix="stylewatch-") as scratch:
        if swept:
            return _go_through(series.plan_series(asked, swept, Path(scratch)), how)
        plan = make_plan(asked, Path(scratch))
        context.obj.debug |= plan.debug
        return _carry_out(plan, how)


@dataclass(frozen=True)
class _How:
    """Options of the command itself, not of the job."""

    force: bool
    json: bool
    quiet: bool
    dry_run: bool


def _go_through(found: series.Series, how: _How) -> None:
    """Paint each of a series, and the sheet; or measure or estimate each."""
    told: list[dict[str, Any]] = []

    def paint(member: Member, plan: Plan) -> None:
        if not how.quiet:
            note(f"{member.name}:")
        done = _paint(plan, how)
        told.append({"name": member.name, "final": str(plan.place.path), "receipt": done.receipt})

    if how.dry_run or all(plan.recipe.schedule.steps == 0 for _, plan in found.plans):
        for member, plan in found.plans:
            say(f"{member.name}:")
            _carry_out(plan, how)
        return
    sheet = series.paint_series(found, paint, force=how.force)
    if how.json:
        say_json({"sweep": dict(found.sweep), "jobs": told, "sheet": str(sheet)})
    elif not how.quiet:
        say(str(found.folder))


def _carry_out(plan: Plan, how: _How) -> None:
    if how.dry_run:
        _estimate(plan.order, how.json)
        return
    if not how.quiet:
        note("\n".join(plan.remarks))
    if plan.recipe.schedule.steps == 0:
        _measure(plan.order, how.json)
        return
    done = _paint(plan, how)
    if how.json:
        say_json(done.receipt)
    elif not how.quiet:
        say(str(plan.place.path))


def _paint(plan: Plan, how: _How) -> Done:
    inputs: tuple[str, ...] = ()
    place = None if plan.place.format else plan.place.path
    with (
        output_target.opened(plan.place, force=how.force) as opened,
        telling(quiet=how.quiet) as begin,
    ):
        tell = begin("")
        for event in _work(replace(plan.order, staging=opened.staging, place=place)):
            tell(event)
            if isinstance(event, Started):
                inputs = opened.stage_inputs(plan.pictures)
            elif isinstance(event, Staged):
                before = inputs if event.path == "receipt.json" else ()
                for name in (*before, event.path):
                    opened.publish(name)
            elif isinstance(event, Done):
                return event
    raise WorkerError("the painting ended without a result")


def _work(order: Order) -> Iterator[Event]:
    from stylewatch_daemon.worker.run_job import work
    from stylewatch_painter.stage import go_on

    yield from work(order, go_on)


def _measure(order: Order, json: bool) -> None:
    from stylewatch_daemon.worker.run_job import measure

    measured = measure(order)
    if json:
        say_json(measured)
    else:
        say(losses(measured))


def _estimate(order: Order, json: bool) -> None:
    from stylewatch_daemon.worker.run_job import estimate

    found = estimate(order)
    if json:
        say_json(asdict(found))
        return
    for pixels, steps in zip(found.sizes, found.steps, strict=True):
        say(f"{steps} steps at {in_pixels(pixels)}")
    say("time: " + ("unknown" if found.seconds is None else f"about {duration(found.seconds)}"))
    say("memory: " + ("unknown" if found.memory is None else f"about {memory(found.memory)}"))
    if found.tile is not None:
        say(f"in tiles of {found.tile} pixels")
