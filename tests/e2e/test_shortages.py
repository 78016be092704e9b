"""Daemons without file descriptors, and daemons that are killed with their jobs."""

import resource
import signal
from pathlib import Path

import pytest
from tests.e2e.daemon import PAIR, SLOW, Daemon, until

from stylewatch_daemon.cli.main import call
from stylewatch_daemon.store.ledger import reading

LIMITED = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({0}, {1}));"


@pytest.mark.parametrize("spare", [-8, 4])
def test_good_pictures_wait_for_file_descriptors_and_cost_no_attempt(
    daemon: Daemon, spare: int
) -> None:
    daemon.start("--set", "watch.rescan_s=1")
    assert daemon.process is not None
    pid = daemon.process.pid
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    held = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (held + spare, hard))
    for name in ("a", "b"):
        daemon.drop(name)
    until(lambda: "out of file descriptors (the limit is" in daemon.log)
    if spare >= 3:  # else the report itself lacks one
        until(lambda: "out of file descriptors" in str(daemon.published["health"]["trouble"]))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
    until(lambda: daemon.painted == ["a", "b"])
    assert daemon.end() == 0
    assert not (daemon.root / "outbox/_refused").exists()
    for name in daemon.painted:
        attempts = daemon.receipt(name)["attempts"]
        assert {attempt["ended"].partition(":")[0] for attempt in attempts} <= {"paused", "done"}


def test_a_job_that_kills_the_daemon_each_time_ends_alone_after_all_others(daemon: Daemon) -> None:
    long = ("--set", "job.steps=200", "--set", "job.save_every=200", "--set", "job.size=24", *SLOW)
    daemon.drop("a")
    for _ in range(3):
        daemon.start(*long)
        until(lambda: "a" in daemon.running)
        assert daemon.end(signal.SIGKILL) == -signal.SIGKILL
    assert call([*PAIR, "--steps", "3", "--name", "b"]) == 0
    daemon.start(*long, "--set", "executor.devices=[cpu, other]")
    until(lambda: daemon.running == ["a"])
    assert daemon.painted == ["b"]
    assert call([*PAIR, "--steps", "3", "--name", "c"]) == 0
    until(lambda: "c" in daemon.published["waiting"])
    assert daemon.running == ["a"], "nothing starts beside it"
    assert daemon.end(signal.SIGKILL) == -signal.SIGKILL
    daemon.start(*long)
    until(lambda: daemon.reason("a") and daemon.painted == ["b", "c"])
    assert daemon.end() == 0
    assert "while it painted nothing else" in daemon.reason("a")
    with reading(daemon.root / "state/ledger.sqlite3") as ledger:
        entry = ledger.find("a")
        assert entry is not None
        ends = [attempt.how for attempt in ledger.story(entry.id)]
    assert ends == ["cut off"] * 3 + ["cut off alone"]
    assert (daemon.root / "outbox/_refused/a/content.jpg").exists()
