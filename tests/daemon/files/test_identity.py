"""A file is known by size and time on whatever disk, and may be open for writing or not."""

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.daemon.faults import failing, fill, replaced

from stylewatch_daemon.files import identity
from stylewatch_daemon.files.identity import Look, Writers, look
from stylewatch_daemon.files.system import system

SECOND, HOUR = 10**9, 3600 * 10**9
NEARBY = 2 * SECOND
LOOKS = st.builds(Look, st.integers(0, 9), st.integers(0, 1 << 62))
SHIFTS = st.integers(-NEARBY, NEARBY)


@given(LOOKS, SHIFTS, st.integers(-30, 30))
def test_times_may_be_rounded_and_shifted_by_whole_hours_on_a_disk_with_local_time(
    before: Look, shift: int, hours: int
) -> None:
    rounded = replace(before, mtime_ns=before.mtime_ns + shift)
    shifted = replace(rounded, mtime_ns=rounded.mtime_ns + hours * HOUR)
    assert before.resembles(rounded) and before.resembles(rounded, local_time=True)
    assert shifted.resembles(before, local_time=True)
    assert shifted.resembles(before) == (hours == 0)


@given(LOOKS, LOOKS, st.booleans())
def test_what_resembles_has_the_same_size_and_that_is_mutual(
    one: Look, two: Look, local_time: bool
) -> None:
    same = one.resembles(two, local_time=local_time)
    assert same == two.resembles(one, local_time=local_time)
    assert not same or one.size == two.size
    assert not one.resembles(replace(one, mtime_ns=one.mtime_ns + NEARBY + 1))
    aside = replace(one, mtime_ns=one.mtime_ns + HOUR // 2)
    assert not one.resembles(aside, local_time=True)


def test_a_file_has_a_look_whatever_its_inode_and_nothing_else_has_one(tmp_path: Path) -> None:
    fill(tmp_path, "a")
    os.utime(tmp_path / "a", ns=(1, 2))
    before = look(tmp_path / "a")
    (tmp_path / "a").rename(tmp_path / "old")
    fill(tmp_path, "a")
    os.utime(tmp_path / "a", ns=(5, 2))
    assert look(tmp_path / "a") == before == Look(1, 2)
    (tmp_path / "link").symlink_to(tmp_path / "a")
    os.mkfifo(tmp_path / "pipe")
    assert [look(tmp_path / name) for name in ("link", "pipe", ".", "nothing")] == [None] * 4


def test_a_writer_is_seen_and_what_cannot_be_told_is_unknown(tmp_path: Path) -> None:
    fill(tmp_path, "a")
    path = tmp_path / "a"
    assert identity.writers(path) is Writers.NONE
    with path.open("ab"):
        assert identity.writers(path) is Writers.SOME
        with path.open("rb"):
            assert identity.writers(path) is Writers.SOME
    with path.open("rb"):
        assert identity.writers(path) is Writers.NONE
    for number in errno.errorcode:
        answer = Writers.SOME if number == errno.EAGAIN else Writers.UNKNOWN
        with replaced(system, lease=failing(OSError(number, "no lease"))):
            assert identity.writers(path) is answer
    with pytest.raises(FileNotFoundError):
        identity.writers(tmp_path / "nothing")


def test_any_change_of_an_opened_file_is_another_version_and_its_name_may_lead_elsewhere(
    tmp_path: Path,
) -> None:
    fill(tmp_path, "a", "other")
    path = tmp_path / "a"
    with path.open("rb") as file:
        before, stamp = identity.version(file), path.stat().st_mtime_ns
        assert identity.version(file) == before and identity.is_same_file(file, path)
        path.write_bytes(b"b")  # of the same size
        os.utime(path, ns=(stamp, stamp))
        assert identity.version(file) != before, "its time was set back"
        (tmp_path / "other").rename(path)
        assert not identity.is_same_file(file, path)
        path.unlink()
        assert not identity.is_same_file(file, path)


def test_both_names_of_a_file_are_known_and_two_spellings_of_one_are_not(tmp_path: Path) -> None:
    fill(tmp_path, "a", "c")
    a, b, c = (tmp_path / name for name in "abc")
    assert not identity.has_both_names(a, b), "there is no b"
    assert not identity.has_both_names(a, a), "as a disk that ignores case says of A and a"
    os.link(a, b)
    assert identity.has_both_names(a, b) and not identity.has_both_names(a, c)
