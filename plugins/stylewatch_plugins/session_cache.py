"""The graphs that a process painted with last, in ONNX Runtime and ready for its next painting."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch

from stylewatch_painter.algorithm.caches import DiskCache, StyleCache
from stylewatch_plugins import graphs
from stylewatch_plugins.errors import GraphError
from stylewatch_plugins.graph_file import Plan
from stylewatch_plugins.ort_bridge import OrtVgg19, Provider
from stylewatch_plugins.runtime import runtime


@dataclass(frozen=True, eq=False)
class Opened:
    """A network in ONNX Runtime, and what styles look like to it."""

    network: OrtVgg19
    looks: StyleCache


_EXACT = {"precision": "fp32"}

_last: dict[Hashable, Opened] = {}
"""One at most: both graphs take as much memory as the network's weights twice."""


def opened(
    plan: Plan, weights: str, device: torch.device, providers: Sequence[Provider], threads: int
) -> Opened:
    """The graphs of `plan`, from the weights called `weights`; opened if they are not the last.

    Raises BackendMissingError where they cannot be built, GraphError where the runtime cannot
    load what was built.
    """
    key = (plan, device, str(providers), threads)
    if key not in _last:
        _last.clear()  # before the next ones come: there is room for one

        def load(plan: Plan, *, anew: bool = False) -> OrtVgg19:
            exact = None if plan.precision == "fp32" else load(plan.model_copy(update=_EXACT))
            try:
                with graphs.ready(plan, weights, anew=anew) as pair:
                    return OrtVgg19(pair, plan, device, providers, threads, exact)
            except GraphError:  # whole, but of other days: they are made anew
                if anew:
                    raise
                return load(plan, anew=True)

        disk = DiskCache.of(device, "onnxruntime", runtime().__version__, key)
        _last[key] = Opened(load(plan), StyleCache(disk=disk))
    return _last[key]


def forget() -> None:
    """Close the last graphs: all that the runtime holds for them, on a GPU above all, is free."""
    _last.clear()
