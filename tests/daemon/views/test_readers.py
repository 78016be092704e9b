"""Only few threads read the files of a job or an outbox, and nobody waits for them for long."""

import time
from collections.abc import Iterator
from queue import SimpleQueue
from threading import Event

import pytest

from stylewatch_daemon.base.errors import InputError, OutputError
from stylewatch_daemon.views import readers

Patch = pytest.MonkeyPatch


@pytest.fixture
def end() -> Iterator[Event]:
    """An event for which threads wait that read a file; all have ended afterwards."""
    event = Event()
    yield event
    event.set()
    while readers._reading:
        time.sleep(0.01)


def read(job: str, outbox: str) -> str:
    """Read something of a job, which takes no time."""
    return readers.read(job, outbox, lambda: readers.read(job, outbox, lambda: "read"))


def hang(job: str, outbox: str, end: Event) -> None:
    """Begin to read something that is not answered."""
    with pytest.raises(OutputError, match="answers slowly"):
        readers.read(job, outbox, end.wait)


def test_a_slow_job_or_outbox_holds_up_no_other(end: Event, monkeypatch: Patch) -> None:
    monkeypatch.setattr(readers, "WAIT_S", 0.05)
    monkeypatch.setattr(readers, "OF_OUTBOX", 3)
    hang("slow", "out", end)
    assert read("slow", "out") == "read"
    hang("slow", "out", end)
    monkeypatch.setattr(readers, "WAIT_S", 0.0)  # both threads have taken longer
    with pytest.raises(OutputError, match="answers slowly"):
        read("slow", "out")
    monkeypatch.setattr(readers, "WAIT_S", 0.05)
    assert read("other", "out") == "read"
    hang("third", "out", end)
    with pytest.raises(OutputError, match="answers slowly"):
        read("other", "out")
    assert read("other", "elsewhere") == "read"
    end.set()
    while readers._reading:
        time.sleep(0.01)
    assert read("slow", "out") == "read"


def test_a_late_result_is_given_back_and_an_error_is_raised(end: Event, monkeypatch: Patch) -> None:
    def refuse() -> None:
        raise InputError("no picture")

    with pytest.raises(InputError, match="no picture"):
        readers.read("sea", "out", refuse)
    monkeypatch.setattr(readers, "WAIT_S", 0.05)
    given = SimpleQueue[bool]()
    with pytest.raises(OutputError):
        readers.read("sea", "out", end.wait, given.put)
    end.set()
    assert given.get()
