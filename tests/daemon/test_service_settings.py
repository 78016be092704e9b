"""Folders of ours inside an inbox are refused before anything is done."""

from pathlib import Path
from typing import Any

import pytest

from stylewatch_daemon.errors import SettingsError
from stylewatch_daemon.service_settings import InboxSettings, ServiceSettings

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


def test_what_becomes_of_inputs_is_its_inboxs_to_say() -> None:
    kept = InboxSettings(ROOT / "in2", ROOT / "out", "keep")
    known = settings(GOOD, kept)
    assert [known.after(one.path) for one in known.inboxes] == ["archive", "keep"]
    assert known.after(ROOT / "an/inbox/there/was") == "archive"
