"""`stylewatch show JOB`; with a real daemon it is tested in the line."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.cli.states import enter, entry, publish

from stylewatch_daemon.cli.main import call
from stylewatch_daemon.files import lock
from stylewatch_daemon.outbox.status_txt import Running, Status
from stylewatch_daemon.store.journal import Attempt

NOON = "2026-01-02T12:00:00+00:00"
ATTEMPTS = (
    Attempt(NOON, 0, "sketch", "cpu", NOON, "failed", "it broke\nin two"),
    Attempt(NOON, 4, "sketch", "cpu"),
)


@pytest.fixture
def painted(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which a pair was painted, as the job `trip`."""
    monkeypatch.chdir(pictures)
    folder = pictures / "inbox/trip"
    folder.mkdir(parents=True)
    for name in ("content.jpg", "style.jpg"):
        (pictures / name).rename(folder / name)
    (folder / "job.yaml").write_text("{backend: sketch, steps: 3, save_every: 1}")
    assert call(["run", "--once", "-q", "--set", "watch.quiet_s=0"]) == 0
    return pictures


def shown(capsys: pytest.CaptureFixture[str], job: str, *more: str) -> str:
    assert call(["show", job, *more]) == 0
    return capsys.readouterr().out


def test_a_job_that_is_done_is_told_by_ledger_and_receipt(
    painted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = shown(capsys, "trip")
    facts = dict(line.split(maxsplit=1) for line in text.split("\n\n")[0].splitlines())
    assert facts["state"] == "done"
    assert facts["folder"] == str(painted / "outbox/trip")
    parts = {part.split(":\n")[0]: part for part in text.strip().split("\n\n")[1:]}
    assert list(parts) == ["attempts", "pictures", "settings", "losses", "files"]
    assert "sketch (cpu)" in parts["attempts"] and "done" in parts["attempts"]
    assert "content.jpg  48x36" in parts["pictures"]
    assert "schedule.steps" in parts["settings"]
    assert "total" in parts["losses"]
    files = parts["files"].split()[1:]
    assert {"stages/0001.png", "final.png", "losses.csv", "receipt.json"} <= set(files)
    assert len(files) == len(set(files))
    assert all((painted / "outbox/trip" / name).is_file() for name in files)


def test_it_goes_by_its_id_too_and_as_json(
    painted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    story = json.loads(shown(capsys, "trip", "--json"))
    assert story["receipt"]["job"] == "trip"
    assert json.loads(shown(capsys, story["id"], "--json")) == story


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    enter(folder, entry("sea", "running", place="sea-2", settings={"steps": 9, "size": None}),
          entry("bad", "refused", refused_as="_refused/bad", reason="one\n\x1b[2Jtwo"),
          attempts=ATTEMPTS)  # fmt: skip
    return folder


def story(capsys: pytest.CaptureFixture[str], state: Path, job: str) -> Any:
    return shown(capsys, job, "--state", str(state)).splitlines()


def test_attempts_and_settings_are_told_while_it_is_not_done(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = story(capsys, state, "sea")
    assert "state    running" in said
    assert any(
        line.split()[1:] == ["sketch", "(cpu)", "failed", "it", "broke;", "in", "two"]
        for line in said
    )
    assert any(line.endswith("from step 4  not ended") for line in said)
    assert "  steps  9" in said
    assert not any("size" in line for line in said)
    assert "  content.jpg  9 bytes" in said


def test_how_far_it_is_comes_from_a_daemon_that_is_at_work(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(state, Status(running=(Running("sea-2", 3, 50, 0.25, (48, 36), 9.5),)))
    with lock.held(state / "lock"):
        said = story(capsys, state, "sea")
    assert "painting  step 3 of 50 at 48x36, loss 0.25, 10 s left" in said
    assert not any("painting" in line for line in story(capsys, state, "sea"))


def test_a_refusal_is_told_with_its_reason_and_its_folder_safely(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = story(capsys, state, "bad")
    assert "reason   one; ?[2Jtwo" in said
    assert "folder   out/_refused/bad" in said


def test_a_receipt_that_is_damaged_is_no_receipt(
    painted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (painted / "outbox/trip/receipt.json").write_text("{")
    assert "losses:" not in shown(capsys, "trip")


def test_a_job_that_there_is_not_is_told_with_the_nearest(
    state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["show", "sae-2", "--state", str(state)]) == 64
    assert "unknown job 'sae-2'; did you mean 'sea-2'?" in capsys.readouterr().err
    assert call(["show", "sea", "--state", str(tmp_path / "none")]) == 64
    assert "there is no job 'sea', nor any other yet" in capsys.readouterr().err


def test_of_an_attempt_it_tells_how_many_were_painted_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    attempts = (Attempt(NOON, 0, "torch", "cuda:0", NOON, "done", together=8),)
    enter(tmp_path / "state", entry("sea"), attempts=attempts)
    assert "torch (cuda:0), 8 at once" in shown(capsys, "sea", "--state", str(tmp_path / "state"))
