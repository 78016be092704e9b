"""The log, the metrics and the notifications of systemd."""

import json
import logging
import os
import socket
import sys
from pathlib import Path

import pytest
from tests.daemon.disks import full_stream

from stylewatch_daemon.model import Progress, Started
from stylewatch_daemon.service.monitoring import LOGGER, Metrics, SystemdNotifier, logging_as
from stylewatch_daemon.settings.sections import Log

TRACE = ["Traceback ...", "KeyError: 'x'"]
FAULT = {"job": "sea", "trace": "\n".join(TRACE)}


@pytest.mark.parametrize(
    ("level", "quiet", "lines"),
    [
        ("debug", False, ["stylewatch: a", "stylewatch: b", "stylewatch: sea: c", *TRACE]),
        ("warning", False, ["stylewatch: b", "stylewatch: sea: c"]),
        ("debug", True, ["stylewatch: sea: c"]),
    ],
)
def test_the_log_names_jobs_and_has_traces_at_level_debug(
    level: str, quiet: bool, lines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = logging.getLogger(LOGGER).handlers[:]
    with logging_as(Log.model_validate({"level": level}), quiet=quiet) as log:
        log.info("%s", "a")
        logging.getLogger(f"{LOGGER}.watch").warning("b")
        log.error("c", extra=FAULT)
    assert capsys.readouterr().err.splitlines() == lines
    assert logging.getLogger(LOGGER).handlers == before


def test_the_log_can_be_json(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_as(Log(format="json"), quiet=False) as log:
        log.error("failed: %s", "über", extra=FAULT)
    record = json.loads(capsys.readouterr().err)
    assert record.pop("time").endswith("+00:00")
    assert record == {"level": "error", "event": "failed: über", **FAULT}


def test_a_log_on_a_full_disk_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with full_stream() as full, logging_as(Log(), quiet=False) as log:
        monkeypatch.setattr(sys, "stderr", full)
        log.error("c", extra=FAULT)


def test_steps_are_timed_within_an_attempt() -> None:
    def step(job: str, number: int, seconds: float) -> None:
        metrics.progress(job, Progress(number, 9, (8, 8), 1.0, seconds))

    started, metrics = Started("sketch", "cpu", ((8, 8),), (9,)), Metrics()
    metrics.job_started("sea", started)
    step("sea", 1, 5.0)
    step("wave", 1, 1.0)
    step("sea", 2, 7.0)
    step("wave", 2, 1.5)
    metrics.job_started("sea", started)
    step("sea", 2, 100.0)
    assert (metrics.plain()["steps"], metrics.plain()["seconds"]["steps"]) == (2, 2.5)


def test_stages_and_ends_are_counted(tmp_path: Path) -> None:
    stage = tmp_path / "stages/0001.png"
    stage.parent.mkdir()
    stage.touch()
    os.utime(stage, (1000.0, 1000.0))
    metrics = Metrics(clock=lambda: 1000.25)
    for path in (stage, tmp_path / "final.png", stage.with_name("gone.png")):
        metrics.staged("sea", path)
    for for_good in (False, True):
        metrics.failed("sea", "the worker hung", "", for_good=for_good)
    metrics.failed("sky", "something", "", for_good=True)
    for reason in ("no picture", "c.jpg is 81 pixels; the limit is 9 pixels (limits.max_pixels)"):
        metrics.refused("sea", reason, tmp_path)
    plain = metrics.plain()
    assert (plain["stages"], plain["seconds"]["stages"]) == (1, 0.25)
    assert [tuple(end.values()) for end in plain["ended"]] == [
        ("failed", "fault", 1), ("failed", "hung", 1), ("refused", "picture", 1),
        ("refused", "too large", 1),
    ]  # fmt: skip


def test_each_notification_is_a_datagram() -> None:
    address = f"@stylewatch-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(address.replace("@", "\0"))
        receiver.settimeout(10)
        systemd = SystemdNotifier({"NOTIFY_SOCKET": address})
        systemd.ready()
        for _ in range(2):  # an unchanged status is not sent again; none forges another message
            systemd.status("painting sea\nMAINPID=1 \udcff")
        systemd.ping()
        systemd.stopping()
        systemd.reloading()
        *messages, reloading = [receiver.recv(4096).decode() for _ in range(5)]
    assert messages == [
        "READY=1",
        "STATUS=painting sea MAINPID=1 ?",
        "WATCHDOG=1",
        "STOPPING=1\nEXTEND_TIMEOUT_USEC=30000000",
    ]
    assert reloading.startswith("RELOADING=1\nMONOTONIC_USEC=")


@pytest.mark.parametrize(
    ("variables", "ping_every"),
    [
        ({"WATCHDOG_USEC": "3600000000", "WATCHDOG_PID": str(os.getpid())}, 1800.0),
        ({"WATCHDOG_USEC": "4000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_pings_are_due_after_half_the_watchdog_interval(
    variables: dict[str, str], ping_every: float | None
) -> None:
    environment = {"NOTIFY_SOCKET": "@nobody", "HOME": "/home/somebody", **variables}
    systemd = SystemdNotifier(environment)
    assert environment == {"HOME": "/home/somebody"}  # children inherit no variable
    assert (systemd.ping_every, systemd.ping_due()) == (ping_every, ping_every is not None)
    systemd.ping()  # nobody listens
    assert not systemd.ping_due()
