"""Each backend is asked in a process of its own, whatever that does."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from stylewatch_daemon.doctor import backends
from stylewatch_daemon.service_settings import ServiceSettings
from stylewatch_daemon.settings import JobSettings
from stylewatch_plugins import registry


def settings(**more: Any) -> ServiceSettings:
    return ServiceSettings((), Path("state"), job=JobSettings(backend="sketch"), **more)


def answers(monkeypatch: pytest.MonkeyPatch, answer: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Let every child answer the same; what they are asked."""
    asked: list[Mapping[str, Any]] = []

    def ask(question: Mapping[str, Any]) -> Mapping[str, Any]:
        asked.append(question)
        return answer

    monkeypatch.setattr(backends, "ask", ask)
    return asked


def test_every_backend_is_asked_with_its_options_the_wanted_one_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = answers(monkeypatch, {"words": "fine"})
    found = list(backends.look(settings(backends={"sketch": {"seconds_per_step": 1}})))
    assert {one.verdict for one in found} == {"ok"}
    others = [name for name in registry.names() if name != "sketch"]
    assert [one.what for one in found] == [
        "backend sketch", *(f"backend {name}" for name in others), "weights",
    ]  # fmt: skip
    assert asked[0] == {"backend": "sketch", "options": {"seconds_per_step": 1}}


def test_only_the_backend_that_is_wanted_must_be_mended(monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, {"problem": "gone", "exit_code": 78, "notes": ["slow"]})
    found = list(backends.look(settings()))
    mend = [one for one in found if one.verdict == "mend"]
    assert [(one.what, one.exit_code) for one in mend] == [("backend sketch", 78)]
    assert [one.words for one in found[:2]] == ["slow", "gone"]
    assert "jobs that ask for another backend" in found[-1].words


def test_devices_that_are_not_there_are_named_and_the_others_with_them() -> None:
    assert "problem" not in backends.ask({"backend": "sketch", "options": {}, "devices": ["cpu"]})
    answer = backends.ask({"backend": "sketch", "options": {}, "devices": ["cpu", "cuda:7"]})
    assert answer["exit_code"] == 69
    assert "executor.devices names cuda:7, and it finds cpu here" in answer["problem"]


def test_the_wanted_backend_is_asked_for_the_devices_of_the_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = answers(monkeypatch, {"words": "fine"})
    list(backends.look(settings(devices=("cuda:0",))))
    assert [one.get("devices") for one in asked[:2]] == [("cuda:0",), None]


def test_the_sketch_answers() -> None:
    answer = backends.ask({"backend": "sketch", "options": {}})
    assert "cpu" in answer["words"]


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("import os; os._exit(7)", "ended with 7: without a word"),
        ("raise SystemExit('no GPU driver')", "ended with 1: no GPU driver"),
        ("print('[]')", "it answered nothing"),
        ("import time; time.sleep(60)", "did not answer within 0.5 s"),
    ],
)
def test_a_child_that_does_not_answer_is_told(
    program: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = subprocess.run

    def other(child: list[str], **more: Any) -> subprocess.CompletedProcess[str]:
        assert child[0] == sys.executable
        return run([sys.executable, "-c", program], **more)

    monkeypatch.setattr(subprocess, "run", other)
    within = 0.5 if "sleep" in program else 60.0
    assert words in backends.ask({"backend": "sketch", "options": {}}, within)["problem"]
