"""Only files that still have our bytes are removed, and none is forgotten that is still there."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.faults import fill, make_sparse, tree
from tests.daemon.outbox.endings import output

from stylewatch_daemon.base.errors import OutputError
from stylewatch_daemon.base.model import Job, OutputFile
from stylewatch_daemon.files.system import system
from stylewatch_daemon.outbox import finals
from stylewatch_daemon.outbox.removal import remove

PATHS = ("a/final.png", "a/stages/0001.png", "a/receipt.json", "_refused/a/photo.jpg")


@pytest.fixture
def files(tmp_path: Path) -> tuple[OutputFile, ...]:
    """Files of a job in the outbox `out`."""
    fill(tmp_path / "out", *PATHS)
    return tuple(output(path, text=path) for path in PATHS)


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.write_text("touched up"),
        lambda path: path.symlink_to(path.parent / "stages/0001.png"),
        Path.mkdir,
        os.mkfifo,
        make_sparse,
    ],
    ids=["other", "link", "folder", "pipe", "sparse"],
)
def test_what_others_changed_stays_and_is_ours_no_longer(
    make: Callable[[Path], object], files: tuple[OutputFile, ...], tmp_path: Path
) -> None:
    final = tmp_path / "out" / PATHS[0]
    final.unlink()
    make(final)
    assert remove(tmp_path / "out", files).gone == [*files[1:]]
    assert os.path.lexists(final)


@pytest.mark.parametrize("receipt", ["a/receipt.json", "of another daemon", ""])
def test_a_folder_with_the_receipt_of_another_job_stays_though_its_bytes_are_the_same(
    receipt: str, files: tuple[OutputFile, ...], tmp_path: Path
) -> None:
    path = tmp_path / "out/a/receipt.json"
    path.write_text(receipt) if receipt else path.unlink()
    before = tree(tmp_path / "out/a")
    gone, left = remove(tmp_path / "out", files[:2], place="a", listed=files)
    if receipt == "of another daemon":
        assert (gone, left, tree(tmp_path / "out/a")) == ([], [*files[:2]], before)
    else:
        assert (gone, left) == ([*files[:2]], [])


@pytest.mark.parametrize("is_replaced", [True, False])
def test_what_is_changed_while_it_is_read_stays_and_is_ours_until_it_is_read_again(
    is_replaced: bool, files: tuple[OutputFile, ...], tmp_path: Path
) -> None:
    final = tmp_path / "out" / PATHS[0]

    def touch_up() -> None:
        if is_replaced:
            final.unlink()
        final.write_text("FINAL.PNG")

    os.utime(final, (1, 1))
    with pytest.raises(OutputError, match=r"a/final\.png cannot be removed: it changed at this"):
        remove(tmp_path / "out", files[:1], touch_up)
    assert final.read_text() == "FINAL.PNG"
    assert remove(tmp_path / "out", files[:1]).gone == []


@pytest.mark.parametrize(("call", "number"), [("open", errno.EIO), ("stat", errno.EACCES)])
def test_an_error_is_not_an_absence(
    call: str,
    number: int,
    files: tuple[OutputFile, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = getattr(system, call)

    def failing(name: Any, *args: Any, **more: Any) -> Any:
        if name == "final.png":
            raise OSError(number, os.strerror(number))
        return real(name, *args, **more)

    with monkeypatch.context() as patch:
        patch.setattr(system, call, failing)
        with pytest.raises(OutputError, match=r"a/final\.png cannot be removed"):
            remove(tmp_path / "out", files)
    assert set(tree(tmp_path / "out")) == {"a/final.png"}, "all others were tried"
    assert remove(tmp_path / "out", files).gone == [*files]


def test_no_link_below_the_finals_folder_is_followed(tmp_path: Path) -> None:
    folder, album = tmp_path / "finals", tmp_path / "finals/album"
    fill(tmp_path, "elsewhere/a.png")
    folder.mkdir()
    album.symlink_to(tmp_path / "elsewhere")
    file = output(str(album / "a.png"), "finals", "elsewhere/a.png")
    job = Job("1", "album/a", "in", "out", "then", place="album/a")
    assert finals.root_of(job, album / "a.png") == folder
    with pytest.raises(OutputError, match="leads elsewhere by the link 'album'"):
        remove(folder, [file])
    assert (tmp_path / "elsewhere/a.png").exists()
    album.unlink()
    (tmp_path / "elsewhere").rename(album)
    assert remove(folder, [file]).gone == [file]
    assert [*folder.iterdir()] == [], "the finals folder stays, but for what is empty in it"


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
    assert remove(tmp_path / "out", files).gone == [*files]
    assert list((tmp_path / "out").iterdir()) == []
