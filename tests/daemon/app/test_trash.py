"""The trash, from which jobs are restored or deleted for good; favorites, which stay."""

import json
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytest
from tests.daemon.app.test_commands import NEW
from tests.daemon.faults import failing, fill, replaced
from tests.daemon.jobs.test_upkeep import Kept
from tests.daemon.world import DaemonWorld, done, run_jobs, step

from stylewatch_daemon.app.commands import Commands
from stylewatch_daemon.base.errors import LedgerError, OutputError, StateError
from stylewatch_daemon.base.model import End, Job, State
from stylewatch_daemon.client import operations, status_json
from stylewatch_daemon.files import disks
from stylewatch_daemon.jobs import upkeep
from stylewatch_daemon.jobs.wall_clock import DAY
from stylewatch_daemon.ledger import favorites, requests
from stylewatch_daemon.ledger.ledger import EXPIRE, Search, reading
from stylewatch_daemon.ledger.writer import LedgerWriter
from stylewatch_daemon.outbox import inputs, removal

TRASH = Search(in_trash=True)
FAVORITE: Literal["favorite"] = "favorite"
UNFAVORITE: Literal["unfavorite"] = "unfavorite"


def ask(world: DaemonWorld, verb: str, *names: str) -> None:
    """Let a person ask, for jobs with these names, and the daemon act."""
    for name in names:
        world.ask(verb, name)
    run_jobs(world.loop)
    assert requests.waiting(world.state.root) == []


def lists(world: DaemonWorld) -> tuple[list[str], list[str]]:
    """The jobs that the gallery shows, and those in its trash."""
    with reading(world.state.ledger) as ledger:
        both = ledger.ended([*End], 9), ledger.ended([*End], 9, TRASH)
        assert sum(ledger.ended_counts().values()) == sum(ledger.counts().values()) == len(both[0])
    kept, trashed = [sorted(job.name for job in jobs) for jobs in both]
    return kept, trashed


def test_a_job_in_the_trash_is_hidden_everywhere_and_restored_as_it_was(tmp_path: Path) -> None:
    world = DaemonWorld(tmp_path)
    world.inspector.says = {"bad": "no picture"}
    world.drop("a", "bad")
    world.run()
    files, jobs = world.published, world.jobs
    ask(world, "trash", "a", "bad")
    ask(world, "trash", "a")
    assert lists(world) == ([], ["a", "bad"])
    assert world.published == files, "its files stay where they are"
    status = status_json.read(world.state.root)
    size = sum(len(text.encode()) for text in files.values())
    assert (status["trash"], status["refused"]) == ({"jobs": 2, "bytes": size}, [])
    assert f"Trash:\n  2 jobs, {size} bytes" in (world.outbox / "_status.txt").read_text()
    for verb in ("trash", "retry", "dismiss", "favorite"):
        with pytest.raises(StateError, match="in the trash"):
            operations.check(verb, world.job("bad"))
    world.start()
    ask(world, "restore", "a", "bad")
    assert (world.published, world.jobs, lists(world)) == (files, jobs, (["a", "bad"], []))
    with pytest.raises(StateError, match="not in the trash"):
        operations.check("restore", world.job("a"))


def test_the_trash_is_emptied_of_what_was_there_for_its_days_without_a_break(
    tmp_path: Path,
) -> None:
    world = Kept(tmp_path, {"trash": 5, "ledger": 1})
    world.start()
    ask(world, "trash", "old", "new")
    world.go_on(3)
    assert lists(world) == ([], ["new", "old"]), "the ledger does not forget them before"
    ask(world, "restore", "new")
    ask(world, "trash", "new")
    world.go_on(4)
    assert (world.published, lists(world)) == (done("new"), ([], ["new"]))
    world.set_retention(trash="keep", ledger="keep")
    world.start()
    world.go_on(9)
    ask(world, "restore", "new")
    world.set_retention(trash=0)
    world.start()
    world.go_on(3)
    assert (world.published, lists(world)) == (done("new"), (["new"], []))


def test_a_job_is_restored_while_its_deletion_waits_but_not_once_that_has_begun(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = DaemonWorld(tmp_path)
    world.drop("a", "b")
    world.run()
    ask(world, "trash", "a", "b")
    aside = world.outbox.rename(tmp_path / "away")
    world.ask("delete", "a")
    run_jobs(world.loop)
    world.ask("restore", "a")
    run_jobs(world.loop)
    aside.rename(world.outbox)
    world.wait(999)
    run_jobs(world.loop)
    assert (lists(world), world.published) == ((["a"], ["b"]), done("a", "b"))
    world.ask("delete", "b")
    step(world.loop)
    world.loop.commands.act()
    world.ask("restore", "b")
    run_jobs(world.loop)
    assert (lists(world), world.published) == ((["a"], []), done("a"))
    assert "it was deleted for good" in caplog.text


@pytest.mark.parametrize("has_answered", [False, True])
@pytest.mark.parametrize("is_refused", [False, True])
@pytest.mark.parametrize("wish", ["restore", "cancel"])
@pytest.mark.parametrize("verb", ["delete", EXPIRE])
def test_a_wish_to_keep_a_job_counts_until_the_first_file_is_removed_though_its_disk_is_slow(
    verb: str, wish: str, is_refused: bool, has_answered: bool, tmp_path: Path
) -> None:
    world = Kept(tmp_path, {"trash": 5})
    loop = world.start()
    ask(world, "trash", "old")
    world.go_on(5)
    world.wait(DAY + 9)
    loop.scan() if verb == EXPIRE else world.ask(verb, "old")
    refused = {"check_access": failing(PermissionError(13, "Permission denied"))}
    with replaced(disks, **refused if is_refused else {}):
        loop.commands.act()
    if has_answered:
        loop.wakeup.wait(0)
    world.ask(wish, "old")
    run_jobs(loop)
    assert (world.published, lists(world)) == (done("old", "new"), (["new", "old"], []))
    assert (loop.blocked, requests.waiting(world.state.root)) == ({}, [])


def expired(root: Path, **retention: int) -> Kept:
    """A world whose jobs were in the trash for their five days, and whose outbox is away."""
    world = Kept(root, {"trash": 5, **retention})
    world.start()
    ask(world, "trash", "old", "new")
    world.go_on(4)
    world.outbox.rename(root / "away")
    world.go_on(4)
    assert (requests.waiting(world.state.root), world.loop.blocked) == ([], {})
    return world


def come_back(world: Kept, root: Path) -> None:
    """Let the outbox be there again, and all that waits for it be done."""
    (root / "away").rename(world.outbox)
    world.wait(999)
    run_jobs(world.loop)
    assert requests.waiting(world.state.root) == []


def test_the_trash_of_a_disk_that_is_away_keeps_nobody_waiting_and_is_emptied_later(
    tmp_path: Path,
) -> None:
    world = expired(tmp_path)
    ((what, reason),) = world.record.of("waits")
    assert what == "retention" and f"the folder {world.outbox} is not there" in reason
    come_back(world, tmp_path)
    assert (world.published, lists(world)) == (done("old", "new"), ([], ["new", "old"]))
    world.go_on(1)
    assert (world.published, lists(world)) == ({}, ([], []))


def test_a_deletion_whose_reason_has_gone_before_it_began_does_not_happen(tmp_path: Path) -> None:
    world = expired(tmp_path)
    come_back(world, tmp_path)
    world.wait(DAY + 9)
    world.loop.scan()
    assert {request.verb for request in requests.waiting(world.state.root)} == {EXPIRE}
    world.set_retention(trash="keep")
    run_jobs(world.start())
    assert (world.published, lists(world)) == (done("old", "new"), ([], ["new", "old"]))


def test_a_deletion_that_waits_is_given_up_for_good_by_cancel(tmp_path: Path) -> None:
    world = expired(tmp_path)
    world.ask("delete", "old")
    run_jobs(world.loop)
    assert operations.ask("cancel", world.state.root, world.job("old"))
    run_jobs(world.loop)
    come_back(world, tmp_path)
    world.go_on(3)
    assert (world.published, lists(world)) == (done("old"), (["old"], [])), "the other one is gone"


def test_a_wish_to_restore_counts_though_the_deletion_was_requested_before(
    tmp_path: Path,
) -> None:
    world = expired(tmp_path)
    come_back(world, tmp_path)
    world.wait(DAY + 9)
    world.loop.scan()
    world.ask("restore", "old")
    run_jobs(world.loop)
    assert (world.published, lists(world)) == (done("old"), (["old"], []))


def test_a_restored_job_outlives_the_upkeep_of_the_same_moment_and_ages_anew(
    tmp_path: Path,
) -> None:
    world = Kept(tmp_path, {"trash": 5})
    world.start()
    ask(world, "trash", "old", "new")
    world.go_on(5)
    world.wait(DAY + 9)
    world.ask("restore", "old")
    world.loop.scan()
    run_jobs(world.loop)
    assert (world.published, lists(world)) == (done("old"), (["old"], []))
    world.set_retention(trash=5, ledger=3)
    world.start()
    world.go_on(2)
    assert lists(world) == (["old"], []), "it is as if it had just ended"


def test_what_a_deletion_has_begun_is_neither_restored_nor_given_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = DaemonWorld(tmp_path)
    world.drop("a")
    world.run()
    ask(world, "trash", "a")
    job = world.job("a")
    with replaced(inputs, remove_all=failing(OSError(5, "Input/output error"))):
        world.ask("delete", "a")
        run_jobs(world.loop)
    for verb in ("cancel", "restore"):
        with pytest.raises(StateError, match="its deletion has begun"):
            operations.ask(verb, world.state.root, job)
    for verb in ("cancel", "restore"):  # the page asked just before
        caplog.clear()
        world.ask(verb, "a")
        run_jobs(world.loop)
        assert "its deletion has begun" in caplog.text
    world.wait(999)
    run_jobs(world.loop)
    assert (world.jobs, world.published) == ([], {})


def test_a_favorite_of_the_same_moment_does_not_take_its_job_out_of_the_trash(
    tmp_path: Path,
) -> None:
    world = DaemonWorld(tmp_path)
    world.drop("a")
    world.run()
    for verb in ("trash", "favorite"):
        world.ask(verb, "a")
    run_jobs(world.loop)
    world.start()
    run_jobs(world.loop)
    assert (lists(world), requests.waiting(world.state.root)) == (([], ["a"]), [])


def test_a_deletion_that_waits_ends_once_another_has_deleted_the_job(tmp_path: Path) -> None:
    world = DaemonWorld(tmp_path)
    world.drop("a")
    world.run()
    job = world.job("a")
    with replaced(inputs, remove_all=failing(OSError(5, "Input/output error"))):
        requests.leave(world.state.root, "delete", job=job.id)
        run_jobs(world.loop)
    requests.leave(world.state.root, "delete", job=job.id)
    run_jobs(world.loop)
    assert (world.jobs, world.trouble, requests.waiting(world.state.root)) == ([], {}, [])


def test_jobs_that_cannot_be_deleted_keep_no_others_in_the_trash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "EXPIRED_AT_ONCE", 1)
    look = Commands._look

    def looked(commands: Commands, job: Job, *where: Any) -> None:
        if job.name == "old":
            raise OutputError("its folder is away")
        look(commands, job, *where)

    monkeypatch.setattr(Commands, "_look", looked)
    world = Kept(tmp_path, {"trash": 5})
    world.start()
    ask(world, "trash", "old", "new")
    world.go_on(8)
    assert (world.published, lists(world)) == (done("old"), ([], ["old"]))


def test_a_job_whose_deletion_waits_is_not_restored_by_another_mark(tmp_path: Path) -> None:
    world = expired(tmp_path)
    world.ask("delete", "old")
    run_jobs(world.loop)
    assert requests.waiting(world.state.root)
    for verb in ("trash", "favorite"):
        with pytest.raises(StateError, match="its deletion waits: give it up first"):
            operations.ask(verb, world.state.root, world.job("old"))


def test_a_deletion_does_not_begin_where_nothing_can_be_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = DaemonWorld(tmp_path)
    world.drop("a")
    world.run()
    ask(world, "trash", "a")
    monkeypatch.setattr(disks, "check_access", failing(PermissionError(13, "Permission denied")))
    world.ask("delete", "a")
    run_jobs(world.loop)
    ask(world, "restore", "a")
    assert (world.published, lists(world)) == (done("a"), (["a"], []))


def test_favorites_outlive_retention_and_a_lost_ledger_until_they_are_deleted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = Kept(tmp_path, {"stages": 1, "inputs": 1, "ledger": 1})
    world.start()
    world.ask("favorite", job=NEW)
    ask(world, "favorite", "old")
    assert f"there is no job {NEW} with a picture" in caplog.text
    old = world.job("old")
    with reading(world.state.ledger) as ledger:
        record = ledger.files(old.id), ledger.attempts(old.id)
    world.go_on(9)
    kept = done("old") | {name: text for name, text in done("new").items()
                          if "/stages/" not in name and "/inputs/" not in name}  # fmt: skip
    assert (world.states, world.published) == ({"old": "done"}, kept)
    world.set_retention(stages="keep", inputs="keep")
    world.start()
    world.go_on(3)
    assert world.states == {"old": "done"}
    world.close()
    for path in world.state.root.glob("ledger.sqlite3*"):
        path.unlink()
    (world.state.favorites / f"{NEW}.json").write_text("{")
    run_jobs(world.start())
    assert f"{NEW}.json is damaged" in caplog.text
    with reading(world.state.ledger) as ledger:
        assert (world.job("old"), (ledger.files(old.id), ledger.attempts(old.id))) == (old, record)
        assert ledger.count_kept(favorites.marked(world.state.root)) == 1


@pytest.mark.parametrize("state", [state for state in State if state is not State.ENDED])
def test_a_favorite_is_regained_that_an_old_copy_of_the_ledger_has_as_running(
    state: State, tmp_path: Path
) -> None:
    world = DaemonWorld(tmp_path)
    world.drop("a")
    world.run()
    ask(world, "favorite", "a")
    files, jobs = world.published, world.jobs
    world.close()
    old = replace(jobs[0], state=state, end=End.DONE if state is State.ENDING else None)
    with closing(LedgerWriter.open(world.state.ledger)) as ledger:
        ledger.put(old)
        ledger.drop_files(old.id, (file.path for file in ledger.files(old.id)))
    run_jobs(world.start())
    assert (world.published, world.jobs) == (files, jobs)
    world.ask("delete", "a")
    run_jobs(world.loop)
    assert (world.published, world.jobs) == ({}, [])


@pytest.mark.parametrize("is_of_an_earlier_version", [False, True])
def test_a_favorite_whose_pictures_stay_is_not_painted_again_after_the_ledger_was_lost(
    tmp_path: Path, is_of_an_earlier_version: bool
) -> None:
    world = DaemonWorld(tmp_path, "keep")
    world.drop("a", "b")
    fill(world.inbox, "a/style-2.jpg", "a/content.mask.png")
    (world.inbox / "a/job.yaml").write_text("steps: 3\n")
    world.run()
    ask(world, "favorite", "a")
    if is_of_an_earlier_version:
        mark = world.state.favorites / f"{world.job('a').id}.json"
        content = json.loads(mark.read_text())
        former = {name: content[name] for name in ("job", "files", "attempts")}
        mark.write_text(json.dumps(former))
        world.start()
    with replaced(favorites, mark=failing(OSError(28, "No space left on device"))):
        world.start()
    assert world.record.of("waits") == [], "the mark is as it was"
    world.close()
    for path in world.state.root.glob("ledger.sqlite3*"):
        path.unlink()
    world.start()
    assert world.work() == ["b"]
    assert [job.name for job in world.jobs] == ["a", "b"]
    (world.inbox / "a/job.yaml").write_text("steps: 40\n")
    assert world.work() == ["a"], "that is another job"


def test_retention_waits_for_the_mark_that_was_asked_for_before_the_start(tmp_path: Path) -> None:
    world = Kept(tmp_path, {"stages": 5})
    world.close()
    world.ask("favorite", "old")
    world.keep()
    assert world.published == done("old", "new")
    assert favorites.marked(world.state.root) == {world.job("old").id}


def test_a_mark_counts_that_was_set_while_retention_looked_for_marks(tmp_path: Path) -> None:
    world = Kept(tmp_path, {"ledger": 5})
    loop = world.start()
    loop.scan()  # the results of the lanes are yet to come
    world.ask("favorite", "old")
    loop.commands.act()
    run_jobs(loop)
    assert world.states == {"old": "done", "new": "done"}


@pytest.mark.parametrize(("slow", "left"), [("remove", {"1.png", "2.png"}), ("_remove", {"2.png"})])
def test_a_mark_counts_that_was_set_while_the_disk_of_the_stages_was_slow(
    slow: str, left: set[str], tmp_path: Path
) -> None:
    world = Kept(tmp_path, {"stages": 5})
    loop = world.start()
    real = getattr(removal, slow)

    def slowly(*arguments: Any, **more: Any) -> Any:
        result = real(*arguments, **more) if slow == "_remove" else None
        world.ask("favorite", "old")
        loop.commands.act()
        return real(*arguments, **more) if slow == "remove" else result

    with replaced(removal, **{slow: slowly}):
        loop.scan()
        run_jobs(loop)
    stages = {name for name in world.published if name.startswith("old/stages/")}
    assert stages == {f"old/stages/{name}" for name in left}
    assert {name for name in world.listed("old") if "/stages/" in name} == stages


def test_a_mark_stays_in_the_trash_and_goes_with_the_job(tmp_path: Path) -> None:
    world = DaemonWorld(tmp_path)
    world.drop("a")
    world.run()
    job = world.job("a").id
    ask(world, "favorite", "a")
    ask(world, "unfavorite", "a")
    assert not favorites.marked(world.state.root)
    for verb in ("favorite", "trash", "restore"):
        ask(world, verb, "a")
    assert favorites.marked(world.state.root) == {job}
    ask(world, "delete", "a")
    run_jobs(world.start())
    assert (world.jobs, favorites.marked(world.state.root)) == ([], set())


def test_of_two_requests_that_undo_each_other_the_later_one_counts(tmp_path: Path) -> None:
    world = DaemonWorld(tmp_path)
    world.drop("a", "b")
    world.run()
    job = world.job("a")
    verbs = (FAVORITE, FAVORITE, UNFAVORITE, FAVORITE, UNFAVORITE, FAVORITE)
    ids = [operations.ask(verb, world.state.root, job) for verb in verbs]
    assert ids[0] == ids[1] and len({*ids}) == 5
    run_jobs(world.loop)
    assert favorites.marked(world.state.root) == {job.id}
    with replaced(favorites, mark=failing(OSError(30, "Read-only file system"))):
        for verb in (UNFAVORITE, FAVORITE, UNFAVORITE):
            world.ask(verb, "a")
            run_jobs(world.loop)
    world.wait(999)
    run_jobs(world.loop)
    assert favorites.marked(world.state.root) == set(), "the one that waited came before"
    ask(world, FAVORITE, "a")
    both = world.jobs
    spared = partial(operations.without_favorites, world.state.root)
    assert spared(both, are_several=True) == (both[1:], both[:1])
    assert spared(both[:1], are_several=True) == ([], both[:1]), "the other one has gone meanwhile"
    assert spared(both[:1], are_several=False) == (both[:1], [])
    world.ask(UNFAVORITE, "a")
    world.ask(FAVORITE, "b")
    assert spared(both, are_several=True) == (both[:1], both[1:]), "the daemon is slow"


def copied(world: DaemonWorld) -> dict[Path, bytes]:
    """The files of the ledger, as they are now."""
    world.close()
    files = {path: path.read_bytes() for path in world.state.root.glob("ledger.sqlite3*")}
    world.start()
    return files


def put_back(world: DaemonWorld, copy: dict[Path, bytes]) -> None:
    """Restore an old copy of the ledger as an administrator would, and start the daemon."""
    world.close()
    for path in world.state.root.glob("ledger.sqlite3*"):
        path.unlink()
    for path, content in copy.items():
        path.write_bytes(content)
    world.start()


@pytest.mark.parametrize("is_in_trash", [True, False])
def test_an_old_copy_of_the_ledger_does_not_move_a_favorite_into_the_trash_or_out_of_it(
    tmp_path: Path, is_in_trash: bool
) -> None:
    world = Kept(tmp_path, {"trash": 5})
    world.start()
    if is_in_trash:
        ask(world, FAVORITE, "old")
    else:
        ask(world, "trash", "old")
        world.go_on(1)
    copy = copied(world)
    for verb in ("trash",) if is_in_trash else ("restore", FAVORITE):
        ask(world, verb, "old")
    now = lists(world)
    for _ in range(2):
        put_back(world, copy)
        assert lists(world) == now == ((["new"], ["old"]) if is_in_trash else (["new", "old"], []))
    world.start()
    assert lists(world) == now
    world.go_on(4)
    ask(world, "trash", "old")
    world.go_on(3)
    kept = done("new") if is_in_trash else done("old", "new")
    assert world.published == kept, "its days in the trash begin anew"


@pytest.mark.parametrize("verb", ["delete", "trash", UNFAVORITE, EXPIRE])
def test_requests_in_an_old_copy_of_the_ledger_do_nothing_to_a_job_marked_since(
    verb: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = DaemonWorld(tmp_path)
    world.drop("a")
    world.run()
    ask(world, "trash", "a")
    more = {"at": 9 * DAY * 365} if verb == EXPIRE else {}
    world.ask(verb, "a", **more)
    copy = copied(world)
    with closing(LedgerWriter.open(world.state.ledger)) as ledger:
        (waiting,) = ledger.requests()
        ledger.remove_request(waiting.id)  # somebody gave it up
    for later in ("restore", FAVORITE):
        ask(world, later, "a")
    files, jobs = world.published, world.jobs
    put_back(world, copy)
    run_jobs(world.loop)
    assert (world.published, world.jobs, lists(world)) == (files, jobs, (["a"], []))
    assert favorites.marked(world.state.root) == {jobs[0].id}
    assert f"a request to {verb} a is dropped" in caplog.text
    with replaced(requests, now=lambda: "9999"):
        world.ask("delete", "a")
    run_jobs(world.start())
    assert (world.published, world.jobs) == ({}, []), "this one is new, and may have the id of one"


def test_a_deletion_that_was_given_up_is_not_in_an_old_copy_of_the_ledger_either(
    tmp_path: Path,
) -> None:
    world = DaemonWorld(tmp_path)
    world.drop("a")
    world.run()
    ask(world, FAVORITE, "a")
    away = world.outbox.rename(tmp_path / "away")
    world.ask("delete", "a")
    run_jobs(world.loop)
    copy = copied(world)
    ask(world, "cancel", "a")
    away.rename(world.outbox)
    put_back(world, copy)
    run_jobs(world.loop)
    assert (world.published, lists(world)) == (done("a"), (["a"], []))


@pytest.mark.parametrize("verb", ["trash", "restore"])
def test_a_favorite_is_moved_though_its_mark_was_written_before_a_kill(
    verb: str, tmp_path: Path
) -> None:
    world = DaemonWorld(tmp_path)
    world.drop("a")
    world.run()
    for earlier in (FAVORITE, *(["trash"] if verb == "restore" else [])):
        ask(world, earlier, "a")
    world.ask(verb, "a")
    copy = copied(world)
    run_jobs(world.loop)
    now = lists(world)
    put_back(world, copy)
    run_jobs(world.loop)
    assert lists(world) == now
    assert requests.waiting(world.state.root) == []
    run_jobs(world.start())
    assert lists(world) == now


def test_a_favorite_that_an_earlier_version_marked_stays_in_the_trash(tmp_path: Path) -> None:
    world = DaemonWorld(tmp_path)
    world.drop("a")
    world.run()
    ask(world, FAVORITE, "a")
    mark = world.state.favorites / f"{world.job('a').id}.json"
    former = {**json.loads(mark.read_text()), "request": None}
    copy = copied(world)
    ask(world, "trash", "a")
    mark.write_text(json.dumps(former))
    world.start()
    assert lists(world) == ([], ["a"])
    put_back(world, copy)
    assert lists(world) == ([], ["a"]), "its mark follows it since the start"


def test_no_daemon_starts_that_cannot_drop_requests_of_an_old_copy_of_the_ledger(
    tmp_path: Path,
) -> None:
    world = DaemonWorld(tmp_path)
    world.drop("a")
    world.run()
    world.ask("delete", "a")
    copy = copied(world)
    with closing(LedgerWriter.open(world.state.ledger)) as ledger:
        ledger.remove_request(ledger.requests()[0].id)
    ask(world, FAVORITE, "a")
    full = failing(LedgerError("the disk is full"))
    with replaced(LedgerWriter, remove_request=full), pytest.raises(LedgerError):
        put_back(world, copy)
    run_jobs(world.start())
    assert world.states == {"a": "done"}


def test_a_mark_that_was_written_just_before_a_kill_drops_no_request_before_it(
    tmp_path: Path,
) -> None:
    world = DaemonWorld(tmp_path)
    world.drop("a", "b")
    world.run()
    world.ask("trash", "b")
    world.ask(FAVORITE, "a")
    with replaced(LedgerWriter, put=failing(LedgerError("it is killed here"))):
        world.loop.commands.act()
    assert favorites.marked(world.state.root) and len(requests.waiting(world.state.root)) == 2
    run_jobs(world.start())
    assert lists(world) == (["a"], ["b"])


def test_a_favorite_moves_into_the_trash_once_its_mark_can_be_written(tmp_path: Path) -> None:
    world = DaemonWorld(tmp_path)
    world.drop("a")
    world.run()
    ask(world, FAVORITE, "a")
    world.ask("trash", "a")
    world.drop("b")
    with replaced(favorites, mark=failing(OSError(24, "Too many open files"))):
        world.work()
    assert lists(world) == (["a", "b"], []), "nothing else waits for the mark"
    assert requests.waiting(world.state.root) and not world.loop.jobs.trouble
    world.wait(999)
    run_jobs(world.loop)
    assert (lists(world), requests.waiting(world.state.root)) == ((["b"], ["a"]), [])
