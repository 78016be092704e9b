"""Many pairs at once, and many that are done: `python -m tests.bench.intake [PAIRS] [FOLDER]`.

Says how long it takes until all pairs are in the ledger and until all are claimed, both with every
sync in place, and what a daemon costs that idles with as many finished jobs in its ledger. The
folder's disk counts: the default is the system's for temporary files.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from stylewatch_daemon.bell import Bell
from stylewatch_daemon.execute.local import Local
from stylewatch_daemon.line import Line
from stylewatch_daemon.reporter import Reporter
from stylewatch_daemon.service import watch
from stylewatch_daemon.service_settings import InboxSettings, ServiceSettings
from stylewatch_daemon.state import State

IDLE_FOR = 20.0
"""Seconds for which an idle daemon is watched."""


def settings(root: Path) -> ServiceSettings:
    """An inbox, an outbox and a state folder under `root`."""
    inbox = InboxSettings(root / "in", root / "out")
    return ServiceSettings((inbox,), root / "state", quiet_s=0.0)


def drop(inbox: Path, pairs: int) -> None:
    """Files side by side: what is in them is not looked at here."""
    inbox.mkdir(parents=True)
    for number in range(pairs):
        for half in ("content", "style"):
            (inbox / f"{number:06}.{half}.jpg").write_bytes(b"not decoded")


def take(root: Path) -> tuple[float, float]:
    """Seconds until all pairs are entered, and until all are claimed."""
    state = State(root / "state")
    state.make()
    line = Line(settings(root), state, Local(state.worker_lock), Reporter(), Bell())
    began = time.perf_counter()
    line.look()
    line.look()
    for inbox in line.inboxes:
        inbox.enter()
    entered = time.perf_counter() - began
    while line.claim():
        pass
    claimed = time.perf_counter() - began
    state.close()
    return entered, claimed


def finish(root: Path) -> None:
    """Let every job be done, without its painting."""
    state = State(root / "state")
    with state.ledger.together():
        for job_id in state.ledger.open_jobs():
            state.ledger.change(job_id, state="done")
    state.enter_strays()
    state.close()


def idle(root: Path) -> tuple[float, float]:
    """Megabytes that an idle daemon holds, and the per cent of a core that it takes."""
    daemon = subprocess.Popen([sys.executable, "-m", "tests.bench.intake", "--idle", str(root)])
    try:
        time.sleep(IDLE_FOR / 4)  # it starts
        before, began = _seconds(daemon.pid), time.monotonic()
        time.sleep(IDLE_FOR)
        share = (_seconds(daemon.pid) - before) / (time.monotonic() - began)
        pages = int(Path(f"/proc/{daemon.pid}/statm").read_text("ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6, share * 100
    finally:
        daemon.terminate()
        daemon.wait()


def _seconds(pid: int) -> float:
    """Seconds of a core that a process took so far."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main(pairs: int, above: Path | None) -> None:
    """Measure, and say so."""
    with tempfile.TemporaryDirectory(dir=above) as folder:
        root = Path(folder)
        drop(root / "in", pairs)
        entered, claimed = take(root)
        print(f"{pairs} pairs: in the ledger after {entered:.1f} s, claimed after {claimed:.1f} s")
        finish(root)
        megabytes, share = idle(root)
        print(f"idle with {pairs} finished jobs: {megabytes:.0f} MB, {share:.2f} % of a core")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--idle"]:
        watch(settings(Path(sys.argv[2])))
    else:
        arguments = sys.argv[1:]
        main(
            int(arguments[0]) if arguments else 10_000,
            Path(arguments[1]) if arguments[1:] else None,
        )
