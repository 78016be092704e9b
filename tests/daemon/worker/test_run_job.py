"""A worker paints one order: events and files in their order, and on from where it was stopped."""

import hashlib
import json
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.faults import told_of_syncs
from tests.daemon.worker.orders import files, order, painted, receipt, table

from stylewatch_daemon.errors import SettingsError
from stylewatch_daemon.model import Progress, Started
from stylewatch_daemon.worker import checkpoint, job_run, run_job
from stylewatch_daemon.worker.contract import Done, Order, Staged, Stopped
from stylewatch_painter.errors import PictureError, RecipeError
from stylewatch_plugins.contract import Provenance, Wish
from stylewatch_plugins.errors import BackendMissingError
from stylewatch_plugins.sketch import Sketch
from stylewatch_plugins.testing.tasks import after

DUE = [2, 4, 6, 8]
FILES = {*(f"stages/000{step}.png" for step in DUE), "losses.csv", "final.png", "receipt.json"}
BACKENDS = pytest.mark.parametrize("backend", ["sketch", "torch"])


@pytest.fixture
def given(tmp_path: Path, pictures: Path) -> Order:
    return order(tmp_path / "job", pictures)


@BACKENDS
def test_files_are_left_as_they_come_and_the_receipt_last(
    backend: str, tmp_path: Path, pictures: Path
) -> None:
    given = order(tmp_path / "job", pictures, backend=backend)
    started, *steps, end = painted(given)
    assert isinstance(started, Started)
    assert (started.backend, started.step, started.steps) == (backend, 0, 8)
    assert started.sizes == ((16, 12), (32, 24))
    progress = [event for event in steps if isinstance(event, Progress)]
    assert [event.step for event in progress] == list(range(1, 9))
    assert [event.size for event in progress] == [(16, 12)] * 3 + [(32, 24)] * 5
    wanted = [name for step in DUE for name in (f"stages/000{step}.png", "losses.csv")]
    staged = [event.path for event in steps if isinstance(event, Staged)]
    assert staged == [*wanted, "final.png", "receipt.json"]
    assert isinstance(end, Done)
    assert end.receipt == receipt(given)


def test_a_file_is_whole_when_it_is_told(given: Order) -> None:
    for event in run_job.work(given, lambda: Wish.GO_ON):
        if isinstance(event, Staged):
            content = (given.staging / event.path).read_bytes()
            assert hashlib.sha256(content).hexdigest() == event.sha256
        if isinstance(event, Done):
            break
        assert (given.staging / "receipt.json").exists() == (
            isinstance(event, Staged) and event.path == "receipt.json"
        )
    assert set(files(given)) == FILES


def test_what_a_checkpoint_or_the_end_builds_on_lasts_before_it(
    given: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    with told_of_syncs() as told:
        monkeypatch.setattr(checkpoint, "save", lambda *_: told.append(("sync", "checkpoint")))
        painted(given)
        told.append(("sync", "end"))
    milestones = [at for at, (_, what) in enumerate(told) if what in ("checkpoint", "end")]
    assert len(milestones) > 1
    staged = [Path(path) for what, path in told if what == "rename"]
    for path in staged:
        at = max(at for at, one in enumerate(told) if one == ("rename", str(path)))
        before = next(milestone for milestone in milestones if milestone > at)
        assert ("sync", str(path.parent)) in told[at:before]


def test_what_was_left_before_a_checkpoint_is_told_of_again(given: Order) -> None:
    """Byte for byte as it was the first time: perhaps nobody heard of it."""
    before = [one for one in painted(given, *after(6, Wish.STOP)) if isinstance(one, Staged)]
    pictures = [one for one in before if one.path.startswith("stages/")]
    assert [one.step for one in pictures] == [2, 4, 6]
    started, *rest = painted(given)
    assert isinstance(started, Started)
    assert rest[:3] == pictures


def test_progress_tells_the_loss_before_the_step(given: Order) -> None:
    progress = [event for event in painted(given) if isinstance(event, Progress)]
    assert [event.loss for event in progress] == [float(row["total"]) for row in table(given)]
    assert all(event.steps == 8 for event in progress)


@BACKENDS
@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_stopped_and_gone_on_with_it_leaves_the_same_files(
    backend: str, at: int, tmp_path: Path, pictures: Path
) -> None:
    """Byte for byte, receipt and losses too; but for seconds. Step 3 ends the small size."""
    whole, parts = (order(tmp_path / name, pictures, backend=backend) for name in "ab")
    painted(whole)
    assert painted(parts, *after(at, Wish.STOP))[-1] == Stopped(at)
    assert "receipt.json" not in files(parts)
    first, *rest = painted(parts)
    assert isinstance(first, Started)
    assert first.step == at
    assert [event.step for event in rest if isinstance(event, Progress)] == list(range(at + 1, 9))
    assert files(parts) == files(whole)
    assert set(files(whole)) == FILES


def test_stopped_again_and_again_it_gets_there_all_the_same(
    given: Order, tmp_path: Path, pictures: Path
) -> None:
    whole = order(tmp_path / "whole", pictures)
    painted(whole)
    for step in range(1, 8):
        assert painted(given, Wish.STOP)[-1] == Stopped(step)
    assert isinstance(painted(given)[-1], Done)
    assert files(given) == files(whole)
    assert receipt(given)["seconds"] >= receipt(given)["stages"][-1]["seconds"]


@pytest.mark.parametrize("changed", [{"strength": 0.9}, {"seed": 7}, {"size": 30}, {"steps": 6}])
def test_with_other_settings_it_starts_anew(
    changed: dict[str, Any], given: Order, tmp_path: Path, pictures: Path
) -> None:
    painted(given, *after(3, Wish.STOP))
    other = replace(given, settings=given.settings.model_copy(update=changed))
    fresh = replace(other, staging=tmp_path / "fresh", checkpoint=None)
    fresh.staging.mkdir()
    events = painted(other)
    assert next(e.step for e in events if isinstance(e, Progress)) == 1
    assert [e.step for e in events if isinstance(e, Started)][-1] == 0
    painted(fresh)
    assert files(other) == files(fresh)


def test_with_another_picture_it_starts_anew(given: Order, pictures: Path) -> None:
    painted(given, *after(3, Wish.STOP))
    (pictures / "content.jpg").write_bytes((pictures / "style.jpg").read_bytes())
    assert [e.step for e in painted(given) if isinstance(e, Progress)] == list(range(1, 9))


def test_with_other_weights_it_starts_anew(given: Order, monkeypatch: pytest.MonkeyPatch) -> None:
    painted(given, *after(3, Wish.STOP))
    other = Provenance("sketch", "1", "cpu", "fp32", {"name": "own", "sha256": "1", "bits": 32})
    monkeypatch.setattr(Sketch, "provenance", lambda *_: other)
    assert [e.step for e in painted(given) if isinstance(e, Progress)] == list(range(1, 9))


def test_what_auto_decided_at_first_holds_to_the_end(given: Order) -> None:
    torch = replace(given, settings=given.settings.model_copy(update={"backend": "torch"}))
    painted(replace(torch, backend_options={"threads": 1}), *after(3, Wish.STOP))
    painted(replace(torch, backend_options={"threads": 2}))
    assert receipt(torch)["attempts"][-1]["decided"]["threads"] == 1


def test_a_memo_that_is_damaged_is_as_good_as_none(given: Order) -> None:
    assert given.checkpoint is not None
    given.checkpoint.write_bytes(b"PK\x03\x04 and then nothing of use")
    assert [e.step for e in painted(given) if isinstance(e, Progress)] == list(range(1, 9))


def test_told_to_finish_it_makes_the_step_the_last(given: Order) -> None:
    *events, end = painted(given, *after(5, Wish.FINISH))
    assert isinstance(end, Done)
    assert [e.path for e in events if isinstance(e, Staged)][-4:] == [
        "stages/0005.png", "losses.csv", "final.png", "receipt.json",
    ]  # fmt: skip
    assert receipt(given)["state"] == "finished"
    assert receipt(given)["attempts"][-1]["ended"] == "finished"
    assert [stage["step"] for stage in receipt(given)["stages"]] == [2, 4, 5]
    assert (given.staging / "final.png").read_bytes() == (
        given.staging / "stages/0005.png"
    ).read_bytes()


def test_finished_at_its_last_step_it_is_done(given: Order) -> None:
    painted(given, *after(8, Wish.FINISH))
    assert receipt(given)["state"] == "done"


def test_stopped_at_its_last_step_it_is_done_as_well(given: Order) -> None:
    assert isinstance(painted(given, *after(8, Wish.STOP))[-1], Done)


@pytest.mark.parametrize(
    ("each_look", "steps"), [(job_run.CHECKPOINT_EVERY, [1]), (0.0, [2, 4, 6])]
)
def test_every_minute_and_with_every_stage_it_keeps_a_checkpoint_by_itself(
    each_look: float, steps: list[int], given: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By this clock a minute passes at every look, or no time; it is rare where it takes long."""
    saved: list[int] = []
    save = checkpoint.save

    def counted(path: Path, kept: checkpoint.Memo) -> None:
        saved.append(kept.story["step"])
        save(path, kept)

    monkeypatch.setattr(checkpoint, "save", counted)
    ticks = count(0.0, each_look)
    monkeypatch.setattr("time.monotonic", lambda: next(ticks))
    painted(given)
    assert saved == steps


def test_without_a_place_for_checkpoints_it_keeps_none(given: Order) -> None:
    assert painted(replace(given, checkpoint=None), Wish.STOP)[-1] == Stopped(1)
    assert list(given.staging.parent.rglob("*.npz")) == []


def test_what_it_begins_with_is_told_before_anything_is_painted(given: Order) -> None:
    no_steps = replace(given, settings=given.settings.model_copy(update={"steps": 0}))
    with pytest.raises(SettingsError, match="steps: 0 only measures"):
        painted(no_steps)
    with pytest.raises(PictureError, match=r"absent.jpg is not there"):
        painted(replace(given, content=given.main.with_name("absent.jpg")))
    with pytest.raises(RecipeError, match="start: picture needs a picture"):
        painted(replace(given, settings=given.settings.model_copy(update={"init": "picture"})))
    with pytest.raises(BackendMissingError, match="no backend 'skech'"):
        painted(replace(given, settings=given.settings.model_copy(update={"backend": "skech"})))
    assert list(given.staging.iterdir()) == []


def test_a_place_that_cannot_be_written_is_told(given: Order) -> None:
    given.staging.rmdir()
    with pytest.raises(OSError, match="staging"):
        painted(given)


def test_measuring_and_estimating_leave_no_file(given: Order) -> None:
    measured = run_job.measure(given)
    assert json.loads(json.dumps(measured)) == measured
    found = run_job.estimate(given)
    assert (found.sizes, found.steps) == (((16, 12), (32, 24)), (3, 5))
    assert list(given.staging.iterdir()) == []
