"""Jobs that are alike are painted at once, and come out as they do alone."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.faults import fill
from tests.daemon.lines import Place
from tests.daemon.painters import Painter
from tests.daemon.settings_made import changed_settings, make_inbox, make_settings
from tests.daemon.worker.orders import order, receipt
from tests.e2e import invariants as promises

from stylewatch_daemon.model import Progress
from stylewatch_daemon.processes.wakeup import Backoff
from stylewatch_daemon.queue import job_queue
from stylewatch_daemon.service import service
from stylewatch_daemon.service.pipeline import Pipeline
from stylewatch_daemon.settings import resolve
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_daemon.settings.sections import Batch
from stylewatch_daemon.store.ledger import reading
from stylewatch_daemon.worker import batch
from stylewatch_daemon.worker.contract import Done, Lost
from stylewatch_daemon.worker.prepare import prepare
from stylewatch_painter.algorithm import forecast
from stylewatch_painter.algorithm.forecast import needed
from stylewatch_painter.algorithm.task import AMPLE
from stylewatch_plugins.contract import Wish


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def album(place: Place, *names: str, **painter: Any) -> None:
    """Pairs of one size, for painters that can paint several at once."""
    place.painter = Painter(many=True, **painter)
    fill(place.inbox, *(f"{name}/{half}.jpg" for name in names for half in ("content", "style")))


def names_of(line: Pipeline, place: Place) -> list[list[str]]:
    """The jobs that came together to the painter."""
    orders = iter(order.name for order in place.painter.orders)
    return [[next(orders) for _ in one] for one in place.painter.submitted]


def test_once_it_is_known_where_jobs_alike_are_painted_at_once(place: Place) -> None:
    album(place, *"abcdefghijkl", device="cuda:0")
    line = place.run()
    assert names_of(line, place) == [["a"], [*"bcdefghi"], [*"jkl"]]
    assert {one.kind for one in line.outcomes.values()} == {"done"}
    with reading(place.state.root / "ledger.sqlite3") as ledger:
        entries = [ledger.find(name) for name in "abl"]
        stories = [ledger.story(entry.id) for entry in entries if entry is not None]
    assert [story[-1].together for story in stories] == [1, 8, 3]


@pytest.mark.parametrize(("batch", "sizes"), [("auto", [1] * 4), (2, [1, 2, 1]), (1, [1] * 4)])
def test_on_the_processor_jobs_are_painted_at_once_only_where_it_is_said(
    batch: Any, sizes: list[int], place: Place
) -> None:
    place.settings = changed_settings(place.settings, batch=batch)
    album(place, *"abcd")
    place.run()
    assert [len(one) for one in place.painter.submitted] == sizes


def test_what_went_wrong_at_once_is_tried_again_alone_and_counts_for_nobody(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_queue, "RETRY", Backoff(first=0.0, most=0.0))
    place.settings = changed_settings(place.settings, batch=8, attempts=1)
    album(place, *"abcd")
    place.painter.endings = [None, None, *[Lost("the worker died")] * 3]
    line = place.run()
    assert [len(one) for one in place.painter.submitted] == [1, 3, 1, 1, 1]
    assert [one.kind for one in line.outcomes.values()] == ["done"] * 4


def test_jobs_that_ask_for_another_device_by_now_go_to_another_worker(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What they ask for may have changed, with the settings, since their shapes were noted."""
    place.settings = changed_settings(place.settings, batch=8)
    album(place, *"abc")
    settled = iter(["cpu"] * 3 + ["cpu", "cpu", "gpu"])  # when they are taken, then begun
    monkeypatch.setattr(resolve.Settler, "settle", lambda *_: JobSettings(device=next(settled)))
    place.run()
    assert [len(one) for one in place.painter.submitted] == [1, 1, 1]


def painted(root: Path, batch: Batch) -> promises.Place:
    """An inbox of five pairs, of which one is of another size, painted by real workers."""
    place = promises.Place(root)
    place.drop(*"abcde")
    (place.inbox / "b/job.yaml").write_text("strength: 0.9\nseed: 7\n")
    (place.inbox / "c/job.yaml").write_text("size: 16\n")
    job = JobSettings(backend="sketch", recipe="neural-style", size="24", steps=6, save_every=2)
    inboxes = (make_inbox(place.inbox, place.outbox),)
    settings = make_settings(inboxes, place.state, quiet_s=0, job=job, batch=batch)
    assert service.once(settings).exit_code == 0
    return place


def test_painted_at_once_each_has_the_pictures_that_it_has_alone(tmp_path: Path) -> None:
    alone, at_once = painted(tmp_path / "alone", 1), painted(tmp_path / "at once", 8)
    assert at_once.pictures() == alone.pictures()
    receipts = {job: json.loads((at_once.outbox / job / "receipt.json").read_bytes())
                for job in at_once.done()}  # fmt: skip
    together = {job: one["attempts"][-1]["decided"].get("batch") for job, one in receipts.items()}
    assert together == {"a": None, "b": 3, "c": None, "d": 3, "e": 3}
    assert {job for job, one in receipts.items() if one["seed"] == 7} == {"b"}


def test_at_once_they_take_no_more_than_the_limit(
    tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it suffices for two of three, one is painted first; by the backend that decided it."""
    made = [order(tmp_path / f"{n}", pictures, backend="torch", seed=n, steps=2) for n in range(3)]
    task = prepare(made[0]).task
    monkeypatch.setattr(forecast, "resident", lambda: 0)
    limit = forecast._PROCESS + 2 * needed(task, AMPLE, 4)
    options = {"device": "cpu", "precision": "fp32"}
    made = [replace(one, memory=limit, backend_options=options) for one in made]
    told = [
        (index, type(event), getattr(event, "step", 0))
        for index, event in batch.work(made, [lambda: Wish.GO_ON] * 3)
        if isinstance(event, Progress | Done)
    ]
    steps = [(index, step) for index, kind, step in told if kind is Progress]
    assert steps == [(0, step) for step in range(1, 6)] + [
        (index, step) for step in range(1, 6) for index in (1, 2)
    ]
    assert [index for index, kind, _ in told if kind is Done] == [0, 1, 2]
    for one in made:
        assert receipt(one)["attempts"][-1]["decided"]["tile"] == "none"
