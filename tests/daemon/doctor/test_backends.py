"""Each backend is checked in a process of its own, whatever it does there."""

import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.daemon.settings_made import make_settings
from tests.plugins.strangers import install

from stylewatch_daemon.doctor import backends
from stylewatch_daemon.doctor.backends import CHECK_WEIGHTS, Device, Status, check_backend
from stylewatch_daemon.doctor.doctor_main import backend_status, weights_status
from stylewatch_daemon.settings.config import ServiceSettings
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_painter.errors import WeightsError
from stylewatch_painter.network import store
from stylewatch_plugins import registry
from stylewatch_plugins.sketch import Sketch

HERE = "tests.daemon.doctor.test_backends"
Patch = pytest.MonkeyPatch


def settings(**more: Any) -> ServiceSettings:
    return make_settings((), Path("state"), job=JobSettings(backend="sketch"), **more)


def checked(monkeypatch: Patch, status: Status) -> list[tuple[Any, ...]]:
    """Let every check have this status; return the arguments of the checks."""
    calls: list[tuple[Any, ...]] = []

    def run(check: str, *args: Any, timeout: float = 0) -> Status:
        calls.append(args)
        return status

    monkeypatch.setattr(backends, "run", run)
    return calls


def test_every_backend_is_checked_with_its_options_the_wanted_one_first(monkeypatch: Patch) -> None:
    calls = checked(monkeypatch, Status("fine"))
    options = {"sketch": {"seconds_per_step": 1}}
    findings = list(backends.look(settings(backends=options, devices=("cuda:0",))))
    assert {finding.verdict for finding in findings} == {"ok"}
    others = [name for name in registry.names() if name != "sketch"]
    assert [finding.what for finding in findings] == [
        "backend sketch", *(f"backend {name}" for name in others), "weights",
    ]  # fmt: skip
    assert calls[:2] == [("sketch", options["sketch"], ("cuda:0",)), (others[0], {}, ())]


def test_only_the_wanted_backend_has_to_work(monkeypatch: Patch) -> None:
    checked(monkeypatch, Status(problem="gone", exit_code=78, notes=("slow",)))
    findings = list(backends.look(settings()))
    mend = [finding for finding in findings if finding.verdict == "mend"]
    assert [(finding.what, finding.exit_code) for finding in mend] == [("backend sketch", 78)]
    assert [finding.words for finding in findings[:2]] == ["slow", "gone"]
    assert "does not affect jobs with another backend" in findings[-1].words


def test_a_backend_that_works_has_a_version_devices_and_capabilities(monkeypatch: Patch) -> None:
    status = backend_status("sketch", {}, ("cpu",))
    assert status.words.startswith(f"{Sketch.version} on cpu")
    assert (status.problem, status.version) == (None, Sketch.version)
    assert [(type(each), each.name) for each in status.devices] == [(Device, "cpu")]
    assert status.can == ("resume", "deterministic")
    for capability, notes in (("AVX2", 0), ("DEFAULT", 1)):
        cpu = SimpleNamespace(get_cpu_capability=lambda name=capability: name)
        torch = SimpleNamespace(backends=SimpleNamespace(cpu=cpu))
        monkeypatch.setitem(sys.modules, "torch", torch)
        status = backend_status("sketch", {})
        assert status.words.endswith(capability) and len(status.notes) == notes


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("sketch", {"color": "red"}), 78, "color"),
        (("no-such-backend", {}), 69, "no backend 'no-such-backend' is installed"),
        (("sketch", {}, ("cpu", "cuda:7")), 69, "names cuda:7, but this backend has only cpu here"),
        (("raises-at-devices", {}), 69, "the backend 'raises-at-devices' of stranger-raises-at-"
         "devices fails in its check, RuntimeError: no driver"),
    ],
)  # fmt: skip
def test_a_backend_that_cannot_run_has_a_problem(
    arguments: tuple[Any, ...], code: int, words: str, tmp_path: Path, monkeypatch: Patch
) -> None:
    install(tmp_path, monkeypatch, "raises-at-devices")
    status = backend_status(*arguments)
    assert (status.exit_code, status.words) == (code, "")
    assert words in str(status.problem)


def test_a_backends_own_problem_is_reported(monkeypatch: Patch) -> None:
    monkeypatch.setattr(Sketch, "problem", lambda self: "there is no pencil: buy one")
    assert backend_status("sketch", {}).problem == "there is no pencil: buy one"


def test_damaged_weights_are_a_problem(monkeypatch: Patch) -> None:
    assert backends.run(CHECK_WEIGHTS) == Status("bundled: checksums OK")

    def fail(file: object) -> None:
        raise WeightsError("they are damaged; fetch them again")

    monkeypatch.setattr(store, "verify", fail)
    assert weights_status() == Status(problem="they are damaged; fetch them again", exit_code=69)


def exits(pipe: Connection) -> None:
    sys.exit("no GPU driver")


def nonsense(pipe: Connection) -> None:
    pipe.send_bytes(b"[]")


def hangs(pipe: Connection) -> None:
    time.sleep(600)


@pytest.mark.parametrize(
    ("check", "words"),
    [
        ("exits", "ended with exit code 1: no GPU driver"),
        ("nonsense", "it sent an invalid message"),
        ("hangs", "did not answer within 0.5 s"),
    ],
)
def test_a_check_without_an_answer_is_a_problem(check: str, words: str) -> None:
    timeout = 0.5 if check == "hangs" else 60.0
    assert words in str(backends.run(f"{HERE}:{check}", timeout=timeout).problem)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("imports-nothing", "is broken: ModuleNotFoundError: No module named 'nothing_of_"),
        ("of-the-future", "does not fit: it keeps version 2 of the contract"),
        ("exits", "the process that checked it ended with exit code 3: no message"),
        ("closes-files", "the process that checked it ended with exit code 1: "),
        ("hangs-at-devices", "did not answer within 2 s"),
    ],
)
def test_a_broken_third_party_backend_has_a_problem(
    name: str, words: str, tmp_path: Path, monkeypatch: Patch
) -> None:
    install(tmp_path, monkeypatch, name)
    timeout = 2 if name == "hangs-at-devices" else 60
    assert words in str(check_backend(name, {}, timeout=timeout).problem)


def is_alive(pid: str) -> bool:
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@pytest.mark.parametrize("name", ["prints", "leaves-a-thread", "leaves-a-process"])
def test_nothing_that_a_backend_starts_outlives_its_check(
    name: str, tmp_path: Path, monkeypatch: Patch
) -> None:
    install(tmp_path, monkeypatch, name)
    monkeypatch.setenv("STRANGER_PID", str(tmp_path / "pid"))
    assert "cpu" in check_backend(name, {}).words
    while name == "leaves-a-process" and is_alive((tmp_path / "pid").read_text()):
        time.sleep(0.01)


def test_all_are_checked_by_name(tmp_path: Path, monkeypatch: Patch) -> None:
    install(tmp_path, monkeypatch, "exits", "well")
    monkeypatch.setattr(registry, "names", lambda: ["exits", "sketch", "well"])
    options: Mapping[str, Any] = {"sketch": {"color": "red"}}
    statuses = dict(backends.check_all(options))
    assert list(statuses) == ["exits", "sketch", "well"]
    assert "ended with exit code 3" in str(statuses["exits"].problem)
    assert "color" in str(statuses["sketch"].problem)
    assert statuses["well"].version == "1.0"
