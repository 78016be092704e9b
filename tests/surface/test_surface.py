"""A short form of `make surface`: every eighth text of the table."""

from pathlib import Path

import pytest
from tests.surface.check import answers, breaches
from tests.surface.table import rows
from tests.surface.ways import REQUIRED, ways

EACH = 8


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a token in it, which is the home folder, too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    token = tmp_path / "token"
    token.write_text("t" * 32)
    token.chmod(0o600)
    return tmp_path


def test_a_text_means_the_same_on_each_way_or_is_refused_in_the_same_words(folder: Path) -> None:
    tried = rows()[::EACH]
    found = [(row, breach) for row in tried for breach in breaches(row, answers(folder, row))]
    assert found == []
    assert len({row.key for row in tried}) > len({row.key for row in rows()}) // 2


def test_each_setting_has_its_ways() -> None:
    by_key = {row.key: set(ways(row.key)) for row in rows()}
    assert by_key.keys() >= REQUIRED.keys()
    assert all(found >= {"config.yaml", "--set", "environment"} for found in by_key.values())
    all_ways = {"config.yaml", "--set", "environment", "job.yaml", "option", "form"}
    assert by_key["job.strength"] == by_key["job.seed"] == all_ways
