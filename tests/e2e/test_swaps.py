"""Links in an outbox or inbox that others may write to lead nowhere, also if swapped in later."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.daemon.faults import fill
from tests.e2e import swaps

from stylewatch_daemon.base.errors import OutputError
from stylewatch_daemon.outbox.publish import Outbox, stage


@pytest.mark.parametrize(
    ("at", "act"),
    [
        ("job", lambda outbox, folder: outbox.reopen("job")),
        ("job/stages", lambda outbox, folder: outbox.publish("1", folder, "stages/1.png")),
        (".staging/1", lambda outbox, folder: outbox.publish("1", folder, "stages/1.png")),
        ("job/inputs", lambda outbox, folder: outbox.archive("1", folder, [folder / "photo.jpg"])),
        ("_refused", lambda outbox, folder: outbox.refuse("1", "_refused/bad", [], "Bad.")),
        (".staging/trash", lambda outbox, folder: outbox.clear("1")),
        (".staging", lambda outbox, _: stage(outbox.root / ".staging/1", "stages/1.png", b"x")),
    ],
)
def test_a_folder_that_was_replaced_by_a_link_leads_nowhere(
    at: str, act: Callable[[Outbox, Path], object], tmp_path: Path
) -> None:
    outbox, elsewhere = Outbox(tmp_path / "out"), tmp_path / "elsewhere"
    fill(elsewhere, "1/stages/theirs", "trash/theirs", "stages/theirs")
    outbox.probe()
    folder = outbox.reserve("job", lambda place: None)
    fill(outbox.staging("1"), "stages/1.png")
    fill(folder, "photo.jpg")
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
