"""Results on stdout, remarks on stderr, and nothing where nobody reads."""

import subprocess
import sys

import pytest

from stylewatch_daemon.cli.console import BROKEN_PIPE, note, say, say_json

MANY = "from stylewatch_daemon.cli.console import say\nfor _ in range(100_000): say('line')"


def test_results_go_to_stdout_and_remarks_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    say("result")
    note("a remark\nof two lines")
    told = capsys.readouterr()
    assert told.out == "result\n"
    assert told.err == "stylewatch: a remark\nstylewatch: of two lines\n"


def test_json_is_one_line_and_keeps_letters(capsys: pytest.CaptureFixture[str]) -> None:
    say_json({"name": "Gemälde"})
    assert capsys.readouterr().out == '{"name": "Gemälde"}\n'


def test_a_reader_that_goes_away_ends_the_command_in_silence() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", MANY], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"line\n"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == BROKEN_PIPE
