"""Stand-ins for modules that are imported at their first use.

The daemon imports the settings of losses and optimizers, and with them the modules that compute
these. It computes nothing itself, and must not spend seconds and hundreds of megabytes on NumPy and
torch.
"""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

__all__ = ["functional", "late", "np", "torch"]


class _Late(ModuleType):
    """Stand-in for the module of the same name."""

    def __getattr__(self, name: str) -> Any:
        """Import the module, and return its attribute `name`."""
        return getattr(import_module(self.__name__), name)


def late(name: str) -> Any:
    """Return a stand-in for the module `name`."""
    return _Late(name)


if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch.nn import functional
else:
    np = late("numpy")
    torch = late("torch")
    functional = late("torch.nn.functional")
