"""`stylewatch cancel` and `finish`; with a daemon at work they are tested in the line."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.daemon.cli.states import publish

from stylewatch_daemon.cli import control, jobs
from stylewatch_daemon.cli.main import call
from stylewatch_daemon.files import lock
from stylewatch_daemon.model import Incomplete
from stylewatch_daemon.outbox.status_txt import Status
from stylewatch_daemon.store.journal import Attempt
from stylewatch_daemon.store.ledger import FILE_NAME, Entry
from stylewatch_daemon.store.ledger_writer import LedgerWriter

VERBS = pytest.mark.parametrize("verb", ["cancel", "finish"])


def entered(root: Path, state: str, *, begun: bool = True, finished: str | None = None) -> None:
    """Enter the job `holiday`."""
    ledger = LedgerWriter.open(root / FILE_NAME)
    job = Entry("1", "holiday", "in", str(root / "out"), state, "2026-01-01T00:00:00", (), 0)
    ledger.enter([replace(job, finished=finished)])
    if begun:
        ledger.write_attempts("1", (Attempt("2026-01-01T00:00:00"),))
    ledger.close()


@VERBS
def test_without_a_daemon_it_is_noted_for_the_next_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    entered(tmp_path, "queued")
    assert call([verb, "holiday", "--state", str(tmp_path)]) == 0
    said = f"noted for the next start: no daemon is at work with {tmp_path}\n"
    assert capsys.readouterr().out == said
    (request,) = (tmp_path / "requests").iterdir()
    assert f'"verb": "{verb}", "arguments": {{"job": "1"}}' in request.read_text()


@VERBS
@pytest.mark.parametrize("state", ["done", "refused", "failed", "cancelled"])
def test_of_what_is_at_its_end_nothing_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str, state: str
) -> None:
    entered(tmp_path, state, finished="2026-01-02T14:03:59+02:00")
    assert call([verb, "1", "--state", str(tmp_path)]) == 65
    said = f"holiday has ended ({state}, 2026-01-02 12:03 UTC): there is nothing to {verb}\n"
    assert capsys.readouterr().err == f"stylewatch: {said}"
    assert not (tmp_path / "requests").exists()


def test_what_was_not_begun_has_no_picture_that_could_be_final(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entered(tmp_path, "queued", begun=False)
    assert call(["finish", "holiday", "--state", str(tmp_path)]) == 65
    assert "holiday was not begun, so there is no picture yet" in capsys.readouterr().err
    assert not (tmp_path / "requests").exists()


@VERBS
def test_of_a_job_that_there_is_not_the_nearest_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    entered(tmp_path, "queued")
    assert call([verb, "holidays", "--state", str(tmp_path)]) == 64
    assert "holiday" in capsys.readouterr().err.replace("'holidays'", "")


@VERBS
def test_a_daemon_that_is_busy_is_not_waited_for_without_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    monkeypatch.setattr(control, "ANSWERS_WITHIN", 0.0)
    entered(tmp_path, "running")
    with lock.held(tmp_path / "lock"):
        assert call([verb, "holiday", "--state", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith("asked; the daemon has not answered yet")


def test_what_is_being_taken_is_cancelled_once_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "is_gone", lambda request: True)
    entered(tmp_path, "claimed")
    with lock.held(tmp_path / "lock"):
        assert call(["cancel", "holiday", "--state", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "cancelling: holiday ends once it is taken\n"


@pytest.mark.parametrize("verb", ["cancel", "finish", "retry", "dismiss"])
def test_a_pair_that_waits_for_its_other_half_is_no_job_yet(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    publish(tmp_path, Status(incomplete=(Incomplete("sea", "a style"),)))
    assert call([verb, "sea", "--state", str(tmp_path)]) == 65
    said = (
        "stylewatch: sea is no job yet: it waits in the inbox for a style; "
        "remove its files from there to end it\n"
    )
    assert capsys.readouterr().err == said
    assert not (tmp_path / "requests").exists()


@VERBS
def test_a_pair_that_waits_is_meant_rather_than_an_old_job_of_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    entered(tmp_path, "done")
    publish(tmp_path, Status(incomplete=(Incomplete("holiday", "a style"),)))
    assert call([verb, "holiday", "--state", str(tmp_path)]) == 65
    assert "waits in the inbox for a style" in capsys.readouterr().err


def test_jobs_that_came_to_a_bad_end_are_dismissed_in_one_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entered(tmp_path, "refused")
    assert call(["dismiss", "holiday", "1", "--state", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith("noted for the next start")
    (request,) = (tmp_path / "requests").iterdir()
    assert (
        '"verb": "dismiss", "arguments": {"jobs": ["1", "1"], "until": ""}' in request.read_text()
    )


def test_all_that_came_to_a_bad_end_until_now_is_dismissed(tmp_path: Path) -> None:
    assert call(["dismiss", "--all", "--state", str(tmp_path)]) == 0
    (request,) = (tmp_path / "requests").iterdir()
    assert '"arguments": {"jobs": [], "until": "2' in request.read_text()


@pytest.mark.parametrize("state", ["queued", "running", "done", "cancelled"])
def test_only_refused_and_failed_jobs_are_dismissed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], state: str
) -> None:
    entered(tmp_path, state)
    assert call(["dismiss", "holiday", "--state", str(tmp_path)]) == 65
    said = f"holiday is {state}: only refused and failed jobs can be dismissed"
    assert said in capsys.readouterr().err
    assert not (tmp_path / "requests").exists()


@pytest.mark.parametrize("what", [[], ["holiday", "--all"]], ids=["nothing", "both"])
def test_what_is_to_be_dismissed_has_to_be_said(tmp_path: Path, what: list[str]) -> None:
    entered(tmp_path, "refused")
    assert call(["dismiss", *what, "--state", str(tmp_path)]) == 64
    assert not (tmp_path / "requests").exists()
