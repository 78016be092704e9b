"""Graphs of a small VGG19 with random filters, and sessions to run them."""

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from tests.painter.networks import narrow
from tests.plugins.small_vgg import ARRAYS

from stylewatch_plugins.graphs import Plan


def arrays(monkeypatch: pytest.MonkeyPatch) -> dict[str, NDArray[np.float32]]:
    """Random weights and biases of a narrow VGG19, which replaces VGG19 until the test ends."""
    narrow(monkeypatch)
    return ARRAYS


def plan(**fields: Any) -> Plan:
    """A plan, by default for two layers and average pools."""
    plain = {"weights": "0" * 64, "mean": (1.0, 2.0, 3.0), "layers": ("conv1_1", "conv2_1")}
    return Plan.model_validate({**plain, "pool": "average", "pool_edge": "floor", **fields})


def run(model: onnx.ModelProto, **inputs: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """All outputs of a graph, by ONNX Runtime with its defaults."""
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, inputs), strict=True))
