"""The settings of a job: defaults, then its job.yaml, then the command line; queue fields."""

import json
import os
import sqlite3
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from tests.daemon.job_yaml_texts import JOB_TEXTS
from tests.daemon.world import changed_settings, make_settings

from stylewatch_daemon.errors import SettingsError
from stylewatch_daemon.files import disk_space
from stylewatch_daemon.outbox.disk_need import need
from stylewatch_daemon.settings import patterns, resolve
from stylewatch_daemon.settings.config import ServiceSettings
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_daemon.settings.resolve import Settler, queue_entry
from stylewatch_daemon.settings.sweep import members


def service(**overrides: object) -> ServiceSettings:
    job = JobSettings(seed=1, size="100", set={"steps": 7})
    return make_settings((), Path("state"), job=job, overrides=overrides)


@pytest.fixture
def job_file(tmp_path: Path) -> Path:
    return tmp_path / "job.yaml"


def test_a_job_file_beats_the_defaults_and_the_command_line_beats_both(job_file: Path) -> None:
    assert resolve.settle(service(), None) == service().job
    job_file.write_text("seed: 2\nsize: 200\n")
    job = resolve.settle(service(seed=3), job_file)
    assert (job.seed, job.size, job.set) == (3, "200", {"steps": 7})
    with pytest.raises(SettingsError, match="seed"):
        resolve.settle(service(seed=-1), None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed: 1\nstepps: 3\n", "job.yaml line 2.*did you mean 'steps'"),
        (
            "seed: 1\nkeep: [sheet]\n",
            "job.yaml line 2: unknown key 'keep'; it is now called 'artifacts'",
        ),
        ("seed: 1\nseed: 2\n", "job.yaml line 2.*twice"),
        ("- 1\n", "job.yaml should hold"),
        ("depth: 16\nformat: jpg\n", "job.yaml.*: depth: 16 is for png and tiff"),
        ("recipe: bset\n", "job.yaml: .*best"),
        ("seed: 1\nrecipe: ../../secret.yaml\n", "job.yaml line 2: recipe: .* not a file"),
        ("x: " + "y" * resolve.LONGEST, "longer than"),
    ],
)
def test_each_job_with_a_mistake_is_refused_with_its_line(
    text: str, message: str, job_file: Path
) -> None:
    job_file.write_text(text)
    for settle in (lambda file: resolve.settle(service(), file), *[Settler(service()).settle] * 2):
        with pytest.raises(SettingsError, match=f"(?s){message}"):
            settle(job_file)


def test_a_mistake_that_only_two_layers_make_together_is_one_sentence(job_file: Path) -> None:
    job_file.write_text("depth: 16\n")
    with pytest.raises(SettingsError) as caught:
        resolve.settle(service(format="jpg"), job_file)
    reason = "depth: 16 is for png and tiff, and format is jpg: set depth: 8, or another format"
    assert str(caught.value) == f"job.yaml: {reason}"


def test_many_mistakes_are_reported_in_part(job_file: Path) -> None:
    job_file.write_text("\n".join(f"key{number}: 1" for number in range(3000)))
    with pytest.raises(SettingsError) as caught:
        resolve.settle(service(), job_file)
    first, *_, last = str(caught.value).splitlines()
    assert first.startswith("job.yaml line 1: unknown key 'key0'")
    assert last.endswith("there are 2980 more mistakes")


def test_job_files_with_the_same_text_are_checked_once(
    job_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settler = Settler(service())
    job_file.write_text("seed: 2\n")
    job = settler.settle(job_file)
    other = job_file.with_name("other.yaml")
    other.write_text("seed: 2\n")
    with monkeypatch.context() as patch:
        patch.setattr(resolve, "settle", lambda *_: pytest.fail("checked again"))
        assert settler.settle(other) is job
    other.write_text("seed: 3\n")
    assert (settler.settle(other).seed, settler.settle(None).seed) == (3, 1)


def test_a_recipe_that_is_gone_refuses_jobs_that_were_checked_before(
    job_file: Path, tmp_path: Path
) -> None:
    recipe = tmp_path / "recipes" / "own.yaml"
    recipe.parent.mkdir()
    recipe.write_text("extends: best\n")
    settler = Settler(changed_settings(service(), recipes=(recipe.parent,)))
    job_file.write_text("recipe: own\n")
    assert settler.settle(job_file).recipe == "own"
    recipe.unlink()
    with pytest.raises(SettingsError, match="there is no recipe 'own'"):
        settler.settle(job_file)


def test_the_queue_gets_priority_and_needs(job_file: Path) -> None:
    plain = queue_entry(service(), None)
    job_file.write_text("priority: 5\nsize: 200\n")
    assert queue_entry(service(), job_file) == {**plain, "priority": 5}
    job_file.write_text("device: cuda:1\n")
    assert queue_entry(service(), job_file)["needs"] != plain["needs"]
    assert queue_entry(service(priority=7), job_file)["priority"] == 7


@pytest.mark.parametrize("text", ["priority: high", "priority: 5\nstepps: 3", "- 1", "\x00"])
def test_a_job_file_with_a_mistake_is_queued_by_the_defaults(text: str, job_file: Path) -> None:
    job_file.write_text(text)
    assert queue_entry(service(), job_file) == queue_entry(service(), None)


def test_a_pipe_or_a_link_in_place_of_a_job_file_is_not_read(
    job_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "other.yaml").write_text("only: style\n")
    assert resolve.only_side(service(), tmp_path / "other.yaml") == "style"
    job_file.symlink_to(tmp_path / "other.yaml")
    assert resolve.only_side(service(), job_file) is None
    job_file.unlink()
    os.mkfifo(job_file)
    assert resolve.only_side(service(), job_file) is None
    for settle in (lambda file: resolve.settle(service(), file), Settler(service()).settle):
        with pytest.raises(SettingsError, match=r"'job\.yaml' is not a regular file"):
            settle(job_file)


def test_an_unforeseen_error_of_a_check_refuses_the_job_alone(
    job_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise KeyError("unforeseen")

    job_file.write_text("strength: 0.123\n")
    monkeypatch.setattr("stylewatch_painter.recipes.book.change", fails)
    with pytest.raises(SettingsError, match=r"job\.yaml cannot be used: KeyError: 'unforeseen'"):
        resolve.settle(service(), job_file)
    assert queue_entry(service(), job_file)["shape"] == ""


HOSTILE = {
    "tag of a bool": "priority: !!bool foo",
    "tag of an int": 'seed: !!int ""',
    "tag of a float": 'strength: !!float ""',
    "tag of a date": "name: !!timestamp foo",
    "tag of our own": "name: !x foo",
    "no tag in particular": "name: ! foo",
    "tag of a list": "artifacts: !!set {losses}",
    "sexagesimal": f"strength: 1{':1' * 3000}.5",
    "sexagesimal beyond a float": f"strength: 1{':1' * 300}.5",
    "hex": f"seed: 0x{'f' * 90_000}",
    "digits": f"steps: 1{'0' * 400}",
    "more digits": f"steps: {'1' * 5000}",
    "infinite": "set: {objective.tv.weight: .inf}",
    "infinite in a sweep": "sweep: {strength: [0.5, .inf]}",
    "no number": "sweep: {strength: [0.5, .nan]}",
    "surrogate": r'name: "a\ud800"',
    "surrogate of a device": r'device: "a\ud800"',
    "surrogate of a picture": r'final: "a\ud800"',
    "surrogate in a key": r'set: {"a\ud800": 1}',
    "NUL": r'device: "a\0"',
    "line break in a device": r'device: "a\nb"',
    "no device": 'device: ""',
    "area": "size: 1e30mp",
    "box": "size: 99999999999x2",
    "stages": f"save_every: 1{'0' * 30}",
    "size of stages": f"stages: {{size: 1{'0' * 30}}}",
    "weights": "style_weights: [1.0e+300, 1.0e+308]",
    "history": "set: {optimizer.history: 100000000000}",
    "dots": f"set: {{{'a.' * 30_000}b: 1}}",
    "folders": f"name: {'a/' * 10_000}b",
    "many sizes": f"style_size: [{'50%, ' * 2000}]",
    "many weights": f"style_weights: [{'1, ' * 2000}]",
    "many fields": f"sweep: {{{', '.join(f'key{number}: [1]' for number in range(2000))}}}",
    "many fields of the recipe": (
        f"set: {{{', '.join(f'objective.key{number}: 1' for number in range(3500))}}}"
    ),
    "deep": "set: " + "[" * 20_000,
    "a file in a sweep": "sweep: {recipe: [/etc/passwd.yaml]}",
    "a hidden file": "recipe: /etc/.yaml",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_settings_are_refused_in_a_short_text(text: str, job_file: Path) -> None:
    job_file.write_text(text)
    with pytest.raises(SettingsError, match=r"^job\.yaml") as caught:
        resolve.settle(service(), job_file)
    assert len(str(caught.value)) < 2000
    assert str(caught.value).replace("\n", "").isprintable()
    resolve.only_side(service(), job_file)
    json.dumps(queue_entry(service(), job_file), allow_nan=False)


@pytest.mark.parametrize("key", ["seed", "steps", "size", "recipe", "set"])
def test_a_number_that_python_cannot_write_is_refused(key: str) -> None:
    value = {"steps": 10**5000} if key == "set" else 10**5000
    with pytest.raises(SettingsError, match=f"^the settings: .*{key}"):
        resolve.merge_settings(service(), {key: value})


@given(JOB_TEXTS)
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_text_is_usable_settings_or_refused_in_words(text: str) -> None:
    """Accepted settings can be recorded, their job can be named and its disk use estimated."""
    with TemporaryDirectory() as folder:
        job_file = Path(folder) / "job.yaml"
        job_file.write_bytes(text.encode(errors="surrogatepass"))
        resolve.only_side(service(), job_file)
        json.dumps(queue_entry(service(), job_file, [(640, 480), (300, 300)]))
        try:
            job = resolve.settle(service(), job_file)
        except SettingsError as error:
            assert 0 < len(str(error)) < 20_000
            str(error).encode()
            return
    assert JobSettings.model_validate_json(job.text.encode()) == job
    recipe = job.resolve()
    for content in ((640, 480), (65500, 1), None):
        needed = need(recipe, 40_000_000, 0, content, job)
        disk_space.amount(needed.outbox + needed.state)
    sqlite3.connect(":memory:").execute("SELECT ?, ?", (job.text, needed.outbox))
    places = patterns.values("a/b", Path("c.jpg"), (), recipe=job.recipe, seed=job.seed)
    assert len(patterns.folder(job.name, places).encode()) <= patterns.LONGEST_PATH
    assert len(patterns.file(job.final, places).encode()) < 256
    members(job.sweep)
