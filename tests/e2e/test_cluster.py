"""A daemon with a cluster that is made by the commands of the documentation."""

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

pytestmark = nodes.TIME_ENOUGH

PAGE = Path("docs/cluster.md").read_text(encoding="utf-8")
MARK = "STYLEWATCH_TEST"
"""A variable that marks processes for which there is no command to end them."""


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
        sets = ("executor.kind=ray", f"executor.address={address}", "executor.gpus_per_job=0")
        daemon.start(*(word for each in sets for word in ("--set", each)))
        assert call([*PAIR, "--name", "painted", "--steps", "3"]) == 0
        until(lambda: daemon.painted == ["painted"])
        assert daemon.end() == 0
