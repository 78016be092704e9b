"""The command that adds an optional dependency (extra) to this installation, for error messages."""

import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from shlex import join


def install_command(extra: str) -> str:
    """Return the shell command, in backticks, that adds `extra` to this installation.

    The command uses pip, or uv if the environment has no pip, as in environments created by uv.
    """
    if extra == "onnx" and _has_torch_for_cpu():
        extra = "onnx-cpu"  # `onnx` installs the runtime for CUDA, which is 300 MB larger
    pip = [sys.executable, "-m", "pip", "install"]
    uv = ["uv", "pip", "install", "--python", sys.executable]
    return f"`{join([*(pip if find_spec('pip') else uv), f'stylewatch[{extra}]'])}`"


def _has_torch_for_cpu() -> bool:
    """Return whether the installed build of torch has no CUDA."""
    try:
        return version("torch").endswith("+cpu")
    except PackageNotFoundError:
        return False
