"""Events on their way keep their tickets, and a stream may be cut anywhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.daemon.worker.records import EVENTS

from stylewatch_daemon.executors.ray import messages
from stylewatch_daemon.executors.ray.messages import (
    Capacity,
    ClusterLost,
    Message,
    Stream,
    pack,
    unpack,
)

TICKET = "a job#1 of then by 7"
MESSAGES: tuple[Message, ...] = (*EVENTS, Capacity(3), ClusterLost("it\nis away"))


@given(st.lists(st.integers(1, 40)))
def test_a_stream_may_be_cut_anywhere(cuts: list[int]) -> None:
    whole = b"".join(pack(message, TICKET) + b"\n" for message in MESSAGES)
    stream, received = Stream(), []
    for size in (*cuts, len(whole)):
        piece, whole = whole[:size], whole[size:]
        received += [unpack(line) for line in stream.feed(piece)]
    assert received == [(TICKET, message) for message in MESSAGES]


def test_invalid_messages_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="invalid message"):
        unpack(b'1\t["Order", {}]')
    monkeypatch.setattr(messages, "MAX_MESSAGE", 10)
    with pytest.raises(ValueError, match="more than 10 bytes"):
        Stream().feed(b"x" * (messages.PIECE + 11))
