"""`make surface SURFACE=asked`, whole."""

from pathlib import Path

import pytest
from tests.surface.asked import CASES, Case, breaches


@pytest.mark.parametrize("case", CASES, ids=str)
def test_whoever_asks_for_a_job_takes_or_refuses_it_as_the_daemon(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert [*breaches(tmp_path, case)] == []
