"""`stylewatch show`, and how commands find the daemon; tests/line has it with a real daemon."""

import json
from pathlib import Path

import pytest
from tests.daemon.cli.conftest import Run
from tests.daemon.cli.states import enter, entry, publish

from stylewatch_daemon.files import lock
from stylewatch_daemon.outbox.status_txt import Running, Status
from stylewatch_daemon.store.journal import Attempt

NOON = "2026-01-02T12:00:00+00:00"
ATTEMPTS = (
    Attempt(NOON, 0, "sketch", "cpu", NOON, "failed", "it broke\nin two"),
    Attempt(NOON, 4, "sketch", "cpu", together=8),
)


def test_a_done_job_is_shown_by_ledger_and_receipt(here: Path, run: Run) -> None:
    folder = here / "inbox/trip"
    folder.mkdir(parents=True)
    for name in ("content.jpg", "style.jpg"):
        (here / name).rename(folder / name)
    (folder / "job.yaml").write_text("{backend: sketch, steps: 3, save_every: 1}")
    assert run("run", "--once", "-q", "--set", "watch.quiet_s=0").code == 0
    facts, *parts = run("show", "trip").out.strip().split("\n\n")
    shown = dict(line.split(maxsplit=1) for line in facts.splitlines())
    assert (shown["state"], shown["folder"]) == ("done", str(here / "outbox/trip"))
    sections = {part.split(":\n")[0]: part for part in parts}
    assert list(sections) == ["attempts", "pictures", "settings", "losses", "files"]
    assert "sketch (cpu)" in sections["attempts"] and "done" in sections["attempts"]
    assert "content.jpg  48x36" in sections["pictures"]
    assert "schedule.steps" in sections["settings"] and "total" in sections["losses"]
    files = sections["files"].split()[1:]
    assert {"stages/0001.png", "final.png", "losses.csv", "receipt.json"} <= set(files)
    assert all((here / "outbox/trip" / name).is_file() for name in files)
    plain = json.loads(run("show", "trip", "--json").out)
    assert plain["receipt"]["job"] == "trip" and plain["running"] is None
    assert json.loads(run("show", plain["id"], "--json").out) == plain, "by its id too"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    enter(
        tmp_path / "state",
        entry("sea", "running", place="sea-2", settings={"steps": 9, "size": None}),
        entry("bad", "refused", refused_as="_refused/bad", reason="one\n\x1b[2Jtwo"),
        attempts=ATTEMPTS,
    )
    return tmp_path / "state"


def test_an_open_job_has_attempts_settings_and_progress(state: Path, run: Run) -> None:
    lines = run("show", "sea", "--state", state).lines
    assert (
        "state    running" in lines and "  steps  9" in lines and "  content.jpg  9 bytes" in lines
    )
    assert any(line.endswith("failed     it broke; in two") for line in lines)
    assert any(line.endswith("sketch (cpu), 8 at once  from step 4  not ended") for line in lines)
    publish(state, Status(running=(Running("sea-2", 3, 50, 0.25, (48, 36), 9.5, id="id-sea"),)))
    assert "progress" not in run("show", "sea", "--state", state).out
    with lock.held(state / "lock"):
        text = run("show", "sea", "--state", state).out
    assert "progress  step 3 of 50 at 48x36, loss 0.25, 10 s left\n" in text
    lines = run("show", "bad", "--state", state).lines
    assert "reason   one; ?[2Jtwo" in lines and "folder   out/_refused/bad" in lines


def test_the_state_folder_is_that_of_the_settings_unless_another_is_named(
    state: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("show", "sea").code == 0
    state.rename(tmp_path / "mine")
    (tmp_path / "config.yaml").write_text("state: {path: mine}\n")
    assert run("show", "sea", "--config", "config.yaml").code == 0
    ended = run("show", "sea", "--config", "config.yaml", "--state", "other")
    assert ended.code == 64 and "there is no job 'sea', nor any other yet" in ended.err
    assert (
        "unknown job 'sae-2'; did you mean 'sea-2'?"
        in run("show", "sae-2", "--config", "config.yaml").err
    )
    (tmp_path / "mine/ledger.sqlite3").write_text("not a ledger")
    ended = run("show", "sea", "--config", "config.yaml")
    assert ended.code == 78 and "is damaged" in ended.err
