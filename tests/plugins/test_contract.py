"""The contract: capabilities, its version, and the errors that no setting of a job can cause."""

import errno
from types import SimpleNamespace

import pytest
import torch

from stylewatch_plugins import contract, errors
from stylewatch_plugins.contract import CONTRACT, Backend, Capabilities, capabilities, misfit
from stylewatch_plugins.errors import ErrorKind, error_kind
from stylewatch_plugins.sketch import Sketch

RuntimeException = type("RuntimeException", (Exception,), {})
"""The base class of ONNX Runtime's errors, which is not a RuntimeError."""


def test_everything_that_a_backend_needs_is_exported() -> None:
    own = {name for name in vars(errors) if name.endswith("Error")}
    assert {"Backend", "Task", "Style", "Step", "Stage", "Wish", *own} <= set(contract.__all__)
    assert all(hasattr(contract, name) for name in contract.__all__)
    assert isinstance(Sketch({}), Backend) and not isinstance(object(), Backend)


def test_capabilities_and_version_are_optional_and_checked() -> None:
    assert capabilities(object()) == Capabilities(masks=False, resume=True, deterministic=True)
    assert misfit(object()) is None
    declared = SimpleNamespace(capabilities=Capabilities(masks=True, resume=False), contract=1)
    assert capabilities(declared).words == ("masks", "deterministic")
    assert misfit(declared) is None
    assert "{'masks': True}" in str(misfit(SimpleNamespace(capabilities={"masks": True})))
    for version in (CONTRACT + 1, 0, "1", True, None):
        reason = misfit(SimpleNamespace(contract=version))
        assert reason == (
            f"it has version {version} of the contract, and this stylewatch version 1"
        )


MEMORY = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB."),
    torch.AcceleratorError("CUDA error: out of memory"),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: 4 bytes."),
    RuntimeError("DefaultCPUAllocator: not enough memory: 4 bytes."),
    RuntimeError("could not create a primitive"),
    RuntimeError("could not create a memory object"),
    RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED in cublasCreate"),
    RuntimeException("Failed to allocate memory for a buffer of size 4"),
    OSError(errno.ENOMEM, "Cannot allocate memory"),
]
DEVICE = [
    torch.AcceleratorError("CUDA error: unspecified launch failure"),
    RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED"),
    RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR"),
    RuntimeError("No CUDA GPUs are available"),
    RuntimeError("HIP error: unspecified launch failure"),
    RuntimeException("CUDA failure 719: unspecified launch failure"),
]
OTHER = [
    RuntimeError("could not create a primitive descriptor for a convolution"),
    RuntimeError("shapes cannot be multiplied"),
    ValueError("CUDA error: out of memory"),
    OSError(errno.ENOSPC, "No space left on device"),
]


@pytest.mark.parametrize(
    ("errors_", "kind"), [(MEMORY, ErrorKind.MEMORY), (DEVICE, ErrorKind.DEVICE), (OTHER, None)]
)
def test_lack_of_memory_and_lost_device_are_recognized(
    errors_: list[Exception], kind: ErrorKind | None
) -> None:
    assert [error for error in errors_ if error_kind(error) is not kind] == []
