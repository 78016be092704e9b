"""The settings of a job: defaults, then its job.yaml, then the command line; queue fields."""

import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.daemon.world import changed_settings, make_settings

from stylewatch_daemon.base.errors import SettingsError
from stylewatch_daemon.settings import resolve
from stylewatch_daemon.settings.config import ServiceSettings
from stylewatch_daemon.settings.job import LONGEST_PATH, JobSettings, fill_folder, name_fields
from stylewatch_daemon.settings.resolve import SettingsResolver, queue_columns
from stylewatch_daemon.settings.sections import LARGEST_JOB_FILE
from stylewatch_painter.recipes.recipe import MOST_STEPS


def service(**overrides: object) -> ServiceSettings:
    job = JobSettings(seed=1, size="100", set={"steps": 7})
    return make_settings((), Path("state"), job=job, overrides=overrides)


@pytest.fixture
def job_file(tmp_path: Path) -> Path:
    return tmp_path / "job.yaml"


def test_a_job_file_beats_the_defaults_and_the_command_line_beats_both(job_file: Path) -> None:
    assert SettingsResolver(service()).resolve(None) == service().job
    job_file.write_text("seed: 2\nsize: 200\ndepth: 16\n")
    job = SettingsResolver(service(seed=3)).resolve(job_file)
    assert (job.seed, job.size, job.set) == (3, "200", {"steps": 7})
    with pytest.raises(SettingsError, match="seed"):
        SettingsResolver(service(seed=-1)).resolve(None)
    with pytest.raises(SettingsError, match=r"^job\.yaml: depth: 16 .* format is jpg: set depth"):
        SettingsResolver(service(format="jpg")).resolve(job_file)


def test_job_files_with_the_same_text_are_checked_once_while_their_recipe_is_there(
    job_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = job_file.with_name("own.yaml")
    recipe.write_text("extends: best\n")
    resolver = SettingsResolver(changed_settings(service(), recipes=(recipe.parent,)))
    job_file.write_text("recipe: own\n")
    job, other = resolver.resolve(job_file), job_file.with_name("other.yaml")
    other.write_text("recipe: own\n")
    with monkeypatch.context() as patch:
        patch.setattr(resolve, "merge_settings", lambda *_: pytest.fail("checked again"))
        assert resolver.resolve(other) is job
    other.write_text("seed: 3\n")
    assert (resolver.resolve(other).seed, resolver.resolve(None).seed) == (3, 1)
    recipe.unlink()
    with pytest.raises(SettingsError, match="there is no recipe 'own'"):
        resolver.resolve(job_file)


def test_the_queue_gets_priority_and_needs(job_file: Path) -> None:
    priority, needs = queue_columns(service(), None)
    assert priority == 0
    job_file.write_text("priority: 5\nsize: 200\n")
    assert queue_columns(service(), job_file) == (5, needs)
    assert queue_columns(service(priority=7), job_file) == (7, needs)
    job_file.write_text("device: cuda:1\n")
    assert queue_columns(service(), job_file)[1] != needs
    job_file.write_text("priority: 5\ndevise: cuda:1\n")
    assert queue_columns(service(), job_file) == (0, needs)


def test_the_side_of_a_job_is_known_in_spite_of_mistakes(job_file: Path) -> None:
    """So that the pair is complete, and the job is refused for them."""
    job_file.write_text("only: content\nsiz: 64\n")
    assert resolve.only_side(service(), job_file) == "content"
    job_file.write_text("only: contents\n")
    assert resolve.only_side(service(), job_file) is None


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("other.yaml")])
def test_a_pipe_or_a_link_in_place_of_a_job_file_is_not_read(
    make: Callable[[Path], None], job_file: Path
) -> None:
    job_file.with_name("other.yaml").write_text("only: style\n")
    assert resolve.only_side(service(), job_file.with_name("other.yaml")) == "style"
    make(job_file)
    assert resolve.only_side(service(), job_file) is None
    with pytest.raises(SettingsError, match=r"job\.yaml"):
        SettingsResolver(service()).resolve(job_file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed: 1\nartefacts: [sheet]\n", " line 2: .* did you mean 'artifacts'"),
        ("seed: 1\nrecipe: ../../secret.yaml\n", " line 2: recipe: .* not a file"),
        ("strength: 9\nrecipe: gatis\n",
         " line 1: strength: .*\njob.yaml line 2: recipe: there is no recipe 'gatis'; did you"),
        ("\n".join(f"key{number}: 1" for number in range(3000)),
         " line 1: unknown key 'key0'.* there are 2980 more mistakes$"),
        ("x: " + "y" * LARGEST_JOB_FILE, " is longer than"), ("name: !x foo", " line 1: .* tags"),
        *((text, ".") for text in (
            f"strength: 1{':1' * 3000}.5", f"seed: 0x{'f' * 90_000}", "set: " + "[" * 20_000,
            "sweep: {strength: [0.5, 0.7]}", "flat: yes", "set: {objective.tv.weight: .nan}",
            r'name: "a\ud800"', r'set: {"a\ud800": 1}', r'device: "a\0"',
            "style_weights: [1.0e+300, 1.0e+308]", f"set: {{{'a.' * 30_000}b: 1}}",
            f"name: {'a/' * 10_000}b", "recipe: /etc/.yaml",
        )),
    ],
    ids=range(19),
)  # fmt: skip
def test_each_job_with_a_mistake_is_refused_with_its_line_in_a_short_text(
    text: str, message: str, job_file: Path
) -> None:
    job_file.write_text(text)
    resolver = SettingsResolver(service())
    for _ in range(2):
        with pytest.raises(SettingsError, match=rf"(?s)^job\.yaml{message}") as caught:
            resolver.resolve(job_file)
    assert all(len(line) < 2000 for line in str(caught.value).splitlines())
    assert str(caught.value).replace("\n", "").isprintable()
    resolve.only_side(service(), job_file)
    json.dumps(queue_columns(service(), job_file), allow_nan=False)


def test_extreme_settings_can_be_recorded_and_their_job_named_and_estimated() -> None:
    job = JobSettings(size="999999x999999", enlarge=True, steps=MOST_STEPS, save_every=1,
                      seed=2**64 - 1, name="{name}/" * 15 + "x")  # fmt: skip
    assert JobSettings.model_validate_json(job.text.encode()) == job
    sqlite3.connect(":memory:").execute("SELECT ?", (job.text,))
    fields = name_fields("a/" * 60 + "b", Path("c.jpg"), (), recipe=job.recipe, seed=job.seed)
    assert len(fill_folder(job.name, fields).encode()) <= LONGEST_PATH
