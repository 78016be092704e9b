"""Inputs go once they are accounted for: late bytes are published first, whole (laws 1 and 5)."""

import errno
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import pytest
from tests.daemon.faults import Disk, Killed, failing, fill, replaced, tree
from tests.daemon.world import DaemonWorld, changed_settings, run_jobs
from tests.e2e.changes import Painter

from stylewatch_daemon.base.errors import OutputError
from stylewatch_daemon.base.model import End, State
from stylewatch_daemon.files.disks import MountGuard
from stylewatch_daemon.files.system import system
from stylewatch_daemon.jobs.lifecycle import Asked
from stylewatch_daemon.jobs.waits import PAUSE
from stylewatch_daemon.ledger.ledger import reading
from stylewatch_daemon.outbox import ending, job_files
from stylewatch_daemon.outbox.ending import Ending
from stylewatch_daemon.worker.messages import AttemptLost, Refused

NEW = "20990101T000000.000000-abcdef"

WHOLE = "a/style.jpg and more"

ENDS = {"publish_output": "done", "publish_refusal": "refused"}
"""The ends of jobs, by the function that publishes them."""


@pytest.fixture
def world(tmp_path: Path) -> DaemonWorld:
    return painting(tmp_path)


def painting(root: Path, **settings: Any) -> DaemonWorld:
    """Return a world with a worker that writes whole receipts."""
    world = DaemonWorld(root, **settings)
    world.executor = Painter()
    return world


def style_of(world: DaemonWorld) -> Path:
    """Return the claimed style of the job `a`."""
    return world.state.files(world.job("a").id) / "style.jpg"


def go_on(world: DaemonWorld) -> None:
    """Let the longest wait pass, and do what follows."""
    world.wait(2 * PAUSE.most)
    run_jobs(world.loop)


def queue(world: DaemonWorld, function: str) -> None:
    """Queue the job `a`, whose end `function` will publish."""
    if ENDS[function] == "refused":
        world.executor.endings = [Refused("no")]
    world.queued("a")


@contextmanager
def after(function: str, act: Callable[[], object]) -> Iterator[None]:
    """Call `act` each time that `function` has published an end."""
    publish = getattr(ending, function)

    def published(*args: Any) -> Any:
        result = publish(*args)
        act()
        return result

    with replaced(ending, **{function: published}):
        yield


def check_gone(world: DaemonWorld, **states: str) -> None:
    """Check that nothing of the jobs is left, and each ended once."""
    assert (world.states, world.left, world.loop.blocked) == (states, [], {})
    assert (world.loop.jobs.live, tree(world.inbox)) == ({}, {})


def test_what_a_killed_daemon_left_in_an_outbox_goes_once_its_disk_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(tmp_path / "out", monkeypatch)
    world = painting(tmp_path)
    world.drop("a")
    world.run()
    left = world.outbox / ".staging"
    fill(left, ".1-0123456789abcdef.tmp", "trash/1/content.jpg")
    with disk.unplugged():
        world.start()
        run_jobs(world.loop)
    for names in ([".1-0123456789abcdef.tmp", "content.jpg"], []):
        assert sorted(path.name for path in left.rglob("*") if path.is_file()) == names
        world.loop.scan()
        world.loop.wakeup.wait(0)


# -- late bytes


def test_an_input_that_a_program_has_open_stays_and_is_published_whole_once_it_is_closed(
    world: DaemonWorld,
) -> None:
    world.queued("a")
    with style_of(world).open("a") as file:
        run_jobs(world.loop)
        assert len(world.record.of("ended")) == 1
        for _ in range(2):
            assert (world.states, world.published["a/inputs/style.jpg"]) == (
                {"a": "done"}, "a/style.jpg"
            )  # fmt: skip
            assert tree(style_of(world).parent) == {"style.jpg": "a/style.jpg"}
            assert world.loop.blocked == {"a": "style.jpg: a program may still write to it"}
            world.start()
            run_jobs(world.loop)
        file.write(" and more")
    go_on(world)
    check_gone(world, a="done")
    assert world.published["a/inputs/style.jpg"] == WHOLE
    receipt = json.loads(world.published["a/receipt.json"])
    assert any(line.startswith("style.jpg changed while") for line in receipt["warnings"])
    with reading(world.state.ledger) as ledger:
        listed = {file.path for file in ledger.files(world.job("a").id)}
    assert listed == world.published.keys()
    assert world.record.of("ended") == [], "it was reported before"


@pytest.mark.parametrize("files", ["archive", "delete"])
@pytest.mark.parametrize("function", ENDS)
def test_what_is_written_between_publication_and_removal_is_published_too_and_known(
    function: str, files: Literal["archive", "delete"], tmp_path: Path
) -> None:
    world = painting(tmp_path, after=files)

    def write() -> None:
        if style_of(world).read_text() != WHOLE:
            style_of(world).write_text(WHOLE)

    queue(world, function)
    with after(function, write):
        run_jobs(world.loop)
    check_gone(world, a=ENDS[function])
    folder = "a/inputs" if ENDS[function] == "done" else "_refused/a"
    assert world.published[f"{folder}/style.jpg"] == WHOLE, "the pair is in one folder"
    assert len(world.record.of("ended")) == 1
    _, style = job_files.inputs(world.job("a"))
    assert style.find(MountGuard()).path == world.outbox / folder / "style.jpg", "for a retry"


def test_a_file_whose_writers_cannot_be_seen_waits_on_if_it_changes_or_the_clock_is_set(
    world: DaemonWorld,
) -> None:
    denied = PermissionError(errno.EACCES, "Permission denied")
    pause = world.settings.watch.truncated_s
    world.queued("a")
    style = style_of(world)
    with replaced(system, lease=failing(denied)), world.aging():
        run_jobs(world.loop)
        for _ in range(3):
            world.wait(pause - 1)
            with style.open("a") as file:
                file.write("!")
            run_jobs(world.loop)
            world.start()
            run_jobs(world.loop)
            assert style.is_file()
        world.wait(pause)
        world.ahead = timedelta(hours=5)
        run_jobs(world.loop)
        assert style.is_file()
        world.wait(pause)
        run_jobs(world.loop)
    check_gone(world, a="done")
    assert world.published["a/inputs/style.jpg"] == "a/style.jpg!!!"


@pytest.mark.parametrize("function", ENDS)
def test_an_end_that_was_published_while_its_disk_was_lost_is_published_again(
    function: str, world: DaemonWorld
) -> None:
    def check(guard: MountGuard, folder: Path, inner: str = "") -> Path:
        if lost:
            raise OutputError("its disk is not mounted")
        return seen(guard, folder, inner)

    seen, lost = MountGuard.check, list[bool]()
    queue(world, function)
    with replaced(MountGuard, check=check), after(function, lambda: lost.append(True)):
        run_jobs(world.loop, again=False)
    assert (world.job("a").state, style_of(world).is_file()) == (State.ENDING, True)
    go_on(world)
    check_gone(world, a=ENDS[function])
    assert len(world.record.of("ended")) == 1


def test_what_a_job_has_on_a_disk_is_on_no_other_that_takes_its_place(world: DaemonWorld) -> None:
    first, second = (world.root / name for name in ("first disk", "second disk"))
    second.mkdir()

    def plug(disk: Path, removed: Path) -> None:
        world.outbox.rename(removed)
        disk.rename(world.outbox)
        go_on(world)

    world.executor.endings = [None, None, AttemptLost("died")]
    world.drop("a", "b")
    world.run()
    assert world.states == {"a": "done", "b": "queued"}
    files = tree(world.outbox)
    world.ask("delete", "a")
    plug(second, first)
    world.drop("c")
    world.work()
    go_on(world)
    assert world.states == {"a": "done", "b": "queued", "c": "done"}
    assert "on another disk than the files of this job" in world.trouble["b"]
    assert [*world.outbox.glob("[!.]*/")] == [world.outbox / "c"] and tree(first) == files
    plug(first, second)
    assert world.states == {"b": "done", "c": "done"}
    check_gone(world, b="done", c="done")


def test_of_a_job_that_is_canceled_nothing_is_waited_for(world: DaemonWorld) -> None:
    world.executor.endings = [AttemptLost("died")]
    world.drop("a")
    world.run()
    world.outbox.rename(world.root / "first disk")
    world.outbox.mkdir()
    world.ask("cancel", "a")
    go_on(world)
    check_gone(world, a="canceled")
    assert [*tree(world.outbox / "_canceled/a")] == ["content.jpg", "reason.txt", "style.jpg"]


@pytest.mark.parametrize("is_canceled", [False, True])
def test_only_the_end_of_a_job_waits_for_its_finals_folder(
    is_canceled: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "finals").mkdir()
    disk = Disk(tmp_path / "finals", monkeypatch)
    world = painting(tmp_path, has_finals=True)
    world.drop("a")
    world.start()
    with disk.unplugged():
        world.work()
        assert (world.outbox / "a/receipt.json").is_file()
        assert world.job("a").state is State.ENDING and "finals" in world.trouble["a"]
        (world.outbox / "a").rename(tmp_path / "taken")  # whoever has seen the receipt may do that
        if is_canceled:
            world.ask("cancel", "a")
            run_jobs(world.loop)
            assert world.states == {"a": "done"}
        (tmp_path / "taken").rename(world.outbox / "a")
    run_jobs(world.start())
    assert world.states == {"a": "done"}
    assert [*tree(tmp_path / "finals")] == ([] if is_canceled else ["a.png"])
    check_gone(world, a="done")


@pytest.mark.parametrize("restarts", [False, True])
def test_a_job_with_its_receipt_is_done_though_it_is_canceled_while_its_disk_is_away(
    restarts: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(tmp_path / "out", monkeypatch)
    (tmp_path / "finals").write_text("no folder")
    world = painting(tmp_path, has_finals=True)
    world.drop("a")
    world.run()
    assert (world.outbox / "a/receipt.json").is_file() and world.job("a").state is State.ENDING
    with disk.unplugged():
        if restarts:
            run_jobs(world.start())
        world.ask("cancel", "a")
        run_jobs(world.loop)
    go_on(world)
    check_gone(world, a="done")
    assert not (world.outbox / "_canceled").exists()


@pytest.mark.parametrize("function", ["publish_output", "publish_receipt"])
def test_an_error_while_an_end_is_published_lets_a_job_be_canceled_until_its_output_is_listed(
    function: str, world: DaemonWorld
) -> None:
    world.queued("a")
    error = OSError(errno.EIO, "I/O error")
    with after(function, failing(error)):
        run_jobs(world.loop, again=False)
    world.loop.jobs.post(world.job("a").id, Asked(End.CANCELED))
    world.loop.jobs.commit()
    with replaced(ending, **{function: failing(error, 1, getattr(ending, function))}):
        run_jobs(world.start())
        go_on(world)
    is_listed = function == "publish_receipt"
    check_gone(world, a="done" if is_listed else "canceled")
    assert (world.outbox / "a/receipt.json").exists() is is_listed
    assert (world.outbox / "_canceled/a").exists() is not is_listed


@pytest.mark.parametrize("is_old", [False, True])
def test_a_job_has_its_link_also_if_the_settings_lack_its_inbox_when_it_ends(
    is_old: bool, tmp_path: Path
) -> None:
    world = painting(tmp_path, inboxes=("in", "other"), has_finals=True)
    world.queued("a")
    if is_old:  # its claim names no finals, so that the settings count
        (claim,) = world.state.jobs.glob("*/claim.json")
        values = json.loads(claim.read_text())
        claim.write_text(json.dumps({key: values[key] for key in values if key != "finals"}))
    else:
        world.settings = changed_settings(world.settings, inboxes=world.settings.inboxes[1:])
    run_jobs(world.start())
    assert [*tree(tmp_path / "finals")] == ["a.png"]
    check_gone(world, a="done")


def test_a_retry_has_its_link_where_the_job_has_one_if_the_settings_lack_its_inbox(
    tmp_path: Path,
) -> None:
    world = painting(tmp_path, inboxes=("in", "other"), has_finals=True)
    world.drop("a")
    world.run()
    other = world.settings.inboxes[1]
    other = other.model_copy(update={"finals": None})
    world.settings = changed_settings(world.settings, inboxes=(other,))
    world.start()
    world.ask("retry", "a", new=NEW, settings={})
    run_jobs(world.loop)
    assert world.states == {"a": "done", "a-2": "done"}
    assert [*tree(tmp_path / "finals")] == ["a-2.png", "a.png"]


def test_a_retry_of_what_has_no_link_has_one_if_the_settings_name_the_folder_when_it_ends(
    tmp_path: Path,
) -> None:
    """They lack its inbox when the retry begins."""
    world = painting(tmp_path, inboxes=("in", "other"), has_finals=True)
    world.inspector.says = {"a/": "no picture"}
    world.drop("a")
    world.run()
    assert world.states == {"a": "refused"}
    settings, world.inspector.says = world.settings, {}
    world.settings = changed_settings(settings, inboxes=settings.inboxes[1:])
    world.executor.at_once = 0
    world.start()
    world.ask("retry", "a", new=NEW, settings={})
    run_jobs(world.loop)
    world.settings, world.executor.at_once = settings, 1
    run_jobs(world.start())
    assert world.states == {"a": "refused", "a-2": "done"}
    assert [*tree(tmp_path / "finals")] == ["a-2.png"]


# -- folders that somebody moved away


def moved_away(world: DaemonWorld) -> dict[str, str]:
    """Move the folder of the job `a` out of the outbox; return its files."""
    (world.outbox / "a").rename(world.root / "album")
    return tree(world.root / "album")


@pytest.mark.parametrize("is_killed", [False, True])
def test_late_bytes_never_reach_a_job_that_has_got_the_name_since(
    is_killed: bool, world: DaemonWorld
) -> None:
    world.queued("a")
    first = style_of(world)
    with first.open("a") as file:
        run_jobs(world.loop)
        album = moved_away(world)
        if is_killed:
            world.start()
        fill(world.inbox, "a/content.jpg")
        (world.inbox / "a/style.jpg").write_text("another style")
        world.work()
        assert [job.place for job in world.jobs] == ["a", "a-2"]
        later = tree(world.outbox / "a-2")
        assert later["inputs/style.jpg"] == "another style"
        file.write(" and more")
    go_on(world)
    check_gone(world, a="done")
    assert tree(world.outbox / "a") == {"inputs/style.jpg": WHOLE}
    assert (tree(world.outbox / "a-2"), tree(world.root / "album")) == (later, album)


def test_late_bytes_are_published_beside_what_somebody_else_has_put_there(
    world: DaemonWorld,
) -> None:
    world.queued("a")
    with style_of(world).open("a") as file:
        run_jobs(world.loop)
        moved_away(world)
        fill(world.outbox / "a", "receipt.json", "inputs/style.jpg", "inputs/style-2.jpg/deep")
        theirs = tree(world.outbox / "a")
        file.write(" and more")
    go_on(world)
    check_gone(world, a="done")
    assert tree(world.outbox / "a") == {**theirs, "inputs/style-3.jpg": WHOLE}


def test_a_folder_that_is_moved_away_while_its_end_is_published_is_made_again(
    world: DaemonWorld,
) -> None:
    def archive(*args: Any) -> Any:
        if not (world.root / "album").exists():
            moved_away(world)
        return real(*args)

    real = ending._archive
    world.queued("a")
    with replaced(ending, _archive=archive):
        run_jobs(world.loop)
        go_on(world)
    check_gone(world, a="done")
    assert sorted(tree(world.outbox / "a")) == [
        "inputs/content.jpg", "inputs/style.jpg", "receipt.json"
    ]  # fmt: skip


def test_a_job_ends_whose_output_was_moved_away_before_a_kill_let_it_be_recorded(
    world: DaemonWorld,
) -> None:
    def kill() -> None:
        moved_away(world)
        raise Killed

    world.queued("a")
    with after("publish_receipt", kill), pytest.raises(Killed):
        run_jobs(world.loop)
    album = tree(world.root / "album")
    run_jobs(world.start())
    check_gone(world, a="done")
    assert "receipt.json" in album and not (world.outbox / "a").exists()


def test_an_end_is_not_published_over_that_of_another_job_and_is_painted_anew(
    world: DaemonWorld,
) -> None:
    theirs: dict[str, str] = {}

    def publish(what: Ending, *args: Any) -> Any:
        if not theirs:
            moved_away(world)
            fill(world.outbox / "a", "final.png", "inputs/style.jpg")
            named = {"final": "final.png", "files": [{"file": "final.png", "sha256": "beef"}]}
            (world.outbox / "a/receipt.json").write_text(json.dumps(named))
            theirs.update(tree(world.outbox / "a"))
        return real(what, *args)

    real = ending.publish_output
    world.queued("a")
    with replaced(ending, publish_output=publish):
        run_jobs(world.loop)
        go_on(world)
    check_gone(world, a="done")
    assert (world.job("a").place, tree(world.outbox / "a")) == ("a-2", theirs)
    assert world.executor.started_at == [0, 0]
    with reading(world.state.ledger) as ledger:
        listed = {file.path for file in ledger.files(world.job("a").id)}
    assert listed == {path for path in world.published if path.startswith("a-2/")}


# -- several jobs with one photograph


@pytest.mark.parametrize("after", ["archive", "delete"])
def test_the_end_of_a_job_takes_nothing_from_the_others_with_its_photograph(
    after: str, tmp_path: Path
) -> None:
    fill(tmp_path / "styles", "dawn.jpg", "night.jpg", "wave.jpg")
    world = painting(tmp_path, after=after, styles=tmp_path / "styles", default_style="all")
    fill(world.inbox, "sea.jpg")
    world.executor.at_once = 0
    world.run()
    world.ask("cancel", "sea-dawn")
    run_jobs(world.loop)
    canceled = {"sea.jpg": "sea.jpg", "reason.txt": "canceled\n"}
    assert tree(world.outbox / "_canceled/sea-dawn") == canceled
    world.ask("delete", "sea-dawn")
    run_jobs(world.loop)
    world.executor.at_once = 1
    world.executor.endings = [Refused("no")]
    run_jobs(world.loop)
    check_gone(world, **{"sea-night": "refused", "sea-wave": "done"})
    assert (world.outbox / "_refused/sea-night/sea.jpg").read_text() == "sea.jpg"
    archived = {"sea.jpg": "sea.jpg"} if after == "archive" else {}
    inputs = world.outbox / "sea-wave/inputs"
    assert (tree(inputs) if inputs.exists() else {}) == archived
