"""The page under attack: `make hostile-web`.

A daemon with its page runs jobs with the backend `sketch` while each kind of client in `attacks` is
active. Measured are the delays of `/healthz`, the memory of the page's process, and the time of a
pair from the inbox to its receipt. It exits with 1 where `/healthz` took half a second or failed,
the memory grew by more than 150 MB, or a pair was not finished.
"""

import argparse
import math
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPException
from multiprocessing import get_context
from pathlib import Path
from threading import Event, Thread

from tests.browser.site import Site, until
from tests.web_load.attacks import ATTACKS, attack

from stylewatch_painter.process_memory import resident

SECONDS = 15.0
"""Duration of each kind of attack."""

DELAY_S, GROWTH_MB = 0.5, 150.0
"""The limits of `/healthz` and of the memory of the page's process."""

JOB = ("--set", "steps=150", "--set", "save_every=50", "--set", "backends.sketch={}")
EVERY_S = 0.05


@dataclass
class Measured:
    """Measurements during an attack: `delays` and `job` in seconds, `memory` in MB."""

    name: str
    delays: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    job: float = math.inf

    @property
    def is_good(self) -> bool:
        """Check the limits."""
        in_time = max(self.delays, default=math.inf) < DELAY_S and self.job < math.inf
        return in_time and not self.failures and self.memory[-1] - self.memory[0] < GROWTH_MB

    def __str__(self) -> str:
        delays = self.delays or [math.nan]
        memory = f"{self.memory[0]:.0f} | {max(self.memory):.0f} | {self.memory[-1]:.0f}"
        failed = f"{len(self.failures)} of {len(self.failures) + len(self.delays)}"
        health = f"{statistics.median(delays):.4f} | {max(delays):.3f} | {failed}"
        return f"| {self.name} | {health} | {memory} | {self.job:.2f} |"


HEAD = """\
| attack | /healthz median s | slowest s | failed | MB before | most | after | a pair painted in s |
| --- | --- | --- | --- | --- | --- | --- | --- |"""


@contextmanager
def measuring(site: Site, measured: Measured) -> Iterator[None]:
    """Request /healthz again and again, each time by a new connection, while the body runs."""
    over, page = Event(), site.page_process
    assert page is not None

    def run() -> None:
        while not over.wait(EVERY_S):
            began = time.monotonic()
            try:
                with urllib.request.urlopen(f"{site.url}healthz", timeout=10) as answer:
                    assert answer.read() == b"ok\n"
                measured.delays.append(time.monotonic() - began)
            except (OSError, HTTPException) as error:
                measured.failures.append(str(error) or type(error).__name__)
            if held := resident(page):
                measured.memory.append(held / 1e6)

    measured.memory.append(resident(page) / 1e6)
    thread = Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def attacked(site: Site, names: Sequence[str], seconds: float, share: float = 1.0) -> Measured:
    """Attack the page in these ways at once, and measure."""
    measured = Measured(", ".join(names) or "none")
    process = get_context("spawn").Process(target=attack, args=(names, site.port, seconds, share))
    with measuring(site, measured):
        began = time.monotonic()
        process.start()
        time.sleep(min(2.0, seconds / 2))  # until the attack is under way
        job = f"during-{len(list((site.root / 'outbox').glob('during-*')))}"
        dropped = time.monotonic()
        site.drop(job)
        with suppress(AssertionError):
            until((site.root / f"outbox/{job}/receipt.json").exists)
            measured.job = time.monotonic() - dropped
        time.sleep(max(0.0, began + seconds - time.monotonic()))
        process.join()
    return measured


def main(arguments: Sequence[str]) -> int:
    """Attack, and print the table; 1 where a limit was exceeded."""
    parser = argparse.ArgumentParser(prog="make hostile-web")
    parser.add_argument("--only", choices=ATTACKS, action="append", help="this attack")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each attack")
    options = parser.parse_args(arguments)
    print(HEAD, flush=True)
    is_good = True
    with tempfile.TemporaryDirectory() as folder, closing(Site.made(Path(folder))) as site:
        site.start(*JOB)
        for names in ((), *((name,) for name in options.only or ATTACKS), ()):
            measured = attacked(site, names, options.seconds if names else 5.0)
            print(measured, *sorted(set(measured.failures)), sep="\n  ", flush=True)
            is_good &= measured.is_good
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
