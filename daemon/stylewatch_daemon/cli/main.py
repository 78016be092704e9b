"""The command `stylewatch`: registers the commands, writes their help, and reports errors.

Only the module of the command that runs is imported: importing the modules of all commands takes
longer than a short command itself.
"""

import re
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from threading import Event
from types import FrameType
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from stylewatch_daemon.base.errors import Exit, UsageError
from stylewatch_daemon.cli import exit_codes
from stylewatch_daemon.cli.exit_codes import note
from stylewatch_daemon.files.names import at_home
from stylewatch_painter import installed
from stylewatch_painter.process_memory import import_uncollected

_HOME = re.compile(r"(--[a-z-]+=|-[a-zA-Z]+|)(~[^/=]*)(/.*)", re.DOTALL)

_PAINT = "Paint"

_INSTALLED = "stylewatch.commands"
"""Group of the entry points of packages that bring commands; each is a function with the name of
its command."""

_GROUPS: Mapping[str, Mapping[str, str]] = {
    _PAINT: {
        "render": "render", "try": "render", "submit": "submit", "sample": "init",
        "recipes": "settings",
    },
    "The daemon": {
        "run": "run", "status": "status", "pause": "control", "resume": "control",
        "drain": "control", "service": "service",
    },
    "Jobs": {
        "show": "status", "retry": "control", "finish": "control", "cancel": "control",
        "dismiss": "control",
    },
    "Set-up": {
        "init": "init", "phone": "phone", "config": "settings", "doctor": "settings",
        "weights": "weights", "alerts": "settings",
    },
}  # fmt: skip
"""The module of each command or group of commands, in the groups and the order of `--help`."""


_interrupted = Event()
"""Event that is set once the user has pressed Ctrl-C."""

_TYPE = re.compile(r" <(bool|str|path|list\[.*\])>$")
"""Pattern of types that the help leaves out, because they say nothing about the value."""


class GroupedCommands(TyperGroup):
    """Group of commands whose help lists them one per line, below their `rich_help_panel`."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write a section for each group of commands."""
        commands = [(name, self.commands[name]) for name in self.list_commands(ctx)]
        limit = formatter.width - 6 - max(len(name) for name, _ in commands)
        rows = (
            (getattr(command, "rich_help_panel", None), (name, command.get_short_help_str(limit)))
            for name, command in commands
        )
        _write_groups(formatter, rows, "Commands")


class GroupedOptions(TyperCommand):
    """Command whose help lists the options below their `rich_help_panel`."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write a section for the arguments, and one for each group of options."""
        rows = []
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                is_argument = parameter.param_type_name == "argument"
                group = "Arguments" if is_argument else getattr(parameter, "rich_help_panel", None)
                rows.append((group, (_TYPE.sub("", record[0]), record[1])))
        _write_groups(formatter, rows, "Options")


def _write_groups(
    formatter: Any, rows: Iterable[tuple[str | None, tuple[str, str]]], default: str
) -> None:
    """Write the rows under their headings, in the order in which headings first appear."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for heading, row in rows:
        groups.setdefault(heading or default, []).append(row)
    for heading, own in groups.items():
        with formatter.section(heading):
            formatter.write_dl(own)


def make_app(arguments: Sequence[str] = ()) -> typer.Typer:
    """Return the application with the command that `arguments` name, or with all if they name none.

    A package's command that cannot be imported is left out, unless it is the named one.
    """
    app = typer.Typer(
        name="stylewatch",
        context_settings={"help_option_names": ["--help", "-h"]},
        cls=GroupedCommands,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    app.callback(no_args_is_help=True)(stylewatch)
    words = [word for word in arguments if not word.startswith("-")]
    named = words[0] if words else None
    commands = [
        (group, name, f"stylewatch_daemon.cli.{module}")
        for group, modules in _GROUPS.items()
        for name, module in modules.items()
    ]
    ours = {name for _, name, _ in commands}
    added = []
    if named not in ours:  # looking for packages takes time
        entries = [each for each in installed.entries(_INSTALLED) if each.name not in ours]
        added = [(_PAINT, each.name, each.module) for each in entries]
    wanted = [each for each in (*commands, *added) if each[1] == named]
    for group, name, module in wanted or (*commands, *added):
        try:
            loaded = import_uncollected(module)
        except Exception:
            if wanted or (group, name, module) not in added:
                raise
            continue  # a broken package keeps nobody from the help of other commands
        command = getattr(loaded, f"{name}_", None) or getattr(loaded, name)
        if isinstance(command, typer.Typer):
            for each in command.registered_commands:
                each.cls = GroupedOptions
            app.add_typer(command, name=name, rich_help_panel=group)
        else:
            app.command(name, cls=GroupedOptions, rich_help_panel=group)(command)
    return app


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        exit_codes.echo(f"stylewatch {version('stylewatch')}")
        raise typer.Exit


def stylewatch(
    context: typer.Context,
    debug: bool = typer.Option(False, "--debug", help="Show where an error comes from."),
    _: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version."
    ),
) -> None:
    """Watch a folder, and stylize each photograph in it like a painting."""
    context.obj["debug"] = debug


def main() -> None:
    """Run the command line of this process, and exit with its code."""
    exit_codes.exit_process(call(sys.argv[1:], _handle_signals))


def _handle_signals() -> None:
    """Make SIGTERM, SIGHUP and SIGINT end the command with an exception.

    A signal that is ignored, as under nohup, stays ignored. A KeyboardInterrupt that Python only
    reports is raised again.
    """
    handlers = {signal.SIGTERM: _terminate, signal.SIGHUP: _terminate, signal.SIGINT: _interrupt}
    for number, handler in handlers.items():
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler)
    signal.signal(signal.SIGALRM, _interrupt)
    sys.unraisablehook = _raise_again


def _raise_again(lost: Any) -> None:
    """Raise a lost KeyboardInterrupt again after a millisecond; report other lost exceptions.

    Python only reports an exception in some places, such as a finalizer.
    """
    if issubclass(lost.exc_type, KeyboardInterrupt):
        signal.setitimer(signal.ITIMER_REAL, 0.001)
    else:
        sys.__unraisablehook__(lost)


def _terminate(number: int, frame: FrameType | None) -> None:
    """Raise SystemExit with the exit code of the signal, so that unfinished files are removed."""
    raise SystemExit(exit_codes.BY_SIGNAL + number)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt, and record it: a library may replace it by an error of its own."""
    _interrupted.set()
    signal.default_int_handler(number, frame)


def call(arguments: Sequence[str], begin: Callable[[], object] = lambda: None) -> int:
    """Run a command line, and return its exit code (as in sysexits.h); print errors on stderr.

    `begin` is called after the modules of the command are imported, and before the command runs.
    """
    shared = {"debug": False}
    try:
        _refuse_no_folder()
        _refuse_empty_words(arguments)
        arguments = [_at_home(word) for word in arguments]
        command = typer.main.get_command(make_app(arguments))
        begin()
        code = command.main(arguments, "stylewatch", standalone_mode=False, obj=shared)
    except (KeyboardInterrupt, typer.Abort):
        return exit_codes.INTERRUPTED
    except SystemExit as leaving:
        is_pipe = leaving.code == 1  # so typer exits if a reader of the help has closed the pipe
        return exit_codes.BROKEN_PIPE if is_pipe else int(leaving.code or 0)
    except Exception as error:
        if _interrupted.is_set():
            return exit_codes.INTERRUPTED
        if shared["debug"]:
            traceback.print_exc()
        return _report(error)
    return code if isinstance(code, int) else 0


def _refuse_no_folder() -> None:
    """Raise UsageError if the current folder was removed; libraries would fail in odd ways."""
    try:
        Path.cwd()
    except FileNotFoundError:
        raise UsageError("the current folder was removed: go to another one with `cd`") from None


def _refuse_empty_words(arguments: Sequence[str]) -> None:
    """Raise UsageError if a word is empty; as a path it would name the current folder (law 24)."""
    for before, word in pairwise(["", *arguments]):
        option = re.fullmatch(r"(--[a-z-]+)=", word)
        if word and option is None:
            continue
        name = option[1] if option else before if before.startswith("-") else "a word"
        raise UsageError(f"{name} is empty: give a value; the current folder is `.`")


def _at_home(word: str) -> str:
    """Return a word with the home folder in place of a `~` that shells keep, as in `-o~/x`.

    Raises UsageError for an unknown user.
    """
    match = _HOME.fullmatch(word)
    if match is None:
        return word
    option, user, path = match.groups()
    return f"{option}{at_home(Path(user))}{path}"


def _report(error: Exception) -> int:
    usage = getattr(error, "format_message", None)  # an error of typer
    if usage is None:
        code, text = exit_codes.explain(error)
        note(text)
        return code
    context = getattr(error, "ctx", None)
    if context and usage() == context.get_help():  # there is no command on the command line
        exit_codes.echo(usage())
        return Exit.USAGE
    text = " ".join(usage().split()).rstrip(".")
    joint = "" if text.endswith("?") else ";"
    advice = f"{joint} see `{context.command_path} --help`" if context else ""
    note(f"{text[:1].lower()}{text[1:]}{advice}")
    return Exit.USAGE
