"""The registry, with real distributions on the path for one test; the contract; its errors."""

import errno
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tests.plugins.strangers import distribution

from stylewatch_painter import installed
from stylewatch_painter.installation import command, repair_command
from stylewatch_plugins import registry
from stylewatch_plugins.contract import CONTRACT, Capabilities, capabilities, misfit
from stylewatch_plugins.errors import BackendMissingError, ErrorKind, error_kind

WHOLE = """
class Made:
    name, version = "made", "1"
    def __init__(self, options):
        self.options = dict(options)
    def devices(self): return ()
    def problem(self): return None
    def provenance(self, task): ...
    def estimate(self, task): ...
    def measure(self, task): ...
    def paint(self, task, wish): yield
"""

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Put a distribution with one backend on the path until the test ends."""
    before = set(sys.modules)

    def install_(name: str, source: str, package: str = "made-up") -> None:
        distribution(tmp_path / package, package, name, source)
        monkeypatch.syspath_prepend(str(tmp_path / package))

    yield install_
    for module in set(sys.modules) - before:
        if module.endswith("_backend"):
            del sys.modules[module]


def refusal(name: str) -> str:
    """The message for a backend that cannot be loaded: always one line."""
    with pytest.raises(BackendMissingError) as caught:
        registry.load(name, {})
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_requested_backend_alone_is_imported_and_gets_its_options(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The entry points are read once."""
    install("bad", "raise SystemExit(3)", package="bad")
    install("made", WHOLE)
    assert {"bad", "made", "sketch", "torch"} <= set(registry.names())
    registry.load("made", {})
    monkeypatch.setattr(installed, "distributions", None)
    assert vars(registry.load("made", {"device": "here"})) == {"options": {"device": "here"}}
    assert "bad_backend" not in sys.modules


def test_backend_that_was_installed_meanwhile_is_found_and_another_name_gets_a_hint(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path / "some"))
    assert "made" in refusal("made")
    install("made", WHOLE, package="some")
    sys.path.pop(0)  # it is on the path twice now
    assert registry.load("made", {}).__class__.__name__ == "Made"
    message = refusal("maid")
    assert "did you mean 'made'?" in message
    assert "`stylewatch doctor`" in message
    assert f"there are {', '.join(registry.names())};" in refusal("zzzzzzzz")
    install("made", WHOLE, package="other")
    assert registry.names().count("made") == 1
    assert refusal("made").startswith("other and some both bring a backend 'made'")
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(installed, "_checkout", dict)
    assert registry.names() == []
    assert f"{repair_command('stylewatch')} helps" in refusal("torch")


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("raise RuntimeError('first line\\nsecond line')", "RuntimeError: first line;"),
        ("raise SystemExit", "SystemExit;"),
        ("Made = 7", "TypeError"),
        (WHOLE.replace("version", "vers").replace("devices", "dev"), "it lacks version, devices;"),
    ],
)
def test_broken_backend_is_reported_with_a_remedy(install: Install, source: str, why: str) -> None:
    install("made", source)
    message = refusal("made")
    assert message.startswith("backend 'made' of made-up is broken: ")
    assert why in message
    assert f"{repair_command('made-up')} may repair it" in message


def test_a_library_that_a_backend_lacks_is_named_with_the_package_that_needs_it(
    install: Install,
) -> None:
    install("made", "import nothing_of_that_name")
    assert refusal("made") == (
        "the backend 'made' of made-up cannot be used: nothing_of_that_name cannot be loaded "
        f"(No module named 'nothing_of_that_name'): {command('--force-reinstall', 'made-up')}"
    )


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


RuntimeException = type("RuntimeException", (Exception,), {})
"""The base class of ONNX Runtime's errors, which is not a RuntimeError."""

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
