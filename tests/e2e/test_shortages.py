"""A daemon without file descriptors."""

import resource
from pathlib import Path

import pytest
from tests.e2e.daemon import Daemon, until


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
        assert {attempt["ended"].partition(":")[0] for attempt in attempts} <= {"machine", "done"}
