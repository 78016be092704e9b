"""Wake-ups of the main loop, the signals that cause them, and the delays between retries."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from threading import Thread, get_ident

import pytest

from stylewatch_daemon.base.wakeup import Backoff, Intent, Pauses, Wakeup, woken_by_signals


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


def assert_stops(wakeup: Wakeup) -> None:
    assert wakeup.stopping and wakeup.intent is Intent.STOP


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_stop_ends_a_restart_and_a_second_one_interrupts(number: int) -> None:
    wakeup, before = Wakeup(), signal.getsignal(number)
    with woken_by_signals(wakeup):
        wakeup.restart()
        assert wakeup.intent is Intent.RESTART
        os.kill(os.getpid(), number)
        assert wakeup.wait(60)
        assert_stops(wakeup)
        wakeup.restart()
        assert_stops(wakeup)  # a signal to stop counts more
        wakeup.stay()
        assert_stops(wakeup)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


HELD = """
import os, signal, sys, threading, time
from stylewatch_daemon.base.wakeup import Wakeup, woken_by_signals
threads = int(sys.argv[1])
for _ in range(threads):
    threading.Thread(target=threading.Event().wait, daemon=True).start()
with woken_by_signals(wakeup := Wakeup()):
    wakeup.restart()
for number in (signal.SIGHUP, signal.SIGTERM):
    os.kill(os.getpid(), number)
    time.sleep(0.2)
with woken_by_signals(wakeup := Wakeup()):
    sys.exit(7 if wakeup.wait(60) and wakeup.stopping else 1)
"""


@pytest.mark.parametrize(("threads", "code"), [(0, 7), (1, -signal.SIGTERM)])
def test_signals_are_held_until_they_can_be_handled_and_one_to_stop_is_never_lost(
    threads: int, code: int
) -> None:
    """A thread that was abandoned does not hold them."""
    ended = subprocess.run([sys.executable, "-c", HELD, str(threads)], timeout=60, check=False)
    assert ended.returncode == code


def test_a_terminal_that_was_closed_during_a_restart_stops_the_daemon(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setattr(os, "isatty", lambda file: False)
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # `nohup make test` ignores it
    request.addfinalizer(partial(signal.signal, signal.SIGHUP, before))
    for known in ((), (1,)):
        with woken_by_signals(wakeup := Wakeup(), known):
            os.kill(os.getpid(), signal.SIGHUP)
            assert wakeup.wait(60)
        assert (wakeup.stopping, wakeup.reloading) == (bool(known), not known)


def test_a_signal_that_comes_too_late_changes_no_exit_code() -> None:
    program = """
import os, signal
from stylewatch_daemon.base.wakeup import SIGNALS, Wakeup, woken_by_signals
with woken_by_signals(Wakeup()):
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    for number in SIGNALS:
        os.kill(os.getpid(), number)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


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
