"""Backends `torch` and `onnx` keep the contract on the CPU, decide once, and keep to memory."""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock, call

import numpy as np
import onnxruntime
import pytest
import torch
from tests.painter.networks import as_vgg16, narrow, save_torch
from tests.plugins.small_vgg import ARRAYS

from stylewatch_painter.errors import CheckpointError, PictureError, WeightsError
from stylewatch_painter.network import kernels, store, weights
from stylewatch_painter.network.importer import import_file
from stylewatch_painter.scene.task import Style, Task
from stylewatch_painter.stage import Stage, Wish, go_on
from stylewatch_plugins import onnx_runtime, torch_autograd, vgg_backend
from stylewatch_plugins.contract import Backend, BackendMissingError, BackendOptionError
from stylewatch_plugins.onnx_vgg import OnnxVgg
from stylewatch_plugins.testing import BackendConformance
from stylewatch_plugins.testing.tasks import (
    OPTIMIZERS,
    after,
    painted,
    picture,
    sample,
    saved_and_loaded,
    stages,
)
from stylewatch_plugins.torch_autograd import TorchAutograd

CPU = {"device": "cpu"}
BACKENDS = pytest.mark.parametrize("make", [TorchAutograd, OnnxVgg])
Make = type[TorchAutograd | OnnxVgg]


def exact(make: Make, **options: object) -> TorchAutograd | OnnxVgg:
    """A backend on the CPU that computes in fp32."""
    precision = {"precision": "fp32"} if make is TorchAutograd else {}
    return make({**CPU, **precision, **options})


@pytest.mark.usefixtures("small_network")
class TestTorchAutograd(BackendConformance):
    """The conformance suite."""

    precision = "fp32"

    def make(self, options: Mapping[str, object]) -> Backend:
        return TorchAutograd({**CPU, "precision": self.precision, **options})


class TestTorchAutogradInBfloat16(TestTorchAutograd):
    """The conformance suite in fewer bits."""

    precision = "bf16"
    closeness = 2e-3


@pytest.mark.usefixtures("small_network")
class TestOnnxVgg(BackendConformance):
    """The conformance suite in ONNX Runtime."""

    def make(self, options: Mapping[str, object]) -> Backend:
        return OnnxVgg({**CPU, **options})


@BACKENDS
def test_wrong_option_is_named(make: Make) -> None:
    for name, wrong in {"device": "gpu", "threads": 0, "precision": "int8", "tile": 8,
                        "history": -1, "memory": 0, "providers": []}.items():  # fmt: skip
        with pytest.raises(BackendOptionError, match=name):
            make({name: wrong})


@BACKENDS
def test_missing_device_or_weights_are_a_problem(make: Make) -> None:
    backend = make({"device": "cuda:7"})
    assert f"no device cuda:7 here; there are {backend.devices()[0].name}" in str(backend.problem())
    with pytest.raises(BackendMissingError, match="no device cuda:7 here"):
        painted(backend, sample())
    assert make({**CPU, "weights": "bundeld"}).problem() == (
        "there are no weights 'bundeld'; did you mean 'bundled'?"
    )


def test_a_precision_of_other_devices_is_a_problem_unless_the_job_was_moved_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tf32 = {**CPU, "precision": "tf32"}
    assert "tf32 is for NVIDIA GPUs" in str(TorchAutograd(tf32).problem())
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert TorchAutograd(tf32).provenance(sample()).precision == "fp32"


@pytest.mark.parametrize(
    ("options", "kernels_bf16", "torch_bf16", "used"),
    [
        ({}, True, True, ("bf16", "compiled")),
        ({}, False, True, ("fp32", "compiled")),
        ({"precision": "bf16"}, False, True, ("bf16", "torch")),
        ({}, None, True, ("bf16", "torch")),
        ({"convolution": "torch"}, True, False, ("fp32", "torch")),
    ],
)
def test_fastest_arithmetic_of_the_cpu_is_used(
    options: Mapping[str, object],
    kernels_bf16: bool | None,
    torch_bf16: bool,
    used: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`kernels_bf16`: None without compiled convolutions."""
    library = None if kernels_bf16 is None else Mock()
    monkeypatch.setattr(kernels, "library", lambda: library)
    monkeypatch.setattr(kernels, "has_bfloat16", lambda: bool(kernels_bf16))
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: torch_bf16)
    decided = TorchAutograd({**CPU, **options}).provenance(sample()).decided
    assert (decided["precision"], decided["convolution"]) == used


def test_a_painting_says_what_the_lack_of_a_compiler_costs_unless_that_was_chosen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kernels, "variants", dict)
    (advice,) = TorchAutograd(CPU).provenance(sample()).advice
    assert advice == kernels.delay()
    assert TorchAutograd({**CPU, "convolution": "torch"}).provenance(sample()).advice == ()


@pytest.mark.parametrize(
    ("precision", "has_library", "sentence"),
    [
        ("auto", False, "convolution compiled is impossible: its convolutions are not compiled"),
        ("bf16", True, "compiled convolutions have no precision bf16 on this processor"),
    ],
)
def test_compiled_convolutions_that_are_asked_for_are_used_or_missing(
    precision: str, has_library: bool, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = {name: Mock() for name in kernels._files()} if has_library else {}
    monkeypatch.setattr(kernels, "variants", lambda: loaded)
    monkeypatch.setattr(kernels, "has_bfloat16", lambda: False)
    options = {**CPU, "precision": precision}
    for convolution in ("auto", "torch"):
        backend = TorchAutograd({**options, "convolution": convolution})
        assert backend.problem() is None
    backend = TorchAutograd({**options, "convolution": "compiled"})
    assert sentence in str(backend.problem())
    with pytest.raises(BackendMissingError, match=sentence):
        backend.provenance(sample())
    with pytest.raises(BackendMissingError, match=sentence):
        painted(backend, sample())


@BACKENDS
def test_receipt_names_library_network_and_decisions(make: Make) -> None:
    """The named decisions, used as options, lead to the same decisions."""
    threads = torch.get_num_threads()
    about = exact(make, threads=threads).provenance(sample())
    version = torch.__version__ if make is TorchAutograd else onnxruntime.__version__
    assert (about.version, about.device, about.precision) == (version, "cpu", "fp32")
    assert about.weights == {**weights.locate().for_receipt(), "architecture": "vgg19"}
    own = {"providers": "cpu"}
    if make is TorchAutograd:
        own = {"precision": "fp32", "convolution": str(about.decided["convolution"])}
    sizes = {"tile": "none", "history": "whole"}
    decided = {"device": "cpu", "threads": threads, "weights": "bundled", **own, **sizes}
    assert about.decided == decided and not about.warnings
    assert make(about.decided).provenance(sample()).decided == decided
    task = sample({"optimizer": {"kind": "lbfgs", "history": 8}})
    saving = exact(make, tile=64, history=3).provenance(task)
    assert (saving.decided["tile"], saving.decided["history"]) == (64, 3)
    assert make(saving.decided).provenance(task).decided == saving.decided
    assert "keeps 3 pairs" in saving.warnings[0]


@BACKENDS
def test_threads_hold_until_another_backend_is_used(make: Make) -> None:
    usual = torch.get_num_threads()
    try:
        for more in (1, 2):
            exact(make, threads=usual + more)
            assert torch.get_num_threads() == usual + more
        exact(make)
        assert torch.get_num_threads() == usual
        first, second = (exact(make, threads=usual + more) for more in (1, 2))
        for backend, more in ((first, 1), (second, 2), (first, 1)):
            assert backend.provenance(sample()).decided["threads"] == usual + more
    finally:
        torch.set_num_threads(usual)


@BACKENDS
@pytest.mark.usefixtures("small_network")
def test_a_plan_leaves_the_process_as_it_is_and_the_beginning_of_a_painting_sets_it_up(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual, blocks = torch.get_num_threads(), Mock()
    monkeypatch.setattr(vgg_backend, "keep_large_blocks", blocks.keep)
    monkeypatch.setattr(vgg_backend, "give_back_large_blocks", blocks.give_back)
    task = sample()
    try:
        first, _ = (exact(make, threads=usual + more, tile=64, history=9) for more in (1, 2))
        first.provenance(task)
        assert torch.get_num_threads() == usual + 2 and not blocks.mock_calls
        next(iter(first.paint(task, go_on)))
        assert torch.get_num_threads() == usual + 1
        assert blocks.mock_calls == [call.give_back()]
    finally:
        torch.set_num_threads(usual)


@pytest.mark.usefixtures("small_network")
def test_provider_that_is_missing_or_does_not_start_is_reported_or_refused(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A provider does not start if the wheel has it, and a library of its maker is missing."""
    options = {**CPU, "providers": ["migraphx", "cpu"]}
    assert OnnxVgg(options).problem() is None
    (warning,) = OnnxVgg(options).provenance(sample()).warnings
    assert "no provider migraphx here" in warning and "paints with cpu" in warning
    assert "no provider migraphx" in str(OnnxVgg({**options, "missing": "refuse"}).problem())
    nothing = OnnxVgg({"providers": "migraphx"})
    assert nothing.devices() == ()
    with pytest.raises(BackendMissingError, match="no provider migraphx"):
        painted(nothing, sample())
    painted(OnnxVgg(CPU), sample())
    (opened,) = onnx_runtime._open.values()
    monkeypatch.setattr(opened, "providers", [])
    painted(OnnxVgg(CPU), sample())
    assert "could not start its provider cpu" in caplog.text
    with pytest.raises(BackendMissingError, match="could not start its provider cpu"):
        painted(OnnxVgg({**CPU, "providers": "cpu", "missing": "refuse"}), sample())
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert "the package onnxruntime" in str(OnnxVgg(CPU).problem())


PROGRAM = """
import hashlib, sys
from stylewatch_painter.scene.task import Style, Task
from stylewatch_painter.recipes.book import change, find
from stylewatch_plugins import registry
from stylewatch_plugins.testing.tasks import painted, picture, stages
small = {"size": 40, "scales": [{"scale": 0.5, "steps": 2}], "steps": 2}
recipe = change(find("best"), {**small, "smallest": 1, "save_every": 1})
task = Task(recipe, picture(40, 33), (Style(picture(44, 44, seed=1)),))
options = {"device": "cpu", "threads": 2}
seen = stages(painted(registry.load(sys.argv[1], options), task))
print(len(seen), hashlib.sha256(b"".join(seen.values())).hexdigest())
"""


@pytest.mark.parametrize("name", ["torch", "onnx"])
def test_same_task_gives_the_same_bytes_in_every_process(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The task has deep layers and two sizes. Once the graphs are built, onnx is not imported."""
    monkeypatch.setattr(sys, "argv", ["", name])
    exec(PROGRAM, {})
    check = "assert not {'onnx', 'stylewatch_export'} & set(sys.modules)"
    command = [sys.executable, "-c", PROGRAM + check, name]
    ended = subprocess.run(command, check=True, capture_output=True, text=True)
    assert ended.stdout.startswith("4 ") and ended.stdout == capsys.readouterr().out


@pytest.mark.usefixtures("small_network")
def test_job_of_one_backend_can_be_finished_by_the_other() -> None:
    recipe = {"optimizer": {"kind": "adam", "rate": 2.0}}
    torch_, onnx = exact(TorchAutograd), OnnxVgg(CPU)
    whole = painted(torch_, sample(recipe))[-1]
    for first, second in ((torch_, onnx), (onnx, torch_)):
        begun = painted(first, sample(recipe), *after(3, Wish.STOP))[-1]
        last = painted(second, sample(recipe, resume=saved_and_loaded(begun.checkpoint)))[-1]
        assert isinstance(last, Stage) and isinstance(whole, Stage)
        assert np.abs(last.picture - whole.picture).max() < 0.05


@pytest.mark.usefixtures("small_network")
def test_losses_are_measured_in_fp32() -> None:
    coarse = TorchAutograd({**CPU, "precision": "bf16"})
    measured = coarse.measure(sample())
    assert measured == exact(TorchAutograd).measure(sample())
    first, *_ = painted(coarse, sample())
    assert first.losses != measured
    assert first.losses.total == pytest.approx(measured.total, rel=0.02)


@BACKENDS
@pytest.mark.usefixtures("small_network")
def test_the_network_is_loaded_once(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    painted(exact(make), sample())
    monkeypatch.setattr(store, "load", None)
    painted(exact(make), sample())


@BACKENDS
@pytest.mark.usefixtures("small_network")
def test_the_same_weights_with_another_mean_are_another_network(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *_ = painted(exact(make), sample())
    other = replace(weights.locate(), mean=(1.0, 2.0, 3.0))
    monkeypatch.setattr(weights, "locate", lambda *_: other)
    second, *_ = painted(exact(make), sample())
    assert first.losses != second.losses


@BACKENDS
def test_recipe_for_vgg16_takes_the_first_that_is_installed_or_says_that_it_has_vgg19(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Named weights win. Unreadable weights are an error: an earlier attempt may have used them."""
    narrow(monkeypatch)
    for folder in ("XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(folder, str(tmp_path))

    def used(options: Mapping[str, object], task: Task) -> tuple[object, object, int]:
        about = make({**CPU, **options}).provenance(task)
        return about.weights["name"], about.weights["architecture"], len(about.warnings)

    asks, plain = sample({"objective.network.architecture": "vgg16"}), sample()
    (warning,) = make(CPU).provenance(asks).warnings
    assert "VGG16, and the weights 'bundled' are a VGG19; `stylewatch weights fetch" in warning
    assert used({}, asks) == ("bundled", "vgg19", 1)
    for name, arrays in {"a19": ARRAYS, "own": as_vgg16(ARRAYS), "b16": as_vgg16(ARRAYS)}.items():
        import_file(save_torch(tmp_path / f"{name}.pth", arrays))
    assert used({}, asks) == ("b16", "vgg16", 0)
    assert used({}, plain) == ("bundled", "vgg19", 0)
    for task in (asks, plain):
        assert used({"weights": "own"}, task) == ("own", "vgg16", 0)
        assert used({"weights": "a19"}, task) == ("a19", "vgg19", task is asks)
    assert used({"weights": "bundled"}, asks) == ("bundled", "vgg19", 1)
    assert make(CPU).provenance(asks).decided["weights"] == "b16"
    weights.own_path("b16").write_bytes(b"")
    with pytest.raises(WeightsError, match=r"b16\.safetensors is damaged"):
        make(CPU).provenance(asks)


@BACKENDS
@pytest.mark.usefixtures("small_network")
def test_a_checkpoint_of_another_network_is_refused(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint of an earlier version does not name its network, and is accepted."""
    first, *_ = painted(exact(make), sample(), Wish.CHECKPOINT)
    saved = saved_and_loaded(first.checkpoint)
    *_, last = painted(exact(make), sample(resume=saved))
    other = replace(weights.locate(), sha256="0" * 64)
    monkeypatch.setattr(weights, "locate", lambda *_: other)
    with pytest.raises(CheckpointError, match="painted with other weights"):
        painted(exact(make), sample(resume=saved))
    earlier = {name: array for name, array in saved.items() if name != "network"}
    assert painted(exact(make), sample(resume=earlier))[-1].step == last.step


def everything() -> Task:
    """A task with every setting, from 48x36 pixels to 96x72, which are four tiles of 48."""
    fields = {
        "size": "96", "preview": "48", "upscale_steps": 2, "steps": 2, "ema_decay": 0.5,
        "objective.network": {"padding": "reflect", "pool_edge": "ceil"},
        "objective.style": {"gram": "moments", "loss": "wasserstein", "several": "grams"},
        "objective.tv": {"loss": "nine_point", "weight": 0.1},
        "optimizer": OPTIMIZERS["lbfgs-fourier"], "carry_moments": False, "save_every": 1,
    }  # fmt: skip
    mask = np.random.default_rng(4).random((9, 12, 2)).astype(np.float32)
    mask[:4, :, 0] = mask[5:, :, 1] = 0
    styles = (Style(picture(56, 60, seed=1), mask=mask), Style(picture(48, 40, seed=2), "style-2"))
    content = picture(96, 72)
    return sample(fields, content=content, styles=styles, content_mask=mask)


@BACKENDS
@pytest.mark.usefixtures("small_network")
def test_tiles_with_every_setting_give_the_same_picture_and_resume(make: Make) -> None:
    """The picture is almost the same as in one piece; after a checkpoint it has the same bytes."""
    task, backend = everything(), exact(make, tile=48)
    tiles = painted(backend, task, *[Wish.CHECKPOINT] * 4)
    for step, tiled in zip(painted(exact(make), task), tiles, strict=True):
        assert tiled.losses.total == pytest.approx(step.losses.total, rel=1e-4)
        assert isinstance(step, Stage) and isinstance(tiled, Stage)
        assert np.abs(step.picture - tiled.picture).max() < 0.05
    for step in tiles[:-1]:
        rest = painted(backend, replace(task, resume=saved_and_loaded(step.checkpoint)))
        assert stages(rest) == stages(tiles[step.step :])


@BACKENDS
@pytest.mark.usefixtures("small_network")
def test_impossible_limit_is_reported_and_a_painting_begins_with_its_first_step(make: Make) -> None:
    backend, task = exact(make, memory=1000), sample()
    steps = backend.paint(task, go_on)
    for ask in (backend.provenance, backend.estimate, backend.measure, lambda _: next(iter(steps))):
        with pytest.raises(PictureError, match=r"limits\.memory allows 1e-06 GB"):
            ask(task)


@pytest.mark.usefixtures("small_network")
def test_a_limit_of_memory_gets_a_network_that_keeps_no_packed_filters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It gets such a network right after a job without a limit, too."""
    load = Mock(wraps=torch_autograd.load_network)
    monkeypatch.setattr(torch_autograd, "load_network", load)
    networks = []
    for options in ({}, {"memory": 10**12}, {"memory": 10**12}):
        load.reset_mock()
        painted(exact(TorchAutograd, **options), sample())
        networks.append({each.args[-2].keep_packed for each in load.call_args_list})
    assert networks == [{True}, {False}, {False}]


# A block of 30 MB makes glibc keep such blocks; the next ones, freed below a smaller block, stay.
# A cycle is freed by the collector only; the last small block pins all below it.
FREED = """
import gc

from stylewatch_painter import process_memory as memory

memory.give_back_large_blocks()
bytearray(30_000_000)
before = memory.resident()
blocks, pins = [bytearray(b"x") * 20_000_000 for _ in range(3)], []
pins.append(bytearray(200_000))
del blocks
print(memory.resident() - before)
circle, pin = [[bytearray(b"x") * 100_000 for _ in range(600)]], bytearray(b"x") * 100_000
circle.append(circle)
before = memory.resident()
del circle
gc.collect()
memory.trim_heap()
print(before - memory.resident())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc has these settings")
def test_freed_memory_is_returned_to_the_system() -> None:
    command = [sys.executable, "-c", FREED]
    ended = subprocess.run(command, check=True, capture_output=True, text=True)
    kept_of_large, returned_of_small = map(int, ended.stdout.split())
    assert kept_of_large < 5_000_000 and returned_of_small > 50_000_000
