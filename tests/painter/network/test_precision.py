"""Which precision is taken for the quickest, and that it stays so."""

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
import torch

from stylewatch_painter.network import vgg19 as precision_module
from stylewatch_painter.network.vgg19 import Precision, cut, measured, quickest

CPU = torch.device("cpu")


def clock(exact: float, other: float) -> Iterator[float]:
    """Moments at which convolutions begin and end: those of fp32 take `exact`, then `other`.

    The first of each kind takes a hundred times as long, until all is set up for it.
    """
    now = 0.0
    for length in (100 * exact, *[exact] * 5, 100 * other, *[other] * 5):
        yield now
        now += length
        yield now


@pytest.mark.parametrize(("other", "found"), [(0.5, "bf16"), (0.79, "bf16"), (0.9, "fp32")])
def test_fewer_bits_are_taken_where_they_pay(other: float, found: str) -> None:
    """Each trial reads the clock before and after, the first of six to no purpose."""
    moments = clock(1.0, other)
    assert measured(CPU, lambda: next(moments)) == found


def test_a_device_of_another_kind_computes_in_float32() -> None:
    assert measured(torch.device("meta")) == "fp32"


def test_it_is_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "cache" / "precision.json"
    monkeypatch.setattr(precision_module, "measured", lambda _: "bf16")
    assert quickest(CPU, file) == "bf16"
    monkeypatch.setattr(precision_module, "measured", lambda _: "fp32")
    assert quickest(CPU, file) == "bf16"
    assert [path.name for path in file.parent.iterdir()] == ["precision.json"]


def test_float32_is_cut_only_where_that_is_the_precision() -> None:
    for wanted in get_args(Precision):
        with cut(wanted):
            assert torch.backends.cudnn.enabled
            assert torch.backends.cudnn.allow_tf32 == (wanted == "tf32")
