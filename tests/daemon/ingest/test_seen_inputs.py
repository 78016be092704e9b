"""What was painted and left in its inbox is known again."""

import json
import os
from pathlib import Path

import pytest

from stylewatch_daemon.files import atomic
from stylewatch_daemon.files.identity import Look, look
from stylewatch_daemon.ingest.seen_inputs import Kept
from stylewatch_daemon.store.ledger_writer import LedgerWriter


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.jpg"
    path.write_text("photo")
    return path


def looks(path: Path) -> dict[Path, Look]:
    seen = look(path)
    assert seen is not None
    return {path: seen}


def memory_of(photo: Path) -> Kept:
    return Kept(LedgerWriter.open(photo.parent / "ledger.sqlite3"))


def kept(photo: Path) -> Kept:
    seen = {path: (one, atomic.digest(path)) for path, one in looks(photo).items()}
    memory_of(photo).remember("job", photo, seen)
    return memory_of(photo)


def test_a_kept_file_is_known_after_a_restart(photo: Path) -> None:
    assert kept(photo).holds("job", looks(photo))
    assert not kept(photo).holds("other", looks(photo))


def test_a_new_time_on_the_same_bytes_is_the_same_file(photo: Path) -> None:
    memory = kept(photo)
    os.utime(photo, ns=(1, 1))
    assert memory.holds("job", looks(photo))


def test_new_bytes_are_a_new_file_even_of_the_same_size(photo: Path) -> None:
    memory = kept(photo)
    photo.write_text("PHOTO")
    os.utime(photo, ns=(1, 1))
    assert not memory.holds("job", looks(photo))


def test_the_same_file_dropped_again_is_new(photo: Path) -> None:
    memory = kept(photo)
    again = photo.with_suffix(".new")
    again.write_text("photo")
    again.replace(photo)
    assert not memory.holds("job", looks(photo))


def test_another_file_more_makes_another_job(photo: Path, tmp_path: Path) -> None:
    memory = kept(photo)
    (tmp_path / "style.jpg").write_text("style")
    assert not memory.holds("job", looks(photo) | looks(tmp_path / "style.jpg"))


def test_what_is_forgotten_is_new(photo: Path) -> None:
    memory = kept(photo)
    memory.forget(photo)
    assert not memory.holds("job", looks(photo))
    assert not memory_of(photo).holds("job", looks(photo))


def test_a_memory_from_before_there_was_a_ledger_is_taken_over(photo: Path) -> None:
    seen = looks(photo)[photo]
    key = f"{photo}\njob"
    known = {"name": str(photo), "inode": seen.inode, "size": seen.size,
             "mtime_ns": seen.mtime_ns, "sha256": "0"}  # fmt: skip
    before = photo.parent / "kept.json"
    before.write_text(json.dumps({key: [known]}))
    memory = memory_of(photo)
    memory.take_over(before)
    assert memory.holds(key, looks(photo))
    assert not before.exists()
    memory.forget(photo)
    assert not memory.holds(key, looks(photo))
