"""Pictures by their Fourier coefficients: rounder coordinates, and slow waves."""

import torch
from torch import Tensor


class Scaling:
    """Multiplies the Fourier coefficients of pictures by 1 / f^(2p).

    A gradient with respect to coefficients scaled by 1 / f^p, brought back to pixels, is the
    gradient in pixels times the square of that scale. f is in cycles per pixel, never under one
    cycle per long side: the mean of a picture counts as its slowest wave.
    """

    def __init__(self, shape: tuple[int, ...], power: float, device: torch.device) -> None:
        height, width = shape
        f = _frequencies(height, width, device).clamp(min=1 / max(height, width))
        self._scale = f.pow(-2 * power)
        self._shape = (height, width)

    def __call__(self, q: Tensor) -> Tensor:
        """Scale q (1, 3, height, width) into a new tensor of the same shape."""
        scaled: Tensor = torch.fft.irfft2(torch.fft.rfft2(q).mul_(self._scale), s=self._shape)
        return scaled


class QuickWaves:
    """Takes all waves of fewer than `slowest` cycles a pixel out of pictures of one shape.

    Of a gradient it leaves what does not move them: a projection, and so the slope along what
    may still move.
    """

    def __init__(self, shape: tuple[int, ...], slowest: float, device: torch.device) -> None:
        height, width = shape
        self._kept = _frequencies(height, width, device) >= slowest
        self._shape = (height, width)

    def __call__(self, q: Tensor) -> Tensor:
        """The quick waves of q (B, 3, height, width), a new tensor."""
        quick: Tensor = torch.fft.irfft2(torch.fft.rfft2(q).mul_(self._kept), s=self._shape)
        return quick


def _frequencies(height: int, width: int, device: torch.device) -> Tensor:
    """Of each coefficient of a real picture, in cycles per pixel: (height, width // 2 + 1)."""
    down = torch.fft.fftfreq(height, device=device).unsqueeze(1)
    right = torch.fft.rfftfreq(width, device=device)
    return torch.sqrt(down.square() + right.square())
