"""Backend `torch` keeps the contract, on the CPU and with the bundled weights."""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from stylewatch_painter.algorithm.caches import load_network
from stylewatch_painter.algorithm.task import Style, Task
from stylewatch_painter.images.read import read
from stylewatch_painter.network import weights
from stylewatch_painter.recipes import book
from stylewatch_plugins.contract import Backend, BackendMissingError, BackendOptionError
from stylewatch_plugins.testing import BackendConformance
from stylewatch_plugins.testing.tasks import painted, picture, sample, stages
from stylewatch_plugins.torch_autograd import TorchAutograd


@pytest.mark.usefixtures("small_network")
class TestTorchAutograd(BackendConformance):
    """The conformance suite."""

    def make(self, options: Mapping[str, object]) -> Backend:
        return TorchAutograd({"device": "cpu", "precision": "fp32", **options})


@pytest.mark.usefixtures("small_network")
class TestTorchAutogradInBfloat16(BackendConformance):
    """The conformance suite once more, in fewer bits."""

    closeness = 2e-3

    def make(self, options: Mapping[str, object]) -> Backend:
        return TorchAutograd({"device": "cpu", "precision": "bf16", **options})


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"devices": "cpu"}, "did you mean 'device'"),
        ({"device": "gpu"}, "device: "),
        ({"threads": 0}, "threads: "),
        ({"precision": "fp16"}, "precision: "),
    ],
)
def test_a_wrong_option_is_told_with_its_name(options: Mapping[str, object], told: str) -> None:
    with pytest.raises(BackendOptionError, match=told):
        TorchAutograd(options)


@pytest.mark.parametrize("device", ["cuda:7", "xpu:7"])
def test_a_device_that_is_not_there_is_a_problem_and_no_crash(device: str) -> None:
    """It says which are, before anything is painted."""
    backend = TorchAutograd({"device": device})
    here = ", ".join(one.name for one in backend.devices())
    problem = f"torch {backend.version} finds no device {device} here; there are {here}"
    assert backend.problem() == problem
    with pytest.raises(BackendMissingError, match=f"finds no device {device} here"):
        painted(backend, sample())
    with pytest.raises(BackendMissingError, match=f"finds no device {device} here"):
        backend.provenance(sample())


def test_the_best_device_comes_first_and_auto_takes_it() -> None:
    backend = TorchAutograd({})
    first, *_, last = (*backend.devices(), *backend.devices())
    assert last.name == "cpu"
    assert backend.provenance(sample()).device == first.name
    assert backend.provenance(sample()).decided["device"] == first.name


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("no-such-weights", "there are no weights 'no-such-weights'; there are bundled"),
        ("bundeld", "there are no weights 'bundeld'; did you mean 'bundled'?"),
    ],
)
def test_weights_that_are_not_there_are_a_problem(name: str, told: str) -> None:
    assert TorchAutograd({"device": "cpu", "weights": name}).problem() == told


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_receipt_names_the_trained_network(precision: str) -> None:
    found = TorchAutograd({"device": "cpu", "precision": precision}).provenance(sample())
    assert (found.name, found.device, found.precision) == ("torch", "cpu", precision)
    assert found.weights == {
        "name": "bundled",
        "sha256": weights.locate().sha256,
        "bits": 8,
    }
    threads = torch.get_num_threads()
    decided = {"device": "cpu", "threads": threads, "precision": precision}
    assert found.decided == {**decided, "tile": "none", "history": "whole"}


def test_the_precision_is_what_the_device_is_the_quickest_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("stylewatch_plugins.torch_autograd.quickest", lambda _: "bf16")
    assert TorchAutograd({"device": "cpu"}).provenance(sample()).precision == "bf16"
    said = TorchAutograd({"device": "cpu", "precision": "fp32"})
    assert said.provenance(sample()).precision == "fp32"


def test_a_precision_of_gpus_is_a_problem_where_there_is_none() -> None:
    problem = TorchAutograd({"device": "cpu", "precision": "tf32"}).problem()
    assert problem is not None and "tf32 is for GPUs" in problem


def test_what_was_tf32_on_a_gpu_is_fp32_on_the_processor_and_said_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    moved = TorchAutograd({"device": "cpu", "precision": "tf32"})
    assert moved.provenance(sample()).precision == "fp32"


@pytest.mark.usefixtures("small_network")
def test_in_fewer_bits_the_losses_told_with_a_picture_are_those_of_float32() -> None:
    """Each belongs to the picture before the step: of the first, to the one it starts from."""
    task = sample({"save_every": 1})
    coarse = TorchAutograd({"device": "cpu", "precision": "bf16"})
    exact = TorchAutograd({"device": "cpu", "precision": "fp32"})
    assert coarse.measure(task) == exact.measure(task)
    first, *_ = painted(coarse, task)
    assert first.losses == painted(exact, task)[0].losses
    untold, *_ = painted(coarse, sample({"save_every": 99}))
    assert untold.losses != first.losses
    assert untold.losses.total == pytest.approx(first.losses.total, rel=0.02)


def test_the_number_of_threads_can_be_said() -> None:
    before = torch.get_num_threads()
    try:
        backend = TorchAutograd({"device": "cpu", "threads": before + 1})
        assert backend.provenance(sample()).decided["threads"] == before + 1
        assert backend.devices()[-1].description == f"{before + 1} threads"
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("name", ["best"])
def test_the_same_command_gives_the_same_bytes_in_every_process(name: str) -> None:
    """Deep layers and all, at two sizes and on two threads."""
    script = (
        "import hashlib\n"
        "from stylewatch_painter.recipes.book import change, find\n"
        "from stylewatch_painter.algorithm.task import Style, Task\n"
        "from stylewatch_plugins.testing.tasks import painted, picture, stages\n"
        "from stylewatch_plugins.torch_autograd import TorchAutograd\n"
        "small = {'size': 40, 'scales': [{'scale': 0.5, 'steps': 2}], 'steps': 2}\n"
        "small |= {'smallest': 1, 'save_every': 1}\n"
        f"recipe = change(find({name!r}), small)\n"
        "task = Task(recipe, picture(40, 33), (Style(picture(44, 44, seed=1)),))\n"
        "seen = stages(painted(TorchAutograd({'device': 'cpu', 'threads': 2}), task))\n"
        "print(len(seen), hashlib.sha256(b''.join(seen.values())).hexdigest())\n"
    )
    command = [sys.executable, "-c", script]
    first, second = (
        subprocess.run(command, check=True, capture_output=True, text=True).stdout for _ in "12"
    )
    assert first.startswith("4 ")
    assert first == second


def test_the_estimate_has_time_and_memory() -> None:
    estimate = TorchAutograd({"device": "cpu"}).estimate(sample())
    assert estimate.seconds is not None and estimate.seconds > 0
    assert estimate.memory is not None and estimate.memory > 1e7


def test_in_best_the_content_gives_way_as_the_strength_grows(pictures: Path) -> None:
    """One knob, from a light touch to bold: what is left of the content is held to less."""
    content, style = (read(pictures / name).pixels for name in ("content.jpg", "style.jpg"))
    ends = []
    for strength in (0.0, 0.5, 1.0):
        recipe = book.change(book.find("best"), {"strength": strength, "scales": [], "steps": 12})
        *_, last = painted(TorchAutograd({}), Task(recipe, content, (Style(style),)))
        ends.append(last.losses.content["conv4_2"].value)
    assert ends[0] < ends[1] < ends[2]


ALBUM = [(48, 32), (32, 48), (48, 32), (32, 48), (40, 30)]
"""Sizes of photographs: upright ones and others of one camera, and one that was cut."""


@pytest.mark.usefixtures("small_network")
def test_of_an_album_the_style_is_looked_at_once_for_each_size() -> None:
    """Five photographs at two sizes are ten looks; the four of one camera share two."""
    small = {"size": 24, "scales": [{"scale": 0.5, "steps": 1}], "steps": 1, "save_every": 1}
    small |= {"smallest": 1, "objective.network.pool_edge": "ceil"}
    recipe = book.change(book.find("best"), small)
    style = Style(picture(44, 36, seed=9), digest="the style of an album")
    tasks = [Task(recipe, picture(*size, seed=i), (style,)) for i, size in enumerate(ALBUM)]
    looks = load_network(weights.locate(), recipe.objective.layers, torch.device("cpu")).styles
    made = TorchAutograd({"device": "cpu", "precision": "fp32"})
    before = looks.computed, looks.reused
    seen = [stages(painted(made, task)) for task in tasks]
    assert (looks.computed - before[0], looks.reused - before[1]) == (4, 6)
    unknown = replace(style, digest=None)
    for task, pictures in zip(tasks, seen, strict=True):
        plain = replace(task, styles=(unknown,))
        assert stages(painted(made, plain)) == pictures


@pytest.mark.usefixtures("small_network")
def test_the_network_stays_for_the_next_painting(monkeypatch: pytest.MonkeyPatch) -> None:
    painted(TorchAutograd({"device": "cpu"}), sample())
    monkeypatch.setattr("stylewatch_painter.network.store.load", None)
    painted(TorchAutograd({"device": "cpu"}), sample())
