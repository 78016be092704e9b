"""A short form of `make surface`: every eighth text of the table."""

from pathlib import Path

import pytest
from tests.surface.check import answers, breaches
from tests.surface.table import rows
from tests.surface.ways import REQUIRED, ways

from stylewatch_daemon.cli import options
from stylewatch_daemon.files.disks import MountGuard
from stylewatch_daemon.settings import config
from stylewatch_daemon.settings.job import JobFile, given

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


@pytest.mark.parametrize("field", ["steps", "size", "save_every", "stroke", "strength", "preview"])
@pytest.mark.parametrize("spelling", ["{own}", "schedule.{own}", "{part}: {{{own}: {low}}}"])
@pytest.mark.parametrize("way", ["option", "job.yaml", "variable", "retry", "form"])
def test_a_later_way_wins_however_the_field_is_spelled(
    field: str, spelling: str, way: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    low, high = ("0.25", "0.5") if field in ("strength", "stroke") else ("32", "48")
    part = "objective" if field == "strength" else "schedule"
    name = spelling.replace("schedule.", f"{part}.")
    line = name.format(own=field, part=part, low=low)
    line = line if ": " in line else f"{line}: {low}"
    (folder / "config.yaml").write_text(f"job: {{set: {{{line}}}}}\n")
    overrides, job_yaml = dict[str, object](), None
    if way == "option":
        overrides = options.parse_sets([f"{field}={high}"])
    elif way == "variable":
        monkeypatch.setenv(f"STYLEWATCH_JOB__{field.upper()}", high)
    elif way == "job.yaml":
        job_yaml = folder / "job.yaml"
        job_yaml.write_text(f"{field}: {high}\n")
    settings = config.load(folder / "config.yaml", overrides)
    job = config.resolve(settings, job_yaml, MountGuard())[0]
    if way in ("retry", "form"):
        above = {field: given(field, high)}
        job = JobFile.model_validate(config.merge_job(job.model_dump(), above))
    recipe = job.resolve()
    found = getattr(recipe.objective if field == "strength" else recipe.schedule, field)
    assert str(found) == high


def test_each_setting_has_its_ways() -> None:
    by_key = {row.key: set(ways(row.key)) for row in rows()}
    assert by_key.keys() >= REQUIRED.keys()
    assert all(found >= {"config.yaml", "--set", "environment"} for found in by_key.values())
    all_ways = {"config.yaml", "--set", "environment", "job.yaml", "option", "form"}
    assert by_key["job.strength"] == by_key["job.seed"] == all_ways
