"""What others put into the finals folder, or into the outbox, is neither trusted nor waited for."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.faults import failing, fill, make_sparse, mounts, replaced
from tests.daemon.outbox.endings import everything, output

from stylewatch_daemon.base.errors import OutputError
from stylewatch_daemon.base.model import Job, OutputFile
from stylewatch_daemon.files import identity
from stylewatch_daemon.files.system import system
from stylewatch_daemon.outbox import finals
from stylewatch_daemon.outbox.finals import Linking

Patch = pytest.MonkeyPatch
FINAL = output("album/a/final.png", "final")


class World:
    """An outbox with a final picture, and a finals folder with an album."""

    def __init__(self, root: Path) -> None:
        self.picture, self.album = root / "out/album/a/final.png", root / "finals/album"
        fill(root, "out/album/a/final.png", "secret")
        self.picture.write_text("final.png")
        self.album.mkdir(parents=True)
        self.root = root
        self.job = Job("1", "album/a", "in", str(root / "out"), "then", place="album/a")

    def choose(self) -> OutputFile:
        return finals.choose(self.root / "finals", self.job, FINAL)

    def add(self, chosen: OutputFile | None = None) -> Linking:
        return finals.add(self.root / "finals", self.job, FINAL, chosen or self.choose())

    def expect(self, name: str) -> None:
        path, chosen = self.album / name, self.choose()
        assert chosen == FINAL._replace(path=str(path), part="finals")
        assert self.add(chosen) is Linking.DONE
        assert path.read_text() == "final.png"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture(params=[False, True])
def is_apart(request: pytest.FixtureRequest, world: World) -> Iterator[bool]:
    """True while the outbox is a mount of its own."""
    with mounts(world.root / "out") if request.param else nullcontext():
        yield request.param


def test_the_final_picture_is_linked_under_the_name_of_the_job_or_copied(
    is_apart: bool, world: World
) -> None:
    world.expect("a.png")
    assert world.picture.samefile(world.album / "a.png") is not is_apart
    assert everything(world.album) == {"a.png": "final.png"}


def test_a_name_that_another_job_has_chosen_is_not_free(world: World) -> None:
    others = {str(world.album / "a.png"), str(world.album / "a-3.png")}
    chosen = finals.choose(world.root / "finals", world.job, FINAL, others.__contains__)
    assert chosen.path == str(world.album / "a-2.png")


def test_a_folder_has_another_name_if_a_file_has_its_name_or_is_to_get_it(world: World) -> None:
    """A job `sea` has the picture `sea.png`, and an album may have that name."""
    finals_folder = world.root / "finals"
    world.album.rmdir()
    world.album.touch()
    others = {str(finals_folder / "album-2")}
    chosen = finals.choose(finals_folder, world.job, FINAL, others.__contains__)
    assert chosen.path == str(finals_folder / "album-3/a.png")
    assert world.add(chosen) is Linking.DONE
    assert finals.root_of(world.job, Path(chosen.path)) == finals_folder
    assert everything(finals_folder) == {"album": "", "album-3/a.png": "final.png"}


@pytest.mark.usefixtures("is_apart")
def test_a_file_or_a_link_of_somebody_else_is_not_replaced_even_if_it_appears_meanwhile(
    world: World,
) -> None:
    fill(world.root, "finals/album/a.png", "mine.png", "finals/album/a-3.png/deep")
    (world.album / "a-2.png").symlink_to(world.root / "mine.png")
    before = everything(world.album)
    chosen = world.choose()
    (world.album / "a-4.png").write_text("other.png")
    assert world.add(chosen) is Linking.TAKEN
    world.expect("a-5.png")
    assert everything(world.album) == {**before, "a-4.png": "other.png", "a-5.png": "final.png"}
    assert (world.root / "mine.png").read_text() == "mine.png"


@pytest.mark.usefixtures("is_apart")
def test_only_what_was_chosen_before_counts_as_done_and_only_own_halves_are_swept(
    world: World,
) -> None:
    half = ".1-" + 16 * "a" + ".tmp"
    fill(world.album, half)  # of another job, which is being copied
    (world.album / "a.png").write_text("final.png")  # of another job with the same pictures
    chosen = world.choose()
    assert chosen.path == str(world.album / "a-2.png")
    for _ in range(2):  # a kill came before it was recorded
        assert world.add(chosen) is Linking.DONE
    assert {path.name for path in world.album.iterdir()} == {"a.png", "a-2.png", half}


def test_no_file_is_replaced_that_appears_while_the_picture_is_copied(world: World) -> None:
    chosen = world.choose()

    def appear(*args: Any, **more: Any) -> None:
        Path(chosen.path).write_text("other.png")

    with mounts(world.root / "out"), replaced(system, utime=appear):
        with pytest.raises(OutputError, match="File exists"):
            world.add(chosen)
        assert world.add(chosen) is Linking.TAKEN
    assert everything(world.album) == {"a.png": "other.png"}


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, make_sparse])
def test_what_others_put_under_its_name_is_neither_read_nor_waited_for(
    make: Callable[[Path], object], world: World
) -> None:
    make(world.album / "a.png")
    world.expect("a-2.png")
    world.picture.unlink()
    make(world.picture)
    assert world.add() is Linking.GONE


@pytest.mark.parametrize("number", [errno.EXDEV, errno.EIO])
def test_a_disk_without_links_gets_a_copy_whatever_its_error(
    number: int, world: World, monkeypatch: Patch
) -> None:
    monkeypatch.setattr(system, "link", failing(OSError(number, os.strerror(number))))
    world.expect("a.png")
    assert not world.picture.samefile(world.album / "a.png")


def test_a_link_counts_though_a_union_of_disks_numbers_each_name(
    world: World, monkeypatch: Patch
) -> None:
    monkeypatch.setattr(identity, "is_same_file", lambda *args: False)
    world.expect("a.png")
    assert world.picture.samefile(world.album / "a.png")


@pytest.mark.parametrize("has_links", [True, False])
def test_what_replaces_the_picture_after_it_was_read_is_not_published(
    has_links: bool, world: World, monkeypatch: Patch
) -> None:
    real = system.link

    def late(name: str, *args: Any, **more: Any) -> None:
        world.picture.write_text("secret")
        if not has_links:
            raise OSError(errno.EPERM, "Operation not permitted")
        world.picture.unlink()
        world.picture.symlink_to(world.root / "secret")
        real(name, *args, **more)

    monkeypatch.setattr(system, "link", late)
    with pytest.raises(OutputError, match="at this moment"):
        world.add()
    assert list(world.album.iterdir()) == []
