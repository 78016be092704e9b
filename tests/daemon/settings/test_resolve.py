"""The settings of a job: defaults, then its job.yaml, then the command line."""

from pathlib import Path

import pytest
from tests.daemon.world import make_settings

from stylewatch_daemon.base.errors import SettingsError
from stylewatch_daemon.files.disks import MountGuard
from stylewatch_daemon.settings.config import ServiceSettings, load, only_side, resolve
from stylewatch_daemon.settings.job import JobFile, JobSettings
from stylewatch_daemon.settings.sections import LARGEST_JOB_FILE


def service(**overrides: object) -> ServiceSettings:
    job = JobSettings(seed=1, size="100", set={"steps": 7})
    return make_settings((), Path("state"), job=job, overrides=overrides)


def resolved(settings: ServiceSettings, job_file: Path | None) -> JobFile:
    return resolve(settings, job_file, MountGuard())[0]


@pytest.fixture
def job_file(tmp_path: Path) -> Path:
    return tmp_path / "job.yaml"


def test_a_job_file_beats_the_defaults_and_the_command_line_beats_both(job_file: Path) -> None:
    defaults = resolved(service(), None)
    assert (defaults.seed, defaults.size, defaults.steps) == (1, "100", 7)
    job_file.write_text("seed: 2\nsize: 200\ndepth: 16\nfile_names: {content.jpg: sea.jpg}\n")
    job = resolved(service(seed=3), job_file)
    assert (job.seed, job.size, job.steps) == (3, "200", 7)
    assert job.file_names == {"content.jpg": "sea.jpg"}
    with pytest.raises(SettingsError, match="seed"):
        resolved(service(seed=-1), None)
    with pytest.raises(SettingsError, match=r"^job\.yaml: depth: 16 .* format is jpg: set depth"):
        resolved(service(format="jpg"), job_file)


def test_what_is_to_be_learned_is_painted_by_the_backend_that_learns(job_file: Path) -> None:
    """A job can take it back alone; what contradicts it is refused, and not guessed."""
    settings = make_settings((), Path("state"), job=JobSettings(learn=True, backend="onnx"))
    for text, backend in (("seed: 2", "learned"), ("learn: false", "onnx"),
                          ("learn: false\nbackend: torch", "torch")):  # fmt: skip
        job_file.write_text(text)
        assert resolved(settings, job_file).backend == backend
    for text, message in (("backend: torch", "leave out `backend`"), ("only: style", "`only`"),
                          ("learn: 1", "learn"), ("learn: 'yes'", "learn")):  # fmt: skip
        job_file.write_text(text)
        with pytest.raises(SettingsError, match=message):
            resolved(settings, job_file)
    config_file = job_file.with_name("config.yaml")
    config_file.write_text("job: {learn: true, only: style}")
    with pytest.raises(SettingsError, match=r"config\.yaml line 1: job: learn: true .*`only`"):
        load(config_file)
    job_file.write_text("learn: true")
    job = resolved(service(), job_file)
    assert JobFile.model_validate_json(job.model_dump_json()) == job


def test_the_side_of_a_job_is_known_in_spite_of_mistakes(job_file: Path) -> None:
    """So that the pair is complete, and the job is refused for them."""
    job_file.write_text("only: content\nsiz: 64\n")
    assert only_side(service(), job_file) == "content"
    assert only_side(service(only="style"), job_file) == "style"
    job_file.write_text("only: contents\n")
    assert only_side(service(), job_file) is None


def test_a_link_in_place_of_a_job_file_is_not_read(job_file: Path) -> None:
    job_file.with_name("other.yaml").write_text("only: style\n")
    job_file.symlink_to("other.yaml")
    assert only_side(service(), job_file) is None
    with pytest.raises(SettingsError, match=r"job\.yaml"):
        resolved(service(), job_file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed: 1\nartefacts: [sheet]\n", " line 2: .* did you mean 'artifacts'"),
        ("seed: 1\nrecipe: ../../secret.yaml\n", " line 2: recipe: .* not a file"),
        ("recipe: /etc/passwd\n", " line 1: recipe: .* not a file"),
        ("strength: 9\nrecipe: gatis\n",
         " line 1: strength: .*\njob.yaml line 2: recipe: there is no recipe 'gatis'; did you"),
        ("\n".join(f"key{number}: 1" for number in range(3000)),
         " line 1: unknown key 'key0'.* there are 2980 more mistakes$"),
        ("x: " + "y" * LARGEST_JOB_FILE, " is longer than"), ("name: !x foo", " line 1: .* tags"),
        *((text, ".") for text in (
            f"seed: 0x{'f' * 90_000}", "set: " + "[" * 20_000, r'name: "a\ud800"',
            "style_weights: [1.0e+300, 1.0e+308]", f"set: {{{'a.' * 30_000}b: 1}}",
        )),
    ],
    ids=range(12),
)  # fmt: skip
def test_each_job_with_a_mistake_is_refused_with_its_line_in_a_short_text(
    text: str, message: str, job_file: Path
) -> None:
    job_file.write_text(text)
    with pytest.raises(SettingsError, match=rf"(?s)^job\.yaml{message}") as caught:
        resolved(service(), job_file)
    assert all(len(line) < 2000 for line in str(caught.value).splitlines())
    assert str(caught.value).replace("\n", "").isprintable()
    assert only_side(service(), job_file) is None, "in spite of mistakes"
