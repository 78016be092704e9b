"""Losses from the receipt and losses.csv, by the columns that both have in common."""

from pathlib import Path
from typing import Any

import pytest
from tests.daemon.worker.orders import order, painted, receipt

from stylewatch_daemon.artifacts.terms import curves, read, weights

TERM = {"value": 2.0, "weight": 0.5}


def test_weights_go_by_the_columns_of_the_table() -> None:
    one = {"content": {"conv4_2": TERM}, "style": {"conv1_1": {**TERM, "weight": 3.0}}}
    assert dict(weights(one)) == {"content.conv4_2": 0.5, "style.conv1_1": 3.0}
    several = {"content": {}, "style": {"style-1": {"conv1_1": TERM}}, "tv": TERM}
    assert dict(weights(several)) == {"style-1.conv1_1": 0.5, "tv": 0.5}


def test_the_seconds_of_a_row_are_no_loss() -> None:
    told: dict[str, Any] = {"content": {}, "style": {}}
    assert curves(["total"], [[1, 9, 8, 0.25, 5.0]], told, [1]).rows == ((1, 9, 8, 5.0),)


@pytest.mark.parametrize("styles", [1, 2])
def test_a_table_as_it_was_written_is_read_with_a_weight_for_each_term(
    styles: int, tmp_path: Path, pictures: Path
) -> None:
    given = order(tmp_path / "job", pictures)
    given = type(given)(**{**vars(given), "styles": given.styles * styles})
    painted(given)
    told = receipt(given)
    found = read(given.staging / "losses.csv", told["losses"], [2, 4])
    assert [row[0] for row in found.rows] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert set(found.weights) == {*found.columns} - {"total"}
    total = sum(found.weights[name] * value
                for name, value in zip(found.columns, found.rows[-1][3:], strict=True)
                if name != "total")  # fmt: skip
    assert total == pytest.approx(told["losses"]["total"])


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "step,width,height,seconds,total\n1,2,3,4,x\n"])
def test_another_table_is_an_error(text: str, tmp_path: Path) -> None:
    (tmp_path / "losses.csv").write_text(text)
    with pytest.raises(ValueError):
        read(tmp_path / "losses.csv", {"content": {}, "style": {}}, [])
