"""Files that root makes for a daemon belong to the owner of its folders (law 27)."""

import os
from pathlib import Path

import pytest

from stylewatch_daemon.base.errors import OutputError
from stylewatch_daemon.files import account, entries

OWNER = 54321

Patch = pytest.MonkeyPatch


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: Patch) -> list[tuple[int, int]]:
    """The accounts that root becomes, where all folders below one belong to another."""

    def status(path: Path) -> os.stat_result | None:
        if not path.exists():
            return None
        owner = OWNER if path.is_relative_to(tmp_path) else 0
        return os.stat_result([*path.stat()[:4], owner, owner, *path.stat()[6:]])

    became: list[tuple[int, int]] = []

    def act_as(user: int, group: int) -> bool:
        became.append((user, group))
        return True

    monkeypatch.setattr(entries, "target_status", status)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "getegid", lambda: 0)
    monkeypatch.setattr(account, "_act_as", act_as)
    return became


def test_root_becomes_the_owner_of_the_nearest_folder_and_root_again(
    asked: list[tuple[int, int]], tmp_path: Path, monkeypatch: Patch
) -> None:
    with pytest.raises(ZeroDivisionError), account.owning(tmp_path / "state/of/a/daemon"):
        assert asked == [(OWNER, OWNER)]
        raise ZeroDivisionError
    assert asked == [(OWNER, OWNER), (0, 0)]
    with account.owning(Path("/")):
        pass
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with account.owning(tmp_path):
        pass
    assert len(asked) == 2, "it is root's own, and others are nobody else"


def test_where_root_cannot_become_another_user_nothing_is_made(
    asked: list[tuple[int, int]], tmp_path: Path, monkeypatch: Patch
) -> None:
    monkeypatch.setattr(account, "_act_as", lambda *ids: asked.append(ids))
    sentence = f"is for user {OWNER}, and root cannot act as that one"
    with pytest.raises(OutputError, match=sentence), account.owning(tmp_path):
        raise AssertionError
    assert asked == [(OWNER, OWNER), (0, 0)]
