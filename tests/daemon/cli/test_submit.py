"""`stylewatch submit`; tests/e2e has it with a real daemon."""

import json
import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image
from tests.daemon.cli.conftest import Place, Run, files
from tests.daemon.faults import Disk, fill
from tests.daemon.states import incomplete, running
from tests.daemon.web.world import a_job, enter

from stylewatch_daemon.base.model import Attempt, End, Input, Job, State
from stylewatch_daemon.cli import progress, submit
from stylewatch_daemon.cli.lookup import find
from stylewatch_daemon.client import submit as submission
from stylewatch_daemon.client.condition import NOT_RUNNING, PAUSED
from stylewatch_daemon.files import entries, lock
from stylewatch_daemon.ledger import requests
from stylewatch_daemon.ledger.state_dir import LEDGER
from stylewatch_daemon.ledger.writer import LedgerWriter
from stylewatch_daemon.views.job import job_view
from stylewatch_painter.sample import shipped_styles

PAIR = ("submit", "content.jpg", "style.jpg")


@pytest.fixture(autouse=True)
def inbox(here: Path) -> Path:
    (here / "inbox").mkdir()
    return here / "inbox"


def test_a_pair_is_put_into_the_inbox_and_its_name_printed(inbox: Path, run: Run) -> None:
    ended = run(*PAIR)
    assert (ended.code, ended.out) == (0, "content-style\n")
    assert NOT_RUNNING.sentence in ended.err
    assert files(inbox) == {"content-style/content.jpg", "content-style/style.jpg"}
    assert run(*PAIR, "--name", "Cafe\u0301").out == "Caf\u00e9\n"
    masks = ("--mask", "content.jpg", "--style-mask", "style.jpg", "--init", "style.jpg")
    ended = run(*PAIR, "--name", "lake", "--json", *masks)
    assert json.loads(ended.out) == [{"name": "lake", "inbox": str(inbox)}]
    assert files(inbox / "lake") == {
        "content.jpg", "style.jpg", "content.mask.jpg", "style.mask.jpg", "init.jpg", "job.yaml",
    }  # fmt: skip
    assert yaml.safe_load((inbox / "lake/job.yaml").read_text()) == {
        "init": "picture",
        "file_names": {
            "content.mask.jpg": "content.jpg", "style.mask.jpg": "style.jpg",
            "init.jpg": "style.jpg",
        },
    }  # fmt: skip


def test_variables_go_into_the_job_file_except_a_recipe_file(
    run: Run, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = inbox.parent / "own.yaml"
    recipe.write_text("extends: gram\n")
    monkeypatch.setenv("STYLEWATCH_JOB__RECIPE", str(recipe))
    monkeypatch.setenv("STYLEWATCH_JOB__SET__SCHEDULE__STEPS", "3")
    monkeypatch.setenv("STYLEWATCH_JOB__SEED", "7")
    ended = run(*PAIR, "--name", "sea", "--set", "seed=8")
    assert ended.code == 0 and "is left to the settings of the daemon" in ended.err
    assert yaml.safe_load((inbox / "sea/job.yaml").read_text()) == {"steps": 3, "seed": 8}
    assert "left to" not in run(*PAIR, "--name", "lake", "-q").err


def test_it_says_the_time_by_that_of_the_last_job_with_these_settings(run: Run, here: Path) -> None:
    ended = "2026-01-02T12:00:40+00:00"
    attempt = Attempt("2026-01-02T12:00:00+00:00", ended=ended, how="done")
    settings = {"recipe": "best", "backend": "torch"}
    photograph = Input("content", "content.jpg", "", 9, pixels=(3000, 2000))
    job = a_job("sea", finished=ended, settings=settings, inputs=(photograph,))
    enter(here / "state", job, attempts=(attempt,))
    (here / "config.yaml").write_text("state: {path: state}\n")
    assert "time: about 1 s, by the last job like this" in run(*PAIR).err  # it is small
    Image.new("RGB", (1280, 854)).save(here / "content.jpg")
    words = "time: about 40 s, by the last job like this"
    assert words in run(*PAIR).err
    assert "time:" not in run(*PAIR, "--stroke", "2").err
    assert "time:" not in run(*PAIR, "--sweep", "steps=9").err
    frames = [Image.new("L", (9, 9), shade) for shade in (0, 99)]
    frames[0].save(here / "moving.gif", save_all=True, append_images=frames[1:])
    assert "time:" not in run("moving.gif", PAIR[1]).err
    assert "time:" not in run(*PAIR, "--quiet").err


def test_a_photograph_alone_gets_the_default_styles(inbox: Path, here: Path, run: Run) -> None:
    ended = run("submit", "content.jpg")
    assert ended.code == 64
    assert "takes a photograph and at least one style" in ended.err
    (here / "styles").mkdir()
    for name in ("wave", "night"):
        shutil.copy(here / "style.jpg", here / f"styles/{name}.jpg")
    ended = run("submit", "content.jpg", "--set", "pairing.default_style=all", "--set", "seed=3")
    assert ended.code == 64, "settings of the daemon are those of its file"
    (here / "config.yaml").write_text("pairing: {default_style: all}\n")
    ended = run("submit", "content.jpg", "--seed", "3")
    assert (ended.code, ended.out) == (0, "content-night\ncontent-wave\n")
    assert yaml.safe_load((inbox / "content-wave/job.yaml").read_text()) == {
        "seed": 3, "file_names": {"style.jpg": "wave.jpg"},
    }  # fmt: skip
    assert "content-wave/style.jpg" in files(inbox)
    ended = run("submit", "content.jpg", "--name", "hol", "--sweep", "seed=1,2")
    assert ended.out.split() == ["hol-night-seed=1", "hol-night-seed=2", "hol-wave-seed=1",
                                 "hol-wave-seed=2"]  # fmt: skip
    ended = run(*PAIR, "--sweep", "only=content,style")
    assert ended.code == 64, "the style would be left out in silence"
    (here / "config.yaml").write_text("pairing: {default_style: wafe}\n")
    ended = run("submit", "content.jpg")
    assert ended.code == 78
    assert "wave" in ended.err


def test_a_style_is_named_that_the_library_has_or_that_is_shipped(
    inbox: Path, here: Path, run: Run
) -> None:
    ended = run("submit", "content.jpg", "--style", "scream", "--style", "Mosaic")
    assert (ended.code, ended.out) == (0, "content-The Scream\n")
    made = inbox / "content-The Scream"
    assert (made / "style-1.jpg").read_bytes() == shipped_styles()["The Scream"].path.read_bytes()
    names = {"style-1.jpg": "The Scream.jpg", "style-2.jpg": "Mosaic.jpg"}
    assert yaml.safe_load((made / "job.yaml").read_text()) == {"file_names": names}
    (here / "styles").mkdir()
    shutil.copy(here / "style.jpg", here / "styles/mosaic.jpg")
    assert run("submit", "content.jpg", "--style", "MOSAIC").out == "content-mosaic\n"
    mine = (here / "style.jpg").read_bytes()
    assert (inbox / "content-mosaic/style.jpg").read_bytes() == mine, "the library comes first"
    for suffix in ("jpg", "png"):  # the title of a shipped style, twice
        shutil.copy(here / "style.jpg", here / f"styles/The Scream.{suffix}")
    two = "fits several styles: The Scream.jpg and The Scream.png"
    for wrong, words in (
        ("The Scream", two),
        ("scream", two),
        ("The", "The fits several styles: "),
        ("mosaik", "there is no style called 'mosaik': did you mean 'mosaic'?"),
        ("style.jpg", "a file is named without --style"),
    ):
        ended = run("submit", "content.jpg", "--style", wrong)
        assert ended.code == 64 and words in ended.err
    for named in (["--style", "mosaic"], ["--style", "mosaic", "--style", "impasto"]):
        ended = run("submit", *named)
        assert ended.code == 64 and "name the photograph, too" in ended.err
    assert run("submit", "--style", "mosaic", "--only", "style").code == 0


def test_a_library_whose_disk_is_missing_is_not_taken_for_an_empty_one(
    here: Path, place: Place, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "styles").mkdir()
    shutil.copy(here / "style.jpg", here / "styles/mosaic.jpg")
    text = f"state: {{path: {place.state}}}\npairing: {{default_style: mosaic}}\n"
    (here / "config.yaml").write_text(text)
    disk = Disk(here / "styles", monkeypatch)
    with closing(LedgerWriter.open(place.state / LEDGER)) as ledger:
        ledger.put_mounts([here / "styles"])
    commands = (("submit", "content.jpg"), ("submit", "content.jpg", "--style", "mosaic"),
                ("try", "content.jpg"))  # fmt: skip
    with disk.unplugged():
        for words in commands:
            ended = run(*words)
            assert ended.code == 73 and "which is not mounted now" in ended.err, words
    assert run(*commands[0]).code == 0


def test_nothing_is_submitted_while_the_disk_of_the_inbox_is_missing(
    inbox: Path, here: Path, place: Place, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, words = Disk(inbox, monkeypatch), (*PAIR, "--inbox", here / "link")
    (here / "link").symlink_to(inbox)
    (here / "config.yaml").write_text(f"state: {{path: {place.state}}}\n")
    with closing(LedgerWriter.open(place.state / LEDGER)) as ledger:
        ledger.put_mounts([inbox])
    with disk.unplugged():
        ended = run(*words)
        assert (ended.code, ended.out) == (73, "")
        assert f"{inbox} is on the disk of {inbox}, which is not mounted now" in ended.err
    assert run(*words).code == 0


def test_every_option_of_a_job_is_in_its_job_yaml(inbox: Path, run: Run) -> None:
    options = {"recipe": "best", "schedule": "fast", "backend": "sketch", "device": "cpu",
               "size": "640x480", "steps": 30, "save_every": 10, "seed": 7, "strength": 0.5,
               "init": "noise", "preview": 48, "stroke": 2, "color": "match",
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


def test_a_pair_for_an_inbox_that_keeps_its_pictures_is_one_of_its_own(
    inbox: Path, here: Path, run: Run
) -> None:
    (here / "config.yaml").write_text("inboxes: [{path: inbox, outbox: o, after: keep}]\n")
    names = [run(*PAIR, "--config", "config.yaml", "-q").out.strip() for _ in range(2)]
    first, second = ((inbox / name / "job.yaml").read_text() for name in names)
    assert first.startswith("# submission ") and first != second


def test_a_sweep_submits_a_job_for_each_value(inbox: Path, run: Run) -> None:
    (inbox / "sea-strength=0.3,keep_detail=yes").mkdir()
    sweeps = ("--sweep", "strength=0.3,0.5", "--sweep", "keep_detail=yes")
    ended = run(*PAIR, "--name", "sea", "--set", "smallest=64", "--steps", 7, *sweeps)
    names = ["sea-strength=0.3,keep_detail=yes-2", "sea-strength=0.5,keep_detail=yes"]
    assert (ended.code, ended.lines) == (0, names)
    for name, strength in zip(names, (0.3, 0.5), strict=True):
        assert yaml.safe_load((inbox / name / "job.yaml").read_text()) == {
            "steps": 7, "strength": strength, "set": {"smallest": 64, "keep_detail": True},
        }  # fmt: skip
    long = "x" * 110
    assert len(run(*PAIR, "--name", long, "--sweep", "strength=0.2,0.5,0.8").lines) == 3
    before = files(inbox)
    for wrong in ("steps=3,many", "name=a,b", "watch.quiet_s=1", "recipe=best,no"):
        assert run(*PAIR, "--sweep", wrong).code == 64
    assert files(inbox) == before


def test_waiting_prints_what_became_of_each_job_and_exits_with_the_first_problem(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = {"sea-seed=1": "done", "sea-seed=2": "refused", "sea-seed=3": "failed",
            "sea-seed=6": "canceled"}  # fmt: skip
    jobs = {name: a_job(name, end, place=name, reason="why") for name, end in ends.items()}
    monkeypatch.setattr(submit, "follow", lambda state, job, inbox, quiet: jobs.get(job))
    monkeypatch.setattr(submit, "view_of", lambda state, job: job_view(job, state))
    wait = (*PAIR, "--name", "sea", "--wait", "--sweep")
    assert run(*wait, "seed=6").code == 75
    ended = run(*wait, "seed=1,2,3,4")
    assert (ended.code, ended.lines[-1]) == (65, str(Path(jobs["sea-seed=1"].outbox, "sea-seed=1")))
    assert ended.err.splitlines() == [
        "stylewatch: sea-seed=2: refused: why", "stylewatch: sea-seed=3: failed: why",
    ]  # fmt: skip


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


def submitted(place: Place) -> Path:
    """Put a pair into the inbox `in`; return its folder."""
    fill(place.root / "in/sea", "content.jpg", "style.jpg")
    return place.root / "in/sea"


def pictures(folder: Path) -> tuple[Input, ...]:
    """The inputs of a job whose photograph was in `folder`."""
    return (Input("content", "content.jpg", str(folder / "content.jpg"), 9),)


def claim(place: Place, seen: str, /, **more: Any) -> None:
    """Enter the job of the pair, whose files leave the inbox."""
    place.enter("sea", seen, inputs=pictures(place.root / "in/sea"), **more)
    shutil.rmtree(place.root / "in/sea", ignore_errors=True)


def drop(place: Place, job_id: str) -> None:
    """Remove a job from the ledger."""
    with closing(LedgerWriter.open(place.state / LEDGER)) as ledger:
        ledger.delete(job_id)


def publish(place: Place, ignored: Any = (), **status: Any) -> None:
    """Publish a status of a daemon that watches the inbox `in`."""
    inbox = {"path": str(place.root / "in"), "outbox": "out", "ignored": [*ignored]}
    place.publish(inboxes=[inbox], **status)


def follow(
    place: Place,
    monkeypatch: pytest.MonkeyPatch,
    *steps: Callable[[], object],
    quiet: bool = True,
) -> Job | None:
    """Follow the pair while a daemon runs, and take one of the steps in each pause."""
    remaining = iter(steps)
    monkeypatch.setattr(time, "sleep", lambda seconds: next(remaining)())
    with lock.held(place.state / "lock"):
        return submit.follow(place.state, "sea", place.root / "in", quiet=quiet)


def test_progress_is_printed_at_intervals_until_the_job_has_ended(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "EVERY_S", 0.0)
    paused = place.state / requests.PAUSED
    pair = submitted(place)
    steps: list[Callable[[], object]] = [
        lambda: publish(place, incomplete=[incomplete("sea", "an end", pair / "content.jpg")]),
        lambda: publish(
            place,
            [{"path": str(pair / "content.jpg"), "reason": "it cannot be read", "changing": True}],
        ),
        lambda: claim(place, "waiting", place=None),
        paused.touch,
        paused.unlink,
        lambda: claim(place, "running"),
        lambda: publish(place, running=[running("sea", seconds_left=9.0)]),
        lambda: claim(place, "failed", place="sea-2", reason="why"),
    ]
    assert follow(place, monkeypatch, *steps, quiet=False) == find(place.state, "sea-2")
    lines = [
        "stylewatch: sea: waits in the inbox: stylewatch is starting.",
        "stylewatch: sea: waits for an end",
        "stylewatch: sea: waits for content.jpg: it cannot be read",
        "stylewatch: sea: waits in the queue",
        f"stylewatch: sea: waits: {PAUSED.sentence}",
        "stylewatch: sea: waits in the queue",
        "stylewatch: sea: preparing",
        "stylewatch: sea: step 3 of 50 at 48x36, loss 0.25, 9 s left",
    ]
    assert capsys.readouterr().err.splitlines() == lines
    assert submit.follow(place.state, "sand", place.root / "in", quiet=True) is None


def test_waiting_ends_where_a_pair_needs_a_person(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submit, "STANDS_S", 0.0)
    content = submitted(place) / "content.jpg"
    waits = incomplete("sea", "a to be readable", content) | {"changing": False}
    publish(place, incomplete=[waits])
    assert follow(place, monkeypatch) is None
    assert capsys.readouterr().err == "stylewatch: sea waits for a to be readable\n"


def test_waiting_ends_where_the_pair_is_ignored_or_its_inbox_not_watched_any_more(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submit, "STANDS_S", 0.0)
    content = submitted(place) / "content.jpg"
    why = "it has the content of lake/content.jpg, which is painted"
    publish(place, [{"path": str(content), "reason": why}])
    assert follow(place, monkeypatch) is None
    ignored = f"stylewatch: sea is not painted: content.jpg is skipped: {why}\n"
    assert capsys.readouterr().err == ignored
    place.publish(health={"since": "now"}, inboxes=[{"path": "/other", "outbox": "/o"}])
    assert follow(place, monkeypatch) is None
    assert "which the running daemon does not watch: " in capsys.readouterr().err


@pytest.mark.parametrize("folder", ["inbox/album", "link", "inbox/out of it"])
def test_nothing_is_submitted_to_a_folder_in_an_inbox(
    folder: str, here: Path, inbox: Path, run: Run
) -> None:
    (inbox / "album").mkdir()
    (here / "link").symlink_to(inbox / "album")
    (inbox / "out of it").symlink_to(here)  # scans do not follow links
    ended = run(*PAIR, "--inbox", folder, "--wait")
    says = f"{here / folder} lies in the inbox {inbox}: submit to that inbox; --name names the job"
    assert (ended.code, ended.err, files(inbox)) == (64, f"stylewatch: {says}\n", set())


def test_a_pair_is_submitted_to_another_spelling_of_an_inbox(
    here: Path, inbox: Path, run: Run
) -> None:
    (here / "link").symlink_to(inbox)
    assert run(*PAIR, "--inbox", "link").code == 0
    assert files(inbox) == {"content-style/content.jpg", "content-style/style.jpg"}


def test_what_the_status_says_of_other_files_ends_no_waiting(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = submitted(place) / "content.jpg"
    style = {"path": str(content.with_name("style.jpg")), "reason": "a copy"}
    other = place.root / "in2/sea/content.jpg"
    waits = incomplete("sea", "a style", other) | {"changing": False}
    steps: list[Callable[[], object]] = [
        # of files that were in a folder of this name before
        lambda: publish(place, [{"path": str(content), "reason": "a link"}]),
        lambda: publish(place, [style], incomplete=[waits]),
        lambda: monkeypatch.setattr(submit, "STANDS_S", 0.0),
        lambda: claim(place, "done"),
    ]
    job = follow(place, monkeypatch, *steps)
    assert job is not None and job.end is End.DONE


def test_waiting_follows_its_own_job_though_others_have_its_name(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted(place)
    retry = {"id": "0-retry", "retry_of": "sea"}
    steps: list[Callable[[], object]] = [
        lambda: place.enter("sea", "failed", id="other", inputs=pictures(place.root / "in2/sea")),
        lambda: place.enter("sea", "failed", **retry, inputs=pictures(place.root / "in/sea")),
        lambda: claim(place, "running", id="ours"),
        lambda: place.enter("sea", "failed", id="later", inputs=pictures(place.root / "in/sea")),
        lambda: place.enter("sea", "done", id="ours"),
    ]
    job = follow(place, monkeypatch, *steps)
    assert job is not None and (job.id, job.end) == ("ours", End.DONE)


@pytest.mark.parametrize("removed", ["sea", "sea/content.jpg"])
def test_waiting_ends_where_the_pair_is_removed_before_it_is_claimed(
    removed: str,
    place: Place,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    submitted(place)
    inbox = place.root / "in"
    found = submission.main_pictures
    unknown = iter([None, frozenset({"content.jpg"})])  # its disk is away

    def remove() -> None:
        monkeypatch.setattr(submission, "main_pictures", lambda *_: next(unknown, found(*_)))
        entries.remove(inbox / removed)

    assert follow(place, monkeypatch, lambda: None, remove, *[lambda: None] * 2) is None
    reason = f"sea was removed from {inbox} before it was painted"
    assert capsys.readouterr().err == f"stylewatch: {reason}\n"
    assert next(unknown, "") == ""


def test_files_that_are_put_back_are_not_gone_and_a_job_that_is_deleted_is(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = submitted(place)

    def put_back() -> None:
        drop(place, "first")
        submitted(place)

    steps: list[Callable[[], object]] = [
        lambda: claim(place, "running", id="first", state=State.CLAIMED),
        put_back,
        lambda: claim(place, "running", id="second"),
        lambda: drop(place, "second"),
    ]
    assert follow(place, monkeypatch, *steps) is None
    assert not pair.exists()
    assert capsys.readouterr().err == "stylewatch: sea was deleted\n"


@pytest.mark.parametrize(("away_s", "end"), [(60.0, End.DONE), (0.0, None)])
def test_waiting_lasts_while_the_daemon_starts_again_and_not_longer(
    away_s: float, end: End | None, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submit, "AWAY_S", away_s)
    with ExitStack() as daemon:
        daemon.enter_context(lock.held(place.state / "lock"))
        submitted(place)
        steps: list[Callable[[], object]] = [daemon.close, lambda: claim(place, "done")]
        monkeypatch.setattr(time, "sleep", lambda seconds: steps.pop(0)())
        job = submit.follow(place.state, "sea", place.root / "in", quiet=True)
    assert (job and job.end) == end


def test_an_inbox_that_the_running_daemon_does_not_watch_is_named(inbox: Path, run: Run) -> None:
    daemon, link = Place(inbox.parent, run), inbox.parent / "link"
    link.symlink_to(inbox)
    reason = f"content-style: in {inbox}, which the running daemon does not watch: "
    daemon.publish(inboxes=[{"path": str(inbox.parent / "other")}])
    with lock.held(daemon.state / "lock"):
        ended = run(*PAIR)
        assert ended.code == 0 and reason in ended.err and "other with --inbox" in ended.err
        assert run(*PAIR, "--wait").code == 75
        daemon.publish(inboxes=[{"path": str(link)}])
        assert run(*PAIR).err == ""
