"""What a daemon holds, looked at again and again; whether it grows."""

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tests.daemon.children import children as children_of

PARTS = ("stages", "inputs")
"""What retention governs in the folder of a job."""


@dataclass(frozen=True)
class Sample:
    """Megabytes and open files, once so many `jobs` had ended, after so many `seconds`."""

    jobs: int
    seconds: float
    daemon_mb: float
    daemon_files: int
    worker_mb: float
    worker_files: int
    state_mb: float
    passing_mb: float
    """Stages and inputs in the outbox, which go by retention."""
    lasting_mb: float
    """All else in the outbox."""


def look(pid: int, state: Path, outbox: Path, jobs: int, seconds: float) -> Sample | None:
    """A sample of the daemon `pid`; None where it, or its worker, is not there just now."""
    try:
        workers = children(pid)
        if not workers:
            return None
        passing, lasting = _outbox(outbox)
        return Sample(
            jobs, seconds, _mb(pid), _files(pid), sum(map(_mb, workers)),
            sum(map(_files, workers)), _size(state), passing, lasting,
        )  # fmt: skip
    except (FileNotFoundError, ProcessLookupError):
        return None


def children(pid: int) -> list[int]:
    """The processes that a daemon started to work for it."""
    return children_of(of=str(pid))


def _mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def _outbox(outbox: Path) -> tuple[float, float]:
    passing = 0.0
    for top, names, _ in os.walk(outbox):
        passing += sum(_size(Path(top, name)) for name in names if name in PARTS)
    return passing, _size(outbox) - passing


def _size(folder: Path) -> float:
    """Megabytes of the files below `folder`; what goes meanwhile counts as gone."""
    total = 0
    for top, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += Path(top, name).lstat().st_size
    return total / 1e6


@dataclass(frozen=True)
class Rule:
    """What must not grow from one part of the samples to another, but for a share and an amount.

    Parts are eighths, from and to: the second quarter and the last one. A worker that was killed
    in between is compared with itself, within the last one.
    """

    what: str
    value: Callable[[Sample], float]
    share: float
    amount: float
    before: tuple[int, int] = (2, 4)
    after: tuple[int, int] = (6, 8)

    def verdict(self, samples: Sequence[Sample]) -> tuple[bool, str]:
        """Whether it holds, and a row on it."""
        before, after = (self._median(samples, *part) for part in (self.before, self.after))
        most = before * (1 + self.share) + self.amount
        word = "flat" if after <= most else "GROWS"
        row = f"| {self.what} | {before:.1f} | {after:.1f} | {most:.1f} | {word} |"
        return after <= most, row

    def _median(self, samples: Sequence[Sample], begin: int, end: int) -> float:
        count = len(samples)
        return median(map(self.value, samples[count * begin // 8 : count * end // 8]))


LAST = ((6, 7), (7, 8))
RULES = (
    Rule("daemon, memory, MB", lambda one: one.daemon_mb, 0.05, 1.0),
    Rule("daemon, open files", lambda one: one.daemon_files, 0.0, 2),
    Rule("worker, memory, MB", lambda one: one.worker_mb, 0.1, 2.0),
    Rule("worker late in its life, MB", lambda one: one.worker_mb, 0.02, 1.0, *LAST),
    Rule("worker, open files", lambda one: one.worker_files, 0.0, 2),
    Rule("worker late in its life, files", lambda one: one.worker_files, 0.0, 2, *LAST),
    Rule("state folder, MB", lambda one: one.state_mb, 0.5, 1.0),
    Rule("stages and inputs, MB", lambda one: one.passing_mb, 0.5, 1.0),
    Rule("all else in the outbox, KB a job", lambda one: one.lasting_mb * 1e3 / one.jobs, 0.1, 1.0),
)
"""Memory and open files are flat, the disk is bounded but for paintings, which stay."""


def table(samples: Sequence[Sample], rows: int = 10) -> Iterable[str]:
    """Some of the samples, as rows."""
    yield ("| jobs | seconds | daemon: MB | files | worker: MB | files | state MB |"
           " stages and inputs MB | else MB |")  # fmt: skip
    yield "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    for one in samples[:: max(1, len(samples) // rows)]:
        yield (
            f"| {one.jobs} | {one.seconds:.0f} | {one.daemon_mb:.1f} | {one.daemon_files} |"
            f" {one.worker_mb:.1f} | {one.worker_files} | {one.state_mb:.2f} |"
            f" {one.passing_mb:.2f} | {one.lasting_mb:.2f} |"
        )


def verdict(samples: Sequence[Sample]) -> tuple[bool, list[str]]:
    """Whether all that should be is flat; a table of medians."""
    rows = [rule.verdict(samples) for rule in RULES]
    head = ["| | before | after | at most | |", "| --- | --- | --- | --- | --- |"]
    return all(holds for holds, _ in rows), [*head, *(row for _, row in rows)]
