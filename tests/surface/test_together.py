"""A short form of `make surface SURFACE=together`: one in thirty of its pairs of mistakes."""

from pathlib import Path

import pytest
from tests.surface.together import ALL, FILE, breaches, cases, said

EACH = 30


def test_no_mistake_hides_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tried = [*cases()][::EACH]
    assert [(case, breach) for case in tried for breach in breaches(tmp_path, case)] == []
    assert {number for case in tried for _, number in case} == {*range(len(ALL))}


def test_each_mistake_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert [number for number in range(len(ALL)) if len(said(tmp_path, (FILE, number))) != 1] == []
