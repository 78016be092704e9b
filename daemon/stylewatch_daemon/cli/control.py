"""`stylewatch pause`, `resume`, `drain`: what the daemon is to do with what waits."""

import time
from pathlib import Path

from stylewatch_daemon.cli import options
from stylewatch_daemon.cli.client import Daemon, StateFolder, daemon
from stylewatch_daemon.cli.console import say

ANSWERS_WITHIN = 5.0
"""Seconds that a daemon gets to act; one that paints looks for requests at every step."""

LOOK_EVERY = 0.02

LATER = "asked; the daemon has not answered yet, and will as soon as it can"


def pause(config_file: options.Config = None, state: StateFolder = None) -> None:
    """Let the daemon begin nothing new; what it paints is finished. Holds over restarts."""
    _ask(daemon(config_file, state), "pause", "paused: nothing new is begun")


def resume(config_file: options.Config = None, state: StateFolder = None) -> None:
    """Let the daemon go on with what waits."""
    _ask(daemon(config_file, state), "resume", "resumed: what waits is begun")


def drain(config_file: options.Config = None, state: StateFolder = None) -> None:
    """Let the daemon finish what it paints, and leave; what waits is kept for its next start."""
    here = daemon(config_file, state)
    if not here.is_at_work():
        say(f"there is nothing to drain: no daemon is at work with {here.state}")
        return
    _ask(here, "drain", "draining: what is being painted is finished, then the daemon leaves")


def _ask(here: Daemon, verb: str, acted: str) -> None:
    request = here.ask(verb)
    if not here.is_at_work():
        say(f"noted for the next start: no daemon is at work with {here.state}")
    elif is_gone(request):
        say(acted)
    else:
        say(LATER)


def is_gone(request: Path) -> bool:
    """Wait for the daemon to act; return True if it did in time."""
    until = time.monotonic() + ANSWERS_WITHIN
    while request.exists():
        if time.monotonic() >= until:
            return False
        time.sleep(LOOK_EVERY)
    return True
