"""`stylewatch doctor`."""

import json
from pathlib import Path

import pytest

from stylewatch_daemon.cli.main import call
from stylewatch_daemon.doctor import backends


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A config.yaml with which all is well; backends are not really asked."""
    monkeypatch.setattr(backends, "run", lambda *_, **__: backends.Status("fine"))
    (tmp_path / "config.yaml").write_text("job: {backend: sketch, size: 64, recipe: devos}\n")
    return tmp_path / "config.yaml"


def test_all_is_well_a_line_each(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["doctor", "--config", str(file)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"ok    settings: {file} has no mistakes"
    assert {line.split()[0] for line in lines} == {"ok", "note"}


def test_every_mistake_in_the_settings_is_to_be_mended(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text("watch: {quiet_s: soon}\nlimits: {attemps: 3}\n")
    assert call(["doctor", "--config", str(file)]) == 78
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["mend  settings"] * 2
    assert "attemps" in "".join(lines)


def test_a_group_that_there_is_not_is_told(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["doctor", "--config", str(file), "--set", "outbox.group=no-such-group"]
    assert call(asked) == 78
    assert "no-such-group" in capsys.readouterr().out


def test_it_ends_with_the_code_of_what_is_to_be_mended(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = backends.Status(problem="gone\x1b[31m")
    monkeypatch.setattr(backends, "run", lambda *_, **__: gone)
    assert call(["doctor", "--config", str(file)]) == 69
    assert "mend  backend sketch: gone?[31m" in capsys.readouterr().out


def test_it_is_told_as_json_too(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["doctor", "--config", str(file), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found[0] == {
        "verdict": "ok", "what": "settings", "words": f"{file} has no mistakes", "exit_code": 0,
    }  # fmt: skip
