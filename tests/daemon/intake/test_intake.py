"""From inbox to queue: pairs are claimed in turn, inspected, and painted once (laws 3, 5 and 9)."""

import errno
import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from math import inf
from pathlib import Path
from typing import Any, ClassVar

import pytest
from tests.daemon import world as worlds
from tests.daemon.faults import failing, fill, place_of, replaced, tree
from tests.daemon.world import (
    DaemonWorld,
    LanesNow,
    changed_settings,
    claiming_world,
    run_jobs,
    scan,
)

from stylewatch_daemon.base.errors import InputError, ShortageError
from stylewatch_daemon.base.lanes import Step
from stylewatch_daemon.client.submit import NewJob, files_of, put_all
from stylewatch_daemon.files import atomic, entries
from stylewatch_daemon.files.system import system
from stylewatch_daemon.intake import intake
from stylewatch_daemon.intake import kept as keeping
from stylewatch_daemon.intake.claim import Claiming
from stylewatch_daemon.intake.intake import AHEAD
from stylewatch_daemon.intake.kept import HASH_EVERY_S
from stylewatch_daemon.intake.scanner import Scan
from stylewatch_daemon.jobs.jobs import LEDGER_RETRY_S
from stylewatch_daemon.jobs.waits import PAUSE
from stylewatch_daemon.ledger import schema
from stylewatch_daemon.ledger.claim import Claim
from stylewatch_daemon.settings.sections import LimitSettings

BROKEN = OSError(errno.EIO, "Input/output error")


@pytest.fixture
def world(tmp_path: Path) -> DaemonWorld:
    return claiming_world(tmp_path)


# -- claiming


def test_a_claimed_job_queues_once_it_is_inspected_which_a_start_repeats(
    world: DaemonWorld,
) -> None:
    fill(world.inbox, "a/init.png", "a/content.mask.png")
    (world.inbox / "a/job.yaml").write_text("priority: 7")
    world.drop("a")
    world.inspector.silent = True
    assert world.work() == ["a"]
    assert (world.loop.intake.is_claiming, world.waiting_for) == (True, {})
    (question,) = world.inspector.asked
    assert question.roles == ("content", "style", "init", "content-mask")
    assert question.max_pixels == world.settings.limits.max_pixels
    assert question.thumbs == world.state.thumbs
    assert (world.work(), world.states) == ([], {"a": "claimed"})
    run_jobs(world.start())
    assert world.record.of("claimed") == [("a",)], "it is said again after a start"
    job = world.job("a")
    assert (job.state, job.priority, world.loop.intake.is_claiming) == ("queued", 7, False)
    inputs = [(file.name, file.pixels, len(file.sha256)) for file in job.inputs[:2]]
    assert inputs == [("content.jpg", (4, 4), 64), ("style.jpg", (4, 4), 64)]


@pytest.mark.parametrize("is_completed", [False, True])
def test_a_refused_picture_is_inspected_once_more_a_bit_later_and_holds_up_no_other(
    is_completed: bool, tmp_path: Path
) -> None:
    """Whoever wrote it may have renamed it before the end was written."""
    world = claiming_world(tmp_path, quiet_s=2)
    world.inspector.says["bad"] = "it cannot be decoded"
    world.drop("bad", "good")
    world.loop.scan()
    world.wait(2)
    assert sorted(world.work()) == ["bad", "good"]
    assert world.states == {"bad": "claimed", "good": "queued"}
    world.work()
    assert len(world.inspector.asked) == 2
    if is_completed:
        fill(world.state.files(world.job("bad").id), "content.jpg", "style.jpg")
    world.wait(2)
    world.work()
    assert world.states == {"bad": "queued" if is_completed else "refused", "good": "queued"}
    assert len(world.inspector.asked) == 3


@pytest.mark.parametrize("has_links", [True, False])
def test_the_jobs_of_one_photograph_share_it_where_links_are_possible(
    has_links: bool, tmp_path: Path
) -> None:
    world = DaemonWorld(tmp_path, styles=tmp_path / "styles", default_style="all")
    fill(world.inbox, "sea.jpg", "sea.mask.png")
    fill(tmp_path / "styles", "dawn.jpg", "night.jpg", "wave.jpg")
    world.executor.at_once = 0
    link = system.link if has_links else failing(OSError(errno.EPERM, "Operation not permitted"))
    with replaced(system, link=link):
        world.run()
    assert [len(files) for files in world.held] == [3, 3, 3]
    inodes = {path.stat().st_ino for path in world.state.jobs.glob("*/files/sea.jpg")}
    assert len(inodes) == (1 if has_links else 3)
    assert tree(world.inbox) == {}


def test_few_jobs_are_claimed_at_a_time_and_a_lone_picture_is_not_behind_many(
    world: DaemonWorld,
) -> None:
    def names() -> list[str]:
        by_id = {job.id: job.name for job in world.jobs}
        return sorted(by_id[question.files[0].parts[-3]] for question in world.inspector.asked)

    many = [f"{number:03}" for number in range(2 * AHEAD + 1)]
    world.drop(*many)
    world.drop("lone", inbox="other")
    world.inspector.silent = True
    world.work()
    assert names() == [*many[:AHEAD], "lone"]
    assert len(world.held) == AHEAD + 1
    world.drop("late")
    world.work()
    assert len(world.held) == AHEAD + 1, "nor does a scan change that"
    world.inspector.silent = False
    run_jobs(world.loop)
    assert world.states == dict.fromkeys([*many, "lone", "late"], "queued")


def test_a_pair_is_claimed_once_its_files_have_their_end_or_their_time_is_over(
    world: DaemonWorld,
) -> None:
    world.drop("a", "b", "c")
    for name, length in (("a", 40), ("b", 40), ("c", 0)):
        (world.inbox / name / "content.jpg").write_bytes(bytes(length))
    (world.inbox / "a/job.yaml").touch()  # which may be empty
    rest = "the rest of content.jpg: it ends too early, and may still be arriving"
    empty = {"c": "the content of content.jpg: it is empty so far"}
    for _ in range(2):
        assert (world.work(), world.states) == ([], {})
        assert world.waiting_for == {"a": rest, "b": rest, **empty}
        assert not world.loop.intake.is_final
    (world.inbox / "a/content.jpg").write_text("longer than it was before")
    assert (world.work(), world.states) == (["a"], {"a": "queued"})
    world.wait(world.settings.watch.truncated_s)
    assert world.work() == ["b"] and world.waiting_for == empty
    (world.inbox / "c/content.jpg").write_text("at last")
    assert world.work() == ["c"]


def test_a_job_waits_for_a_while_if_the_upload_of_its_file_was_opened_again(
    world: DaemonWorld,
) -> None:
    world.drop("a", "b")
    assert sorted(world.work()) == ["a", "b"]
    (world.inbox / "a").mkdir()
    (world.inbox / "a/content.jpg").write_bytes(b"")
    world.work()
    world.executor.at_once = 2
    run_jobs(world.loop)
    assert world.states == {"a": "queued", "b": "done"}
    assert world.trouble == {"a": "content.jpg is written again in the inbox"}
    (world.inbox / "a/content.jpg").write_text("whole")
    world.wait(world.settings.watch.truncated_s)
    world.work(again=True)
    assert (world.states, world.trouble) == ({"a": "done", "b": "done"}, {})
    fill(world.inbox, "a/style.jpg")
    assert world.work() == ["a"], "it is a new pair"


def test_all_jobs_of_a_photograph_wait_if_its_upload_was_opened_again(tmp_path: Path) -> None:
    world = DaemonWorld(tmp_path, styles=tmp_path / "styles", default_style="all")
    fill(tmp_path / "styles", "dawn.jpg", "night.jpg")
    fill(world.inbox, "sea.jpg")
    world.executor.at_once = 0
    world.run()
    (world.inbox / "sea.jpg").write_bytes(b"")
    world.work()
    world.executor.at_once = 2
    run_jobs(world.loop)
    assert world.states == {"sea-dawn": "queued", "sea-night": "queued"}


# -- with `after: keep`, what was painted is known by content (law 3)


@pytest.fixture
def kept(tmp_path: Path) -> DaemonWorld:
    """A world with an album that stays in the inbox, and was painted."""
    world = claiming_world(tmp_path, after="keep", rescan_s=0)
    fill(world.inbox, "al/style.jpg", "al/1.jpg", "al/2.jpg", "al/3.jpg")
    assert sorted(world.work()) == ["al/1", "al/2", "al/3"]
    return world


def settle(world: DaemonWorld) -> list[str]:
    """Scan until all files are known; return the names of the jobs that were claimed."""
    claimed = []
    for _ in range(4):
        claimed += world.work()
        world.wait(HASH_EVERY_S)
    return claimed


def edit(path: Path) -> None:
    """Change a file without changing its size."""
    path.write_text(path.read_text().upper())
    os.utime(path, ns=(1, 1))


def renew(path: Path) -> None:
    """Let a file have another inode."""
    shutil.copy2(path, path.with_name("aside"))
    path.with_name("aside").rename(path)


def move_album(path: Path) -> None:
    """Move a picture's album into another folder."""
    (path.parents[1] / "holiday").mkdir()
    path.parent.rename(path.parents[1] / "holiday/al")


CHANGES: Mapping[str, tuple[Callable[[Path], object], list[str]]] = {
    "nothing": (lambda path: None, []),
    "its inode": (renew, []),
    "its time": (lambda path: os.utime(path, ns=(1, 1)), []),
    "its name": (lambda path: path.rename(path.with_name("4.jpg")), []),
    "a copy beside it": (lambda path: shutil.copy(path, path.with_name("4.jpg")), []),
    "its folder": (move_album, []),
    "the other inbox": (lambda path: path.parent.rename(path.parents[2] / "other/al"), []),
    "it is gone": (Path.unlink, []),
    "its bytes": (edit, ["al/2"]),
    "a mask": (lambda path: fill(path.parent, "2.mask.png"), ["al/2"]),
    "a job.yaml": (lambda path: fill(path.parent, "job.yaml"), ["al/1", "al/2", "al/3"]),
    "its style": (lambda path: edit(path.with_name("style.jpg")), ["al/1", "al/2", "al/3"]),
    "another style": (lambda path: fill(path.parent, "style-2.jpg"), ["al/1", "al/2", "al/3"]),
    "a mask of the style": (
        lambda path: fill(path.parent, "style.mask.png"), ["al/1", "al/2", "al/3"]
    ),
}  # fmt: skip


@pytest.mark.parametrize("starts", [False, True])
@pytest.mark.parametrize(("change", "again"), CHANGES.values(), ids=CHANGES)
def test_only_what_is_new_by_content_is_painted_again(
    change: Callable[[Path], object], again: list[str], starts: bool, kept: DaemonWorld
) -> None:
    change(kept.inbox / "al/2.jpg")
    if starts:
        kept.start()
    assert sorted(settle(kept)) == again
    assert len(kept.jobs) == 3 + len(again)
    assert kept.waiting_for == {}


def test_files_that_look_as_they_did_are_not_hashed_and_others_once(kept: DaemonWorld) -> None:
    def digest_of(file: Any, *args: Any, **more: Any) -> str:
        hashed.append(place_of(file.fileno()).name)
        return real(file, *args, **more)

    hashed, real = list[str](), atomic.digest_of
    for path in kept.inbox.rglob("*.jpg"):
        renew(path)
    os.utime(kept.inbox / "al/2.jpg", ns=(1, 1))
    with replaced(atomic, digest_of=digest_of):
        kept.start()
        assert settle(kept) == []
    assert hashed == ["2.jpg"]


def test_a_copy_under_another_name_is_named_in_the_notes(kept: DaemonWorld) -> None:
    shutil.copy(kept.inbox / "al/2.jpg", kept.inbox / "al/4.jpg")
    assert settle(kept) == []
    why = "it has the content of al/2.jpg, which is painted"
    assert (kept.inbox / "al/4.jpg", why) in kept.record.of("ignored")
    assert f"al/4.jpg is skipped: {why}" in kept.loop.intake.inboxes[0].notes


def test_what_is_submitted_is_painted_though_it_was_painted_before(kept: DaemonWorld) -> None:
    """A submitted pair is painted again; a pair that is merely copied is known (law 3)."""
    (kept.inbox.parent / "sea.jpg").write_text("sea")
    sea = NewJob("sea", {}, files_of(kept.inbox.parent / "sea.jpg", (kept.inbox / "al/style.jpg",)))
    for name in ("sea", "sea-2"):
        (submitted,) = put_all(kept.state.root, [sea], kept.inbox, is_kept=True)
        assert (submitted, settle(kept)) == (name, [name])
    kept.start()
    assert settle(kept) == []
    shutil.copytree(kept.inbox / "sea", kept.inbox / "sea-3")
    assert settle(kept) == [], "a copy is no wish of its own"


def test_of_two_copies_that_are_dropped_at_the_same_time_one_is_painted(tmp_path: Path) -> None:
    world = claiming_world(tmp_path, after="keep")
    world.drop("a")
    shutil.copytree(world.inbox / "a", world.inbox / "b")
    assert settle(world) == ["a"]
    assert (world.states, len(world.held)) == ({"a": "queued"}, 1)
    why = "it has the content of a/content.jpg, which is painted"
    assert world.record.of("ignored") == [(world.inbox / "b/content.jpg", why)]
    world.start()
    assert settle(world) == []


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (PermissionError(errno.EACCES, "Permission denied"), "Permission denied"),
        (BROKEN, "Input/output error"),
        (InputError("it is a link"), "it is a link"),
    ],
)
def test_a_file_that_cannot_be_read_keeps_no_other_from_being_hashed(
    error: Exception, reason: str, kept: DaemonWorld
) -> None:
    reader = atomic.open_regular

    def denied(path: Any, *args: Any, **more: Any) -> Any:
        if path == "4.jpg":
            raise error
        return reader(path, *args, **more)

    for name in ("4.jpg", "5.jpg"):
        (kept.inbox / "al" / name).write_text(f"al/{name[0]}.xyz")
    with replaced(atomic, open_regular=denied):
        assert settle(kept) == ["al/5"]
        assert kept.loop.intake.kept.hash_in == inf, "it waits for the next scan"
    why = f"it cannot be read: {reason}"
    assert kept.record.of("ignored").count((kept.inbox / "al/4.jpg", why)) == 1
    (inbox, _) = kept.loop.intake.inboxes
    assert (inbox.notes, inbox.unread) == (
        [f"al/4.jpg is skipped: {why}"],
        {kept.inbox / "al/4.jpg"},
    )
    assert settle(kept) == ["al/4"]
    assert (inbox.notes, inbox.unread) == ([], set())


def test_a_long_film_is_hashed_in_the_lane_of_long_files(kept: DaemonWorld) -> None:
    sizes, do = [], LanesNow.do

    def measured(lanes: LanesNow, root: Path, work: Any, done: Any, size: int = 0) -> None:
        sizes.append(size)
        do(lanes, root, work, done, size)

    (kept.inbox / "al/4.jpg").write_text("al/4.xyz")
    with replaced(LanesNow, do=measured):
        assert settle(kept) == ["al/4"]
    assert sum(sizes) == len("al/4.xyz")


def test_a_file_that_is_too_large_is_not_hashed(kept: DaemonWorld) -> None:
    """A sparse file of terabytes would keep the lane of long files for days (law 11)."""
    (kept.inbox / "al/4.jpg").write_text("al/4.xyz")
    with replaced(LimitSettings, largest=lambda *_: 5), replaced(atomic, digest_of=failing(BROKEN)):
        assert settle(kept) == []
        assert "a smaller 4.jpg" in kept.waiting_for["al/4"]
        assert kept.loop.intake.inboxes[0].notes == []
    assert settle(kept) == ["al/4"]


def test_what_was_moved_is_not_painted_again_though_its_permissions_change_before_it_is_hashed(
    kept: DaemonWorld,
) -> None:
    (kept.inbox / "al").rename(kept.inbox / "bo")
    kept.loop.intake.scan()
    for path in (kept.inbox / "bo").iterdir():
        path.chmod(0o640)
    assert settle(kept) == []


@pytest.mark.parametrize("scans", [0, 1, 2])
def test_what_two_scans_did_not_find_is_painted_again_once_it_is_dropped_again_later(
    scans: int, kept: DaemonWorld
) -> None:
    assert settle(kept) == []
    text = (kept.inbox / "al/2.jpg").read_text()
    (kept.inbox / "al/2.jpg").unlink()
    for _ in range(scans):
        kept.loop.intake.scan()
        kept.loop.wakeup.wait(0)
        run_jobs(kept.loop)
    (kept.inbox / "al/2.jpg").write_text(text)
    assert settle(kept) == (["al/2"] if scans == 2 else [])


@contextmanager
def without_the_inbox(world: DaemonWorld) -> Iterator[None]:
    """Let the daemon run with the inbox `other` alone, as `run --once --inbox` does; then anew."""
    settings = world.settings
    world.settings = changed_settings(settings, inboxes=settings.inboxes[1:])
    world.start()
    yield
    world.settings = settings
    world.start()


def stopped_claim(world: DaemonWorld) -> None:
    """Find the pairs in the inbox, and stop the daemon before it has copied their files."""
    with replaced(Claiming, _gather=failing(BROKEN)):
        assert world.work() == []


def test_a_pair_whose_inbox_the_settings_lack_when_it_is_copied_counts_as_painted(
    tmp_path: Path,
) -> None:
    world = claiming_world(tmp_path, after="keep")
    world.drop("a")
    stopped_claim(world)
    with without_the_inbox(world):
        assert world.work() == ["a"]
    assert settle(world) == []
    assert world.states == {"a": "queued"}


@pytest.mark.parametrize("is_old", [False, True])
@pytest.mark.parametrize("after", ["archive", "keep"])
def test_what_is_left_out_with_a_claim_stays_so_if_the_settings_lack_its_inbox_when_it_ends(
    after: str, is_old: bool, tmp_path: Path
) -> None:
    world = claiming_world(tmp_path, after=after)
    world.drop("al/a")
    fill(world.inbox, "al/style.jpg", "al/a/other.jpg")
    stopped_claim(world)
    if is_old:  # its claim does not name the disks
        (claim,) = world.state.claims.glob("*/claim.json")
        values = json.loads(claim.read_text())
        claim.write_text(json.dumps({key: values[key] for key in values if key != "disks"}))
    with without_the_inbox(world):
        assert world.work() == ["al/a"]
    with replaced(atomic, digest_of=failing(AssertionError("its look is recorded"))):
        assert settle(world) == []
    (inbox, _) = world.loop.intake.inboxes
    assert inbox.notes == [
        "al/a/other.jpg is skipped: it was left out when content.jpg was claimed"
    ]


@pytest.mark.parametrize("after", ["archive", "keep"])
def test_what_is_left_out_with_a_claim_stays_so_while_the_ledger_cannot_record_it(
    after: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = claiming_world(tmp_path, after=after)
    world.drop("al/a")
    fill(world.inbox, "al/style.jpg", "al/a/other.jpg")
    full = failing(sqlite3.OperationalError("database or disk is full"))
    with monkeypatch.context() as patch:
        take = Claiming.take

        def taken(*arguments: Any) -> object:
            patch.setattr(schema, "commit", full)
            return take(*arguments)

        patch.setattr(Claiming, "take", taken)
        assert world.work() == ["al/a"]
        assert world.loop.jobs.trouble
        scan(world.loop)
    world.wait(LEDGER_RETRY_S)
    assert settle(world) == []


@pytest.mark.parametrize("after", ["archive", "keep"])
def test_what_was_left_out_stays_so_when_the_identity_of_its_disk_changes(
    after: str, tmp_path: Path
) -> None:
    world = claiming_world(tmp_path, after=after, rescan_s=0)
    fill(world.inbox, "al/style.jpg", "al/a/content.jpg", "al/a/style.jpg", "al/a/other.jpg")
    fill(world.inbox, ".stylewatch/disk")
    (world.inbox / ".stylewatch/disk").write_text("0123456789abcdef\n")
    assert world.work() == ["al/a"]
    for name in ("content.jpg", "style.jpg"):
        (world.inbox / "al/a" / name).unlink(missing_ok=True)
    renew(world.inbox / ".stylewatch/disk")  # it has another ctime, as after `chown`
    assert settle(world) == []
    (inbox, _) = world.loop.intake.inboxes
    assert inbox.notes == [
        "al/a/other.jpg is skipped: it was left out when content.jpg was claimed"
    ]
    edit(world.inbox / "al/a/other.jpg")
    assert settle(world) == ["al/a/other"]


def test_what_was_left_out_and_is_dropped_again_is_painted_also_on_a_disk_that_has_changed(
    tmp_path: Path,
) -> None:
    world = claiming_world(tmp_path, after="keep", rescan_s=0)
    fill(world.inbox, "al/style.jpg", "al/a/content.jpg", "al/a/style.jpg", "al/a/other.jpg")
    assert world.work() == ["al/a"]
    for name in ("content.jpg", "style.jpg"):
        (world.inbox / "al/a" / name).unlink()
    renew(world.inbox / ".stylewatch/disk")
    assert settle(world) == []
    other = world.inbox / "al/a/other.jpg"
    other.rename(tmp_path / "other.jpg")
    assert settle(world) == []
    (tmp_path / "other.jpg").rename(other)
    assert settle(world) == ["al/a/other"]


@pytest.fixture(params=["archive", "keep"])
def with_extra(request: pytest.FixtureRequest, tmp_path: Path) -> DaemonWorld:
    """A world in whose album a picture and a clip were left out, as their jobs were claimed."""
    world = claiming_world(tmp_path, after=request.param, rescan_s=0)
    fill(world.inbox, "al/style.jpg", "al/1.jpg", "al/1.mp4")
    fill(world.inbox, "al/a/content.jpg", "al/a/style.jpg", "al/a/extra.jpg")
    assert sorted(settle(world)) == ["al/1", "al/a"]
    return world


def at(world: DaemonWorld, path: Path) -> None:
    """Let the daemon start with the first inbox at another path in its settings."""
    own, other = world.settings.inboxes
    moved = own.model_copy(update={"path": path})
    world.settings = changed_settings(world.settings, inboxes=(moved, other))
    world.start()


def test_what_was_left_out_stays_so_when_a_folder_above_it_is_renamed(
    with_extra: DaemonWorld,
) -> None:
    world = with_extra
    for former, path in (("al", "al2"), ("al2/a", "al2/b"), ("al2", "al")):
        (world.inbox / former).rename(world.inbox / path)
        assert settle(world) == []
    beside = world.inbox.with_name("in2")
    world.inbox.rename(beside)
    at(world, beside)
    assert settle(world) == []
    beside.rename(world.inbox)
    beside.symlink_to(world.inbox)
    world.start()
    assert settle(world) == []
    assert {*world.loop.intake.inboxes[0].notes} >= {
        "al/1.mp4 is skipped: it was left out when 1.jpg was claimed",
        "al/b/extra.jpg is skipped: it was left out when content.jpg was claimed",
    }


@pytest.mark.parametrize(
    ("place", "path"),
    [
        (shutil.copy2, "al/b/extra.jpg"),
        (shutil.move, "al/extra.jpg"),
        (shutil.move, "al/b/extra.jpg"),
    ],
)
def test_what_was_left_out_is_painted_if_it_is_copied_or_moved_by_itself(
    place: Callable[[Path, Path], object], path: str, with_extra: DaemonWorld
) -> None:
    world = with_extra
    (world.inbox / "al/b").mkdir()
    place(world.inbox / "al/a/extra.jpg", world.inbox / path)
    assert settle(world) == [path.removesuffix(".jpg")]


def test_what_was_left_out_is_painted_if_it_is_moved_to_a_folder_that_was_there(
    with_extra: DaemonWorld,
) -> None:
    """No folder was renamed, though the former one is gone."""
    world = with_extra
    (world.inbox / "al/b").mkdir()
    assert settle(world) == []
    (world.inbox / "al/a/extra.jpg").rename(world.inbox / "al/b/extra.jpg")
    shutil.rmtree(world.inbox / "al/a")
    assert settle(world) == ["al/b/extra"]


@pytest.mark.parametrize("is_down", [False, True])
def test_what_was_left_out_is_new_once_it_was_gone(is_down: bool, with_extra: DaemonWorld) -> None:
    """It is dropped again into another folder, after another start."""
    world = with_extra
    shutil.copy2(world.inbox / "al/a/extra.jpg", world.root / "extra.jpg")
    if not is_down:
        shutil.rmtree(world.inbox / "al/a")
        assert settle(world) == []
    world.start()
    shutil.rmtree(world.inbox / "al/a", ignore_errors=True)
    assert settle(world) == []
    world.start()
    (world.inbox / "al/b").mkdir()
    shutil.copy2(world.root / "extra.jpg", world.inbox / "al/b")
    assert settle(world) == ["al/b/extra"]


@pytest.mark.parametrize("is_known", [True, False])
def test_a_copy_of_an_inbox_that_is_not_watched_is_painted_and_the_original_stays_left_out(
    is_known: bool, with_extra: DaemonWorld
) -> None:
    """For a while nobody can tell whether it is a copy (law 2)."""
    world, stat = with_extra, system.stat
    extra, copy = world.inbox / "al/a/extra.jpg", world.inbox.with_name("in2")

    def status(path: Any, **more: Any) -> os.stat_result:
        if path == extra:
            raise BROKEN
        return stat(path, **more)

    shutil.copytree(world.inbox, copy)
    for name in ("1.mp4", "a/content.jpg", "a/style.jpg"):
        (copy / "al" / name).unlink(missing_ok=True)
    at(world, copy)
    if not is_known and world.settings.inboxes[0].after == "archive":  # otherwise the mark tells
        with replaced(system, stat=status):
            assert settle(world) == []
        at(world, world.inbox)
        assert settle(world) == []
        at(world, copy)
    assert settle(world) == ["al/a/extra"]
    at(world, world.inbox)
    assert settle(world) == []
    assert {*world.loop.intake.inboxes[0].notes} >= {
        "al/a/extra.jpg is skipped: it was left out when content.jpg was claimed"
    }


@pytest.fixture(params=["archive", "delete"])
def kept_before(request: pytest.FixtureRequest, kept: DaemonWorld) -> DaemonWorld:
    """A world whose settings said `after: keep` when its album was painted, and now do not."""
    own, other = kept.settings.inboxes
    own = own.model_copy(update={"after": request.param})
    kept.settings = changed_settings(kept.settings, inboxes=(own, other))
    kept.start()
    return kept


def test_what_was_painted_while_it_stayed_is_not_painted_again_once_files_leave(
    kept_before: DaemonWorld,
) -> None:
    renew(kept_before.inbox / ".stylewatch/disk")  # by `chown`
    with replaced(atomic, digest_of=failing(AssertionError("its look is recorded"))):
        assert settle(kept_before) == []
    assert kept_before.loop.intake.inboxes[0].notes == [
        f"al/{n}.jpg is skipped: it was painted while `after` was `keep`, and stays; "
        "`stylewatch retry` paints it again"
        for n in (1, 2, 3)
    ]
    fill(kept_before.inbox, "al/4.jpg")
    edit(kept_before.inbox / "al/3.jpg")
    assert sorted(settle(kept_before)) == ["al/3", "al/4"]
    assert sorted(tree(kept_before.inbox / "al")) == ["1.jpg", "2.jpg", "style.jpg"]
    edit(kept_before.inbox / "al/style.jpg")
    assert sorted(settle(kept_before)) == ["al/1", "al/2"]
    assert sorted(tree(kept_before.inbox / "al")) == ["style.jpg"]


@pytest.mark.parametrize("how", ["link", "album"])
def test_what_was_painted_while_it_stayed_is_known_at_another_path_once_files_leave(
    how: str, kept: DaemonWorld
) -> None:
    """The inbox is spelled otherwise at once, or the album is renamed."""
    own, other = kept.settings.inboxes
    link = kept.inbox.with_name("link")
    link.symlink_to(kept.inbox)
    path = link if how == "link" else own.path
    own = own.model_copy(update={"after": "archive", "path": path})
    kept.settings = changed_settings(kept.settings, inboxes=(own, other))
    if how == "album":
        (kept.inbox / "al").rename(kept.inbox / "al2")
    kept.start()
    assert settle(kept) == []
    album = kept.inbox / ("al" if how == "link" else "al2")
    aside = kept.root / "2.jpg"
    (album / "2.jpg").rename(aside)
    assert settle(kept) == []
    aside.rename(album / "2.jpg")
    assert settle(kept) == [f"{album.name}/2"]


def test_what_was_painted_while_it_stayed_is_painted_again_if_it_is_dropped_once_files_leave(
    kept_before: DaemonWorld,
) -> None:
    assert settle(kept_before) == []
    aside = kept_before.root / "2.jpg"
    (kept_before.inbox / "al/2.jpg").rename(aside)
    assert settle(kept_before) == []
    aside.rename(kept_before.inbox / "al/2.jpg")
    assert settle(kept_before) == ["al/2"]
    (kept_before.inbox / "al/1.jpg").rename(aside)
    assert settle(kept_before) == []
    kept_before.start()
    aside.rename(kept_before.inbox / "al/1.jpg")
    assert settle(kept_before) == ["al/1"]
    assert sorted(tree(kept_before.inbox / "al")) == ["3.jpg", "style.jpg"]


def test_a_style_that_is_changed_and_changed_back_paints_once_with_each(kept: DaemonWorld) -> None:
    style = kept.inbox / "al/style.jpg"
    before = style.read_text()
    style.write_text("another one")
    assert sorted(settle(kept)) == ["al/1", "al/2", "al/3"]
    style.write_text(before)
    assert settle(kept) == []
    style.write_text("another one")
    assert settle(kept) == []


def test_a_file_that_changes_while_it_is_hashed_is_hashed_again(kept: DaemonWorld) -> None:
    def digest_of(file: Any, *args: Any, **more: Any) -> str:
        sha256 = real(file, *args, **more)
        if place_of(file.fileno()) == path and path.read_text().islower():
            path.write_text(path.read_text().upper())
            os.utime(path, ns=(1, 2))
        return sha256

    path, real = kept.inbox / "al/2.jpg", atomic.digest_of
    os.utime(path, ns=(1, 1))
    with replaced(atomic, digest_of=digest_of):
        assert settle(kept) == ["al/2"]


def test_a_scan_that_is_wanted_during_another_one_follows_it(
    world: DaemonWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox, _ = world.loop.intake.inboxes
    scans, real = list[bool](), inbox.scanner.scan

    def scan(claims: Sequence[Claim], step: Step) -> Scan:
        scans.append(True)
        if len(scans) == 1:
            world.drop("a")
            inbox.scan()
            inbox.scan()
        return real(claims, step)

    monkeypatch.setattr(inbox.scanner, "scan", scan)
    inbox.scan()
    for _ in range(4):
        world.loop.wakeup.wait(0)
    assert len(scans) == 2


def test_new_pictures_do_not_wait_for_a_library_that_has_to_be_hashed(
    kept: DaemonWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "HASHED", 1)
    for path in kept.inbox.rglob("*.jpg"):
        os.utime(path, ns=(1, 1))
    fill(kept.inbox, "al/a new one.jpg")
    assert kept.work() == ["al/a new one"]
    assert kept.loop.intake.kept.hash_in == HASH_EVERY_S, "at a bounded rate"


@pytest.mark.parametrize("when", ["before", "after the claim", "after the job is deleted"])
def test_the_clip_of_a_live_photo_stays_left_out_whenever_it_comes(
    when: str, world: DaemonWorld
) -> None:
    fill(world.inbox, "al/style.jpg", "al/1.jpg", *["al/1.mov"] * (when == "before"))
    assert world.work() == ["al/1"]
    if when == "after the claim":
        fill(world.inbox, "al/1.mov")
    world.loop.scan()
    world.loop.wakeup.wait(0)
    world.loop.jobs.commit()
    world.loop.jobs.ledger.delete(world.job("al/1").id)
    if when == "after the claim":
        world.wait(10 * world.settings.watch.truncated_s)
    else:
        (world.inbox / "al/1.mov").write_text("its last bytes come after that")
    assert settle(world) == []
    assert set(tree(world.inbox)) == {"al/style.jpg", "al/1.mov"}


@pytest.mark.parametrize("how", ["chown", "rename"])
def test_the_clip_of_a_live_photo_is_known_by_its_last_bytes_wherever_it_is(
    how: str, tmp_path: Path
) -> None:
    """It was left out while it was still growing; its job is deleted since."""
    world = claiming_world(tmp_path)
    fill(world.inbox, "al/style.jpg", "al/1.jpg", "al/1.mov", ".stylewatch/disk")
    (world.inbox / ".stylewatch/disk").write_text("0123456789abcdef\n")
    assert settle(world) == ["al/1"]
    (world.inbox / "al/1.mov").write_text("its last bytes come after that")
    assert settle(world) == []
    world.loop.jobs.ledger.delete(world.job("al/1").id)
    world.wait(10 * world.settings.watch.truncated_s)
    assert settle(world) == []
    if how == "chown":
        renew(world.inbox / ".stylewatch/disk")
    else:
        (world.inbox / "al").rename(world.inbox / "al2")
    assert settle(world) == []


def test_a_film_that_is_called_content_is_no_clip_of_an_earlier_picture(world: DaemonWorld) -> None:
    world.drop("a")
    assert world.work() == ["a"]
    fill(world.inbox, "a/content.mov", "a/style.jpg")
    assert world.work() == ["a"]


# -- an inbox that hangs (law 9)


def test_a_job_whose_inspection_is_blocked_is_canceled_at_once(world: DaemonWorld) -> None:
    world.drop("a")
    fill(world.inbox / "a", "job.yaml")
    world.start()
    with world.apart(), replaced(intake, resolve=failing(BROKEN)):
        world.work()
        assert (world.states, list(world.trouble)) == ({"a": "claimed"}, ["a"])
        world.ask("cancel", "a")
        run_jobs(world.loop)
        assert (world.states, world.trouble) == ({"a": "canceled"}, {})


# -- an inbox that hangs (law 9)


class Hanging(LanesNow):
    """Lanes of which that of the folder `root` hangs; its work stays open."""

    root: Path | None = None
    open: ClassVar[list[Callable[[], object]]] = []

    def do(self, root: Path, work: Any, done: Any, size: int = 0) -> None:
        if root == self.root:
            self.open.append(partial(super().do, root, work, done, size))
        else:
            super().do(root, work, done, size)


@contextmanager
def touching(folder: Path) -> Iterator[list[str]]:
    """Record the calls of the system that reach into a folder."""
    touched = list[str]()

    def recorded(name: str) -> Callable[..., Any]:
        real = getattr(system, name)

        def called(path: Any, *args: Any, **more: Any) -> Any:
            handle = more.get("dir_fd", more.get("src_dir_fd"))
            place = place_of(path) if isinstance(path, int) else Path(path)
            if handle is not None:
                place = place_of(handle) / place
            if place == folder or folder in place.parents:
                touched.append(f"{name} {place}")
            return real(path, *args, **more)

        return called

    names = ("open", "stat", "access", "scandir", "mkdir", "rename", "link", "unlink", "rmdir")
    with replaced(system, **{name: recorded(name) for name in names}):
        yield touched


def test_while_an_inbox_hangs_the_others_go_on_and_nothing_else_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worlds, "LanesNow", Hanging)
    world = claiming_world(tmp_path)
    world.executor.at_once = 1
    world.drop("a")
    denied = PermissionError(errno.EACCES, "Permission denied")
    with world.apart(), replaced(system, lease=failing(denied)), world.aging():
        world.work()
        assert world.states == {"a": "done"}, "and its originals are held until a pause is over"
        monkeypatch.setattr(Hanging, "root", world.inbox)
        monkeypatch.setattr(Hanging, "open", [])
        for name in "bc":  # also after a start
            world.drop(name, inbox="other")
            world.drop(f"{name} in the other")
            with touching(world.inbox) as touched:
                world.wait(world.settings.watch.truncated_s)
                world.work(again=True)
                assert world.states[name] == "done"
                world.start()
            assert touched == []
        monkeypatch.setattr(Hanging, "root", None)
        for call in Hanging.open:
            call()
        for _ in range(3):
            world.wait(world.settings.watch.truncated_s)
            world.work(again=True)
    assert world.states == dict.fromkeys(
        ["a", "b", "c", "b in the other", "c in the other"], "done"
    )
    assert (world.left, tree(world.root / "other"), [*world.inbox.iterdir()]) == ([], {}, [])


def test_pairs_are_claimed_once_no_job_waits_for_the_obstacle(world: DaemonWorld) -> None:
    world.executor.at_once = 1
    vars(world.executor)["submit"] = failing(ShortageError("out of file descriptors"))
    run_jobs(world.started("a"))
    world.drop("b")
    assert (world.work(), list(world.trouble)) == ([], ["a"])
    world.ask("cancel", "a")
    run_jobs(world.loop)
    world.wait(2 * PAUSE.most)
    world.work()
    assert world.states == {"a": "canceled", "b": "queued"}


def test_a_claim_that_had_not_begun_waits_for_no_group_of_another_time(world: DaemonWorld) -> None:
    """It is in the ledger alone, and a folder of claims cannot be read at the start."""
    world.drop("a")
    with replaced(Claiming, take=failing(BROKEN)):
        world.work()
    (job,) = world.jobs
    unread = world.state.claims / "20200101T000000.000000-abcdef"
    (unread / "files").mkdir(parents=True)
    real = entries.exists

    def exists(path: Path) -> bool:
        if unread in path.parents:
            raise BROKEN
        return real(path)

    with replaced(entries, exists=exists):
        world.start()
        world.work(again=True)
    assert world.states == {"a": "queued"} and world.jobs[0].id != job.id
