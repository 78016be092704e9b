"""Each backend is checked in a process of its own, whatever it does there."""

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.world import make_settings
from tests.plugins.strangers import install

from stylewatch_daemon.doctor import backends
from stylewatch_daemon.doctor.backends import (
    CHECK_WEIGHTS,
    Device,
    Status,
    backend_status,
    check_backend,
    weights_status,
)
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_painter.errors import WeightsError
from stylewatch_painter.network import kernels, store
from stylewatch_plugins import registry
from stylewatch_plugins.sketch import Sketch

Patch = pytest.MonkeyPatch


def test_every_backend_is_checked_and_only_the_wanted_one_has_to_work(monkeypatch: Patch) -> None:
    calls: list[tuple[Any, ...]] = []

    def run(check: str, *args: Any, timeout: float = 0) -> Status:
        calls.append(args)
        return Status(problem="gone", exit_code=78)

    monkeypatch.setattr(backends, "run", run)
    options = {"sketch": {"seconds_per_step": 1}}
    job = JobSettings(backend="sketch")
    settings = make_settings((), Path("s"), job=job, backends=options, devices=("cuda:0",))
    first, *rest = backends.look(settings)
    others = [name for name in registry.names() if name != "sketch"]
    assert calls[:2] == [("sketch", options["sketch"], ("cuda:0",)), (others[0], {}, ())]
    assert (first.what, first.words, first.exit_code) == ("backend sketch", "gone", 78)
    named = [finding.what for finding in rest]
    assert named == [*(f"backend {name}" for name in others), "weights"]
    assert {finding.verdict for finding in rest} == {"note"}


def test_a_backend_that_works_has_a_version_devices_and_capabilities() -> None:
    status = backend_status("sketch", {}, ("cpu",))
    assert status.words.startswith(f"{Sketch.version} on cpu (NumPy on the processor)")
    assert status.words.endswith("; can: resume, deterministic")
    assert (status.problem, status.version) == (None, Sketch.version)
    assert [(type(each), each.name) for each in status.devices] == [(Device, "cpu")]


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
    monkeypatch.setattr(Sketch, "problem", lambda self: "there is no pencil: buy one")
    assert backend_status("sketch", {}).problem == "there is no pencil: buy one"


def test_damaged_weights_are_a_problem(monkeypatch: Patch) -> None:
    assert backends.run(CHECK_WEIGHTS) == Status("bundled (VGG19): checksums OK")

    def fail(file: object) -> None:
        raise WeightsError("they are damaged; fetch them again")

    monkeypatch.setattr(store, "verify", fail)
    assert weights_status() == Status(problem="they are damaged; fetch them again", exit_code=69)


@pytest.mark.usefixtures("children_exit_slowly")
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("of-the-future", "does not fit: it keeps version 2 of the contract"),
        ("closes-files", "the process that checked it ended with exit code 1: "),
        ("hangs-at-devices", "did not answer within 2 s"),
    ],
)
def test_a_check_without_an_answer_is_a_problem(
    name: str, words: str, tmp_path: Path, monkeypatch: Patch
) -> None:
    install(tmp_path, monkeypatch, name)
    status = check_backend(name, {}, timeout=2 if name == "hangs-at-devices" else 60)
    assert words in str(status.problem)


def test_all_are_checked_and_nothing_that_a_backend_starts_outlives_its_check(
    tmp_path: Path, monkeypatch: Patch
) -> None:
    working = ["prints", "leaves-a-thread", "leaves-a-process"]
    install(tmp_path, monkeypatch, "exits", *working)
    monkeypatch.setattr(registry, "names", lambda: ["exits", "sketch", *working])
    monkeypatch.setenv("STRANGER_PID", str(tmp_path / "pid"))
    options = {"sketch": {"color": "red"}}
    statuses = {name: check_backend(name, options.get(name, {})) for name in registry.names()}
    assert "ended with exit code 3" in str(statuses["exits"].problem)
    assert "color" in str(statuses["sketch"].problem)
    assert all("cpu" in statuses[name].words for name in working)
    status = Path("/proc", (tmp_path / "pid").read_text(), "stat")
    with suppress(FileNotFoundError, ProcessLookupError):
        while status.read_text().rpartition(")")[2].split()[0] != "Z":
            time.sleep(0.01)


@pytest.mark.parametrize("is_compiled", [True, False])
def test_missing_compiled_convolutions_are_a_note(is_compiled: bool, monkeypatch: Patch) -> None:
    monkeypatch.setattr(kernels, "library", lambda: object() if is_compiled else None)
    status = backend_status("torch", {"device": "cpu"})
    assert status.problem is None
    notes = [note for note in status.notes if "convolutions are not compiled" in note]
    assert len(notes) == (0 if is_compiled else 1)
