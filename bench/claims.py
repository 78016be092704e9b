"""How soon the daemon claims what is dropped, and what it takes to wait.

A daemon with two inboxes is paused, so that nothing is painted. The pairs are small, each in a
folder, and appear by a rename.
"""

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from bench.common import STYLEWATCH, cpu_seconds, run
from bench.cpu import Setting
from bench.rows import Measure, Reading, Row
from PIL import Image

QUIET_S = 2.0
"""How long the files of a pair must not change, as by default."""

IDLE_S = 30.0
TIMEOUT_S = 500.0

CONFIG = f"""
inboxes: [{{path: one, outbox: out}}, {{path: other, outbox: out-other}}]
state: {{path: state}}
watch: {{quiet_s: {QUIET_S}}}
job: {{backend: sketch, steps: 1, size: 64}}
"""

PAIR_BYTES = 20_000


def claims(setting: Setting) -> Iterator[Reading]:
    """Yield how long many pairs take, and meanwhile one in another inbox; one alone; idleness."""
    own = dict(measured(setting, STYLEWATCH))
    yield from own.items()
    if setting.kept:
        kept = dict(measured(setting, setting.kept))
        yield "claims_kept_ratio", own["claims_s"] / kept["claims_s"]


def measured(setting: Setting, program: Path) -> Iterator[Reading]:
    """Yield the rows of one program."""
    root = setting.scratch / "claims"
    shutil.rmtree(root, ignore_errors=True)
    for name in ("one", "other", "staged"):
        (root / name).mkdir(parents=True)
    (root / "config.yaml").write_text(CONFIG)
    pictures = {"content.jpg": small(setting.pair[0]), "style.jpg": small(setting.pair[1])}
    for number in range(setting.pairs + 2):
        folder = root / "staged" / f"{number:05}"
        folder.mkdir()
        for name, content in pictures.items():  # no two have the same bytes
            (folder / name).write_bytes(content + folder.name.encode())
    staged = sorted((root / "staged").iterdir())
    with paused(program, root) as process:
        before = cpu_seconds(process.pid)
        time.sleep(IDLE_S)
        yield "idle_percent", 100 * (cpu_seconds(process.pid) - before) / IDLE_S
        yield "claim_s", seconds_until_claimed(staged.pop(), root / "other")
        beside = staged.pop()
        for pair in staged:
            pair.rename(root / "one" / pair.name)
        began = time.monotonic()
        wait_until(lambda: waiting(root / "one") < setting.pairs * 2 // 3)
        yield "claim_beside_s", seconds_until_claimed(beside, root / "other")
        wait_until(lambda: not waiting(root / "one"))
        yield "claims_s", time.monotonic() - began


def small(picture: Path) -> bytes:
    """Return a JPEG of half of PAIR_BYTES."""
    content = BytesIO()
    Image.open(picture).convert("RGB").resize((96, 64)).save(content, "JPEG")
    return content.getvalue().ljust(PAIR_BYTES // 2, b"\1")


@contextmanager
def paused(program: Path, root: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Run the daemon of a program with the settings in `root`, paused, until the block ends."""
    log = (root / "log").open("wb")
    with log, subprocess.Popen([program, "run"], cwd=root, stdout=log, stderr=log) as process:
        try:
            ledger = root / "state/ledger.sqlite3"
            wait_until(lambda: process.poll() is not None or ledger.exists())
            run(program, "pause", cwd=root)  # which says so if the daemon has ended
            yield process
        finally:
            process.terminate()


def seconds_until_claimed(pair: Path, inbox: Path) -> float:
    """Drop a pair into an inbox, and return the seconds until it has left it."""
    pair.rename(inbox / pair.name)
    began = time.monotonic()
    wait_until(lambda: not waiting(inbox))
    return time.monotonic() - began


def waiting(inbox: Path) -> int:
    """Return how many pairs are in an inbox."""
    return sum(not path.name.startswith(".") for path in inbox.iterdir())


def wait_until(is_done: Callable[[], bool]) -> None:
    """Wait for something; raises RuntimeError after TIMEOUT_S seconds."""
    began = time.monotonic()
    while not is_done():
        if time.monotonic() - began > TIMEOUT_S:
            raise RuntimeError(f"the daemon took more than {TIMEOUT_S:.0f} s")
        time.sleep(0.1)


MEASURES: tuple[Measure[Setting], ...] = (
    Measure((
        Row("claims_s", "5,000 pairs of 20 kB are dropped at once, and claimed", "s"),
        Row("claims_kept_ratio", "`claims_s`, ours / the kept version's", must=1.1),
        Row("claim_beside_s", "a pair that is dropped into another inbox meanwhile", "s",
            must=QUIET_S + 2),
        Row("claim_s", "a pair alone, from its drop until it has left the inbox", "s",
            must=QUIET_S + 1),
        Row("idle_percent", "the daemon without work, of a core", "%", must=1),
    ), claims),
)  # fmt: skip
