"""The checks for GPUs run, and hold, with the processor in the place of the GPU."""

from typing import Any

import pytest
from tests.gpu import __main__ as gpu

from stylewatch_painter.scene.task import Task
from stylewatch_plugins.torch_autograd import TorchAutograd


@pytest.mark.parametrize("checks", [gpu.near_the_processor, gpu.recorded_as_made, gpu.on_again])
def test_checks_hold_on_the_processor(checks: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    large, exact = gpu.task, TorchAutograd({"device": "cpu", "precision": "fp32"})

    def small(name: str, seed: int = 0, **changes: Any) -> Task:
        return large(name, seed, **{"size": "48x37", **changes})

    monkeypatch.setattr(gpu, "task", small)
    monkeypatch.setattr(gpu, "painter", lambda *_: exact)
    found = dict(checks())
    assert found and all(found.values()), found
