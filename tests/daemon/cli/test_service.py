"""`stylewatch service install`."""

import os
from pathlib import Path

import pytest

from stylewatch_daemon.cli import service
from stylewatch_daemon.cli.main import call
from stylewatch_daemon.settings import config

UNIT = "systemd/system/stylewatch.service"


@pytest.fixture(autouse=True)
def etc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that is written to in place of /etc, by root; the user's folders beside it."""
    monkeypatch.setattr(service, "ETC", tmp_path / "etc")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home/.config"))
    return tmp_path / "etc"


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_it_writes_what_a_service_needs_and_tells_the_commands(
    etc: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_nvidia", lambda settings: False)
    assert call(["service", "install"]) == 0
    assert files(etc) == {
        "stylewatch/config.yaml",
        UNIT,
        f"{UNIT}.d/10-torch-cpu.conf",
        "sysusers.d/stylewatch.conf",
        "tmpfiles.d/stylewatch.conf",
    }
    assert config.load(etc / "stylewatch/config.yaml").inboxes[0].path == service.SRV / "inbox"
    assert f"/stylewatch run --config {etc}/stylewatch/config.yaml" in (etc / UNIT).read_text()
    told = capsys.readouterr()
    assert "systemctl enable --now stylewatch" in told.out
    assert len(told.err.splitlines()) == 5


def test_what_is_there_and_the_same_is_left_and_what_differs_is_kept_and_said(
    etc: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["service", "install"]) == 0
    (etc / UNIT).write_text("mine\n")
    capsys.readouterr()
    assert call(["service", "install"]) == 73
    told = capsys.readouterr().err
    assert f"{etc / UNIT}: there already, and other" in told
    assert "sysusers.d/stylewatch.conf is as it should be" in told
    assert (etc / UNIT).read_text() == "mine\n"
    assert call(["service", "install", "--force"]) == 0
    assert (etc / f"{UNIT}.old").read_text() == "mine\n"
    assert "ExecStart" in (etc / UNIT).read_text()


def test_what_the_settings_ask_for_no_more_is_told_and_taken_away_by_force(
    etc: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine, web = tmp_path / "mine.yaml", etc / f"{UNIT}.d/60-web-socket.conf"
    text = "inboxes: [{path: /srv/a/in, outbox: /srv/a/out}]\nstate: {path: /srv/a/state}\n"
    mine.write_text(f"{text}web: {{listen: systemd}}\n")
    assert call(["service", "install", "--config", str(mine)]) == 0
    (web.parent / "90-mine.conf").write_text("# mine\n")
    mine.write_text(text)
    assert call(["service", "install", "--config", str(mine)]) == 0
    assert web.exists()
    assert f"{web} is there, and the settings do not ask for it" in capsys.readouterr().err
    assert call(["service", "install", "--config", str(mine), "--force"]) == 0
    assert not web.exists() and web.with_name(f"{web.name}.old").exists()
    assert (web.parent / "90-mine.conf").exists()


def test_settings_that_are_there_are_used_and_never_written(etc: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    text = (
        "inboxes: [{path: /srv/art/in, outbox: /srv/art/out}]\n"
        "state: {path: /srv/art/state}\njob: {backend: sketch}\n"
    )
    mine.write_text(text)
    assert call(["service", "install", "--config", str(mine)]) == 0
    assert mine.read_text() == text
    assert not (etc / "stylewatch").exists()
    assert "ReadWritePaths=/srv/art\n" in (etc / UNIT).read_text()
    assert not (etc / f"{UNIT}.d/10-torch-cpu.conf").exists()


def test_for_a_user_it_needs_no_root(
    etc: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert call(["service", "install", "--user"]) == 0
    home = etc.parent / "home"
    assert files(home / ".config") == {
        "stylewatch/config.yaml",
        "systemd/user/stylewatch.service",
    }
    loaded = config.load(home / ".config/stylewatch/config.yaml")
    assert loaded.state.path == home / "stylewatch/state"
    assert "systemctl --user enable --now stylewatch" in capsys.readouterr().out
    assert call(["service", "install"]) == 73
    assert "with sudo, or with --user" in capsys.readouterr().err
    assert not etc.exists()


def test_printed_files_are_not_written(
    etc: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert call(["service", "install", "--print"]) == 0
    printed = capsys.readouterr().out
    assert f"# {etc / UNIT}\n" in printed
    assert "Type=notify" in printed
    assert not etc.exists()


def test_settings_that_are_wrong_are_told_and_nothing_is_written(etc: Path, tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text("inboxs: []\n")
    assert call(["service", "install", "--config", str(tmp_path / "wrong.yaml")]) == 78
    assert not etc.exists()


@pytest.mark.parametrize(("device", "there"), [("cuda:1", True), ("cpu", False)])
def test_a_device_that_is_named_says_whether_it_is_a_gpu_of_nvidia(
    device: str, there: bool, etc: Path, tmp_path: Path
) -> None:
    path = tmp_path / "own.yaml"
    folders = "inboxes: [{path: /srv/i, outbox: /srv/o}]\nstate: {path: /srv/s}\n"
    path.write_text(f"{folders}job: {{device: '{device}'}}\n")
    assert call(["service", "install", "--config", str(path)]) == 0
    assert (etc / f"{UNIT}.d/20-nvidia.conf").exists() == there
