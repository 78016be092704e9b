"""Hooks of the user run after a job, with what they need to know, and harm nothing."""

import errno
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import IO

import pytest
from tests.daemon.states import ended_job

from stylewatch_daemon.app.hooks import HookRunner
from stylewatch_daemon.base.model import End
from stylewatch_daemon.settings.sections import Hooks

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
    folder.mkdir(parents=True)
    (folder / "receipt.json").write_text('{"final": "sea by gatys.png"}')
    record = python(RECORD, log)
    with HookRunner(Hooks(done=record, failed=record)) as hooks:
        hooks.ended(ended_job("$(sea) 'x'", End.STOPPED_EARLY), folder)
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
