"""Wake-ups of the main loop, the signals that cause them, and the delays between retries."""

import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from threading import Thread, get_ident

import pytest

from stylewatch_daemon.base.wakeup import Backoff, Pauses, Wakeup, woken_by_signals


def test_what_threads_post_is_called_in_order_by_the_loop_that_waits() -> None:
    wakeup, called = Wakeup(), list[tuple[int, int]]()
    for number in range(3):
        call = partial(lambda number: called.append((number, get_ident())), number)
        thread = Thread(target=wakeup.post, args=[call])
        thread.start()
        thread.join()
    wakeup.post(wakeup.request_scan)  # a call that wakes the loop again
    assert (called, wakeup.scan_requested) == ([], False)
    assert wakeup.wait(0)
    assert called == [(number, get_ident()) for number in range(3)]
    assert wakeup.wait(60) and wakeup.scan_requested
    assert not wakeup.wait(0) and wakeup.scan_requested, "until somebody clears it"


def test_a_guard_makes_the_calls_and_an_error_of_one_keeps_none_from_the_others() -> None:
    wakeup, events = Wakeup(), list[str]()

    def guard(call: Callable[[], object]) -> None:
        try:
            call()
        except KeyError as error:
            events.append(f"error {error}")

    def fail() -> None:
        raise KeyError(1)

    wakeup.guard = guard
    for call in (fail, lambda: events.append("called")):
        wakeup.post(call)
    assert wakeup.wait(0)
    assert events == ["error 1", "called"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_and_a_second_one_interrupts(number: int) -> None:
    wakeup, before = Wakeup(), signal.getsignal(number)
    with woken_by_signals(wakeup):
        os.kill(os.getpid(), number)
        assert wakeup.wait(60) and wakeup.stopping
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


def test_a_second_request_to_reload_does_not_end_the_process_between_two_daemons() -> None:
    before = signal.signal(signal.SIGHUP, lambda number, frame: sys.exit(1))
    try:
        with woken_by_signals(wakeup := Wakeup()):
            os.kill(os.getpid(), signal.SIGHUP)
            assert wakeup.wait(60) and (wakeup.reloading or wakeup.stopping)
            wakeup.stopping = False  # it has no terminal
        os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_name_waits_longer_each_time_until_it_is_forgotten() -> None:
    now = 0.0
    pauses = Pauses[str](Backoff(first=2.0, most=60.0), lambda: now)
    for _ in range(3):
        pauses.begin("a")  # no longer while it waits
    assert pauses.held() == {"a"} and pauses.soonest() == 2.0
    now = 2.0
    assert pauses.held() == frozenset() and pauses.all() == {"a"} and pauses.soonest() is None
    pauses.begin("a")
    pauses.begin("b")
    now = 5.0
    assert pauses.held() == {"a"}
    now = 6.0
    pauses.begin("a")
    assert pauses.soonest() == 8.0
    pauses.forget("a")
    assert pauses.all() == {"b"}
