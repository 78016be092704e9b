"""The state folder knows its jobs, in their order, and quarantines damaged ones."""

import os
import shutil
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from tests.daemon.faults import fill

from stylewatch_daemon.files.identity import Look
from stylewatch_daemon.model import JobState
from stylewatch_daemon.store import journal
from stylewatch_daemon.store.journal import File, Journal
from stylewatch_daemon.store.ledger_writer import LedgerWriter
from stylewatch_daemon.store.state_dir import State, entry_of

LOOK = Look(1, 2, 3)
ODD = Path("/in") / os.fsdecode(b"latin\xe9\n.jpg")


@pytest.fixture
def state(tmp_path: Path) -> State:
    state = State(tmp_path / "state")
    state.make()
    return state


def job(state: State, job_id: str, after: str = "archive") -> Journal:
    files = (
        File("content", "a.jpg", ODD, LOOK, own=True),
        File("style", "style.jpg", Path("/in/style.jpg"), LOOK, own=False),
        File("job", "job.yaml", Path("/in/job.yaml"), LOOK, own=True),
    )
    made = Journal(job_id, "a", Path("/in"), Path("/out"), after, files, state=JobState.QUEUED)
    fill(state.jobs / job_id / "files", "a.jpg", "style.jpg", "job.yaml")
    journal.save(made, state.jobs / job_id)
    state.ledger.enter([entry_of(made)])
    return made


def test_a_job_knows_its_files(state: State) -> None:
    made, files = job(state, "1"), state.jobs / "1/files"
    assert state.load("1") == made
    inputs = {"content": [files / "a.jpg"], "style": [files / "style.jpg"]}
    assert inputs.items() <= state.inputs(made).items()
    assert made.archived == 2 * LOOK.size
    assert replace(made, after="delete").archived == 0
    assert state.only_copies(made) == (files / "a.jpg", files / "job.yaml")
    assert state.only_copies(replace(made, after="keep")) == ()
    (files / "job.yaml").unlink()
    assert [path.name for path in state.own_files(made)] == ["a.jpg"]
    assert [path.name for path in state.pictures(made)] == ["a.jpg", "style.jpg"]


def test_the_ledger_and_the_folders_are_reconciled_at_the_start(state: State) -> None:
    made = job(state, "4")
    state.close()
    (state.root / "ledger.sqlite3").unlink()
    states = {"1": "running", "2": "queued", "3": "claimed", "5": "done"}
    for job_id, name in states.items():
        job(state, job_id)
        state.ledger.change(job_id, state=name)
    for gone in ("2", "3"):
        shutil.rmtree(state.jobs / gone)
    state.ledger.change("5", place="4")  # the name of another job's folder
    (state.jobs / "5/job.json").write_text("{")  # and damaged, but it has ended
    fill(state.trash, "old/a.jpg")
    state.check_jobs()
    state.enter_missing()
    state.reconcile()
    assert state.load("4") == replace(made, state=JobState.CLAIMED)
    assert not (state.jobs / "5").exists()
    assert (state.set_aside(), list(state.trash.iterdir())) == ([], [])
    names = {job_id: state.ledger.state(job_id) for job_id in "12345"}
    # An inbox may still have the files of a claimed job.
    assert names == {"1": "queued", "2": "failed", "3": "claimed", "4": "claimed", "5": "done"}
    missing = state.ledger.find("2")
    assert missing is not None
    assert "drop it again" in missing.reason


def test_the_state_folder_is_for_its_owner_alone(tmp_path: Path) -> None:
    def modes() -> dict[str, int]:
        paths = (root, *root.iterdir())
        return {path.name: stat.S_IMODE(path.stat().st_mode) for path in paths}

    root, mask = tmp_path / "state", os.umask(0o022)
    try:
        (root / "thumbs").mkdir(parents=True)
        for name in ("lock", "status.json"):
            (root / name).touch()
        LedgerWriter.open(root / "ledger.sqlite3").close()
        (root / "ledger.sqlite3").chmod(0o644)
        state = State(root)
        state.make()
        assert state.ledger.counts()["waiting"] == 0
        folders = {"state", "thumbs", "claims", "jobs", "trash"}
        assert {name for name, mode in modes().items() if mode == 0o700} == folders
        assert {mode for name, mode in modes().items() if name not in folders} == {0o600}
        state.close()
        (root / "ledger.sqlite3").unlink()
        assert state.ledger.counts()["waiting"] == 0
        assert modes()["ledger.sqlite3"] == 0o600
    finally:
        os.umask(mask)


def test_a_link_in_the_place_of_a_folder_is_moved_away(state: State) -> None:
    elsewhere = state.root.parent / "elsewhere"
    (elsewhere / "album").mkdir(parents=True)
    elsewhere.chmod(0o755)
    state.trash.rmdir()
    state.trash.symlink_to(elsewhere)
    state.make()
    state.check_jobs()
    assert (elsewhere / "album").is_dir()
    assert elsewhere.stat().st_mode & 0o777 == 0o755
    assert not state.trash.is_symlink()
