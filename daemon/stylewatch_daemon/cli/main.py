"""The command `stylewatch`: registers the commands, and maps errors to exit codes."""

import signal
import sys
import traceback
from collections.abc import Sequence
from importlib.metadata import version
from types import FrameType
from typing import Annotated

import typer

from stylewatch_daemon.cli import control, exit_codes, service, settings, weights
from stylewatch_daemon.cli.exit_codes import USAGE, note
from stylewatch_daemon.cli.render import figure, render
from stylewatch_daemon.cli.report import report
from stylewatch_daemon.cli.run import run
from stylewatch_daemon.cli.status import show, status
from stylewatch_daemon.cli.submit import submit

app = typer.Typer(
    name="stylewatch",
    help="Watch a folder, and stylize each photograph in it like a painting.",
    context_settings={"help_option_names": ["--help", "-h"]},
    pretty_exceptions_enable=False,
)
for command in (
    run, render, figure, submit, status, show, report, control.pause, control.resume,
    control.drain, control.finish, control.cancel, control.dismiss, control.retry,
    settings.recipes, settings.backends, settings.devices, settings.doctor, control.prune,
):  # fmt: skip
    app.command()(command)
app.add_typer(weights.app, name="weights")
app.add_typer(settings.config_app, name="config")
app.add_typer(service.app, name="service")
app.add_typer(settings.alerts_app, name="alerts")


def _version(wanted: bool) -> None:
    if wanted:
        exit_codes.echo(f"stylewatch {version('stylewatch')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def stylewatch(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error comes from.")] = False,
    _: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Watch a folder, and stylize each photograph in it like a painting."""
    context.obj["debug"] = debug
    if context.invoked_subcommand is None:
        context.get_help()
        raise typer.Exit(USAGE)


def main() -> None:
    """Run the command line of this process, and exit with its code."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:  # not ignored, as under nohup
            signal.signal(number, _terminate)
    exit_codes.exit_process(call(sys.argv[1:]))


def _terminate(number: int, frame: FrameType | None) -> None:
    """Exit by an exception, which removes unfinished files."""
    raise SystemExit(exit_codes.BY_SIGNAL + number)


def call(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code, as in sysexits; print errors on stderr."""
    shared = {"debug": False}
    command = typer.main.get_command(app)
    try:
        code = command.main(arguments, "stylewatch", standalone_mode=False, obj=shared)
    except (KeyboardInterrupt, typer.Abort):
        return exit_codes.INTERRUPTED
    except Exception as error:
        if shared["debug"]:
            traceback.print_exc()
        return _report(error)
    return code if isinstance(code, int) else 0


def _report(error: Exception) -> int:
    """Print `error` on stderr; return its exit code."""
    usage = getattr(error, "format_message", None)  # an error of typer
    if usage is None:
        note(exit_codes.sentence_of(error))
        return exit_codes.code_of(error)
    text = " ".join(usage().split()).rstrip(".")
    if text:  # if a command is missing, typer has printed its help
        context = getattr(error, "ctx", None)
        joint = "" if text.endswith("?") else ";"
        advice = f"{joint} see `{context.command_path} --help`" if context else ""
        note(f"{text[:1].lower()}{text[1:]}{advice}")
    return USAGE
