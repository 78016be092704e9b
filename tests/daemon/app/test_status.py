"""The status: `_status.txt` in each outbox for people, `status.json` for programs."""

import errno
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.daemon.clock import Clock
from tests.daemon.faults import failing, replaced
from tests.daemon.world import LanesNow

from stylewatch_daemon.app.status import MAX_PAUSE, Snapshot, StatusFiles
from stylewatch_daemon.base.events import Reporter
from stylewatch_daemon.base.model import SEEN, End, Job, Pair, State
from stylewatch_daemon.client import status_json
from stylewatch_daemon.client.condition import BLOCKED, NOT_RUNNING
from stylewatch_daemon.files.disks import MountGuard
from stylewatch_daemon.files.system import system
from stylewatch_daemon.ledger.writer import LedgerWriter

HALF = Pair("half", Path("in/half.jpg"), waits_for="a style picture")


class World(Reporter):
    """Two outboxes with an inbox each, and the files of their status."""

    def __init__(self, root: Path, ledger: LedgerWriter) -> None:
        self.state, self.ledger, self.clock = root / "state", ledger, Clock()
        self.ours, self.theirs = root / "ours", root / "theirs"
        self.reports: list[Mapping[str, str]] = []
        self.lanes = LanesNow(lambda call: call())
        for folder in (self.ours, self.theirs):
            folder.mkdir()
        self.restart()

    def restart(self) -> None:
        settings = SimpleNamespace(outboxes=[self.ours, self.theirs])
        jobs: Any = SimpleNamespace(
            state=SimpleNamespace(root=self.state), ledger=self.ledger, reporter=self,
            settings=settings, mount_guard=MountGuard(), turns={},
        )  # fmt: skip
        self.status = StatusFiles(jobs, self.lanes, self.clock)

    def blocked(self, trouble: Mapping[str, str]) -> None:
        self.reports.append(trouble)

    def enter(self, *names: str, outbox: Path | None = None, **values: Any) -> None:
        time, where = "2026-01-02T12:00:00+00:00", str(outbox or self.ours)
        inbox = values.pop("inbox", "in")
        for name in names:
            job = Job(f"id-{name}", name, inbox, where, time, finished=time, **values)
            self.ledger.put(job)

    def snapshot(self, *running: Any, incomplete: Pair = HALF, **values: Any) -> Snapshot:
        """Return a snapshot of a daemon with these workers."""
        inboxes: list[Any] = [
            SimpleNamespace(path=Path("in"), outbox=self.ours, incomplete=[incomplete],
                            trouble={"sky": "no disk"}, notes=["tmp is skipped"],
                            ignored={Path("in/tmp"): "a link"}, unread=set()),
            SimpleNamespace(path=Path("in2"), outbox=self.theirs, incomplete=[], trouble={},
                            notes=[], ignored={}, unread=set()),
        ]  # fmt: skip
        return Snapshot(inboxes, {f"id-{each.title}": each for each in running}, **values)

    def worker(self, title: str, **values: Any) -> Any:
        """A worker that prepares its job, or has the `values` of a later one."""
        begun: dict[str, Any] = {"step": 0, "steps": 0, "unit": "step", "loss": None, "size": None,
                                 "seconds_left": None, "device": ""}  # fmt: skip
        outbox = SimpleNamespace(root=self.ours)
        return SimpleNamespace(title=title, outbox=outbox, **{**begun, **values})

    def update(self, snapshot: Snapshot, **more: Any) -> tuple[str, str]:
        """Update the status; return the texts in the outboxes."""
        self.status.update(snapshot, **more)
        paths = [outbox / "_status.txt" for outbox in (self.ours, self.theirs)]
        ours, theirs = (path.read_text() if path.exists() else "" for path in paths)
        return ours, theirs

    @property
    def plain(self) -> dict[str, Any]:
        return status_json.read(self.state)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    (tmp_path / "state").mkdir()
    with closing(LedgerWriter.open(tmp_path / "state/ledger.sqlite")) as ledger:
        yield World(tmp_path, ledger)


def test_an_outbox_has_its_own_status_and_json_has_all(world: World) -> None:
    world.enter("next", "trip", "soon")
    world.enter("far", outbox=world.theirs, state=State.CLAIMED)
    failed: dict[str, Any] = {"state": State.ENDED, "reason": "a fault"}
    world.enter("bad", "worse", end=End.FAILED, **failed)
    world.enter("dismissed", end=End.REFUSED, dismissed=True, **failed)
    progress = {"step": 3, "steps": 50, "loss": 0.25, "size": (48, 36), "seconds_left": 9.5,
                "device": "cpu"}  # fmt: skip
    running = world.worker("trip", **progress), world.worker("soon")
    ours, theirs = world.update(world.snapshot(*running, blocked={"cpu": "gone"}, events=False))
    assert ours.split("\n\n")[1:] == [
        BLOCKED.sentence,
        "Running:\n  trip: step 3 of 50 at 48x36, loss 0.25, 10 s left  cpu\n  soon: preparing",
        "Problems:\n  sky: no disk\n  cpu: gone",
        "Refused or failed (see _refused):\n  bad: a fault\n  worse: a fault",
        "Incomplete:\n  half: waits for a style picture",
        "Notes:\n  tmp is skipped",
        "Queue:\n  next\n",
    ]
    rest = [BLOCKED.sentence, "Problems:\n  cpu: gone", "Queue:\n  far\n"]
    assert theirs.split("\n\n")[1:] == rest
    plain = world.plain
    nothing = status_json.nothing()
    assert (plain.keys(), plain["health"].keys()) == (nothing.keys(), nothing["health"].keys())
    assert plain.pop("at").endswith("+00:00") and plain["health"].pop("since").endswith("+00:00")
    assert plain["health"].pop("version")[0].isdigit()
    world.update(world.snapshot(blocked={"cpu": "gone"}))
    world.update(world.snapshot())
    assert world.reports == [{"sky": "no disk", "cpu": "gone"}, {"sky": "no disk"}]
    assert plain == {
        "inboxes": [{"path": "in", "outbox": str(world.ours),
                     "ignored": [{"path": "in/tmp", "reason": "a link", "changing": False}]},
                    {"path": "in2", "outbox": str(world.theirs), "ignored": []}],
        "counts": {**dict.fromkeys(SEEN, 0), "waiting": 4, "failed": 2},
        "running": [
            {"job": "trip", "id": "id-trip", "unit": "step", **progress, "size": [48, 36]},
            {"job": "soon", "step": 0, "steps": 0, "loss": None, "size": None,
             "seconds_left": None, "device": "", "id": "id-soon", "unit": "step"},
        ],
        "waiting": ["far", "next"],
        "incomplete": [{"name": "half", "waits_for": "a style picture", "changing": False,
                        "files": ["in/half.jpg"], "may_be_style": []}],
        "refused": [
            {"job": job, "id": f"id-{job}", "reason": "a fault"} for job in ("bad", "worse")
        ],
        "trash": {"jobs": 0, "bytes": 0},
        "health": {"at_work": True, "pid": os.getpid(), "paused": False, "draining": False,
                   "opens": None, "trying": False, "learning": [],
                   "stopping": False, "restarting": False, "old_settings": False,
                   "condition": BLOCKED.word, "sentence": BLOCKED.sentence, "events": False,
                   "trouble": ["sky: no disk", "cpu: gone"], "notes": ["tmp is skipped"]},
    }  # fmt: skip
    ended = status_json.current(world.state)
    assert [inbox["ignored"] for inbox in ended["inboxes"]] == [[], []], "no daemon looks at them"


def test_the_queue_of_all_outboxes_is_one(world: World) -> None:
    world.enter("far-1", "far-2", outbox=world.theirs, inbox="in2")
    world.enter("near-1", "near-2")
    ours, theirs = world.update(world.snapshot())
    assert world.plain["waiting"] == ["near-1", "far-1", "near-2", "far-2"]
    assert "Queue:\n  near-1\n  near-2\n" in ours and "Queue:\n  far-1\n  far-2\n" in theirs


def test_a_slow_disk_is_written_more_rarely_and_within_a_limit(world: World) -> None:
    counts = world.ledger.counts
    for seconds, pause in ((0.001, 0.5), (0.1, 5.0), (60.0, MAX_PAUSE)):

        def slow(seconds: float = seconds) -> dict[str, int]:
            world.clock.now += seconds
            return counts()

        vars(world.ledger)["counts"] = slow
        world.update(world.snapshot(), has_news=True)
        for later, is_due in ((pause - 0.01, False), (0.02, True)):
            world.clock.now += later
            assert world.status.due == is_due


def test_an_outbox_that_does_not_answer_holds_up_no_other_status(world: World) -> None:
    waiting: list[tuple[Path, Callable[[], object]]] = []

    def do(root: Path, work: Any, done: Any) -> None:
        waiting.append((root, lambda: done(work(lambda: None))))

    with replaced(world.lanes, do=do):
        for name in ("a", "b"):
            world.enter(name)
            world.update(world.snapshot())
            assert world.plain["waiting"][-1] == name
        assert {root for root, _ in waiting} == {world.ours, world.theirs}
        assert len(waiting) == 2, "nothing else begins there"
        for _, answer in waiting:
            answer()
        assert "a\n" in (world.ours / "_status.txt").read_text()
    ours, _ = world.update(world.snapshot())
    assert "  b\n" in ours


def test_the_last_text_is_written_after_one_that_is_being_written(world: World) -> None:
    texts: list[Callable[[], object]] = []
    with replaced(world.lanes, do=lambda root, work, done: texts.append(partial(work, None))):
        world.update(world.snapshot(draining=True))
        world.update(world.snapshot(leaving=True))
    for write in texts:
        write()
    for outbox in (world.ours, world.theirs):
        assert NOT_RUNNING.sentence in (outbox / "_status.txt").read_text()


def test_an_outbox_that_the_settings_do_not_name_any_more_is_told_so(world: World) -> None:
    world.update(world.snapshot())
    world.status.leave(world.snapshot(leaving=True), [world.theirs])
    ours, theirs = (each / "_status.txt" for each in (world.ours, world.theirs))
    assert NOT_RUNNING.sentence in theirs.read_text()
    assert NOT_RUNNING.sentence not in ours.read_text()


def test_an_outbox_of_waiting_jobs_has_a_status_whatever_the_settings_name(world: World) -> None:
    elsewhere = world.ours.parent / "elsewhere"
    elsewhere.mkdir()
    world.enter("late", outbox=elsewhere, state=State.QUEUED)
    world.restart()
    world.update(world.snapshot())
    assert "late" in (elsewhere / "_status.txt").read_text()


def test_a_text_that_could_not_be_written_is_written_at_the_next_update(world: World) -> None:
    world.update(world.snapshot())
    world.enter("a")
    full = failing(OSError(errno.ENOSPC, "No space left on device"))
    with replaced(system, writer=full):
        before, _ = world.update(world.snapshot())
    assert "Queue:" not in before
    ours, theirs = world.update(world.snapshot())
    assert "Queue:\n  a\n" in ours and status_json.read(world.state)["waiting"] == ["a"]
    world.update(world.snapshot())
    assert world.update(world.snapshot()) == (ours, theirs), "unchanged, with the earlier time"


def test_no_name_or_reason_forges_a_line_or_reaches_a_terminal(world: World) -> None:
    evil, safe = "a\x1b[2J\u202e\x9b\nb", "a?[2J???b"
    world.enter(evil, state=State.ENDED, end=End.REFUSED, reason="first\x1b\nsecond")
    pair = Pair(evil, None, waits_for="\udcff")
    ours, _ = world.update(world.snapshot(world.worker(evil), incomplete=pair))
    assert ours.count(safe) == 3 and "\x1b" not in ours
    assert world.plain["running"][0]["job"] == safe
    assert world.plain["incomplete"] == [
        {"name": safe, "waits_for": "?", "changing": False, "files": [], "may_be_style": []}
    ]
    assert world.plain["refused"][0]["job"] == safe
    assert world.plain["refused"][0]["reason"] == "first?\nsecond"


def test_a_damaged_file_is_no_status(tmp_path: Path) -> None:
    for content in ("", "[]", '{"health": 1}', "[" * 99999):
        (tmp_path / status_json.FILE_NAME).write_text(content)
        assert status_json.read(tmp_path) == status_json.nothing()
