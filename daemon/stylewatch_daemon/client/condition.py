"""The condition of the daemon: its current work, in the same words for commands, page and API.

The sentences are public, so they name no job and no folder.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal


@dataclass(frozen=True)
class Condition:
    """A condition of the daemon: a `word` for programs and a `sentence` for people."""

    word: str
    sentence: str
    is_ready: bool = False
    """True if new jobs start."""
    color: Literal["green", "amber", "red"] = "amber"
    """Green if all is well, amber if something needs attention, red if no job can run."""


NOT_RUNNING = Condition(
    "not running",
    "stylewatch is not running: new jobs wait until it is started.",
    color="red",
)
DIED = Condition(
    "died",
    "stylewatch is not running: it was killed, or crashed. Its jobs go on once it is started.",
    color="red",
)
STARTING = Condition("starting", "stylewatch is starting.", color="green")
RESTARTING = Condition(
    "restarting",
    "Starting anew with the current settings: running jobs are saved, and go on by themselves.",
    color="green",
)
STOPPING = Condition(
    "stopping", "Stopping: running jobs are saved, and go on once stylewatch is started again."
)
DRAINING = Condition("draining", "Draining: running jobs are finished, then stylewatch stops.")
PAUSED = Condition("paused", "Paused: running jobs are finished, and no new job starts.")
BLOCKED = Condition("blocked", "Some jobs cannot run now.")
OLD_SETTINGS = Condition(
    "old settings",
    "Jobs run with the earlier settings: the new ones cannot be taken.",
    is_ready=True,
)
RUNNING = Condition(
    "running", "Everything works: pictures are being painted.", is_ready=True, color="green"
)
IDLE = Condition("idle", "Everything works: no job is running.", is_ready=True, color="green")
TRYING = Condition(
    "trying",
    "Previews are painted for the page: a job that is paused for them goes on by itself.",
    is_ready=True,
    color="green",
)
LEARNING = Condition(
    "learning",
    "A style is learned: the photographs that wait for it are painted after that.",
    is_ready=True,
    color="green",
)
RESTING = Condition("resting", "Outside of executor.hours.", color="green")

CONDITIONS = (
    NOT_RUNNING, DIED, STARTING, RESTARTING, STOPPING, DRAINING, PAUSED, BLOCKED, RESTING,
    TRYING, OLD_SETTINGS, RUNNING, LEARNING, IDLE,
)  # fmt: skip

PAUSED_TOO = "It is paused, too: after that no job starts until someone resumes it."


def outside_hours(opens: datetime) -> str:
    """Return the sentence of RESTING, with the time from which jobs run again."""
    return f"Outside of executor.hours: jobs run from {opens:%H:%M}."


def condition(status: Mapping[str, Any]) -> Condition:
    """Return the condition of the daemon that follows from its status, as in status.json."""
    health = status["health"]
    found = _found(health, status["counts"]["running"])
    also = list[str]()
    if health["paused"] and found is not PAUSED:
        also.append(PAUSED_TOO)
    if health["opens"] and health["at_work"]:
        also.append(outside_hours(datetime.fromisoformat(health["opens"])))
    first = [] if found is RESTING else [found.sentence]
    return replace(found, sentence=" ".join([*first, *also]))


def _found(health: Mapping[str, Any], running: int) -> Condition:
    """Return the most important condition that holds; a daemon in it may be paused as well.

    `running` is the number of running jobs.
    """
    is_gone = not health["at_work"]
    said_so = health["stopping"] or health["since"] is None
    # settings that cannot be taken are a problem that keeps no job waiting
    of_settings = 1 if health["old_settings"] else 0
    rules = (
        (is_gone and not said_so, DIED),
        (is_gone, NOT_RUNNING),
        (health["since"] is None, STARTING),
        (health["restarting"], RESTARTING),
        (health["stopping"], STOPPING),
        (health["draining"], DRAINING),
        (health["paused"], PAUSED),
        (len(health["trouble"]) > of_settings, BLOCKED),
        (health["opens"], RESTING),
        (health["trying"], TRYING),
        (health["old_settings"], OLD_SETTINGS),
        (running, RUNNING),
        (health["learning"], LEARNING),
    )
    for holds, condition in rules:
        if holds:
            return condition
    return IDLE
