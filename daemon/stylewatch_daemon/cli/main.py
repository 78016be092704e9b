"""The stylewatch command: puts its commands together, and turns every end into an exit code."""

import signal
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from types import FrameType
from typing import Annotated

import typer

from stylewatch_daemon.cli import alerts, control, jobs, lists, service, settings, weights
from stylewatch_daemon.cli.console import note, say
from stylewatch_daemon.cli.doctor import doctor
from stylewatch_daemon.cli.exit_codes import BY_SIGNAL, INTERRUPTED, USAGE, code_of, sentence_of
from stylewatch_daemon.cli.figure import figure
from stylewatch_daemon.cli.html.report import report
from stylewatch_daemon.cli.leave import leave
from stylewatch_daemon.cli.prune import prune
from stylewatch_daemon.cli.render import render
from stylewatch_daemon.cli.retry import retry
from stylewatch_daemon.cli.run import run
from stylewatch_daemon.cli.show import show
from stylewatch_daemon.cli.status import status
from stylewatch_daemon.cli.submit import submit

app = typer.Typer(
    name="stylewatch",
    help="Watch a folder and paint each photograph that lands in it in the manner of a painting.",
    context_settings={"help_option_names": ["--help", "-h"]},
    pretty_exceptions_enable=False,
)
app.command()(run)
app.command()(render)
app.command()(figure)
for command in (submit, status, show, report, control.pause, control.resume, control.drain):
    app.command()(command)
app.command()(jobs.finish)
app.command()(jobs.cancel)
app.command()(jobs.dismiss)
app.command()(retry)
app.command()(lists.recipes)
app.command()(lists.backends)
app.command()(lists.devices)
app.command()(doctor)
app.command()(prune)
app.add_typer(weights.app, name="weights")
app.add_typer(settings.app, name="config")
app.add_typer(service.app, name="service")
app.add_typer(alerts.app, name="alerts")


@dataclass
class Wishes:
    """Options that all commands share."""

    debug: bool = False


def _version(wanted: bool) -> None:
    if wanted:
        say(f"stylewatch {version('stylewatch')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def stylewatch(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error comes from.")] = False,
    _: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Tell the version."),
    ] = False,
) -> None:
    """Watch a folder and paint each photograph that lands in it in the manner of a painting."""
    context.obj.debug = debug
    if context.invoked_subcommand is None:
        context.get_help()
        raise typer.Exit(USAGE)


def main() -> None:
    """Run the command line that this process was started with, and leave with its exit code."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:  # and not ignored, as under nohup
            signal.signal(number, _terminate)
    leave(call(sys.argv[1:]))


def _terminate(number: int, frame: FrameType | None) -> None:
    """Leave by way of an exception, so that nothing half written stays behind."""
    raise SystemExit(BY_SIGNAL + number)


def call(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code, as in sysexits; errors are told on stderr."""
    wishes = Wishes()
    command = typer.main.get_command(app)
    try:
        code = command.main(arguments, "stylewatch", standalone_mode=False, obj=wishes)
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except Exception as error:
        if wishes.debug:
            traceback.print_exc()
        return _told(error)
    return code if isinstance(code, int) else 0


def _told(error: Exception) -> int:
    """Tell `error` on stderr; the exit code that it means."""
    usage = getattr(error, "format_message", None)  # typer's own errors all have it
    if usage is None:
        note(sentence_of(error))
        return code_of(error)
    text = " ".join(usage().split()).rstrip(".")
    if text:  # where a command was missing, typer has shown its help already
        context = getattr(error, "ctx", None)
        joint = "" if text.endswith("?") else ";"
        help_ = f"{joint} `{context.command_path} --help` tells more" if context else ""
        note(f"{text[:1].lower()}{text[1:]}{help_}")
    return USAGE
