"""`stylewatch submit`; tests/e2e has it with a real daemon."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from tests.daemon.cli.conftest import Run, files
from tests.daemon.cli.states import enter, entry, publish

from stylewatch_daemon.cli import submit
from stylewatch_daemon.files import lock
from stylewatch_daemon.outbox.status_txt import Running, Status

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
    more = ("--save-start", "--enlarge", "--artifact", "losses, sheet", "--artifact", "gif",
            "--sweep", "quality=8,9")  # fmt: skip
    assert run(*PAIR, "--name", "sea", *words, *sets, *more).code == 0
    assert yaml.safe_load((inbox / "sea/job.yaml").read_text()) == {
        **options, "save_start": True, "enlarge": True, "format": "jpg",
        "artifacts": ["losses", "sheet", "gif"],
        "set": {"objective.tv.weight": 0.1, "smallest": 64}, "sweep": {"quality": [8, 9]},
    }  # fmt: skip


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
    enter(here / "state", entry("sea-3", "running"), entry("b", place="sea-4"))
    sea = (*PAIR, "--config", "config.yaml", "--name", "sea", "-q")
    names = [run(*sea, "--inbox", name).out for name in ("inbox", "second", "third")]
    assert names == ["sea-5\n", "sea-2\n", "sea\n"]
    (here / "state/ledger.sqlite3").write_text("not a ledger")
    ended = run(*sea)
    assert (ended.code, "is damaged" in ended.err, (here / "inbox/sea-6").exists()) == (
        78, True, False,
    )  # fmt: skip


def test_progress_is_printed_at_intervals_and_the_exit_code_is_that_of_the_final_state(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submit, "EVERY_S", 0.0)
    running = Running("sea", 3, 50, 0.25, (48, 36), 9.0, id="id-sea")
    steps: list[Callable[[], None]] = [
        lambda: publish(tmp_path, Status(paused=True)),
        lambda: enter(tmp_path, entry("sea", "queued", place=None)),
        lambda: publish(tmp_path, Status()),
        lambda: enter(tmp_path, entry("sea", "running")),
        lambda: publish(tmp_path, Status(running=(running,))),
        lambda: enter(tmp_path, entry("sea", "failed", place="sea-2", reason="why")),
    ]
    remaining = iter(steps)
    monkeypatch.setattr(time, "sleep", lambda seconds: next(remaining)())
    with lock.held(tmp_path / "lock"):
        assert submit.follow(tmp_path, "sea", quiet=False) == 70
    lines = [
        "stylewatch: sea: waits in the inbox",
        "stylewatch: sea: waits: the daemon is paused",
        "stylewatch: sea: waits in the queue",
        "stylewatch: sea: step 3 of 50 at 48x36, loss 0.25, 9 s left",
        "stylewatch: sea-2: failed: why",
    ]
    assert capsys.readouterr().err.splitlines() == lines
    for state, code in (("refused", 65), ("cancelled", 75), ("done", 0)):
        enter(tmp_path, entry("sea", state))
        assert submit.follow(tmp_path, "sea", quiet=True) == code


def test_an_inbox_that_the_running_daemon_does_not_watch_is_named(
    inbox: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    followed: list[str] = []
    monkeypatch.setattr(submit, "follow", lambda state, job, quiet: followed.append(job))
    state, link = inbox.parent / "state", inbox.parent / "link"
    link.symlink_to(inbox)
    reason = f"content-style waits in {inbox}, which the running daemon does not watch: "
    publish(state, Status(), inboxes=[(inbox.parent / "other", inbox.parent / "out")])
    assert "no daemon is running" in run(*PAIR, "--name", "sea").err
    with lock.held(state / "lock"):
        ended = run(*PAIR)
        assert ended.code == 0 and reason in ended.err and "other with --inbox" in ended.err
        assert run(*PAIR, "--quiet").err == ""
        ended = run(*PAIR, "--wait", "--name", "lake")
        assert ended.code == 75 and "lake waits in" in ended.err and not followed
        for watched in ([], [(link, inbox.parent / "out")]):
            publish(state, Status(), inboxes=watched)
            ended = run(*PAIR, "--wait")
            assert (ended.code, ended.err) == (0, "") and followed.pop()
