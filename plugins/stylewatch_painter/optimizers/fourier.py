"""Filters of pictures by their Fourier coefficients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from stylewatch_painter.late import torch

if TYPE_CHECKING:
    from torch import Tensor

_LARGE = 2**20
"""Number of coefficients per plane above which planes are filtered one at a time, to save
memory."""


_DIAGONAL_LOSS = 7.5
"""Decrease of the response to diagonal waves. The energy of the response of conv1_1 of VGG19 to a
gray wave is about 1 - 7.5 |fx fy| of the energy for a horizontal or vertical wave of the same
frequency f: on the diagonal 0.66 at 0.3, 0.11 at 0.49."""
_LEAST_SEEN = 0.1
"""Minimum response to divide by, so that no coefficient of a step grows by more than a factor of
10."""


class FourierFilter:
    """Filter that multiplies the Fourier coefficients of pictures by real factors."""

    def __init__(self, factors: Tensor) -> None:
        self._factors = factors  # (height, width // 2 + 1)

    @classmethod
    def scaling(
        cls, shape: Sequence[int], power: float, device: torch.device, *, diagonals: bool = False
    ) -> FourierFilter:
        """Return a filter with the factors 1 / f^(2p), for pictures of `shape` (height, width).

        p is the `power`, and f the frequency in cycles per pixel, raised to at least one cycle per
        long side. If coefficients scaled by 1 / f^p are optimized, their gradient, transformed back
        to pixels, is the gradient with respect to pixels times the square of the scale. With
        `diagonals` the factors are also divided by the network's relative response to diagonal
        waves.
        """
        factors = _frequencies(shape, device).clamp_(min=1 / max(shape)).pow_(-2 * power)
        if diagonals:
            down, right = _axes(shape, device)
            factors.div_((1 - _DIAGONAL_LOSS * (down * right).abs_()).clamp_(min=_LEAST_SEEN))
        return cls(factors)

    @classmethod
    def high_pass(cls, shape: Sequence[int], slowest: float, device: torch.device) -> FourierFilter:
        """Return a filter that removes frequencies below `slowest` cycles per pixel.

        The filter is an orthogonal projection. `shape` is (height, width).
        """
        return cls(_frequencies(shape, device) >= slowest)

    def __call__(self, q: Tensor) -> Tensor:
        """Filter q (1, 3, height, width) into a new tensor of the same shape."""
        if self._factors.numel() <= _LARGE:
            return self._filtered(q)
        filtered = torch.empty_like(q)
        for channel in range(q.shape[1]):
            filtered[:, channel] = self._filtered(q[:, channel])
        return filtered

    def _filtered(self, q: Tensor) -> Tensor:
        coefficients = torch.fft.rfft2(q).mul_(self._factors)
        filtered: Tensor = torch.fft.irfft2(coefficients, s=q.shape[-2:])
        return filtered


def _frequencies(shape: Sequence[int], device: torch.device) -> Tensor:
    """Return the frequencies of a real FFT in cycles per pixel, (height, width // 2 + 1)."""
    down, right = _axes(shape, device)
    f: Tensor = (down.square() + right.square()).sqrt_()
    return f


def _axes(shape: Sequence[int], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return vertical (height, 1) and horizontal (width // 2 + 1,) frequencies in cycles/pixel."""
    down = torch.fft.fftfreq(shape[0], device=device).unsqueeze(1)
    return down, torch.fft.rfftfreq(shape[1], device=device)
