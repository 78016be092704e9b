"""`stylewatch learn`: train a network for one style, on photographs of the user."""

from pathlib import Path

import typer

from stylewatch_learned import LONGEST_SIDE, SIDE, SUFFIX


def learn(
    style: Path = typer.Argument(..., metavar="STYLE", help="The painting to learn from."),
    photographs: list[Path] = typer.Argument(
        ..., metavar="PHOTOS...", help="About fifteen photographs like those to be painted."
    ),
    output: Path | None = typer.Option(
        None,
        "-o",
        "--output",
        metavar="FILE",
        help="Where to write it; by default under the style's name, where `--backend learned`"
        " looks.",
    ),
    minutes: float = typer.Option(12.0, min=0.1, max=10_000, help="Time that it may take."),
    steps: int | None = typer.Option(
        None, min=1, max=1_000_000, help="Number of steps, in place of the time."
    ),
    size: int = typer.Option(
        SIDE, min=64, max=LONGEST_SIDE, help="Long side of the paintings it is for."
    ),
    device: str = typer.Option("auto", help="auto, cpu or cuda."),
) -> None:
    """Learn a style from one painting and some photographs, to paint albums in seconds.

    It can be stopped with Ctrl-C, and goes on when the same command is repeated.
    """
    if output is not None and output.suffix != SUFFIX:
        raise typer.BadParameter(f"{output.name} must end in {SUFFIX}", param_hint="--output")
    from stylewatch_learned.training import Wanted, train  # loads torch

    def report(line: str) -> None:
        typer.echo(line, err=True)

    wanted = Wanted(minutes, size, steps, device)
    typer.echo(str(train(style, photographs, output, wanted, report)))
