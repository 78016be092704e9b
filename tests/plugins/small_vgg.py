"""VGG19 with a few channels and random filters in place of the trained network, for speed."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.painter.networks import narrow
from tests.painter.plain_vgg19 import filters

from stylewatch_export import graph
from stylewatch_painter.network import store, weights
from stylewatch_painter.network.store import Tensors
from stylewatch_painter.network.weights import WeightsFile
from stylewatch_plugins import graphs, onnx_runtime, torch_autograd
from stylewatch_plugins.graphs import Pair, Plan

ARRAYS = {name: array.astype(np.float32) for name, array in filters(0, (3, 4, 5, 6, 7)).items()}
"""With the channels that `narrow` leaves in each block."""


@contextmanager
def small_vgg(cache: Path) -> Iterator[None]:
    """Make `bundled` the small network, whose graphs are built in this process, into `cache`."""
    file = replace(weights.locate(), sha256="5" * 64)

    def load(file: WeightsFile, layers: Collection[str]) -> tuple[object, Tensors]:
        names = [f"{layer}.{part}" for layer in layers for part in ("weight", "bias")]
        return file.mean, {name: ARRAYS[name] for name in names}

    def build(plan: Plan, _: str, folder: Path) -> None:
        pair = Pair.of(folder, plan.stem)
        graph.write(pair.features, graph.features(plan, ARRAYS))
        graph.write(pair.gradient, graph.gradient(plan, ARRAYS))

    with pytest.MonkeyPatch.context() as patch:
        narrow(patch)
        patch.setenv("XDG_CACHE_HOME", str(cache))
        patch.setattr(weights, "locate", lambda *_: file)
        patch.setattr(store, "load", load)
        patch.setattr(graphs, "_build", build)
        patch.setattr(torch_autograd, "_last", {})
        patch.setattr(onnx_runtime, "_open", {})
        yield
