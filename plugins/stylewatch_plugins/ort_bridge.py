"""VGG19 as ONNX Runtime runs it: a feature graph and a gradient graph, joined to torch.

Nothing is copied between the two: the runtime reads torch's memory and writes into it.
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stylewatch_painter.algorithm.scales import pools_before
from stylewatch_painter.network.vgg19 import Mean
from stylewatch_painter.recipes.recipe import LAYERS, LayerName, Network
from stylewatch_plugins.errors import GraphError
from stylewatch_plugins.graph_file import MANIFEST, Pair, Part, Plan
from stylewatch_plugins.malloc import give_back_large_blocks
from stylewatch_plugins.runtime import runtime

_TYPES = {
    "tensor(float)": (torch.float32, np.float32),
    "tensor(bool)": (torch.bool, np.bool_),
    "tensor(int64)": (torch.int64, np.int64),
}

Provider = tuple[str, dict[str, str]]
"""An execution provider by ONNX Runtime's name, and its options."""


class OrtVgg19:
    """The feature maps of pictures in network units, without a kernel of torch's.

    Differentiable once with respect to the picture. It gives the layers of `plan` only. `exact`
    is the same network in float32, where this one is not. Raises GraphError where a file is not
    what `plan` says.
    """

    def __init__(
        self,
        pair: Pair,
        plan: Plan,
        device: torch.device,
        providers: Sequence[Provider],
        threads: int,
        exact: "OrtVgg19 | None" = None,
    ) -> None:
        self.mean: Mean = plan.mean
        self.exact = self if exact is None else exact
        self.device = device
        self._plan = plan
        # measured for a step of 640x480: a fifth less memory for a twentieth of the time
        give_back_large_blocks()
        self._features = Session(pair.features, providers, threads)
        self._gradient = Session(pair.gradient, providers, threads)
        self._features.check(plan, "features")
        self._gradient.check(plan, "gradient")
        passed_on = [*self._features.outputs, *(f"{layer}.gradient" for layer in plan.layers)]
        if {*plan.layers} - {*passed_on} or {*passed_on} != {*self._gradient.inputs}:
            raise GraphError(
                f"{pair.gradient} does not take what {pair.features} gives; "
                "`stylewatch-export build` makes two that fit"
            )

    @property
    def providers(self) -> list[str]:
        """What ONNX Runtime runs on, as it found once the graphs were loaded."""
        return self._features.providers

    def __call__(
        self, x: Tensor, layers: Collection[LayerName], network: Network
    ) -> dict[LayerName, Tensor]:
        """Features after ReLU, (1, N, height, width) each, of x (1, 3, height, width).

        Raises GraphError for layers or pools that the graphs were not made for.
        """
        plan = self._plan
        if not {*layers} <= {*plan.layers} or (network.pool, network.pool_edge) != (
            plan.pool,
            plan.pool_edge,
        ):
            raise GraphError(
                f"the graphs at hand give {', '.join(plan.layers)} with {plan.pool} pools "
                f"({plan.pool_edge}), and something else is asked for; a network is for one recipe"
            )
        found: tuple[Tensor, ...] = _Joined.apply(x, self)
        return {
            layer: maps for layer, maps in zip(plan.layers, found, strict=True) if layer in layers
        }

    def forward(self, x: Tensor, *, keep: bool) -> tuple[tuple[Tensor, ...], dict[str, Tensor]]:
        """The features of x, and where there will be a way back (`keep`), what that needs."""
        outputs = self._features.outputs
        wanted = [name for name in outputs if keep or name in self._plan.layers]
        made = {name: self._empty(name, x) for name in wanted}
        self._features.run({"picture": x}, made)
        return tuple(made.pop(layer) for layer in self._plan.layers), made

    def backward(self, inputs: Mapping[str, Tensor], like: Tensor) -> Tensor:
        """The picture's gradient, of the shape of `like`."""
        gradient = torch.empty_like(like, memory_format=torch.contiguous_format)
        self._gradient.run(inputs, {"picture.gradient": gradient})
        return gradient

    def inputs_back(
        self, features: Sequence[Tensor], gradients: Sequence[Tensor]
    ) -> dict[str, Tensor]:
        """The features and their gradients by the names of the gradient graph's inputs."""
        plan = self._plan
        named: dict[str, Tensor] = dict(zip(plan.layers, features, strict=True))
        for layer, gradient in zip(plan.layers, gradients, strict=True):
            named[f"{layer}.gradient"] = gradient
        return named

    def _empty(self, name: str, x: Tensor) -> Tensor:
        """Room for the output `name` of the feature graph, for a picture x."""
        layer = next(layer for layer in LAYERS if name.partition(".")[0] == layer)
        halvings = pools_before(layer) + name.endswith(".places")
        return self._features.room(name, [self._side(side, halvings) for side in x.shape[-2:]], x)

    def _side(self, side: int, halvings: int) -> int:
        for _ in range(halvings):
            side = (side + (self._plan.pool_edge == "ceil")) // 2
        return side


class Session:
    """A graph in ONNX Runtime, its inputs and outputs in torch's memory."""

    def __init__(self, path: Path, providers: Sequence[Provider], threads: int) -> None:
        options = runtime().SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.use_deterministic_compute = True
        options.log_severity_level = 3
        # the runtime's own store of memory grows by doubling, and never gives anything back
        options.enable_cpu_mem_arena = False
        # between two runs the cores belong to torch
        options.add_session_config_entry("session.force_spinning_stop", "1")
        self._path = path
        try:
            self._session = runtime().InferenceSession(path, options, providers=list(providers))
        except Exception as error:  # the runtime's errors have no root of their own
            brief = str(error).strip().partition("\n")[0]
            raise GraphError(f"ONNX Runtime cannot load {path}: {brief}") from error
        self._types = {one.name: one for one in self._session.get_outputs()}

    @property
    def outputs(self) -> list[str]:
        """The names of the outputs, in the graph's order."""
        return list(self._types)

    @property
    def inputs(self) -> list[str]:
        """The names of the inputs, in the graph's order."""
        return [one.name for one in self._session.get_inputs()]

    @property
    def providers(self) -> list[str]:
        """What it runs on."""
        return list(self._session.get_providers())

    def check(self, plan: Plan, part: Part) -> None:
        """Raise GraphError where the graph is not this part of `plan`."""
        said = self._session.get_modelmeta().custom_metadata_map
        plan.check(self._path, part, said.get(MANIFEST, ""))

    def room(self, name: str, size: Sequence[int], near: Tensor) -> Tensor:
        """An empty tensor for the output `name`, (1, N, *size), where `near` is."""
        about = self._types[name]
        return torch.empty(
            (1, about.shape[1], *size), dtype=_TYPES[about.type][0], device=near.device
        )

    def run(self, inputs: Mapping[str, Tensor], outputs: Mapping[str, Tensor]) -> None:
        """Compute `outputs` from `inputs`, in place."""
        binding = self._session.io_binding()
        solid = {name: tensor.contiguous() for name, tensor in inputs.items()}
        for name, tensor in solid.items():
            binding.bind_input(name, *_place(tensor))
        for name, tensor in outputs.items():
            binding.bind_output(name, *_place(tensor))
        if any(tensor.is_cuda for tensor in solid.values()):
            torch.cuda.current_stream().synchronize()  # the runtime works on a stream of its own
        self._session.run_with_iobinding(binding)


def _place(tensor: Tensor) -> tuple[Any, ...]:
    """Where a tensor lies, as the runtime asks: device, its number, type, shape, address."""
    kind = next(numpy for torch_, numpy in _TYPES.values() if torch_ == tensor.dtype)
    device = tensor.device
    return device.type, device.index or 0, kind, list(tensor.shape), tensor.data_ptr()


class _Joined(torch.autograd.Function):
    """Both graphs as one function that torch can differentiate."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, vgg: OrtVgg19) -> tuple[Tensor, ...]:
        """The features of all layers; what the way back needs, only if there will be one."""
        keep = ctx.needs_input_grad[0]
        found, ctx.state = vgg.forward(x, keep=keep)
        if keep:
            ctx.save_for_backward(x, *found)
        ctx.vgg = vgg
        return found

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """From the gradients of the features to that of the picture."""
        x, *features = ctx.saved_tensors
        state, ctx.state = ctx.state, {}
        inputs = {**ctx.vgg.inputs_back(features, gradients), **state}
        return ctx.vgg.backward(inputs, x), None
