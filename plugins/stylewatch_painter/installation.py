"""The command that adds an extra to this installation, for messages about a missing one."""

import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from shlex import join


def install_command(extra: str) -> str:
    """Return the shell command, in backticks, that adds `extra` to this installation.

    It uses pip, or uv if the environment has no pip, as those that uv makes.
    """
    if extra == "onnx" and _has_torch_for_cpu():
        extra = "onnx-cpu"  # `onnx` brings the runtime for CUDA, which takes 300 MB more
    pip = [sys.executable, "-m", "pip", "install"]
    uv = ["uv", "pip", "install", "--python", sys.executable]
    return f"`{join([*(pip if find_spec('pip') else uv), f'stylewatch[{extra}]'])}`"


def _has_torch_for_cpu() -> bool:
    """True if the installed build of torch is one without CUDA."""
    try:
        return version("torch").endswith("+cpu")
    except PackageNotFoundError:
        return False
