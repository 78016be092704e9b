"""The log, the metrics and the notifications of systemd."""

import json
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from stylewatch_daemon.model import Progress, Started
from stylewatch_daemon.service.monitoring import LOGGER, Manager, Metrics, logging_as, why
from stylewatch_daemon.settings.sections import Log

SENTENCES = "stylewatch: a\nstylewatch: b\nstylewatch: sea: c\n"
FAULT = {"job": "sea", "trace": "Traceback ...\nKeyError: 'x'"}


@pytest.mark.parametrize(
    ("level", "quiet", "text"),
    [
        ("debug", False, SENTENCES + FAULT["trace"] + "\n"),
        ("warning", False, "stylewatch: b\nstylewatch: sea: c\n"),
        ("debug", True, "stylewatch: sea: c\n"),
    ],
)
def test_the_log_names_jobs_and_has_traces_at_level_debug(
    level: str, quiet: bool, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = logging.getLogger(LOGGER).handlers[:]
    with logging_as(Log.model_validate({"level": level}), quiet=quiet) as log:
        log.info("%s", "a")
        logging.getLogger(f"{LOGGER}.watch").warning("b")
        log.error("c", extra=FAULT)
    shown = capsys.readouterr().err
    assert shown == (text.replace(FAULT["trace"] + "\n", "") if quiet else text)
    assert logging.getLogger(LOGGER).handlers == before


def test_the_log_can_be_json(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_as(Log(format="json"), quiet=False) as log:
        log.error("failed: %s", "über", extra=FAULT)
    record = json.loads(capsys.readouterr().err)
    assert record.pop("time").endswith("+00:00")
    assert record == {"level": "error", "event": "failed: über", **FAULT}


def step(number: int, seconds: float) -> Progress:
    return Progress(number, 9, (8, 8), 1.0, seconds)


def test_steps_are_timed_within_an_attempt() -> None:
    started, metrics = Started("sketch", "cpu", ((8, 8),), (9,)), Metrics()
    metrics.job_started("sea", started)
    for job, number, seconds in (
        ("sea", 1, 5.0), ("wave", 1, 1.0), ("sea", 2, 7.0), ("wave", 2, 1.5)
    ):  # fmt: skip
        metrics.progress(job, step(number, seconds))
    metrics.job_started("sea", started)
    metrics.progress("sea", step(2, 100.0))
    metrics.stopped("wave", 2)
    metrics.progress("wave", step(3, 200.0))
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
    for job in "ab":
        metrics.refused(job, "no picture", tmp_path)
    plain = metrics.plain()
    assert (plain["stages"], plain["seconds"]["stages"]) == (1, 0.25)
    assert plain["ended"] == [
        {"state": "failed", "why": "hung", "count": 1},
        {"state": "refused", "why": "picture", "count": 2},
    ]


@pytest.mark.parametrize(
    ("state", "reason", "cause"),
    [
        ("refused", "content.jpg is cut off or damaged (x); copy it again", "damaged"),
        ("refused", "c.jpg is 81 pixels; the limit is 9 pixels (limits.max_pixels)", "too large"),
        ("refused", "job.yaml line 3: steps: should be a number", "settings"),
        ("failed", "the worker process was ended by signal 9", "killed"),
        ("failed", "something", "fault"),
    ],
)
def test_reasons_have_few_causes(state: str, reason: str, cause: str) -> None:
    assert why(state, reason) == cause


@pytest.fixture(params=["path", "abstract"])
def listener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """An address for NOTIFY_SOCKET, and the socket that receives there."""
    is_path = request.param == "path"
    address = str(tmp_path / "notify") if is_path else f"@stylewatch-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(address if is_path else address.replace("@", "\0", 1))
        receiver.settimeout(10)
        yield address, receiver


def test_each_notification_is_a_datagram(listener: tuple[str, socket.socket]) -> None:
    address, receiver = listener
    manager = Manager({"NOTIFY_SOCKET": address})
    manager.ready()
    for _ in range(2):  # an unchanged status is not sent again; none forges another message
        manager.status("painting sea\nMAINPID=1 \udcff")
    manager.ping()
    manager.stopping()
    manager.reloading()
    assert [receiver.recv(4096).decode() for _ in range(4)] == [
        "READY=1",
        "STATUS=painting sea MAINPID=1 ?",
        "WATCHDOG=1",
        "STOPPING=1\nEXTEND_TIMEOUT_USEC=30000000",
    ]
    assert receiver.recv(4096).decode().startswith("RELOADING=1\nMONOTONIC_USEC=")


@pytest.mark.parametrize("address", ["", "/gone", "tcp:1"])
def test_a_missing_listener_is_no_error(address: str) -> None:
    Manager({"NOTIFY_SOCKET": address}).ready()


@pytest.mark.parametrize(
    ("variables", "ping_every"),
    [
        ({"WATCHDOG_USEC": "3600000000", "WATCHDOG_PID": str(os.getpid())}, 1800.0),
        ({"WATCHDOG_USEC": "4000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_pings_are_due_after_half_the_watchdog_interval(
    variables: dict[str, str], ping_every: float | None
) -> None:
    environment = {"NOTIFY_SOCKET": "@nobody", "HOME": "/home/somebody", **variables}
    manager = Manager(environment)
    assert environment == {"HOME": "/home/somebody"}  # children inherit no variable
    assert (manager.ping_every, manager.ping_due()) == (ping_every, ping_every is not None)
    manager.ping()
    assert not manager.ping_due()
