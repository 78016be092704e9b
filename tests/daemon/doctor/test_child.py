"""What the child says of a backend, and of the weights."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.plugins.strangers import install

from stylewatch_daemon.doctor import child
from stylewatch_painter.errors import WeightsError
from stylewatch_painter.network import store
from stylewatch_plugins.sketch import Sketch


def test_a_backend_that_works_tells_its_version_and_devices() -> None:
    told = child.answer({"backend": "sketch", "options": {}})
    assert told["words"].startswith(f"{Sketch.version} on cpu")
    assert "problem" not in told
    assert told["version"] == Sketch.version
    assert [device["name"] for device in told["devices"]] == ["cpu"]
    assert told["can"] == ("resume", "deterministic")


@pytest.mark.parametrize(
    ("backend", "options", "code", "words"),
    [
        ("sketch", {"color": "red"}, 78, "color"),
        ("no-such-backend", {}, 69, "no backend 'no-such-backend' is installed"),
    ],
)
def test_a_backend_that_does_not_work_tells_why(
    backend: str, options: dict[str, str], code: int, words: str
) -> None:
    told = child.answer({"backend": backend, "options": options})
    assert told["exit_code"] == code
    assert words in told["problem"]
    assert "version" not in told


def test_a_backend_that_fails_when_it_is_asked_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, "raises-at-devices")
    told = child.answer({"backend": "raises-at-devices", "options": {}})
    assert told["exit_code"] == 69
    assert told["problem"] == (
        "the backend 'raises-at-devices' of stranger-raises-at-devices fails when it is asked, "
        "RuntimeError: no driver"
    )


def test_a_backend_that_cannot_run_here_tells_what_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sketch, "problem", lambda self: "there is no pencil: buy one")
    told = child.answer({"backend": "sketch", "options": {}})
    assert (told["problem"], told["exit_code"]) == ("there is no pencil: buy one", 69)
    assert "words" not in told


@pytest.mark.parametrize(("found", "notes"), [("AVX2", 0), ("DEFAULT", 1)])
def test_what_torch_makes_of_the_processor_is_told(
    found: str, notes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu = SimpleNamespace(get_cpu_capability=lambda: found)
    torch = SimpleNamespace(backends=SimpleNamespace(cpu=cpu))
    monkeypatch.setitem(sys.modules, "torch", torch)
    told = child.answer({"backend": "sketch", "options": {}})
    assert told["words"].endswith(found)
    assert len(told["notes"]) == notes


def test_weights_are_held_against_their_digests(monkeypatch: pytest.MonkeyPatch) -> None:
    assert child.answer({"weights": True})["words"].startswith("bundled")

    def damaged(file: object) -> None:
        raise WeightsError("they are damaged; fetch them again")

    monkeypatch.setattr(store, "verify", damaged)
    told = child.answer({"weights": True})
    assert told == {"problem": "they are damaged; fetch them again", "exit_code": 69}


def test_as_a_process_it_answers_alone_on_stdout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, "prints")
    asked = json.dumps({"backend": "prints", "options": {}})
    command = [sys.executable, "-m", "stylewatch_daemon.doctor.child"]
    ended = subprocess.run(command, input=asked, capture_output=True, text=True, check=True)
    assert "cpu" in json.loads(ended.stdout)["words"]
    assert ended.stderr == "hello\n"
