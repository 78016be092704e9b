"""What a job is painted again by: what it had, and what is asked now."""

import pytest
from tests.daemon.cli.states import entry

from stylewatch_daemon.errors import UsageError
from stylewatch_daemon.queue.retry_settings import check_at_end, wanted
from stylewatch_daemon.settings.config import Config

HAD = {"backend": "sketch", "steps": 9, "seed": 7}


def test_a_job_keeps_what_it_had_but_for_what_is_asked() -> None:
    found = wanted(entry("sea", settings=HAD), Config(), {"job.seed": 8}, None)
    assert (found["steps"], found["seed"], found["backend"]) == (9, 8, "sketch")


def test_from_a_stage_on_it_begins_with_that_picture() -> None:
    had = {**HAD, "from_step": 100, "steps": 999}
    found = wanted(entry("sea", settings=had), Config(), {}, 5)
    assert (found["init"], found["from_step"]) == ("picture", 105)
    with pytest.raises(UsageError, match="where to start"):
        wanted(entry("sea", settings=had), Config(), {"job.init": "noise"}, 5)


def test_after_the_last_stage_there_is_nothing_to_do() -> None:
    with pytest.raises(UsageError, match="nothing to do"):
        wanted(entry("sea", settings=HAD), Config(), {}, 999_999)


def test_settings_of_another_time_are_a_sentence() -> None:
    with pytest.raises(UsageError, match="drop the pair again"):
        wanted(entry("sea", settings={"long_gone": 1}), Config(), {}, None)


def test_a_job_that_was_never_begun_has_those_that_hold_now() -> None:
    job = entry("sea", inputs=({"role": "content", "name": "a.jpg", "size": 1},
                               {"role": "style", "name": "b.jpg", "size": 1}))  # fmt: skip
    assert wanted(job, Config(), {}, None)["recipe"] == Config().job.recipe


def test_only_jobs_at_their_end_are_painted_again() -> None:
    check_at_end(entry("sea", "failed"))
    with pytest.raises(UsageError, match="not at its end yet"):
        check_at_end(entry("sea", "running"))
