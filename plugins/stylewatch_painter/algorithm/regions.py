"""Regions of pictures: what masks of a task must have in common, and how layers see them."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from stylewatch_painter.algorithm.task import Task
from stylewatch_painter.errors import PictureError
from stylewatch_painter.stage import Regions


def planes(mask: Regions) -> Tensor:
    """A mask, float32 (height, width, R) or (height, width), as (R, height, width) on the CPU."""
    stacked = np.atleast_3d(mask).transpose(2, 0, 1)
    return torch.from_numpy(np.ascontiguousarray(stacked, dtype=np.float32))


def at_layer(mask: Tensor, size: tuple[int, int]) -> Tensor:
    """How much each position of a feature map counts for each region: (R, H, W) to (R, *size).

    `size` is (height, width) of the map. These are averages over areas: a region that is there
    stays, however small the map, and has the same share of the map as of the mask.
    """
    # on the processor, since not every device averages over areas of unequal size
    return adaptive_avg_pool2d(mask.cpu(), size).to(mask.device)


def shares(task: Task) -> NDArray[np.float64]:
    """How much each region of the painting is held to each style, (styles, R).

    Over the styles that show something of a region their weights add up to one; a style that
    shows nothing of it has no share in it.
    """
    weights = [style.weight * _shown(style.mask, _count(task)) for style in task.styles]
    given = np.array(weights, dtype=np.float64).reshape(len(task.styles), _count(task))
    whole = given.sum(axis=0)
    return np.asarray(given / np.where(whole > 0, whole, 1))


def check_masks(task: Task) -> None:
    """Raise PictureError where masks have other regions, or one of the painting has no style."""
    named = [(f"the mask of {style.name}", style.mask) for style in task.styles]
    if task.content_mask is not None and not task.content_mask.any():
        raise PictureError("the mask of the content is black all over: make some of it white")
    for name, mask in named:
        if mask is not None and _regions(mask) != _count(task):
            raise PictureError(
                f"{name} has {_regions(mask)} regions and the painting {_count(task)}: "
                "give all masks of a painting the same ones"
            )
    wanted = _shown(task.content_mask, _count(task))
    lacking = np.flatnonzero(wanted & (shares(task).sum(axis=0) == 0))
    if task.styles and lacking.size:
        raise PictureError(
            f"no style shows anything for region {lacking[0] + 1} of {_count(task)}: "
            "give one a mask with that region, or no mask"
        )


def _count(task: Task) -> int:
    return 1 if task.content_mask is None else _regions(task.content_mask)


def _regions(mask: Regions) -> int:
    return int(np.atleast_3d(mask).shape[2])


def _shown(mask: Regions | None, count: int) -> NDArray[np.bool_]:
    """Which regions there is something of, (R,); without a mask, of all."""
    if mask is None:
        return np.ones(count, dtype=np.bool_)
    return np.asarray(np.atleast_3d(mask).any(axis=(0, 1)))
