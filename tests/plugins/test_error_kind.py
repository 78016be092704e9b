"""Want of memory and lost devices are known by what libraries call them; nothing else is."""

import errno

import pytest
import torch

from stylewatch_plugins.error_kind import trouble

RuntimeException = type("RuntimeException", (Exception,), {})
"""As ONNX Runtime has it: no RuntimeError."""


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        torch.AcceleratorError("CUDA error: out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes."),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 4 bytes."),
        RuntimeError("could not create a primitive"),
        RuntimeError("could not execute a primitive"),
        RuntimeError("could not create a memory object"),
        RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)"),
        RuntimeException("Failed to allocate memory for requested buffer of size 4"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
    ],
)
def test_want_of_memory_is_known(error: Exception) -> None:
    assert trouble(error) == "memory"


@pytest.mark.parametrize(
    "error",
    [
        torch.AcceleratorError("CUDA error: unspecified launch failure"),
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling cublasSgemm"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR"),
        RuntimeError("No CUDA GPUs are available"),
        RuntimeError("HIP error: unspecified launch failure"),
        RuntimeException("CUDA failure 719: unspecified launch failure"),
    ],
)
def test_a_lost_device_is_known(error: Exception) -> None:
    assert trouble(error) == "device"


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("could not create a primitive descriptor for a convolution"),
        RuntimeError("shapes cannot be multiplied"),
        ValueError("CUDA error: out of memory"),
        KeyError("out of memory"),
        OSError(errno.ENOSPC, "No space left on device"),
    ],
)
def test_anything_else_is_neither(error: Exception) -> None:
    assert trouble(error) is None
