"""`stylewatch render`, which runs jobs in this process, and `stylewatch try`."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import chain, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import typer

from stylewatch_daemon.base import shortages
from stylewatch_daemon.base.errors import SettingsError, UsageError, WorkerError
from stylewatch_daemon.base.words import in_pixels
from stylewatch_daemon.cli import build_order, options, output_target
from stylewatch_daemon.cli.build_order import Plan, RenderRequest
from stylewatch_daemon.cli.exit_codes import echo, echo_json, note
from stylewatch_daemon.cli.options import Member, columns, in_words, members, parse_sweep
from stylewatch_daemon.cli.progress import JobProgress, in_place
from stylewatch_daemon.files import atomic
from stylewatch_daemon.files.disks import amount
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.settings import config
from stylewatch_daemon.settings.job import CLIP_FORMATS
from stylewatch_daemon.settings.style_library import every_style
from stylewatch_daemon.views.formatting import duration_range, losses
from stylewatch_daemon.worker.messages import Done, FileStaged

if TYPE_CHECKING:
    from stylewatch_painter.images.sheet import Cell
    from stylewatch_plugins.contract import Estimate

VARIANTS: tuple[Mapping[str, Any], ...] = (
    {"strength": 0.5}, {}, {"strength": 1.0}, {"stroke": 0.5}, {"stroke": 2.0}, {"color": "content"}
)  # fmt: skip
"""The variants that `stylewatch try` paints."""

TRY_SIZE, TRY_COLUMNS, LARGE_SIZE = "256", 3, 1280
"""Sizes for `stylewatch try`: long side of a variant in pixels, variants in a row of the sheet, and
usual long side in pixels of the pictures that the printed commands paint."""

STYLES_SIZE, STYLES_COLUMNS, FIRST_STYLES = "160", 4, 12
"""Sizes for `stylewatch try` with a photograph alone: long side of a variant in pixels, variants in
a row of the sheet, and maximum number of styles without `--all`."""


@options.with_job_options()
def render(
    context: typer.Context,
    pictures: options.Pictures,
    *,
    output: str | None = typer.Option(
        None,
        "--output",
        "-o",
        metavar="OUT",
        help="A picture (.png .jpg .webp .tiff), for a clip .mp4 .webm .mkv, or a folder for"
        " the stages, the receipt and all. By default CONTENT-STYLE.png here.",
    ),
    job: options.JobOptions,
    receipt: Path | None = typer.Option(
        None,
        "--from",
        metavar="RECEIPT",
        help="Repeat the job of this receipt.json.",
        rich_help_panel=options.MORE,
    ),
    config_file: options.Config = None,
    force: options.Force = False,
    dry_run: bool = typer.Option(
        False, "--dry-run", help="Only print the sizes, the steps, the time and the memory."
    ),
    json: bool = typer.Option(False, "--json", help="Print the receipt on stdout, as one line."),
    quiet: options.Quiet = False,
) -> None:
    """Paint a photograph in the style of one or more paintings."""
    request = RenderRequest(tuple(pictures), job, config_file, output, receipt)
    sweep = parse_sweep(job.get("sweep"))
    kind = "receipt"
    with TemporaryDirectory(dir=shortages.temporary_folder(), prefix="stylewatch-") as scratch:
        if sweep:
            plans = build_order.plan_series(request, members(sweep), Path(scratch))
        else:
            plans = [build_order.make_plan(request, Path(scratch))]
        context.obj["debug"] |= plans[0].debug
        place = plans[0].place.path
        if dry_run or all(plan.recipe.schedule.steps == 0 for plan in plans):
            kind = "estimate" if dry_run else "losses"
            results = [
                _print_figures(plan, dry_run=dry_run, json=json, quiet=quiet) for plan in plans
            ]
        elif sweep:
            place = place.parent
            sheet = place / "sheet.png"
            results = _paint_series(plans, sheet, columns(sweep), force=force, quiet=quiet)
        else:
            painted, place = _paint(plans[0], force=force, quiet=quiet)
            results = [painted]
    if json:
        named = [
            {"name": plan.member.name, kind: plain}
            for plan, plain in zip(plans, results, strict=True)
        ]
        echo_json({"sweep": sweep, "jobs": named} if sweep else results[0])
    elif kind == "receipt" and not quiet:
        echo(str(place))


@contextmanager
def _blaming_command_line() -> Iterator[None]:
    """Convert a SettingsError in the context to a UsageError, because config.yaml is valid."""
    try:
        yield
    except SettingsError as error:
        raise UsageError(str(error)) from error


def _announce(plan: Plan, *, dry_run: bool = False) -> None:
    """Print the remarks on a job before it begins or, in a dry run, before it is estimated."""
    order = plan.order
    note("\n".join(plan.remarks))
    if dry_run or order.settings.size is None:  # otherwise the worker reports the size
        photograph = build_order.photograph_size(order.content, order.max_pixels)
        build_order.note_size(order.settings, plan.recipe, photograph)


@_blaming_command_line()
def _paint(plan: Plan, *, force: bool, quiet: bool) -> tuple[Mapping[str, Any], Path]:
    """Run a job and publish its files; return the receipt, and the path of the output.

    Raises WorkerError if the job ends without a result, and as `output_target.opened` and `work`
    do.
    """
    from stylewatch_daemon.worker.run_job import work
    from stylewatch_painter.stage import go_on

    if plan.member.name and not quiet:
        note(f"{', '.join(plan.member.label.splitlines())}:")
    elif not quiet:
        _announce(plan)
    place = None if plan.place.format else plan.place.path
    with (
        output_target.opened(plan.place, [*chain(*plan.files.values())], force=force) as target,
        in_place(sys.stderr, wanted=not quiet) as on_terminal,
    ):
        progress = JobProgress((lambda line: None) if quiet else note, on_terminal)
        for event in work(replace(plan.order, staging=target.staging, place=place), go_on):
            progress(event)
            if isinstance(event, FileStaged):
                target.publish(event.path)
            elif isinstance(event, Done):
                here = event.receipt.get("weights") or {}
                if plan.weights and here.get("sha256") != plan.weights and not quiet:
                    note("the weights that painted it are not those of the receipt")
                return event.receipt, target.path
    raise WorkerError("the job ended without a result")


@_blaming_command_line()
def _print_figures(plan: Plan, *, dry_run: bool, json: bool, quiet: bool) -> Mapping[str, Any]:
    """Estimate a job in a dry run, else measure its losses; return the result in its JSON form.

    Print the result as text, unless `json` is set.
    """
    from stylewatch_daemon.worker.run_job import estimate, measure

    if not quiet:
        _announce(plan, dry_run=dry_run)
    if dry_run:
        need, doubts = estimate(plan.order)
        plain = asdict(need)
        for doubt in () if quiet else doubts:
            note(doubt)
        text = "\n".join(_in_words(need, "frames" if plan.order.is_clip else "steps"))
    else:
        plain = measure(plan.order)
        text = losses(plain)
    if not json:
        echo(f"{plan.member.name}:\n{text}" if plan.member.name else text)
    return plain


def _in_words(need: "Estimate", unit: str) -> Iterator[str]:
    """Yield an estimate as lines of text; `unit` is the word for its steps."""
    for pixels, steps in zip(need.sizes, need.steps, strict=True):
        yield f"{steps} {unit} at {in_pixels(pixels)}"
    yield "time: " + ("unknown" if need.seconds is None else duration_range(need.seconds))
    yield "memory: " + ("unknown" if need.memory is None else f"about {amount(need.memory)}")
    if need.tile is not None:
        yield f"in tiles of {need.tile} pixels"


def _paint_series(
    plans: Sequence[Plan],
    sheet: Path,
    width: int,
    *,
    force: bool,
    quiet: bool,
    done: Callable[[Plan, Mapping[str, Any]], object] | None = None,
) -> list[Mapping[str, Any]]:
    """Run the jobs of a series; draw their pictures on a sheet, `width` in a row.

    Returns the receipts of the jobs. With `done`, the sheet is drawn anew after each job, and
    `done` gets the plan and its receipt.
    """
    from stylewatch_painter.images.encode import encode
    from stylewatch_painter.images.sheet import Cell, draw, in_rows

    for path in (sheet, *(plan.place.path for plan in plans)):
        output_target.check_free(path, force=force)
    _check_members(plans)
    with output_target.reporting_write_errors(sheet.parent):
        atomic.make_folder(sheet.parent)
    format_ = output_target.named(str(sheet)).format or "png"
    cells = [Cell(plan.member.label) for plan in plans]
    receipts = list[Mapping[str, Any]]()
    is_drawn = False
    for number, plan in enumerate(plans):
        receipts.append(_paint(plan, force=force, quiet=quiet)[0])
        cells[number] = _cell(plan)
        if done is None and plan is not plans[-1]:
            continue
        if not is_drawn:
            output_target.check_free(sheet, force=force)  # another command may have written it
        with output_target.reporting_write_errors(sheet):
            atomic.write(sheet, encode(draw(in_rows(cells, width)), format=format_))
        is_drawn = True
        if done is not None:
            done(plan, receipts[-1])
    return receipts


@_blaming_command_line()
def _check_members(plans: Sequence[Plan]) -> None:
    """Prepare all jobs of a series but the first, so that mistakes are found before any is painted.

    Raises UsageError if a job has no steps, and raises as `prepare` does.
    """
    from stylewatch_daemon.worker.prepare import prepare

    if any(plan.recipe.schedule.steps == 0 for plan in plans):
        raise UsageError(
            "steps: 0 only measures, and other jobs of this series paint: ask for some"
        )
    for plan in plans[1:]:  # painting the first one finds its mistakes
        prepare(plan.order)


def _cell(plan: Plan) -> "Cell":
    """Return the picture of a job in a series, or the first frame of its clip, for a sheet."""
    from stylewatch_painter.images import sheet
    from stylewatch_painter.images.decode import NeededSize, long_side
    from stylewatch_painter.images.read import read

    path = plan.place.path
    order = plan.order
    pixels = _first_frame(path, order.max_pixels, order.max_frames)
    if pixels is None:
        needed_size = NeededSize(long_side(sheet.SIDE))
        pixels = read(path, max_pixels=order.max_pixels, needed_size=needed_size).pixels
    return sheet.Cell(plan.member.label, sheet.shrunk(pixels))


def _first_frame(path: Path | None, max_pixels: int, max_frames: int) -> Any:
    """Return the first frame of a clip, as float32 (height, width, 3), 0..255.

    Return None if `path` is None or not a clip.
    """
    from stylewatch_painter.images import read_clip
    from stylewatch_painter.images.clip import ClipLimits

    if path is None or not read_clip.is_clip(path):
        return None
    limits = ClipLimits(max_pixels, max_frames)
    return next(read_clip.frames(path, limits)).pixels.astype("float32")


@options.with_job_options("artifact")
def try_(
    pictures: options.Pictures,
    *,
    output: str | None = typer.Option(
        None,
        "--output",
        "-o",
        metavar="OUT",
        help="The sheet, a picture. By default CONTENT-STYLE-try.png here.",
    ),
    all_styles: bool = typer.Option(
        False, "--all", help=f"Without a style: in all styles, not in {FIRST_STYLES}."
    ),
    job: options.JobOptions,
    config_file: options.Config = None,
    force: options.Force = False,
    quiet: options.Quiet = False,
) -> None:
    """Paint small variants on a sheet, or a photograph in every style, with a command for each."""
    from stylewatch_painter.images.encode import encode

    overrides = build_order.overrides_of(job)
    base = config.load(config_file)
    settings = config.override(base, overrides)
    is_alone = len(pictures) == 1 and not job.get("style") and settings.job.only is None
    every = _every_style(settings) if is_alone else {}
    pictures = [*build_order.with_named_styles(pictures, job, settings)]
    job = {name: value for name, value in job.items() if name != "style"}
    chosen = _chosen_styles(every, job, all_styles=all_styles)
    sample = [*chosen.values()][:1]
    content, styles = build_order.sides("try", [*pictures, *sample], settings.job.only)
    name = pictures[0].stem if every else build_order.default_name(content, styles)
    sheet = _sheet_of_try(output, name)
    output_target.check_free(sheet, force=force)
    with TemporaryDirectory(dir=shortages.temporary_folder(), prefix="stylewatch-") as scratch:
        frame = _first_frame(content, settings.limits.max_pixels, settings.limits.max_frames)
        still = pictures[0] if frame is None else Path(scratch, f"{pictures[0].stem}.png")
        if frame is not None:
            still.write_bytes(encode(frame))
        size = STYLES_SIZE if chosen else TRY_SIZE
        small = job if "job.size" in overrides else {**job, "size": size}
        request = RenderRequest((still, *pictures[1:]), small, config_file, f"{scratch}/")
        plans = build_order.plan_series(request, [*_variants(job, content, chosen)], Path(scratch))
        width = STYLES_COLUMNS if chosen else TRY_COLUMNS
        say = _Large(content, chosen, base, overrides, config_file, frame is not None).say
        _paint_series(
            _with_good_styles(plans) if chosen else plans,
            sheet,
            width,
            force=force,
            quiet=quiet,
            done=say,
        )
    if not quiet:
        note(_more_styles(len(every) - len(chosen)))
        echo(str(sheet))


def _with_good_styles(plans: Sequence[Plan]) -> Sequence[Plan]:
    """Return the plans whose style can be used; print why the others are left out.

    If none can be used, perhaps because of the photograph, return all: painting reports the error.
    """
    from stylewatch_daemon.worker.prepare import prepare
    from stylewatch_painter.errors import PictureError

    good = list[Plan]()
    reasons = list[str]()
    for plan in plans:
        try:
            prepare(plan.order)
        except PictureError as error:
            reasons.append(f"{plan.member.label} is left out: {error}")
        else:
            good.append(plan)
    if not good:
        return plans
    note("\n".join(reasons))
    return good


def _every_style(settings: config.Config) -> Mapping[str, Path]:
    with build_order.style_library(settings) as library:
        return every_style(library)


@dataclass(frozen=True)
class _Large:
    """Printer of the commands that paint the variants of `content` in a large size.

    A command has the settings that differ from `base`, the settings of config.yaml. `overrides` are
    the settings of the command line. `styles` are empty, or have the style of each variant by its
    name, in the order of the variants.
    """

    content: Path | None
    styles: Mapping[str, Path]
    base: config.Config
    overrides: Mapping[str, Any]
    config_file: Path | None
    is_clip: bool

    def say(self, plan: Plan, receipt: Mapping[str, Any]) -> None:
        """Print the label of a variant, and the command that paints it in a large size.

        `receipt` is the receipt of the small picture.
        """
        own = {key: value for key, value in self.overrides.items() if not key.startswith("job.")}
        changed = _changes(plan, None if self.is_clip else receipt, self.base) | own
        files = {**plan.files, **({"content": [self.content]} if self.content else {})}
        words = ["--config", str(self.config_file)] if self.config_file else []
        if self.styles:
            del files["style"]
            words += ["--style", [*self.styles][int(plan.member.name) - 1]]
        echo(f"{plan.member.label}\n   {_command(files, changed, *words)}")


def _chosen_styles(
    every: Mapping[str, Path], job: options.JobOptions, *, all_styles: bool
) -> Mapping[str, Path]:
    """Return the styles of `every` to try: with `all_styles` all, else the first FIRST_STYLES.

    Raises UsageError if `--sweep` or `--all` does not fit.
    """
    if every and "sweep" in job:
        raise UsageError("--sweep takes a style, too: CONTENT STYLE..., or --style NAME")
    if all_styles and not every:
        raise UsageError("--all is for one photograph without a style, and not for --only")
    return every if all_styles else dict(islice(every.items(), FIRST_STYLES))


def _more_styles(count: int) -> str:
    return f"--all paints {count} more styles" if count else ""


def _sheet_of_try(output: str | None, name: str) -> Path:
    """Return the path of the sheet; raises UsageError if `output` does not name a picture."""
    if output is None:
        return output_target.unnamed(f"{name}-try", "png").path
    sheet = output_target.named(output)
    if sheet.format is None or sheet.format in CLIP_FORMATS:
        raise UsageError(f"try draws a sheet: name a picture, as sheet.png, not {output}")
    return sheet.path


def _variants(
    job: options.JobOptions, content: Path | None, styles: Mapping[str, Path]
) -> Iterator[Member]:
    """Yield the numbered variants for `stylewatch try`: one for each of `styles`, if any.

    Without `styles`, they are the combinations of `--sweep`, or else VARIANTS.
    """
    for number, (style, path) in enumerate(styles.items(), start=1):
        yield Member(str(number), {}, f"{number}: {shown(style)}", (path,))
    if styles:
        return
    # without a photograph, there are no colors to keep
    variants = VARIANTS if content else VARIANTS[:-1]
    if "sweep" in job:
        variants = tuple(member.values for member in members(parse_sweep(job["sweep"])))
    for number, values in enumerate(variants, start=1):
        label = f"{number}: {', '.join(in_words(values)) or 'as it is'}"
        yield Member(str(number), values, label)


def _command(files: Mapping[str, Sequence[Path]], changed: Mapping[str, Any], *more: str) -> str:
    """Return the command that paints `files` with the `changed` settings."""
    from stylewatch_daemon.views.job import command

    return command("render", files, changed, *more)


def _changes(plan: Plan, receipt: Mapping[str, Any] | None, base: config.Config) -> dict[str, Any]:
    """Return the settings of a variant that differ from `base`.

    If the `receipt` of a small picture is given, they are the settings for a large picture.
    """
    from stylewatch_daemon.views.job import differences

    wanted = plan.order.settings.model_dump(mode="json")
    if receipt is not None:
        wanted = config.merge_job(wanted, _enlarged(plan, receipt))
    return differences(wanted, {**base.job.model_dump(mode="json"), "artifacts": ()})


def _enlarged(plan: Plan, receipt: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return settings for a large picture with the composition of the small one of `plan`.

    The long side has LARGE_SIZE pixels. It is at most that of the photograph, unless photographs
    are enlarged or the size is a box. A box keeps the ratio of the small picture's sides. If the
    picture would not become larger, its size stays as it is.
    """
    schedule = plan.recipe.schedule
    small = receipt["size"]
    size = schedule.size
    preview = schedule.preview
    side = LARGE_SIZE
    photographs = (record["size"] for record in receipt["inputs"] if record["role"] == "content")
    if not schedule.enlarge and "x" not in size.strip("x"):
        side = min([side, *map(max, photographs)])
    factor = side / max(small)
    if factor <= 1:
        return {"size": size}
    if "x" in size.strip("x"):  # a box, whose sides may have another ratio than the photograph
        large = in_pixels([round(side * factor) for side in small])
        return {"size": large, "preview": preview or in_pixels(small)}
    return {"size": str(side), "preview": preview or size}
