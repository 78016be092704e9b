"""A short form of `make surface SURFACE=names`: every fifth of its cases."""

from pathlib import Path

import pytest
from tests.surface.names import breaches, cases, sweeps, unlisted

EACH = 5


def test_a_field_is_one_setting_under_each_name_and_two_names_at_once_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tried = [*cases()][::EACH]
    found = [(case, breach) for case in tried for breach in breaches(tmp_path, case)]
    assert found == []


def test_a_series_has_a_field_once() -> None:
    assert [*sweeps()] == []


def test_each_setting_that_sets_a_field_is_tried() -> None:
    assert unlisted() == set()
