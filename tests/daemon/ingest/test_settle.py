"""A file has settled when it looked the same twice, over long enough."""

from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from stylewatch_daemon.files.identity import Look
from stylewatch_daemon.ingest.settle import Settler

ONE, TWO = Path("one"), Path("two")
LOOK = Look(inode=1, size=2, mtime_ns=3)


class Clock:
    """A clock that stands until it is moved."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_it_takes_two_looks_over_the_quiet_time() -> None:
    clock = Clock()
    settler = Settler(clock, quiet_s=2)
    assert settler.settled({ONE: LOOK}) == set()
    clock.now = 1.9
    assert settler.settled({ONE: LOOK}) == set()
    clock.now = 2.0
    assert settler.settled({ONE: LOOK, TWO: LOOK}) == {ONE}


def test_a_single_look_never_settles_even_without_a_quiet_time() -> None:
    settler = Settler(Clock(), quiet_s=0)
    assert settler.settled({ONE: LOOK}) == set()
    assert settler.settled({ONE: LOOK}) == {ONE}


@given(st.sampled_from(["inode", "size", "mtime_ns"]), st.integers())
def test_any_change_begins_the_wait_anew(part: str, value: int) -> None:
    clock = Clock()
    settler = Settler(clock, quiet_s=2)
    settler.settled({ONE: LOOK})
    clock.now = 2
    changed = replace(LOOK, **{part: value})
    settled = settler.settled({ONE: changed})
    assert settled == ({ONE} if changed == LOOK else set())
    clock.now = 4
    assert settler.settled({ONE: changed}) == {ONE}


def test_a_file_that_went_and_came_back_is_new() -> None:
    clock = Clock()
    settler = Settler(clock, quiet_s=2)
    settler.settled({ONE: LOOK})
    settler.settled({})
    clock.now = 5
    assert settler.settled({ONE: LOOK}) == set()


def test_a_time_in_the_future_settles_as_well() -> None:
    clock = Clock()
    settler = Settler(clock, quiet_s=2)
    future = replace(LOOK, mtime_ns=2**62)
    settler.settled({ONE: future})
    clock.now = 2
    assert settler.settled({ONE: future}) == {ONE}
