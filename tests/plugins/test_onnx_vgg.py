"""Backend `onnx` keeps the contract, on the CPU and with the bundled weights."""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from unittest.mock import Mock

import numpy as np
import onnxruntime
import pytest
import torch

from stylewatch_painter.algorithm.task import Style, Task
from stylewatch_painter.network import weights
from stylewatch_painter.recipes.book import change, find, names
from stylewatch_painter.stage import Stage, Wish
from stylewatch_plugins import onnx_runtime
from stylewatch_plugins.contract import Backend, BackendMissingError, BackendOptionError
from stylewatch_plugins.onnx_vgg import OnnxVgg
from stylewatch_plugins.testing import BackendConformance
from stylewatch_plugins.testing.tasks import after, kept, painted, picture, sample, stages
from stylewatch_plugins.torch_autograd import TorchAutograd

CPU = {"device": "cpu"}


@pytest.mark.usefixtures("small_network")
class TestOnnxVgg(BackendConformance):
    """The conformance suite."""

    def make(self, options: Mapping[str, object]) -> Backend:
        return OnnxVgg({**CPU, **options})


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"devices": "cpu"}, "did you mean 'device'"),
        ({"device": "mps"}, "device: "),
        ({"threads": 0}, "threads: "),
        ({"providers": ["cpuu"]}, "providers"),
        ({"providers": []}, "providers"),
        ({"missing": "ignore"}, "missing"),
        ({"precision": "bf16"}, "precision"),
    ],
)
def test_a_wrong_option_is_told_with_its_name(options: Mapping[str, object], told: str) -> None:
    with pytest.raises(BackendOptionError, match=told):
        OnnxVgg(options)


@pytest.mark.usefixtures("small_network")
def test_a_painting_begun_on_one_backend_can_be_finished_on_the_other() -> None:
    """Whichever begins; the last picture is as good as the same."""
    small = {"optimizer": {"kind": "adam", "rate": 2.0}}
    torch_, onnx = TorchAutograd({**CPU, "precision": "fp32"}), OnnxVgg(CPU)
    *_, whole = painted(torch_, sample(small))
    for first, second in ((torch_, onnx), (onnx, torch_)):
        *_, begun = painted(first, sample(small), *after(3, Wish.STOP))
        resumed = replace(sample(small), resume=kept(begun.checkpoint))
        *_, last = painted(second, resumed)
        assert isinstance(last, Stage) and isinstance(whole, Stage)
        assert last.step == whole.step
        assert np.abs(last.picture - whole.picture).max() < 0.05


def test_the_receipt_names_runtime_provider_and_network() -> None:
    found = OnnxVgg(CPU).provenance(sample())
    assert (found.name, found.device, found.precision) == ("onnx", "cpu", "fp32")
    assert found.version == onnxruntime.__version__
    assert found.weights == {"name": "bundled", "sha256": weights.locate().sha256, "bits": 8}
    threads = torch.get_num_threads()
    decided = {"device": "cpu", "threads": threads, "providers": "cpu"}
    assert found.decided == {**decided, "tile": "none", "history": "whole"}
    assert not found.warnings


def test_what_was_decided_are_options_that_decide_the_same() -> None:
    decided = OnnxVgg(CPU).provenance(sample()).decided
    assert OnnxVgg(decided).provenance(sample()).decided == decided


def test_a_provider_that_is_not_here_is_named_and_skipped_or_refused() -> None:
    asked = {**CPU, "providers": ["migraphx", "cpu"]}
    skipping = OnnxVgg(asked)
    assert skipping.problem() is None
    (warning,) = skipping.provenance(sample()).warnings
    assert "no provider migraphx here" in warning and "paints with cpu" in warning
    problem = OnnxVgg({**asked, "missing": "refuse"}).problem()
    assert problem is not None and "no provider migraphx here; there are" in problem


def test_without_any_of_its_providers_it_paints_nothing() -> None:
    backend = OnnxVgg({"providers": "migraphx"})
    assert backend.devices() == ()
    with pytest.raises(BackendMissingError, match="no provider migraphx"):
        painted(backend, sample())


@pytest.mark.usefixtures("small_network")
def test_a_provider_that_does_not_start_is_told_or_refused(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As when the wheel has it, and a library of its maker is missing."""
    monkeypatch.setattr("stylewatch_plugins.onnx_runtime.OrtVgg19.providers", [])
    painted(OnnxVgg(CPU), sample())
    assert "could not start its provider cpu" in caplog.text
    with pytest.raises(BackendMissingError, match="could not start its provider cpu"):
        painted(OnnxVgg({**CPU, "providers": "cpu", "missing": "refuse"}), sample())


def test_a_device_that_is_not_there_is_a_problem() -> None:
    problem = OnnxVgg({"device": "cuda:7"}).problem()
    assert problem is not None and "no device cuda:7 here; there are" in problem


def test_weights_that_are_not_there_are_a_problem() -> None:
    assert OnnxVgg({**CPU, "weights": "bundeld"}).problem() == (
        "there are no weights 'bundeld'; did you mean 'bundled'?"
    )


def run(script: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("package", ["onnxruntime", "onnx"])
def test_a_package_that_is_missing_is_a_problem_in_a_sentence(package: str) -> None:
    """Listing goes on, and so does every other backend."""
    script = (
        "import sys, tempfile, os\n"
        "os.environ['XDG_CACHE_HOME'] = tempfile.mkdtemp()\n"
        "from importlib.abc import MetaPathFinder\n"
        "class Gone(MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        f"        if name == {package!r}: raise ModuleNotFoundError(name)\n"
        f"if {package!r} == 'onnx':\n"
        "    import importlib.util as util\n"
        "    found = util.find_spec\n"
        "    util.find_spec = lambda name, *more: None if name == 'onnx' else found(name, *more)\n"
        "else:\n"
        "    sys.meta_path.insert(0, Gone())\n"
        "from stylewatch_plugins.onnx_vgg import OnnxVgg\n"
        "backend = OnnxVgg({'device': 'cpu'})\n"
        "print(backend.problem(), backend.devices())\n"
    )
    ended = run(script)
    assert f"the package {package}" in ended.stdout and "`pip install" in ended.stdout


def test_once_the_graphs_are_there_neither_onnx_nor_the_export_is_imported() -> None:
    painted(OnnxVgg(CPU), sample())
    script = (
        "import sys\n"
        "from stylewatch_plugins.onnx_vgg import OnnxVgg\n"
        "from stylewatch_plugins.testing.tasks import painted, sample\n"
        "painted(OnnxVgg({'device': 'cpu'}), sample())\n"
        "loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "assert 'onnxruntime' in loaded\n"
        "print(loaded & {'onnx', 'stylewatch_export'} or 'neither')\n"
    )
    ended = run(script)
    assert ended.stdout.strip() == "neither", ended.stderr


@pytest.mark.usefixtures("small_network")
def test_of_an_album_the_style_is_looked_at_once_for_each_size() -> None:
    """Upright or not is the same to it; and the paintings are what they were without."""
    small = {"size": 24, "steps": 2, "save_every": 1, "smallest": 1, "scales": []}
    recipe = change(find("best"), {**small, "objective.network.pool_edge": "ceil"})
    style = Style(picture(44, 36, seed=9), digest="the style of an album")
    sizes = [(48, 32), (32, 48), (40, 30)]
    tasks = [Task(recipe, picture(*size, seed=i), (style,)) for i, size in enumerate(sizes)]
    seen = [stages(painted(OnnxVgg(CPU), task)) for task in tasks]
    (kept_,) = onnx_runtime._open.values()
    assert (kept_.looks.computed, kept_.looks.reused) == (2, 1)
    for task, pictures in zip(tasks, seen, strict=True):
        plain = replace(task, styles=(replace(style, digest=None),))
        assert stages(painted(OnnxVgg(CPU), plain)) == pictures


@pytest.mark.usefixtures("small_network")
def test_a_painting_that_fails_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the runtime took of a GPU for it is there for the next try."""
    painted(OnnxVgg(CPU), sample())
    assert onnx_runtime._open
    monkeypatch.setattr(
        "stylewatch_painter.algorithm.paint._paint_level", Mock(side_effect=MemoryError)
    )
    with pytest.raises(MemoryError):
        painted(OnnxVgg(CPU), sample())
    assert not onnx_runtime._open


def test_the_same_command_gives_the_same_bytes_in_every_process() -> None:
    """Deep layers and all, at two sizes and on two threads."""
    script = (
        "import hashlib\n"
        "from stylewatch_painter.recipes.book import change, find\n"
        "from stylewatch_painter.algorithm.task import Style, Task\n"
        "from stylewatch_plugins.onnx_vgg import OnnxVgg\n"
        "from stylewatch_plugins.testing.tasks import painted, picture, stages\n"
        "small = {'size': 40, 'scales': [{'scale': 0.5, 'steps': 2}], 'steps': 2}\n"
        "small |= {'smallest': 1, 'save_every': 1}\n"
        "recipe = change(find('best'), small)\n"
        "task = Task(recipe, picture(40, 33), (Style(picture(44, 44, seed=1)),))\n"
        "seen = stages(painted(OnnxVgg({'device': 'cpu', 'threads': 2}), task))\n"
        "print(len(seen), hashlib.sha256(b''.join(seen.values())).hexdigest())\n"
    )
    command = [sys.executable, "-c", script]
    first, second = (
        subprocess.run(command, check=True, capture_output=True, text=True).stdout for _ in "12"
    )
    assert first.startswith("4 ")
    assert first == second


@pytest.mark.usefixtures("small_network")
def test_half_precision_paints_and_measures_in_full() -> None:
    half, full = OnnxVgg({**CPU, "precision": "fp16"}), OnnxVgg(CPU)
    assert half.provenance(sample()).precision == "fp16"
    assert half.measure(sample()) == full.measure(sample())
    *_, rough = painted(half, sample())
    *_, fine = painted(full, sample())
    assert rough.losses.total == pytest.approx(fine.losses.total, rel=0.02)
    assert rough.losses.total != fine.losses.total
    told = sample({"save_every": 1})
    assert painted(half, told)[0].losses == painted(full, told)[0].losses


@pytest.mark.parametrize("name", names())
@pytest.mark.usefixtures("small_network")
def test_forty_steps_of_adam_end_in_the_same_picture(name: str) -> None:
    """For every recipe's losses and pools: above 40 dB of one another, on odd sides.

    From the content: of a start in plain gray, as `neural-style` has it, the last bit decides.
    """
    moves = {"start": "content", "optimizer": {"kind": "adam", "rate": 2.0}, "ema_decay": 0}
    small = {"size": "19x17", "fit": "stretch", "enlarge": True, "smallest": 1, "scales": []}
    recipe = change(find(name), {**small, **moves, "steps": 40, "save_every": 40})
    task = Task(recipe, picture(19, 17), (Style(picture(33, 31, seed=1)),))
    both = TorchAutograd({**CPU, "precision": "fp32"}), OnnxVgg(CPU)
    last = [painted(backend, task)[-1] for backend in both]
    one, two = (step.picture for step in last if isinstance(step, Stage))
    assert np.abs(one - picture(19, 17)).mean() > 5
    assert 20 * np.log10(255 / np.sqrt(np.square(one - two).mean())) > 40
