"""Folders of ours inside an inbox are refused before anything is done."""

from pathlib import Path
from typing import Any

import pytest
from tests.daemon.disks import SAME, same_folder

from stylewatch_daemon.errors import SettingsError
from stylewatch_daemon.settings.service import InboxSettings, ServiceSettings

ROOT = Path("/srv")
GOOD = InboxSettings(ROOT / "in", ROOT / "out")


def settings(*inboxes: InboxSettings, **more: Any) -> ServiceSettings:
    return ServiceSettings(inboxes, **{"state": ROOT / "state", **more})


def test_folders_beside_one_another_are_fine() -> None:
    settings(GOOD, InboxSettings(ROOT / "in2", ROOT / "out")).check()


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (settings(InboxSettings(ROOT / "in", ROOT / "in/out")), "outbox /srv/in/out lies in"),
        (settings(InboxSettings(ROOT / "in", ROOT / "in")), "outbox /srv/in lies in"),
        (settings(GOOD, state=ROOT / "in/state"), "state folder"),
        (settings(GOOD, InboxSettings(ROOT / "in/b", ROOT / "out")), "inbox /srv/in/b lies in"),
        (settings(GOOD, default_style="all", styles=ROOT / "in/styles"), "style library"),
    ],
)
def test_a_folder_inside_an_inbox_is_refused(wrong: ServiceSettings, told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        wrong.check()


def test_a_link_into_an_inbox_does_not_hide_it(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "in")
    with pytest.raises(SettingsError, match="outbox"):
        settings(InboxSettings(tmp_path / "in", tmp_path / "out")).check()


@pytest.mark.parametrize("how", [SAME])
@pytest.mark.parametrize(
    ("shown", "ours"),
    [("in", "other"), (".", "other/in"), (".", "other/in/out"), ("in/sub", "other/out")],
)
@pytest.mark.parametrize("what", ["outbox", "state folder"])
def test_a_bind_mount_of_an_inbox_or_of_what_is_around_or_in_it_is_refused(
    how: str, shown: str, ours: str, what: str, tmp_path: Path
) -> None:
    inbox, wrong = tmp_path / "place/in", tmp_path / ours
    (inbox / "sub").mkdir(parents=True)
    with same_folder(tmp_path / "place" / shown, tmp_path / "other"):
        if what == "outbox":
            refused = settings(InboxSettings(inbox, wrong))
        else:
            refused = settings(InboxSettings(inbox, tmp_path / "out"), state=wrong)
        with pytest.raises(SettingsError, match=f"the {what} {wrong} lies in the inbox {inbox}"):
            refused.check()


@pytest.mark.parametrize("how", [SAME])
def test_a_bind_mount_beside_an_inbox_is_fine(how: str, tmp_path: Path) -> None:
    (tmp_path / "place/in").mkdir(parents=True)
    with same_folder(tmp_path / "place", tmp_path / "other"):
        settings(InboxSettings(tmp_path / "place/in", tmp_path / "other/out")).check()


def test_what_becomes_of_inputs_is_its_inboxs_to_say() -> None:
    kept = InboxSettings(ROOT / "in2", ROOT / "out", "keep")
    known = settings(GOOD, kept)
    assert [known.after(one.path) for one in known.inboxes] == ["archive", "keep"]
    assert known.after(ROOT / "an/inbox/there/was") == "archive"
