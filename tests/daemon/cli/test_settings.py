"""`stylewatch config`."""

import json
from pathlib import Path

import pytest
import yaml

from stylewatch_daemon.cli.main import call
from stylewatch_daemon.settings import config


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.yaml"


def test_check_says_that_a_good_file_is_good(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text("backends: {sketch: {}}\n")
    assert call(["config", "check", str(file)]) == 0
    assert capsys.readouterr().out == f"{file} has no mistakes\n"


def test_check_tells_every_mistake_on_a_line_of_its_own(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text("watch:\n  quite_s: 1\njob:\n  steps: -1\n")
    assert call(["config", "check", str(file)]) == 78
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith(f"stylewatch: {file} line 2: watch: unknown key 'quite_s'")
    assert second.startswith(f"stylewatch: {file} line 4: job.steps: ")


def test_check_asks_backends_about_their_options(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text("backends:\n  sketch: {color: red}\n  skech: {}\n")
    assert call(["config", "check", str(file)]) == 78
    first, second = capsys.readouterr().err.splitlines()
    assert "backends.sketch: " in first
    assert "backends.skech: " in second


def test_check_finds_an_outbox_in_its_inbox(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text("inboxes: [{path: in, outbox: in/out}]\n")
    assert call(["config", "check", str(file)]) == 78
    assert "lies in the inbox" in capsys.readouterr().err


def test_show_prints_what_is_in_force_as_a_file_that_says_the_same(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text("watch: {quiet_s: 5}\n")
    assert call(["config", "show", str(file), "--set", "steps=7"]) == 0
    told = capsys.readouterr().out
    assert told.startswith(f"# from {file}\n")
    shown = tmp_path / "shown.yaml"
    shown.write_text(told)
    assert config.load(shown) == config.load(file, {"job.steps": 7})
    assert call(["config", "show", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["watch"]["quiet_s"] == 5


@pytest.mark.parametrize("command", ["check", "show"])
def test_a_file_may_be_named_as_for_other_commands(
    command: str, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text("watch: {quiet_s: 5}\n")
    assert call(["config", command, "--config", str(file)]) == 0
    assert str(file) in capsys.readouterr().out
    assert call(["config", command, str(file), "--config", str(file)]) == 64
    assert "name one file of settings: FILE, or --config FILE" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text", ["watch: {quiet_s: !!float ''}", 'state: {path: "a\\0"}', "a: " + "[" * 9999]
)
def test_a_hostile_file_is_refused_in_a_sentence(
    text: str, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(text)
    for command in (["config", "check"], ["config", "show"], ["run", "--once"]):
        assert call([*command, "--config", str(file)]) == 78
        told = capsys.readouterr().err
        assert told.startswith(f"stylewatch: {file} line 1: ")
        assert "Traceback" not in told


def test_schema_describes_every_section(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["config", "schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert set(schema["properties"]) == set(config.Config.model_fields)
    assert schema["additionalProperties"] is False
    assert "quiet_s" in schema["$defs"]["Watch"]["properties"]


def test_yaml_of_what_ships_is_what_show_begins_from(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["config", "show"]) == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert shown == config.load().model_dump(mode="json")


def test_a_url_of_alerts_that_nobody_knows_is_a_mistake_and_none_is_ever_shown(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text("alerts: {urls: ['json://ann:hushhush@a', hushhush]}\n")
    assert call(["config", "check", str(file)]) == 78
    assert call(["config", "show", str(file)]) == 0
    assert call(["config", "show", str(file), "--json"]) == 0
    told = capsys.readouterr()
    assert told.err.startswith(f"stylewatch: {file}: alerts: URL 2 of 2: apprise does not know")
    assert "hush" not in told.out + told.err


def test_check_tells_that_the_page_cannot_be_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.yaml").write_text("web: {listen: 127.0.0.1:8787}\n")
    monkeypatch.setattr("stylewatch_daemon.settings.config.find_spec", lambda name: None)
    assert call(["config", "check", str(tmp_path / "config.yaml")]) == 78
    assert "stylewatch[web]" in capsys.readouterr().err
