"""Which pictures of an order count: both sides, or the one that it is for."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.worker.orders import order

from stylewatch_daemon.errors import SettingsError
from stylewatch_daemon.worker.contract import Order
from stylewatch_daemon.worker.inputs import wanted


@pytest.fixture
def given(tmp_path: Path, pictures: Path) -> Order:
    return order(tmp_path / "job", pictures)


def only(given: Order, side: Any) -> Order:
    return replace(given, settings=given.settings.model_copy(update={"only": side}))


def test_where_nothing_is_said_both_sides_count(given: Order) -> None:
    assert wanted(given) == given


def test_only_the_side_that_is_said_is_left(given: Order) -> None:
    found = wanted(only(given, "style"))
    assert (found.content, found.styles) == (None, given.styles)
    found = wanted(only(given, "content"))
    assert (found.content, found.styles) == (given.content, ())


@pytest.mark.parametrize(
    ("side", "changes", "told"),
    [
        (None, {"content": None}, "there is no content picture: add one, or say only: style"),
        (None, {"styles": ()}, "there is no style picture: add one, or say only: content"),
        ("style", {"styles": ()}, "there is no style picture: add one, or leave out only: style"),
    ],
)
def test_a_side_that_is_wanted_and_not_there_is_told(
    side: Any, changes: dict[str, Any], told: str, given: Order
) -> None:
    with pytest.raises(SettingsError, match=told):
        wanted(replace(only(given, side), **changes))
