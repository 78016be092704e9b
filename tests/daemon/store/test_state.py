"""The state folder knows its jobs, in their order, and sets aside what is damaged."""

import json
import os
import shutil
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from tests.daemon.faults import fill, tree, waiting

from stylewatch_daemon.files.identity import Look
from stylewatch_daemon.model import JobState, Picture
from stylewatch_daemon.store import journal
from stylewatch_daemon.store.journal import Attempt, File, Journal
from stylewatch_daemon.store.state import State, entry_of, with_seen

LOOK = Look(1, 2, 3)


@pytest.fixture
def state(tmp_path: Path) -> State:
    state = State(tmp_path / "state")
    state.make()
    return state


def job(state: State, job_id: str, after: str = "archive") -> Journal:
    files = (
        File("content", "a.jpg", Path("/in/a.jpg"), LOOK, own=True),
        File("style", "style.jpg", Path("/in/style.jpg"), LOOK, own=False),
        File("job", "job.yaml", Path("/in/job.yaml"), LOOK, own=True),
    )
    made = Journal(job_id, "a", Path("/in"), Path("/out"), after, files, state=JobState.QUEUED)
    fill(state.jobs / job_id / "files", "a.jpg", "style.jpg", "job.yaml")
    journal.save(made, state.jobs / job_id)
    state.ledger.enter([entry_of(made)])
    return made


def test_jobs_wait_in_the_order_they_came(state: State) -> None:
    for job_id in ("20260102", "20260101", "20260103"):
        job(state, job_id)
    assert [one.id for one in waiting(state)] == ["20260101", "20260102", "20260103"]


def test_a_change_is_written_before_it_holds(state: State) -> None:
    changed = state.save(job(state, "1"), state="ending")
    assert changed.state == "ending"
    assert waiting(state) == [changed]


def test_a_job_knows_its_files_and_which_were_taken(state: State) -> None:
    made = job(state, "1")
    files = state.jobs / "1" / "files"
    assert state.job(made).content == files / "a.jpg"
    assert state.job(made).styles == (files / "style.jpg",)
    assert state.moved(made) == (files / "a.jpg", files / "job.yaml")
    assert state.job(made).archived == 2 * LOOK.size
    assert state.job(replace(made, after="delete")).archived == 0
    assert state.job_file(made) == files / "job.yaml"


def test_a_job_of_which_only_half_was_taken_has_that_half(state: State) -> None:
    made = job(state, "1")
    (state.jobs / "1/files/job.yaml").unlink()
    assert [path.name for path in state.own_files(made)] == ["a.jpg"]
    assert [path.name for path in state.pictures(made)] == ["a.jpg", "style.jpg"]


def test_the_size_of_the_content_is_known_once_the_ledger_knows_it(state: State) -> None:
    made = job(state, "1")
    assert state.job(state.load("1")).size is None
    seen = [Picture("a.jpg", "12ab", (40, 30)), Picture("style.jpg", "34cd", (9, 9))]
    entry = with_seen(entry_of(made), seen)
    assert [one["sha256"] for one in entry.inputs if "sha256" in one] == ["12ab", "34cd"]
    state.ledger.enter([entry])
    assert state.job(state.load("1")).size == (40, 30)


def test_what_was_kept_in_the_inbox_is_the_jobs_own_and_yet_was_not_taken(state: State) -> None:
    made = job(state, "1", after="keep")
    assert (state.moved(made), state.job(made).archived) == ((), 0)
    assert {path.name for path in state.own_files(made)} == {"a.jpg", "job.yaml"}


def test_a_finished_job_leaves_its_entry_and_nothing_else(state: State) -> None:
    state.finish((job(state, "1"), JobState.DONE))
    assert tree(state.jobs) | tree(state.trash) == {}
    entry = state.ledger.find("1")
    assert entry is not None
    assert (entry.state, bool(entry.finished)) == ("done", True)


def test_a_job_that_was_done_when_all_was_killed_is_not_done_again(state: State) -> None:
    job(state, "1")
    state.ledger.change("1", state="done")
    state.enter_strays()
    assert tree(state.jobs) == {}
    assert waiting(state) == []


def test_a_job_that_the_ledger_does_not_know_is_entered(state: State) -> None:
    made = job(state, "1")
    state.close()
    (state.root / "ledger.sqlite3").unlink()
    state.enter_strays()
    assert state.load("1") == replace(made, state=JobState.CLAIMED)


def test_jobs_from_before_there_was_a_ledger_are_taken_over(state: State) -> None:
    made = job(state, "1")
    state.close()
    (state.root / "ledger.sqlite3").unlink()
    path = state.jobs / "1" / "job.json"
    before = json.loads(path.read_text()) | {
        "phase": "waiting", "place": "a-2", "refused_as": None, "reason": "no disk",
        "attempts": [{"started": "then", "step": 3, "backend": "torch", "device": "cpu",
                      "ended": "then", "how": "paused", "reason": "no disk"}],
    }  # fmt: skip
    del before["inbox"]
    path.write_text(json.dumps(before))
    state.enter_strays()
    attempt = Attempt("then", 3, "torch", "cpu", "then", "paused", "no disk")
    assert waiting(state) == [replace(made, place="a-2", reason="no disk", attempts=(attempt,))]


def test_what_was_cut_off_waits_again_and_what_is_gone_has_failed(state: State) -> None:
    for job_id, how in (("1", "running"), ("2", "queued"), ("3", "claimed")):
        job(state, job_id)
        state.ledger.change(job_id, state=how)
    for gone in ("2", "3"):
        shutil.rmtree(state.jobs / gone)
    state.align()
    assert state.ledger.counts() | {"waiting": 2, "failed": 1} == state.ledger.counts()
    assert state.ledger.ids("claimed") == {"3"}  # which its inbox may have still
    gone_entry = state.ledger.find("2")
    assert gone_entry is not None
    assert "drop it again" in gone_entry.reason


def test_the_one_that_holds_the_folder_is_named(state: State) -> None:
    assert state.holder() == "which one is not known"
    state.hold()
    assert state.holder().startswith(f"process {os.getpid()} on ")


def test_a_damaged_job_is_set_aside_with_its_inputs_and_the_others_go_on(state: State) -> None:
    job(state, "1")
    sound = job(state, "2")
    (state.jobs / "1" / "job.json").write_text("{")
    state.tidy()
    state.align()
    assert waiting(state) == [sound]
    (aside,) = state.set_aside()
    assert aside.job == "1"
    assert "job.json is damaged" in aside.reason
    assert "job/files/a.jpg" in tree(aside.folder)


def test_tidying_empties_the_trash_and_keeps_a_claim_that_has_not_begun(state: State) -> None:
    fill(state.trash, "old/a.jpg")
    (state.claims / "3").mkdir()
    state.tidy()
    assert state.set_aside() == []
    assert list(state.trash.iterdir()) == []
    assert (state.claims / "3").exists()


def test_a_job_that_is_done_is_never_set_aside(state: State) -> None:
    folder = state.jobs / job(state, "1").id
    state.ledger.change("1", state="done")
    (folder / "job.json").write_text("{")
    state.tidy()
    assert state.ledger.state("1") == "done"
    state.quarantine("1", "planted")
    assert state.ledger.state("1") == "done"


def test_a_folder_that_is_called_like_another_job_is_not_discarded(state: State) -> None:
    job(state, "1")
    state.ledger.change("1", state="done", place="2")
    made = job(state, "2")
    state.ledger._write("DELETE FROM jobs WHERE id = '2'")
    state.enter_strays()
    assert state.load("2").files == made.files


def test_the_state_folder_is_for_its_owner_alone_and_so_is_one_from_before(tmp_path: Path) -> None:
    def modes() -> dict[str, int]:
        paths = (root, *root.iterdir())
        return {path.name: stat.S_IMODE(path.stat().st_mode) for path in paths}

    root, mask = tmp_path / "state", os.umask(0o022)
    try:
        for name in ("thumbs", "requests"):
            (root / name).mkdir(parents=True)
        for name in ("lock", "status.json", "ledger.sqlite3"):
            (root / name).touch()
        state = State(root)
        state.make()
        assert state.ledger.counts()["waiting"] == 0
        found = modes()
        folders = {"state", "thumbs", "requests", "claims", "jobs", "trash"}
        assert {name for name, mode in found.items() if mode == 0o700} == folders
        assert {mode for name, mode in found.items() if name not in folders} == {0o600}
        state.close()
        (root / "ledger.sqlite3").unlink()
        assert state.ledger.counts()["waiting"] == 0
        assert modes()["ledger.sqlite3"] == 0o600
    finally:
        os.umask(mask)


@pytest.mark.parametrize("name", ["trash", "jobs", "thumbs"])
def test_a_link_in_the_place_of_a_folder_is_moved_away_and_not_followed(
    tmp_path: Path, name: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "album").mkdir(parents=True)
    elsewhere.chmod(0o755)
    state = State(tmp_path / "state")
    state.make()
    if (state.root / name).exists():
        (state.root / name).rmdir()
    (state.root / name).symlink_to(elsewhere)
    state.make()
    state.tidy()
    assert (elsewhere / "album").is_dir()
    assert elsewhere.stat().st_mode & 0o777 == 0o755
    assert not (state.root / name).is_symlink()
