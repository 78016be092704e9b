"""Hooks run after a job, with what they need to know, harm nothing, and outlast restarts."""

import errno
import json
import os
import sys
import tempfile
import threading
import time
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from tests.daemon import world
from tests.daemon.faults import failing, replaced
from tests.daemon.states import ended_job
from tests.daemon.world import DaemonWorld
from tests.e2e.daemon import until

from stylewatch_daemon.app import hooks as runner
from stylewatch_daemon.app.hooks import HookRunner
from stylewatch_daemon.app.loop import Loop
from stylewatch_daemon.base.model import PICTURES, End, OutputFile
from stylewatch_daemon.ledger.ledger import Hook
from stylewatch_daemon.ledger.writer import LedgerWriter
from stylewatch_daemon.settings.sections import HookSettings
from stylewatch_daemon.worker.messages import FileStaged, Order

RECORD = """
import json, os, sys
about = {key: value for key, value in os.environ.items() if key.startswith("STYLEWATCH_")}
with open(sys.argv[1], "a") as file:
    print(json.dumps(about), file=file)
"""


def python(program: str, *words: object) -> tuple[str, ...]:
    return (sys.executable, "-c", program, *map(str, words))


def jobs_in(log: Path) -> list[str]:
    return [json.loads(line)["STYLEWATCH_JOB"] for line in log.read_text().splitlines()]


class HookWorld(DaemonWorld):
    """A daemon with hooks, and jobs that have just ended."""

    def __init__(self, root: Path, hooks: HookSettings) -> None:
        super().__init__(root, hooks=hooks)
        self.start()

    @property
    def ledger(self) -> LedgerWriter:
        return self.loop.jobs.ledger

    def end(self, name: str, end: End, reason: str = "", final: str = "") -> Loop:
        """Record the end of a job, as `Jobs` does."""
        refused_as = None if end in PICTURES else f"_refused/{name}"
        job = ended_job(name, end, reason)
        job = replace(job, outbox=str(self.outbox), refused_as=refused_as)
        with self.ledger.transaction():
            self.ledger.put(job)
            if final:
                self.ledger.put_files(job.id, [OutputFile(f"{job.title}/{final}", "final", "", 0)])
            if self.settings.hooks.of(end)[1]:
                self.ledger.put_hook(job.id)
        return self.loop


def test_each_hook_gets_its_jobs_with_paths_and_reasons(tmp_path: Path) -> None:
    log, out = tmp_path / "log", tmp_path / "out"
    record = python(RECORD, log)
    world = HookWorld(tmp_path, HookSettings(done=record, failed=record))
    world.end("$(sea) 'x'", End.STOPPED_EARLY, final="sea by gatys.png")
    world.end("bad", End.REFUSED, "it holds text")
    world.end("gone", End.CANCELED)
    world.end("worse", End.FAILED, "a fault")
    world.loop.stop()
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    keys = ("JOB", "STATE", "FOLDER", "PICTURE", "RECEIPT", "REASON")
    folder = out / "$(sea) 'x'"
    done = ["$(sea) 'x'", "done", str(folder), f"{folder}/sea by gatys.png"]
    assert [[row[f"STYLEWATCH_{key}"] for key in keys] for row in rows] == [
        [*done, f"{folder}/receipt.json", ""],
        ["bad", "refused", f"{out}/_refused/bad", "", "", "it holds text"],
        ["worse", "failed", f"{out}/_refused/worse", "", "", "a fault"],
    ]


def test_paths_are_those_of_the_ledger_whatever_others_put_into_the_outbox(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A receipt may be forged, or become a pipe, which keeps those waiting who open it (law 11)."""

    def staged(order: Order, name: str, step: int, **more: bool) -> FileStaged:
        announced = stage(order, name, step, **more)
        if name == "receipt.json":
            (order.staging / name).write_text('{"final": "final.png"}')
        return announced

    stage, log = world.stage, tmp_path / "log"
    monkeypatch.setattr(world, "stage", staged)
    daemon = DaemonWorld(tmp_path, hooks=HookSettings(done=python(RECORD, log), timeout_s=20))
    daemon.drop("forged", "pipe")
    with monkeypatch.context() as patch:
        patch.setattr(HookRunner, "go_on", lambda self: None)
        daemon.run()
    for job, folder, _ in daemon.record.of("ended"):
        receipt = folder / "receipt.json"
        receipt.unlink()
        if job.name == "pipe":
            os.mkfifo(receipt)
        else:
            receipt.write_text('{"final": "../../secret"}')
    daemon.loop.stop()
    pictures = [json.loads(line)["STYLEWATCH_PICTURE"] for line in log.read_text().splitlines()]
    assert pictures == [f"{tmp_path}/out/{name}/final.png" for name in ("forged", "pipe")]
    daemon.close()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("STYLEWATCH_ALERTS__URLS", "[json://password@server]"),
        ("STYLEWATCH_alerts__Urls", "[json://password@server]"),
        ("STYLEWATCH_ALERTS", "{urls: [json://password@server]}"),
    ],
)
def test_secrets_of_the_settings_are_not_inherited(
    name: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    monkeypatch.setenv(name, value)
    monkeypatch.setenv("STYLEWATCH_STATE__PATH", "here")  # `stylewatch show` needs it
    HookWorld(tmp_path, HookSettings(failed=python(RECORD, log))).end("bad", End.FAILED).stop()
    text = log.read_text()
    assert json.loads(text)["STYLEWATCH_STATE__PATH"] == "here"
    assert "password" not in text


def test_only_the_end_of_the_output_is_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Output(BytesIO):
        """What a hook has written; it has no place in the memory as a whole."""

        def read(self, size: int | None = -1) -> bytes:
            assert size is not None and 0 <= size <= 1 << 16
            return super().read(size)

    output = Output(b"x" * (1 << 20) + b"the end")
    assert runner._tail(output).endswith(b"xxx" + b"the end")
    loud = python("import sys; print('x' * (1 << 20) + 'the end'); sys.exit(1)")
    HookWorld(tmp_path, HookSettings(failed=loud)).end("bad", End.FAILED).stop()
    (record,) = caplog.records
    assert len(record.getMessage()) < 400 and record.getMessage().endswith("xxthe end")


def test_a_stopping_daemon_does_not_wait_for_a_thread_that_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a program on a share that does not answer."""
    ever = threading.Event()
    monkeypatch.setattr(runner._Running, "run", lambda *_: ever.wait(60) and "")
    loop = HookWorld(tmp_path, HookSettings(failed=("anything",), timeout_s=0.1)).end(
        "bad", End.FAILED
    )
    vars(loop)["_clock"] = time.monotonic
    loop.stop()
    assert "hook" in {thread.name for thread in threading.enumerate()}
    ever.set()


@pytest.mark.parametrize(
    ("owner", "name", "error", "logged"),
    [
        (tempfile, "TemporaryFile", OSError(errno.ENOSPC, "No space left on device"),
         "hooks.failed could not run: the disk: No space left on device"),
        (runner._Running, "run", KeyError("unforeseen"), "KeyError: 'unforeseen'"),
    ],
    ids=["no room for its output", "a fault of ours"],
)  # fmt: skip
def test_an_error_of_one_hook_is_logged_and_the_next_one_runs(
    owner: object, name: str, error: Exception, logged: str, tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    log = tmp_path / "log"
    world = HookWorld(tmp_path, HookSettings(failed=python(RECORD, log)))
    with replaced(owner, **{name: failing(error, 1, getattr(owner, name))}):
        world.end("bad", End.FAILED)
        world.end("worse", End.FAILED).stop()
    assert logged in caplog.text
    assert ("a fault of stylewatch" in caplog.text) is isinstance(error, KeyError)
    assert jobs_in(log) == ["worse"]


def is_dead(pid: int) -> bool:
    """Return whether a process is gone, or a zombie that its new parent has yet to reap."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


SLOW = """
import os, sys, time
if os.fork() == 0:
    open(sys.argv[1], "w").write(str(os.getpid()))
time.sleep(600)
"""


def test_a_hook_that_fails_or_hangs_is_logged_and_the_next_one_runs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log, pid = tmp_path / "log", tmp_path / "pid"
    broken = python("import sys; print('no room\\n\\x1b[31m'); sys.exit(3)")
    missing = ("/nowhere/at-all",)
    world = HookWorld(tmp_path, HookSettings(done=python(SLOW, pid), failed=broken, timeout_s=5))
    world.end("bad", End.FAILED)
    world.end("slow", End.DONE).stop()
    until(lambda: is_dead(int(pid.read_text())))  # the group of the hook is killed
    world = HookWorld(tmp_path, HookSettings(done=missing, failed=python(RECORD, log)))
    world.end("sea", End.DONE)
    world.end("last", End.FAILED).stop()
    assert [(record.__dict__["job"], record.getMessage()) for record in caplog.records] == [
        ("bad", "hooks.failed ended with exit code 3: no room??[31m"),
        ("slow", "hooks.done was killed after 5 s"),
        ("sea", "hooks.done could not run /nowhere/at-all: No such file or directory"),
    ]
    assert jobs_in(log) == ["last"]


# -- the ledger (law 15)


def test_a_hook_that_was_interrupted_is_not_repeated(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = tmp_path / "log"
    world = HookWorld(tmp_path, HookSettings(done=python(RECORD, log)))
    world.end("sea", End.DONE)
    hook = world.ledger.next_hook()
    assert hook is not None
    world.ledger.begin_hook(hook.id)
    world.start().stop()
    assert not log.exists() and caplog.messages == [
        "hooks.done was interrupted when stylewatch ended, and is not repeated"
    ]


def test_no_hook_runs_that_was_taken_out_of_the_settings_or_whose_job_was_deleted(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    world = HookWorld(tmp_path, HookSettings(done=python(RECORD, log), failed=("anything",)))
    world.end("sea", End.FAILED)
    world.end("sky", End.DONE)
    world.ledger.delete(ended_job("sky", End.DONE).id)
    world.settings = world.settings.model_copy(
        update={"hooks": HookSettings(done=python(RECORD, log))}
    )
    world.start()
    world.end("last", End.DONE).stop()
    assert jobs_in(log) == ["last"] and world.ledger.next_hook() is None


def test_a_hook_that_runs_during_a_restart_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The process is the same, and so are its children (law 15)."""
    go = tmp_path / "go"
    waiting = f"while [ ! -e {go} ]; do sleep 0.01; done; exit 3"
    world = HookWorld(tmp_path, HookSettings(done=("sh", "-c", waiting)))
    world.end("sea", End.DONE)
    earlier = HookRunner(world.loop.jobs, lambda call: None)  # its image of the process is gone
    earlier.go_on()
    left = earlier.left()
    assert left is not None and world.ledger.next_hook() == Hook(left.id, "id-sea", begun=True)
    world.ledger.delete("id-sea")  # whatever becomes of the job
    os.write(left.output, b"no room")
    child = os.posix_spawn("/bin/sh", ["sh", "-c", waiting], {})  # of that image
    left = left._replace(pid=child, since=time.monotonic())
    hooks = HookRunner(world.loop.jobs, world.loop.wakeup.post, left)
    assert hooks.in_work
    go.touch()
    world.loop.hooks = hooks
    world.loop.stop()
    assert earlier._running is not None
    earlier._running.files.close()
    assert not hooks.in_work
    assert caplog.messages == ["hooks.done ended with exit code 3: no room"]
