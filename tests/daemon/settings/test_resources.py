"""How many jobs the machines of a cluster have places for, and what is said where there is none."""

from importlib.metadata import PackageNotFoundError

import pytest

from stylewatch_daemon.errors import SettingsError
from stylewatch_daemon.settings import resources
from stylewatch_daemon.settings.resources import Demand, Machine

SMALL = Machine("1", {"GPU": 1.0, "CPU": 4.0, "vram_gb": 8.0}, {"zone": "a"})
LARGE = Machine("2", {"GPU": 2.0, "CPU": 8.0, "vram_gb": 48.0}, {"zone": "b"})


@pytest.mark.parametrize(
    ("wanted", "places"),
    [
        (Demand(), 3),
        (Demand(gpus=0.25), 12),
        (Demand(gpus=1 / 3), 9),
        (Demand(gpus=2), 1),
        (Demand(gpus=0), 2),
        (Demand(gpus=0, resources={"CPU": 4}), 3),
        (Demand(gpus=0.5, resources={"vram_gb": 20}), 2),
        (Demand(labels={"zone": "b"}), 2),
        (Demand(gpus=0, labels={"zone": "c"}), 0),
        (Demand(resources={"tpu": 1}), 0),
    ],
)
def test_places_are_what_machines_declare_by_what_a_job_takes(wanted: Demand, places: int) -> None:
    assert wanted.places([SMALL, LARGE]) == places


def test_what_is_impossible_is_told_with_what_there_is() -> None:
    told = Demand(gpus=4, labels={"zone": "b"}, resources={"vram_gb": 20}).impossible(
        [SMALL, LARGE]
    )
    assert told.startswith(
        "no machine of the Ray cluster has GPU 4, vram_gb 20, the label zone=b; there are 2: "
        "GPU 1, vram_gb 8, zone=a; GPU 2, vram_gb 48, zone=b: correct executor.gpus_per_job"
    )


def test_ray_is_told_the_same_and_takes_no_cpu_by_itself() -> None:
    wanted = Demand(gpus=0.5, labels={"zone": "a"}, resources={"CPU": 2, "vram_gb": 8})
    assert wanted.options() == {
        "num_cpus": 2,
        "num_gpus": 0.5,
        "resources": {"vram_gb": 8},
        "label_selector": {"zone": "a"},
    }
    assert Demand(gpus=0).options() == {"num_cpus": 0}


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(resources, "version", version)
    with pytest.raises(SettingsError, match=r"pip install 'stylewatch\[ray\]'") as error:
        Demand().check()
    assert error.value.exit_code == 78


def test_gpus_are_asked_for_in_one_way() -> None:
    with pytest.raises(SettingsError, match="gpus_per_job"):
        Demand(resources={"GPU": 1}).check()
    Demand().check()
