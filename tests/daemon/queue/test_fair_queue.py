"""Inboxes take turns by weight, and nobody is owed anything for having been idle."""

import pytest

from stylewatch_daemon.queue.fair_queue import Turns


def served(turns: Turns, waiting: list[str], count: int) -> str:
    """Whom `count` turns go to."""
    order = ""
    for _ in range(count):
        inbox = turns.next(waiting)
        assert inbox is not None
        turns.took(inbox)
        order += inbox
    return order


def test_equals_take_turns() -> None:
    assert served(Turns({}), ["b", "a"], 6) == "ababab"


@pytest.mark.parametrize(("weight", "share"), [(2.0, 8), (3.0, 9), (0.5, 4)])
def test_each_gets_its_share(weight: float, share: int) -> None:
    assert served(Turns({"a": weight}), ["a", "b"], 12).count("a") == share


def test_one_that_comes_late_is_next_and_is_owed_nothing_more() -> None:
    turns = Turns({})
    served(turns, ["a"], 500)
    assert served(turns, ["a", "b"], 5) in ("babab", "ababa")


def test_where_nobody_waits_it_is_nobodys_turn() -> None:
    assert Turns({}).next([]) is None


def test_one_that_goes_ahead_of_its_turn_waits_until_the_others_had_as_many() -> None:
    turns = Turns({})
    turns.took("hers")
    for _ in range(3):
        turns.took("hers", in_turn=False)
    took = []
    for _ in range(6):
        took.append(turns.next(["hers", "his"]))
        turns.took(took[-1] or "")
    assert took == ["his"] * 4 + ["hers", "his"]
