"""Killed with -9 right before or right after a commit of the ledger, the line loses nothing."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.daemon.faults import fill, tree

from stylewatch_daemon.store.ledger import reading

PROGRAM = """
import os, signal, sys
from pathlib import Path
from tests.daemon.lookers import nodding
from tests.daemon.painters import Painter
from stylewatch_daemon.service import service
from stylewatch_daemon.store import ledger_writer
from stylewatch_daemon.service.service import once
from tests.daemon.settings_made import make_inbox, make_settings

root, after, deadly = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
real, made = ledger_writer.commit, 0

def commit(connection):
    global made
    made += 1
    if made == deadly and after == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    real(connection)
    if made == deadly:
        os.kill(os.getpid(), signal.SIGKILL)

ledger_writer.commit, service.Intake = commit, nodding
inboxes = (make_inbox(root / "in", root / "out"),)
sys.exit(once(make_settings(inboxes, root / "state", quiet_s=0), executor=Painter()).exit_code)
"""
NAMES = ["inputs/content.jpg", "inputs/style.jpg", "final.png", "receipt.json",
         "stages/1.png", "stages/2.png"]  # fmt: skip


def run(root: Path, when: str, deadly: int) -> int:
    """How a daemon ends that is killed at that commit; -1 is none."""
    command = [sys.executable, "-c", PROGRAM, str(root), when, str(deadly)]
    return subprocess.run(command, check=False, cwd=Path(__file__).parents[2]).returncode


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("deadly", [1, 3, 4, 5, 8])
def test_killed_at_a_commit_every_pair_is_painted_once(
    when: str, deadly: int, tmp_path: Path
) -> None:
    fill(tmp_path / "in", *(f"{job}/{half}.jpg" for job in "ab" for half in ("content", "style")))
    assert run(tmp_path, when, deadly) == -signal.SIGKILL
    assert run(tmp_path, when, -1) == 0
    seen = [name for name in tree(tmp_path / "out") if name != "_status.txt"]
    assert seen == sorted(f"{job}/{name}" for job in "ab" for name in NAMES)
    assert tree(tmp_path / "in") == {}
    with reading(tmp_path / "state/ledger.sqlite3") as ledger:
        assert {name for name, count in ledger.counts().items() if count} == {"done"}
        assert ledger.counts()["done"] == 2
