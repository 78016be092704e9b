"""A short form of `make surface`: some conditions of the daemon, and some states of a job."""

from pathlib import Path

from tests.surface import states

from stylewatch_daemon.base.model import End, State

EACH = 9


def test_every_surface_says_the_same_of_the_daemon_and_of_a_job(tmp_path: Path) -> None:
    assert [*states.breaches(tmp_path, EACH)] == []


def test_each_state_of_a_job_is_tried(tmp_path: Path) -> None:
    jobs = [*states.jobs(tmp_path)]
    assert {job.state for job in jobs} == {*State}
    assert {job.end for job in jobs} == {*End, None}
