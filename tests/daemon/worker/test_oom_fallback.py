"""Where memory does not suffice a job waits, is painted smaller or elsewhere: as configured."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from PIL import Image
from tests.daemon.children import children
from tests.daemon.worker.cramped import Room, furnish, in_tiles
from tests.daemon.worker.listening import Listener
from tests.daemon.worker.orders import files, order, painted, receipt
from tests.daemon.worker.works import CONFINED

from stylewatch_daemon.executors.local import Local
from stylewatch_daemon.model import Progress, Started
from stylewatch_daemon.worker import oom_fallback as module
from stylewatch_daemon.worker.contract import Done, Failed, Order, Stopped
from stylewatch_daemon.worker.oom_fallback import AS_ASKED, Relief
from stylewatch_daemon.worker.run_job import work
from stylewatch_plugins.contract import Wish
from stylewatch_plugins.testing.tasks import after


@pytest.fixture(autouse=True)
def small_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures of these tests are small from the start, and their tiles are."""
    monkeypatch.setattr(module, "SMALLEST", 8)
    monkeypatch.setattr(module, "SMALLEST_TILE", 4)


def given(
    folder: Path, pictures: Path, out_of_memory: Literal["wait", "smaller", "cpu"], **settings: Any
) -> Order:
    return replace(order(folder, pictures, **settings), out_of_memory=out_of_memory)


def test_to_wait_is_to_fail_at_once(
    tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = Room(pixels=700)
    furnish(monkeypatch, room)
    with pytest.raises(torch.OutOfMemoryError):
        painted(given(tmp_path / "job", pictures, "wait"))
    assert room.tried == [("gpu", (32, 24))]


def test_smaller_is_half_the_area_as_often_as_it_takes(
    tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = Room(pixels=200)
    furnish(monkeypatch, room)
    one = given(tmp_path / "job", pictures, "smaller")
    *events, end = painted(one)
    assert isinstance(end, Done)
    sizes = [size for _, size in room.tried]
    assert sizes == [(32, 24), (23, 17), (16, 12)]
    for (width, height), (less_width, less_height) in pairwise(sizes):
        assert 2 * less_width * less_height == pytest.approx(width * height, rel=0.05)
    assert [e.sizes[-1] for e in events if isinstance(e, Started)] == sizes
    told = receipt(one)
    note = "memory did not suffice for 32x24 pixels: this is painted at 16x12"
    assert told["warnings"][-1] == note
    assert (told["size"], told["recipe"]["schedule"]["size"]) == ([16, 12], "16x12")
    assert told["attempts"][-1]["decided"] == {"device": "gpu", "size": "16x12"}
    with Image.open(one.staging / "final.png") as final:
        assert final.size == (16, 12)


def test_a_size_among_the_fields_of_the_recipe_gives_way_too(
    tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = Room(pixels=700)
    furnish(monkeypatch, room)
    fields = {"schedule.size": "28"}
    painted(replace(order(tmp_path / "a", pictures, fields=fields), out_of_memory="smaller"))
    assert [size for _, size in room.tried] == [(28, 21)]
    room.pixels = 500
    painted(replace(order(tmp_path / "b", pictures, fields=fields), out_of_memory="smaller"))
    assert [size for _, size in room.tried][1:] == [(28, 21), (20, 15)]


def test_no_smaller_than_is_worth_it(
    tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = Room(pixels=0)
    furnish(monkeypatch, room)
    monkeypatch.setattr(module, "SMALLEST", 20)
    with pytest.raises(torch.OutOfMemoryError):
        painted(given(tmp_path / "job", pictures, "smaller"))
    assert [size for _, size in room.tried] == [(32, 24), (23, 17)]


def test_no_smaller_than_its_feature_maps_allow(
    tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = Room(pixels=0)
    furnish(monkeypatch, room)
    fields = {"objective.network.pool_edge": "floor", "passes": []}
    one = order(tmp_path / "job", pictures, fields=fields)
    with pytest.raises(torch.OutOfMemoryError):
        painted(replace(one, out_of_memory="smaller"))
    assert [size for _, size in room.tried] == [(32, 24), (23, 17)]  # 16 is the least


def test_a_painting_made_smaller_goes_on_as_small_in_the_same_bytes(
    tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much memory there is by then, and whatever is to be done without it from then on."""
    room = Room(pixels=500)
    furnish(monkeypatch, room)
    whole, parts = (given(tmp_path / name, pictures, "smaller") for name in "ab")
    painted(whole)
    assert painted(parts, *after(4, Wish.STOP))[-1] == Stopped(3)  # one step was made in vain
    room.pixels, room.tried = 10**6, []
    first, *_ = painted(replace(parts, out_of_memory="wait"))
    assert isinstance(first, Started)
    assert (first.step, room.tried) == (3, [("gpu", (23, 17))])
    assert files(parts) == files(whole)


def test_a_kill_before_its_first_checkpoint_makes_no_difference(
    tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = Room(pixels=500)
    furnish(monkeypatch, room)
    one = given(tmp_path / "job", pictures, "smaller")

    def killed() -> Wish:
        if len(room.tried) == 2:
            raise KeyboardInterrupt
        return Wish.GO_ON

    with pytest.raises(KeyboardInterrupt):
        list(work(one, killed))
    room.pixels, room.tried = 10**6, []
    painted(one)
    assert room.tried == [("gpu", (23, 17))]


def test_asked_for_something_else_it_is_tried_as_asked(
    tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = Room(pixels=500)
    furnish(monkeypatch, room)
    one = given(tmp_path / "job", pictures, "smaller")
    painted(one, *after(3, Wish.STOP))
    room.pixels, room.tried = 10**6, []
    settings = one.settings.model_copy(update={"size": "30"})
    *_, end = painted(replace(one, settings=settings))
    assert isinstance(end, Done)
    assert {size for _, size in room.tried} == {(30, 22)}
    assert not any("memory" in warning for warning in receipt(one)["warnings"])


def test_on_the_processor_it_goes_on_from_its_checkpoint(
    tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = Room(pixels=500, at_step=6)
    furnish(monkeypatch, room)
    one = given(tmp_path / "job", pictures, "cpu")
    monkeypatch.setattr("stylewatch_daemon.worker.job_run.CHECKPOINT_EVERY", 0.0)
    monkeypatch.setattr("stylewatch_daemon.worker.job_run.CHEAP", 0.0)
    events = painted(one)
    assert room.tried == [("gpu", (32, 24)), ("cpu", (32, 24))]
    assert [e.step for e in events if isinstance(e, Started)] == [0, 5]
    assert [e.step for e in events if isinstance(e, Progress)] == list(range(1, 9))
    told = receipt(one)
    assert told["warnings"][-1] == "memory of gpu did not suffice: this is painted on the processor"
    assert told["attempts"][-1]["decided"]["device"] == "cpu"
    assert told["backend"]["device"] == "cpu"
    whole = order(tmp_path / "whole", pictures)
    painted(replace(whole, settings=whole.settings.model_copy(update={"device": "cpu"})))
    left, right = (np.asarray(Image.open(o.staging / "final.png")) for o in (one, whole))
    assert np.array_equal(left, right)


def test_on_the_processor_it_stays(
    tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = Room(pixels=500)
    furnish(monkeypatch, room)
    one = given(tmp_path / "job", pictures, "cpu")
    painted(one, *after(3, Wish.STOP))
    room.pixels, room.tried = 10**6, []
    painted(one)
    assert room.tried == [("cpu", (32, 24))]
    assert "painted on the processor" in receipt(one)["warnings"][-1]


def test_a_backend_that_stays_where_it_is_is_asked_once(
    tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = Room(pixels=500, stubborn=True)
    furnish(monkeypatch, room)
    with pytest.raises(torch.OutOfMemoryError):
        painted(given(tmp_path / "job", pictures, "cpu"))
    assert room.tried == [("gpu", (32, 24))] * 2


@pytest.mark.parametrize("error", [RuntimeError("a bug"), RuntimeError("CUDA error: lost")])
def test_nothing_else_makes_a_painting_smaller(
    error: Exception, tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = Room(pixels=500, error=error)
    furnish(monkeypatch, room)
    with pytest.raises(RuntimeError, match=str(error)):
        painted(given(tmp_path / "job", pictures, "smaller"))
    assert room.tried == [("gpu", (32, 24))]


def test_the_processor_has_nowhere_to_go(
    tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def paint(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("stylewatch_plugins.sketch.Sketch.paint", paint)
    with pytest.raises(MemoryError):
        painted(given(tmp_path / "job", pictures, "cpu"))


def test_without_a_place_for_checkpoints_it_is_done_without_all_the_same(
    tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = Room(pixels=500)
    furnish(monkeypatch, room)
    one = replace(given(tmp_path / "job", pictures, "smaller"), checkpoint=None)
    assert isinstance(painted(one)[-1], Done)
    assert receipt(one)["size"] == [23, 17]


def test_what_is_remembered_comes_back_as_it_was(tmp_path: Path, pictures: Path) -> None:
    one = order(tmp_path / "job", pictures)
    assert Relief.of(one, {}) == AS_ASKED
    assert AS_ASKED.applied(one) == one


@pytest.fixture
def confined(tmp_path: Path, pictures: Path) -> Iterator[tuple[Listener, Order]]:
    """A worker process with 700 MB to paint in, and an order that takes more.

    A quarter of it takes so much less that it does not matter what torch sets aside.
    """
    fields = {"enlarge": True, "smallest": 1000}
    settings = {"backend": "torch", "device": "cpu", "size": "900", "steps": 1}
    one = order(tmp_path / "job", pictures, fields=fields, **settings)
    local = Local(tmp_path / "worker.lock", CONFINED)
    yield Listener(local), replace(one, name="700000000", backend_options={"tile": "none"})
    local.close()


def test_a_worker_without_memory_says_so_and_goes(confined: tuple[Listener, Order]) -> None:
    listener, one = confined
    listener.executor.submit({"1": one})
    listener.until_ended("1")
    end = listener.events["1"][-1]
    assert isinstance(end, Failed)
    assert (end.exit_code, end.recycle) == (69, True)
    assert "memory did not suffice" in end.reason
    assert "allocate" in end.reason
    assert children() == []


def test_a_worker_without_memory_paints_smaller(confined: tuple[Listener, Order]) -> None:
    listener, one = confined
    listener.executor.submit({"1": replace(one, out_of_memory="smaller")})
    listener.until_ended("1")
    end = listener.events["1"][-1]
    assert isinstance(end, Done)
    assert max(end.receipt["size"]) in (636, 637, 449, 450)  # half the area, or a quarter
    assert "memory did not suffice" in end.receipt["warnings"][-1]


def test_tiles_become_smaller_before_anything_else_does(
    tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = in_tiles(monkeypatch, 8)
    one = given(tmp_path / "job", pictures, "smaller")
    assert isinstance(painted(one)[-1], Done)
    assert tried == ["none", "16", "8"]
    told = receipt(one)
    assert told["size"] == [32, 24]
    assert told["warnings"][-1] == "memory did not suffice: this is painted in tiles of 8 pixels"
    assert told["attempts"][-1]["decided"]["tile"] == 8


@pytest.mark.parametrize(
    ("said", "tries"), [({}, ["none", "16", "8", "4", "none"]), ({"tile": 32}, ["32", "32"])]
)
def test_pixels_are_done_without_where_tiles_cannot_be_smaller_or_were_said(
    said: Any, tries: list[str], tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = in_tiles(monkeypatch, 0)
    with pytest.raises(torch.OutOfMemoryError):
        painted(replace(given(tmp_path / "job", pictures, "smaller"), backend_options=said))
    assert tried[: len(tries)] == tries
