"""`stylewatch report JOB`: a painting with all that is known of it, as one file to be mailed."""

from pathlib import Path
from typing import Annotated

import typer

from stylewatch_daemon.cli import options
from stylewatch_daemon.cli.client import StateFolder, daemon
from stylewatch_daemon.cli.console import say
from stylewatch_daemon.cli.html.gallery import gallery
from stylewatch_daemon.cli.html.page import page
from stylewatch_daemon.cli.html.painted import Painted, in_folder, of_job
from stylewatch_daemon.errors import OutputError
from stylewatch_daemon.files import atomic
from stylewatch_daemon.files.names import candidates, safe
from stylewatch_daemon.outbox.publish import RECEIPT

Job = Annotated[
    str,
    typer.Argument(
        metavar="JOB", help="Its name in the outbox or its id; or a folder with a receipt.json."
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", metavar="OUT", help="The file. If not said: JOB-report.html here."
    ),
]
Force = Annotated[bool, typer.Option("--force", "-f", help="Replace what is at OUT already.")]


def report(
    job: Job,
    output: Output = None,
    config_file: options.Config = None,
    state: StateFolder = None,
    force: Force = False,
    quiet: options.Quiet = False,
) -> None:
    """Write a report of a painting that is done: one HTML file with all its pictures in it."""
    painted = _painted(job, config_file, state)
    path = output or _unnamed(painted)
    if path.exists() and (path.is_dir() or not force):
        raise OutputError(
            f"{path} is a folder: name a file, as {path / 'report.html'}"
            if path.is_dir()
            else f"{path} is already there; --force replaces it"
        )
    content = page(painted, gallery(painted)).encode()
    try:
        atomic.write(path, content)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from error
    if not quiet:
        say(str(path))


def _painted(job: str, config_file: Path | None, state: Path | None) -> Painted:
    """A folder is meant where there is a receipt in it."""
    folder = Path(job).expanduser()
    if folder.name == RECEIPT:
        folder = folder.parent
    if (folder / RECEIPT).is_file():
        return in_folder(folder)
    return of_job(daemon(config_file, state), job)


def _unnamed(painted: Painted) -> Path:
    """A file in the current folder that is not there yet."""
    stem = f"{safe(painted.name)}-report"
    return next(path for one in candidates(stem) if not (path := Path(f"{one}.html")).exists())
