"""Locks, and long copies in a thread of their own."""

from contextlib import nullcontext
from functools import partial
from pathlib import Path
from threading import Event, get_ident

import pytest
from tests.daemon.faults import no_threads

from stylewatch_daemon.errors import InProgressError, OutputError, ShortageError
from stylewatch_daemon.files import lock
from stylewatch_daemon.files.transfers import SMALL, Transfers


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lock"


def test_a_held_lock_excludes_others_and_a_shared_one_exclusive_ones(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        lock.is_held(path)
    with lock.held(path):
        assert lock.is_held(path)
        with pytest.raises(TimeoutError), lock.held(path, 0.01):
            pass
    with lock.shared(path), lock.shared(path):
        assert not lock.is_held(path)
        with pytest.raises(TimeoutError), lock.held(path):
            pass
    assert not lock.is_held(path)


@pytest.mark.parametrize("error", [None, OSError(28, "No space left on device")])
def test_long_work_runs_in_a_thread_and_its_result_is_given_once(error: Exception | None) -> None:
    woken, may_continue = Event(), Event()
    transfers = Transfers(woken.set)

    def work() -> int:
        may_continue.wait()
        if error is not None:
            raise error
        return get_ident()

    for _ in range(2):
        with pytest.raises(InProgressError):
            transfers.run("a", SMALL, work)
    assert transfers.has("a")
    may_continue.set()
    woken.wait()
    with nullcontext() if error is None else pytest.raises(OSError, match="No space"):
        assert transfers.run("a", SMALL, work) != get_ident()
    assert not transfers.has("a")
    transfers.close()


def test_long_work_that_gets_no_thread_runs_later_and_once() -> None:
    woken, may_continue, begun = Event(), Event(), list[str]()
    transfers = Transfers(woken.set)

    def work() -> None:
        begun.append("a")
        may_continue.wait()

    with no_threads(), pytest.raises(ShortageError, match="no process or thread can be started"):
        transfers.run("a", SMALL, work)
    assert not transfers.has("a")
    with pytest.raises(InProgressError):
        transfers.run("a", SMALL, work)
    may_continue.set()
    woken.wait()
    transfers.run("a", SMALL, work)
    transfers.close()
    assert begun == ["a"]


def test_closing_ends_running_work_and_starts_no_other() -> None:
    transfers, begun = Transfers(), list[str]()

    def work(key: str) -> None:
        begun.append(key)
        while True:
            transfers.step()

    for key in ("a", "b"):
        with pytest.raises(InProgressError):
            transfers.run(key, SMALL, partial(work, key))
    transfers.close()
    assert "b" not in begun
    with pytest.raises(OutputError, match="next start"):
        transfers.step()
