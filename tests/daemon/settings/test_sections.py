"""What may be said in each section of config.yaml, and how."""

from pathlib import Path

import pytest

from stylewatch_daemon.errors import SettingsError
from stylewatch_daemon.settings import config
from stylewatch_daemon.settings.service import service_settings


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A file of settings, to be written."""
    return tmp_path / "mine.yaml"


@pytest.mark.parametrize(("said", "meant"), [("yes", "yes"), ("no", "no"), ("auto", "auto")])
def test_a_plain_yes_is_a_yes(written: Path, said: str, meant: str) -> None:
    written.write_text(f"watch: {{polling: {said}}}\n")
    assert config.load(written).watch.polling == meant


@pytest.mark.parametrize("said", ["0664", "'0664'", "436"])
def test_a_mode_is_octal_however_yaml_takes_it(said: str, written: Path) -> None:
    written.write_text(f"outbox: {{mode: {said}}}\n")
    assert config.load(written).outbox.mode == "0664"
    assert config.load(None, {"outbox.mode": 0o640}).outbox.mode == "0640"


@pytest.mark.parametrize("said", ["664", "0o664", "rw-rw-r--", "0444", "0775", "0064", "yes", "-1"])
def test_what_is_no_mode_of_a_file_is_a_mistake(said: str, written: Path) -> None:
    written.write_text(f"outbox:\n  mode: {said}\n")
    with pytest.raises(SettingsError, match=r"line 2: outbox\.mode"):
        config.load(written)


@pytest.mark.parametrize(
    ("said", "meant"), [("keep", "keep"), ("0", 0), ("30", 30), ("30 days", 30), ("1 day", 1)]
)
def test_days_may_be_said_with_the_word(said: str, meant: object, written: Path) -> None:
    written.write_text(f"retention: {{stages: {said}, inputs: {said}}}\n")
    kept = config.load(written).retention
    assert (kept.stages, kept.inputs) == (meant, meant)


@pytest.mark.parametrize("said", ["-1", "for ever", "2 weeks", "1.5", "days"])
def test_what_is_no_number_of_days_is_a_mistake(said: str, written: Path) -> None:
    written.write_text(f"retention:\n  stages: {said}\n")
    with pytest.raises(SettingsError, match=r"line 2: retention\.stages"):
        config.load(written)


@pytest.mark.parametrize(("said", "meant"), [("painters", "painters"), ("1000", 1000)])
def test_a_group_is_a_name_or_a_number(said: str, meant: object, written: Path) -> None:
    written.write_text(f"outbox: {{group: {said}}}\n")
    assert config.load(written).outbox.group == meant


def test_devices_are_all_that_are_found_or_those_that_are_named(written: Path) -> None:
    assert config.load().executor.devices == "auto"
    written.write_text("executor: {devices: [cuda:1, cpu]}\n")
    assert config.load(written).executor.devices == ("cuda:1", "cpu")


@pytest.mark.parametrize("said", ["[]", "[cpu, cpu]", "cuda:0", "all"])
def test_what_is_no_list_of_devices_is_a_mistake(said: str, written: Path) -> None:
    written.write_text(f"executor:\n  devices: {said}\n")
    with pytest.raises(SettingsError, match=r"line 2: executor\.devices"):
        config.load(written)


def test_how_many_are_painted_at_once_goes_by_the_device_or_is_said(written: Path) -> None:
    assert config.load().executor.batch == "auto"
    written.write_text("executor: {batch: 4}\n")
    assert service_settings(config.load(written), {}).batch == 4
    written.write_text("executor:\n  batch: 65\n")
    with pytest.raises(SettingsError, match=r"line 2: executor\.batch"):
        config.load(written)


@pytest.mark.parametrize(
    ("said", "meant"),
    [("null", None), ("6GB", 6 * 10**9), ("1.5 GB", 1_500_000_000), ("512MiB", 2**29), ("7", 7)],
)
def test_memory_is_a_number_of_bytes(said: str, meant: int | None, written: Path) -> None:
    written.write_text(f"limits: {{memory: {said}}}\n")
    assert config.load(written).limits.memory == meant


@pytest.mark.parametrize("said", ["much", "6 GBs", "0", "-1GB", "1.5"])
def test_what_is_no_number_of_bytes_is_a_mistake(said: str, written: Path) -> None:
    written.write_text(f"limits:\n  memory: {said}\n")
    with pytest.raises(SettingsError, match=r"line 2: limits\.memory"):
        config.load(written)


def test_a_cluster_is_told_what_a_job_takes_of_it(written: Path) -> None:
    written.write_text(
        "executor: {kind: ray, address: 'ray://head:10001', gpus_per_job: 0.25, "
        "labels: {zone: a}, resources: {vram_gb: 20}}\n"
    )
    said = config.load(written).executor
    assert (said.address, said.gpus_per_job) == ("ray://head:10001", 0.25)
    assert (said.labels, said.resources) == ({"zone": "a"}, {"vram_gb": 20.0})


@pytest.mark.parametrize(
    ("said", "mistake"),
    [
        ("{kind: ray, devices: [cuda:0]}", "devices is for kind: local"),
        ("{address: auto, gpus_per_job: 2}", "gpus_per_job is for kind: ray"),
        ("{kind: ray, gpus_per_job: 1.5}", "a share of a GPU"),
        ("{kind: ray, gpus_per_job: -1}", "gpus_per_job"),
        ("{kind: ray, resources: {vram_gb: 0}}", "resources"),
        ("{kind: dask}", "kind"),
    ],
)
def test_what_one_kind_of_executor_has_no_use_for_is_a_mistake(
    said: str, mistake: str, written: Path
) -> None:
    written.write_text(f"executor: {said}\n")
    with pytest.raises(SettingsError, match=mistake):
        config.load(written)
