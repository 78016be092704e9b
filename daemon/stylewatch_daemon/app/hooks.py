"""Hooks: commands of the user that run when a job has ended, one after the other.

The end of a job is recorded in the ledger together with the hooks that should run. Nothing in the
outbox is opened for a hook, because others may write there (law 11): paths are read from the
ledger.
"""

import logging
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from threading import Event, Thread
from time import monotonic, sleep
from typing import IO, NamedTuple, Protocol

from stylewatch_daemon.base import shortages
from stylewatch_daemon.base.lanes import Post
from stylewatch_daemon.base.model import PICTURES, Job, final_of
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.jobs.jobs import Jobs
from stylewatch_daemon.outbox.publish import RECEIPT
from stylewatch_daemon.settings.config import VARIABLE, key_of_variable

OUTPUT_CHARACTERS = 300
"""Maximum number of characters that the log gets from the end of a failed command's output."""

TAIL = 4096
"""Maximum number of bytes that are read from the end of a command's output, because the whole
output may not fit into memory."""

KILLED_S = 5.0
"""Timeout in seconds for a killed command to end, which a disk that hangs may prevent."""

STARTED_S = 10.0
"""Timeout in seconds for the start of a command, which a disk that hangs may prevent."""

POLL_S = 0.1
"""Interval in seconds between two checks whether an inherited command has ended: one that an
earlier image of this process began."""


class LeftHook(NamedTuple):
    """A hook that runs while the daemon starts anew, in the same process (law 15)."""

    id: int
    name: str
    """Key of the hook in the settings."""
    job: str
    """Title of the job, as in the log."""
    pid: int
    since: float
    """Time at which the hook began, by the monotonic clock in seconds."""
    output: int
    """Descriptor of the file with its output."""


class HookRunner:
    """Runner of the hooks in the ledger of `jobs`; `post` makes the main loop call a function.

    Only the main loop calls the methods; a thread waits for the command. A hook that fails is only
    logged, because the job has ended by then; a hook that takes longer than `hooks.timeout_s` is
    killed and logged. A hook that was running when the daemon ended is not repeated, except `left`:
    it goes on after a restart.
    """

    def __init__(self, jobs: Jobs, post: Post, left: LeftHook | None = None) -> None:
        self._jobs = jobs
        self._post = post
        self._left = left
        self._running: _Running | None = None

    @property
    def is_running(self) -> bool:
        """True while a command runs."""
        return self._running is not None

    @property
    def in_work(self) -> bool:
        """True while a hook runs or waits; raises OutputError if the ledger cannot be read."""
        if self._running is not None or self._left is not None:
            return True
        return self._jobs.ledger.next_hook() is not None

    def go_on(self) -> None:
        """Begin the next hook, unless one runs; raises OutputError if the ledger cannot be used.

        A hook that an earlier image of this process began goes on first. A hook is dropped if its
        job or its command is gone, or if it was running when a daemon ended.
        """
        if self._running is not None:
            return
        if self._left is not None:
            left = self._left
            self._left = None
            running = _Running(left.id, left.name, left.job, left.since)
            output = running.files.enter_context(os.fdopen(left.output, "rb"))
            self._start(running, partial(running.go_on, _Adopted(left.pid), output))
            return
        hook = self._jobs.ledger.next_hook()
        if hook is None:
            return
        job = self._jobs.ledger.get(hook.job)
        key, words = ("", ()) if job is None else self._jobs.settings.hooks.of(job.end)
        if job is None or not words:  # the job was deleted, or the hook removed from the settings
            self._jobs.ledger.remove_hook(hook.id)
            return
        running = _Running(hook.id, key, shown(job.title), monotonic())
        if hook.begun:
            self._ended(running, "was interrupted when stylewatch ended, and is not repeated")
            return
        self._jobs.ledger.begin_hook(hook.id)
        self._start(running, partial(running.run, words, self._variables(job)))

    def _start(self, running: "_Running", work: Callable[[float], str]) -> None:
        """Start a thread that does the `work` of a hook, and posts what went wrong when it ends.

        `work` gets the seconds that are left of the hook's time.
        """
        self._running = running
        timeout_s = self._jobs.settings.hooks.timeout_s - (monotonic() - running.since)

        def run() -> None:
            try:
                problem = work(max(0.0, timeout_s))
            except OSError as error:
                problem = f"could not run: {shortages.in_words(error)}"
            except Exception as error:  # without a result, no later hook would run
                logging.getLogger(__name__).exception("a fault of stylewatch; please report it")
                problem = f"could not run: {error}"
            finally:
                running.has_begun.set()
            self._post(partial(self._ended, running, problem))

        try:
            Thread(target=run, name="hook", daemon=True).start()
        except RuntimeError as error:
            self._ended(running, f"could not run: {shortages.no_process(error)}")

    def _variables(self, job: Job) -> Mapping[str, str]:
        """Return environment variables that describe a job; paths of missing files are empty."""
        outbox = Path(job.outbox)
        files = self._jobs.ledger.files(job.id)
        folder = outbox / job.folder
        picture = final_of(files)
        final = "" if picture is None else outbox / picture.path
        is_done = job.end in PICTURES
        values = {
            "JOB": shown(job.title),
            "STATE": "done" if is_done else job.end,
            "FOLDER": folder,
            "PICTURE": final,
            "RECEIPT": folder / RECEIPT if final else "",
            "REASON": "" if is_done else job.reason,
        }
        return {f"{VARIABLE}{name}": str(value) for name, value in values.items()}

    def _ended(self, running: "_Running", problem: str) -> None:
        """Forget a hook, and log the `problem` with it, if any.

        Raises OutputError if the ledger cannot be used.
        """
        self._jobs.ledger.remove_hook(running.id)
        self._running = None
        running.files.close()
        if problem:
            log = logging.getLogger(__name__)
            log.warning("hooks.%s %s", running.name, problem, extra={"job": running.job})

    def left(self) -> LeftHook | None:
        """Return the hook that runs, for the next image of this process.

        Returns None if none runs, or if its command could not be started within STARTED_S.
        """
        if self._left is not None:  # the ledger could not be read yet
            return self._left
        running = self._running
        if running is None or not running.has_begun.wait(STARTED_S):
            return None
        if running.command is None or running.output is None:
            return None
        pid = running.command.pid
        output = os.dup(running.output.fileno())
        return LeftHook(running.id, running.name, running.job, pid, running.since, output)

    def kill(self) -> None:
        """Kill the command that runs; the hooks that wait run after the next start."""
        if self._running is not None:
            self._running.kill()


def _is_secret(name: str) -> bool:
    """Return whether a variable holds settings of alerts, whose URLs contain passwords."""
    return key_of_variable(name).partition(".")[0] == "alerts"


def _popen(words: Sequence[str], variables: Mapping[str, str], output: IO[bytes]) -> "_Command":
    """Start the command `words` in a process group of its own.

    Its environment has `variables`, but no settings of alerts; its output goes to `output`.
    """
    inherited = {name: value for name, value in os.environ.items() if not _is_secret(name)}
    return subprocess.Popen(
        words, env={**inherited, **variables}, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
    )  # fmt: skip


class _Command(Protocol):
    """A process that was started."""

    @property
    def pid(self) -> int:
        """Id of the process and of its group."""

    def wait(self, timeout: float) -> int:
        """Wait for the process; return its exit code, negative after a signal.

        Raises subprocess.TimeoutExpired after `timeout` seconds.
        """


class _Adopted:
    """A process that an earlier image of this process started."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def wait(self, timeout: float) -> int:
        """Wait for the process; return its exit code, negative after a signal.

        Raises subprocess.TimeoutExpired after `timeout` seconds, ChildProcessError if the exit code
        is lost because the process ended during the restart.
        """
        until = monotonic() + timeout
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            if monotonic() >= until:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            sleep(POLL_S)


class _Running:
    """A hook that is running; `name` is its key in the settings, `job` the title of the job.

    It began at the time `since` of the monotonic clock, in seconds. It has a `command` once the
    process exists.
    """

    def __init__(self, hook_id: int, name: str, job: str, since: float) -> None:
        self.id = hook_id
        self.name = name
        self.job = job
        self.since = since
        self.command: _Command | None = None
        self.output: IO[bytes] | None = None
        """The file with its output; None until the process exists."""
        self.has_begun = Event()
        self.files = ExitStack()
        """Files that are open until the main loop forgets the hook."""

    def run(self, words: Sequence[str], variables: Mapping[str, str], timeout_s: float) -> str:
        """Run a command; return what went wrong, or an empty string.

        Raises OSError if no temporary file can be created.
        """
        with ExitStack() as opened:
            output = opened.enter_context(tempfile.TemporaryFile(dir=shortages.temporary_folder()))
            self.files = opened.pop_all()
        try:
            command = _popen(words, variables, output)
        except OSError as error:
            return f"could not run {error.filename or words[0]}: {error.strerror or error}"
        return self.go_on(command, output, timeout_s)

    def go_on(self, command: _Command, output: IO[bytes], timeout_s: float) -> str:
        """Wait for a command that has begun; return what went wrong, or an empty string.

        The string is also empty if the exit code is unknown. A command that takes longer than
        `timeout_s` is killed.
        """
        self.output = output
        self.command = command
        self.has_begun.set()
        try:
            code = command.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            with suppress(subprocess.TimeoutExpired):
                command.wait(KILLED_S)
            return f"was killed after {monotonic() - self.since:.0f} s"
        except ChildProcessError:  # it ended while the process started anew
            return ""
        if code == 0:
            return ""
        text = _tail(output).decode(errors="replace").strip()
        said = f": {shown(text[-OUTPUT_CHARACTERS:])}" if text else ""
        return f"ended with exit code {code}{said}"

    def kill(self) -> None:
        """Kill the command, and all processes that it started in its group."""
        if self.command is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.command.pid, signal.SIGKILL)


def _tail(output: IO[bytes]) -> bytes:
    """Return at most the last TAIL bytes of a file."""
    length = output.seek(0, os.SEEK_END)
    output.seek(max(0, length - TAIL))
    return output.read(TAIL)
