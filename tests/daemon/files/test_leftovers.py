"""What other programs leave is ignored; some of it is named, and only debris may be removed."""

import re
from glob import escape
from pathlib import Path
from urllib.parse import urlsplit

from hypothesis import given
from hypothesis import strategies as st

from stylewatch_daemon.files.leftovers import (
    TABLE,
    Ignored,
    Kind,
    is_debris,
    leftover,
    may_leave_with,
    what_stays,
)
from stylewatch_daemon.files.names import folded

NAMES = st.sampled_from([row.pattern.replace("*", "a").replace("[0-9]", "1") for row in TABLE])
OTHERS = st.sampled_from(["sea.jpg", "job.yaml.txt", "notes.txt", "a copy.jpg"])


def test_each_row_is_whole_and_decides_for_the_names_that_it_describes() -> None:
    for row in TABLE:
        assert row.pattern == folded(row.pattern)
        assert row.what
        assert row.source == "docs/folders.md" or urlsplit(row.source).scheme == "https"
        assert row.kind is Kind.DATA or not row.is_noted
        assert row.kind is Kind.DEBRIS or not row.is_folder
    assert len({row.pattern for row in TABLE}) == len(TABLE)


def test_programs_and_their_names() -> None:
    noted = """
        style.sync-conflict-20240102-030405-ABCDEFG.jpg|beach.mask.sync-conflict-20240102-0.png
        style (conflicted copy 2024-01-02 030405).jpg|style (conflicted copy ann 2024-01-02 1).jpg
        style (Ann's conflicted copy 2024-01-02).jpg|sea (Case Conflict).jpg|Sea.Conflict.jpg
        sea_conflict-20180220-141213.jpg|sea_conflict-ann-20180220-141213.jpg
        a_Andy-PC_Jan-03-0901-2013_CaseConflict_1.jpg|sea-laptop-safeBackup-0001.jpg
        #recycle|@Recycle|$RECYCLE.BIN|Network Trash Folder|#snapshot|@Recently-Snapshot|~snapshot
    """
    for name in filter(None, (part.strip() for part in noted.replace("\n", "|").split("|"))):
        assert Ignored().covers(name) and Ignored().note(name), name
        assert not may_leave_with([name]) and not may_leave_with([], [name]), name
    other = ["a_conflict-of-2020-05.jpg", "a (conflicts of 2020).jpg", "conflict.jpg", "recycle"]
    for name in (*other, "snapshot", "a (1).jpg"):
        assert not Ignored().covers(name), name


@given(NAMES | OTHERS, st.booleans())
def test_a_name_of_the_table_is_ignored_and_named_unless_the_owner_knows_it(
    name: str, is_own: bool
) -> None:
    row, ignored = leftover(name), Ignored([escape(name.upper())] if is_own else [])
    assert ignored.covers(name) == (is_own or row is not None)
    assert bool(ignored.note(name)) == (row is not None and row.is_noted and not is_own)


@given(st.lists(NAMES | OTHERS), st.lists(NAMES | OTHERS))
def test_a_folder_may_leave_only_with_debris(files: list[str], folders: list[str]) -> None:
    may_leave = may_leave_with(files, folders)
    entries = [(name, False) for name in files] + [(name, True) for name in folders]
    rows = [(leftover(name), is_folder) for name, is_folder in entries]
    assert may_leave == all(
        row is not None and row.kind is Kind.DEBRIS and row.is_folder == is_folder
        for row, is_folder in rows
    )
    assert may_leave == all(is_debris(name, is_folder=is_folder) for name, is_folder in entries)
    if may_leave:
        assert what_stays([*files, *folders]) == ""


def test_the_page_on_folders_shows_names_of_each_kind() -> None:
    text = (Path(__file__).parents[3] / "docs/folders.md").read_text(encoding="utf-8")
    section = text.partition("## What is ignored")[2].partition("| `watch.ignore`")[0]
    kinds = []
    for names, note, folder in re.findall(
        r"^\| \w.*? \| (`.+?) \| (.+?) \| (.+?) \|", section, re.M
    ):
        rows = [leftover(name.replace("*", "a")) for name in re.findall("`(.+?)`", names)]
        kinds.append({row and (row.kind, row.is_noted) for row in rows})
        kind = Kind.DEBRIS if folder.startswith("is removed") else Kind.DATA
        assert kinds[-1] == {(kind, note != "no")}
    assert len(kinds) == 4


def test_what_keeps_a_folder_is_described() -> None:
    assert what_stays([".DS_Store", ".stversions", "job.yaml.txt\n"]) == (
        ".stversions (it holds former versions of files), job.yaml.txt?"
    )
