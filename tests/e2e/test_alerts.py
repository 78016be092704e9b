"""Alerts of a daemon, with apprise and a server on this machine."""

import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.daemon.alert_server import alert_server
from tests.daemon.faults import fill
from tests.daemon.world import FakeExecutor, make_inbox, make_settings
from tests.e2e.daemon import PAIR, Daemon, until

from stylewatch_daemon.cli.main import call
from stylewatch_daemon.events import Reporter
from stylewatch_daemon.service.daemon import once
from stylewatch_daemon.worker.messages import Failed


@pytest.mark.usefixtures("hears_hangups")
def test_a_daemon_sends_alerts_and_reads_new_settings(daemon: Daemon) -> None:
    file, submit = daemon.root / "config.yaml", [*PAIR, "--steps", "3", "--wait", "--config"]
    with alert_server() as old, alert_server() as new:
        file.write_text(f"alerts: {{urls: ['{old.url}'], events: [done, refused], every_s: 1}}\n")
        daemon.start("--config", "config.yaml")
        assert daemon.process is not None
        arguments = Path(f"/proc/{daemon.process.pid}/cmdline")
        Path("bad.jpg").write_text("no picture")
        assert call(["submit", "bad.jpg", "wave.jpg", "--config", "config.yaml"]) == 0
        assert call([*submit, "config.yaml"]) == 0
        until(lambda: len("\n".join(old.bodies).splitlines()) >= 2)
        assert "hush" not in arguments.read_text()
        file.write_text(f"alerts: {{urls: ['{new.url}'], events: [done], every_s: 1000}}\n")
        daemon.process.send_signal(signal.SIGHUP)
        until(lambda: "from the next job on" in daemon.log)
        assert call([*submit, "config.yaml"]) == 0
        assert daemon.end() == 0
    alerts = sorted("\n".join(old.bodies).splitlines())
    assert alerts[0] == "done: sea-wave"
    assert alerts[1].startswith("refused: bad-wave: content.jpg holds text")
    assert new.bodies == ["done: sea-wave-2"]
    assert "hush" not in daemon.log


@pytest.mark.parametrize("command", [["run", "--once", "--config"], ["config", "check"]])
def test_without_apprise_nothing_starts_and_the_message_says_what_to_install(
    command: list[str],
    daemon: Daemon,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("config.yaml").write_text("alerts: {urls: ['json://ann:hushhush@a']}\n")
    monkeypatch.setattr("stylewatch_daemon.settings.sections.find_spec", lambda name: None)
    assert call([*command, "config.yaml"]) == 78
    (line,) = capsys.readouterr().err.splitlines()
    assert "pip install 'stylewatch[notify]'" in line and "hush" not in line
    assert not (daemon.root / "state").exists()


class Blocked(Reporter):
    """Records what blocks jobs."""

    def __init__(self) -> None:
        self.reported: list[Mapping[str, str]] = []

    def blocked(self, trouble: Mapping[str, str]) -> None:
        self.reported.append(trouble)


@pytest.mark.usefixtures("any_file_is_a_picture")
def test_a_blocked_job_is_reported(tmp_path: Path) -> None:
    fill(tmp_path / "in", "a/content.jpg", "a/style.jpg", "b/content.jpg", "b/style.jpg")
    inboxes, reporter = (make_inbox(tmp_path / "in", tmp_path / "out"),), Blocked()
    settings = make_settings(inboxes, tmp_path / "state", quiet_s=0)
    once(settings, reporter, FakeExecutor([None, None, Failed("no GPU", exit_code=69)]))
    assert reporter.reported == [{"b": "no GPU"}]
    assert "apprise" not in sys.modules
