"""The command as a whole: start, exit codes, errors, signals, and that the docs are complete."""

import errno
import os
import re
import signal
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import torch
import typer
from tests.daemon.cli.conftest import Run

from stylewatch_daemon.cli import main
from stylewatch_daemon.cli.exit_codes import BROKEN_PIPE, explain
from stylewatch_daemon.cli.main import make_app
from stylewatch_painter import installed
from stylewatch_painter.recipes import book

ROOT = Path(__file__).parents[3]
STYLEWATCH = (sys.executable, "-m", "stylewatch_daemon")
RENDER = ("render", "content.jpg", "style.jpg", "--backend", "sketch")


def python(code: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*words, sys.executable, "-c", code], capture_output=True, text=True, check=False
    )


def test_an_unforeseen_error_is_one_sentence_and_debug_adds_the_traceback(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def names(*_: Path) -> list[str]:
        raise ZeroDivisionError("unforeseen")

    monkeypatch.setattr(book, "names", names)
    sentence = "stylewatch: a fault of stylewatch's own, ZeroDivisionError: unforeseen; `stylewatch"
    ended = run("recipes")
    assert ended.code == 70 and len(ended.err.splitlines()) == 1
    assert ended.err.startswith(sentence)
    first, *_, last = run("--debug", "recipes").err.splitlines()
    assert first.startswith("Traceback") and last.startswith(sentence)


def test_an_error_that_ctrl_c_causes_in_a_library_is_no_fault(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def names(*_: Path) -> list[str]:
        try:
            main._interrupt(signal.SIGINT, None)
        except KeyboardInterrupt:
            raise ValueError("an error of a library: KeyboardInterrupt") from None
        raise AssertionError

    monkeypatch.setattr(main, "_interrupted", Event())
    monkeypatch.setattr(book, "names", names)
    ended = run("recipes")
    assert (ended.code, ended.out, ended.err) == (130, "", "")


def test_ctrl_c_ends_a_command_also_where_python_can_only_report_it() -> None:
    code = """
import signal, time
from stylewatch_daemon.cli import main, settings

signal.signal(signal.SIGINT, signal.default_int_handler)  # tests in the background ignore it

class Lost:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)

def recipes():
    lost = Lost()
    del lost
    time.sleep(10)

settings.recipes = recipes
main.sys.argv = ["stylewatch", "recipes"]
main.main()
"""
    ended = python(code)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (OSError(errno.ENOSPC, "No space", "/out/a"), 73, "/out/a cannot be written: No space"),
        (OSError(errno.ENOENT, "No such file", "/a"), 70, "a fault of stylewatch's own"),
        (torch.OutOfMemoryError("2 GiB.\nmore"), 69, "not enough memory (2 GiB.): a smaller size"),
        (torch.AcceleratorError("a launch failed"), 69, "device is lost (a launch failed)"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_errors_of_the_system_have_exit_codes_and_sentences(
    error: Exception, code: int, message: str
) -> None:
    exit_code, text = explain(error)
    assert exit_code == code and message in text


def test_output_that_cannot_be_written_ends_the_command_with_its_exit_code(here: Path) -> None:
    many = (
        "from stylewatch_daemon.cli.exit_codes import echo, exit_process\n"
        "try:\n    for _ in range(100_000): echo('x')\n"
        "except SystemExit as end: exit_process(end.code)"
    )
    ended = python(many, "sh", "-c", f'("$@"; echo $? >&2) | head -n 1; exit {BROKEN_PIPE}', "sh")
    assert (ended.stdout, ended.stderr) == ("x\n", f"{BROKEN_PIPE}\n"), "the pipe was closed"
    closed = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *STYLEWATCH, *RENDER, "--steps", "2"]
    assert subprocess.run(closed, check=False).returncode == 0
    assert (here / "content-style.png").exists()


def test_a_signal_leaves_only_finished_files(here: Path) -> None:
    words = [*STYLEWATCH, *RENDER, "--steps", "1000000", "--save-every", "1", "-o", "painted", "-q"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        stages = here / "painted" / "stages"
        while process.poll() is None and not list(stages.glob("*.png")):
            os.sched_yield()
        process.terminate()
        try:
            _, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, err) == (143, "")
    assert all(path.suffix == ".png" for path in stages.iterdir())
    assert {path.name for path in (here / "painted").iterdir()} <= {"stages", "losses.csv"}


@pytest.mark.parametrize("words", [(), ("weights",)])
def test_without_a_command_the_help_is_printed(run: Run, words: tuple[str, ...]) -> None:
    ended = run(*words)
    assert (ended.code, ended.err) == (64, "")
    assert ended.out == run(*words, "--help").out


def test_every_command_and_option_is_documented_and_help_names_no_types(run: Run) -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    commands: list[tuple[str, Any]] = [("stylewatch", typer.main.get_command(make_app()))]
    for name, command in commands:
        inner = getattr(command, "commands", {})
        commands += [(f"{name} {word}", inner[word]) for word in inner]
        assert f"`{name}" in page, name
        help_ = run(*name.split()[1:], "--help").out
        assert not re.search(r"<(bool|str|path|list\b)", help_), name
        for option in (param for param in command.params if param.param_type_name == "option"):
            if option.name not in ("install_completion", "show_completion"):
                assert option.opts[0] in page, (name, option.opts)


def test_a_package_whose_command_is_broken_breaks_no_other(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = EntryPoint("odd", "no_such_package_at_all:odd", "stylewatch.commands")
    monkeypatch.setattr(installed, "entries", lambda group: [entry])
    assert "render" in run("--help").out
    broken = run("odd")
    assert broken.code == 69 and "no_such_package_at_all" in broken.err
