"""What is kept long enough goes, and nothing else does."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.daemon.disks import deep_tree
from tests.daemon.faults import fill, tree
from tests.daemon.finished import finish
from tests.daemon.store.test_ledger import entry

from stylewatch_daemon.errors import OutputError
from stylewatch_daemon.events import Reporter
from stylewatch_daemon.outbox import manifest, retention
from stylewatch_daemon.outbox.retention import Expiry, daily, outlived, prune, remove, sweep
from stylewatch_daemon.settings.sections import Retention
from stylewatch_daemon.store import thumbs
from stylewatch_daemon.store.journal import Attempt
from stylewatch_daemon.store.ledger_writer import LedgerWriter

STAGES = {"stages/0001.png", "stages/0002.png"}
INPUTS = {"inputs/content.jpg", "inputs/style.jpg"}
REST = {"final.png", "losses.csv", "receipt.json", "inputs/job.yaml"}


class Told(Reporter):
    """Notes what was removed, and what stood in the way."""

    def __init__(self) -> None:
        self.pruned_: list[tuple[int, int]] = []
        self.in_the_way: list[str] = []
        self.rung = threading.Event()

    def pruned(self, files: int, bytes_: int) -> None:
        self.pruned_.append((files, bytes_))
        self.rung.set()

    def paused(self, what: str, reason: str) -> None:
        self.in_the_way.append(reason)


def names(folder: Path) -> set[str]:
    return set(tree(folder))


@pytest.mark.parametrize(
    ("kept", "gone"),
    [
        (Retention(), set()),
        (Retention(stages=2), STAGES),
        (Retention(inputs=2), INPUTS),
        (Retention(stages=2, inputs=0), STAGES | INPUTS),
        (Retention(stages=4, inputs=4), set()),
    ],
    ids=["nothing", "stages", "inputs", "both", "not yet"],
)
def test_stages_and_inputs_go_when_their_days_are_over(
    kept: Retention, gone: set[str], tmp_path: Path
) -> None:
    job = finish(tmp_path, "album/job", 3)
    told = list(outlived(tmp_path, kept, time.time()))
    assert {f"{one.name}" for one in told} == gone
    assert sum(one.bytes for one in told) == sum((job / name).stat().st_size for name in gone)
    assert names(job) == STAGES | INPUTS | REST, "to tell removes nothing"
    assert [one.path for one in prune([tmp_path], kept)] == [one.path for one in told]
    assert names(job) == (STAGES | INPUTS | REST) - gone
    assert (job / "stages").exists() == bool(STAGES - gone), "an empty folder goes as well"
    assert list(prune([tmp_path], kept)) == []


def test_a_tree_of_any_depth_in_an_outbox_is_looked_through_as_far_as_jobs_may_lie(
    tmp_path: Path,
) -> None:
    deep = finish(tmp_path, "/".join("d" * retention.DEPTH), 3)
    finish(tmp_path, "/".join("e" * (retention.DEPTH + 1)), 3)
    with deep_tree(tmp_path / "deep"):
        gone = {one.path.parent.parent for one in prune([tmp_path], Retention(stages=0, inputs=0))}
    assert gone == {deep}


def test_a_job_without_a_receipt_is_left_alone(tmp_path: Path) -> None:
    job = finish(tmp_path, "job", 3)
    (job / "receipt.json").unlink()
    assert list(prune([tmp_path], Retention(stages=0, inputs=0))) == []
    assert names(job) == STAGES | INPUTS | REST - {"receipt.json"}


def test_the_stages_of_a_job_that_was_cancelled_go_as_those_of_others(tmp_path: Path) -> None:
    job = finish(tmp_path, "job", 0)
    (job / "receipt.json").unlink()
    manifest.note(tmp_path, "job")
    assert list(prune([tmp_path], Retention(stages=1, inputs=0))) == []
    fill(job, "stages/mine.png")
    list(prune([tmp_path], Retention(stages=0, inputs=0)))
    assert names(job) == REST - {"receipt.json"} | INPUTS | {"stages/mine.png"}


@pytest.mark.parametrize("place", [".staging/1", "_refused/job"])
def test_what_is_refused_or_not_whole_yet_is_left_alone(place: str, tmp_path: Path) -> None:
    finish(tmp_path, place, 3)
    assert list(prune([tmp_path], Retention(stages=0, inputs=0))) == []


@pytest.mark.parametrize("place", ["_jobs/album/job", "_mine/job"])
def test_what_belongs_to_a_flat_album_or_has_a_dash_in_front_goes_too(
    place: str, tmp_path: Path
) -> None:
    job = finish(tmp_path, place, 3)
    list(prune([tmp_path], Retention(stages=0, inputs=0)))
    assert names(job) == REST


def test_what_people_put_there_or_changed_stays(tmp_path: Path) -> None:
    job = finish(tmp_path, "job", 3)
    fill(job, "stages/mine.png", "inputs/mine.jpg")
    (job / "stages/0001.png").write_text("touched up by hand")
    list(prune([tmp_path], Retention(stages=0, inputs=0)))
    stayed = {"stages/mine.png", "inputs/mine.jpg", "stages/0001.png"}
    assert names(job) == REST | stayed


@pytest.mark.parametrize("at", ["album", "album/job", "album/job/stages", "album/job/receipt.json"])
def test_nothing_is_removed_through_a_link(at: str, tmp_path: Path) -> None:
    outbox, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    finish(outbox, "album/job", 3)
    (outbox / at).rename(elsewhere)
    (outbox / at).symlink_to(elsewhere)
    assert list(prune([outbox], Retention(stages=0))) == []
    assert len(names(tmp_path)) >= len(STAGES | INPUTS | REST)


def test_a_folder_that_becomes_a_link_before_its_files_go_saves_what_is_there(
    tmp_path: Path,
) -> None:
    outbox = tmp_path / "out"
    job = finish(outbox, "job", 3)
    first, *_ = outlived(outbox, Retention(stages=0), time.time())
    (job / "stages").rename(tmp_path / "elsewhere")
    (job / "stages").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match="leads out"):
        remove(first)
    assert len(names(tmp_path / "elsewhere")) == len(STAGES)


def test_an_outbox_that_is_not_there_has_nothing_to_remove(tmp_path: Path) -> None:
    assert list(prune([tmp_path / "gone"], Retention(stages=0, inputs=0))) == []


def test_a_sweep_tells_how_much_went_and_what_stood_in_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Told()
    job = finish(tmp_path, "job", 3)
    size = sum((job / name).stat().st_size for name in STAGES)
    sweep([tmp_path], Retention(stages=0), told, lambda: False)
    assert told.pruned_ == [(2, size)]

    def forbidden(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "unlink", forbidden)
    sweep([tmp_path], Retention(inputs=0), told, lambda: False)
    assert told.in_the_way == [f"{job}/inputs/content.jpg cannot be removed: Permission denied"]
    assert len(told.pruned_) == 1


def test_a_sweep_ends_when_we_leave(tmp_path: Path) -> None:
    job = finish(tmp_path, "job", 3)
    sweep(
        [tmp_path],
        Retention(stages=0, inputs=0),
        Told(),
        lambda: not (job / "stages/0001.png").exists(),
    )
    assert names(job) == (STAGES | INPUTS | REST) - {"stages/0001.png"}


def test_a_sweep_is_made_at_once_and_again_after_a_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "DAY", 0.05)
    told = Told()
    with daily([tmp_path], Retention(stages=0), told):
        for job in ("first", "second"):
            told.rung.clear()
            finish(tmp_path, job, 3)
            assert told.rung.wait(20)
    assert not [one for one in threading.enumerate() if one.name == "prune"]


def test_where_everything_is_kept_nobody_looks(tmp_path: Path) -> None:
    with daily([tmp_path], Retention(), Told()):
        assert not [one for one in threading.enumerate() if one.name == "prune"]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[LedgerWriter]:
    """A ledger that knows a job in each state, of three days ago."""
    ended = (datetime.now(UTC) - timedelta(days=3)).isoformat(timespec="seconds")
    with closing(LedgerWriter.open(tmp_path / "ledger.sqlite3")) as opened:
        for state in ("done", "refused", "failed", "cancelled"):
            opened.enter([entry(state, state=state, finished=ended)])
            opened.write_attempts(state, (Attempt(started=ended),))
        opened.enter([entry("queued", state="queued"), entry("running", state="running")])
        yield opened


def known(ledger: LedgerWriter) -> set[str]:
    states = ("done", "refused", "failed", "cancelled", "queued", "running")
    return {state for state in states if ledger.find(state)}


def test_the_ledger_forgets_jobs_that_ended_long_ago_and_no_others(
    ledger: LedgerWriter, tmp_path: Path
) -> None:
    everything = known(ledger)
    Expiry(lambda: ledger, time.monotonic, tmp_path).go(Retention(ledger=4))
    assert known(ledger) == everything
    Expiry(lambda: ledger, time.monotonic, tmp_path).go(Retention(ledger=2))
    assert known(ledger) == {"queued", "running"}
    assert ledger.story("done") == ()


def test_the_ledger_is_asked_to_forget_once_a_day(ledger: LedgerWriter, tmp_path: Path) -> None:
    now = 1000.0
    expiry = Expiry(lambda: ledger, lambda: now, tmp_path)
    expiry.go(Retention())
    expiry.go(Retention(ledger=4))
    now += retention.DAY - 1
    expiry.go(Retention(ledger=2))
    assert "done" in known(ledger)
    now += 1
    expiry.go(Retention(ledger=2))
    assert "done" not in known(ledger)


def test_a_full_disk_keeps_the_ledger_as_it_is(
    ledger: LedgerWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(before: str) -> int:
        raise OutputError("the ledger cannot be written: the disk is full")

    monkeypatch.setattr(ledger, "expire", full)
    Expiry(lambda: ledger, time.monotonic, tmp_path).go(Retention(ledger=2))
    assert "done" in known(ledger)


def test_thumbnails_go_with_the_last_job_that_has_their_picture(
    ledger: LedgerWriter, tmp_path: Path
) -> None:
    small = tmp_path / "thumbs"
    small.mkdir()
    for name in ("old", "shared", "stray"):
        thumbs.path_of(small, name).touch()
    ledger.change(
        "done", inputs=[{"name": "a", "sha256": "old"}, {"name": "b", "sha256": "shared"}]
    )
    ledger.change("queued", inputs=[{"name": "c", "sha256": "shared"}, {"name": "d"}])
    Expiry(lambda: ledger, time.monotonic, small).go(Retention(ledger=2))
    assert list(small.iterdir()) == [thumbs.path_of(small, "shared")]
