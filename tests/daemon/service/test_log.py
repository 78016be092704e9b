"""The daemon's log on stderr."""

import json
import logging

import pytest

from stylewatch_daemon.service.log import OURS, logging_as
from stylewatch_daemon.settings.sections import Log

FAULT = {"job": "sea", "trace": "Traceback ...\nKeyError: 'x'"}


def test_people_read_sentences_with_the_name_of_the_job(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with logging_as(Log(), quiet=False) as log:
        log.info("watching %s", "inbox")
        log.info("taken", extra={"job": "sea"})
    told = capsys.readouterr()
    assert told.err == "stylewatch: watching inbox\nstylewatch: sea: taken\n"
    assert told.out == ""


def test_programs_read_an_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_as(Log(format="json"), quiet=False) as log:
        log.error("failed: %s", "über", extra=FAULT)
    (line,) = capsys.readouterr().err.splitlines()
    told = json.loads(line)
    assert told.pop("time").endswith("+00:00")
    assert told == {"level": "error", "event": "failed: über", **FAULT}


def test_people_read_traces_at_level_debug_only(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_as(Log(), quiet=False) as log:
        log.error("failed", extra=FAULT)
    assert capsys.readouterr().err == "stylewatch: sea: failed\n"
    with logging_as(Log(level="debug"), quiet=False) as log:
        log.error("failed", extra=FAULT)
    assert capsys.readouterr().err.endswith("sea: failed\nTraceback ...\nKeyError: 'x'\n")


@pytest.mark.parametrize(
    ("settings", "quiet", "told"),
    [
        (Log(level="debug"), False, 4),
        (Log(), False, 3),
        (Log(level="warning"), False, 2),
        (Log(level="error"), False, 1),
        (Log(level="debug"), True, 1),
    ],
)
def test_what_is_below_the_level_is_not_told(
    capsys: pytest.CaptureFixture[str], settings: Log, quiet: bool, told: int
) -> None:
    with logging_as(settings, quiet=quiet) as log:
        for level in ("debug", "info", "warning", "error"):
            getattr(log, level)("word")
    assert len(capsys.readouterr().err.splitlines()) == told


def test_modules_of_the_daemon_log_through_it_and_nothing_stays_behind(
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = logging.getLogger(OURS).handlers[:]
    with logging_as(Log(), quiet=False):
        logging.getLogger(f"{OURS}.watch").warning("slow")
    assert capsys.readouterr().err == "stylewatch: slow\n"
    assert logging.getLogger(OURS).handlers == before
