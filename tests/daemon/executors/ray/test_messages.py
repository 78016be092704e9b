"""Events on their way keep their tickets, and a stream may be cut anywhere."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.daemon.worker.records import EVENTS

from stylewatch_daemon.executors.ray.messages import Away, Room, Stream, Word, framed, heard, said

WORDS: tuple[Word, ...] = (*EVENTS, Room(3), Away("it is away"))


@pytest.mark.parametrize("word", WORDS, ids=lambda one: type(one).__name__)
def test_a_word_comes_as_it_was_with_its_ticket(word: Word) -> None:
    assert heard(said(word, "a job#1 of then by 7")) == ("a job#1 of then by 7", word)


@given(st.lists(st.integers(1, 40)))
def test_a_stream_may_be_cut_anywhere(cuts: list[int]) -> None:
    whole = b"".join(framed(said(word, "1")) for word in WORDS)
    stream, came = Stream(), []
    for size in (*cuts, len(whole)):
        piece, whole = whole[:size], whole[size:]
        came += [heard(message)[1] for message in stream.feed(piece)]
    assert came == list(WORDS)


def test_nonsense_is_noticed() -> None:
    with pytest.raises(ValueError, match="invalid message"):
        heard(b'1\n["Order", {}]')
    with pytest.raises(ValueError, match="no sense"):
        list(Stream().feed(struct.pack("!I", 1 << 31)))
