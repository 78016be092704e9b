"""What is published has the mode and the group that were asked for."""

import grp
import os
import stat
from pathlib import Path

import pytest

from stylewatch_daemon.errors import SettingsError
from stylewatch_daemon.files.permissions import OPEN, Sharing, sharing
from stylewatch_daemon.files.safe_dirs import opened

OURS = os.getegid()
ANOTHER = next((one for one in os.getgroups() if one != OURS), 1 if os.geteuid() == 0 else OURS)
"""A group that we may give files to; as root that is any."""


def mode(path: Path) -> str:
    return f"{stat.S_IMODE(path.stat().st_mode):04o}"


@pytest.mark.parametrize(
    ("asked", "file", "folder"),
    [("0664", "0664", "0775"), ("0640", "0640", "0750"), ("0600", "0600", "0700")],
)
def test_a_file_gets_the_mode_and_a_folder_the_bits_to_enter_it(
    asked: str, file: str, folder: str, tmp_path: Path
) -> None:
    (tmp_path / "a").write_text("x")
    with opened(tmp_path) as handle:
        sharing(asked, None).file(handle, "a")
        sharing(asked, None).folder(handle)
    assert (mode(tmp_path / "a"), mode(tmp_path)) == (file, folder)


def test_a_group_is_given_and_handed_on_to_what_others_make(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    with opened(tmp_path) as handle:
        sharing("0660", ANOTHER).file(handle, "a")
        sharing("0660", ANOTHER).folder(handle)
    assert (tmp_path / "a").stat().st_gid == tmp_path.stat().st_gid == ANOTHER
    assert (mode(tmp_path / "a"), mode(tmp_path)) == ("0660", "2770")
    (tmp_path / "theirs").mkdir()
    assert (tmp_path / "theirs").stat().st_gid == ANOTHER


def test_where_setgid_is_forbidden_the_rest_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fchmod

    def sandboxed(handle: int, wanted: int) -> None:
        if wanted & stat.S_ISGID:
            raise PermissionError(1, "Operation not permitted")
        real(handle, wanted)

    monkeypatch.setattr(os, "fchmod", sandboxed)
    with opened(tmp_path) as handle:
        sharing("0660", ANOTHER).folder(handle)
    assert (mode(tmp_path), tmp_path.stat().st_gid) == ("0770", ANOTHER)


def test_what_hands_its_group_on_goes_on_doing_so(tmp_path: Path) -> None:
    tmp_path.chmod(0o2755)
    with opened(tmp_path) as handle:
        sharing("0664", None).folder(handle)
    assert mode(tmp_path) == "2775"


def test_where_nothing_is_asked_for_nothing_changes(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    before = mode(tmp_path / "a"), mode(tmp_path)
    with opened(tmp_path) as handle:
        OPEN.file(handle, "a")
        OPEN.folder(handle)
    assert (mode(tmp_path / "a"), mode(tmp_path)) == before


def test_a_link_in_the_place_of_a_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("x")
    (tmp_path / "theirs").chmod(0o600)
    (tmp_path / "link").symlink_to("theirs")
    with opened(tmp_path) as handle, pytest.raises(OSError, match="symbolic links"):
        sharing("0666", None).file(handle, "link")
    assert mode(tmp_path / "theirs") == "0600"


def test_a_group_goes_by_its_name_or_its_number() -> None:
    name = grp.getgrgid(OURS).gr_name
    assert sharing(None, name) == sharing(None, OURS) == Sharing(group=OURS)


def test_a_group_that_there_is_not_is_told() -> None:
    with pytest.raises(SettingsError, match=r"outbox.group is 'no-such-group'.*getent group"):
        sharing(None, "no-such-group")


def test_a_group_that_we_are_not_in_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "getgroups", lambda: [OURS])
    with pytest.raises(SettingsError, match="is not in that group: add it"):
        sharing(None, 54321)
