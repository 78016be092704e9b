"""`stylewatch render`, which runs a job in this process, and `stylewatch try`."""

import shlex
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import islice
from json import dumps as json_text
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stylewatch_daemon.base.errors import SettingsError, UsageError, WorkerError
from stylewatch_daemon.base.model import Started
from stylewatch_daemon.cli import build_order, options, output_target
from stylewatch_daemon.cli.build_order import Plan
from stylewatch_daemon.cli.exit_codes import echo, echo_json, note
from stylewatch_daemon.cli.options import JobOptions, with_job_options
from stylewatch_daemon.cli.progress import progress_display
from stylewatch_daemon.files import atomic
from stylewatch_daemon.settings import config
from stylewatch_daemon.settings.job import Member, Side, columns, members
from stylewatch_daemon.views.formatting import duration_range, losses, memory
from stylewatch_daemon.views.formatting import size as in_pixels
from stylewatch_daemon.worker.messages import Done, Staged

if TYPE_CHECKING:
    from stylewatch_plugins.contract import Estimate

VARIANTS = (
    Member("1", {"strength": 0.5}),
    Member("2", {}),
    Member("3", {"strength": 1.0}),
    Member("4", {"stroke": 0.5}),
    Member("5", {"stroke": 2.0}),
    Member("6", {"color": "content"}),
)
"""The variants that `stylewatch try` paints."""

TRY_SIZE, TRY_COLUMNS, LARGE_SIZE = "256", 3, 1280
"""Long side of its pictures, pictures in a row, long side that its commands ask for."""

TRY_SCENES = 3
"""Scenes of a clip that it paints a frame of."""


@with_job_options
def render(
    context: typer.Context,
    pictures: Annotated[
        list[Path] | None,
        typer.Argument(metavar="CONTENT STYLE", help="The photograph, and one or more paintings."),
    ] = None,
    *,
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", metavar="OUT",
            help="A picture (.png .jpg .webp .tiff), for a clip .mp4 .webm .mkv, or a folder for"
            " the stages, the receipt and all. By default CONTENT-STYLE.png here.",
        ),
    ] = None,
    job: JobOptions,
    receipt: Annotated[
        Path | None,
        typer.Option("--from", metavar="RECEIPT", help="Repeat the job of this receipt.json.",
                     rich_help_panel=options.MORE),
    ] = None,
    config_file: options.Config = None,
    force: options.Force = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Only print the sizes, the steps, the time and the memory."),
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print the receipt on stdout, as one line.")
    ] = False,
    quiet: options.Quiet = False,
) -> None:  # fmt: skip
    """Paint a photograph in the style of one or more paintings."""
    request = build_order.RenderRequest(tuple(pictures or ()), job, config_file, output, receipt)
    run, sweep = _Run(force, json, quiet, dry_run), build_order.parse_sweep(job.sweep)
    with tempfile.TemporaryDirectory(prefix="stylewatch-") as scratch:
        if sweep:
            folder, plans = build_order.plan_series(request, members(sweep), Path(scratch))
            run.series(sweep, folder, plans)
        else:
            plan = build_order.make_plan(request, Path(scratch))
            context.obj["debug"] |= plan.debug
            run.single(plan)


@contextmanager
def _blaming_command_line() -> Iterator[None]:
    """Raise a SettingsError of an order as UsageError: config.yaml was checked before."""
    try:
        yield
    except SettingsError as error:
        raise UsageError(str(error)) from error


@dataclass(frozen=True)
class _Run:
    """A run of the command with its own options; those of the job are in the plans."""

    force: bool
    json: bool
    quiet: bool
    dry_run: bool

    def single(self, plan: Plan) -> None:
        if self.dry_run or plan.recipe.schedule.steps == 0:
            plain, text = self._figures(plan)
            if self.json:
                echo_json(plain)
            else:
                echo(text)
            return
        if not self.quiet:
            note("\n".join(plan.remarks))
            order = plan.order
            if order.settings.size is None:
                build_order.note_size(order.settings, plan.recipe, order.content, order.max_pixels)
        done = self.work(plan)
        if self.json:
            echo_json(done.receipt)
        elif not self.quiet:
            echo(str(plan.place.path))

    def series(
        self,
        sweep: dict[str, tuple[Any, ...]],
        folder: Path,
        plans: Sequence[tuple[Member, Plan]],
    ) -> None:
        """Run each job, and draw the sheet; or measure or estimate each."""
        if self.dry_run or all(plan.recipe.schedule.steps == 0 for _, plan in plans):
            self._series_of_figures(sweep, plans)
            return
        sheet = folder / "sheet.png"
        output_target.check_free(sheet, force=self.force)
        jobs: list[dict[str, Any]] = []
        with output_target.reporting_write_errors(folder):
            atomic.make_folder(folder)
            for member, plan in plans:
                if not self.quiet:
                    note(f"{member.name}:")
                receipt = self.work(plan).receipt
                final = str(plan.place.path)
                jobs.append({"name": member.name, "final": final, "receipt": receipt})
            labels = [member.label for member, _ in plans]
            atomic.write(sheet, _sheet(labels, plans, columns(sweep)))
        if self.json:
            echo_json({"sweep": sweep, "jobs": jobs, "sheet": str(sheet)})
        elif not self.quiet:
            echo(str(folder))

    @_blaming_command_line()
    def work(self, plan: Plan) -> Done:
        """Run the job, and put its files into place."""
        from stylewatch_daemon.worker.run_job import work
        from stylewatch_painter.stage import go_on

        inputs: tuple[str, ...] = ()
        place = None if plan.place.format else plan.place.path
        with (
            output_target.opened(plan.place, force=self.force) as target,
            progress_display(quiet=self.quiet) as begin,
        ):
            show = begin("")
            for event in work(replace(plan.order, staging=target.staging, place=place), go_on):
                show(event)
                if isinstance(event, Started):
                    inputs = target.stage_inputs(plan.pictures)
                elif isinstance(event, Staged):
                    before = inputs if event.path == "receipt.json" else ()
                    for name in (*before, event.path):
                        target.publish(name)
                elif isinstance(event, Done):
                    return event
        raise WorkerError("the job ended without a result")

    def _series_of_figures(
        self, sweep: dict[str, tuple[Any, ...]], plans: Sequence[tuple[Member, Plan]]
    ) -> None:
        """Estimate or measure each job of a series."""
        kind, jobs = "estimate" if self.dry_run else "losses", []
        for member, plan in plans:
            plain, text = self._figures(plan)
            jobs.append({"name": member.name, kind: plain})
            if not self.json:
                echo(f"{member.name}:\n{text}")
        if self.json:
            echo_json({"sweep": sweep, "jobs": jobs})

    @_blaming_command_line()
    def _figures(self, plan: Plan) -> tuple[dict[str, Any], str]:
        """Estimate or measure a job; return the result for JSON and as text."""
        from stylewatch_daemon.worker.run_job import estimate, measure

        order = plan.order
        if self.dry_run:
            if not self.quiet:
                build_order.note_size(order.settings, plan.recipe, order.content, order.max_pixels)
            need = estimate(order)
            return asdict(need), "\n".join(_in_words(need, "frames" if order.is_clip else "steps"))
        if not self.quiet:
            note("\n".join(plan.remarks))
        measured = measure(order)
        return measured, losses(measured)


def _in_words(need: "Estimate", unit: str) -> Iterator[str]:
    """Yield the lines of an estimate, whose steps have this `unit`."""
    for pixels, steps in zip(need.sizes, need.steps, strict=True):
        yield f"{steps} {unit} at {in_pixels(pixels)}"
    yield "time: " + ("unknown" if need.seconds is None else duration_range(need.seconds))
    yield "memory: " + ("unknown" if need.memory is None else f"about {memory(need.memory)}")
    if need.tile is not None:
        yield f"in tiles of {need.tile} pixels"


def _sheet(
    labels: Sequence[str], plans: Sequence[tuple[Member, Plan]], width: int, format_: str = "png"
) -> bytes:
    """Draw the final pictures of a series, or the first frames of clips, `width` in a row."""
    from stylewatch_painter.images import sheet
    from stylewatch_painter.images.clip import frames, is_clip
    from stylewatch_painter.images.decode import NeededSize, long_side
    from stylewatch_painter.images.encode import encode
    from stylewatch_painter.images.read import read

    needed_size = NeededSize(long_side(sheet.SIDE))
    cells = []
    for label, (_, plan) in zip(labels, plans, strict=True):
        path, order = plan.place.path, plan.order
        if is_clip(path):
            pixels = next(frames(path, order.clip_limits)).pixels.astype("float32")
        else:
            pixels = read(path, max_pixels=order.max_pixels, needed_size=needed_size).pixels
        cells.append(sheet.Cell(label, sheet.shrunk(pixels)))
    return encode(sheet.draw(sheet.in_rows(cells, width)), format=format_)


@with_job_options
def try_(
    pictures: Annotated[
        list[Path],
        typer.Argument(metavar="CONTENT STYLE", help="The photograph, and one or more paintings."),
    ],
    *,
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", metavar="OUT",
            help="The sheet, a picture. By default CONTENT-STYLE-try.png here.",
        ),
    ] = None,
    job: JobOptions,
    config_file: options.Config = None,
    force: options.Force = False,
    quiet: options.Quiet = False,
) -> None:  # fmt: skip
    """Paint small variants on a sheet, with a command for each."""
    only = config.load(config_file, build_order.overrides_of(job)).job.only
    build_order.check_pictures("try", pictures, only)
    place = (
        output_target.unnamed(f"{build_order.default_name(pictures, only)}-try", "png")
        if output is None
        else output_target.named(output)
    )
    if place.format is None or place.format in output_target.CLIPS:
        raise UsageError(f"try draws a sheet: name a picture, as sheet.png, not {output}")
    output_target.check_free(place.path, force=force)
    series = members(build_order.parse_sweep(job.sweep)) if job.sweep else _variants(only)
    small = _small(job)
    with tempfile.TemporaryDirectory(prefix="stylewatch-") as scratch:
        run, painted = _Run(force=False, json=False, quiet=quiet, dry_run=False), []
        labels = [
            f"{number}: {', '.join(member.label.splitlines()) or 'as it is'}"
            for number, member in enumerate(series, start=1)
        ]
        stills = _stills(pictures[0], small, config_file, Path(scratch))
        for still, own in stills:
            folder = Path(tempfile.mkdtemp(dir=scratch))
            given = (still, *pictures[1:])
            request = build_order.RenderRequest(given, own, config_file, f"{folder}/")
            _, plans = build_order.plan_series(request, series, folder)
            for label, (_, plan) in zip(labels, plans, strict=True):
                if not quiet:
                    note(label)
                run.work(plan)
            painted += plans
        with output_target.reporting_write_errors(place.path):
            below = labels * (len(painted) // len(labels))
            atomic.write(place.path, _sheet(below, painted, TRY_COLUMNS, place.format))
    is_clip = stills[0] != (pictures[0], small)  # which has no preview
    large = replace(job, sweep=None) if is_clip else small
    for label, (member, plan) in zip(labels, painted, strict=False):
        values = {**member.values, **({} if is_clip else _enlarged(plan))}
        echo(f"{label}\n   {_command(pictures, large, values, config_file)}")
    if not quiet:
        echo(str(place.path))


def _variants(only: Side | None) -> Sequence[Member]:
    """Return the built-in variants; without a photograph there are no colors of it to keep."""
    return [member for member in VARIANTS if only != "style" or "color" not in member.values]


def _stills(
    content: Path, job: JobOptions, config_file: Path | None, folder: Path
) -> Sequence[tuple[Path, JobOptions]]:
    """Return the content with its options; of a clip, first frames of scenes, in `folder`."""
    from stylewatch_painter.images import clip, flow
    from stylewatch_painter.images.encode import encode

    if job.only == "style" or not clip.is_clip(content):
        return [(content, job)]
    limits = config.load(config_file).limits
    most = clip.ClipLimits(limits.max_pixels, limits.max_frames)
    stills: list[tuple[Path, JobOptions]] = []
    starts = flow.scene_starts(clip.frames(content, most))
    for number, frame in enumerate(islice(starts, TRY_SCENES), start=1):
        still = folder / f"scene-{number}.png"
        still.write_bytes(encode(frame.pixels.astype("float32")))
        stills.append((still, job))
    return stills


def _small(job: JobOptions) -> JobOptions:
    is_sized = "job.size" in build_order.overrides_of(job)
    return replace(job, size=job.size if is_sized else TRY_SIZE, sweep=None)


def _enlarged(plan: Plan) -> dict[str, Any]:
    """Return the settings of a large picture with the composition of the small one of `plan`.

    It has LARGE_SIZE pixels, or as many as the photograph; a texture may have any size.
    """
    from stylewatch_painter.images.read import picture_size
    from stylewatch_painter.scene import scales

    order, schedule = plan.order, plan.recipe.schedule
    if order.content is None:
        schedule = scales.of_texture(schedule)
    picture = picture_size(order.content or order.styles[0], order.max_pixels)
    small = scales.final_size(schedule, picture)
    side = LARGE_SIZE if schedule.enlarge else min(LARGE_SIZE, *sorted(picture)[1:])
    if side <= max(small):
        return {}
    size, preview = str(side), schedule.size
    if schedule.fit == "stretch":
        size, preview = map(in_pixels, (scales.times(small, side / max(small)), small))
    if scales.preview_size(schedule, picture) != small:
        preview = str(schedule.preview)
    return {"size": size, "preview": preview}


def _without_sets(job: JobOptions, names: Iterable[str]) -> JobOptions:
    """Leave out each `--set` of these settings, which would beat their options."""
    keys = {f"job.{part}{name}" for name in names for part in ("", "set.", "set.schedule.")}
    sets = job.sets or ()
    kept = [text for text in sets if options.full_key(text.partition("=")[0].strip()) not in keys]
    return replace(job, sets=kept)


def _command(
    pictures: Sequence[Path], large: JobOptions, values: Mapping[str, Any], config_file: Path | None
) -> str:
    # `--init FILE` alone can say `init: picture`, and `--mask` takes a file.
    values = {key: value for key, value in values.items() if (key, value) != ("init", "picture")}
    own = {key: value for key, value in values.items() if key in vars(large) and key != "mask"}
    without_option = {key: None for key, value in own.items() if value is None or value is False}
    sets = [
        f"{key}={json_text(value)}"
        for key, value in values.items()
        if key in without_option or key.removeprefix("schedule.") not in own
    ]
    large = _without_sets(large, own)
    large = replace(large, sets=[*(large.sets or ()), *sets], **own | without_option)
    names = [f"./{path}" if str(path).startswith("-") else str(path) for path in pictures]
    words = ["stylewatch", "render", *names, *options.words_of(large)]
    return shlex.join(words + ([] if config_file is None else ["--config", str(config_file)]))
