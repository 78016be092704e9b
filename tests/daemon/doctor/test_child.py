"""The status of a backend and of the weights."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.plugins.strangers import install

from stylewatch_daemon.doctor.backends import Device, Status
from stylewatch_daemon.doctor.child import backend_status, weights_status
from stylewatch_painter.errors import WeightsError
from stylewatch_painter.network import store
from stylewatch_plugins.sketch import Sketch


def test_a_backend_that_works_has_a_version_devices_and_capabilities() -> None:
    status = backend_status("sketch", {})
    assert status.words.startswith(f"{Sketch.version} on cpu")
    assert (status.problem, status.version) == (None, Sketch.version)
    assert [device.name for device in status.devices] == ["cpu"]
    assert isinstance(status.devices[0], Device)
    assert status.can == ("resume", "deterministic")


@pytest.mark.parametrize(
    ("backend", "options", "code", "words"),
    [
        ("sketch", {"color": "red"}, 78, "color"),
        ("no-such-backend", {}, 69, "no backend 'no-such-backend' is installed"),
    ],
)
def test_a_backend_that_cannot_be_loaded_has_a_problem_and_no_version(
    backend: str, options: dict[str, str], code: int, words: str
) -> None:
    status = backend_status(backend, options)
    assert status.exit_code == code
    assert words in str(status.problem)
    assert not status.version


def test_a_backend_that_fails_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "raises-at-devices")
    status = backend_status("raises-at-devices", {})
    assert status.exit_code == 69
    assert status.problem == (
        "the backend 'raises-at-devices' of stranger-raises-at-devices fails when it is asked, "
        "RuntimeError: no driver"
    )


def test_a_backend_that_cannot_run_here_says_what_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sketch, "problem", lambda self: "there is no pencil: buy one")
    status = backend_status("sketch", {})
    assert (status.words, status.exit_code) == ("", 69)
    assert status.problem == "there is no pencil: buy one"


@pytest.mark.parametrize(("capability", "notes"), [("AVX2", 0), ("DEFAULT", 1)])
def test_the_vector_instructions_that_torch_found_are_named(
    capability: str, notes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu = SimpleNamespace(get_cpu_capability=lambda: capability)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(backends=SimpleNamespace(cpu=cpu)))
    status = backend_status("sketch", {})
    assert status.words.endswith(capability)
    assert len(status.notes) == notes


def test_damaged_weights_are_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(file: object) -> None:
        raise WeightsError("they are damaged; fetch them again")

    monkeypatch.setattr(store, "verify", fail)
    assert weights_status() == Status(problem="they are damaged; fetch them again", exit_code=69)
