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

import numpy as np
from tests import nodes
from tests.e2e.daemon import PAIR, Daemon, until
from tests.painter.films import film

from stylewatch_daemon.cli.main import call
from stylewatch_daemon.executors.worker_process import NAME as WORKER
from stylewatch_daemon.processes.child import BOOTSTRAP
from stylewatch_daemon.store.ledger import FILE_NAME, reading

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
        entry = ledger.find("killed")
        assert entry is not None
        _, second = ledger.attempts(entry.id)
    assert second.step >= 20
    files = [stage["file"] for stage in daemon.receipt("killed")["stages"]]
    assert files == [f"stages/{path.name}" for path in sorted(stages.iterdir())]
    assert daemon.end() == 0


def three_scenes(path: Path) -> bytes:
    """A film of three scenes with four frames each, in which noise moves."""
    draw = np.random.default_rng(1)
    noise = draw.integers(0, 256, (3, 24, 40, 3), dtype=np.uint8)
    frames = [scene[:, shift : shift + 32] for scene in noise for shift in range(4)]
    return film(path, "ffv1", frames=frames, pix_fmt="bgr0").read_bytes()


def workers() -> list[int]:
    """The worker processes of the clusters of this test process, whose caches have one folder."""
    pids, cache = [], f"XDG_CACHE_HOME={os.environ['XDG_CACHE_HOME']}".encode()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (process / "cmdline").read_bytes().split(b"\0")
            is_worker = words[3:5] == [BOOTSTRAP.encode(), WORKER.encode()]
            if is_worker and cache in (process / "environ").read_bytes().split(b"\0"):
                pids.append(int(process.name))
    return pids


def test_scenes_of_a_clip_are_painted_on_two_machines_and_joined(daemon: Daemon) -> None:
    content = three_scenes(daemon.root / "content.mkv")
    settings = ("size=32", "steps=24", "clip={format: mkv}")
    options = tuple(word for text in settings for word in ("--set", text))

    def paint(job: str) -> None:
        daemon.drop(job, content, "content.mkv")
        until(lambda: job in daemon.painted)

    def painted(job: str) -> dict[str, bytes]:
        folder = daemon.root / "outbox" / job
        paths = [folder / "final.mkv", *folder.glob("stages/*")]
        return {path.name: path.read_bytes() for path in paths}

    daemon.start(*options)
    paint("here")
    assert daemon.end() == 0
    daemon.start(*options, *on(nodes.shared().address))
    paint("there")
    until(lambda: len(workers()) == 2)
    daemon.drop("killed", content, "content.mkv")
    until((daemon.root / "outbox/killed/stages/0001.png").exists)
    os.kill(min(workers()), signal.SIGKILL)  # of the first part, which has seven frames left
    until(lambda: "killed" in daemon.painted)
    assert painted("here") == painted("there") == painted("killed")
    with reading(daemon.root / "state" / FILE_NAME) as ledger:
        entries = [ledger.find(job) for job in ("there", "killed")]
        assert [len(ledger.attempts(entry.id)) for entry in entries if entry] == [1, 2]
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
