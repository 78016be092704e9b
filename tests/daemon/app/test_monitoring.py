"""The log, and the notifications of systemd."""

import json

import pytest

from stylewatch_daemon.app.monitoring import (
    log_old_settings,
    logging_as,
)
from stylewatch_daemon.settings.sections import LogSettings

TRACE = ["Traceback ...", "KeyError: 'x'"]
FAULT = {"job": "sea", "trace": "\n".join(TRACE)}


def test_the_log_can_be_json_and_has_a_record_for_each_mistake_in_settings(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with logging_as(LogSettings(format="json"), quiet=True) as log:
        log.error("failed: %s", "über", extra=FAULT)
        log_old_settings("line 1: no\nline 2: 100% no")
    first, *more = map(json.loads, capsys.readouterr().err.splitlines())
    assert first.pop("time").endswith("+00:00")
    assert first == {"level": "error", "event": "failed: über", **FAULT}
    old = "the daemon continues with the earlier settings"
    assert [record["event"] for record in more] == ["line 1: no", "line 2: 100% no", old]
