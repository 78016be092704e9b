"""ONNX Runtime, imported so that it keeps to itself what it is used for."""

import os
from typing import Any


def runtime() -> Any:
    """The module onnxruntime; raises ImportError where it is not installed.

    From 1.29 on its wheels for Linux tell their maker about machine and models, and keep a journal
    of that in the user's cache folder, unless this variable says otherwise at the first import.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime
