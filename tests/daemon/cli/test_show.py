"""`stylewatch show JOB`; tests/e2e has it with a real daemon."""

import json
from pathlib import Path

import pytest
from tests.daemon.cli.states import enter, entry, publish

from stylewatch_daemon.cli.main import call
from stylewatch_daemon.files import lock
from stylewatch_daemon.outbox.status_txt import Running, Status
from stylewatch_daemon.store.journal import Attempt

NOON = "2026-01-02T12:00:00+00:00"
ATTEMPTS = (
    Attempt(NOON, 0, "sketch", "cpu", NOON, "failed", "it broke\nin two"),
    Attempt(NOON, 4, "sketch", "cpu", together=8),
)


def show(capsys: pytest.CaptureFixture[str], job: str, *more: str) -> str:
    assert call(["show", job, *more]) == 0
    return capsys.readouterr().out


def test_a_done_job_is_shown_by_ledger_and_receipt(
    pictures: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(pictures)
    folder = pictures / "inbox/trip"
    folder.mkdir(parents=True)
    for name in ("content.jpg", "style.jpg"):
        (pictures / name).rename(folder / name)
    (folder / "job.yaml").write_text("{backend: sketch, steps: 3, save_every: 1}")
    assert call(["run", "--once", "-q", "--set", "watch.quiet_s=0"]) == 0
    text = show(capsys, "trip")
    facts = dict(line.split(maxsplit=1) for line in text.split("\n\n")[0].splitlines())
    assert (facts["state"], facts["folder"]) == ("done", str(pictures / "outbox/trip"))
    sections = {part.split(":\n")[0]: part for part in text.strip().split("\n\n")[1:]}
    assert list(sections) == ["attempts", "pictures", "settings", "losses", "files"]
    assert "sketch (cpu)" in sections["attempts"] and "done" in sections["attempts"]
    assert "content.jpg  48x36" in sections["pictures"]
    assert "schedule.steps" in sections["settings"]
    assert "total" in sections["losses"]
    files = sections["files"].split()[1:]
    assert {"stages/0001.png", "final.png", "losses.csv", "receipt.json"} <= set(files)
    assert len(files) == len(set(files))
    assert all((pictures / "outbox/trip" / name).is_file() for name in files)
    # By its id too, and as JSON.
    plain = json.loads(show(capsys, "trip", "--json"))
    assert plain["receipt"]["job"] == "trip" and plain["running"] is None
    assert json.loads(show(capsys, plain["id"], "--json")) == plain
    (pictures / "outbox/trip/receipt.json").write_text("{")
    assert "losses:" not in show(capsys, "trip")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    enter(
        tmp_path / "state",
        entry("sea", "running", place="sea-2", settings={"steps": 9, "size": None}),
        entry("bad", "refused", refused_as="_refused/bad", reason="one\n\x1b[2Jtwo"),
        attempts=ATTEMPTS,
    )
    return tmp_path / "state"


def lines(capsys: pytest.CaptureFixture[str], state: Path, job: str) -> list[str]:
    return show(capsys, job, "--state", str(state)).splitlines()


def test_an_open_job_is_shown_with_attempts_and_settings(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = lines(capsys, state, "sea")
    assert "state    running" in text and "  steps  9" in text and "  content.jpg  9 bytes" in text
    assert any(line.endswith("failed     it broke; in two") for line in text)
    assert any(line.endswith("sketch (cpu), 8 at once  from step 4  not ended") for line in text)
    assert not any("size" in line or "progress" in line for line in text)


def test_progress_comes_from_a_running_daemon(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(state, Status(running=(Running("sea-2", 3, 50, 0.25, (48, 36), 9.5, id="id-sea"),)))
    with lock.held(state / "lock"):
        text = lines(capsys, state, "sea")
    assert "progress  step 3 of 50 at 48x36, loss 0.25, 10 s left" in text
    assert not any("progress" in line for line in lines(capsys, state, "sea"))


def test_a_refusal_is_shown_safely(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = lines(capsys, state, "bad")
    assert "reason   one; ?[2Jtwo" in text
    assert "folder   out/_refused/bad" in text


def test_an_unknown_job_is_answered_with_the_nearest(
    state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["show", "sae-2", "--state", str(state)]) == 64
    assert "unknown job 'sae-2'; did you mean 'sea-2'?" in capsys.readouterr().err
    assert call(["show", "sea", "--state", str(tmp_path / "none")]) == 64
    assert "there is no job 'sea', nor any other yet" in capsys.readouterr().err
