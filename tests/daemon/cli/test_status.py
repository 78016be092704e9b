"""`stylewatch status` and `show`; tests/e2e has them with a real daemon."""

import json
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.cli.conftest import Run, Terminal
from tests.daemon.cli.states import a_job, enter, incomplete, publish, running
from tests.daemon.web.world import finished_job

from stylewatch_daemon.app.status_json import FILE_NAME
from stylewatch_daemon.base.model import Attempt, Cause
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


def test_everything_that_the_daemon_publishes_is_shown(tmp_path: Path, run: Run) -> None:
    inboxes = [{"path": "/in", "outbox": "/out"}]
    publish(tmp_path, {"waiting": 4, "running": 1, "refused": 1}, inboxes=inboxes, **BUSY)
    with lock.held(tmp_path / "lock"):
        ended = run("status", "--state", tmp_path)
        plain = json.loads(run("status", "--json", "--state", tmp_path).out)
    places, first, *rest = ended.out.split("\n\n")
    assert ended.code == 0 and places.endswith(f"\nstate   {tmp_path}")
    assert re.match(r"stylewatch .* is running since 20", first)
    assert "\n".join(rest).splitlines() == [
        "4 waiting, 1 running, 0 done, 0 stopped early, 1 refused, 0 failed, 0 canceled",
        "running:", "  trip  step 3 of 50 at 48x36, loss 0.25, 10 s left  cpu",
        "queue:", "  next", "  ... and 3 more",
        "incomplete:", "  half  a style picture (style.jpg)",
        "problems:", "  the outbox is full",
        "refused or failed:", "  bad[red]  first line; second line",
        "notes:", "  a link is ignored",
    ]  # fmt: skip
    published = json.loads((tmp_path / FILE_NAME).read_text())
    assert plain == {**plain, **published, "state": str(tmp_path)}


def test_the_jobs_that_finished_last_come_with_their_pictures(tmp_path: Path, run: Run) -> None:
    """And `show` without a name shows the last."""
    jobs = [
        replace(
            finished_job(tmp_path, f"sea-{number}"),
            finished=f"2026-01-02T13:0{number}:00+00:00",
        )
        for number in range(7)
    ]
    assert "no job has finished yet" in run("show", "--state", tmp_path).err
    enter(tmp_path, *jobs, a_job("bad", "refused", finished="2026-01-02T14:00:00+00:00"))
    shown = run("status", "--state", tmp_path).out.partition("finished:\n")[2].splitlines()
    assert [line.split("UTC  ")[1] for line in shown] == [
        f"{tmp_path}/out/sea-{number}" for number in (6, 5, 4, 3, 2)
    ]
    assert shown[0].startswith("  2026-01-02 13:06:00 UTC")
    plain = json.loads(run("status", "--json", "--state", tmp_path).out)["finished"]
    assert plain[0]["job"] == "sea-6" and len(plain) == 5
    assert run("show", "--state", tmp_path).lines[0] == "job       bad"


def test_a_daemon_may_start_be_paused_or_have_no_events(tmp_path: Path, run: Run) -> None:
    with lock.held(tmp_path / "lock"):
        ended = run("status", "--state", tmp_path)
        assert ended.code == 0 and "\n\na daemon is starting\n\n" in ended.out
        publish(tmp_path, health={"events": False})
        (tmp_path / PAUSED).touch()
        text = run("status", "--state", tmp_path).out
    assert "; paused: no new job is started until `stylewatch resume`; no file events" in text


def test_the_files_and_folders_in_use_come_first_and_a_running_daemon_knows_its_own(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    own, state = tmp_path / "own.yaml", tmp_path / "state"
    own.write_text("inboxes: [{path: a, outbox: out}, {path: /far/b, outbox: out}]\n")
    folders = ["inbox   ~/a", "inbox   /far/b", "outbox  ~/out", "state   ~/state"]
    assert run("status", "--config", own).lines[:5] == ["config  ~/own.yaml", *folders]
    plain = json.loads(run("status", "--config", own, "--json").out)
    assert (plain["config"], plain["state"]) == (str(own), str(state))
    expected = {"path": f"{tmp_path}/a", "outbox": f"{tmp_path}/out", "files": 0}
    assert plain["inboxes"][0] == expected
    publish(state, inboxes=[{"path": f"{tmp_path}/c", "outbox": f"{tmp_path}/d"}])
    assert run("status", "--config", own).lines[1:5] == folders, "nothing runs any longer"
    with lock.held(state / "lock"):
        lines = run("status", "--config", own).lines
    assert lines[1:4] == ["inbox   ~/c", "outbox  ~/d", "state   ~/state"]
    assert run("status").lines[0].startswith("config  the defaults; `stylewatch init` makes")


def test_without_a_daemon_the_command_that_starts_it_is_shown(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in ("stylewatch/config.yaml", "systemd/user/stylewatch.service"):
        assert "no daemon is running: `stylewatch run` starts it" in run("status").lines
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    service = "no daemon is running: `systemctl --user start stylewatch` starts it"
    assert service in run("status").lines
    own = f"--config {tmp_path}/stylewatch/config.yaml"
    assert service in run("status", *own.split()).lines
    out = run("status", *own.split(), "--state", tmp_path / "a b").out
    assert f"`stylewatch run {own} --state '{tmp_path}/a b'` starts it" in out


def test_without_a_daemon_the_files_in_the_inboxes_are_counted(here: Path, run: Run) -> None:
    """They are no jobs yet, and a person who has just submitted them looks for them."""
    (here / "config.yaml").write_text("inboxes: [{path: in, outbox: out}]\nstate: {path: state}\n")
    assert run("status").lines[-1].endswith("0 canceled")
    (here / "in").mkdir()
    assert run("submit", "content.jpg", "style.jpg").code == 0
    last = run("status").lines[-1]
    assert last.endswith("; files in the inboxes, which a daemon would look at: 2")
    (here / "state").mkdir()
    with lock.held(here / "state/lock"):
        assert run("status").lines[-1].endswith("0 canceled"), "it looks at them"


def test_with_a_state_folder_wrong_settings_stop_no_command(here: Path, run: Run) -> None:
    (here / "config.yaml").write_text("watch: {quiet_s: [\n")
    enter(here, a_job("trip", "waiting"))
    status, *others = (
        run(*words, "--state", here)
        for words in (("status",), ("show", "trip"), ("cancel", "trip"), ("pause",))
    )
    assert status.code == 3 and status.lines[-1].startswith("1 waiting, ")
    ignored = f"stylewatch: the settings are ignored: {here / 'config.yaml'} line 2: "
    assert status.err.startswith(ignored) and len(status.err.splitlines()) == 1
    assert [(ended.code, ended.err) for ended in others] == [(0, "")] * 3
    assert [run(*words).code for words in (("status",), ("show", "trip"))] == [78, 78]


def test_without_a_daemon_the_ledger_has_the_counts(tmp_path: Path, run: Run) -> None:
    ended = run("status", "--state", tmp_path / "none")
    counts = "0 waiting, 0 running, 0 done, 0 stopped early, 0 refused, 0 failed, 0 canceled"
    assert ended.lines[-1] == counts
    assert ended.code == 3
    assert list(tmp_path.iterdir()) == []
    publish(tmp_path, {"waiting": 9}, **BUSY)
    enter(tmp_path, a_job("trip", "running"), a_job("a"), a_job("b", "waiting"))
    (tmp_path / PAUSED).touch()
    ended = run("status", "--state", tmp_path, "--json")
    now = json.loads(ended.out)
    assert ended.code == 3
    assert {key: count for key, count in now["counts"].items() if count} == {
        "waiting": 2, "done": 1,
    }  # fmt: skip
    assert now["running"] == []
    assert [pair["name"] for pair in now["incomplete"]] == ["half"]
    assert (now["health"]["at_work"], now["health"]["paused"]) == (False, True)


def test_watch_redraws_a_terminal_in_place_without_markup(
    tmp_path: Path, run: Run, terminal: Callable[[str], Terminal], monkeypatch: pytest.MonkeyPatch
) -> None:
    def sleep(seconds: float) -> None:
        if (tmp_path / PAUSED).exists():
            raise KeyboardInterrupt
        (tmp_path / PAUSED).touch()
        publish(tmp_path, {"waiting": 1}, **BUSY)

    monkeypatch.setattr(time, "sleep", sleep)
    publish(tmp_path)
    stdout = terminal("stdout")
    with lock.held(tmp_path / "lock"):
        assert run("status", "--watch", "--state", tmp_path).code == 0
    text = stdout.getvalue()
    assert "0 waiting" in text and "1 waiting" in text
    assert "\x1b[1A" in text or "\x1b[2K" in text
    assert "  trip  step 3 of 50 at 48x36, loss 0.25, 10 s left  cpu" in text
    assert "bad[red]" in text
    assert run("status", "--watch", "--state", tmp_path).code == 3


def test_a_done_job_is_summed_up_by_ledger_and_receipt(tmp_path: Path, run: Run) -> None:
    settings = JobSettings(strength=0.8, depth=16, set={"tv\x1b": [1, 2]})
    done = finished_job(tmp_path, settings=settings.model_dump(mode="json"))
    enter(tmp_path / "state", done, attempts=ATTEMPTS[:1])
    show = ("show", "sea", "--state", tmp_path / "state")
    assert run(*show).lines == [
        "job       sea",
        "state     done",
        "inputs    content.jpg (8x6), style.jpg (8x6)",
        "settings  strength=0.8, depth=16, tv?=1,2",
        "time      1 min 1 s, finished 2026-01-02 12:01:01 UTC",
        f"result    {tmp_path}/out/sea/final.png (8x6)",
        "id        id-sea",
        "", "warnings:", "  the filters are not normalized",
    ]  # fmt: skip
    plain = json.loads(run(*show, "--json").out)
    assert plain["receipt"]["job"] == "sea" and plain["running"] is None
    enter(tmp_path / "state", replace(done, settings=JobSettings().model_dump(mode="json")),
          attempts=ATTEMPTS)  # fmt: skip
    lines = run(*show).lines
    assert "settings  all as by default" in lines and "log:" in lines
    final = tmp_path / "out/sea/final.png"
    final.unlink()
    assert f"result    {final}, which is no longer there" in run(*show).lines
    shutil.rmtree(final.parent)
    assert f"result    {final.parent}, which is no longer there" in run(*show).lines


def test_an_open_or_refused_job_is_shown_from_the_state_folder_of_the_settings(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text("state: {path: mine}\n")
    state, show = tmp_path / "mine", ("show", "--config", "config.yaml")
    enter(
        state,
        a_job("sea", "running", place="sea-2", settings={"steps": 9, "size": None}),
        a_job("new", "waiting", place=None),
        a_job("bad", "refused", refused_as="_refused/bad", reason="one\n\x1b[2Jtwo"),
        attempts=ATTEMPTS,
    )
    publish(state, running=[running("sea-2", id="id-sea")])
    assert "progress" not in run(*show, "sea").out
    with lock.held(state / "lock"):
        lines = run(*show, "sea").lines
    assert "progress  step 3 of 50 at 48x36, loss 0.25, 10 s left" in lines
    assert "settings  steps=9" in lines and "inputs    content.jpg (9 bytes)" in lines
    assert "result    out/sea-2" in lines
    assert any(line.endswith("started on sketch (cpu) from step 4") for line in lines)
    lines = run(*show, "bad").lines
    assert "reason   one; ?[2Jtwo" in lines and "files    out/_refused/bad" in lines
    assert run(*show, "new").lines == [
        "job      new", "state    waiting", "inputs   content.jpg (9 bytes)",
        "entered  2026-01-02 12:00:00 UTC", "id       id-new",
    ]  # fmt: skip
    ended = run(*show, "sea", "--state", "other")
    assert ended.code == 64 and "there is no job 'sea', nor any other yet" in ended.err
    assert "unknown job 'sae-2'; did you mean 'sea-2'?" in run(*show, "sae-2").err
    enter(state, *(a_job(f"trip-{number}") for number in range(80)))
    assert run(*show, "xyz").err.endswith(" more\n")
    (state / "ledger.sqlite3").write_text("not a ledger")
    ended = run(*show, "sea")
    assert ended.code == 78 and "is damaged" in ended.err


def test_an_incomplete_pair_is_no_job_yet(tmp_path: Path, run: Run) -> None:
    publish(tmp_path, incomplete=[incomplete("trip", "a style", tmp_path / "in/trip/content.jpg")])
    ended = run("show", "trip", "--state", tmp_path)
    assert ended.code == 65 and "trip is incomplete, and no job yet: it waits for" in ended.err
    enter(tmp_path, a_job("trip", "refused"))
    assert "state    refused" in run("show", "trip", "--state", tmp_path).lines


def test_a_state_folder_that_cannot_be_read_is_named(tmp_path: Path, run: Run) -> None:
    folder = tmp_path / ("x" * 300)
    ended = run("show", "sea", "--state", folder)
    reason = f"stylewatch: the state folder {folder} cannot be read (File name too long): "
    assert (ended.code, ended.out) == (73, "") and ended.err.startswith(reason)
