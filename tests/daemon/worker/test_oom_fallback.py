"""Where memory does not suffice a job fails, or uses less: as configured."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.daemon.worker.cramped import Room, furnish, in_tiles
from tests.daemon.worker.listening import Listener
from tests.daemon.worker.orders import files, order, painted, receipt
from tests.daemon.worker.works import CONFINED
from tests.daemon.world import child_pids

from stylewatch_daemon.executors.local import Local
from stylewatch_daemon.model import Progress, Started
from stylewatch_daemon.worker import oom_fallback, run_job
from stylewatch_daemon.worker.messages import Done, Failed, Order, Stopped
from stylewatch_plugins.contract import Wish
from stylewatch_plugins.testing.tasks import after

PLENTY = 10**6
MakeRoom = Callable[..., Room]


@pytest.fixture(autouse=True)
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pictures of these tests are small."""
    monkeypatch.setattr(oom_fallback, "MIN_SIDE", 8)
    monkeypatch.setattr(oom_fallback, "MIN_TILE", 4)


@pytest.fixture
def make_room(monkeypatch: pytest.MonkeyPatch) -> MakeRoom:
    """Makes a device with little memory, which all backends use."""

    def make(pixels: int, **more: Any) -> Room:
        room = Room(pixels, **more)
        furnish(monkeypatch, room)
        return room

    return make


@pytest.fixture
def given(tmp_path: Path, pictures: Path) -> Callable[..., Order]:
    """Makes orders in folders of their own, 32x24 pixels in size."""

    def make(out_of_memory: Any, name: str = "job", **settings: Any) -> Order:
        return replace(order(tmp_path / name, pictures, **settings), out_of_memory=out_of_memory)

    return make


Given = Callable[..., Order]


def sizes(room: Room) -> list[tuple[int, int]]:
    return [size for _, size in room.tried]


@pytest.mark.parametrize(
    ("setting", "error"),
    [("wait", torch.OutOfMemoryError("no memory")), ("smaller", RuntimeError("a bug"))],
)
def test_wait_and_other_errors_fail_at_once(
    setting: str, error: Exception, make_room: MakeRoom, given: Given
) -> None:
    room = make_room(700, error=error)
    with pytest.raises(RuntimeError, match=str(error)):
        painted(given(setting))
    assert room.tried == [("gpu", (32, 24))]


def test_smaller_halves_the_area_as_often_as_needed(make_room: MakeRoom, given: Given) -> None:
    room, job = make_room(200), replace(given("smaller"), checkpoint=None)
    *events, end = painted(job)
    assert isinstance(end, Done)
    assert sizes(room) == [(32, 24), (23, 17), (16, 12)]
    assert [e.sizes[-1] for e in events if isinstance(e, Started)] == sizes(room)
    found = receipt(job)
    note = "memory did not suffice for 32x24 pixels: this is painted at 16x12"
    assert found["warnings"][-1] == note
    assert sum("memory" in warning for warning in found["warnings"]) == 1
    assert (found["size"], found["recipe"]["schedule"]["size"]) == ([16, 12], "16x12")
    assert found["attempts"][-1]["decided"] == {"device": "gpu", "size": "16x12"}
    with Image.open(job.staging / "final.png") as final:
        assert final.size == (16, 12)


@pytest.mark.parametrize("limit", ["side", "feature maps"])
def test_there_is_a_smallest_size(
    limit: str, make_room: MakeRoom, given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    room, fields = make_room(0), {}
    if limit == "side":
        monkeypatch.setattr(oom_fallback, "MIN_SIDE", 20)
    else:  # the smallest side is 16
        fields = {"objective.network.pool_edge": "floor", "scales": []}
    with pytest.raises(torch.OutOfMemoryError):
        painted(given("smaller", fields=fields))
    assert sizes(room) == [(32, 24), (23, 17)]


def test_a_smaller_job_continues_at_its_size_to_the_same_bytes(
    make_room: MakeRoom, given: Given
) -> None:
    """However much memory there is by then, and whatever the setting is."""
    room = make_room(500)
    whole, parts = (given("smaller", name) for name in "ab")
    painted(whole)
    assert painted(parts, *after(4, Wish.STOP))[-1] == Stopped(3)  # one step was in vain
    room.pixels, room.tried = PLENTY, []
    first, *_ = painted(replace(parts, out_of_memory="wait"))
    assert isinstance(first, Started)
    assert (first.step, room.tried) == (3, [("gpu", (23, 17))])
    assert files(parts) == files(whole)


def test_on_the_cpu_it_continues_from_its_checkpoint(
    make_room: MakeRoom, given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    room, job = make_room(500, at_step=6), given("cpu")
    monkeypatch.setattr(run_job, "CHECKPOINT_EVERY", 0.0)
    monkeypatch.setattr(run_job, "CHECKPOINT_COST", 0.0)
    events = painted(job)
    assert room.tried == [("gpu", (32, 24)), ("cpu", (32, 24))]
    assert [e.step for e in events if isinstance(e, Started)] == [0, 5]
    assert [e.step for e in events if isinstance(e, Progress)] == list(range(1, 9))
    found = receipt(job)
    note = "memory of gpu did not suffice: this is painted on the processor"
    assert found["warnings"][-1] == note
    assert found["attempts"][-1]["decided"]["device"] == found["backend"]["device"] == "cpu"
    whole = given("wait", "whole", device="cpu")
    painted(whole)
    left, right = (np.asarray(Image.open(each.staging / "final.png")) for each in (job, whole))
    assert np.array_equal(left, right)


def test_tiles_become_smaller_first(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    tried, job = in_tiles(monkeypatch, 8), given("smaller")
    assert isinstance(painted(job)[-1], Done)
    assert tried == ["none", "16", "8"]
    found = receipt(job)
    assert found["size"] == [32, 24]
    assert found["warnings"][-1] == "memory did not suffice: this is painted in tiles of 8 pixels"
    assert found["attempts"][-1]["decided"]["tile"] == 8


@pytest.mark.parametrize(
    ("options", "tries"), [({}, ["none", "16", "8", "4", "none"]), ({"tile": 32}, ["32", "32"])]
)
def test_the_size_follows_where_tiles_cannot_be_smaller_or_are_set(
    options: Any, tries: list[str], given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = in_tiles(monkeypatch, 0)
    with pytest.raises(torch.OutOfMemoryError):
        painted(replace(given("smaller"), backend_options=options))
    assert tried[: len(tries)] == tries


@pytest.fixture
def confined(tmp_path: Path, given: Given) -> Iterator[tuple[Listener, Order]]:
    """A worker process with 700 MB, and an order that takes more.

    A quarter of it takes so much less that it does not matter what torch sets aside.
    """
    fields = {"enlarge": True, "smallest": 1000}
    settings = {"backend": "torch", "device": "cpu", "size": "900", "steps": 1}
    job = given("wait", fields=fields, **settings)
    local = Local(tmp_path / "worker.lock", CONFINED)
    yield Listener(local), replace(job, name="700000000", backend_options={"tile": "none"})
    local.close()


def test_a_real_worker_without_memory_fails_or_uses_a_smaller_size(
    confined: tuple[Listener, Order],
) -> None:
    listener, job = confined
    listener.executor.submit({"1": job})
    listener.until_ended("1")
    end = listener.events["1"][-1]
    assert isinstance(end, Failed)
    assert (end.exit_code, end.recycle) == (69, True)
    assert "memory did not suffice" in end.reason and "allocate" in end.reason
    assert child_pids() == []
    listener.executor.submit({"2": replace(job, out_of_memory="smaller")})
    listener.until_ended("2")
    end = listener.events["2"][-1]
    assert isinstance(end, Done)
    assert max(end.receipt["size"]) in (636, 637, 449, 450)  # half the area, or a quarter
    assert "memory did not suffice" in end.receipt["warnings"][-1]
