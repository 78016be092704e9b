"""Links in an outbox or inbox that others may write to lead nowhere, also if swapped in later."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.daemon.faults import fill
from tests.e2e import swaps

from stylewatch_daemon.errors import OutputError
from stylewatch_daemon.outbox.publish import Outbox, keep_staged, stage


def refuse(outbox: Outbox, folder: Path) -> None:
    outbox.stage_refused("1", [], "Bad.")
    outbox.publish_refused("1", outbox.choose_refused("bad"))


def publish(outbox: Outbox, folder: Path) -> None:
    outbox.publish("1", folder, "stages/1.png")


def archive(outbox: Outbox, folder: Path) -> None:
    outbox.archive("1", folder, [outbox.root.parent / "photo.jpg"])


def stage_one(outbox: Outbox, folder: Path) -> None:
    stage(outbox.root / ".staging/1", "stages/1.png", b"x")


ATTACKS: list[tuple[str, Callable[[Outbox, Path], object]]] = [
    (".staging", lambda outbox, folder: outbox.probe()),
    (".staging/1", lambda outbox, folder: outbox.staging("1")),
    ("job", lambda outbox, folder: outbox.reopen("job")),
    ("job", publish),
    ("job/stages", publish),
    (".staging/1", publish),
    ("job/inputs", archive),
    (".staging/1", archive),
    ("_refused", refuse),
    (".staging/trash", lambda outbox, folder: outbox.clear("1")),
    (".staging", stage_one),
    (".staging/1/stages", stage_one),
    (".staging/1", lambda outbox, _: keep_staged(outbox.root / ".staging/1", ["stages/1.png"])),
]
"""A folder that is replaced by a link, and the next act."""


@pytest.mark.parametrize(("at", "act"), ATTACKS)
def test_a_folder_that_was_replaced_by_a_link_leads_nowhere(
    at: str, act: Callable[[Outbox, Path], object], tmp_path: Path
) -> None:
    outbox, elsewhere = Outbox(tmp_path / "out"), tmp_path / "elsewhere"
    fill(elsewhere, "1/stages/theirs", "trash/theirs", "stages/theirs")
    outbox.probe()
    folder = outbox.reserve("job", lambda place: None)
    fill(outbox.staging("1"), "stages/1.png")
    fill(tmp_path, "photo.jpg")
    before = sorted(elsewhere.rglob("*"))
    if (outbox.root / at).exists():
        (outbox.root / at).rename(tmp_path / "taken-away")
    (outbox.root / at).symlink_to(elsewhere)
    with pytest.raises(OutputError, match="leads out of the outbox"):
        act(outbox, folder)
    assert sorted(elsewhere.rglob("*")) == before


@pytest.mark.parametrize("act", swaps.ACTS)
def test_nothing_outside_is_read_or_written_whatever_is_swapped_meanwhile(
    act: str, tmp_path: Path
) -> None:
    assert swaps.wrong_with(tmp_path, act, rounds=20) == []
