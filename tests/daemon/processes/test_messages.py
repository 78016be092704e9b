"""What hostile processes send is one of the records that are expected, or nothing."""

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from tests.daemon.worker.records import EVENTS

from stylewatch_daemon.ingest.inspection.contract import Begun, CutOff, Fine, Refused, Verdict
from stylewatch_daemon.model import Picture, Progress
from stylewatch_daemon.processes import messages
from stylewatch_daemon.worker.contract import Done, Event

VERDICTS = (
    Begun("1", "a.jpg"),
    Fine("1", (Picture("a.jpg", "12ab", (4, 3)), Picture("no utf \udcff.jpg", "34cd", (1, 1)))),
    Refused("1", "it is no picture"),
    CutOff("1", "a.jpg", "it ends too early"),
)


@pytest.mark.parametrize("event", EVENTS, ids=lambda one: type(one).__name__)
def test_every_event_comes_back_as_it_was(event: Event) -> None:
    assert messages.unpack(messages.pack(event), *get_args(Event)) == event


@pytest.mark.parametrize("verdict", VERDICTS, ids=lambda one: type(one).__name__)
def test_every_verdict_comes_back_as_it_was(verdict: Begun | Verdict) -> None:
    assert messages.unpack(messages.pack(verdict), Begun, *get_args(Verdict)) == verdict


def test_numbers_of_numpy_are_numbers() -> None:
    loss: Any = np.float32(0.5)
    event = Progress(1, 2, (1, 1), loss, seconds=0.0)
    assert messages.unpack(messages.pack(event), Progress).loss == 0.5


class Evil:
    """Would leave a file where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self._mark,)


def test_a_pickle_is_nothing_and_does_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="makes no sense"):
        messages.unpack(pickle.dumps(Evil(tmp_path / "mark")), *get_args(Event))
    assert not (tmp_path / "mark").exists()


@dataclass(frozen=True)
class Unknown:
    """A record that nobody expects."""

    path: str


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b'{"Staged": 1}',
        b'["Staged"]',
        b'["Staged", {"path": 1}]',
        b'["Staged", {"path": null}]',
        b'["Staged", {"path": "a", "more": 1}]',
        b'["Staged", []]',
        b'["Progress", {"step": 1, "steps": 2, "size": [1], "loss": 1.0, "seconds": 0.0}]',
        b'["Progress", {"step": "1", "steps": 2, "size": [1, 1], "loss": 1.0, "seconds": 0.0}]',
        b'["Started", {"backend": "b", "device": "d", "sizes": 3, "steps_at": []}]',
        messages.pack(Unknown("a")),
        b"[" * 100_000,
    ],
)
def test_nonsense_is_nothing(raw: bytes) -> None:
    with pytest.raises(ValueError, match="makes no sense"):
        messages.unpack(raw, *get_args(Event))


def test_what_is_not_plain_is_not_sent() -> None:
    with pytest.raises(TypeError, match="cannot be sent"):
        messages.pack(Done({"receipt": lambda: None}))
