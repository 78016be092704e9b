"""Alerts of a daemon, with apprise and a server on this machine."""

import signal
from pathlib import Path

import pytest
from tests.daemon.alert_server import alert_server
from tests.e2e.daemon import PAIR, PROGRAM, Daemon, until

from stylewatch_daemon.cli.main import call

PATIENT = f"from stylewatch_daemon.app import alerts; alerts.WITHIN = 60; {PROGRAM}"
"""With time enough to send what is left at the end, however busy the machine is."""


@pytest.mark.usefixtures("hears_signals")
def test_a_daemon_sends_alerts_and_reads_new_settings(daemon: Daemon) -> None:
    file, submit = daemon.root / "config.yaml", [*PAIR, "--steps", "3", "--wait", "--config"]
    daemon.program = PATIENT
    with alert_server() as old, alert_server() as new:
        file.write_text(f"alerts: {{urls: ['{old.url}'], events: [done], every_s: 1}}\n")
        daemon.start("--config", "config.yaml")
        assert daemon.process is not None
        assert call([*submit, "config.yaml"]) == 0
        until(lambda: old.bodies)
        arguments = Path(f"/proc/{daemon.process.pid}/cmdline").read_text()
        file.write_text(f"alerts: {{urls: ['{new.url}'], events: [done], every_s: 1000}}\n")
        daemon.process.send_signal(signal.SIGHUP)
        until(lambda: daemon.log.count("watching") == 2)
        assert call([*submit, "config.yaml"]) == 0
        assert daemon.end() == 0
    assert (old.bodies, new.bodies) == (["done: sea-wave"], ["done: sea-wave-2"])
    assert "hush" not in arguments + daemon.log
