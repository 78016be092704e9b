"""A daemon of the first version, killed at bad moments, is continued: nothing lost, nothing twice.

`make.py` made the archive by running that version.
"""

import os
import shutil
import sqlite3
import tarfile
from collections.abc import Callable, Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.faults import KILL, Fault, in_fork, place_of, replaced
from tests.daemon.world import DaemonWorld, FakeExecutor, changed_settings, make_inbox, stage
from tests.e2e.daemon import Daemon
from tests.upgrade.make import ARCHIVE, PLACE, WORLDS

from stylewatch_daemon.base.errors import DamagedError
from stylewatch_daemon.base.model import Started
from stylewatch_daemon.files.system import system
from stylewatch_daemon.ledger.schema import VERSIONS, upgrade
from stylewatch_daemon.worker.messages import AttemptRequest, Done, Event, Order

ENDS = {name: {"before": "done", "pair": "done", "job": "done"} for name in WORLDS}
ENDS["refusing"]["job"] = "refused"
ENDS["house"] = {
    **dict.fromkeys(("album/1", "album/2", "album/3", "done", "pair", "running", "queued"), "done"),
    **{end: end for end in ("refused", "failed", "canceled")},
    "asked": "canceled",
}
"""How each job ends, by world. In `house` the jobs `gone` and `expired` were forgotten."""

PAINTED: dict[str, list[str]] = {name: ["job"] for name in WORLDS}
PAINTED |= {"house": ["queued", "running"], "ending": [], "refusing": []}
"""The jobs that are painted after the upgrade."""

COPIED = {"job/content.ppm", "job/style.ppm"}
STAY = {"house": {"album/style.ppm", "album/3.mp4"}, "moved": COPIED, "copied": COPIED}
"""What may stay in the inbox `in`: an album's style, the clip of a live photo, and originals of
which the first version did not note why they may be removed."""

KILLS = 1 << 20 if "STYLEWATCH_EVERY_CHANGE" in os.environ else 5
"""Number of changes at which each world is killed."""


class Continuing(FakeExecutor):
    """Makes a final picture and a receipt; begins after step 4 if there is a checkpoint."""

    def paint(self, order: Order, wanted: Callable[[], AttemptRequest]) -> Iterator[Event]:
        self.orders.append(order)
        assert order.checkpoint is not None
        first = 4 if order.checkpoint.exists() else 0
        self.started_at.append(first)
        yield Started("fake", "cpu", ((16, 16),), (6,), step=first)
        yield stage(order, "final.png", 6)
        yield stage(order, "receipt.json", 6)
        digest = sha256(order.main.read_bytes()).hexdigest()
        content = {"name": order.main.name, "size": [16, 16], "sha256": digest}
        yield Done({"job": order.name, "inputs": [content]})


class Unpacked(DaemonWorld):
    """A world of the archive, and the present daemon."""

    def __init__(self, folder: Path, name: str) -> None:
        with tarfile.open(ARCHIVE) as archive:
            members = [each for each in archive if each.name.split("/")[0] == name]
            # Python asks for a filter since 3.11.4, and takes none as an argument before
            archive.extraction_filter = lambda member, path: member
            archive.extractall(folder, members)
        super().__init__(folder / name)
        self.name, self.executor = name, Continuing()
        inboxes = (
            make_inbox(self.root / "in", self.outbox),
            make_inbox(self.root / "keep", self.outbox, "keep"),
        )
        self.settings = changed_settings(self.settings, inboxes=inboxes)
        self._relocate()
        self.dropped, self.kept = self.pictures(), files(self.root / "keep")
        self.old = files(self.outbox)

    def _relocate(self) -> None:
        """Replace the paths at which the archive was made."""
        old, new = str(PLACE), str(self.root.parent)
        with closing(sqlite3.connect(self.state.ledger)) as connection, connection:
            tables = "SELECT name FROM pragma_table_list WHERE strict"
            for (table,) in connection.execute(tables).fetchall():
                for _, column, kind, *_ in connection.execute(f"PRAGMA table_info({table})"):
                    if kind == "TEXT":
                        change = f"UPDATE {table} SET {column} = replace({column}, ?, ?)"
                        connection.execute(f"{change} WHERE instr({column}, ?)", (old, new, old))
        for claim in self.state.root.glob("*/*/claim.json"):
            claim.write_text(claim.read_text().replace(old, new))

    def pictures(self) -> set[str]:
        """The digests of all that people have dropped, wherever it is."""
        found = (path for path in self.root.rglob("*") if path.suffix in (".ppm", ".mp4"))
        return {sha256(path.read_bytes()).hexdigest() for path in found}

    def go(self) -> None:
        """Start the daemon, and let it do everything."""
        self.start()
        self.work()
        self.close()

    @property
    def painted(self) -> list[str]:
        """The names of the jobs that were painted."""
        return sorted(order.name for order in self.executor.orders)

    def check(self) -> None:
        """Check that nothing is lost, changed, left behind, or there twice."""
        assert self.states == ENDS[self.name]
        assert len(self.jobs) == len(self.states)
        assert self.dropped <= self.pictures()
        assert files(self.root / "keep") == self.kept
        assert files(self.root / "in").keys() <= STAY.get(self.name, set())
        assert self.left == []
        ended = files(self.outbox)
        unfinished = ("_status.txt", *(f"{name}/" for name in PAINTED[self.name]))
        for path, content in self.old.items():
            assert path.startswith(unfinished) or ended[path] == content, path
        folders = {path.parts[0] for path in map(Path, ended) if len(path.parts) > 1}
        names = (name.split("/")[0] for name in self.states)
        assert folders <= {*names, "_refused", "_canceled", "expired"}


def files(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Return the files of a folder that people see, with their times and contents."""
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*")}
    return {
        name: (path.stat().st_mtime_ns, path.read_bytes())
        for name, path in found.items()
        if path.is_file() and not name.startswith(".")
    }


def ids(ledger: Path) -> set[str]:
    """The jobs of a ledger of any version."""
    with closing(sqlite3.connect(ledger)) as connection:
        return {str(job) for (job,) in connection.execute("SELECT id FROM jobs")}


@pytest.mark.parametrize("name", ENDS)
def test_a_daemon_of_the_first_version_is_continued(name: str, tmp_path: Path) -> None:
    world, read = Unpacked(tmp_path, name), list[Path]()
    version_1 = ids(world.state.ledger)
    real = system.reader

    def reader(handle: int) -> Any:
        read.append(place_of(handle))
        return real(handle)

    with replaced(system, reader=reader):
        world.go()
    world.check()
    assert world.painted == PAINTED[name]
    if name == "house":
        started = [order.name for order in world.executor.orders], world.executor.started_at
        assert dict(zip(*started, strict=True)) == {"queued": 0, "running": 4}, "its checkpoint"
        assert world.attempts("running")[-1].step == 4
        assert world.waiting_for == {}
    kept = (world.root / "keep" / name for name in world.kept)
    known = {path for path in kept if path.stem != "style"}  # of which it recorded no digest
    assert not known.intersection(read), "what is known by size and time is not hashed"
    assert ids(world.state.ledger.with_name("ledger.sqlite3.v1.bak")) == version_1
    world.executor.orders.clear()
    world.go()
    world.check()
    assert world.painted == []
    notes = "".join(note for inbox in world.loop.intake.inboxes for note in inbox.notes)
    assert [path for path in files(world.root / "in") if path in COPIED and path not in notes] == []


@pytest.mark.parametrize("name", ENDS)
def test_an_upgrade_that_is_killed_at_any_change_is_continued(name: str, tmp_path: Path) -> None:
    whole = Unpacked(tmp_path / "whole", name)
    assert in_fork(whole.go, Fault(tmp_path / "whole")) == 0
    changes = len(Fault(tmp_path / "whole").changes)
    assert changes > 10
    for nth in range(1, changes + 1, max(1, changes // KILLS)):
        folder = tmp_path / str(nth)
        world = Unpacked(folder, name)
        assert in_fork(world.go, Fault(folder, KILL, nth=nth)) == -9, nth
        world.go()
        world.check()
        assert {*world.painted} <= {*PAINTED[name]}
        shutil.rmtree(folder)


def test_the_program_paints_what_is_left(tmp_path: Path) -> None:
    """With real workers, which read the checkpoint of the first version."""
    world = Unpacked(tmp_path, "house")
    process = Daemon(world.root).begin("--once", "--config", "config.yaml")
    assert process.wait(240) in (0, 65, 70)
    world.check()
    assert world.attempts("running")[-1].step >= 2
    assert all((world.outbox / f"{name}/final.png").is_file() for name in PAINTED["house"])


def test_an_older_program_refuses_a_ledger_that_was_upgraded(tmp_path: Path) -> None:
    world = Unpacked(tmp_path, "ending")
    world.go()
    before = world.state.ledger.read_bytes()
    refusal = r"was written by a newer stylewatch \(version 5 .* knows 1\): install that one again"
    with (
        closing(sqlite3.connect(world.state.ledger)) as connection,
        pytest.raises(DamagedError, match=refusal),
    ):
        upgrade(connection, world.state.ledger, VERSIONS[:1])
    assert world.state.ledger.read_bytes() == before
