"""The command as a whole: start, exit codes, errors, signals, and that the docs are complete."""

import errno
import json
import os
import re
import subprocess
import sys
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from tests.daemon.cli.conftest import Run
from tests.daemon.disks import full_stream

from stylewatch_daemon import __main__
from stylewatch_daemon.base import errors
from stylewatch_daemon.cli import main
from stylewatch_daemon.cli.exit_codes import BROKEN_PIPE, USAGE, explain
from stylewatch_daemon.cli.main import call, make_app
from stylewatch_painter import errors as painter
from stylewatch_painter.recipes import book
from stylewatch_plugins import errors as plugins

ROOT = Path(__file__).parents[3]
STYLEWATCH = (sys.executable, "-c", "from stylewatch_daemon.cli.main import main; main()")
RENDER = ("render", "content.jpg", "style.jpg", "--backend", "sketch")
HEAVY = {"numpy", "torch", "PIL", "pyvips", "onnx", "onnxruntime", "matplotlib", "watchdog"}
HEAVY |= {"rich.progress"}
OTHERS = {"apprise", "matplotlib", "prometheus_client", "ray", "scipy", "starlette", "watchdog"}
OTHERS |= {f"stylewatch_daemon.{name}" for name in ("app", "doctor", "intake", "web")}
COMMANDS = ("control", "init", "run", "service", "settings", "status", "submit", "weights")
OTHERS |= {f"stylewatch_daemon.cli.{name}" for name in COMMANDS}


def python(code: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*words, sys.executable, "-c", code], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("commands", "module", "absent"),
    [
        ([["--help"], ["render", "--help"], ["recipes"], ["weights", "--help"]],
         "stylewatch_daemon.doctor.diagnose", HEAVY),
        ([[*RENDER, "--steps", "1", "-q"]], "sys", OTHERS),
    ],
    ids=["help", "render"],
)  # fmt: skip
def test_a_command_imports_only_what_it_needs(
    commands: list[list[str]], module: str, absent: set[str], here: Path
) -> None:
    """The rest would take longer than a first step."""
    ended = python(
        f"import json, sys, {module}\n"
        "from stylewatch_daemon.cli.main import call\n"
        f"for words in {commands}:\n"
        "    assert call(words) == 0\n"
        "print(json.dumps(list(sys.modules)))\n"
    )
    assert absent.isdisjoint(json.loads(ended.stdout.splitlines()[-1])), ended.stderr
    assert (here / "content-style.png").exists() == (absent is OTHERS)


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


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (errors.UsageError("x"), 64, "x"),
        (errors.InputError("x"), 65, "x"),
        (errors.OutputError("x"), 73, "x"),
        (painter.DivergedError("x"), 65, "x"),
        (painter.WeightsError("x"), 69, "x"),
        (plugins.BackendOptionError("x"), 78, "x"),
        (OSError(errno.ENOSPC, "No space", "/out/a"), 73, "/out/a cannot be written: No space"),
        (OSError(errno.EIO, "Input/output error"), 70, "a fault of stylewatch's own"),
        (OSError(errno.ENOENT, "No such file", "/a"), 70, "a fault of stylewatch's own"),
        (torch.OutOfMemoryError("2 GiB.\nmore"), 69, "not enough memory for this (2 GiB.); a sm"),
        (torch.AcceleratorError("a launch failed"), 69, "device is lost (a launch failed)"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_error_has_its_exit_code_and_sentence(
    error: Exception, code: int, message: str
) -> None:
    exit_code, text = explain(error)
    assert exit_code == code and message in text


def test_a_current_folder_that_was_removed_is_a_mistake_of_the_command_line(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    for command in ("status", "run", "recipes"):
        ended = run(command)
        sentence = "stylewatch: the current folder was removed: go to another one with `cd`\n"
        assert (ended.code, ended.err) == (64, sentence)


class _Interrupted(MetaPathFinder):
    """Interrupts the first import that is left to do."""

    def find_spec(self, *_: object) -> None:
        raise KeyboardInterrupt


def test_ctrl_c_during_an_import_ends_the_command_silently(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, pytest.raises(SystemExit, match="130"):
        patch.delitem(sys.modules, "stylewatch_daemon.cli.main")
        patch.setattr(sys, "meta_path", [_Interrupted()])
        __main__.main()

    def interrupted(name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(main, "import_uncollected", interrupted)
    ended = run("status")
    assert (ended.code, ended.err) == (130, "")


def test_output_that_cannot_be_written_ends_the_command_with_its_exit_code(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = "from stylewatch_daemon.cli.exit_codes import echo\nfor _ in range(100_000): echo('x')"
    ended = python(many, "sh", "-c", f'("$@"; echo $? >&2) | head -n 1; exit {BROKEN_PIPE}', "sh")
    assert (ended.stdout, ended.stderr) == ("x\n", f"{BROKEN_PIPE}\n"), "the pipe was closed"
    with full_stream() as full:
        monkeypatch.setattr(sys, "stderr", full)
        assert call(["weights", "--no-such-option"]) == USAGE
    closed = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *STYLEWATCH, *RENDER, "--steps", "2"]
    assert subprocess.run(closed, check=False).returncode == 0
    assert (here / "content-style.png").exists()


EXIT = """
import atexit, sys, threading, time
from stylewatch_daemon.cli.exit_codes import exit_process
class Last:
    def __del__(self):
        print("destroyed")
atexit.register(print, "at exit")
kept = Last()
sys.modules['torch'] = sys
{}
exit_process(65)
"""
THREAD = "threading.Thread(target=lambda: (time.sleep(0.2), print('worked'))).start()"


def test_torch_is_not_destroyed_at_exit_unless_a_thread_runs() -> None:
    for code, lines in (("", ["at exit"]), (THREAD, ["worked", "at exit", "destroyed"])):
        ended = python(EXIT.format(code))
        assert (ended.returncode, ended.stdout.splitlines()) == (65, lines)


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
