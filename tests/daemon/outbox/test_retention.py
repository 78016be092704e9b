"""Files and jobs are removed once their retention is over, and nothing else is."""

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
from stylewatch_daemon.outbox import job_files, retention
from stylewatch_daemon.outbox.retention import Expiry, daily, outlived, prune, remove
from stylewatch_daemon.settings.sections import Retention
from stylewatch_daemon.store import thumbs
from stylewatch_daemon.store.journal import Attempt
from stylewatch_daemon.store.ledger_writer import LedgerWriter

STAGES = {"stages/0001.png", "stages/0002.png"}
INPUTS = {"inputs/content.jpg", "inputs/style.jpg"}
REST = {"final.png", "losses.csv", "receipt.json", "inputs/job.yaml"}


class Recorder(Reporter):
    """Records what was removed, and the errors."""

    def __init__(self) -> None:
        self.pruned_: list[tuple[int, int]] = []
        self.errors: list[str] = []
        self.called = threading.Event()

    def pruned(self, files: int, bytes_: int) -> None:
        self.pruned_.append((files, bytes_))
        self.called.set()

    def paused(self, what: str, reason: str) -> None:
        self.errors.append(reason)


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
def test_stages_and_inputs_are_removed_when_their_days_are_over(
    kept: Retention, gone: set[str], tmp_path: Path
) -> None:
    job = finish(tmp_path, "album/job", 3)
    files = list(outlived(tmp_path, kept, time.time()))
    assert {file.name for file in files} == gone
    assert sum(file.bytes for file in files) == sum((job / name).stat().st_size for name in gone)
    assert names(job) == STAGES | INPUTS | REST, "listing removes nothing"
    assert prune([tmp_path], kept) == files
    assert names(job) == (STAGES | INPUTS | REST) - gone
    assert (job / "stages").exists() == bool(STAGES - gone), "an empty folder is removed as well"
    assert prune([tmp_path], kept) == []


def test_an_outbox_is_searched_as_deep_as_jobs_may_be(
    tmp_path: Path,
) -> None:
    deep = finish(tmp_path, "/".join("d" * retention.DEPTH), 3)
    finish(tmp_path, "/".join("e" * (retention.DEPTH + 1)), 3)
    with deep_tree(tmp_path / "deep"):
        gone = {
            file.path.parent.parent for file in prune([tmp_path], Retention(stages=0, inputs=0))
        }
    assert gone == {deep}


def test_a_cancelled_job_is_pruned_as_others_and_files_of_people_stay(tmp_path: Path) -> None:
    job = finish(tmp_path, "job", 0)
    (job / "receipt.json").unlink()
    job_files.write_note(tmp_path, "job")
    assert prune([tmp_path], Retention(stages=1, inputs=0)) == []
    fill(job, "stages/mine.png", "inputs/mine.jpg")
    (job / "stages/0001.png").write_text("touched up by hand")
    prune([tmp_path], Retention(stages=0, inputs=0))
    mine = {"stages/mine.png", "inputs/mine.jpg", "stages/0001.png"}
    assert names(job) == REST - {"receipt.json"} | INPUTS | mine


@pytest.mark.parametrize(
    ("place", "removed"),
    [(".staging/1", False), ("_refused/job", False), ("_jobs/album/job", True), ("_mine", True)],
)
def test_only_jobs_are_pruned_flat_ones_too(place: str, removed: bool, tmp_path: Path) -> None:
    job = finish(tmp_path, place, 3)
    prune([tmp_path, tmp_path / "gone"], Retention(stages=0, inputs=0))
    assert names(job) == (REST if removed else STAGES | INPUTS | REST)
    (job / "receipt.json").unlink()
    assert prune([tmp_path], Retention(stages=0, inputs=0)) == []


def test_pruning_reports_what_it_removed_and_errors_and_ends_when_we_leave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder, job = Recorder(), finish(tmp_path, "job", 3)
    first = job / "stages/0001.png"
    size = first.stat().st_size
    prune([tmp_path], Retention(stages=0), recorder, lambda: not first.exists())
    assert recorder.pruned_ == [(1, size)]
    assert names(job) == (STAGES | INPUTS | REST) - {"stages/0001.png"}

    def forbidden(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "unlink", forbidden)
    prune([tmp_path], Retention(inputs=0), recorder)
    assert recorder.errors == [f"{job}/inputs/content.jpg cannot be removed: Permission denied"]
    assert len(recorder.pruned_) == 1


@pytest.mark.parametrize("at", ["album", "album/job", "album/job/stages", "album/job/receipt.json"])
def test_nothing_is_removed_through_a_link(at: str, tmp_path: Path) -> None:
    outbox, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    finish(outbox, "album/job", 3)
    (outbox / at).rename(elsewhere)
    (outbox / at).symlink_to(elsewhere)
    assert prune([outbox], Retention(stages=0)) == []
    assert len(names(tmp_path)) >= len(STAGES | INPUTS | REST)


def test_nothing_is_removed_from_a_folder_that_becomes_a_link(tmp_path: Path) -> None:
    job = finish(tmp_path / "out", "job", 3)
    first, *_ = outlived(tmp_path / "out", Retention(stages=0), time.time())
    (job / "stages").rename(tmp_path / "elsewhere")
    (job / "stages").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match="leads out"):
        remove(first)
    assert len(names(tmp_path / "elsewhere")) == len(STAGES)


def test_pruning_runs_at_once_and_again_after_a_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "DAY", 0.05)
    recorder = Recorder()
    with daily([tmp_path], Retention(stages=0), recorder):
        for job in ("first", "second"):
            recorder.called.clear()
            finish(tmp_path, job, 3)
            assert recorder.called.wait(20)
    assert not [thread for thread in threading.enumerate() if thread.name == "prune"]


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


def test_the_ledger_is_asked_to_forget_once_a_day(ledger: LedgerWriter, tmp_path: Path) -> None:
    now = 1000.0
    expiry = Expiry(lambda: ledger, lambda: now, tmp_path)
    expiry.go(Retention())
    expiry.go(Retention(ledger=4))
    assert len(known(ledger)) == 6
    now += retention.DAY - 1
    expiry.go(Retention(ledger=2))
    assert "done" in known(ledger)
    now += 1
    expiry.go(Retention(ledger=2))
    assert known(ledger) == {"queued", "running"}
    assert ledger.story("done") == ()


def test_thumbnails_are_removed_with_the_last_job_that_has_their_picture(
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
