"""Each backend is checked in a process of its own, whatever it does there."""

import os
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.world import make_settings
from tests.plugins.strangers import install

from stylewatch_daemon.doctor import backends
from stylewatch_daemon.doctor.backends import Status, check_backend
from stylewatch_daemon.settings.config import ServiceSettings
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_plugins import registry

HERE = "tests.daemon.doctor.test_backends"


def settings(**more: Any) -> ServiceSettings:
    return make_settings((), Path("state"), job=JobSettings(backend="sketch"), **more)


def checked(monkeypatch: pytest.MonkeyPatch, status: Status) -> list[tuple[Any, ...]]:
    """Let every check have this status; return the arguments of the checks."""
    calls: list[tuple[Any, ...]] = []

    def run(check: str, *args: Any, timeout: float = 0) -> Status:
        calls.append(args)
        return status

    monkeypatch.setattr(backends, "run", run)
    return calls


def test_every_backend_is_checked_with_its_options_the_wanted_one_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = checked(monkeypatch, Status("fine"))
    options = {"sketch": {"seconds_per_step": 1}}
    findings = list(backends.look(settings(backends=options, devices=("cuda:0",))))
    assert {finding.verdict for finding in findings} == {"ok"}
    others = [name for name in registry.names() if name != "sketch"]
    assert [finding.what for finding in findings] == [
        "backend sketch", *(f"backend {name}" for name in others), "weights",
    ]  # fmt: skip
    assert calls[:2] == [("sketch", options["sketch"], ("cuda:0",)), (others[0], {}, ())]


def test_only_the_wanted_backend_has_to_work(monkeypatch: pytest.MonkeyPatch) -> None:
    checked(monkeypatch, Status(problem="gone", exit_code=78, notes=("slow",)))
    findings = list(backends.look(settings()))
    mend = [finding for finding in findings if finding.verdict == "mend"]
    assert [(finding.what, finding.exit_code) for finding in mend] == [("backend sketch", 78)]
    assert [finding.words for finding in findings[:2]] == ["slow", "gone"]
    assert "jobs that ask for another backend" in findings[-1].words


def test_devices_that_are_missing_are_named_and_those_that_are_there() -> None:
    assert check_backend("sketch", {}, ("cpu",)).problem is None
    status = check_backend("sketch", {}, ("cpu", "cuda:7"))
    assert status.exit_code == 69
    assert "executor.devices names cuda:7, and it finds cpu here" in str(status.problem)


def test_the_weights_are_checked() -> None:
    assert backends.check_weights() == Status("bundled: checksums OK")


def exits(pipe: Connection) -> None:
    os._exit(7)


def exits_with_words(pipe: Connection) -> None:
    sys.exit("no GPU driver")


def nonsense(pipe: Connection) -> None:
    pipe.send_bytes(b"[]")


def hangs(pipe: Connection) -> None:
    time.sleep(600)


@pytest.mark.parametrize(
    ("check", "words"),
    [
        ("exits", "ended with exit code 7: without a word"),
        ("exits_with_words", "ended with exit code 1: no GPU driver"),
        ("nonsense", "it sent an invalid message"),
        ("hangs", "did not answer within 0.5 s"),
    ],
)
def test_a_check_without_an_answer_is_a_problem(check: str, words: str) -> None:
    timeout = 0.5 if check == "hangs" else 60.0
    assert words in str(backends.run(f"{HERE}:{check}", timeout=timeout).problem)


@pytest.mark.parametrize(
    ("name", "words", "timeout"),
    [
        ("imports-nothing", "is broken: ModuleNotFoundError: No module named 'nothing_of_", 60),
        ("of-the-future", "does not fit: it keeps version 2 of the contract", 60),
        ("exits", "the process that asked it ended with exit code 3: without a word", 60),
        ("raises-at-devices", "fails when it is asked, RuntimeError: no driver", 60),
        ("closes-files", "the process that asked it ended with exit code 1: ", 60),
        ("hangs", "did not answer within 0.5 s", 0.5),
        ("hangs-at-devices", "did not answer within 2 s", 2),
    ],
)
def test_a_third_party_backend_that_is_broken_has_a_problem(
    name: str, words: str, timeout: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, name)
    assert words in str(check_backend(name, {}, timeout=timeout).problem)


def is_alive(pid: str) -> bool:
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@pytest.mark.parametrize("name", ["prints", "leaves-a-thread", "leaves-a-process"])
def test_nothing_that_a_backend_starts_outlives_its_check(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, name)
    monkeypatch.setenv("STRANGER_PID", str(tmp_path / "pid"))
    assert "cpu" in check_backend(name, {}).words
    if name == "leaves-a-process":
        while is_alive((tmp_path / "pid").read_text()):
            time.sleep(0.01)


def test_all_are_checked_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "exits", "well")
    monkeypatch.setattr(registry, "names", lambda: ["exits", "sketch", "well"])
    options: Mapping[str, Any] = {"sketch": {"color": "red"}}
    statuses = dict(backends.check_all(options))
    assert list(statuses) == ["exits", "sketch", "well"]
    assert "ended with exit code 3" in str(statuses["exits"].problem)
    assert "color" in str(statuses["sketch"].problem)
    assert statuses["well"].version == "1.0"
