"""The state folder knows its jobs, in their order, and sets aside what is damaged."""

from pathlib import Path

import pytest
from tests.daemon.faults import fill, tree

from stylewatch_daemon import journal
from stylewatch_daemon.journal import File, Journal
from stylewatch_daemon.scan import Look
from stylewatch_daemon.state import State

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
    made = Journal(job_id, "a", Path("/out"), after, files)
    fill(state.jobs / job_id / "files", "a.jpg", "style.jpg", "job.yaml")
    journal.save(made, state.jobs / job_id)
    return made


def test_jobs_wait_in_the_order_they_came(state: State) -> None:
    for job_id in ("20260102", "20260101", "20260103"):
        job(state, job_id)
    assert [one.id for one in state.waiting()] == ["20260101", "20260102", "20260103"]


def test_a_change_is_written_before_it_holds(state: State) -> None:
    changed = state.save(job(state, "1"), phase="ending")
    assert changed.phase == "ending"
    assert list(state.waiting()) == [changed]


def test_a_job_knows_its_files_and_which_were_taken(state: State) -> None:
    made = job(state, "1")
    files = state.jobs / "1" / "files"
    assert state.job(made).content == files / "a.jpg"
    assert state.job(made).styles == (files / "style.jpg",)
    assert state.job(made).moved == (files / "a.jpg", files / "job.yaml")
    assert state.job_file(made) == files / "job.yaml"


def test_what_was_kept_in_the_inbox_is_the_jobs_own_and_yet_was_not_taken(state: State) -> None:
    made = job(state, "1", after="keep")
    assert state.job(made).moved == ()
    assert {path.name for path in state.own_files(made)} == {"a.jpg", "job.yaml"}


def test_a_finished_job_leaves_nothing(state: State) -> None:
    state.finish(job(state, "1"))
    assert tree(state.root) == {}


def test_a_damaged_job_is_set_aside_with_its_inputs_and_the_others_go_on(state: State) -> None:
    job(state, "1")
    sound = job(state, "2")
    (state.jobs / "1" / "job.json").write_text("{")
    (aside,) = state.tidy()
    assert list(state.waiting()) == [sound]
    assert "files/a.jpg" in tree(aside)


def test_tidying_empties_the_trash_and_keeps_a_claim_that_has_not_begun(state: State) -> None:
    fill(state.trash, "old/a.jpg")
    (state.claims / "3").mkdir()
    assert state.tidy() == []
    assert list(state.trash.iterdir()) == []
    assert (state.claims / "3").exists()
