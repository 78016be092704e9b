"""Files and jobs are removed once their retention is over, and nothing else is."""

import os
import threading
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.disks import deep_tree
from tests.daemon.faults import fill, place_of, tree
from tests.daemon.store.test_ledger import entry
from tests.daemon.world import make_finished_job

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
AT_ONCE = Retention(stages=0, inputs=0)
OPEN = {"queued", "running"}


class Recorder(Reporter):
    """Records what was removed, and the errors."""

    def __init__(self) -> None:
        self.removed: list[tuple[int, int]] = []
        self.errors: list[str] = []
        self.called = threading.Semaphore(0)

    def pruned(self, files: int, bytes_: int) -> None:
        self.removed.append((files, bytes_))
        self.called.release()

    def paused(self, what: str, reason: str) -> None:
        self.errors.append(reason)


def names(folder: Path) -> set[str]:
    return set(tree(folder))


@pytest.mark.parametrize(
    ("kept", "gone"),
    [
        (Retention(), set()),
        (Retention(stages=2), STAGES),
        (Retention(stages=4, inputs=2), INPUTS),
        (Retention(stages=2, inputs=0), STAGES | INPUTS),
    ],
)
def test_stages_and_inputs_are_removed_when_their_days_are_over(
    kept: Retention, gone: set[str], tmp_path: Path
) -> None:
    job = make_finished_job(tmp_path, "album/job", 3)
    files = list(outlived(tmp_path, kept, time.time()))
    assert {file.path.relative_to(job).as_posix() for file in files} == gone
    assert sum(file.bytes for file in files) == sum((job / name).stat().st_size for name in gone)
    assert names(job) == STAGES | INPUTS | REST, "listing removes nothing"
    assert prune([tmp_path], kept) == files
    assert names(job) == (STAGES | INPUTS | REST) - gone
    assert (job / "stages").exists() == bool(STAGES - gone), "an empty folder is removed as well"


def test_an_outbox_is_searched_as_deep_as_jobs_may_be(tmp_path: Path) -> None:
    deep = make_finished_job(tmp_path, "/".join("d" * retention.DEPTH), 3)
    make_finished_job(tmp_path, "/".join("e" * (retention.DEPTH + 1)), 3)
    with deep_tree(tmp_path / "deep"):
        assert {file.path.parent.parent for file in prune([tmp_path], AT_ONCE)} == {deep}


def test_a_canceled_job_is_pruned_as_others_and_files_of_people_stay(tmp_path: Path) -> None:
    job = make_finished_job(tmp_path, "job", 0)
    (job / "receipt.json").unlink()
    assert prune([tmp_path], AT_ONCE) == []
    job_files.write_note(tmp_path, "job")
    assert prune([tmp_path], Retention(stages=1, inputs=0)) == []
    fill(job, "stages/mine.png", "inputs/mine.jpg")
    (job / "stages/0001.png").write_text("touched up by hand")
    prune([tmp_path], AT_ONCE)
    mine = {"stages/mine.png", "inputs/mine.jpg", "stages/0001.png"}
    assert names(job) == REST - {"receipt.json"} | INPUTS | mine


@pytest.mark.parametrize(
    ("place", "removed"), [(".staging/1", False), ("_refused/job", False), ("_jobs/a/job", True)]
)
def test_only_jobs_are_pruned_flat_ones_too(place: str, removed: bool, tmp_path: Path) -> None:
    job = make_finished_job(tmp_path, place, 3)
    prune([tmp_path, tmp_path / "gone"], AT_ONCE)
    assert names(job) == (REST if removed else STAGES | INPUTS | REST)


def test_pruning_ends_when_the_daemon_stops_and_reports_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    recorder, job = Recorder(), make_finished_job(tmp_path, "job", 3)
    first = job / "stages/0001.png"
    size = first.stat().st_size
    prune([tmp_path], Retention(stages=0), recorder, lambda: not first.exists())
    assert names(job) == (STAGES | INPUTS | REST) - {"stages/0001.png"}
    monkeypatch.setattr(os, "unlink", forbidden)
    prune([tmp_path], Retention(inputs=0), recorder)
    assert recorder.errors == [f"{job}/inputs/content.jpg cannot be removed: Permission denied"]
    assert recorder.removed == [(1, size)]


def test_a_file_that_cannot_be_removed_keeps_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails_once(name: str, *args: Any, **more: Any) -> None:
        if name == "content.jpg" and not errors:
            errors.append(name)
            raise PermissionError(13, "Permission denied")
        unlink(name, *args, **more)

    unlink, errors, recorder = os.unlink, list[str](), Recorder()
    jobs = [make_finished_job(tmp_path / outbox, "job", 3) for outbox in ("first", "second")]
    monkeypatch.setattr(os, "unlink", fails_once)
    prune([job.parent for job in jobs], AT_ONCE, recorder)
    assert [names(job) for job in jobs] == [REST | {"inputs/content.jpg"}, REST]
    assert recorder.errors == [f"{jobs[0]}/inputs/content.jpg cannot be removed: Permission denied"]


@pytest.mark.parametrize("finished", [True, False])
def test_a_daemon_that_stops_waits_for_one_folder_at_most(
    finished: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def recorded(folder: int) -> Any:
        searched.append(place_of(folder))
        return scandir(folder)

    for number in range(5):
        make_finished_job(tmp_path, f"job-{number}", 0)
        if not finished:
            (tmp_path / f"job-{number}/receipt.json").unlink()
    scandir, searched = os.scandir, list[Path]()
    monkeypatch.setattr(os, "scandir", recorded)
    prune([tmp_path], Retention(stages=1), None, lambda: len(searched) > 1)
    assert searched == [tmp_path, tmp_path / "job-0"]


@pytest.mark.parametrize("at", ["album", "album/job/stages", "album/job/receipt.json"])
def test_nothing_is_removed_through_a_link(at: str, tmp_path: Path) -> None:
    outbox, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    make_finished_job(outbox, "album/job", 3)
    first, *_ = outlived(outbox, Retention(stages=0), time.time())
    (outbox / at).rename(elsewhere)
    (outbox / at).symlink_to(elsewhere)
    assert prune([outbox], Retention(stages=0)) == []
    if elsewhere.is_dir():  # it was looked at before it became a link
        with pytest.raises(OutputError, match="leads out"):
            remove(first)
    assert len(names(tmp_path)) >= len(STAGES | INPUTS | REST)


def test_pruning_runs_at_once_and_again_after_a_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "DAY", 0.05)
    recorder = Recorder()
    with daily([tmp_path], Retention(stages=0), recorder):
        for job in ("first", "second"):
            make_finished_job(tmp_path, job, 3)
            assert recorder.called.acquire(timeout=20)
    assert not [thread for thread in threading.enumerate() if thread.name == "prune"]


def test_old_jobs_and_their_thumbnails_are_forgotten_once_a_day(tmp_path: Path) -> None:
    ended = (datetime.now(UTC) - timedelta(days=3)).isoformat(timespec="seconds")
    states, now = {"done", "refused", "failed", "cancelled"}, 1000.0
    thumbnails = tmp_path / "thumbs"
    fill(thumbnails, *(thumbs.path_of(Path(), name).name for name in ("old", "shared", "stray")))
    pictures = [{"name": "a", "sha256": "old"}, {"name": "b", "sha256": "shared"}]
    with closing(LedgerWriter.open(tmp_path / "ledger.sqlite3")) as ledger:
        ledger.enter(entry(state, state=state, finished=ended, inputs=pictures) for state in states)
        ledger.enter(entry(state, state=state, inputs=pictures[1:]) for state in OPEN)
        ledger.write_attempts("done", (Attempt(started=ended),))
        expiry = Expiry(lambda: ledger, lambda: now, thumbnails)
        for days, passed in (("keep", 0), (4, 0), (2, retention.DAY - 1)):
            now += passed
            expiry.go(Retention.model_validate({"ledger": days}))
            assert ledger.ids(*states) == states
        now += 1
        expiry.go(Retention(ledger=2))
        assert (ledger.ids(*states), ledger.ids(*OPEN), ledger.attempts("done")) == (
            set(),
            OPEN,
            (),
        )
    assert list(thumbnails.iterdir()) == [thumbs.path_of(thumbnails, "shared")]
