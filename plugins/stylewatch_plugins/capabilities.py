"""What a backend says of itself beyond its members: what it can do, and for which contract.

It says so as attributes of its class, `capabilities` and `contract`. Both may be left out.
"""

from dataclasses import dataclass

CONTRACT = 1
"""The version of the contract that this stylewatch keeps. It grows when a backend that kept the
one before would no longer do; a member that may be left out, or a capability, changes nothing."""


@dataclass(frozen=True)
class Capabilities:
    """What a backend can do; what is not said is as most backends have it."""

    masks: bool = False
    """It looks at the masks of content and styles; else they change nothing."""
    resume: bool = True
    """It hands out checkpoints and goes on from them; else an interrupted job begins anew."""
    deterministic: bool = True
    """On the CPU the same task is the same painting, byte for byte."""
    memory: bool = False
    """It has an option `memory`, in bytes, and keeps to it."""

    @property
    def words(self) -> tuple[str, ...]:
        """What it can, by name."""
        return tuple(name for name, can in vars(self).items() if can)


def capabilities(backend: object) -> Capabilities:
    """What a backend, or its class, says that it can do."""
    said = getattr(backend, "capabilities", None)
    return said if isinstance(said, Capabilities) else Capabilities()


def misfit(backend: object) -> str | None:
    """Why a backend's class does not fit here by what it says of itself; None if it does."""
    said = getattr(backend, "contract", CONTRACT)
    if said != CONTRACT or type(said) is not int:
        return f"it keeps version {said} of the contract, and this stylewatch version {CONTRACT}"
    can = getattr(backend, "capabilities", Capabilities())
    if not isinstance(can, Capabilities):
        return f"its capabilities are no Capabilities, but {can!r}"
    return None
