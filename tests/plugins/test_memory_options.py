"""Backends keep to memory, decide once, and choose the same again."""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch

from stylewatch_painter.algorithm import forecast
from stylewatch_painter.algorithm.forecast import needed
from stylewatch_painter.algorithm.task import AMPLE, Room, Style, Task
from stylewatch_painter.errors import PictureError
from stylewatch_painter.stage import Stage, Step, Wish, go_on
from stylewatch_plugins.contract import Backend, BackendOptionError
from stylewatch_plugins.memory_options import Fitted, MemoryOptions, by_turns
from stylewatch_plugins.onnx_vgg import OnnxVgg
from stylewatch_plugins.testing import BackendConformance
from stylewatch_plugins.testing.tasks import OPTIMIZERS, kept, painted, picture, sample, stages
from stylewatch_plugins.torch_autograd import TorchAutograd

CPU = torch.device("cpu")
EXACT = {"device": "cpu", "precision": "fp32"}
TILES = {"tile": 16, "history": 4}


class TestTorchInTiles(BackendConformance):
    """The conformance suite: a painting in tiles keeps every promise, too."""

    def make(self, options: Mapping[str, object]) -> Backend:
        return TorchAutograd({**EXACT, **TILES, **options})


class TestOnnxInTiles(BackendConformance):
    """The same in ONNX Runtime."""

    def make(self, options: Mapping[str, object]) -> Backend:
        return OnnxVgg({"device": "cpu", **TILES, **options})


@pytest.mark.parametrize("make", [TorchAutograd, OnnxVgg])
def test_a_painting_in_tiles_is_the_painting(make: type[TorchAutograd | OnnxVgg]) -> None:
    """After few steps; later on rounding tells, as it does with another number of threads."""
    options = {"device": "cpu"} if make is OnnxVgg else EXACT
    task = sample({"steps": 2, "save_every": 2, "scales": []})
    whole, parts = (painted(make({**options, **more}), task) for more in ({}, {"tile": 16}))
    for one, other in zip(whole, parts, strict=True):
        assert other.losses.total == pytest.approx(one.losses.total, rel=1e-4)
    last = [np.frombuffer(one.popitem()[1], np.float32) for one in map(stages, (whole, parts))]
    assert np.abs(last[0] - last[1]).max() < 0.05


def controlled(optimizer: str, **recipe: object) -> Task:
    """Two regions of two styles, a print with borders and held waves, smoothness, an average.

    Painted by 48x36 pixels to 96x72, which are four tiles of 48.
    """
    fields = {
        "size": "96", "preview": "48", "upscale_steps": 1, "steps": 1, "ema_decay": 0.5,
        "objective.network": {"padding": "reflect", "pool_edge": "ceil"},
        "objective.style": {"gram": "moments", "loss": "wasserstein", "several": "grams"},
        "objective.tv": {"loss": "nine_point", "weight": 0.1},
        "optimizer": OPTIMIZERS[optimizer], "carry_moments": optimizer == "adam", "save_every": 1,
    }  # fmt: skip
    mask = np.random.default_rng(4).random((9, 12, 2)).astype(np.float32)
    mask[:4, :, 0] = mask[5:, :, 1] = 0
    styles = (Style(picture(56, 60, seed=1), mask=mask), Style(picture(48, 40, seed=2), "style-2"))
    content = picture(96, 72)
    return sample({**fields, **recipe}, content=content, styles=styles, content_mask=mask)


BACKENDS = pytest.mark.parametrize("make", [TorchAutograd, OnnxVgg])
CONTROLLED = pytest.mark.parametrize("optimizer", ["adam", "lbfgs-fourier"])


def made_by(make: type[TorchAutograd | OnnxVgg], **more: object) -> Backend:
    return make({**({"device": "cpu"} if make is OnnxVgg else EXACT), **more})


@BACKENDS
@CONTROLLED
def test_in_tiles_all_controls_at_once_give_the_painting(
    make: type[TorchAutograd | OnnxVgg], optimizer: str
) -> None:
    task = controlled(optimizer)
    whole, parts = (painted(made_by(make, **more), task) for more in ({}, {"tile": 48}))
    for one, other in zip(whole, parts, strict=True):
        assert other.losses.total == pytest.approx(one.losses.total, rel=1e-4)
        assert isinstance(one, Stage) and isinstance(other, Stage)
        assert np.abs(one.picture - other.picture).max() < 0.05


@BACKENDS
@CONTROLLED
@pytest.mark.parametrize("tile", ["none", 48])
def test_with_all_controls_at_once_it_goes_on_from_every_step_in_the_same_bytes(
    make: type[TorchAutograd | OnnxVgg], optimizer: str, tile: str | int
) -> None:
    task = controlled(optimizer, upscale_steps=2, steps=2)
    backend = made_by(make, tile=tile)
    whole = painted(backend, task, *[Wish.CHECKPOINT] * 4)
    assert len(set(stages(whole).values())) == len(whole) == 4
    for stood in whole[:-1]:
        rest = painted(backend, replace(task, resume=kept(stood.checkpoint)))
        assert stages(rest) == stages(whole[stood.step :])


def test_what_is_decided_are_options_that_decide_the_same() -> None:
    for said in ({}, {"tile": 64}, {"tile": "none", "history": 3}, {"history": "whole"}):
        task = sample()
        decided = Fitted(MemoryOptions.model_validate(said), CPU, 4).decided(task)
        again = Fitted(MemoryOptions.model_validate(decided), CPU, 4)
        assert again.decided(task) == decided
        assert {key: decided[key] for key in said} == said


def test_a_task_is_fitted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def room(*asked: object) -> Room:
        seen.append(asked)
        return AMPLE

    monkeypatch.setattr(forecast, "room", room)
    fitted, task = Fitted(MemoryOptions(), CPU, 4), sample()
    assert fitted.room(task) is fitted.room(task)
    assert len(seen) == 1


def test_an_impossible_limit_is_told_before_anything_is_painted() -> None:
    backend, task = TorchAutograd({**EXACT, "memory": 1000}), sample()
    for ask in (backend.provenance, backend.estimate, backend.measure):
        with pytest.raises(PictureError, match=r"limits\.memory allows 1e-06 GB"):
            ask(task)


def test_what_memory_does_not_suffice_for_is_a_warning() -> None:
    task = sample({"optimizer": {"kind": "lbfgs", "history": 8}})
    (told,) = TorchAutograd({**EXACT, "history": 5}).provenance(task).warnings
    assert "there it remembers 5" in told


def test_those_without_ample_room_are_painted_by_themselves() -> None:
    """Together with others, and each as if it were alone; what goes wrong is its own end."""
    backend = TorchAutograd({**EXACT, "tile": 16})
    tasks = [sample({"steps": 1, "scales": []}, seed=seed) for seed in (1, 2)]
    made = list(backend.paint_many(tasks, [go_on] * 2))
    assert [number for number, _ in made] == [0, 1]
    cramped = TorchAutograd({**EXACT, "memory": 1000})
    ends = list(cramped.paint_many(tasks, [go_on] * 2))
    assert [type(end) for _, end in ends] == [PictureError, PictureError]


@pytest.mark.parametrize(("many", "turns"), [(2, [0, 0, 1, 2, 1, 2]), (3, [0, 1, 2, 0, 1, 2])])
def test_together_they_take_no_more_than_the_limit(
    many: int, turns: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it suffices for two, one of three is painted by itself."""
    monkeypatch.setattr(forecast, "resident", lambda: 0)
    tasks = [sample({"steps": 2, "scales": []}, seed=seed) for seed in range(3)]
    limit = forecast._PROCESS + many * needed(tasks[0], AMPLE, 4)
    backend = TorchAutograd({**EXACT, "memory": limit})
    told = [number for number, _ in backend.paint_many(tasks, [go_on] * 3)]
    assert told == turns


def test_what_earlier_paintings_left_is_told_apart_where_there_is_a_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each backend looks for it when it is made: before the pictures of its task are read."""
    monkeypatch.setattr(forecast, "left", lambda: 123)
    for make in (TorchAutograd, OnnxVgg):
        for said, left in (({"memory": 10**10}, 123), ({}, 0)):
            assert make({"device": "cpu", **said})._fitted._wanted.left == left


PROGRAM = """
import sys
from stylewatch_painter.algorithm import forecast
from stylewatch_plugins.testing.tasks import painted, picture, sample
from stylewatch_plugins.torch_autograd import TorchAutograd

for side in sys.argv[1:]:
    free = []
    tell = forecast._free
    forecast._free = lambda *asked: free.append(tell(*asked)) or free[-1]
    backend = TorchAutograd({"device": "cpu", "precision": "fp32", "memory": 4_000_000_000})
    content = picture(int(side), int(side))
    painted(backend, sample({"size": side, "steps": 1, "scales": []}, content=content))
    forecast._free = tell
print(int(free[0]))
"""


def free_for(*sides: str) -> int:
    """Bytes that there are for the last of these paintings, made by one process in turn."""
    command = [sys.executable, "-c", PROGRAM, *sides]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def test_a_process_that_painted_has_as_much_for_the_next_as_a_fresh_one() -> None:
    assert free_for("128", "64") == pytest.approx(free_for("64"), abs=12_000_000)


def test_those_with_ample_room_are_left_to_others() -> None:
    def paint(*_: object) -> list[Step]:
        raise AssertionError

    fitted = Fitted(MemoryOptions(), CPU, 4)
    assert not list(by_turns([sample()], [go_on], fitted, lambda *asked: iter(paint(*asked))))


@pytest.mark.parametrize("said", [{"tile": "all"}, {"tile": 8}, {"history": -1}, {"memory": 0}])
def test_a_wrong_option_is_told_with_its_name(said: Mapping[str, object]) -> None:
    (name,) = said
    for make in (TorchAutograd, OnnxVgg):
        with pytest.raises(BackendOptionError, match=name):
            make(said)
