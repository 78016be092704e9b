"""`stylewatch submit`; tests/e2e has it with a real daemon."""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from tests.daemon.cli.conftest import Run, files
from tests.daemon.cli.states import a_job, enter, publish, running

from stylewatch_daemon.base.model import Job
from stylewatch_daemon.cli import submit
from stylewatch_daemon.cli.lookup import find
from stylewatch_daemon.files import lock
from stylewatch_daemon.views.job import job_view

PAIR = ("submit", "content.jpg", "style.jpg")


@pytest.fixture(autouse=True)
def inbox(here: Path) -> Path:
    (here / "inbox").mkdir()
    return here / "inbox"


def test_a_pair_is_put_into_the_inbox_and_its_name_printed(inbox: Path, run: Run) -> None:
    ended = run(*PAIR)
    assert (ended.code, ended.out) == (0, "content-style\n")
    assert "no daemon is running" in ended.err
    assert files(inbox) == {"content-style/content.jpg", "content-style/style.jpg"}
    ended = run(*PAIR, "--name", "cove", "--json")
    assert json.loads(ended.out) == [{"name": "cove", "inbox": str(inbox)}]
    shutil.rmtree(inbox / "cove")
    masks = ("--mask", "content.jpg", "--style-mask", "style.jpg", "--init", "style.jpg")
    assert run(*PAIR, "--name", "lake", *masks).code == 0
    assert files(inbox / "lake") == {
        "content.jpg", "style.jpg", "content.mask.jpg", "style.mask.jpg", "init.jpg", "job.yaml",
    }  # fmt: skip
    assert (inbox / "lake/job.yaml").read_text() == "init: picture\n"


def test_every_option_of_a_job_is_in_its_job_yaml(inbox: Path, run: Run) -> None:
    options = {"recipe": "best", "schedule": "fast", "backend": "sketch", "device": "cpu",
               "size": "640x480", "steps": 30, "save_every": 10, "seed": 7, "strength": 0.5,
               "init": "noise", "preview": "48", "stroke": 2, "color": "match",
               "content_weight": 0.5, "style_weight": 3}  # fmt: skip
    words = [w for key, value in options.items() for w in (f"--{key.replace('_', '-')}", value)]
    sets = ("--set", "format=jpg", "--set", "objective.tv.weight=0.1", "--set", "smallest=64")
    more = ("--enlarge", "--artifact", "losses, sheet", "--artifact", "gif")
    assert run(*PAIR, "--name", "sea", *words, *sets, *more).code == 0
    assert yaml.safe_load((inbox / "sea/job.yaml").read_text()) == {
        **options, "enlarge": True, "format": "jpg",
        "artifacts": ["losses", "sheet", "gif"],
        "set": {"objective.tv.weight": 0.1, "smallest": 64},
    }  # fmt: skip


def test_a_sweep_submits_a_job_for_each_value(inbox: Path, run: Run) -> None:
    (inbox / "sea-strength=0.3,keep_detail=yes").mkdir()
    sweeps = ("--sweep", "strength=0.3,0.5", "--sweep", "keep_detail=yes")
    ended = run(*PAIR, "--name", "sea", "--set", "smallest=64", "--steps", 7, *sweeps)
    names = ["sea-strength=0.3,keep_detail=yes-2", "sea-strength=0.5,keep_detail=yes"]
    assert (ended.code, ended.lines) == (0, names)
    for name, strength in zip(names, (0.3, 0.5), strict=True):
        assert files(inbox / name) == {"content.jpg", "style.jpg", "job.yaml"}
        assert yaml.safe_load((inbox / name / "job.yaml").read_text()) == {
            "steps": 7, "strength": strength, "set": {"smallest": 64, "keep_detail": True},
        }  # fmt: skip
    assert ended.err.count("no daemon is running") == 1
    assert run(*PAIR, "--sweep", "seed=1,2").lines == [
        "content-style-seed=1",
        "content-style-seed=2",
    ]
    assert (inbox / "content-style-seed=1/job.yaml").read_text() == "seed: 1\n"
    before = files(inbox)
    for wrong in ("steps=3,many", "name=a,b", "watch.quiet_s=1", "recipe=best,no"):
        assert run(*PAIR, "--sweep", wrong).code == 64
    assert files(inbox) == before


def test_waiting_for_a_sweep_waits_for_all_its_jobs(
    inbox: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = {"sea-seed=1": "done", "sea-seed=2": "refused", "sea-seed=3": "failed"}
    jobs = {name: a_job(name, end, place=name, reason="why") for name, end in ends.items()}

    def follow(state: Path, job: str, quiet: bool) -> Job | None:
        return jobs.get(job)

    monkeypatch.setattr(submit, "follow", follow)
    command = (*PAIR, "--name", "sea", "--sweep", "seed=1,2,3,4", "--wait")
    ended = run(*command)
    assert (ended.code, ended.lines[-1]) == (65, str(Path(jobs["sea-seed=1"].outbox, "sea-seed=1")))
    assert ended.err.splitlines() == [
        "stylewatch: sea-seed=2: refused: why", "stylewatch: sea-seed=3: failed: why",
    ]  # fmt: skip
    monkeypatch.setattr(submit, "view_of", lambda state, job: job_view(job))
    shutil.rmtree(inbox)
    inbox.mkdir()
    said = json.loads(run(*command, "--json").out)
    assert [(each["name"], each.get("state")) for each in said] == [
        *ends.items(), ("sea-seed=4", None),
    ]  # fmt: skip


def test_an_output_that_stays_below_the_size_is_announced(inbox: Path, run: Run) -> None:
    large = (*PAIR, "--size", "2048")
    hint = "size 2048: the photograph has 48x36 pixels and is not enlarged, so the output has 48x36"
    assert hint in run(*large).err
    for more in ("--enlarge", "--no-enlarge", "--quiet", "--size=40"):
        assert hint not in run(*large, more).err
    (inbox.parent / "content.jpg").write_text("no picture")  # the daemon says so
    assert run(*large).code == 0


def test_the_name_is_new_in_the_inbox_its_outbox_and_the_ledger(here: Path, run: Run) -> None:
    (here / "config.yaml").write_text(
        "inboxes: [{path: inbox, outbox: o1}, {path: second, outbox: o2}]\n"
    )
    for name in ("inbox/sea", "o1/sea-2", "second", "third", "o2/sea"):
        (here / name).mkdir(parents=True)
    enter(here / "state", a_job("sea-3", "running"), a_job("b", place="sea-4"))
    sea = (*PAIR, "--config", "config.yaml", "--name", "sea", "-q")
    names = [run(*sea, "--inbox", name).out for name in ("inbox", "second", "third")]
    assert names == ["sea-5\n", "sea-2\n", "sea\n"]
    (here / "state/ledger.sqlite3").write_text("not a ledger")
    ended = run(*sea)
    assert (ended.code, "is damaged" in ended.err, (here / "inbox/sea-6").exists()) == (
        78, True, False,
    )  # fmt: skip


def test_progress_is_printed_at_intervals_until_the_job_has_ended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submit, "EVERY_S", 0.0)
    steps: list[Callable[[], None]] = [
        lambda: publish(tmp_path, health={"paused": True}),
        lambda: enter(tmp_path, a_job("sea", "waiting", place=None)),
        lambda: publish(tmp_path),
        lambda: enter(tmp_path, a_job("sea", "running")),
        lambda: publish(tmp_path, running=[running("sea", seconds_left=9.0)]),
        lambda: enter(tmp_path, a_job("sea", "failed", place="sea-2", reason="why")),
    ]
    remaining = iter(steps)
    monkeypatch.setattr(time, "sleep", lambda seconds: next(remaining)())
    with lock.held(tmp_path / "lock"):
        assert submit.follow(tmp_path, "sea", quiet=False) == find(tmp_path, "sea-2")
    lines = [
        "stylewatch: sea: waits in the inbox",
        "stylewatch: sea: waits: the daemon is paused",
        "stylewatch: sea: waits in the queue",
        "stylewatch: sea: step 3 of 50 at 48x36, loss 0.25, 9 s left",
    ]
    assert capsys.readouterr().err.splitlines() == lines
    assert submit.follow(tmp_path, "sand", quiet=True) is None


@pytest.mark.parametrize(
    ("end", "code"),
    [("done", 0), ("stopped early", 0), ("refused", 65), ("failed", 70), ("canceled", 75)],
)
def test_the_exit_code_of_waiting_is_that_of_the_end(
    end: str, code: int, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submit, "follow", lambda *_, **__: a_job("sea", end))
    assert run(*PAIR, "--name", "sea", "--wait").code == code


def test_an_inbox_that_the_running_daemon_does_not_watch_is_named(
    inbox: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    followed: list[str] = []

    def follow(state: Path, job: str, quiet: bool) -> Job:
        followed.append(job)
        return a_job(job, "done")

    monkeypatch.setattr(submit, "follow", follow)
    state, link = inbox.parent / "state", inbox.parent / "link"
    link.symlink_to(inbox)
    reason = f"content-style: in {inbox}, which the running daemon does not watch: "
    publish(state, inboxes=[{"path": str(inbox.parent / "other")}])
    assert "no daemon is running" in run(*PAIR, "--name", "sea").err
    with lock.held(state / "lock"):
        ended = run(*PAIR)
        assert ended.code == 0 and reason in ended.err and "other with --inbox" in ended.err
        assert run(*PAIR, "--quiet").err == ""
        ended = run(*PAIR, "--wait", "--name", "lake")
        assert ended.code == 75 and "lake: in " in ended.err and not followed
        for watched in ([], [{"path": str(link)}]):
            publish(state, inboxes=watched)
            ended = run(*PAIR, "--wait")
            assert (ended.code, ended.err) == (0, "") and followed.pop()
