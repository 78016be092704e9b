"""`stylewatch cancel` and `finish`; with a daemon at work they are tested in the line."""

from pathlib import Path

import pytest

from stylewatch_daemon import lock
from stylewatch_daemon.cli import control, jobs
from stylewatch_daemon.cli.main import call
from stylewatch_daemon.journal import Attempt, JobState
from stylewatch_daemon.ledger import FILE_NAME, Entry
from stylewatch_daemon.ledger_writer import LedgerWriter

VERBS = pytest.mark.parametrize("verb", ["cancel", "finish"])


def entered(root: Path, state: JobState, *, begun: bool = True) -> None:
    """Enter the job `holiday`."""
    ledger = LedgerWriter.open(root / FILE_NAME)
    job = Entry("1", "holiday", "in", str(root / "out"), state, "2026-01-01T00:00:00", (), 0)
    ledger.enter([job])
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
    tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str, state: JobState
) -> None:
    entered(tmp_path, state)
    assert call([verb, "1", "--state", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"holiday is {state}: there is nothing to {verb}\n"
    assert not (tmp_path / "requests").exists()


def test_what_was_not_begun_has_no_picture_that_could_be_final(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entered(tmp_path, "queued", begun=False)
    assert call(["finish", "holiday", "--state", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith("holiday was not begun, so there is no picture yet")
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
