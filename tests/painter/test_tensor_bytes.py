"""The meter of tensors."""

import torch
from tests.painter.tensor_bytes import peak
from torch import Tensor


def test_peak_counts_what_exists_at_once() -> None:
    kept: list[Tensor] = []
    with peak() as count:
        first = torch.zeros(1000)
        kept.append(first[:10])  # a view, which keeps the whole
        del first
        torch.zeros(500) + torch.ones(500)
    assert (count.peak, count.now) == (4 * (1000 + 3 * 500), 4000)
    kept.clear()
    assert count.now == 0
