"""A daemon of its own with its page, in a folder of its own."""

import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.error import URLError

from PIL import Image
from tests.daemon.children import children
from tests.e2e.daemon import PROGRAM, Daemon
from tests.nodes import unused_port

from stylewatch_painter import sample

STEPS = 60
CONFIG = f"""
backends: {{sketch: {{seconds_per_step: 0.1}}}}
job: {{backend: sketch, recipe: gatys, steps: {STEPS}, save_every: 5}}
"""
"""Paintings of six seconds, a stage every half second; a job may want it otherwise."""

PATIENCE = 30.0
"""Seconds that anything may take."""


class Site(Daemon):
    """A folder with two pictures, and a daemon with its page, which is at `url`."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, PROGRAM)
        (root / "content.jpg").rename(root / "sea.jpg")
        (root / "style.jpg").rename(root / "wave.jpg")
        (root / "inbox").mkdir()
        (root / "config.yaml").write_text(CONFIG)
        self.port = unused_port()

    @classmethod
    def made(cls, folder: Path) -> "Site":
        """One in an empty folder, with the sample pair, small."""
        sample.write(folder / "pair")
        for name in ("content", "style"):
            with Image.open(folder / f"pair/{name}.jpg") as picture:
                picture.thumbnail((320, 320))
                picture.save(folder / f"{name}.jpg")
        return cls(folder)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def start(self, *more: str) -> None:
        """Start a daemon, and wait until its page answers."""
        super().start(
            "--config", "config.yaml", "--set", f"web.listen=127.0.0.1:{self.port}", *more
        )
        until(self.answers)

    def answers(self) -> bool:
        try:
            urllib.request.urlopen(f"{self.url}healthz", timeout=5).close()
        except (URLError, ConnectionError, TimeoutError):
            return False
        return True

    @property
    def page_process(self) -> int | None:
        """The process that serves the page: of those that the daemon started, who listens."""
        assert self.process is not None
        sockets = listening(self.port)
        mine = (
            pid
            for pid in children(of=str(self.process.pid))
            if not sockets.isdisjoint(open_by(pid))
        )
        return next(mine, None)

    def close(self) -> None:
        """End the daemon, if there is one."""
        if self.process is not None:
            self.end()


def listening(port: int) -> set[str]:
    """The sockets, as /proc names them, at which a port of 127.0.0.1 is listened to."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]]
    at = f"0100007F:{port:04X}"
    return {f"socket:[{row[9]}]" for row in rows if (row[1], row[3]) == (at, "0A")}


def open_by(process: int) -> Iterator[str]:
    """What a process holds open."""
    for one in Path(f"/proc/{process}/fd").iterdir():
        with suppress(OSError):
            yield str(one.readlink())


def until(holds: Callable[[], object]) -> None:
    """Wait until something holds; raises AssertionError where it does not come."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < PATIENCE, "in vain waited for"
        time.sleep(0.05)
