"""Pictures are made small by a process that lets all others go first."""

import os
from pathlib import Path

import pytest
from PIL import Image
from tests.daemon.ingest.inspection.files import KINDS, made

from stylewatch_daemon.ingest.inspection.contract import Begun, Fine, Question
from stylewatch_daemon.ingest.inspection.inspect import LOWEST_PRIORITY, shrink
from stylewatch_daemon.store import thumbs


def test_a_picture_is_made_as_small_as_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(os, "nice", asked.append)
    (tmp_path / "a.png").write_bytes(made(next(iter(KINDS))))
    question = Question("1", (tmp_path / "a.png",), 1000, tmp_path / "small", side=5)
    begun, fine = shrink(question)
    assert asked == [LOWEST_PRIORITY] and isinstance(begun, Begun) and isinstance(fine, Fine)
    path = thumbs.path_of(tmp_path / "small", fine.pictures[0].sha256, 5)
    with Image.open(path) as small:
        assert max(small.size) == 5
