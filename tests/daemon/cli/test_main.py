"""The command as a whole: how fast it starts, how it ends, and that the docs know all of it."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import typer

from stylewatch_daemon.cli.main import app, call
from stylewatch_painter.recipes import book

ROOT = Path(__file__).parents[3]
STYLEWATCH = (sys.executable, "-c", "from stylewatch_daemon.cli.main import main; main()")
HEAVY = {"numpy", "torch", "PIL", "onnx", "onnxruntime", "matplotlib", "watchdog", "rich.progress"}


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import json, sys\n"
        "from stylewatch_daemon.cli.main import call\n"
        "assert call(sys.argv[1:]) == 0\n"
        "print(json.dumps(list(sys.modules)))\n"
    )
    for arguments in (["--help"], ["render", "--help"], ["recipes"], ["weights", "--help"]):
        ended = subprocess.run(
            [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
        )
        assert HEAVY.isdisjoint(json.loads(ended.stdout.splitlines()[-1])), arguments


def test_no_command_at_all_is_one_of_usage_and_shows_help(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert call([]) == 64
    assert "render" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["submti"], "no such command 'submti'. Did you mean 'submit'? `stylewatch --help` tells"),
        (["render", "--stepz", "1"], "no such option: --stepz (Possible options: "),
        (["render", "a", "b", "--steps", "x"], "invalid value for '--steps': "),
        (["render", "a", "b", "--schedule", "quick"], "invalid value for '--schedule': "),
        (["render", "a", "b", "--steps"], "option '--steps' requires an argument"),
        (["recipes", "a", "b"], "got unexpected extra argument"),
    ],
)
def test_usage_errors_are_one_sentence_and_exit_code_64(
    capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    assert call(arguments) == 64
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"stylewatch: {told}")


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["--version"]) == 0
    assert re.fullmatch(r"stylewatch \d+\.\d+\.\d+\n", capsys.readouterr().out)


@pytest.fixture
def _broken_recipes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of ours, in `stylewatch recipes`."""

    def names(*_: Path) -> list[str]:
        raise ZeroDivisionError("what nobody foresaw")

    monkeypatch.setattr(book, "names", names)


@pytest.mark.usefixtures("_broken_recipes")
def test_a_fault_of_ours_is_one_sentence_and_exit_code_70(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert call(["recipes"]) == 70
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("stylewatch: a fault of stylewatch's own, ZeroDivisionError: ")


@pytest.mark.usefixtures("_broken_recipes")
def test_debug_shows_where_an_error_comes_from(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["--debug", "recipes"]) == 70
    told = capsys.readouterr().err
    assert "Traceback (most recent call last):" in told
    assert told.splitlines()[-1].startswith("stylewatch: a fault of stylewatch's own")


def test_the_log_level_debug_shows_it_too(
    tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pair = [str(pictures / "content.jpg"), str(pictures / "style.jpg")]
    taken = ["-o", str(pictures / "content.jpg"), "--backend", "sketch"]
    assert call(["render", *pair, *taken]) == 73
    assert "Traceback" not in capsys.readouterr().err
    assert call(["render", *pair, *taken, "--set", "log.level=debug"]) == 73
    assert "Traceback" in capsys.readouterr().err


SLOW = ["--backend", "sketch", "--steps", "1000000", "--save-every", "1", "-o", "painted", "-q"]


@pytest.fixture
def as_in_a_terminal() -> Iterator[None]:
    """Who runs in the background of a script has SIGINT ignored, and so would its children."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"]
)
@pytest.mark.usefixtures("as_in_a_terminal")
def test_a_signal_leaves_nothing_half_written(
    pictures: Path, number: signal.Signals, code: int
) -> None:
    with subprocess.Popen(
        [*STYLEWATCH, "render", "content.jpg", "style.jpg", *SLOW],
        cwd=pictures, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        stages = pictures / "painted" / "stages"
        while process.poll() is None and not list(stages.glob("*.png")):
            os.sched_yield()
        process.send_signal(number)
        try:
            _, told = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, told) == (code, "")
    assert all(path.suffix == ".png" for path in stages.iterdir())
    assert {path.name for path in (pictures / "painted").iterdir()} <= {"stages", "losses.csv"}


def test_completion_knows_commands_recipes_and_backends() -> None:
    def completed(*words: str) -> str:
        wanted = {"_STYLEWATCH_COMPLETE": "complete_zsh",
                  "_TYPER_COMPLETE_ARGS": " ".join(("stylewatch", *words))}  # fmt: skip
        return subprocess.run(
            STYLEWATCH, env={**os.environ, **wanted}, capture_output=True, text=True, check=False
        ).stdout

    assert "render" in completed("re")
    assert "neural-style" in completed("render", "--recipe", "ne")
    assert "sketch" in completed("render", "--backend", "sk")


def commands(command: Any, names: Sequence[str] = ()) -> Iterator[tuple[str, Any]]:
    """Every command of `command`, with its whole name."""
    yield " ".join(names), command
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, (*names, name))


def test_every_command_and_every_option_is_in_the_page_on_commands() -> None:
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    root = typer.main.get_command(app)
    for name, command in commands(root, ("stylewatch",)):
        assert f"`{name}" in page, name
        for option in (one for one in command.params if one.param_type_name == "option"):
            if option.name not in ("install_completion", "show_completion"):
                assert option.opts[0] in page, (name, option.opts)
