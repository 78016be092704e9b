"""What stands behind an error of a backend that is nobody's fault: no memory, or no device.

Torch, ONNX Runtime and the drivers below tell it by classes and words of their own; here they are
known by name, so that nothing of theirs need be imported.
"""

import errno
import re
from typing import Literal

Trouble = Literal["memory", "device"]

_NO_MEMORY = re.compile(
    r"out of memory|can't allocate memory|cannot allocate memory|not enough memory"
    r"|failed to allocate memory|_alloc_failed"
    # oneDNN, whose primitives need some of their own, and say no more than this
    r"|could not create a memory|could not (create|execute) a primitive(?! descriptor)"
)
_NO_DEVICE = re.compile(
    r"cuda error|cuda failure|cuda driver|no cuda gpus are available|no nvidia driver"
    r"|cudnn error|cublas_status_|hip error|level_zero backend failed"
)


def trouble(error: BaseException) -> Trouble | None:
    """What stands behind `error`; None where it is something else.

    `memory`: there was not enough, of the device's or the machine's. `device`: it is lost, and
    this process cannot use it any more.
    """
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if isinstance(error, MemoryError) or "OutOfMemoryError" in kinds:
        return "memory"
    if isinstance(error, OSError):
        return "memory" if error.errno == errno.ENOMEM else None
    if not kinds & {"RuntimeError", "RuntimeException"}:
        return None
    said = str(error).lower()
    if _NO_MEMORY.search(said):
        return "memory"
    if "AcceleratorError" in kinds or _NO_DEVICE.search(said):
        return "device"
    return None
