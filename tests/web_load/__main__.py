"""The page under attack: `make hostile-web`.

A daemon with its page runs jobs with the backend `sketch` while each kind of client in `attacks` is
active. Measured are the delays of `/healthz`, the memory of the page's process, and the time of a
pair from the inbox to its receipt; meanwhile somebody with the token acts every second. It exits
with 1 where `/healthz` took half a second or failed, an action failed, the memory grew by more than
150 MB, a pair was not finished, or a code for a phone outlived five wrong ones.
"""

import argparse
import json
import math
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from http.client import HTTPException
from multiprocessing import get_context
from pathlib import Path
from threading import Event, Thread

from pydantic import SecretStr
from tests.browser.site import Site, until
from tests.web_load.attacks import ATTACKS, TOKEN, attack

from stylewatch_daemon.base.errors import InputError
from stylewatch_daemon.web.codes import TRIES, Codes
from stylewatch_painter.process_memory import resident

SECONDS = 15.0
"""Duration of each kind of attack."""

DELAY_S, GROWTH_MB = 0.5, 150.0
"""The limits of `/healthz` and of the memory of the page's process."""

JOB = ("--set", "steps=150", "--set", "save_every=50", "--set", "backends.sketch={}")
EVERY_S, ACT_EVERY_S = 0.05, 1.0


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
        slowest, grown = max(self.delays, default=math.nan), self.memory[-1] - self.memory[0]
        failed = f"{len(self.failures)} of {len(self.failures) + len(self.delays)}"
        line = (
            f"{self.name}: /healthz within {slowest:.3f} s, {failed} failed; "
            f"{grown:.0f} MB more; a pair in {self.job:.2f} s"
        )
        return "\n  ".join([line, *sorted(set(self.failures))])

    def ask(self, url: str, body: bytes | None = None) -> None:
        """Send a request with the token, over a new connection."""
        headers = {"Authorization": f"Bearer {TOKEN}", "Accept": "application/json"}
        request = urllib.request.Request(url, body, headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                answer.read()
        except (OSError, HTTPException) as error:
            self.failures.append(f"{url}: {error or type(error).__name__}")

    def probe(self, url: str, page: int) -> None:
        """Request /healthz, and measure the delay and the memory of the process `page`."""
        began = time.monotonic()
        self.ask(f"{url}healthz")
        self.delays.append(time.monotonic() - began)
        if held := resident(page):
            self.memory.append(held / 1e6)


def repeat(ask: Callable[[], object], every: float, over: Event) -> None:
    """Ask at these intervals, in seconds, until it is over."""
    while not over.wait(every):
        ask()


def start(site: Site, *more: str) -> None:
    """Start a daemon with a page that has a token."""
    (site.root / "token").write_text(TOKEN)
    (site.root / "token").chmod(0o600)
    site.start("--set", "web.token_file=token", *more)


def attacked(site: Site, names: Sequence[str], seconds: float, share: float = 1.0) -> Measured:
    """Attack the page in these ways at once, and measure."""
    measured, over, page = Measured(", ".join(names) or "none"), Event(), site.page_process
    assert page is not None
    process = get_context("spawn").Process(target=attack, args=(names, site.port, seconds, share))
    threads = [
        Thread(target=repeat, args=(lambda: measured.probe(site.url, page), EVERY_S, over)),
        Thread(target=repeat, args=(lambda: measured.ask(f"{site.url}resume", b""), ACT_EVERY_S,
                                    over)),
    ]  # fmt: skip
    measured.probe(site.url, page)
    codes = Codes(site.root / "state", SecretStr(TOKEN))
    code = codes.make()
    began = time.monotonic()
    process.start()
    for thread in threads:
        thread.start()
    time.sleep(min(2.0, seconds / 2))  # until the attack is under way
    job = f"during-{len(list((site.root / 'outbox').glob('during-*')))}"
    dropped = time.monotonic()
    site.drop(job)
    with suppress(AssertionError):
        until((site.root / f"outbox/{job}/receipt.json").exists)
        measured.job = time.monotonic() - dropped
    time.sleep(max(0.0, began + seconds - time.monotonic()))
    over.set()
    for thread in threads:
        thread.join()
    process.join()
    if "guessed codes" in names:
        measured.failures += _wrong_tries(codes, code)
    return measured


def _wrong_tries(codes: Codes, code: str) -> Iterator[str]:
    """Yield what is wrong with the tries of a code that was guessed at for a while."""
    left = json.loads(codes.path.read_bytes())["tries"]
    if left == TRIES:
        yield "no wrong code has cost a try"
    with suppress(InputError):
        codes.take(code)
        if left < 1:
            yield "a code is valid after five wrong ones"


def main(arguments: Sequence[str]) -> int:
    """Attack, and print a line for each kind; 1 where a limit was exceeded."""
    parser = argparse.ArgumentParser(prog="make hostile-web")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each attack")
    options = parser.parse_args(arguments)
    is_good = True
    with tempfile.TemporaryDirectory() as folder, closing(Site.made(Path(folder))) as site:
        start(site, *JOB)
        for names in ((), *((name,) for name in ATTACKS), ()):
            measured = attacked(site, names, options.seconds if names else 5.0)
            print(measured, flush=True)
            is_good &= measured.is_good
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
