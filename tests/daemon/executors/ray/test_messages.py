"""Messages of the driver keep their tickets."""

import pytest
from tests.daemon.worker.records import EVENTS

from stylewatch_daemon.executors.ray.messages import (
    Capacity,
    ClusterLost,
    Message,
    pack,
    unpack,
)

TICKET = "a job#1 of then by 7"
MESSAGES: tuple[Message, ...] = (*EVENTS, Capacity(3), ClusterLost("it\nis away"))


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_is_read_as_it_was_written(message: Message) -> None:
    assert unpack(pack(message, TICKET)) == (TICKET, message)


def test_an_invalid_message_is_noticed() -> None:
    with pytest.raises(ValueError, match="invalid message"):
        unpack(b'1\t["Order", {}]')
