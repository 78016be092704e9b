"""The bell wakes whoever waits, and a signal rings it."""

import os
import signal
import threading

import pytest

from stylewatch_daemon.processes.wakeup import Bell, reloads_on_signal, stops_on_signals


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


def test_a_hangup_asks_for_the_settings_to_be_read_again() -> None:
    bell = Bell()
    before = signal.getsignal(signal.SIGHUP)
    with reloads_on_signal(bell):
        os.kill(os.getpid(), signal.SIGHUP)
        assert bell.wait(60)
        assert (bell.reloading, bell.stopping) == (True, False)
    assert signal.getsignal(signal.SIGHUP) is before


def test_where_the_terminal_is_closed_a_hangup_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    bell, open_ = Bell(), {0}
    monkeypatch.setattr(os, "isatty", lambda file: file in open_)
    with reloads_on_signal(bell):
        os.kill(os.getpid(), signal.SIGHUP)
        assert (bell.reloading, bell.stopping) == (True, False)
        open_.clear()
        os.kill(os.getpid(), signal.SIGHUP)
    assert bell.stopping


def test_a_hangup_that_was_ignored_stays_so() -> None:
    bell = Bell()
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with reloads_on_signal(bell):
            os.kill(os.getpid(), signal.SIGHUP)
        assert not (bell.reloading or bell.stopping)
    finally:
        signal.signal(signal.SIGHUP, before)
