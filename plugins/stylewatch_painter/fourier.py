"""Rounder coordinates: a picture described by its Fourier coefficients, scaled by 1 / f^p."""

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
        down = torch.fft.fftfreq(height, device=device).unsqueeze(1)
        right = torch.fft.rfftfreq(width, device=device)
        f = torch.sqrt(down.square() + right.square()).clamp(min=1 / max(height, width))
        self._scale = f.pow(-2 * power)
        self._shape = (height, width)

    def __call__(self, q: Tensor) -> Tensor:
        """Scale q (1, 3, height, width) into a new tensor of the same shape."""
        scaled: Tensor = torch.fft.irfft2(torch.fft.rfft2(q).mul_(self._scale), s=self._shape)
        return scaled
