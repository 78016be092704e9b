"""Where memory does not suffice a job fails, or uses less: as configured."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.daemon.worker.orders import files, order, painted, receipt

from stylewatch_daemon.base.model import Progress, Started
from stylewatch_daemon.worker import oom_fallback, run_job
from stylewatch_daemon.worker.messages import AttemptStopped, Done, Order
from stylewatch_plugins import registry
from stylewatch_plugins.contract import Device, Provenance, Step, Task, Wish
from stylewatch_plugins.sketch import Sketch
from stylewatch_plugins.testing.tasks import after

Given = Callable[..., Order]
Size = tuple[int, int]


@dataclass
class Room:
    """Memory of the device `gpu`, in pixels; and what was tried: device, tile and size."""

    pixels: int = 0
    has_tiles: bool = False
    at_step: int = 1
    """The step at which the lack of memory shows."""
    error: Exception = field(default_factory=lambda: torch.OutOfMemoryError("out of memory"))
    tried: list[tuple[str, str, Size]] = field(default_factory=list)


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Room:
    """The room that all backends have, in a world of small pictures."""
    room = Room()

    class Cramped(Sketch):
        def __init__(self, options: Mapping[str, object]) -> None:
            super().__init__({})
            self._device = str(options.get("device", "gpu"))
            auto = "32" if self._device == "cpu" else "none"
            self._tile = str(options.get("tile", auto))

        def devices(self) -> tuple[Device, ...]:
            return (Device("gpu", "a small one"), Device("cpu", "the processor"))

        def provenance(self, task: Task) -> Provenance:
            decided = {"device": self._device} | ({"tile": self._tile} if room.has_tiles else {})
            return replace(super().provenance(task), device=self._device, decided=decided)

        def paint(self, task: Task, wish: Callable[[], Wish]) -> Iterator[Step]:
            room.tried.append((self._device, self._tile, task.final))
            width, height = task.final if self._tile == "none" else [int(self._tile)] * 2
            fits = self._device == "cpu" or width * height <= room.pixels
            for step in super().paint(task, wish):
                if not fits and step.step >= room.at_step:
                    raise room.error
                yield step

    monkeypatch.setattr(registry, "load", lambda _, options: Cramped(options))
    monkeypatch.setattr(oom_fallback, "MIN_SIDE", 8)
    monkeypatch.setattr(oom_fallback, "MIN_TILE", 4)
    return room


@pytest.fixture
def given(tmp_path: Path, pictures: Path) -> Given:
    """Makes orders in folders of their own, 32x24 pixels in size."""

    def make(out_of_memory: Any, name: str = "job", **settings: Any) -> Order:
        return replace(order(tmp_path / name, pictures, **settings), out_of_memory=out_of_memory)

    return make


@pytest.mark.parametrize(
    ("setting", "error"),
    [("wait", torch.OutOfMemoryError("no memory")), ("smaller", RuntimeError("a bug"))],
)
def test_wait_and_other_errors_fail_at_once(
    setting: str, error: Exception, room: Room, given: Given
) -> None:
    room.error = error
    with pytest.raises(RuntimeError, match=str(error)):
        painted(given(setting))
    assert len(room.tried) == 1


def test_smaller_halves_the_area_as_often_as_needed(room: Room, given: Given) -> None:
    room.pixels, job = 200, replace(given("smaller"), checkpoint=None)
    *events, end = painted(job)
    assert isinstance(end, Done)
    sizes = [(32, 24), (23, 17), (16, 12)]
    assert [size for _, _, size in room.tried] == sizes
    assert [event.sizes[-1] for event in events if isinstance(event, Started)] == sizes
    record = receipt(job)
    note = "there was not enough memory for 32x24 pixels: this is painted at 16x12"
    assert [warning for warning in record["warnings"] if "memory" in warning] == [note]
    assert (record["size"], record["recipe"]["schedule"]["size"]) == ([16, 12], "16x12")
    assert record["attempts"][-1]["decided"] == {"device": "gpu", "size": "16x12"}
    with Image.open(job.staging / "final.png") as final:
        assert final.size == (16, 12)


def test_a_smaller_job_continues_at_its_size_to_the_same_bytes(room: Room, given: Given) -> None:
    """However much memory there is by then, and whatever the setting is."""
    room.pixels = 500
    whole, parts = (given("smaller", name) for name in "ab")
    painted(whole)
    assert painted(parts, *after(4, Wish.STOP))[-1] == AttemptStopped(3)  # one step was in vain
    room.pixels, room.tried = 10**6, []
    first, *_ = painted(replace(parts, out_of_memory="wait"))
    assert isinstance(first, Started)
    assert (first.step, room.tried) == (3, [("gpu", "none", (23, 17))])
    assert files(parts) == files(whole)


def test_on_the_cpu_it_continues_from_its_checkpoint(
    room: Room, given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its own choices in place of those of the GPU."""
    room.at_step, room.has_tiles, job = 6, True, given("cpu")
    monkeypatch.setattr(run_job, "CHECKPOINT_EVERY", 0.0)
    monkeypatch.setattr(run_job, "CHECKPOINT_COST", 0.0)
    events = painted(job)
    assert [tried[:2] for tried in room.tried] == [("gpu", "none"), ("cpu", "32")]
    assert [event.step for event in events if isinstance(event, Started)] == [0, 5]
    assert [event.step for event in events if isinstance(event, Progress)] == list(range(1, 9))
    record = receipt(job)
    note = "gpu did not have enough memory: this is painted on the processor"
    assert record["warnings"][-1] == note
    assert record["attempts"][-1]["decided"]["device"] == record["backend"]["device"] == "cpu"
    whole = given("wait", "whole", device="cpu")
    painted(whole)
    left, right = (np.asarray(Image.open(each.staging / "final.png")) for each in (job, whole))
    assert np.array_equal(left, right)


def test_tiles_become_smaller_first_unless_they_are_set(room: Room, given: Given) -> None:
    fields = {"objective.neighbors": None}
    room.has_tiles, room.pixels, job = True, 8 * 8, given("smaller", fields=fields)
    assert isinstance(painted(job)[-1], Done)
    record = receipt(job)
    note = "there was not enough memory: this is painted in tiles of 8 pixels"
    assert (record["size"], record["warnings"][-1]) == ([32, 24], note)
    assert record["attempts"][-1]["decided"]["tile"] == 8
    assert [tile for _, tile, _ in room.tried] == ["none", "16", "8"]
    room.tried = []
    with pytest.raises(torch.OutOfMemoryError):
        painted(replace(given("smaller", "set", fields=fields), backend_options={"tile": 32}))
    assert {tile for _, tile, _ in room.tried} == {"32"}
