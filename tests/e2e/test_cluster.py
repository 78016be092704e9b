"""A daemon with a cluster: it is killed, and nothing is lost; the page of the documentation."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests import nodes
from tests.e2e.daemon import PAIR, Daemon, until

from stylewatch_daemon.cli.main import call
from stylewatch_daemon.ledger.ledger import FILE_NAME, reading

pytestmark = nodes.TIME_ENOUGH

PAGE = Path("docs/cluster.md").read_text(encoding="utf-8")
MARK = "STYLEWATCH_TEST"
"""A variable that marks processes for which there is no command to end them."""


def on(address: str, **more: Any) -> tuple[str, ...]:
    """Options of a daemon that runs slow jobs there."""
    sets = (
        "executor.kind=ray",
        f"executor.address={address}",
        "backends.sketch={seconds_per_step: 0.05}",
        *(f"executor.{key}={value}" for key, value in more.items()),
    )
    return tuple(word for text in sets for word in ("--set", text))


def submit(name: str, steps: int) -> None:
    words = ["--name", name, "--steps", str(steps), "--save-every", "20"]
    assert call([*PAIR, *words]) == 0


def test_a_killed_daemon_leaves_no_worker_and_goes_on_from_the_checkpoint(
    daemon: Daemon,
) -> None:
    options = on(nodes.shared().address)
    daemon.start(*options)
    submit("killed", 10_000)  # which end only when they are asked to
    stages = daemon.root / "outbox/killed/stages"
    until((stages / "00040.png").exists)  # so the checkpoint of step 20 was saved
    daemon.end(signal.SIGKILL)
    daemon.start(*options)
    until(lambda: daemon.step > 20)
    assert call(["finish", "killed"]) == 0
    until(lambda: "killed" in daemon.painted)
    with reading(daemon.root / "state" / FILE_NAME) as ledger:
        job = ledger.find("killed")
        assert job is not None
        _, second = ledger.attempts(job.id)
    assert second.step >= 20
    files = [stage["file"] for stage in daemon.receipt("killed")["stages"]]
    assert files == [f"stages/{path.name}" for path in sorted(stages.iterdir())]
    assert daemon.end() == 0


@contextmanager
def cluster_by_the_page(root: Path) -> Iterator[str]:
    """Start a cluster of two machines by the commands of the page; yield its address."""
    (lines,) = re.findall(r"^```text\n(openssl .*?)```", PAGE, re.M | re.S)
    port = nodes.unused_port()
    for there, here in (
        ("/etc/stylewatch", str(root)),
        ("6379", str(port)),
        ("first", "127.0.0.1"),
    ):
        assert there in lines
        lines = lines.replace(there, here)
    assert "\nray start --head" in lines
    environ = {key: value for key, value in os.environ.items() if not key.startswith("RAY_AUTH")}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**environ, MARK: str(root), "PATH": path, **nodes.installed()}
    try:
        subprocess.run(["bash", "-ec", lines], env=environment, check=True, capture_output=True)
        yield f"127.0.0.1:{port}"
    finally:
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if f"{MARK}={root}".encode() in (process / "environ").read_bytes():
                    os.kill(int(process.name), signal.SIGKILL)


def test_the_commands_of_the_page_make_a_cluster_for_those_with_its_token(
    daemon: Daemon, tmp_path: Path, monkeypatch: Any
) -> None:
    with cluster_by_the_page(tmp_path) as address:
        monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "ray-token"))
        daemon.start(*on(address, gpus_per_job=0))
        submit("painted", 3)
        until(lambda: daemon.painted == ["painted"])
        assert daemon.end() == 0
