"""A series divided: its jobs entered all at once, each with files of its own, and only once."""

from pathlib import Path

import pytest
import yaml
from tests.daemon.faults import fill
from tests.daemon.lines import Place

from stylewatch_daemon.errors import SettingsError
from stylewatch_daemon.queue.series import Division
from stylewatch_daemon.settings import resolve
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_daemon.store.journal import Journal, load


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def series(place: Place, said: str = "sweep: {seed: [1, 2]}") -> Journal:
    """A job that was taken, and has its folder in the outbox."""
    fill(place.inbox, "a/content.jpg", "a/style.jpg")
    (place.inbox / "a/job.yaml").write_text(said)
    line = place.line()
    line.scan()
    line.scan()
    line.enter()
    line.claim()
    (job_id,) = place.state.ledger.open_jobs()
    return place.state.save(place.state.load(job_id), place="a")


def settings(place: Place, job: Journal) -> JobSettings:
    return resolve.settle(place.settings, place.state.job_file(job))


def test_every_member_is_entered_with_a_job_file_of_its_own(place: Place) -> None:
    job = series(place, "sweep: {strength: [0.2], seed: [1, 2]}\nname: all/{name}\nset: {steps: 3}")
    division = Division(place.state, place.settings)
    assert division.divide(job, settings(place, job)) == 2
    entries = place.state.ledger.members(job.id)
    assert [entry.name for entry in entries] == ["a/strength=0.2,seed=1", "a/strength=0.2,seed=2"]
    assert {entry.state for entry in entries} == {"queued"}
    for number, entry in enumerate(entries, start=1):
        one = load(place.state.jobs / entry.id)
        file = place.state.job_file(one)
        assert file is not None
        assert yaml.safe_load(file.read_text()) == {
            "strength": 0.2, "seed": number, "name": "{name}", "set": {"steps": 3},
        }  # fmt: skip
        assert [held.own for held in one.files] == [False, False, True]
        assert all("sha256" in held for held in entry.inputs if held["role"] != "job")


def test_a_divided_series_waits_for_its_jobs(place: Place) -> None:
    job = series(place)
    division = Division(place.state, place.settings)
    division.divide(job, settings(place, job))
    ledger = place.state.ledger
    assert ledger.divided() == [job.id]
    assert [one.state for one in division.parts(job, settings(place, job))] == ["queued"] * 2
    for entry in ledger.members(job.id):
        ledger.change(entry.id, state="done", place=entry.name)
    assert ledger.divided() == []
    assert [(one.state, one.place) for one in division.parts(job, settings(place, job))] == [
        ("done", "a/seed=1"), ("done", "a/seed=2"),
    ]  # fmt: skip


def test_divided_twice_nothing_is_made_twice(place: Place) -> None:
    """As after a kill before the series was noted to be divided."""
    job = series(place)
    division = Division(place.state, place.settings)
    division.divide(job, settings(place, job))
    first, *_ = place.state.ledger.members(job.id)
    place.state.finish((load(place.state.jobs / first.id), "done"))
    division.divide(job, settings(place, job))
    assert [one.state for one in place.state.ledger.members(job.id)] == ["done", "queued"]
    assert not (place.state.jobs / first.id).exists()


def test_a_job_that_is_forgotten_leaves_its_place_on_the_sheet(place: Place) -> None:
    job = series(place)
    division = Division(place.state, place.settings)
    division.divide(job, settings(place, job))
    for entry in place.state.ledger.members(job.id):
        place.state.ledger.change(entry.id, state="done")
    place.state.ledger.expire("9999")
    assert [one.state for one in division.parts(job, settings(place, job))] == [
        "no longer known", "no longer known",
    ]  # fmt: skip


def test_all_members_that_cannot_be_are_told_at_once(place: Place) -> None:
    job = series(place, "sweep: {steps: [3, -1, many]}")
    with pytest.raises(SettingsError) as caught:
        Division(place.state, place.settings).check(job, settings(place, job))
    first, second = str(caught.value).splitlines()
    assert first.startswith("sweep, steps=-1: the settings: steps: input should be greater")
    assert second.startswith("sweep, steps=many: the settings: steps: input should be a valid int")
