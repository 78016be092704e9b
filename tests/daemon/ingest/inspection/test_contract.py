"""What is said between supervisor and intake goes through a pipe as it is."""

import pickle
from pathlib import Path

import pytest

from stylewatch_daemon.ingest.inspection.contract import Begun, CutOff, Fine, Question, Refused
from stylewatch_daemon.model import Picture


@pytest.mark.parametrize(
    "said",
    [
        Question("1", (Path("a.jpg"),), 100, Path("thumbs")),
        Begun("1", "a.jpg"),
        Fine("1", (Picture("a.jpg", "12ab", (4, 3)),)),
        Refused("1", "no picture"),
        CutOff("1", "a.jpg", "a.jpg is cut off"),
    ],
    ids=lambda said: type(said).__name__,
)
def test_it_arrives_as_it_was_sent(said: object) -> None:
    assert pickle.loads(pickle.dumps(said)) == said
