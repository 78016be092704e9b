"""Pipes wake a process, and whoever wakes one never waits."""

import os
from pathlib import Path
from threading import Event, get_ident

import pytest

from stylewatch_daemon.files import entries, pipes


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    entries.make_pipe(tmp_path / "wake")
    return tmp_path / "wake"


def test_each_poke_wakes_the_reader_until_it_leaves(pipe: Path) -> None:
    woken, threads = Event(), set[int]()

    def wake() -> None:
        threads.add(get_ident())
        woken.set()

    with pipes.waking(pipe, wake):
        for _ in range(2):
            woken.clear()
            pipes.poke(pipe)
            assert woken.wait(60)
    woken.clear()
    pipes.poke(pipe)
    assert not woken.is_set() and get_ident() not in threads


def test_a_poke_waits_for_no_reader_no_room_and_no_pipe(pipe: Path, tmp_path: Path) -> None:
    pipes.poke(pipe)  # nobody reads
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    for _ in range(70_000):  # more than it holds
        pipes.poke(pipe)
    assert os.read(reader, 3) == b"!!!"
    os.close(reader)
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "file").write_bytes(b"")
    for name in ("nothing", "link"):
        pipes.poke(tmp_path / name)
    assert (tmp_path / "file").read_bytes() == b""
