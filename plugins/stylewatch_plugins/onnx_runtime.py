"""VGG in ONNX Runtime as a feature graph and a gradient graph, joined to torch's autograd.

Nothing is copied between the two libraries: the runtime reads from torch's memory and writes into
it.
"""

import os
from collections.abc import Collection, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stylewatch_painter.network.network_bytes import NetworkBytes
from stylewatch_painter.network.settings import NetworkSettings
from stylewatch_painter.network.vgg19 import Mean
from stylewatch_painter.process_memory import give_back_large_blocks
from stylewatch_painter.validation import first_line
from stylewatch_painter.vgg import (
    LAYERS,
    LayerName,
    layers_up_to,
    pooled_side,
    pools_before,
    values_per_pixel,
    with_pools,
)
from stylewatch_plugins import graphs
from stylewatch_plugins.errors import GraphError
from stylewatch_plugins.graphs import MANIFEST, Pair, Part, Plan

_FLOAT = 4  # bytes of a feature
_INDEX = 8  # bytes of the position of a maximum
_TYPES = {
    "tensor(float)": (torch.float32, np.float32),
    "tensor(bool)": (torch.bool, np.bool_),
    "tensor(int64)": (torch.int64, np.int64),
}
_NUMPY_TYPES = dict(_TYPES.values())

Provider = tuple[str, dict[str, str]]
"""An execution provider by ONNX Runtime's name, and its options."""


def runtime() -> Any:
    """Import onnxruntime with telemetry off, and return the module.

    Raises ImportError if it is not installed. From version 1.29 on, the wheels for Linux report
    about the machine and models to Microsoft, and keep a journal in the user's cache folder, unless
    ORT_DISABLE_TELEMETRY is set before the first import.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime


class OrtVgg19:
    """VGG16 or VGG19 in ONNX Runtime, which computes feature maps of pictures in network units.

    The maps are those of the layers of `plan`. They are differentiable once with respect to the
    picture. Raises GraphError if the runtime cannot load a file of `pair`, or if a file does not
    match `plan` or the other file.
    """

    rereads_maps = True

    def __init__(
        self,
        pair: Pair,
        plan: Plan,
        device: torch.device,
        providers: Sequence[Provider],
        threads: int,
    ) -> None:
        self.mean: Mean = plan.mean
        self.device = device
        self._plan = plan
        # measured for a step at 640x480: 20 % less memory, 5 % more time
        give_back_large_blocks()
        self._features = Session(pair.features, plan, "features", providers, threads)
        self._gradient = Session(pair.gradient, plan, "gradient", providers, threads)
        self.providers = self._features.providers
        passed_on = {*self._features.outputs, *(f"{layer}.gradient" for layer in plan.layers)}
        if {*plan.layers} - passed_on or passed_on != {*self._gradient.inputs}:
            raise GraphError(
                f"{pair.gradient} does not take what {pair.features} gives; "
                "`stylewatch-export build` makes two that fit"
            )

    @property
    def exact(self) -> "OrtVgg19":
        """The network itself: its maps are in float32."""
        return self

    def __call__(
        self, x: Tensor, layers: Collection[LayerName], network: NetworkSettings
    ) -> dict[LayerName, Tensor]:
        """Compute features after ReLU, (1, N, rows, columns) by layer, of x (1, 3, height, width).

        Raises GraphError for layers or pools that the graphs were not built for.
        """
        plan = self._plan
        if not {*layers} <= {*plan.layers} or (network.pool, network.pool_edge) != (
            plan.pool,
            plan.pool_edge,
        ):
            raise GraphError(
                f"the graphs give {', '.join(plan.layers)} with {plan.pool} pools "
                f"({plan.pool_edge}), which is not what was requested; a network is for one recipe"
            )
        features: tuple[Tensor, ...] = _VggFunction.apply(x, self)
        named = zip(plan.layers, features, strict=True)
        return {layer: maps for layer, maps in named if layer in layers}

    def bytes_per_pixel(self, layers: Collection[LayerName]) -> NetworkBytes:
        """Return the maximum number of bytes that an evaluation takes for each pixel.

        The graphs compute all layers of the plan, also those that are not in `layers`. For the
        backward pass they hold the positions of maxima, and flags for the layers between those of
        the plan.
        """
        held = largest = 0.0
        for layer, pools in with_pools(layers_up_to(self._plan.layers)):
            values = values_per_pixel(layer)
            if layer not in self._plan.layers:
                held += values  # a flag of a byte for each
            elif layer not in layers:
                held += values * _FLOAT
            if pools:
                held += values / 4 * _INDEX
            largest = max(largest, values * _FLOAT)
        return NetworkBytes(_FLOAT, passing=2 * largest, held=held, back=5 * largest)

    def forward(self, x: Tensor, *, keep: bool) -> tuple[tuple[Tensor, ...], dict[str, Tensor]]:
        """Compute the features of x (1, 3, height, width), in the order of the plan, and a state.

        With `keep` the state has the tensors that `backward` needs besides the features, by names
        of outputs. Otherwise it is empty.
        """
        names = [name for name in self._features.outputs if keep or name in self._plan.layers]
        outputs = {name: self._empty(name, x) for name in names}
        self._features.run({"picture": x}, outputs)
        return tuple(outputs.pop(layer) for layer in self._plan.layers), outputs

    def backward(self, inputs: Mapping[str, Tensor], like: Tensor) -> Tensor:
        """Compute the picture's gradient, with the shape of `like`.

        `inputs` has all tensors for the gradient graph by name: the result of `inputs_back`, and
        the state that `forward` returned.
        """
        gradient = torch.empty_like(like, memory_format=torch.contiguous_format)
        self._gradient.run(inputs, {"picture.gradient": gradient})
        return gradient

    def inputs_back(
        self, features: Sequence[Tensor], gradients: Sequence[Tensor]
    ) -> dict[str, Tensor]:
        """Return features and their gradients as inputs of the gradient graph, by name."""
        layers = self._plan.layers
        names = (*layers, *(f"{layer}.gradient" for layer in layers))
        return dict(zip(names, (*features, *gradients), strict=True))

    def _empty(self, name: str, x: Tensor) -> Tensor:
        """Allocate the output `name` of the feature graph for a picture x."""
        stem = name.partition(".")[0]
        (layer,) = (layer for layer in LAYERS if layer == stem)
        keeps_edge = self._plan.pool_edge == "ceil"
        sides = list(x.shape[-2:])
        for _ in range(pools_before(layer) + name.endswith(".places")):
            sides = [pooled_side(side, ceil=keeps_edge) for side in sides]
        return self._features.empty(name, sides, x.device)


class Session:
    """A graph in ONNX Runtime, with inputs and outputs in torch's memory.

    Raises GraphError if the runtime cannot load the file at `path`, or if it is not the given
    `part` of `plan`.
    """

    def __init__(
        self, path: Path, plan: Plan, part: Part, providers: Sequence[Provider], threads: int
    ) -> None:
        options = runtime().SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.use_deterministic_compute = True
        options.log_severity_level = 3
        # the runtime's own arena grows by doubling, and never returns memory
        options.enable_cpu_mem_arena = False
        # torch needs the cores between two runs
        options.add_session_config_entry("session.force_spinning_stop", "1")
        try:
            self._session = runtime().InferenceSession(path, options, providers=list(providers))
        except Exception as error:  # the runtime's errors have no common base class
            reason = first_line(error)
            raise GraphError(f"ONNX Runtime cannot load {path}: {reason}") from error
        metadata = self._session.get_modelmeta().custom_metadata_map
        plan.check(path, part, metadata.get(MANIFEST, ""))
        self._outputs = {output.name: output for output in self._session.get_outputs()}
        self.inputs = [value.name for value in self._session.get_inputs()]
        self.outputs = list(self._outputs)
        self.providers: list[str] = self._session.get_providers()

    def empty(self, name: str, size: Sequence[int], device: torch.device) -> Tensor:
        """Allocate the output `name`, (1, N, *size), on `device`."""
        output = self._outputs[name]
        shape = (1, output.shape[1], *size)
        return torch.empty(shape, dtype=_TYPES[output.type][0], device=device)

    def run(self, inputs: Mapping[str, Tensor], outputs: Mapping[str, Tensor]) -> None:
        """Compute the outputs of the graph from `inputs`, and write them into `outputs`."""
        binding = self._session.io_binding()
        contiguous = {name: tensor.contiguous() for name, tensor in inputs.items()}
        for name, tensor in contiguous.items():
            binding.bind_input(name, *_location(tensor))
        for name, tensor in outputs.items():
            binding.bind_output(name, *_location(tensor))
        if any(tensor.is_cuda for tensor in contiguous.values()):
            torch.cuda.current_stream().synchronize()  # the runtime uses another stream
        self._session.run_with_iobinding(binding)


def _location(tensor: Tensor) -> tuple[Any, ...]:
    """Return a tensor's device, device index, dtype, shape and address, for the runtime."""
    dtype = _NUMPY_TYPES[tensor.dtype]
    device = tensor.device
    return device.type, device.index or 0, dtype, list(tensor.shape), tensor.data_ptr()


class _VggFunction(torch.autograd.Function):
    """Both graphs as one differentiable function of torch."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, vgg: OrtVgg19) -> tuple[Tensor, ...]:
        """Compute the features of all layers; keep state only if a gradient is needed."""
        keep = ctx.needs_input_grad[0]
        features, ctx.state = vgg.forward(x, keep=keep)
        if keep:
            ctx.save_for_backward(x, *features)
        ctx.vgg = vgg
        return features

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Compute the gradient of the picture from the gradients of the features."""
        x, *features = ctx.saved_tensors
        state = ctx.state
        ctx.state = {}
        inputs = {**ctx.vgg.inputs_back(features, gradients), **state}
        return ctx.vgg.backward(inputs, x), None


_open: dict[Hashable, OrtVgg19] = {}
"""The network in use, at most one: both graphs take twice the memory of the network's weights."""


def open_network(
    plan: Plan, weights: str, device: torch.device, providers: Sequence[Provider], threads: int
) -> OrtVgg19:
    """Return the network of `plan`, made of the weights called `weights`; open or build its graphs.

    The last network is reused if it fits, otherwise closed. Graphs that cannot be loaded or do not
    fit are built anew. Raises BackendMissingError if that fails, and GraphError if new graphs
    cannot be loaded either.
    """
    key = (plan, device, str(providers), threads)
    if key not in _open:
        _open.clear()  # first, because there may be memory for only one
        try:
            network = OrtVgg19(graphs.ready(plan, weights), plan, device, providers, threads)
        except GraphError:  # a file is damaged, made for another plan, or was just removed
            pair = graphs.ready(plan, weights, anew=True)
            network = OrtVgg19(pair, plan, device, providers, threads)
        _open[key] = network
    return _open[key]


def close_network() -> None:
    """Close the graphs in use, which frees all memory that the runtime holds for them."""
    _open.clear()
