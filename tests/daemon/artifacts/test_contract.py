"""Requests to the process that draws: they cross a pipe, and losses come from losses.csv."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.daemon.artifacts.paintings import painting
from tests.daemon.worker.orders import order, painted, receipt

from stylewatch_daemon.artifacts.contract import Curves, Keepsakes, Seen, Small, evenly
from stylewatch_daemon.processes.child import decode, encode


@pytest.mark.parametrize("with_content", [True, False])
def test_a_request_crosses_a_pipe(tmp_path: Path, with_content: bool) -> None:
    request = painting(tmp_path, wanted=["sheet.png"])
    request = request if with_content else replace(request, content=None)
    assert decode(encode(request), Keepsakes, Small) == request


def test_small_pictures_are_named_by_their_numbers() -> None:
    assert Small((Seen(("a.png",)), Seen(("b.png",))), 64).wanted == ("0", "1")


@pytest.mark.parametrize(
    ("count", "limit", "chosen"),
    [(0, 3, []), (2, 3, [0, 1]), (9, 3, [0, 4, 8]), (100, 5, [0, 25, 50, 74, 99]), (7, 1, [6])],
)
def test_evenly(count: int, limit: int, chosen: list[int]) -> None:
    assert evenly(count, limit) == chosen


@pytest.mark.parametrize("styles", [1, 2])
def test_losses_are_read_with_the_weights_of_the_receipt(
    styles: int, tmp_path: Path, pictures: Path
) -> None:
    given = order(tmp_path / "job", pictures, fields={"objective.tv.weight": 0.5})
    given = replace(given, styles=given.styles * styles)
    painted(given)
    losses = receipt(given)["losses"]
    curves = Curves.read(given.staging / "losses.csv", losses, [2, 4])
    assert [row[0] for row in curves.rows] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert curves.stages == (2, 4)
    assert set(curves.weights) == {*curves.columns} - {"total"}
    last = dict(zip(curves.columns, curves.rows[-1][3:], strict=True))
    total = sum(weight * last[name] for name, weight in curves.weights.items())
    assert total == pytest.approx(losses["total"])


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "step,width,height,seconds,total\n1,2,3,4,x\n"])
def test_another_table_is_an_error(text: str, tmp_path: Path) -> None:
    (tmp_path / "losses.csv").write_text(text)
    with pytest.raises(ValueError):
        Curves.read(tmp_path / "losses.csv", {"content": {}, "style": {}}, [])
