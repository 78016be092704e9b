"""The bell wakes whoever waits, and a signal rings it."""

import os
import signal
import threading

import pytest

from stylewatch_daemon.bell import Bell, stops_on_signals


def test_many_rings_before_a_wait_count_as_one() -> None:
    bell = Bell()
    bell.ring()
    bell.ring()
    assert bell.wait(0)
    assert not bell.wait(0)


def test_a_ring_from_another_thread_ends_the_wait() -> None:
    bell = Bell()
    ringer = threading.Timer(0.01, bell.ring)
    ringer.start()
    assert bell.wait(60)
    ringer.join()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_and_wakes_and_a_second_one_ends_at_once(number: int) -> None:
    bell = Bell()
    before = signal.getsignal(number)
    with stops_on_signals(bell):
        os.kill(os.getpid(), number)
        assert bell.wait(60)
        assert bell.stopping
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before
