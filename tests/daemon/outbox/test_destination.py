"""Looks at the folders for results."""

from pathlib import Path
from typing import Any

import pytest
from tests.daemon.world import LanesNow

from stylewatch_daemon.base.errors import OutputError
from stylewatch_daemon.files.disks import MountGuard
from stylewatch_daemon.outbox.destination import Destination
from stylewatch_daemon.outbox.publish import Outbox


class SlowLanes(LanesNow):
    """Lanes whose work begins, and ends, only with `answer`."""

    def __init__(self) -> None:
        super().__init__(lambda call: call())
        self.waiting: list[Any] = []

    def do(self, root: Path, work: Any, done: Any, size: int = 0) -> None:
        self.waiting.append((root, work, done))

    def answer(self) -> None:
        """Do the first work that waits."""
        super().do(*self.waiting.pop(0))


def slow(folder: Path) -> tuple[Destination, SlowLanes]:
    """Return a folder that has not answered yet, and its lanes."""
    lanes = SlowLanes()
    return Destination(folder, 0, MountGuard(), lanes, lambda changed: None), lanes


def test_an_outbox_that_answers_more_slowly_than_it_is_asked_works(tmp_path: Path) -> None:
    outbox, lanes = slow(tmp_path)
    works = list[bool]()
    for _ in range(5):
        outbox.probe()
        outbox.probe()  # by another inbox
        lanes.answer()
        works.append(outbox.works)
        outbox.look()  # with the next scan
    assert any(works)


def test_a_probe_follows_a_look_and_a_probe_that_failed_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox, lanes = slow(tmp_path)
    outbox.look()
    outbox.probe()
    lanes.answer()
    assert not outbox.works

    def fail(outbox: Outbox) -> None:
        raise OutputError("no space")

    with monkeypatch.context() as full:
        full.setattr(Outbox, "probe", fail)
        outbox.probe()  # whoever asks has just made room
        lanes.answer()
    assert (outbox.works, outbox.trouble) == (False, "no space")
    lanes.answer()
    assert (outbox.works, outbox.trouble) == (True, "")
    assert not lanes.waiting
