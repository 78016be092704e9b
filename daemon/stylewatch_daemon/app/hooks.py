"""Hooks: commands of the user that run when a job has ended, one after the other in a thread.

Nothing in the outbox is opened for a hook, because others may write there (law 11): paths are those
of the ledger.
"""

import logging
import os
import queue
import signal
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from time import monotonic
from typing import IO, Self

from stylewatch_daemon.base.events import Reporter
from stylewatch_daemon.base.model import PICTURES, REFUSALS, End, Job
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.outbox.publish import RECEIPT
from stylewatch_daemon.settings.config import VARIABLE
from stylewatch_daemon.settings.sections import Hooks

OUTPUT_CHARACTERS = 300
"""Characters from the end of a failed command's output that the log gets."""

TAIL = 4096
"""Bytes from the end of a command's output that are read: it may be longer than the memory."""

KILLED_S = 5.0
"""Timeout in seconds for a killed command to end, which a disk that hangs may prevent."""

SECRETS = f"{VARIABLE}ALERTS__"
"""Start of the names of the daemon's variables that a command does not inherit: URLs of alerts
contain passwords."""

HOOK_OF_END: Mapping[End | None, str] = {
    **dict.fromkeys(PICTURES, "done"),
    **dict.fromkeys(REFUSALS, "failed"),
}
"""Name of the hook for each end of a job that has one."""


@dataclass(frozen=True)
class _Call:
    """A call of the hook `name`, for a job with its output folder and its final picture, if any."""

    name: str
    command: Sequence[str]
    timeout_s: float
    job: Job
    folder: Path
    final: Path | None

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables that describe the job; paths of missing files are empty."""
        is_done = self.name == "done"
        values = {
            "JOB": shown(self.job.title),
            "STATE": "done" if is_done else self.job.end,
            "FOLDER": self.folder,
            "PICTURE": self.final or "",
            "RECEIPT": self.folder / RECEIPT if self.final else "",
            "REASON": "" if is_done else self.job.reason,
        }
        return {f"{VARIABLE}{name}": str(value) for name, value in values.items()}


class HookRunner(Reporter):
    """Runner, in a thread, of the commands in `hooks`, which can be replaced for later jobs.

    A command that fails or exceeds `timeout_s` is logged, and nothing else: the job has ended by
    then. Leaving the context runs what still waits, for `timeout_s` in total, unless a second
    signal interrupted the daemon. A thread that hangs even so is abandoned.
    """

    def __init__(self, hooks: Hooks) -> None:
        self.hooks = hooks
        self._log = logging.getLogger(__name__)
        self._waiting: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._deadline = float("inf")
        self._thread = threading.Thread(target=self._run_all, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not KeyboardInterrupt:
            self.finish(self.hooks.timeout_s)

    def finish(self, total_s: float = float("inf")) -> None:
        """Run what still waits, for `total_s` seconds in total; run nothing afterwards."""
        self._deadline = min(self._deadline, monotonic() + total_s)
        self._waiting.put(None)
        left = self._deadline + KILLED_S - monotonic()
        self._thread.join(max(0.0, left) if isfinite(left) else None)

    def ended(self, job: Job, folder: Path, final: Path | None = None) -> None:
        """Run the hook for this end of a job, if it is set."""
        name = HOOK_OF_END.get(job.end)
        if name and (command := getattr(self.hooks, name)):
            self._waiting.put(_Call(name, command, self.hooks.timeout_s, job, folder, final))

    def _run_all(self) -> None:
        while (call := self._waiting.get()) is not None:
            timeout_s = min(call.timeout_s, self._deadline - monotonic())
            if timeout_s <= 0:
                problem = "did not run before the daemon stopped"
            else:
                try:
                    problem = _run(call, timeout_s)
                except Exception as error:  # otherwise no later hook would run
                    problem = f"could not run: {error}"
            if problem:
                job = shown(call.job.title)
                self._log.warning("hooks.%s %s", call.name, problem, extra={"job": job})


def _run(call: _Call, timeout_s: float) -> str:
    """Run the command of a hook; return what went wrong, or an empty string.

    It gets a process group of its own, which is killed when the time is over.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(SECRETS)}
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(
                call.command, env={**inherited, **call.variables}, start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            )  # fmt: skip
        except OSError as error:
            return f"could not run {call.command[0]}: {error.strerror or error}"
        try:
            code = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            with suppress(subprocess.TimeoutExpired):
                process.wait(KILLED_S)
            return f"was killed after {timeout_s:.0f} s"
        if code == 0:
            return ""
        text = _tail(output).decode(errors="replace")
    return f"ended with exit code {code}: {shown(text.strip()[-OUTPUT_CHARACTERS:])}"


def _tail(output: IO[bytes]) -> bytes:
    """Return the last TAIL bytes of a file."""
    length = output.seek(0, os.SEEK_END)
    output.seek(max(0, length - TAIL))
    return output.read(TAIL)
