"""Pictures by their Fourier coefficients: rounder coordinates, and slow waves."""

import torch
from torch import Tensor

_LARGE = 2**20
"""Coefficients of a plane: with more, planes are scaled one by one, which takes less memory."""


class Scaling:
    """Multiplies the Fourier coefficients of pictures by 1 / f^(2p).

    A gradient with respect to coefficients scaled by 1 / f^p, brought back to pixels, is the
    gradient in pixels times the square of that scale. f is in cycles per pixel, never under one
    cycle per long side: the mean of a picture counts as its slowest wave.
    """

    def __init__(self, shape: tuple[int, ...], power: float, device: torch.device) -> None:
        height, width = shape
        f = _frequencies(height, width, device).clamp_(min=1 / max(height, width))
        self._scale = f.pow_(-2 * power)

    def __call__(self, q: Tensor) -> Tensor:
        """Scale q (B, 3, height, width) into a new tensor of the same shape."""
        return _multiplied(q, self._scale)


class QuickWaves:
    """Takes all waves of fewer than `slowest` cycles a pixel out of pictures of one shape.

    Of a gradient it leaves what does not move them: a projection, and so the slope along what
    may still move.
    """

    def __init__(self, shape: tuple[int, ...], slowest: float, device: torch.device) -> None:
        height, width = shape
        self._kept = _frequencies(height, width, device) >= slowest

    def __call__(self, q: Tensor) -> Tensor:
        """The quick waves of q (B, 3, height, width), a new tensor."""
        return _multiplied(q, self._kept)


def _multiplied(q: Tensor, factors: Tensor) -> Tensor:
    """Q (B, 3, height, width), its coefficients multiplied by (height, width // 2 + 1) factors."""
    if factors.numel() <= _LARGE:
        return _at_once(q, factors)
    made = torch.empty_like(q)
    for channel in range(q.shape[1]):
        made[:, channel] = _at_once(q[:, channel], factors)
    return made


def _at_once(q: Tensor, factors: Tensor) -> Tensor:
    made: Tensor = torch.fft.irfft2(torch.fft.rfft2(q).mul_(factors), s=q.shape[-2:])
    return made


def _frequencies(height: int, width: int, device: torch.device) -> Tensor:
    """Of each coefficient of a real picture, in cycles per pixel: (height, width // 2 + 1)."""
    down = torch.fft.fftfreq(height, device=device).unsqueeze(1)
    right = torch.fft.rfftfreq(width, device=device)
    f: Tensor = (down.square() + right.square()).sqrt_()
    return f
