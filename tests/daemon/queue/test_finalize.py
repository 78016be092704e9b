"""Settled jobs are finalized together: first their files, then the ledger, then they go."""

import json
import os
from dataclasses import replace
from itertools import count
from pathlib import Path
from sqlite3 import Connection
from threading import Event
from typing import Any

import pytest
from pydantic import ByteSize
from tests.daemon.faults import fill, killed_at, mounts, tree
from tests.daemon.queue.world import World

from stylewatch_daemon.errors import OutputError
from stylewatch_daemon.files.atomic import digest
from stylewatch_daemon.files.transfers import Transfers
from stylewatch_daemon.model import JobState
from stylewatch_daemon.outbox.publish import Outbox
from stylewatch_daemon.queue.finalize import Finalizer
from stylewatch_daemon.settings.sections import LARGEST_PICTURE, Limits
from stylewatch_daemon.store import ledger_writer
from stylewatch_daemon.store.state_dir import State


class Ending(World):
    """Two jobs that are painted, their receipts staged, and `finalizer` to finalize them."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, jobs=2)
        self.finalizer = Finalizer(self.state, self.reporter)
        for job in self.jobs:
            fill(self.outbox / ".staging" / job.id, "receipt.json")
            (self.outbox / f"job-{job.id}").mkdir()
            self.finalizer.settled.append(
                self.state.save(job, state="ending", place=f"job-{job.id}")
            )

    @property
    def held(self) -> list[str]:
        """The jobs whose files are in the state folder."""
        return sorted(folder.name for folder in self.state.jobs.iterdir())

    def finalize(self) -> dict[str, str]:
        return {job.id: outcome.kind for job, outcome in self.finalizer.finalize()}


@pytest.fixture
def world(tmp_path: Path) -> Ending:
    return Ending(tmp_path)


def test_several_jobs_are_done_by_one_commit_and_forgotten_after_it(
    world: Ending, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, commit = list[list[str]](), ledger_writer.commit

    def committed(connection: Connection) -> None:
        seen.append(world.held)
        commit(connection)

    monkeypatch.setattr(ledger_writer, "commit", committed)
    assert world.finalize() == {"1": "done", "2": "done"}
    assert (seen, world.held) == ([["1", "2"]], [])
    assert len(list(world.outbox.glob("job-*/receipt.json"))) == 2
    assert world.finalizer.settled == []


def test_where_the_ledger_cannot_be_written_they_wait_and_are_done_later(
    world: Ending, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OutputError("the ledger cannot be used")

    with monkeypatch.context() as patch:
        patch.setattr(State, "finish", full)
        assert world.finalize() == {"1": "paused", "2": "paused"}
    assert world.held == ["1", "2"]
    (world.outbox / "job-1/receipt.json").unlink()
    world.finalizer.settled += world.jobs
    assert world.finalize() == {"1": "paused", "2": "done"}, "a job that is gone stops no other"
    assert world.held == ["1"]


def test_an_input_that_changed_while_the_job_ran_is_kept_and_noted_once_whatever_is_killed(
    tmp_path: Path,
) -> None:
    for change in count(1):
        world = Ending(tmp_path / str(change))
        job = replace(world.jobs[0], after="delete")
        world.finalizer.settled = [job]
        inputs = [{"name": path.name, "sha256": digest(path)} for path in world.state.pictures(job)]
        text = json.dumps({"inputs": inputs, "warnings": ["as ever"]})
        (world.outbox / ".staging/1/receipt.json").write_text(text)
        content = world.state.jobs / "1/files/content.jpg"
        content.write_text("written later")
        now = digest(content)
        with killed_at(change) as died:
            world.finalize()
        if world.state.ledger.state("1") != "done":
            world.finalizer.settled = [job]
            assert world.finalize() == {"1": "done"}
        receipt = json.loads((world.outbox / "job-1/receipt.json").read_text())
        assert [entry.get("changed") for entry in receipt["inputs"]] == [{"sha256": now}, None]
        assert len(receipt["warnings"]) == 2
        files = tree(world.outbox / "job-1")
        files.pop("receipt.json")
        assert files == {"inputs/content.jpg": "written later"}
        world.state.close()
        if not died():
            break
    assert receipt["warnings"] == ["as ever", *world.reporter.changed]
    assert world.reporter.changed[0].startswith("content.jpg changed while the job ran")


@pytest.mark.parametrize("after", ["archive", "delete"])
def test_hashing_the_inputs_ends_when_the_daemon_stops(after: str, world: Ending) -> None:
    world.finalizer.settled = [replace(world.jobs[0], after=after)]
    world.finalizer.transfers.close()
    assert world.finalize() == {"1": "paused"}
    assert not (world.outbox / "job-1/receipt.json").exists()


@pytest.mark.parametrize("text", ['{"inputs": 3}', "\0", "[" * 100_000], ids=range(3))
def test_what_is_no_receipt_of_ours_is_published_as_it_is(text: str, world: Ending) -> None:
    (world.outbox / ".staging/1/receipt.json").write_text(text)
    assert world.finalize()["1"] == "done"
    assert (world.outbox / "job-1/receipt.json").read_text() == text


REFUSED = {
    "_refused/job/content.jpg": "job/content.jpg",
    "_refused/job/style.jpg": "job/style.jpg",
    "_refused/job/reason.txt": "Bad.\n",
}


class Refusing(Ending):
    """A job that is to be refused."""

    def __init__(self, root: Path) -> None:
        World.__init__(self, root)
        (job,) = self.jobs
        self.finalizer = Finalizer(self.state, self.reporter, transfers=Transfers())
        self.finalizer.settle(job, JobState.REFUSING, "Bad.")


def test_killed_at_any_change_a_refused_job_comes_back_whole_and_once(tmp_path: Path) -> None:
    for change in count(1):
        world = Refusing(tmp_path / str(change))
        with mounts(world.state.root):  # so its inputs are copied
            with killed_at(change) as died:
                world.finalize()
            if world.state.ledger.state("1") != "refused":
                world.finalizer.settled = world.jobs
                assert world.finalize() == {"1": "refused"}
        assert tree(world.outbox) == REFUSED, f"killed at change {change}"
        world.state.close()
        if not died():
            break


def test_a_refused_job_that_is_canceled_before_its_end_stays_refused(tmp_path: Path) -> None:
    world = Refusing(tmp_path)
    world.state.ledger.change("1", wish="cancel")
    assert world.finalize() == {"1": "refused"}
    assert world.state.ledger.state("1") == "refused"


def test_a_long_copy_is_waited_for_while_others_are_finalized(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, copying = Refusing(tmp_path), Event()
    monkeypatch.setattr("stylewatch_daemon.files.transfers.SMALL", 0)
    stage_refused = Outbox.stage_refused

    def slow(*args: Any) -> None:
        copying.wait()
        stage_refused(*args)

    monkeypatch.setattr(Outbox, "stage_refused", slow)
    try:
        assert world.finalize() == {}
        assert [job.id for job in world.finalizer.settled] == ["1"]
        assert tree(world.outbox) == {}
    finally:
        copying.set()
    while world.finalizer.settled:
        assert world.finalize() in ({}, {"1": "refused"})
    world.finalizer.transfers.close()
    assert tree(world.outbox) == REFUSED


def test_a_clip_is_copied_if_it_may_be_so_long(tmp_path: Path) -> None:
    world = Refusing(tmp_path)
    (held,) = world.state.jobs.glob("*/files/content.jpg")
    os.truncate(held, LARGEST_PICTURE + 1)
    limits, world.finalizer.limits = world.finalizer.limits, Limits(max_bytes=ByteSize(9))
    with mounts(world.state.root):
        while not (results := world.finalize()):
            pass
        assert results == {"1": "paused"}
        world.finalizer.settled, world.finalizer.limits = world.jobs, limits
        while not (results := world.finalize()):
            pass
    world.finalizer.transfers.close()
    assert results == {"1": "refused"}
    assert (world.outbox / "_refused/job/content.jpg").stat().st_size == LARGEST_PICTURE + 1


def test_what_is_copied_must_leave_room(tmp_path: Path) -> None:
    world = Refusing(tmp_path)
    world.finalizer.limits = Limits(free_bytes=ByteSize(10**15))
    with mounts(world.state.root):
        assert world.finalize() == {"1": "paused"}
    world.finalizer.settled = world.jobs
    assert world.finalize() == {"1": "refused"}, "what is linked takes no room"
    assert tree(world.outbox) == REFUSED
