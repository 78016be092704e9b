"""Graphs of a little VGG19, of a few channels by chance, and sessions to run them."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from tests.painter.networks import narrow
from tests.painter.plain_vgg19 import filters

from stylewatch_plugins.graphs import Plan

CHANNELS = (3, 4, 5, 6, 7)
"""What `narrow` leaves of the channels of each block."""

Arrays = dict[str, NDArray[np.float32]]


def arrays(monkeypatch: pytest.MonkeyPatch, seed: int = 0) -> Arrays:
    """Weights and biases by chance; from here on VGG19 is as narrow as they are."""
    narrow(monkeypatch)
    return {name: one.astype(np.float32) for name, one in filters(seed, CHANNELS).items()}


def plan(**fields: Any) -> Plan:
    """A plan, for two layers and average pools where nothing else is said."""
    plain = {"weights": "0" * 64, "mean": (1.0, 2.0, 3.0), "layers": ("conv1_1", "conv2_1")}
    return Plan.model_validate({**plain, "pool": "average", "pool_edge": "floor", **fields})


def run(model: onnx.ModelProto | Path, **inputs: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """All outputs of a graph, by ONNX Runtime as it comes."""
    given = str(model) if isinstance(model, Path) else model.SerializeToString()
    session = onnxruntime.InferenceSession(given, providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_outputs()]
    return dict(zip(names, session.run(None, inputs), strict=True))
