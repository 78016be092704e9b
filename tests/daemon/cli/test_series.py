"""`--sweep`: what it names, and a folder with each picture and a sheet of them."""

import json
from pathlib import Path

import pytest
import yaml

from stylewatch_daemon.cli.main import call
from stylewatch_daemon.cli.series import field_of, overrides_of, parse
from stylewatch_daemon.errors import UsageError
from stylewatch_daemon.settings.job import members

SMALL = ("--backend", "sketch", "--size", "32", "--steps", "2", "--set", "scales=[]")


@pytest.fixture
def here(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(pictures)
    return pictures


def test_values_are_yaml_between_commas() -> None:
    assert parse(["strength=0.2,0.5", "style_weights=[1,0],[0.5,0.5]"]) == {
        "strength": (0.2, 0.5), "style_weights": ([1, 0], [0.5, 0.5]),
    }  # fmt: skip
    assert parse(["style_size=50%,100%, area"]) == {"style_size": ("50%", "100%", "area")}
    assert parse(None) == {}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("strength", "--sweep takes KEY=V1,V2"),
        ("strength=", "--sweep takes KEY=V1,V2"),
        ("strengthh=1", "did you mean 'strength'"),
        ("watch.quiet_s=1,2", "no setting of a job"),
        ("name=a,b", "name is the same for a whole series"),
        ("seed=[1", "this is not YAML"),
    ],
)
def test_what_cannot_be_swept_is_told(text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        parse([text])


def test_a_field_is_named_as_with_set() -> None:
    assert field_of("job.strength") == field_of("strength") == "strength"
    assert field_of("job.set.keep_detail") == field_of("keep_detail") == "keep_detail"
    assert field_of("objective.tv.weight") == "objective.tv.weight"


def test_what_a_member_says_goes_where_set_would_put_it() -> None:
    (one,) = members({"seed": (3,), "objective.tv.weight": (0.1,)})
    assert overrides_of(one) == {"job.seed": 3, "job.set.objective.tv.weight": 0.1}
    (one,) = members({"mask.feather": ("3%",), "stages.size": (9,), "color": ("match",)})
    assert overrides_of(one) == {
        "job.mask.feather": "3%", "job.stages.size": 9, "job.color": "match",
    }  # fmt: skip


def test_fields_of_a_section_are_swept(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """In a `render` and in the job of a `submit`; what there is not is told."""
    asked = ["render", "content.jpg", "style.jpg", *SMALL, "--sweep", "stages.size=8,16"]
    assert call([*asked, "-o", "painted", "--json", "--quiet"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert [job["name"] for job in told["jobs"]] == ["stages.size=8", "stages.size=16"]
    assert call([*asked[:-1], "stages.sizes=8", "-o", "p/"]) == 64
    assert "did you mean 'size'" in capfd.readouterr().err


def test_render_paints_each_and_draws_a_sheet(
    here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    asked = ["render", "content.jpg", "style.jpg", *SMALL, "--sweep", "strength=0.1,0.9"]
    assert call([*asked, "-o", "painted", "--json", "--quiet"]) == 0
    assert sorted(path.name for path in (here / "painted").iterdir()) == [
        "sheet.png", "strength=0.1.png", "strength=0.9.png",
    ]  # fmt: skip
    one, two = (here / f"painted/strength={value}.png" for value in ("0.1", "0.9"))
    assert one.read_bytes() != two.read_bytes()
    told = json.loads(capfd.readouterr().out)
    strengths = [job["receipt"]["recipe"]["objective"]["strength"] for job in told["jobs"]]
    assert (told["sweep"], strengths) == ({"strength": [0.1, 0.9]}, [0.1, 0.9])


def test_without_a_name_the_folder_is_called_after_both_pictures(
    here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert call(["render", "content.jpg", "style.jpg", *SMALL, "--sweep", "seed=1,2"]) == 0
    assert (here / "content-style/sheet.png").exists()
    assert capfd.readouterr().out == "content-style\n"


def test_a_sheet_that_is_there_is_replaced_only_by_force(here: Path) -> None:
    (here / "painted").mkdir()
    (here / "painted/sheet.png").write_text("mine")
    asked = ["render", "content.jpg", "style.jpg", *SMALL, "--sweep", "seed=1", "-o", "painted"]
    assert call(asked) == 73
    assert [path.name for path in (here / "painted").iterdir()] == ["sheet.png"]


def test_a_member_that_cannot_be_is_told_before_anything_is_painted(
    here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    asked = ["render", "content.jpg", "style.jpg", *SMALL, "--sweep", "strength=0.5,7", "-o", "p/"]
    assert call(asked) == 64
    assert "strength" in capfd.readouterr().err
    assert not (here / "p").exists()


def test_several_pictures_go_into_no_single_one(here: Path) -> None:
    asked = ["render", "content.jpg", "style.jpg", *SMALL, "--sweep", "seed=1", "-o", "one.png"]
    assert call(asked) == 64


def test_submit_writes_the_sweep_into_the_job(here: Path) -> None:
    (here / "inbox").mkdir()
    asked = ["submit", "content.jpg", "style.jpg", "--sweep", "seed=1,2", "--inbox", "inbox"]
    assert call([*asked, "--state", "state", "--quiet"]) == 0
    job = yaml.safe_load((here / "inbox/content-style/job.yaml").read_text())
    assert job["sweep"] == {"seed": [1, 2]}


def test_submit_refuses_a_member_that_cannot_be(here: Path) -> None:
    (here / "inbox").mkdir()
    asked = ["submit", "content.jpg", "style.jpg", "--sweep", "strength=7", "--inbox", "inbox"]
    assert call([*asked, "--state", "state", "--quiet"]) == 64
    assert list((here / "inbox").iterdir()) == []
