"""Backends keep to memory, decide once, and choose the same again."""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from stylewatch_painter.algorithm import forecast
from stylewatch_painter.algorithm.forecast import needed
from stylewatch_painter.algorithm.task import AMPLE, Room, Style, Task
from stylewatch_painter.errors import PictureError
from stylewatch_painter.stage import Stage, Wish, go_on
from stylewatch_plugins.contract import Backend, BackendOptionError
from stylewatch_plugins.onnx_vgg import OnnxVgg
from stylewatch_plugins.testing import BackendConformance
from stylewatch_plugins.testing.tasks import OPTIMIZERS, kept, painted, picture, sample, stages
from stylewatch_plugins.torch_autograd import TorchAutograd
from stylewatch_plugins.vgg_backend import TaskRooms, VggOptions

CPU = torch.device("cpu")
EXACT = {"device": "cpu", "precision": "fp32"}
TILES = {"tile": 16, "history": 4}


@pytest.mark.usefixtures("small_network")
class TestTorchInTiles(BackendConformance):
    """The conformance suite: a painting in tiles keeps every promise, too."""

    def make(self, options: Mapping[str, object]) -> Backend:
        return TorchAutograd({**EXACT, **TILES, **options})


@pytest.mark.usefixtures("small_network")
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
@pytest.mark.usefixtures("small_network")
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
@pytest.mark.usefixtures("small_network")
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
        decided = TaskRooms(VggOptions.model_validate(said), CPU, 4).decided(task)
        again = TaskRooms(VggOptions.model_validate(decided), CPU, 4)
        assert again.decided(task) == decided
        assert {key: decided[key] for key in said} == said


def test_a_task_is_fitted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def room(*asked: object) -> Room:
        seen.append(asked)
        return AMPLE

    monkeypatch.setattr(forecast, "room", room)
    fitted, task = TaskRooms(VggOptions(), CPU, 4), sample()
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


@pytest.mark.usefixtures("small_network")
def test_tasks_that_must_save_memory_run_by_themselves_after_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every step is that of its own task: here the first and the third need tiles."""
    whole = forecast.room

    def room(task: Task, *asked: Any) -> Room:
        return Room(tile=16) if task.seed in (1, 3) else whole(task, *asked)

    monkeypatch.setattr(forecast, "room", room)
    recipe = {"steps": 1, "save_every": 1, "scales": [], "start": "noise", "noise_scale": 30}
    tasks = [sample(recipe, seed=seed) for seed in (1, 2, 3, 4)]
    backend = TorchAutograd(EXACT)
    items = list(backend.paint_many(tasks, [go_on] * 4))
    assert [number for number, _ in items] == [1, 3, 0, 2]
    for number, stage in items:
        assert isinstance(stage, Stage)
        (alone,) = painted(backend, tasks[number])
        assert isinstance(alone, Stage)
        assert np.abs(stage.picture - alone.picture).max() < 0.5


def test_of_several_tasks_each_ends_with_its_own_error() -> None:
    backend = TorchAutograd({**EXACT, "memory": 1000})
    items = list(backend.paint_many([sample(), sample(seed=2)], [go_on] * 2))
    assert [(number, type(error)) for number, error in items] == [
        (0, PictureError),
        (1, PictureError),
    ]


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
            assert make({"device": "cpu", **said})._rooms._wanted.left == left


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


@pytest.mark.parametrize("said", [{"tile": "all"}, {"tile": 8}, {"history": -1}, {"memory": 0}])
def test_a_wrong_option_is_told_with_its_name(said: Mapping[str, object]) -> None:
    (name,) = said
    for make in (TorchAutograd, OnnxVgg):
        with pytest.raises(BackendOptionError, match=name):
            make(said)


# a block of 30 MB teaches glibc to keep such; the next, freed under a smaller one, would stay
LARGE_BLOCKS = """
import os
from stylewatch_plugins.vgg_backend import give_back_large_blocks

def held():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

give_back_large_blocks()
first = bytearray(30_000_000)
del first
before = held()
blocks = [bytearray(20_000_000) for _ in range(3)]
for block in blocks:
    block[::4096] = b"x" * len(block[::4096])  # pages count once they are touched
pins = [bytearray(200_000) for _ in range(3)]
del block, blocks
print(held() - before)
"""


def run(program: str) -> int:
    command = [sys.executable, "-c", program]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def test_large_blocks_go_back_to_the_system_when_they_are_freed() -> None:
    """Where there is glibc; elsewhere there is nothing to see, and nothing breaks."""
    assert run(LARGE_BLOCKS) < 5_000_000 or sys.platform != "linux"


# small blocks, of which the last one pins all: the C library keeps what is freed below it
SMALL_BLOCKS = """
import os
from stylewatch_plugins.vgg_backend import give_back_freed

def held():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

blocks = [bytearray(b"x") * 100_000 for _ in range(600)]
pin = bytearray(b"x") * 100_000
circle = [blocks]
circle.append(circle)
before = held()
del blocks, circle
give_back_freed()
print(before - held())
"""


def test_what_was_freed_goes_back_when_that_is_asked_for() -> None:
    """Though it lies below what is in use, and though it referred to itself."""
    assert run(SMALL_BLOCKS) > 50_000_000 or sys.platform != "linux"
