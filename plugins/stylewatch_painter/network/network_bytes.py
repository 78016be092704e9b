"""The memory that a network takes for each pixel."""

from dataclasses import dataclass


@dataclass(frozen=True)
class NetworkBytes:
    """Bytes that the evaluation of a network takes for each pixel of a picture.

    `value` is the size of one number in the returned maps. The others do not include these maps:
    `passing` is taken while maps are computed, `held` from then until the end of the backward pass,
    and `back` during the backward pass, in which the gradients of the maps exist as well.
    """

    value: int
    passing: float
    held: float
    back: float
