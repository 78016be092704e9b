"""Selection of columns, with a backward pass written by hand.

This module imports torch; `transport` imports it at its first use.
"""

from typing import Any

import torch
from torch import Tensor


class SelectedColumns(torch.autograd.Function):
    """Selection of columns of a matrix, converted to float32 if the matrix has fewer bits.

    The gradient is summed in a fixed order on every device, unlike that of torch's own indexing.
    """

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, index: Tensor) -> Tensor:
        """Return the columns `index` (P,) of a matrix (N, M), as (N, P)."""
        ctx.save_for_backward(index)
        ctx.matrix = matrix.shape, matrix.dtype
        return matrix.index_select(1, index).to(torch.promote_types(matrix.dtype, torch.float32))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Return the gradient of the matrix (N, M), which is zero at columns not selected."""
        (index,), (gradient,) = ctx.saved_tensors, gradients
        (rows, columns), dtype = ctx.matrix
        back = gradient.new_zeros(columns, rows)
        if gradient.is_cuda:  # on CUDA only index_put_ sums in a fixed order
            back.index_put_((index,), gradient.mT, accumulate=True)
        else:
            back.index_add_(0, index, gradient.mT)
        return back.mT.to(dtype), None
