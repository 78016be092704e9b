"""Favorites stay, whatever becomes of the ledger; deleted jobs stay in the trash for a while."""

from pathlib import Path

import pytest
from tests.daemon.app.test_commands import NEW
from tests.daemon.faults import failing, fill, mounts, replaced, tree
from tests.daemon.jobs.test_upkeep import Kept
from tests.daemon.world import DaemonWorld, done, run_jobs
from tests.e2e.changes import Painter

from stylewatch_daemon.base.errors import LedgerError
from stylewatch_daemon.client import status_json
from stylewatch_daemon.files import entries
from stylewatch_daemon.jobs.waits import PAUSE
from stylewatch_daemon.ledger import favorites, requests
from stylewatch_daemon.ledger.ledger import reading
from stylewatch_daemon.ledger.writer import LedgerWriter


def ended(root: Path, *names: str) -> DaemonWorld:
    """Return a world with finals, in which pairs are done, and `bad` is refused."""
    world = DaemonWorld(root, has_finals=True)
    world.executor, world.inspector.says = Painter(), {"bad": "no picture"}
    world.drop(*names)
    world.run()
    return world


def asked(world: DaemonWorld, *asks: tuple[str, str]) -> None:
    """Let people ask, for jobs with these ids, and the daemon act."""
    for verb, job in asks:
        world.ask(verb, job=job)
    run_jobs(world.loop)
    assert requests.waiting(world.state.root) == []


def whole(world: DaemonWorld) -> list[object]:
    """Return all that people see of the jobs, and what the ledger knows of them."""
    with reading(world.state.ledger) as ledger:
        records = [ledger.record(job) for job in world.jobs]
    return [world.published, tree(world.finals or world.outbox), records]


@pytest.mark.parametrize("is_apart", [False, True])
def test_a_deleted_job_is_restored_as_it_was_with_what_others_put_there(
    is_apart: bool, tmp_path: Path
) -> None:
    world = ended(tmp_path, "al/a", "bad")
    before, ids = whole(world), [job.id for job in world.jobs]
    with mounts(*([world.outbox / ".stylewatch"] if is_apart else [])):
        asked(world, *(("delete", job) for job in ids))
        assert (world.published, world.jobs, world.left) == ({}, [], [])
        assert tree(tmp_path / "finals") == {}
        trash = status_json.read(world.state.root)["trash"]
        files = [path for path in (world.outbox / ".stylewatch/trash").rglob("*") if path.is_file()]
        assert trash == {"jobs": 2, "bytes": sum(path.stat().st_size for path in files)}
        assert all(path.stat().st_mode & 0o444 == 0o444 for path in files)
        world.start()
        asked(world, *(("restore", job) for job in ids))
    assert whole(world) == before
    assert not any((world.outbox / ".stylewatch").glob("trash"))
    asked(world, ("restore", ids[0]), ("purge", ids[0]))
    assert whole(world) == before, "it is not in the trash"


def test_a_job_is_restored_under_a_free_name_once_its_disk_allows_that(tmp_path: Path) -> None:
    world = ended(tmp_path, "a")
    job, files = world.job("a").id, world.published
    asked(world, ("delete", job))
    fill(world.outbox, "a/mine.txt")
    full = failing(OSError(28, "No space left on device"))
    with replaced(entries, rename=full):
        world.ask("restore", job=job)
        run_jobs(world.loop)
    assert world.jobs == [] and "No space left" in str(world.trouble)
    other = f"a-{job[-6:]}"
    forget = failing(LedgerError("it is full"))
    with replaced(LedgerWriter, put_parts=forget):  # the files are back, and the job is not
        world.wait(2 * PAUSE.most)
        run_jobs(world.loop)
    assert world.jobs == []
    world.wait(2 * PAUSE.most)
    run_jobs(world.start())
    back = {path.replace("a", other, 1): text for path, text in files.items()}
    assert world.published == back | {"a/mine.txt": "a/mine.txt"}
    (record,) = world.jobs
    assert (record.place, record.inputs[0].published) == (other, f"{other}/inputs/content.jpg")
    asked(world, ("delete", job))
    assert world.published == {"a/mine.txt": "a/mine.txt"}


def test_the_trash_is_emptied_by_people_and_after_its_days_but_for_what_was_changed(
    tmp_path: Path,
) -> None:
    world = Kept(tmp_path, {"trash": 5})
    jobs = {name: world.job(name).id for name in ("old", "new")}
    world.start()
    asked(world, *(("delete", job) for job in jobs.values()))
    trash = world.outbox / ".stylewatch/trash"
    (trash / jobs["old"] / "old/final.png").write_text("changed")
    asked(world, ("purge", jobs["new"]))
    assert [*trash.iterdir()] == [trash / jobs["old"]]
    world.go_on(4)
    assert (trash / jobs["old"] / "old/receipt.json").exists()
    world.go_on(3)
    left = [path for path in trash.rglob("*") if path.is_file()]
    assert [path.read_text() for path in left] == ["changed"]
    with reading(world.state.ledger) as ledger:
        assert ledger.trash_size() == (0, 0)


def test_favorites_outlive_retention_and_a_lost_ledger_until_they_are_deleted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = Kept(tmp_path, {"stages": 1, "inputs": 1, "ledger": 1})
    old = world.job("old").id
    world.start()
    world.ask("favorite", job=old, on=True)
    world.ask("favorite", job=NEW, on=True)
    run_jobs(world.loop)
    assert f"there is no job {NEW} with a picture" in caplog.text
    with reading(world.state.ledger) as ledger:
        record = ledger.record(world.job("old"))
    world.go_on(9)
    kept = done("old") | {name: text for name, text in done("new").items()
                          if "/stages/" not in name and "/inputs/" not in name}  # fmt: skip
    assert (world.states, world.published) == ({"old": "done"}, kept)
    world.close()
    for path in world.state.root.glob("ledger.sqlite3*"):
        path.unlink()
    (world.state.favorites / f"{NEW}.json").write_text("{")
    run_jobs(world.start())
    with reading(world.state.ledger) as ledger:
        assert ledger.record(world.job("old")) == record
    assert f"{NEW}.json is damaged" in caplog.text
    asked(world, ("delete", old))
    assert (world.jobs, favorites.marked(world.state.root)) == ([], {NEW})
    asked(world, ("restore", old))
    world.ask("favorite", job=old, on=True)
    world.ask("favorite", job=old, on=False)
    run_jobs(world.loop)
    assert favorites.marked(world.state.root) == {NEW}
