"""Locks, and long copies in a thread of their own."""

from pathlib import Path
from threading import Event, get_ident

import pytest

from stylewatch_daemon.errors import InProgressError, OutputError
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


class Copies(Transfers):
    """Long work that waits until it `may_continue`."""

    def __init__(self) -> None:
        self.woken, self.may_continue = Event(), Event()
        super().__init__(self.woken.set)

    def result(self, key: str = "a", error: Exception | None = None) -> int:
        """The thread in which the work was done."""

        def work() -> int:
            self.may_continue.wait()
            self.step()
            if error is not None:
                raise error
            return get_ident()

        return self.run(key, SMALL, work)


@pytest.mark.parametrize("error", [None, OSError(28, "No space left on device")])
def test_long_work_runs_in_a_thread_and_its_result_is_given_once(error: Exception | None) -> None:
    copies = Copies()
    for _ in range(2):
        with pytest.raises(InProgressError):
            copies.result(error=error)
    assert copies.has("a")
    copies.may_continue.set()
    copies.woken.wait()
    if error is None:
        assert copies.result() != get_ident()
    else:
        with pytest.raises(OSError, match="No space"):
            copies.result()
    assert not copies.has("a")
    copies.close()


def test_closing_ends_running_work_and_starts_no_other() -> None:
    copies = Copies()
    for key in ("a", "b"):
        with pytest.raises(InProgressError):
            copies.result(key)
    copies.may_continue.set()
    copies.close()
    with pytest.raises(OutputError, match="next start"):
        copies.step()
