"""The status of a daemon as others read it, and ended jobs, for tests."""

import json
from pathlib import Path
from typing import Any

from stylewatch_daemon.base.model import End, Job, State, now
from stylewatch_daemon.client import status_json


def publish(state: Path, counts: Any = None, health: Any = None, **status: Any) -> None:
    """Publish `status` as a daemon does; `counts` and `health` have what is not as usual."""
    state.mkdir(exist_ok=True)
    plain = status_json.nothing() | status
    plain["counts"] |= counts or {}
    plain["health"] |= {"at_work": True, "since": now(), "version": "1.0", "pid": 7}
    plain["health"] |= health or {}
    new = state / ".new"
    new.write_text(json.dumps(plain))
    new.replace(state / status_json.FILE_NAME)


def running(name: str, **more: Any) -> dict[str, Any]:
    """A running job as status.json has it."""
    return {
        "job": name, "id": f"id-{name}", "step": 3, "steps": 50, "loss": 0.25, "size": [48, 36],
        "seconds_left": 9.5, "device": "cpu", "unit": "step", **more,
    }  # fmt: skip


def incomplete(name: str, waits_for: str = "a style", *files: str | Path) -> dict[str, Any]:
    """An incomplete pair as status.json has it."""
    plain = {"name": name, "waits_for": waits_for, "files": [str(file) for file in files]}
    return {**plain, "may_be_style": []}


def ended_job(name: str, end: End, reason: str = "") -> Job:
    """A job called `name` that has ended."""
    return Job(f"id-{name}", name, "in", "out", now(), state=State.ENDED, end=end, reason=reason)
