"""Links in an outbox that others may write to lead nowhere, also if they are swapped in later."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.daemon.faults import fill
from tests.e2e import swaps

from stylewatch_daemon.errors import OutputError
from stylewatch_daemon.outbox.publish import Outbox, keep_staged, stage


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "out")


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder outside of the outbox."""
    fill(tmp_path / "elsewhere", "1/stages/theirs", "trash/theirs", "stages/theirs")
    return tmp_path / "elsewhere"


def refuse(outbox: Outbox, folder: Path) -> None:
    outbox.stage_refused("1", [], "Bad.")
    outbox.publish_refused("1", outbox.choose_refused("bad"))


Attack = Callable[[Outbox, Path], object]
ATTACKS: dict[str, tuple[str, Attack]] = {
    "probe": (".staging", lambda outbox, folder: outbox.probe()),
    "staging": (".staging/1", lambda outbox, folder: outbox.staging("1")),
    "reopen": ("job", lambda outbox, folder: outbox.reopen("job")),
    "publish": ("job", lambda outbox, folder: outbox.publish("1", folder, "stages/1.png")),
    "stages": ("job/stages", lambda outbox, folder: outbox.publish("1", folder, "stages/1.png")),
    "staged": (".staging/1", lambda outbox, folder: outbox.publish("1", folder, "stages/1.png")),
    "archive": ("job/inputs", lambda outbox, folder: outbox.archive(
        "1", folder, [outbox.root.parent / "photo.jpg"])),
    "archived": (".staging/1", lambda outbox, folder: outbox.archive(
        "1", folder, [outbox.root.parent / "photo.jpg"])),
    "refuse": ("_refused", refuse),
    "clear": (".staging/trash", lambda outbox, folder: outbox.clear("1")),
    "stage": (".staging", lambda outbox, folder: stage(
        outbox.root / ".staging/1", "stages/1.png", b"x")),
    "keep staged": (".staging/1", lambda outbox, folder: keep_staged(
        outbox.root / ".staging/1", ["stages/1.png"])),
    "stage below": (".staging/1/stages", lambda outbox, folder: stage(
        outbox.root / ".staging/1", "stages/1.png", b"x")),
}  # fmt: skip
"""The folder that is replaced by a link, and the next act."""


@pytest.mark.parametrize("name", ATTACKS)
def test_a_folder_that_was_replaced_by_a_link_leads_nowhere(
    name: str, outbox: Outbox, elsewhere: Path, tmp_path: Path
) -> None:
    outbox.probe()
    folder = outbox.reserve("job", lambda place: None)
    fill(outbox.staging("1"), "stages/1.png")
    fill(tmp_path, "photo.jpg")
    before = sorted(elsewhere.rglob("*"))
    at, act = ATTACKS[name]
    if (outbox.root / at).exists():
        (outbox.root / at).rename(tmp_path / "taken-away")
    (outbox.root / at).symlink_to(elsewhere)
    with pytest.raises(OutputError, match="leads out of the outbox"):
        act(outbox, folder)
    assert sorted(elsewhere.rglob("*")) == before


def test_dropping_empty_folders_stops_at_a_link(outbox: Outbox, elsewhere: Path) -> None:
    (elsewhere / "empty").mkdir()
    outbox.probe()
    (outbox.root / "album").symlink_to(elsewhere)
    outbox.drop_empty("album/empty")
    assert (elsewhere / "empty").is_dir()


@pytest.mark.parametrize("act", swaps.ACTS)
def test_nothing_outside_is_read_or_written_whatever_is_swapped_meanwhile(
    act: str, tmp_path: Path
) -> None:
    assert swaps.wrong_with(tmp_path, act, rounds=20) == []
