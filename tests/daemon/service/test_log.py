"""The daemon's log on stderr."""

import json
import logging

import pytest

from stylewatch_daemon.service.log import OURS, logging_as
from stylewatch_daemon.settings.sections import Log

FAULT = {"job": "sea", "trace": "Traceback ...\nKeyError: 'x'"}


@pytest.mark.parametrize(("level", "trace"), [("info", ""), ("debug", FAULT["trace"] + "\n")])
def test_sentences_name_the_job_and_have_traces_at_level_debug(
    level: str, trace: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = logging.getLogger(OURS).handlers[:]
    with logging_as(Log.model_validate({"level": level}), quiet=False) as log:
        log.info("watching %s", "inbox")
        logging.getLogger(f"{OURS}.watch").warning("slow")
        log.error("failed", extra=FAULT)
    text = f"stylewatch: watching inbox\nstylewatch: slow\nstylewatch: sea: failed\n{trace}"
    assert capsys.readouterr() == ("", text)
    assert logging.getLogger(OURS).handlers == before


def test_programs_read_an_object_per_line(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_as(Log(format="json"), quiet=False) as log:
        log.error("failed: %s", "über", extra=FAULT)
    (line,) = capsys.readouterr().err.splitlines()
    record = json.loads(line)
    assert record.pop("time").endswith("+00:00")
    assert record == {"level": "error", "event": "failed: über", **FAULT}


@pytest.mark.parametrize(
    ("settings", "quiet", "count"),
    [(Log(level="debug"), False, 4), (Log(), False, 3), (Log(level="error"), False, 1),
     (Log(level="debug"), True, 1)],
)  # fmt: skip
def test_records_below_the_level_are_dropped(
    capsys: pytest.CaptureFixture[str], settings: Log, quiet: bool, count: int
) -> None:
    with logging_as(settings, quiet=quiet) as log:
        for level in ("debug", "info", "warning", "error"):
            getattr(log, level)("word")
    assert len(capsys.readouterr().err.splitlines()) == count
