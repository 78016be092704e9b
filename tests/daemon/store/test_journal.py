"""A journal comes back as it was written, whatever names it holds."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from stylewatch_daemon.files.identity import Look
from stylewatch_daemon.store.journal import File, Journal, load, save

ODD = Path("/inbox") / os.fsdecode(b"latin\xe9\n.jpg")
JOURNAL = Journal(
    id="1",
    name="job",
    inbox=Path("/inbox"),
    outbox=Path("/outbox"),
    after="archive",
    files=(
        File("content", "a.jpg", ODD, Look(1, 2, 3), own=True),
        File("style", "b.jpg", Path("/styles/b.jpg"), Look(4, 5, 6), own=False),
    ),
    folder=Path("/inbox/job"),
    device=2049,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "1/files").mkdir(parents=True)
    return tmp_path / "1"


def test_a_journal_comes_back_as_it_was_written(folder: Path) -> None:
    save(JOURNAL, folder)
    assert load(folder) == JOURNAL


@pytest.mark.parametrize("damage", ["", "{}", "[]", '{"files": 1}', "\x00"])
def test_a_damaged_journal_is_said_to_be(damage: str, folder: Path) -> None:
    (folder / "job.json").write_text(damage)
    with pytest.raises(ValueError, match=r".+"):
        load(folder)


def test_only_own_files_move_and_none_that_is_to_be_kept() -> None:
    content, style = JOURNAL.files
    assert JOURNAL.moves(content)
    assert not JOURNAL.moves(style)
    kept = Journal("1", "job", Path("/inbox"), Path("/outbox"), "keep", JOURNAL.files)
    assert not kept.moves(content)


def test_the_files_of_a_retry_are_copies_and_yet_to_be_archived(folder: Path) -> None:
    content, style = JOURNAL.files
    retry = replace(JOURNAL, retry_of="job")
    save(retry, folder)
    assert load(folder) == retry
    assert [(retry.moves(one), retry.archives(one)) for one in (content, style)] == [
        (False, True), (False, False)
    ]  # fmt: skip


def test_a_journal_from_before_there_were_retries_is_of_none(folder: Path) -> None:
    save(JOURNAL, folder)
    plain = json.loads((folder / "job.json").read_text())
    del plain["retry_of"]
    (folder / "job.json").write_text(json.dumps(plain))
    assert load(folder) == JOURNAL
