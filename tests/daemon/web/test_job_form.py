"""The form of a job: what its controls show, and what is read from them."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from tests.daemon.web.world import BROWSER, HERE, OURS, client, enter, page_of, settings

from stylewatch_daemon.settings.config import Config
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_daemon.settings.paintable import Files
from stylewatch_daemon.web import job_form
from stylewatch_daemon.web.serve import application

FILES = Files("sea.jpg", 1)
PAIR = [
    ("content", ("sea.jpg", b"content", "image/jpeg")),
    ("style", ("wave.png", b"style", "image/png")),
]


def test_the_page_names_a_folder_of_recipes_that_is_away(tmp_path: Path) -> None:
    """The form lists the recipes of packages, and a job is accepted once all are known."""
    own = tmp_path / "own"
    (tmp_path / "in").mkdir()
    enter(tmp_path / "state")
    config = settings(tmp_path).model_copy(update={"recipes": (own,)})
    page = TestClient(application(page_of(config)), HERE, headers=OURS, follow_redirects=False)
    shown = page.get("/", headers=BROWSER)
    assert shown.status_code == 200 and "strotss" in shown.text
    refused = page.post("/jobs", files=PAIR, data={"recipe": "gram"})
    assert refused.status_code in (400, 422)
    assert f"the folder of recipes {own} cannot be listed" in refused.text
    assert not list((tmp_path / "in").rglob("*.jpg"))
    own.mkdir()
    (own / "mine.yaml").write_text("extends: gram\nabout: Mine.\n")
    assert page.post("/jobs", files=PAIR, data={"recipe": "mine"}).status_code in (200, 201, 202)


OTHERS = {
    "size": 64, "stroke": 2, "strength": 0.5, "color": "match", "style_weights": [1],
    "style_size": "50%", "steps": 9, "enlarge": True, "preview": 32, "seed": 7, "format": "jpg",
}  # fmt: skip
"""A value of each setting of the form that is not its default."""


@pytest.mark.parametrize("name", [name for name in job_form.NAMES if name != "recipe"])
def test_an_emptied_control_gives_its_setting_the_default(name: str) -> None:
    base = JobSettings.model_validate({name: OTHERS[name]})
    default = getattr(JobSettings(), name)
    assert getattr(base, name) != default
    job, changed = job_form.read({name: ""}, Config(), base, FILES, ())
    assert getattr(job, name) == default
    assert changed == {name: default}


def test_an_empty_recipe_stands_for_the_one_that_the_form_cannot_name(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("extends: gram\nabout: Mine.\n")
    base = JobSettings(recipe=str(tmp_path / "mine.yaml"))
    config = Config().model_copy(update={"job": base})
    assert job_form.read({"recipe": ""}, config, base, FILES, ()) == (base, {})


def test_an_empty_control_says_what_it_means(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    enter(tmp_path / "state")
    config = settings(tmp_path)
    config = config.model_copy(update={"job": JobSettings(seed=7)})
    page = TestClient(application(page_of(config)), HERE, headers=OURS)
    html = page.get("/", headers=BROWSER).text
    inputs = [
        dict(re.findall(r'([a-z-]+)="([^"]*)"', tag)) for tag in re.findall("<input.*?>", html)
    ]
    said = {each["name"]: each["placeholder"] for each in inputs if "placeholder" in each}
    assert said.pop("seed") == "0 by default"
    assert said.pop("style_weights") == "all equal"
    assert said.pop("name") == "content-style"
    assert set(said.values()) == {"by the recipe"}
    (seed,) = [each for each in inputs if each.get("name") == "seed"]
    assert seed["value"] == "7"


def sliders(page: TestClient) -> list[str]:
    """The names of the controls that have a slider."""
    return re.findall(r'data-slider="(\w*)"', page.get("/", headers=BROWSER).text)


def test_a_share_and_no_other_setting_has_a_slider(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = client(tmp_path)
    assert sliders(page) == ["strength"]
    controls = [replace(each, is_share=each.name in ("style_size", "steps"))
                for each in job_form.CONTROLS]  # fmt: skip
    monkeypatch.setattr(job_form, "CONTROLS", controls)
    assert sliders(page) == ["style_size", "steps"]
    assert 'aria-label="Slider of the style size"' in page.get("/", headers=BROWSER).text


def test_a_mistake_in_a_setting_without_a_control_is_shown_above_the_form(tmp_path: Path) -> None:
    enter(tmp_path / "state")
    config = settings(tmp_path)
    config = config.model_copy(update={"job": config.job.model_copy(update={"depth": 16})})
    page = TestClient(application(page_of(config)), HERE, headers=OURS, follow_redirects=False)
    answer = page.post("/jobs", files=PAIR, data={"format": "jpg"}, headers=BROWSER)
    assert answer.status_code == 400
    place = re.search(r'<span [^>]*data-mistake="settings">([^<]*)</span>', answer.text)
    assert place is not None
    assert place[1].startswith("depth: 16 is for png and tiff")
