"""Files are moved out of an inbox and back, and none is lost or replaced."""

from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest
from tests.daemon.faults import fill, mounts, tree

from stylewatch_daemon.errors import InputError, OutputError
from stylewatch_daemon.files.identity import look
from stylewatch_daemon.files.transfers import Transfers
from stylewatch_daemon.store import claim_files
from stylewatch_daemon.store.journal import File, Journal

NAME = "trip/content.jpg"


class Place:
    """An inbox with a file, and a folder that it is brought to."""

    def __init__(self, root: Path) -> None:
        self.inbox, self.held = root / "in", root / "state/files"
        self.source = self.inbox / NAME
        fill(self.inbox, NAME)
        self.held.mkdir(parents=True)
        seen = look(self.source)
        assert seen is not None
        self.file = File("content", "content.jpg", self.source, seen, own=True)

    def journal(self) -> Journal:
        return Journal("1", "trip", self.inbox, self.inbox.parent / "out", "archive", (self.file,))

    def bring(self, *, copied: bool = False) -> None:
        with mounts(*([self.inbox, self.held] if copied else [])):
            claim_files.bring(self.journal(), self.file, self.held / "content.jpg", Transfers())

    def back(self) -> dict[str, str]:
        """Put the file back; return the files of the inbox."""
        claim_files.put_back(self.journal(), self.held)
        return tree(self.inbox)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.mark.parametrize("copied", [False, True])
def test_a_file_comes_back_as_it_was(copied: bool, place: Place) -> None:
    place.bring(copied=copied)
    assert place.source.exists() == copied
    assert place.back() == {NAME: NAME}
    assert look(place.source) == place.file.look


def test_a_copy_that_could_not_be_read_again_is_removed(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Transfers, "step", Mock(side_effect=[None, OutputError("stopped")]))
    with pytest.raises(InputError):
        place.bring(copied=True)
    assert (list(place.held.iterdir()), tree(place.inbox)) == ([], {NAME: NAME})


@pytest.mark.parametrize("change", ["grown", "gone"])
def test_a_copy_is_put_back_only_where_the_original_is_gone(change: str, place: Place) -> None:
    place.bring(copied=True)
    place.source.write_text("longer than it was before")
    if change == "gone":
        place.source.unlink()
    assert place.back() == {NAME: NAME if change == "gone" else "longer than it was before"}


def test_a_file_that_replaced_it_stays(place: Place) -> None:
    place.bring()
    place.source.write_text("another")
    assert place.back() == {NAME: "another", "trip/content-2.jpg": NAME}


def outside(place: Place) -> Path:
    """Have a link to another folder, with a file of the same name, come in a folder's place."""
    elsewhere = place.inbox.parent / "elsewhere"
    fill(elsewhere, "content.jpg")
    place.source.parent.rename(place.inbox.parent / "moved away")
    place.source.parent.symlink_to(elsewhere)
    return elsewhere


def test_nothing_is_moved_through_a_link_that_replaced_a_folder(place: Place) -> None:
    elsewhere = outside(place)
    theirs = look(elsewhere / "content.jpg")
    assert theirs is not None
    place.file = replace(place.file, look=theirs)
    for copied in (False, True):
        with pytest.raises(InputError, match="changed while it was being taken"):
            place.bring(copied=copied)
    assert tree(elsewhere) == {"content.jpg": "content.jpg"}
    assert list(place.held.iterdir()) == []


def test_nothing_is_removed_or_put_back_through_a_link(place: Place) -> None:
    place.bring()
    elsewhere = outside(place)
    (elsewhere / "content.jpg").unlink()
    with pytest.raises(OSError, match="link"):
        claim_files.put_back(place.journal(), place.held)
    assert list(elsewhere.iterdir()) == []
    assert claim_files.has_no_way_back(place.journal(), place.held)
    fill(elsewhere, "content.jpg")
    assert claim_files.remove_originals(place.journal(), place.held) == (False, ())
    assert tree(elsewhere) == {"content.jpg": "content.jpg"}
