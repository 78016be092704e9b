"""A job's settings: defaults, then its job.yaml, then the command line; mistakes have lines."""

from pathlib import Path

import pytest

from stylewatch_daemon import job_settings
from stylewatch_daemon.errors import SettingsError
from stylewatch_daemon.service_settings import ServiceSettings
from stylewatch_daemon.settings import JobSettings


def service(**overrides: object) -> ServiceSettings:
    job = JobSettings(seed=1, size="100", set={"steps": 7})
    return ServiceSettings((), Path("state"), job=job, overrides=overrides)


@pytest.fixture
def job_file(tmp_path: Path) -> Path:
    return tmp_path / "job.yaml"


def test_without_a_job_file_the_defaults_hold() -> None:
    assert job_settings.settle(service(), None) == service().job


def test_a_job_file_beats_the_defaults_and_the_command_line_beats_both(job_file: Path) -> None:
    job_file.write_text("seed: 2\nsize: 200\n")
    found = job_settings.settle(service(seed=3), job_file)
    assert (found.seed, found.size) == (3, "200")
    assert found.set == {"steps": 7}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("seed: 1\nstepps: 3\n", "job.yaml line 2.*did you mean 'steps'"),
        ("seed: 1\nseed: 2\n", "job.yaml line 2.*twice"),
        ("- 1\n", "job.yaml should hold"),
        ("depth: 16\nformat: jpg\n", "job.yaml.*: depth: 16 is for png and tiff"),
        ("recipe: bset\n", "job.yaml: .*best"),
        ("seed: 1\nrecipe: ../../secret.yaml\n", "job.yaml line 2: recipe: .* not a file"),
        ("x: " + "y" * job_settings.LONGEST, "longer than"),
    ],
)
def test_a_mistake_is_told_with_its_place(text: str, told: str, job_file: Path) -> None:
    job_file.write_text(text)
    with pytest.raises(SettingsError, match=f"(?s){told}"):
        job_settings.settle(service(), job_file)


def test_a_mistake_that_only_config_and_job_make_together_is_told_in_a_sentence(
    job_file: Path,
) -> None:
    job_file.write_text("depth: 16\n")
    with pytest.raises(SettingsError) as caught:
        job_settings.settle(service(format="jpg"), job_file)
    wanted = "depth: 16 is for png and tiff, and format is jpg: say depth: 8, or another format"
    assert str(caught.value) == f"job.yaml: {wanted}"


def test_a_wrong_override_is_told_as_well() -> None:
    with pytest.raises(SettingsError, match="seed"):
        job_settings.settle(service(seed=-1), None)


def test_the_queue_is_told_of_a_jobs_priority_and_of_what_it_needs(job_file: Path) -> None:
    plain = job_settings.wishes(service(), None)
    job_file.write_text("priority: 5\nsize: 200\n")
    assert job_settings.wishes(service(), job_file) == {**plain, "priority": 5}
    job_file.write_text("device: cuda:1\n")
    assert job_settings.wishes(service(), job_file)["needs"] != plain["needs"]
    assert job_settings.wishes(service(priority=7), job_file)["priority"] == 7


@pytest.mark.parametrize("text", ["priority: high", "priority: 5\nstepps: 3", "- 1", "\x00"])
def test_a_mistake_in_a_job_file_is_no_wish(text: str, job_file: Path) -> None:
    job_file.write_text(text)
    assert job_settings.wishes(service(), job_file) == job_settings.wishes(service(), None)


def test_the_same_words_in_many_job_files_are_read_once(
    job_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settler = job_settings.Settler(service())
    job_file.write_text("seed: 2\n")
    found = settler.settle(job_file)
    other = job_file.with_name("other.yaml")
    other.write_text("seed: 2\n")
    with monkeypatch.context() as patch:
        patch.setattr(job_settings, "settle", lambda *_: pytest.fail("it is read again"))
        assert settler.settle(other) is found
    other.write_text("seed: 3\n")
    assert settler.settle(other).seed == 3
    assert settler.settle(None).seed == 1


def test_a_mistake_is_told_of_each_job_that_makes_it(job_file: Path) -> None:
    settler = job_settings.Settler(service())
    job_file.write_text("sed: 2\n")
    for _ in range(2):
        with pytest.raises(SettingsError, match="line 1"):
            settler.settle(job_file)
