"""Only files that still have our bytes are removed, and none is forgotten that is still there."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.daemon.faults import fill, tree
from tests.daemon.outbox.endings import output

from stylewatch_daemon.base.errors import OutputError
from stylewatch_daemon.base.model import OutputFile
from stylewatch_daemon.outbox.removal import Removed, remove

PATHS = ("a/final.png", "a/stages/0001.png", "a/receipt.json", "_refused/a/photo.jpg")


@pytest.fixture
def files(tmp_path: Path) -> tuple[OutputFile, ...]:
    """Files of a job in the outbox `out`, and one in the finals."""
    fill(tmp_path / "out", *PATHS)
    fill(tmp_path, "finals/a.png")
    inside = (output(path, text=path) for path in PATHS)
    return (*inside, output(str(tmp_path / "finals/a.png"), "finals", "finals/a.png"))


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.write_text("touched up"),
        lambda path: path.symlink_to(path.parent / "stages/0001.png"),
        Path.mkdir,
    ],
    ids=["other", "link", "folder"],
)
def test_what_others_changed_stays_and_is_ours_no_longer(
    make: Callable[[Path], object], files: tuple[OutputFile, ...], tmp_path: Path
) -> None:
    final = tmp_path / "out" / PATHS[0]
    final.unlink()
    make(final)
    assert remove(tmp_path / "out", files) == Removed(files[1:], files[:1])
    assert os.path.lexists(final)


@pytest.mark.parametrize("swapped", ["a", "a/stages", "_refused"])
def test_a_folder_that_was_swapped_for_a_link_keeps_the_job_from_being_forgotten(
    swapped: str, files: tuple[OutputFile, ...], tmp_path: Path
) -> None:
    (tmp_path / "out" / swapped).rename(tmp_path / "away")
    (tmp_path / "out" / swapped).symlink_to(tmp_path / "away")
    behind = tree(tmp_path / "away")
    with pytest.raises(OutputError):
        remove(tmp_path / "out", files)
    assert tree(tmp_path / "away") == behind and behind
    (tmp_path / "out" / swapped).unlink()
    (tmp_path / "away").rename(tmp_path / "out" / swapped)
    assert remove(tmp_path / "out", files) == Removed(files, ())
    assert list((tmp_path / "out").iterdir()) == []
