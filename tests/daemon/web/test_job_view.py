"""The page of a job tells what its receipt, its folder and the ledger know."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.daemon.web.jobs import STEPS, lay, painted, picture
from tests.daemon.web.visitors import entry, settings

from stylewatch_daemon.store.journal import Attempt
from stylewatch_daemon.store.ledger import Entry
from stylewatch_daemon.web import job_view as stories
from stylewatch_daemon.web.job_view import Story, story
from stylewatch_daemon.web.queries import Reader
from stylewatch_daemon.web.views import Views


def told(root: Path, job: Entry, *attempts: Attempt) -> Story:
    return story(Views(settings(root), Reader(root / "state")), job, attempts)


def test_a_painting_stands_beside_its_photograph_and_its_stages(tmp_path: Path) -> None:
    one = told(tmp_path, painted(tmp_path))
    assert one.before is not None and "input-0" in one.before.src
    assert one.after is not None and "final" in one.after.src
    assert [stage.step for stage in one.stages] == list(STEPS)
    assert one.is_over and one.animation is None


def test_a_job_that_is_painted_shows_its_newest_stage(tmp_path: Path) -> None:
    job = painted(tmp_path)
    (tmp_path / "out/sea/receipt.json").unlink()
    one = told(tmp_path, replace(job, state="running"))
    assert one.after == one.stages[-1].large
    assert not one.is_over and not one.has_receipt and one.receipt == ""


def test_an_animation_that_was_kept_is_shown(tmp_path: Path) -> None:
    job = painted(tmp_path)
    lay(tmp_path / "out/sea/progress.webp", picture(1, "WEBP"))
    one = told(tmp_path, job)
    assert one.animation is not None and "/pictures/animation" in one.animation.src


def test_the_receipt_is_told_at_a_glance_and_whole(tmp_path: Path) -> None:
    one = told(tmp_path, painted(tmp_path))
    facts = dict(one.facts)
    assert facts["painted by"] == "sketch on cpu" and facts["time"] == "1 min 1 s"
    assert [(term.name, term.part) for term in one.terms] == [("content conv4_2", "1")]
    assert ("objective.start", "noise") in one.settings
    assert '"seed": 0' in one.receipt
    assert one.warnings == ("the filters are not normalized",)


def test_a_receipt_that_is_too_long_is_left_to_be_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stories, "LONGEST", 10)
    one = told(tmp_path, painted(tmp_path))
    assert one.has_receipt and one.receipt == ""


def test_of_very_many_stages_some_are_left_out_but_not_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stories, "MOST_STAGES", 1)
    assert [stage.step for stage in told(tmp_path, painted(tmp_path)).stages] == [5, 15]


def test_a_job_without_anything_has_a_page_all_the_same(tmp_path: Path) -> None:
    job = entry("bad", "refused", place=None, reason="no picture")
    one = told(tmp_path, job, Attempt("2026-01-02T12:00:00+00:00"))
    assert (one.reason, one.standing, one.stages) == ("no picture", "refused", ())
    assert len(one.attempts) == 1


def test_the_jobs_of_a_series_are_named(tmp_path: Path) -> None:
    job = painted(tmp_path)
    lay(tmp_path / "out/sea/receipt.json", b'{"jobs": [{"name": "sea-1", "state": "done"}]}')
    assert told(tmp_path, job).jobs == (("sea-1", "done"),)
