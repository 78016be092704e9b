"""`stylewatch status` and `show`; tests/e2e has them with a real daemon."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.cli.conftest import Place, Run
from tests.daemon.faults import fill
from tests.daemon.states import incomplete, running
from tests.daemon.web.world import a_job, enter, finished_job

from stylewatch_daemon.base.model import Attempt, Cause
from stylewatch_daemon.client.condition import BLOCKED, DIED, STARTING
from stylewatch_daemon.client.condition import PAUSED as PAUSED_NOW
from stylewatch_daemon.files import lock
from stylewatch_daemon.ledger.requests import PAUSED
from stylewatch_daemon.settings.job import JobSettings

BUSY: dict[str, Any] = {
    "running": [running("trip")],
    "waiting": ["next"],
    "incomplete": [incomplete("half", "a style picture (style.jpg)")],
    "health": {"trouble": ["the outbox is full"], "notes": ["a link is ignored"]},
    "refused": [{"job": "bad[red]", "reason": "first line\nsecond line"}],
}
NOON = "2026-01-02T12:00:00+00:00"
ATTEMPTS = (
    Attempt(NOON, 0, "sketch", "cpu", 7, NOON, Cause.WORKER, "it broke\nin two"),
    Attempt(NOON, 4, "sketch", "cpu"),
)


def test_everything_that_the_daemon_publishes_is_shown(place: Place) -> None:
    with lock.held(place.state / "lock"):
        ended = place.run("status")
        assert ended.code == 0 and f"\n\n{STARTING.sentence}\n\n" in ended.out
        place.publish({"waiting": 4, "running": 1, "refused": 1}, inboxes=[], **BUSY)
        places, first, *rest = place.run("status").out.split("\n\n")
        plain = json.loads(place.run("status", "--json").out)
        place.publish(health={"events": False})
        (place.state / PAUSED).touch()
        told = place.run("status").out
    assert PAUSED_NOW.sentence in told and "; no file events, scans replace them\n" in told
    assert "`stylewatch resume` lets new jobs start" in told
    assert places.endswith(f"\nstate   {place.state}")
    assert first.startswith(f"{BLOCKED.sentence}\nstylewatch 1.0, process 7, since 20")
    counts = "4 waiting, 1 running, 0 done, 0 stopped early, 1 refused, 0 failed, 0 canceled"
    assert rest[0] == counts
    assert rest[3] == "Refused or failed (see _refused):\n  bad[red]: first line; second line"
    assert rest[-1] == "Queue:\n  next\n  ... and 3 more\n", "as in _status.txt"
    assert (plain["running"], plain["refused"]) == (BUSY["running"], BUSY["refused"])


def test_refused_jobs_with_one_title_are_told_apart_by_their_ids(place: Place) -> None:
    names = {"1-a": "sea", "2-b": "sky", "3-c": "sea"}
    refused = [{"job": name, "id": key, "reason": "bad"} for key, name in names.items()]
    place.publish(refused=refused)
    rows = place.run("status").out.partition("Refused or failed (see _refused):\n")[2]
    assert rows.splitlines()[:3] == ["  sea (1-a): bad", "  sky: bad", "  sea (3-c): bad"]


def test_the_jobs_that_finished_last_come_with_their_pictures(place: Place) -> None:
    """And `show` without a name shows the last."""
    for number in range(7):
        job = finished_job(place.root, f"sea-{number}")
        enter(place.state, replace(job, finished=f"2026-01-02T13:0{number}:00+00:00"))
    place.enter("bad", "refused", finished="2026-01-02T14:00:00+00:00")
    shown = place.run("status").out.partition("Finished:\n")[2].splitlines()
    assert [line.split("UTC  ")[1] for line in shown] == [
        f"{place.root}/out/sea-{number}" for number in (6, 5, 4, 3, 2)
    ]
    assert shown[0].startswith("  2026-01-02 13:06:00 UTC")
    assert place.run("show").lines[0] == "job       bad"


def test_without_a_daemon_the_ledger_has_the_counts(place: Place) -> None:
    place.publish({"waiting": 9}, **BUSY)
    enter(place.state, a_job("trip", "running"), a_job("a"), a_job("b", "waiting"))
    (place.state / PAUSED).touch()
    ended = place.run("status", "--json")
    now = json.loads(ended.out)
    counted = {key: count for key, count in now["counts"].items() if count}
    assert (ended.code, counted, now["running"]) == (3, {"waiting": 2, "done": 1}, [])
    assert (now["health"]["at_work"], now["health"]["paused"]) == (False, True)


def test_the_files_and_folders_in_use_come_first_and_files_without_a_daemon_are_counted(
    here: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(here))
    own = here / "own.yaml"
    own.write_text("inboxes: [{path: a, outbox: out}, {path: /far/b, outbox: out}]\n")
    folders = ["inbox   ~/a", "inbox   /far/b", "outbox  ~/out", "state   ~/state"]
    fill(here, "a/sea/content.jpg", "a/sea/style.jpg")
    Place(here, run).publish(inboxes=[{"path": f"{here}/c", "outbox": f"{here}/d"}])
    lines = run("status", "--config", own).lines
    assert lines[:5] == ["config  ~/own.yaml", *folders], "nothing runs any longer"
    assert lines[-1].endswith("; files in the inboxes, which a daemon would look at: 2")
    with lock.held(here / "state/lock"):
        lines = run("status", "--config", own).lines
    assert lines[1:4] == ["inbox   ~/c", "outbox  ~/d", "state   ~/state"]


def test_with_a_state_folder_wrong_settings_stop_no_command(here: Path, run: Run) -> None:
    (here / "config.yaml").write_text("watch: {quiet_s: [\n")
    enter(here, a_job("trip", "waiting"))
    for words, code in (("status", 3), ("show trip", 0), ("cancel trip", 0), ("pause", 0)):
        ended = run(*words.split(), "--state", here)
        ignored = f"stylewatch: the settings are ignored: {here / 'config.yaml'} line 2: "
        assert ended.code == code and ended.err.startswith(ignored if code else "")
    assert [run(*words).code for words in (("status",), ("show", "trip"))] == [78, 78]


def test_a_done_job_is_summed_up_by_ledger_and_receipt(place: Place) -> None:
    settings = JobSettings(strength=0.8, depth=16, set={"tv\x1b": [1, 2]})
    done = finished_job(place.root, settings=settings.model_dump(mode="json"))
    enter(place.state, done, attempts=ATTEMPTS[:1])
    assert place.run("show", "sea").lines == [
        "job       sea",
        "state     done",
        "inputs    content.jpg (8x6), style.jpg (8x6)",
        "settings  strength=0.8, depth=16, tv?=1,2",
        "time      1 min 1 s, finished 2026-01-02 12:01:01 UTC",
        f"result    {place.root}/out/sea/final.png (8x6)",
        "id        id-sea",
        "", "Warnings:", "  the filters are not normalized",
    ]  # fmt: skip
    plain = json.loads(place.run("show", "sea", "--json").out)
    assert plain["receipt"]["job"] == "sea" and plain["running"] is None
    final = place.root / "out/sea/final.png"
    final.unlink()
    assert f"result    {final}, which is no longer there" in place.run("show", "sea").lines
    shutil.rmtree(final.parent)
    assert f"result    {final.parent}, which is no longer there" in place.run("show", "sea").lines


def test_an_open_or_refused_job_is_shown(place: Place) -> None:
    place.enter("sea", "running", *ATTEMPTS, place="sea-2", settings={"steps": 9, "size": None})
    place.enter("bad", "refused", refused_as="_refused/bad", reason="one\n\x1b[2Jtwo")
    place.publish(running=[running("sea-2", id="id-sea")])
    assert f"progress  waits: {DIED.sentence}" in place.run("show", "sea").lines
    with lock.held(place.state / "lock"):
        lines = place.run("show", "sea").lines
    for line in ("progress  step 3 of 50 at 48x36, loss 0.25, 10 s left", "settings  steps=9",
                 "inputs    content.jpg (9 bytes)", "result    out/sea-2"):  # fmt: skip
        assert line in lines
    assert any(line.endswith("started on sketch (cpu) from step 4") for line in lines)
    lines = place.run("show", "bad").lines
    assert "reason   one; ?[2Jtwo" in lines and "files    out/_refused/bad" in lines
    assert not any(line.startswith("result") for line in lines), "no stage was written"


def test_what_cannot_be_shown_is_explained(place: Place) -> None:
    enter(place.state, a_job("sea-2"))
    place.publish(incomplete=[incomplete("half", "a style", "/in/half/content.jpg")])
    for name, code, words in (
        ("sae-2", 64, "unknown job 'sae-2'; did you mean 'sea-2'?"),
        ("half", 65, "half is incomplete, and no job yet: it waits for a style; to end that"),
        ("HALF", 65, "HALF is incomplete, and no job yet: it waits for a style; to end that"),
    ):
        ended = place.run("show", name)
        assert ended.code == code and words in ended.err
    (place.state / "ledger.sqlite3").write_text("not a ledger")
    ended = place.run("show", "sea-2")
    assert ended.code == 78 and "is damaged" in ended.err
