"""The status is published in each outbox, and as JSON for programs."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.daemon.cli.states import entry
from tests.daemon.world import make_inbox, make_settings

from stylewatch_daemon.errors import OutputError
from stylewatch_daemon.events import Reporter
from stylewatch_daemon.model import Incomplete
from stylewatch_daemon.outbox import status_json
from stylewatch_daemon.outbox.status_txt import Running
from stylewatch_daemon.queue.states import Outcome, OutcomeKind
from stylewatch_daemon.service import status_updates
from stylewatch_daemon.service.status_updates import Snapshot, StatusUpdates
from stylewatch_daemon.settings.sections import Outbox
from stylewatch_daemon.store.state_dir import State


class World:
    """Two outboxes and their status."""

    def __init__(self, root: Path) -> None:
        self.first, self.second, self.state = root / "ours", root / "theirs", State(root / "state")
        for folder in (self.first, self.second):
            folder.mkdir()
        self.state.make()
        inboxes = make_inbox(root / "1", self.first), make_inbox(root / "2", self.second)
        self.status = StatusUpdates(self.state, Reporter(), lambda: 0.0, lambda: {"scans": 3})
        self.status.apply_settings(
            make_settings(inboxes, self.state.root, outbox=Outbox(mode="0664"))
        )

    def enter(self, *names: str, outbox: Path | None = None, state: Any = "queued") -> None:
        values = {"outbox": str(outbox or self.first), "state": state, "reason": "so it is"}
        self.state.ledger.enter(entry(name, place=None, **values) for name in names)

    def update(self, **running: tuple[Path, Running]) -> None:
        paused = [Outcome(OutcomeKind.PAUSED, "x", "no disk")]
        half = Incomplete("half", "a style picture")
        inboxes: list[Any] = [
            SimpleNamespace(
                path=Path("in"), outbox=outbox, incomplete=[half], trouble={}, notes=["n"]
            )
            for outbox in (self.first, self.second)
        ]
        self.status.update(Snapshot(inboxes, running, paused, paused=False))

    def text(self, outbox: Path | None = None) -> str:
        return ((outbox or self.first) / "_status.txt").read_text()

    @property
    def plain(self) -> dict[str, Any]:
        return status_json.read(self.state.root) or {}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_an_outbox_has_its_own_status_and_json_has_all(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status_updates, "MAX_WAITING", 2)
    world.enter("a", "b", "d", "e")
    world.enter("c", outbox=world.second)
    world.status.note_file_events(True, {Path("in"): "why"})
    world.update(**{"id-b": (world.first, Running("b", 3, 50, 0.25))})
    assert (world.first / "_status.txt").stat().st_mode & 0o777 == 0o664
    assert "Running:\n  b: step 3 of 50, loss 0.25\n" in world.text()
    assert "Queue:\n  a\n  ... and 2 more" in world.text()
    assert "Problems:\n  x: no disk" in world.text()
    assert "Queue:\n  c\n" in world.text(world.second)
    assert "Running" not in world.text(world.second)
    assert [job["job"] for job in world.plain["running"]] == ["b"]
    assert [pair["name"] for pair in world.plain["incomplete"]] == ["half", "half"], "two inboxes"
    assert (world.plain["waiting"], world.plain["counts"]["waiting"]) == (["a", "c"], 5)
    assert (world.plain["meters"], world.plain["health"]["observer"]) == ({"scans": 3}, False)
    note = "in brings no file events (why); it is scanned every 10 s instead"
    assert world.plain["health"]["notes"] == ["n", note]


def test_refusals_are_named_until_they_are_dismissed(world: World) -> None:
    world.enter("bad", state="refused")
    world.enter("worse", state="failed")
    world.enter(*(f"z{number}" for number in range(30)), outbox=world.second, state="refused")
    world.update()
    assert "bad: so it is" in world.text() and "worse: so it is" in world.text()
    world.state.ledger.dismiss(["id-bad"])
    world.update()
    assert "bad" not in world.text()
    assert world.plain["counts"]["refused"] == 30


def test_a_missing_disk_affects_no_other_outbox(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(folder: Path) -> None:
        if folder == world.first:
            raise OutputError("it is not mounted")

    monkeypatch.setattr(world.state.mount_guard, "check", check)
    world.update()
    assert list(world.first.iterdir()) == []
    assert world.text(world.second)
