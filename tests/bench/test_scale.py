"""The arithmetic of the bench of scale: whose time it is, how long paintings take, what is told."""

import random
from collections import Counter
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from bench.fleet import MEASURED, SLICE, Fleet, Told
from bench.meter import REST, Meter
from bench.scale import FILES, SIMULATION, Found, Plan, measure, table

from stylewatch_daemon.settings.job import JobSettings
from stylewatch_daemon.store.ledger import FILE_NAME, reading
from stylewatch_daemon.worker.messages import Done, Order


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


def test_time_belongs_to_the_part_that_is_innermost() -> None:
    work = Work()
    meter = Meter(lambda: work.now)
    with pytest.MonkeyPatch.context() as patch:
        meter.wrap(patch, work, "inner", "in")
        meter.wrap(patch, work, "outer", "out")
        work.now += 100
        work.outer()
        work.inner(1)
    work.outer()
    with meter.part("last"):
        work.now += 4
    assert meter.spent == {REST: 100 + 37, "out": 7, "in": 31, "last": 4}
    assert meter.calls == {"out": 1, "in": 2}


def test_of_a_generator_only_its_steps_count_and_not_what_is_done_in_between() -> None:
    work = Work()
    meter = Meter(lambda: work.now)
    with pytest.MonkeyPatch.context() as patch:
        meter.wrap(patch, work, "inner", "in")
        meter.wrap(patch, work, "steps", "out")
        for _ in work.steps():
            work.now += 1000
    with meter.part("last"):
        pass
    assert meter.spent == {REST: 2000, "out": 2, "in": 20, "last": 0}


def test_what_the_meter_takes_is_told_apart() -> None:
    ticks, work = count(), Work()
    meter = Meter(lambda: next(ticks))
    with pytest.MonkeyPatch.context() as patch:
        meter.wrap(patch, work, "inner", "in")
        meter.wrap(patch, work, "outer", "out")
        work.outer()
    assert (meter.spent["in"], meter.spent["out"]) == (1, 2)
    for part in ("in", "out"):
        assert meter.own(part) == pytest.approx(meter.spent[part], rel=1e-3)


def test_devices_paint_as_long_as_was_measured_and_end_each_painting_once(tmp_path: Path) -> None:
    fleet = Fleet(3, Told(steps=4, save_every=2), random.Random(1))
    order = Order("a", JobSettings(), Path("a.jpg"), (Path("b.jpg"),), tmp_path)
    for ticket in "ab":
        fleet.submit({ticket: order})
    assert fleet.free() == 1
    ends: dict[str, float] = {}
    heard: Counter[str] = Counter()
    while len(ends) < 2:
        for one in fleet.events():
            heard[type(one.event).__name__] += 1
            if isinstance(one.event, Done):
                ends[one.ticket] = fleet.now
    assert fleet.free() == 3
    assert heard == {"Started": 2, "Progress": 8, "Staged": 10, "Done": 2}
    for at in ends.values():
        assert any(at == pytest.approx(one, abs=1.1 * SLICE) for one in MEASURED)
    assert (tmp_path / "stages/0004.png").exists()


def test_what_is_the_dispatchers_own_is_added_up_without_files_and_simulation() -> None:
    spent = {"choosing": 0.25, "ledger": 0.5, REST: 0.125, FILES[0]: 4.0, SIMULATION: 8.0}
    found = Found(Plan(1000, 10), spent, {}, 0.25, 1200.0, 5e7, 3000)
    assert found.own == 0.875
    assert "| **the dispatcher's own, ms** | **0.875** |" in table([found])
    assert table([found])[:2] == ["| jobs in the ledger | 1,000 |", "| --- | --- |"]


@pytest.mark.parametrize("batch", [1, 4])
def test_all_jobs_go_through_the_line_as_it_is(batch: int, tmp_path: Path) -> None:
    told = Told(steps=2, save_every=1)
    found = measure(Plan(queued=10, jobs=10, devices=3, batch=batch, told=told), tmp_path)
    with reading(tmp_path / "state" / FILE_NAME) as ledger:
        assert ledger.counts()["done"] == 10
    assert len(list(tmp_path.glob("out-*/*/receipt.json"))) == 10
    assert found.own > 0
    assert 0 < found.calls["commits, and syncs in them"] < 5
