"""Operations that a CUDA graph cannot capture, found on the CPU."""

from collections.abc import Mapping
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode


class HostTraffic(TorchDispatchMode):
    """Mode that records the operations that a CUDA graph forbids: `float(x)`, `tensor(3)`."""

    FORBIDDEN = ("aten._local_scalar_dense.default", "aten.lift_fresh.default")

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> object:
        """Run an operation, and record its name if a CUDA graph forbids it."""
        if str(func) in self.FORBIDDEN:
            self.seen.append(str(func))
        return func(*args, **(kwargs or {}))
