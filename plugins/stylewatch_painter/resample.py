"""Resampling and padding of pictures as tensors.

Gradients through `bordered` and the matrices of `interpolation` are deterministic, also on a GPU.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from stylewatch_painter.late import functional, torch
from stylewatch_painter.size import Size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


def width_height(x: Tensor) -> Size:
    """Return the size of pictures (..., height, width)."""
    return Size(x.shape[-1], x.shape[-2])


def interpolation(
    shape: Sequence[int], to: tuple[int, int], device: torch.device, *, corners: bool = False
) -> tuple[Tensor, Tensor]:
    """Return the matrices that interpolate the rows and the columns of pictures linearly.

    `shape` is (..., height, width) of the pictures, and `to` is (rows, columns) of the result. The
    matrices are float32 (rows, height) and (columns, width). With `corners` the outermost pixels
    keep their places (torch's `align_corners`). The matrices replace torch's own interpolation,
    whose backward pass is not deterministic on a GPU.
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


def bordered(x: Tensor, wide: int, padding: Literal["reflect", "replicate"]) -> Tensor:
    """Return x (1, C, height, width) padded by `wide` pixels on each side.

    With `reflect`, a border that is wider than the picture is reflected repeatedly, and a side of
    one pixel is replicated. The padding is built from slices because torch's own padding has a
    nondeterministic gradient on a GPU.
    """
    for dim in (-2, -1):
        left = wide
        while left:
            side = x.shape[dim]
            # a reflection is one pixel shorter than the picture; a single pixel has none
            if padding == "reflect" and side > 1:
                by = min(left, side - 1)
                start = x.narrow(dim, 1, by).flip(dim)
                end = x.narrow(dim, side - 1 - by, by).flip(dim)
            else:
                by = left
                start = x.narrow(dim, 0, 1).repeat_interleave(by, dim)
                end = x.narrow(dim, side - 1, 1).repeat_interleave(by, dim)
            x = torch.cat([start, x, end], dim)
            left -= by
    return x
