"""The contract: frozen records, a documented protocol, capabilities, and one tree of errors."""

import errno
import inspect
from dataclasses import is_dataclass
from types import SimpleNamespace

import pytest
import torch

from stylewatch_plugins import contract, errors
from stylewatch_plugins.contract import (
    CONTRACT,
    Backend,
    Capabilities,
    Estimate,
    Provenance,
    capabilities,
    misfit,
)
from stylewatch_plugins.errors import ErrorKind, error_kind
from stylewatch_plugins.sketch import Sketch

RuntimeException = type("RuntimeException", (Exception,), {})
"""The base class of ONNX Runtime's errors, which is not a RuntimeError."""


def test_all_that_a_backend_needs_is_exported() -> None:
    assert all(hasattr(contract, name) for name in contract.__all__)
    own = {name for name in vars(errors) if name.endswith("Error")}
    assert {"Backend", "Task", "Style", "Step", "Stage", "Wish", *own} <= set(contract.__all__)
    assert all(getattr(contract, name) is getattr(errors, name) for name in own)
    assert issubclass(errors.BackendOptionError, ValueError)


@pytest.mark.parametrize("name", ["Device", "Estimate", "Provenance", "Task", "Style", "Stage"])
def test_a_record_is_frozen(name: str) -> None:
    record = getattr(contract, name)
    assert is_dataclass(record)
    assert vars(record)["__dataclass_params__"].frozen


def test_optional_fields_are_empty_by_default() -> None:
    estimate, provenance = Estimate(((4, 3),), (5,)), Provenance("a", "1", "cpu", "fp32")
    assert (estimate.seconds, estimate.memory) == (None, None)
    assert (provenance.weights, provenance.decided, provenance.warnings) == ({}, {}, ())


def test_a_backend_has_all_members_and_each_is_documented() -> None:
    assert isinstance(Sketch({}), Backend)
    assert not isinstance(object(), Backend)
    members = [name for name in vars(Backend) if not name.startswith("_")]
    assert all(inspect.getdoc(getattr(Backend, member)) for member in members)


def test_capabilities_default_to_those_of_most_backends() -> None:
    assert capabilities(object()) == Capabilities(masks=False, resume=True, deterministic=True)
    assert misfit(object()) is None
    declared = SimpleNamespace(capabilities=Capabilities(masks=True, resume=False), contract=1)
    assert capabilities(declared).words == ("masks", "deterministic")
    assert misfit(declared) is None


@pytest.mark.parametrize("version", [CONTRACT + 1, 0, "1", True, 1.0, None])
def test_another_version_of_the_contract_does_not_fit(version: object) -> None:
    reason = misfit(SimpleNamespace(contract=version))
    assert reason == f"it keeps version {version} of the contract, and this stylewatch version 1"


def test_capabilities_of_another_type_do_not_fit() -> None:
    backend = SimpleNamespace(capabilities={"masks": True})
    assert "{'masks': True}" in str(misfit(backend))
    assert capabilities(backend) == Capabilities()


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (MemoryError(), ErrorKind.MEMORY),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB."), ErrorKind.MEMORY),
        (torch.AcceleratorError("CUDA error: out of memory"), ErrorKind.MEMORY),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: 4 bytes."), ErrorKind.MEMORY),
        (RuntimeError("DefaultCPUAllocator: not enough memory: 4 bytes."), ErrorKind.MEMORY),
        (RuntimeError("could not create a primitive"), ErrorKind.MEMORY),
        (RuntimeError("could not execute a primitive"), ErrorKind.MEMORY),
        (RuntimeError("could not create a memory object"), ErrorKind.MEMORY),
        (RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"), ErrorKind.MEMORY),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED in cublasCreate"), ErrorKind.MEMORY),
        (RuntimeException("Failed to allocate memory for a buffer of size 4"), ErrorKind.MEMORY),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), ErrorKind.MEMORY),
        (torch.AcceleratorError("CUDA error: unspecified launch failure"), ErrorKind.DEVICE),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), ErrorKind.DEVICE),
        (RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED"), ErrorKind.DEVICE),
        (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR"), ErrorKind.DEVICE),
        (RuntimeError("No CUDA GPUs are available"), ErrorKind.DEVICE),
        (RuntimeError("HIP error: unspecified launch failure"), ErrorKind.DEVICE),
        (RuntimeException("CUDA failure 719: unspecified launch failure"), ErrorKind.DEVICE),
        (RuntimeError("could not create a primitive descriptor for a convolution"), None),
        (RuntimeError("shapes cannot be multiplied"), None),
        (ValueError("CUDA error: out of memory"), None),
        (KeyError("out of memory"), None),
        (OSError(errno.ENOSPC, "No space left on device"), None),
    ],
    ids=str,
)
def test_a_lack_of_memory_and_a_lost_device_are_recognized(
    error: Exception, kind: ErrorKind | None
) -> None:
    assert error_kind(error) is kind
