"""`stylewatch sample`: a photograph and a painting to try things with."""

from pathlib import Path
from typing import Annotated

import typer

from stylewatch_daemon.base.errors import OutputError
from stylewatch_daemon.cli import options
from stylewatch_daemon.cli.exit_codes import echo
from stylewatch_daemon.cli.output_target import reporting_write_errors
from stylewatch_daemon.files import atomic
from stylewatch_painter.sample import CONTENT, STYLE


def sample(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Where to write them.", show_default=True)
    ] = Path("sample"),
) -> None:
    """Write a photograph and a painting to try things with.

    Both are in the public domain. Another file of the same name is never replaced.
    """
    target = options.expanded(folder)
    for picture in (CONTENT, STYLE):
        path, content = target / picture.name, picture.read_bytes()
        with reporting_write_errors(path):
            if path.exists() and path.read_bytes() != content:
                raise OutputError(f"{path} is another picture, and is not replaced")
            atomic.make_folder(target)
            atomic.write(path, content)
        echo(str(path))
