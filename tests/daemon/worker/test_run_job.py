"""A job runs: events and files in their order, checkpoints, and continuing after a stop."""

from dataclasses import replace
from hashlib import sha256
from itertools import count
from pathlib import Path

import pytest
from tests.daemon.faults import unsynced
from tests.daemon.worker.orders import files, order, painted, receipt, table, with_settings

from stylewatch_daemon.base.errors import UnavailableError
from stylewatch_daemon.base.model import Progress, Started
from stylewatch_daemon.worker import checkpoint, run_job
from stylewatch_daemon.worker.messages import AttemptStopped, Done, Event, FileStaged, Order
from stylewatch_painter import installed
from stylewatch_painter.errors import PictureError, RecipeError
from stylewatch_painter.losses.content import ContentSettings
from stylewatch_plugins.contract import Provenance, Wish
from stylewatch_plugins.sketch import Sketch
from stylewatch_plugins.testing.tasks import after

STAGES = [f"stages/000{step}.png" for step in (2, 4, 6, 8)]


def progress(events: list[Event]) -> list[int]:
    return [event.step for event in events if isinstance(event, Progress)]


def test_events_and_files_come_in_their_order_and_the_receipt_last(given: Order) -> None:
    events: list[Event] = []
    for event in run_job.work(given, lambda: Wish.GO_ON):
        events.append(event)
        if isinstance(event, FileStaged):
            content = (given.staging / event.path).read_bytes()
            assert sha256(content).hexdigest() == event.sha256, "it is complete when announced"
            assert (given.staging / "receipt.json").exists() == (event.path == "receipt.json")
    started, *events, end = events
    assert isinstance(started, Started)
    assert (started.backend, started.step, started.steps) == ("sketch", 0, 8)
    assert started.sizes == ((16, 12), (32, 24))
    steps = [event for event in events if isinstance(event, Progress)]
    assert [event.step for event in steps] == list(range(1, 9))
    assert [event.size for event in steps] == [(16, 12)] * 3 + [(32, 24)] * 5
    assert [event.loss for event in steps] == [float(row["total"]) for row in table(given)]
    for row in table(given):
        terms = [float(value) for name, value in row.items() if "." in name and value]
        assert terms and sum(terms) == pytest.approx(float(row["total"]))
    expected = [name for stage in STAGES for name in (stage, "losses.csv")]
    staged = [event.path for event in events if isinstance(event, FileStaged)]
    assert staged == [*expected, "final.png", "receipt.json"]
    assert set(files(given)) == {*staged}
    assert end == Done(receipt(given))


def test_files_are_durable_before_a_checkpoint_or_the_end(
    given: Order, syncs: list[tuple[str, str]]
) -> None:
    painted(given)
    syncs.append(("sync", "end"))
    assert ("sync", "checkpoint") in syncs
    assert unsynced(syncs, ("checkpoint", "end")) == []


@pytest.mark.parametrize(("backend", "at"), [("sketch", 1), ("sketch", 3), ("torch", 4)])
def test_a_stopped_job_continues_to_the_same_files(
    backend: str, at: int, tmp_path: Path, pictures: Path
) -> None:
    """Byte for byte but for seconds. Step 3 ends the small size."""
    whole, parts = (order(tmp_path / name, pictures, backend=backend) for name in "ab")
    painted(whole)
    before = painted(parts, *after(at, Wish.STOP))
    assert before[-1] == AttemptStopped(at)
    assert "receipt.json" not in files(parts)
    first, *rest = painted(parts)
    assert isinstance(first, Started) and first.step == at
    assert progress(rest) == list(range(at + 1, 9))
    stages = [event for event in before if isinstance(event, FileStaged) and event.path in STAGES]
    assert rest[: len(stages)] == stages, "perhaps they were never published"
    assert files(parts) == files(whole)


@pytest.mark.parametrize("change", ["settings", "picture", "weights", "damaged checkpoint"])
def test_with_other_settings_or_inputs_a_job_begins_again(
    change: str, given: Order, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    painted(given, *after(3, Wish.STOP))
    if change == "settings":
        given = with_settings(given, steps=6)
    elif change == "picture":
        (pictures / "content.jpg").write_bytes((pictures / "style.jpg").read_bytes())
    elif change == "weights":
        other = Provenance("sketch", "1", "cpu", "fp32", {"name": "own", "sha256": "1", "bits": 32})
        monkeypatch.setattr(Sketch, "provenance", lambda *_: other)
    elif given.checkpoint is not None:
        given.checkpoint.write_bytes(b"PK\x03\x04 and then nothing of use")
    assert progress(painted(given))[0] == 1
    fresh = replace(given, staging=given.staging.with_name("fresh"), checkpoint=None)
    fresh.staging.mkdir()
    painted(fresh)
    again, alone = files(given), files(fresh)
    warnings = receipt(given)["warnings"][len(receipt(fresh)["warnings"]) :]
    assert again.pop("receipt.json") and alone.pop("receipt.json")
    assert again == alone
    assert all(text.startswith("painted anew from the start: ") for text in warnings)
    assert len(warnings) == (change != "damaged checkpoint")


@pytest.mark.parametrize("change", ["nothing", "settings"])
def test_lower_limits_do_not_refuse_what_has_begun(change: str, given: Order) -> None:
    painted(given, *after(3, Wish.STOP))
    limited = replace(given, max_pixels=100, max_frames=1)
    if change == "settings":
        limited = with_settings(limited, seed=7)
    events = painted(limited, *after(2, Wish.STOP))
    assert progress(events) == ([4, 5] if change == "nothing" else [1, 2])
    assert isinstance(painted(limited)[-1], Done), "the limits are those of the first attempt"
    with pytest.raises(PictureError, match="100"):
        painted(replace(limited, checkpoint=None))


def test_choices_of_auto_hold_for_all_attempts(given: Order) -> None:
    torch = with_settings(given, backend="torch")
    painted(replace(torch, backend_options={"threads": 1}), *after(3, Wish.STOP))
    painted(replace(torch, backend_options={"threads": 2}))
    decided = receipt(torch)["attempts"][-1]["decided"]
    assert (decided["threads"], decided["weights"]) == (1, "bundled")


def test_a_job_of_an_earlier_version_goes_on_with_its_weights(given: Order) -> None:
    """They stand in its record alone."""
    torch = with_settings(given, backend="torch")
    painted(torch, *after(3, Wish.STOP))
    snapshot = run_job.load_snapshot(torch)
    decided = dict(snapshot.record["decided"]["torch"])
    assert decided.pop("weights") == "bundled"
    record = {**snapshot.record, "decided": {"torch": decided}, "weights": {"name": "own"}}
    assert run_job._decided(torch, replace(snapshot, record=record)) == {
        **decided,
        "weights": "own",
    }


def test_what_is_not_installed_any_more_is_no_mistake_in_the_settings(
    given: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installed, "_versions", {ContentSettings: ("histo", "1.0")})
    painted(given, *after(3, Wish.STOP))
    monkeypatch.setattr(installed, "_versions", {})
    objective = {**given.recipe["objective"], "histogram": {}}
    gone = replace(given, recipe={**given.recipe, "objective": objective})
    with pytest.raises(UnavailableError, match=r"was begun with histo 1\.0, which .*: unknown"):
        painted(gone)
    with pytest.raises(RecipeError):
        painted(replace(gone, checkpoint=None))


def test_a_package_of_another_version_continues_nothing_and_the_receipt_says_so(
    given: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = with_settings(given, backend="torch")
    monkeypatch.setattr(installed, "_versions", {ContentSettings: ("histo", "1.0")})
    painted(torch, *after(3, Wish.STOP))
    monkeypatch.setattr(installed, "_versions", {ContentSettings: ("histo", "2.0")})
    assert progress(painted(torch))[0] == 1
    whole = receipt(torch)
    assert whole["packages"] == {"histo": "2.0"}
    (warning,) = (text for text in whole["warnings"] if "anew" in text)
    assert warning == (
        "painted anew from the start: this checkpoint was painted with another version of a "
        "package of losses or optimizers"
    )


def test_finish_makes_the_step_the_last_one(given: Order) -> None:
    *_, end = painted(given, *after(5, Wish.FINISH))
    record, contents = receipt(given), files(given)
    assert end == Done(record)
    assert record["state"] == record["attempts"][-1]["ended"] == "stopped early"
    assert [stage["step"] for stage in record["stages"]] == [2, 4, 5]
    assert contents["final.png"] == contents["stages/0005.png"]


@pytest.mark.parametrize("change", ["settings", "damaged checkpoint"])
def test_a_job_that_begins_again_finishes_with_no_earlier_picture_than_it_had(
    change: str, given: Order
) -> None:
    """Stage 4 was there when its owner asked: the first steps of a new start are not it."""
    painted(given, *after(5, Wish.STOP))
    if change == "settings":
        given = with_settings(given, seed=7)
    elif given.checkpoint is not None:
        given.checkpoint.write_bytes(given.checkpoint.read_bytes()[:100])
    events = painted(replace(given, shown_step=4), *[Wish.FINISH] * 8)
    assert progress(events) == [1, 2, 3, 4]
    record = receipt(given)
    assert record["state"] == "stopped early"
    assert [stage["step"] for stage in record["stages"]] == [2, 4]
    assert files(given)["final.png"] == files(given)["stages/0004.png"]


def test_a_job_that_continues_finishes_at_once(given: Order) -> None:
    painted(given, *after(5, Wish.STOP))
    assert progress(painted(replace(given, shown_step=4), Wish.FINISH)) == [6]


@pytest.mark.parametrize(("per_look", "steps"), [(run_job.CHECKPOINT_EVERY, [1]), (0.0, [2, 4, 6])])
def test_checkpoints_are_saved_with_stages_and_every_minute_unless_they_take_long(
    per_look: float, steps: list[int], given: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By this clock a minute passes at every look, or no time."""
    saved, save, ticks = list[int](), checkpoint.save, count(0.0, per_look)

    def record(path: Path, snapshot: checkpoint.Snapshot) -> None:
        saved.append(snapshot.record["step"])
        save(path, snapshot)

    monkeypatch.setattr(checkpoint, "save", record)
    monkeypatch.setattr("time.monotonic", lambda: next(ticks))
    painted(given)
    assert saved == steps
