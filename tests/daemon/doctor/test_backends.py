"""Each backend is checked in a process of its own, whatever it does there."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.world import make_settings
from tests.plugins.strangers import install

from stylewatch_daemon.doctor import backends
from stylewatch_daemon.doctor.backends import check_backend, check_weights, look, run
from stylewatch_daemon.doctor.finding import Finding, ok, problem
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_painter.errors import WeightsError
from stylewatch_painter.network import kernels, store
from stylewatch_plugins import registry
from stylewatch_plugins.sketch import Sketch

Patch = pytest.MonkeyPatch


def test_every_backend_is_checked_and_only_the_wanted_one_has_to_work(monkeypatch: Patch) -> None:
    calls: list[tuple[Any, ...]] = []

    def run(check: str, name: str, *args: Any) -> Iterator[Finding]:
        calls.append((name, *args))
        yield problem(f"{check} {name}".strip(), "gone", 78)

    monkeypatch.setattr(backends, "run", run)
    options = {"sketch": {"seconds_per_step": 1}}
    job = JobSettings(backend="sketch")
    settings = make_settings((), Path("s"), job=job, backends=options, devices=("cuda:0",))
    first, *rest = look(settings)
    others = [name for name in registry.names() if name != "sketch"]
    assert calls[:2] == [("sketch", options["sketch"], ("cuda:0",)), (others[0], {}, ())]
    assert first == problem("backend sketch", "gone", 78)
    named = [finding.what for finding in rest]
    assert named == [*(f"backend {name}" for name in others), "weights"]
    assert {finding.verdict for finding in rest} == {"note"}


def test_a_backend_that_works_has_a_version_devices_and_capabilities() -> None:
    (finding,) = run("backend", "sketch", {}, ("cpu",))
    words = f"{Sketch.version} on cpu (NumPy on the processor); can: resume, deterministic"
    assert finding == ok("backend sketch", words)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("sketch", {"color": "red"}), 78, "color"),
        (("sketch", {}, ("cpu", "cuda:7")), 69, "names cuda:7, but this backend has only cpu here"),
        (("raises-at-devices", {}, ()), 69, "fails in its check, RuntimeError: no driver"),
        (("broken", {}, ()), 69, "there is no pencil: buy one"),
    ],
)
def test_a_backend_that_cannot_run_has_a_problem(
    arguments: tuple[Any, ...], code: int, words: str, tmp_path: Path, monkeypatch: Patch
) -> None:
    install(tmp_path, monkeypatch, "raises-at-devices")
    if arguments[0] == "broken":
        monkeypatch.setattr(Sketch, "problem", lambda self: "there is no pencil: buy one")
        arguments = ("sketch", *arguments[1:])
    (finding,) = check_backend(*arguments)
    assert (finding.verdict, finding.exit_code) == ("problem", code)
    assert words in finding.words


def test_damaged_weights_are_a_problem(monkeypatch: Patch) -> None:
    assert [*run("weights", "")] == [ok("weights", "bundled (VGG19): checksums OK")]

    def fail(file: object) -> None:
        raise WeightsError("they are damaged; fetch them again")

    monkeypatch.setattr(store, "verify", fail)
    wrong = problem("weights", "they are damaged; fetch them again", 69)
    assert [*check_weights("")] == [wrong]


@pytest.mark.usefixtures("children_exit_slowly")
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("of-the-future", "does not fit: it has version 2 of the contract"),
        ("hangs-at-devices", "did not answer within 2 s"),
        ("exits", "ended with exit code 3"),
    ],
)
def test_a_check_without_an_answer_is_a_problem(
    name: str, words: str, tmp_path: Path, monkeypatch: Patch
) -> None:
    install(tmp_path, monkeypatch, name)
    (finding,) = run("backend", name, {}, (), timeout=2 if name == "hangs-at-devices" else 60)
    assert (finding.what, finding.exit_code) == (f"backend {name}", 69)
    assert words in finding.words


@pytest.mark.parametrize("is_compiled", [True, False])
def test_missing_compiled_convolutions_are_a_note(is_compiled: bool, monkeypatch: Patch) -> None:
    loaded = {name: object() for name in kernels._files()} if is_compiled else {}
    monkeypatch.setattr(kernels, "variants", lambda: loaded)
    *notes, last = check_backend("torch", {"device": "cpu"}, ())
    assert last.verdict == "ok"
    found = [note for note in notes if "convolutions are not compiled" in note.words]
    assert len(found) == (0 if is_compiled else 1)
