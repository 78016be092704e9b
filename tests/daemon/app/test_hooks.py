"""Hooks of the user run after a job, with what they need to know, and harm nothing."""

import errno
import json
import os
import sys
import tempfile
import threading
import time
from io import BytesIO
from pathlib import Path
from typing import IO

import pytest
from tests.daemon import world
from tests.daemon.states import ended_job

from stylewatch_daemon.app import hooks as runner
from stylewatch_daemon.app.hooks import HookRunner
from stylewatch_daemon.base.model import End
from stylewatch_daemon.settings.sections import Hooks
from stylewatch_daemon.worker.messages import Order, Staged

RECORD = """
import json, os, sys
about = {key: value for key, value in os.environ.items() if key.startswith("STYLEWATCH_")}
with open(sys.argv[1], "a") as file:
    print(json.dumps(about), file=file)
"""


def python(program: str, *words: object) -> tuple[str, ...]:
    return (sys.executable, "-c", program, *map(str, words))


def test_each_hook_gets_its_jobs_with_paths_and_reasons(tmp_path: Path) -> None:
    log = tmp_path / "log"
    folder, refused = tmp_path / "out/$(sea) 'x'", tmp_path / "out/_refused/bad"
    record = python(RECORD, log)
    with HookRunner(Hooks(done=record, failed=record)) as hooks:
        final = folder / "sea by gatys.png"
        hooks.ended(ended_job("$(sea) 'x'", End.STOPPED_EARLY), folder, final)
        hooks.ended(ended_job("bad", End.REFUSED, "it holds text"), refused)
        hooks.attempt_failed("worse", "a fault", "Traceback")
        hooks.ended(ended_job("gone", End.CANCELED), refused)
        hooks.ended(ended_job("worse", End.FAILED, "a fault"), refused)
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    keys = ("JOB", "STATE", "FOLDER", "PICTURE", "RECEIPT", "REASON")
    assert [[row[f"STYLEWATCH_{key}"] for key in keys] for row in rows] == [
        [
            "$(sea) 'x'",
            "done",
            str(folder),
            f"{folder}/sea by gatys.png",
            f"{folder}/receipt.json",
            "",
        ],
        ["bad", "refused", str(refused), "", "", "it holds text"],
        ["worse", "failed", str(refused), "", "", "a fault"],
    ]


def test_paths_are_those_of_the_ledger_whatever_others_put_into_the_outbox(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A receipt may be forged, or become a pipe, which keeps those waiting who open it (law 11)."""

    def staged(order: Order, name: str, step: int, **more: bool) -> Staged:
        announced = stage(order, name, step, **more)
        if name == "receipt.json":
            (order.staging / name).write_text('{"final": "final.png"}')
        return announced

    stage = world.stage
    monkeypatch.setattr(world, "stage", staged)
    daemon, log = world.DaemonWorld(tmp_path), tmp_path / "log"
    daemon.drop("forged", "pipe")
    daemon.run()
    with HookRunner(Hooks(done=python(RECORD, log), timeout_s=20)) as hooks:
        for job, folder, final in daemon.record.of("ended"):
            receipt = folder / "receipt.json"
            receipt.unlink()
            if job.name == "pipe":
                os.mkfifo(receipt)
            else:
                receipt.write_text('{"final": "../../secret"}')
            hooks.ended(job, folder, final)
    pictures = [json.loads(line)["STYLEWATCH_PICTURE"] for line in log.read_text().splitlines()]
    assert pictures == [f"{tmp_path}/out/{name}/final.png" for name in ("forged", "pipe")]
    daemon.close()


def test_secrets_of_the_settings_are_not_inherited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    monkeypatch.setenv("STYLEWATCH_ALERTS__URLS", "[json://password@server]")
    monkeypatch.setenv("STYLEWATCH_STATE__PATH", "here")  # `stylewatch show` needs it
    with HookRunner(Hooks(failed=python(RECORD, log))) as hooks:
        hooks.ended(ended_job("bad", End.FAILED), tmp_path)
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
    with HookRunner(Hooks(failed=loud)) as hooks:
        hooks.ended(ended_job("bad", End.FAILED), tmp_path)
    (record,) = caplog.records
    assert len(record.getMessage()) < 400 and record.getMessage().endswith("xxthe end")


def test_a_stopping_daemon_does_not_wait_for_a_thread_that_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a program on a share that does not answer."""
    ever = threading.Event()
    monkeypatch.setattr(runner, "KILLED_S", 0.1)
    monkeypatch.setattr(runner, "_run", lambda call, timeout_s: ever.wait(60) and "")
    with HookRunner(Hooks(failed=("anything",), timeout_s=0.1)) as hooks:
        hooks.ended(ended_job("bad", End.FAILED), tmp_path)
        hooks.finish(0.1)
        assert threading.active_count() > 1
    ever.set()


def test_a_hook_that_finds_no_room_for_its_output_is_logged_and_the_next_one_runs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def temporary() -> IO[bytes]:
        monkeypatch.undo()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", temporary)
    log = tmp_path / "log"
    with HookRunner(Hooks(failed=python(RECORD, log))) as hooks:
        hooks.ended(ended_job("bad", End.FAILED), tmp_path)
        hooks.ended(ended_job("worse", End.FAILED), tmp_path)
    (record,) = caplog.records
    assert "could not run: [Errno 28] No space left" in record.getMessage()
    assert json.loads(log.read_text())["STYLEWATCH_JOB"] == "worse"


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
    with HookRunner(Hooks(done=python(SLOW, pid), failed=broken, timeout_s=5)) as hooks:
        hooks.ended(ended_job("bad", End.FAILED), tmp_path)
        hooks.ended(ended_job("slow", End.DONE), tmp_path)
        while not (pid.exists() and pid.read_text()):
            time.sleep(0.01)
    with HookRunner(Hooks(done=missing, failed=python(RECORD, log))) as hooks:
        hooks.ended(ended_job("sea", End.DONE), tmp_path)
        hooks.ended(ended_job("last", End.FAILED), tmp_path)
    assert [(record.__dict__["job"], record.getMessage()) for record in caplog.records] == [
        ("bad", "hooks.failed ended with exit code 3: no room??[31m"),
        ("slow", "hooks.done was killed after 5 s"),
        ("sea", "hooks.done could not run /nowhere/at-all: No such file or directory"),
    ]
    assert json.loads(log.read_text())["STYLEWATCH_JOB"] == "last"
    assert is_dead(int(pid.read_text())), "the group of the hook is killed"
