"""What goes to a worker and comes back can go to another process, and nobody changes it."""

import pickle
from dataclasses import FrozenInstanceError, is_dataclass
from pathlib import Path
from typing import get_args

import pytest

from stylewatch_daemon.execute import contract
from stylewatch_daemon.execute.contract import (
    Alive,
    Done,
    Failed,
    Order,
    Progress,
    Refused,
    Staged,
    Started,
    Stopped,
)
from stylewatch_daemon.settings import JobSettings

ORDER = Order(
    "a/job",
    JobSettings(size="32", set={"steps": 3}, style_weights=(1.0,)),
    content=Path("content.jpg"),
    styles=(Path("style.jpg"),),
    staging=Path("staging"),
    backend_options={"device": "cpu"},
    attempts=({"backend": "torch", "ended": "failed"},),
)
EVENTS = (
    Started("torch", "cpu", ((16, 12), (32, 24)), steps_at=(3, 5), warnings=("it is late",)),
    Progress(1, 8, (16, 12), loss=0.5, seconds=0.1),
    Alive(saving=True),
    Staged("final.png"),
    Done({"job": "a/job"}),
    Stopped(3),
    Refused("it is no picture"),
    Failed("it burnt", 73, "Traceback ..."),
)
EACH = pytest.mark.parametrize("record", [ORDER, *EVENTS], ids=lambda one: type(one).__name__)


@EACH
def test_it_comes_through_a_pipe_as_it_was(record: object) -> None:
    assert pickle.loads(pickle.dumps(record)) == record


@EACH
def test_it_is_frozen(record: object) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(record, next(iter(vars(record))), None)


def test_every_record_is_in_this_test() -> None:
    """And every event is one that a worker may send."""
    known = {name for name, value in vars(contract).items() if is_dataclass(value)}
    assert known == {type(record).__name__ for record in (ORDER, *EVENTS)}
    assert {type(event) for event in EVENTS} == set(get_args(contract.Event))
    assert set(get_args(contract.End)) == {Done, Stopped, Refused, Failed}


def test_the_steps_of_all_sizes_are_counted() -> None:
    started = EVENTS[0]
    assert isinstance(started, Started)
    assert started.steps == 8


def test_a_failure_is_our_own_unless_it_is_said_otherwise() -> None:
    assert Failed("it burnt").exit_code == 70
