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


@pytest.mark.parametrize("may_setgid", [True, False])
@pytest.mark.parametrize(
    ("before", "asked", "modes"),
    [
        (0o755, sharing("0640", None), (0o640, 0o750)),
        (0o2755, sharing("0664", None), (0o664, 0o2775)),
        (0o755, sharing("0660", ANOTHER), (0o660, 0o2770)),
    ],
)
def test_a_folder_gets_the_bits_to_enter_it_and_hands_its_group_on_if_that_is_allowed(
    before: int,
    asked: Sharing,
    modes: tuple[int, int],
    may_setgid: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fchmod(handle: int, wanted: int) -> None:
        if wanted & stat.S_ISGID and not may_setgid:
            raise PermissionError(1, "Operation not permitted")
        real(handle, wanted)

    (tmp_path / "a").touch()
    tmp_path.chmod(before)
    real = os.fchmod
    monkeypatch.setattr(os, "fchmod", fchmod)
    with opened(tmp_path) as handle:
        asked.file(handle, "a")
        asked.folder(handle)
    seen = [(tmp_path / "a").stat(), tmp_path.stat()]
    forbidden = 0 if may_setgid else stat.S_ISGID
    assert [stat.S_IMODE(each.st_mode) for each in seen] == [mode & ~forbidden for mode in modes]
    assert asked.group is None or {each.st_gid for each in seen} == {ANOTHER}


def test_a_link_in_the_place_of_a_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "theirs").touch(0o600)
    (tmp_path / "link").symlink_to("theirs")
    with opened(tmp_path) as handle, pytest.raises(OSError, match="symbolic links"):
        sharing("0666", None).file(handle, "link")
    assert stat.S_IMODE((tmp_path / "theirs").stat().st_mode) == 0o600


def test_a_group_must_exist_and_include_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    name = grp.getgrgid(OWN).gr_name
    assert sharing(None, name) == sharing(None, OWN) == Sharing(group=OWN)
    with pytest.raises(SettingsError, match=r"outbox.group is 'no-such-group'.*getent group"):
        sharing(None, "no-such-group")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "getgroups", lambda: [OWN])
    with pytest.raises(SettingsError, match="is not in that group: add it"):
        sharing(None, 54321)
