"""The whole line with a cluster behind it: a daemon is killed, and nothing is lost; the page."""

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
from tests.e2e.daemon import PAIR, Place, until

from stylewatch_daemon.cli.main import call

pytestmark = nodes.TIME_ENOUGH

PAGE = Path("docs/cluster.md").read_text(encoding="utf-8")
MARK = "STYLEWATCH_TEST"
"""A variable by which processes are known that end by no command of ours."""


def on(address: str, **more: Any) -> tuple[str, ...]:
    """A daemon's options, for painting there slowly."""
    sets = (
        "executor.kind=ray",
        f"executor.address={address}",
        "backends.sketch={seconds_per_step: 0.05}",
        *(f"executor.{key}={value}" for key, value in more.items()),
    )
    return tuple(word for one in sets for word in ("--set", one))


def submit(name: str) -> None:
    assert call([*PAIR, "--name", name, "--steps", "60", "--save-every", "20"]) == 0


def test_a_killed_daemon_leaves_nothing_that_paints_and_goes_on_from_the_checkpoint(
    place: Place,
) -> None:
    options = on(nodes.shared().address)
    place.start(*options)
    submit("struck")
    folder = place.root / "outbox/struck"
    until((folder / "stages/0020.png").exists)
    place.end(signal.SIGKILL)
    place.start(*options)
    until(lambda: "struck" in place.painted)
    receipt = (folder / "receipt.json").read_text()
    assert receipt.count('"ended"') == 2
    stages = sorted(path.name for path in (folder / "stages").iterdir())
    assert stages == ["0020.png", "0040.png", "0060.png"]
    assert place.end() == 0


@contextmanager
def by_the_page(root: Path) -> Iterator[str]:
    """A cluster of two machines that is made by what the page says, here; its address."""
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
    asked = {key: value for key, value in os.environ.items() if not key.startswith("RAY_AUTH")}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**asked, MARK: str(root), "PATH": path, **nodes.installed()}
    try:
        subprocess.run(["bash", "-ec", lines], env=environment, check=True, capture_output=True)
        yield f"127.0.0.1:{port}"
    finally:
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if f"{MARK}={root}".encode() in (process / "environ").read_bytes():
                    os.kill(int(process.name), signal.SIGKILL)


def test_what_the_page_says_makes_a_cluster_that_takes_who_has_its_token(
    place: Place, tmp_path: Path, monkeypatch: Any
) -> None:
    with by_the_page(tmp_path) as address:
        monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "ray-token"))
        place.start(*on(address, gpus_per_job=0))
        submit("painted")
        until(lambda: place.painted == ["painted"])
        assert place.end() == 0
