"""Published files have the mode and the group of the settings."""

import grp
import os
import stat
from pathlib import Path

import pytest

from stylewatch_daemon.base.errors import SettingsError
from stylewatch_daemon.files.permissions import Sharing, sharing
from stylewatch_daemon.files.safe_dirs import opened

OWN = os.getegid()
ANOTHER = next((group for group in os.getgroups() if group != OWN), 1 if os.geteuid() == 0 else OWN)
"""A group that this process may give files to; as root that is any."""


def apply(folder: Path, permissions: Sharing) -> tuple[str, str]:
    """Set the permissions of the file `a` and of its folder; return their modes."""
    (folder / "a").touch()
    with opened(folder) as handle:
        permissions.file(handle, "a")
        permissions.folder(handle)
    return mode(folder / "a"), mode(folder)


def mode(path: Path) -> str:
    return f"{stat.S_IMODE(path.stat().st_mode):04o}"


@pytest.mark.parametrize(
    ("before", "asked", "file", "folder"),
    [
        (0o755, "0640", "0640", "0750"),
        (0o2755, "0664", "0664", "2775"),
    ],
)
def test_a_file_gets_the_mode_and_a_folder_the_bits_to_enter_it(
    before: int, asked: str, file: str, folder: str, tmp_path: Path
) -> None:
    tmp_path.chmod(before)
    assert apply(tmp_path, sharing(asked, None)) == (file, folder)


@pytest.mark.parametrize("sandboxed", [False, True])
def test_a_group_is_inherited_by_new_files_where_setgid_is_allowed(
    sandboxed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fchmod(handle: int, wanted: int) -> None:
        if wanted & stat.S_ISGID and sandboxed:
            raise PermissionError(1, "Operation not permitted")
        real(handle, wanted)

    real = os.fchmod
    monkeypatch.setattr(os, "fchmod", fchmod)
    folder = "0770" if sandboxed else "2770"
    assert apply(tmp_path, sharing("0660", ANOTHER)) == ("0660", folder)
    assert {path.stat().st_gid for path in (tmp_path, tmp_path / "a")} == {ANOTHER}


def test_a_link_in_the_place_of_a_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "theirs").touch(0o600)
    (tmp_path / "link").symlink_to("theirs")
    with opened(tmp_path) as handle, pytest.raises(OSError, match="symbolic links"):
        sharing("0666", None).file(handle, "link")
    assert mode(tmp_path / "theirs") == "0600"


def test_a_group_must_exist_and_include_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    name = grp.getgrgid(OWN).gr_name
    assert sharing(None, name) == sharing(None, OWN) == Sharing(group=OWN)
    with pytest.raises(SettingsError, match=r"outbox.group is 'no-such-group'.*getent group"):
        sharing(None, "no-such-group")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "getgroups", lambda: [OWN])
    with pytest.raises(SettingsError, match="is not in that group: add it"):
        sharing(None, 54321)
