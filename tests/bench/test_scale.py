"""Benchmarks of scale and of the page: attributed time, simulated workers, viewers."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from bench.fleet import Script
from bench.meter import REST, Meter
from bench.scale import Plan, measure

from stylewatch_daemon.store.ledger import FILE_NAME, reading


class Work:
    """Work that takes so many nanoseconds, by a clock of its own."""

    def __init__(self) -> None:
        self.now = 0

    def inner(self, takes: int) -> None:
        self.now += takes

    def outer(self) -> None:
        self.now += 5
        self.inner(30)
        self.now += 2

    def steps(self) -> Iterator[int]:
        for number in (1, 2):
            self.inner(10)
            self.now += 1
            yield number


def test_time_belongs_to_the_innermost_part_and_generators_count_by_their_steps() -> None:
    work = Work()
    meter = Meter(lambda: work.now)
    with pytest.MonkeyPatch.context() as patch:
        for name, part in (("inner", "in"), ("outer", "out"), ("steps", "out")):
            meter.wrap(patch, work, name, part)
        work.now += 100
        work.outer()
        work.inner(1)
        for _ in work.steps():
            work.now += 1000
    with meter.part("last"):
        work.now += 4
    assert meter.spent == {REST: 2100, "out": 9, "in": 51, "last": 4}


@pytest.mark.parametrize("batch", [1, 4])
def test_all_simulated_jobs_go_through_the_real_pipeline(batch: int, tmp_path: Path) -> None:
    script = Script(steps=2, save_every=1)
    result = measure(Plan(queued=10, jobs=10, devices=3, batch=batch, script=script), tmp_path)
    with reading(tmp_path / "state" / FILE_NAME) as ledger:
        assert ledger.counts()["done"] == 10
    assert len(list(tmp_path.glob("out-*/*/receipt.json"))) == 10
    assert result.own > 0 and 0 < result.calls["commits, and syncs in them"] < 5
