"""Each backend is asked in a process of its own, whatever that does."""

import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.settings_made import make_settings
from tests.plugins.strangers import install

from stylewatch_daemon.doctor import backends
from stylewatch_daemon.settings.config import ServiceSettings
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_plugins import registry


def settings(**more: Any) -> ServiceSettings:
    return make_settings((), Path("state"), job=JobSettings(backend="sketch"), **more)


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
        ("print('that is no answer')", "it could not be asked: "),
        ("import time; time.sleep(60)", "did not answer within 0.5 s"),
    ],
)
def test_a_child_that_does_not_answer_is_told(
    program: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    popen = subprocess.Popen

    def other(child: list[str], **more: Any) -> "subprocess.Popen[bytes]":
        assert child[0] == sys.executable
        return popen([sys.executable, "-c", program], **more)

    monkeypatch.setattr(subprocess, "Popen", other)
    within = 0.5 if "sleep" in program else 60.0
    assert words in backends.ask({"backend": "sketch", "options": {}}, within)["problem"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("imports-nothing", "is broken: ModuleNotFoundError: No module named 'nothing_of_that_na"),
        ("of-the-future", "does not fit: it keeps version 2 of the contract"),
        ("exits", "the process that asked it ended with 3: without a word"),
        ("raises-at-devices", "fails when it is asked, RuntimeError: no driver"),
        ("closes-files", "the process that asked it ended with 1: "),
    ],
)
def test_a_strangers_backend_that_is_broken_says_how(
    name: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, name)
    assert words in backends.ask({"backend": name, "options": {}})["problem"]


@pytest.mark.parametrize("name", ["hangs", "hangs-at-devices"])
def test_one_that_hangs_is_not_waited_for(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, name)
    answer = backends.ask({"backend": name, "options": {}}, within=0.5)
    assert "did not answer within 0.5 s" in answer["problem"]


def alive(pid: str) -> bool:
    """Whether there is such a process, and more of it than its exit code."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@pytest.mark.parametrize("name", ["prints", "leaves-a-thread", "leaves-a-process"])
def test_one_that_leaves_things_behind_answers_and_they_go_with_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, name)
    monkeypatch.setenv("STRANGER_PID", str(tmp_path / "pid"))
    assert "cpu" in backends.ask({"backend": name, "options": {}})["words"]
    if name == "leaves-a-process":
        while alive((tmp_path / "pid").read_text()):
            time.sleep(0.01)


def test_all_are_asked_and_told_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "exits", "well")
    monkeypatch.setattr(registry, "names", lambda: ["exits", "sketch", "well"])
    answers = dict(backends.ask_all({"sketch": {"color": "red"}}))
    assert list(answers) == ["exits", "sketch", "well"]
    assert "ended with 3" in answers["exits"]["problem"]
    assert "color" in answers["sketch"]["problem"]
    assert answers["well"]["version"] == "1.0"
