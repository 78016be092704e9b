"""A daemon that is killed again and again: the job that it is killed with ends last, and alone."""

import shutil
import signal
from pathlib import Path

import pytest
from tests.e2e.daemon import SLOW, Place, until

from stylewatch_daemon.store.journal import Attempt
from stylewatch_daemon.store.ledger import reading

LONG = ("--set", "job.steps=200", "--set", "job.save_every=200", "--set", "job.size=24")


def drop(place: Place, name: str) -> None:
    """Put a pair into the inbox, all at once."""
    folder = place.root / f".{name}"
    folder.mkdir()
    shutil.copy(place.root / "sea.jpg", folder / "content.jpg")
    shutil.copy(place.root / "wave.jpg", folder / "style.jpg")
    folder.rename(place.root / "inbox" / name)


def running(place: Place) -> list[str]:
    """The jobs that are painted, by their names, once their first step is made."""
    return [one["job"] for one in place.published.get("running", []) if one["step"]]


def story(place: Place, name: str) -> tuple[Attempt, ...]:
    with reading(place.root / "state/ledger.sqlite3") as ledger:
        entry = ledger.find(name)
        return ledger.story(entry.id) if entry else ()


def kill_with(place: Place, name: str, *more: str) -> None:
    """Start a daemon, and kill it once it paints the job."""
    place.start(*LONG, *SLOW, *more)
    until(lambda: name in running(place))
    assert place.end(signal.SIGKILL) == -signal.SIGKILL


def refusal(place: Place, name: str) -> Path:
    return place.root / "outbox/_refused" / name / "reason.txt"


@pytest.mark.timeout(120)
def test_a_job_that_kills_the_daemon_each_time_ends_after_all_others(place: Place) -> None:
    drop(place, "a")
    for _ in range(3):
        kill_with(place, "a")
    for name in ("b", "c"):
        drop(place, name)
    devices = ("--set", "executor.devices=[cpu, other]")
    place.start(*LONG, *SLOW, *devices)
    until(lambda: "a" in running(place))
    assert place.painted == ["b", "c"]
    assert running(place) == ["a"]
    drop(place, "d")
    until(lambda: "d" in place.published["waiting"])
    assert running(place) == ["a"], "nothing is begun beside it"
    assert place.end(signal.SIGKILL) == -signal.SIGKILL
    place.start(*LONG, *SLOW)
    until(lambda: refusal(place, "a").exists() and place.painted == ["b", "c", "d"])
    assert place.end() == 0
    assert "while it painted nothing else" in refusal(place, "a").read_text()
    assert [one.how for one in story(place, "a")] == ["cut off"] * 3 + ["cut off alone"]
    assert (place.root / "outbox/_refused/a/content.jpg").exists()


@pytest.mark.timeout(120)
def test_an_innocent_job_is_painted_however_often_the_machine_was_switched_off(
    place: Place,
) -> None:
    drop(place, "a")
    for _ in range(4):
        kill_with(place, "a", "--set", "limits.attempts=4")
    place.start(*LONG, *SLOW)
    until(lambda: place.painted == ["a"])
    assert place.end() == 0
    assert [one.how for one in story(place, "a")] == ["cut off"] * 4 + ["done"]


@pytest.mark.timeout(120)
def test_a_worker_that_dies_alone_is_counted_as_before(place: Place) -> None:
    drop(place, "a")
    place.start(*LONG, "--set", "backends.sketch={exit_at_step: 3}")
    until(lambda: refusal(place, "a").exists())
    assert place.end() == 0
    assert "tried 3 times" in refusal(place, "a").read_text()
    assert [one.how for one in story(place, "a")] == ["failed"] * 3
