"""What the page does under attack: `make hostile-web`.

A daemon with its page paints with the backend `sketch` while each kind of client in `attacks` is at
work. Told are the delays of `/healthz`, the memory of the page's process, and how long a pair takes
from the inbox to its receipt. It ends with 1 where `/healthz` took half a second or failed, where
the memory grew by more than 150 MB, or where a pair was not painted.
"""

import argparse
import http.client
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Event, Thread

from tests.browser.site import Site
from tests.web_load.attacks import ATTACKS, attack

SECONDS = 15.0
"""For how long each kind of attack goes on."""

DELAY_S, GROWTH_MB = 0.5, 150.0
"""What `/healthz` may take, and by how much the page's process may grow."""

JOB = ("--set", "steps=150", "--set", "save_every=50", "--set", "backends.sketch={}")
EVERY_S = 0.05


@dataclass
class Seen:
    """What was measured during one attack; `delays` are seconds, `paint` too, `memory` MB."""

    name: str
    delays: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    paint: float | None = None

    @property
    def is_well(self) -> bool:
        """Whether the page answered in time, without growing, and the pair was painted."""
        growth = self.memory[-1] - self.memory[0] if self.memory else 0.0
        in_time = bool(self.delays) and max(self.delays) < DELAY_S
        return in_time and not self.failures and growth < GROWTH_MB and self.paint is not None

    def __str__(self) -> str:
        delays = self.delays or [float("nan")]
        paint = "never" if self.paint is None else f"{self.paint:.2f}"
        memory = f"{self.memory[0]:.0f} | {max(self.memory):.0f} | {self.memory[-1]:.0f}"
        failed = f"{len(self.failures)} of {len(self.failures) + len(self.delays)}"
        health = f"{statistics.median(delays):.4f} | {max(delays):.3f} | {failed}"
        return f"| {self.name} | {health} | {memory} | {paint} |"


HEAD = """\
| attack | /healthz median s | slowest s | failed | MB before | most | after | a pair painted in s |
| --- | --- | --- | --- | --- | --- | --- | --- |"""


def ask(port: int, seconds: float = 10.0) -> float:
    """The seconds that `/healthz` takes by a connection of its own; raises OSError, or the like."""
    began = time.monotonic()
    visiting = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
    try:
        visiting.request("GET", "/healthz")
        answer = visiting.getresponse()
        if (answer.status, answer.read()) != (200, b"ok\n"):
            raise ConnectionError(f"/healthz said {answer.status}")
    finally:
        visiting.close()
    return time.monotonic() - began


def memory(pid: int) -> float:
    """What a process holds in memory, in MB."""
    lines = Path(f"/proc/{pid}/status").read_text("ascii").splitlines()
    held = next(line for line in lines if line.startswith("VmRSS:"))
    return int(held.split()[1]) / 1000


@contextmanager
def asking(site: Site, seen: Seen) -> Iterator[None]:
    """Ask the page how it is, again and again, while the body runs."""
    over, page = Event(), site.page_process
    assert page is not None

    def go() -> None:
        while not over.wait(EVERY_S):
            try:
                seen.delays.append(ask(site.port))
            except (OSError, http.client.HTTPException) as error:
                seen.failures.append(str(error) or type(error).__name__)
            with suppress(OSError):
                seen.memory.append(memory(page))

    seen.memory.append(memory(page))
    thread = Thread(target=go)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def painted_in(site: Site, job: str, within: float) -> float | None:
    """The seconds that a pair takes from the inbox to its receipt; None where it takes longer."""
    beside = site.root / job
    beside.mkdir()
    for name, picture in (("content", "sea"), ("style", "wave")):
        shutil.copyfile(site.root / f"{picture}.jpg", beside / f"{name}.jpg")
    began = time.monotonic()
    beside.rename(site.root / "inbox" / job)
    while time.monotonic() - began < within:
        if (site.root / f"outbox/{job}/receipt.json").exists():
            return time.monotonic() - began
        time.sleep(0.02)
    return None


def attacked(site: Site, names: Sequence[str], seconds: float, share: float = 1.0) -> Seen:
    """What is seen of the page while it is attacked in these ways at once."""
    seen = Seen(", ".join(names) or "none")
    process: BaseProcess | None = None
    with asking(site, seen):
        began = time.monotonic()
        if names:
            process = get_context("spawn").Process(
                target=attack, args=(names, site.port, seconds, share)
            )
            process.start()
            time.sleep(min(2.0, seconds / 2))  # until the attack is under way
        job = f"during-{len(list((site.root / 'outbox').glob('during-*')))}"
        seen.paint = painted_in(site, job, max(60.0, seconds))
        time.sleep(max(0.0, began + seconds - time.monotonic()))
        if process is not None:
            process.join()
            process.close()
    return seen


def main(arguments: Sequence[str] = ()) -> int:
    """Attack, and print the table; 1 where the page or the daemon suffered."""
    parser = argparse.ArgumentParser(prog="make hostile-web")
    parser.add_argument("--only", choices=ATTACKS, action="append", help="this attack")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each attack")
    given = parser.parse_args(arguments)
    print(HEAD, flush=True)
    well = True
    with tempfile.TemporaryDirectory() as folder:
        site = Site.made(Path(folder))
        site.start(*JOB)
        try:
            for names in ((), *((name,) for name in given.only or ATTACKS), ()):
                seen = attacked(site, names, given.seconds if names else 5.0)
                print(seen, *sorted(set(seen.failures)), sep="\n  ", flush=True)
                well &= seen.is_well
        finally:
            site.close()
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
