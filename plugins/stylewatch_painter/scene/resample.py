"""Resampling of pictures as tensors, in both directions, with deterministic gradients."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional


def interpolation(
    shape: Sequence[int], to: tuple[int, int], device: torch.device, *, corners: bool = False
) -> tuple[Tensor, Tensor]:
    """Return matrices that interpolate the rows and the columns of pictures.

    For pictures (..., height, width) they are float32 (rows of `to`, height) and (columns of `to`,
    width). They replace torch's own interpolation, whose backward pass is not deterministic on a
    GPU.
    """
    down, right = (
        functional.interpolate(
            torch.eye(length, device=device)[None], size, mode="linear", align_corners=corners
        )[0].mT
        for length, size in zip(shape[-2:], to, strict=True)
    )
    return down, right


def finest_detail(picture: Tensor) -> Tensor:
    """Return the finest level of the Laplacian pyramid of a picture (1, 3, height, width).

    Burt and Adelson 1983, "The Laplacian Pyramid as a Compact Image Code".
    """
    size = picture.shape[-2:]
    half = [max(1, side // 2) for side in size]
    small = functional.interpolate(picture, half, mode="bilinear", align_corners=False)
    return picture - functional.interpolate(small, size, mode="bilinear", align_corners=False)
