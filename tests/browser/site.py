"""A daemon with its page, in a folder of its own."""

import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from PIL import Image
from tests.daemon.world import child_pids
from tests.e2e.daemon import PROGRAM, Daemon
from tests.nodes import unused_port

from stylewatch_painter import sample

CONFIG = """
backends: {sketch: {seconds_per_step: 0.1}}
job: {backend: sketch, recipe: gatys, steps: 60, save_every: 5}
"""
"""Jobs of six seconds, a stage every half second."""

TIMEOUT_S = 100.0


class Site(Daemon):
    """A folder with the pictures `sea` and `wave`, and a daemon with its page at `url`."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, PROGRAM)
        self.sea, self.wave = root / "sea.jpg", root / "wave.jpg"
        (root / "content.jpg").rename(self.sea)
        (root / "style.jpg").rename(self.wave)
        (root / "inbox").mkdir()
        (root / "config.yaml").write_text(CONFIG)
        self.port = unused_port()
        self.url = f"http://127.0.0.1:{self.port}/"

    @classmethod
    def made(cls, folder: Path) -> "Site":
        """Make a site in an empty folder, with the sample pair, small."""
        for role, path in (("content", sample.CONTENT), ("style", sample.STYLE)):
            with Image.open(path) as picture:
                picture.thumbnail((320, 320))
                picture.save(folder / f"{role}.jpg")
        return cls(folder)

    def start(self, *more: str) -> None:
        """Start a daemon, and wait until its page answers."""
        listen = ("--set", f"web.listen=127.0.0.1:{self.port}")
        super().start("--config", "config.yaml", *listen, *more)
        until(self.answers)

    def answers(self) -> bool:
        with suppress(OSError):
            urllib.request.urlopen(f"{self.url}healthz", timeout=5).close()
            return True
        return False

    @property
    def page_process(self) -> int | None:
        """The process that serves the page: the child of the daemon that has the socket open."""
        assert self.process is not None
        rows = [line.split() for line in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]]
        address = f"0100007F:{self.port:04X}"
        sockets = {f"socket:[{row[9]}]" for row in rows if (row[1], row[3]) == (address, "0A")}
        for pid in child_pids(of=str(self.process.pid)):
            with suppress(OSError):  # the process may have ended
                for file in Path(f"/proc/{pid}/fd").iterdir():
                    with suppress(OSError):
                        if str(file.readlink()) in sockets:
                            return pid
        return None

    def close(self) -> None:
        """End the daemon, if there is one."""
        if self.process is not None:
            self.end()


def until(condition: Callable[[], object]) -> None:
    """Wait until `condition` holds; raises AssertionError after TIMEOUT_S."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < TIMEOUT_S, "waited in vain"
        time.sleep(0.05)
