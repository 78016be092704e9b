"""Commands that list what can be named in a job."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from stylewatch_daemon.cli.main import call
from stylewatch_daemon.doctor import backends
from stylewatch_painter.recipes import book
from stylewatch_plugins import registry


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """A config.yaml with a folder of recipes of the user's, one of them broken."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "mine.yaml").write_text("extends: best\nabout: Mine.\n")
    (tmp_path / "own" / "broken.yaml").write_text("extends: best\nstepps: 3\n")
    (tmp_path / "config.yaml").write_text("recipes: [own]\n")
    return tmp_path / "config.yaml"


def test_recipes_have_a_line_each_the_users_own_too(
    settings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["recipes", "--config", str(settings)]) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert set(lines) == {*book.names(), "mine", "broken"}
    assert lines["mine"] == "Mine."
    assert lines["broken"].startswith("broken: recipe broken: unknown key 'stepps'")


def test_a_recipe_is_printed_complete_to_start_ones_own_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["recipes", "devos"]) == 0
    own = tmp_path / "own.yaml"
    own.write_text(capsys.readouterr().out)
    assert book.find(str(own)) == book.find("devos")
    assert yaml.safe_load(own.read_text())["schedule"]["save_every"] == 50


def test_recipes_are_told_as_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["recipes", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {"name", "about", "source"} == set(found[0])
    assert call(["recipes", "best", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == book.find("best").model_dump(mode="json")


def test_a_recipe_that_there_is_not_is_told_with_the_nearest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert call(["recipes", "gatis"]) == 64
    assert "did you mean 'gatys'" in capsys.readouterr().err


@pytest.fixture
def _one_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the sketch can be loaded, as where torch is broken; none is slow to load."""
    check = backends.check_backend

    def only_sketch(name: str, options: Mapping[str, Any], timeout: float) -> backends.Status:
        if name == "sketch":
            return check(name, options, timeout=timeout)
        return backends.Status(problem=f"backend {name} is broken; this mends it")

    monkeypatch.setattr(backends, "check_backend", only_sketch)


@pytest.mark.usefixtures("_one_is_missing")
def test_backends_have_a_line_each_with_devices_or_what_is_missing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert call(["backends"]) == 0
    told = capsys.readouterr().out
    assert [line.split()[0] for line in told.splitlines()] == registry.names()
    sketch = next(line for line in told.splitlines() if line.startswith("sketch"))
    assert "cpu; resume, deterministic" in sketch
    assert "torch" in told
    assert "backend torch is broken; this mends it" in told


@pytest.mark.usefixtures("_one_is_missing")
def test_backends_are_told_as_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["backends", "--json"]) == 0
    found = {one["name"]: one for one in json.loads(capsys.readouterr().out)}
    assert found["sketch"]["devices"] == ["cpu"]
    assert found["sketch"]["problem"] is None
    assert found["sketch"]["can"] == ["resume", "deterministic"]
    assert found["torch"]["problem"] == "backend torch is broken; this mends it"


@pytest.mark.usefixtures("_one_is_missing")
def test_devices_are_told_with_their_backends(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["devices"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.split()[:2] == ["sketch", "cpu"]
    assert call(["devices", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["backend"], found["name"]) == ("sketch", "cpu")


def test_a_backend_with_options_it_does_not_have_says_so_in_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], _one_is_missing: None
) -> None:
    (tmp_path / "config.yaml").write_text("backends: {sketch: {color: red}}\n")
    assert call(["backends", "--config", str(tmp_path / "config.yaml")]) == 0
    sketch = next(s for s in capsys.readouterr().out.splitlines() if s.startswith("sketch"))
    assert "color" in sketch
