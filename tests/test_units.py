"""The units that ship say only what systemd knows and what the stylewatch command can do."""

import re
import shlex
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from stylewatch_daemon.cli.exits import BY_SIGNAL
from stylewatch_daemon.cli.main import app
from stylewatch_daemon.errors import SettingsError, UsageError

UNITS = Path(__file__).parents[1] / "systemd"
SERVICE = UNITS / "stylewatch.service"
FILES = sorted(path for path in UNITS.rglob("*") if path.is_file())
ADD_UP = {"DeviceAllow", "Environment", "SystemCallFilter"}  # may be said more than once
KNOWN = {
    "Unit": "After Description Documentation RequiresMountsFor StartLimitBurst"
    " StartLimitIntervalSec",
    "Service": "AmbientCapabilities CacheDirectory CapabilityBoundingSet ConfigurationDirectory"
    " DeviceAllow DevicePolicy Environment ExecStart Group IOSchedulingClass IOSchedulingPriority"
    " KillMode LimitCORE LimitNOFILE LockPersonality MemoryDenyWriteExecute MemoryHigh MemoryMax"
    " Nice NoNewPrivileges OOMPolicy OOMScoreAdjust PrivateDevices PrivateIPC PrivateMounts"
    " PrivateNetwork PrivateTmp PrivateUsers ProcSubset ProtectClock ProtectControlGroups"
    " ProtectHome ProtectHostname ProtectKernelLogs ProtectKernelModules ProtectKernelTunables"
    " ProtectProc ProtectSystem ReadWritePaths RemoveIPC Restart RestartPreventExitStatus"
    " RestartSec RestrictAddressFamilies RestrictNamespaces RestrictRealtime RestrictSUIDSGID"
    " StateDirectory SuccessExitStatus SystemCallArchitectures SystemCallErrorNumber"
    " SystemCallFilter TasksMax TimeoutStopSec Type UMask User WorkingDirectory",
    "Install": "WantedBy",
}


def settings(path: Path) -> Iterator[tuple[str, str, str]]:
    """The settings of a unit file in their order: section, key, value."""
    section = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if header := re.fullmatch(r"\[(\w+)\]", line):
            section = header[1]
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            yield section, key, value


def value(key: str) -> str:
    (only,) = [value for _, name, value in settings(SERVICE) if name == key]
    return only


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_setting_is_known_to_systemd_and_said_once(path: Path) -> None:
    said = [(section, key) for section, key, _ in settings(path)]
    assert not [(section, key) for section, key in said if key not in KNOWN[section].split()]
    assert not [
        key for section, key in said if said.count((section, key)) > 1 and key not in ADD_UP
    ]


def test_the_service_starts_a_command_that_exists() -> None:
    env, program, name, *words = shlex.split(value("ExecStart"))
    assert (env, program) == ("/usr/bin/env", "stylewatch")
    command: Any = typer.main.get_command(app)
    options = {option for param in command.commands[name].params for option in param.opts}
    assert {word for word in words if word.startswith("-")} <= options


def test_mistakes_of_the_user_are_not_tried_again_and_a_stop_is_no_failure() -> None:
    mistakes = {UsageError.exit_code, SettingsError.exit_code}
    assert {int(code) for code in value("RestartPreventExitStatus").split()} == mistakes
    assert int(value("SuccessExitStatus")) == BY_SIGNAL + signal.SIGTERM


def test_one_path_can_be_written_so_that_renames_stay_renames() -> None:
    assert len(value("ReadWritePaths").split()) == 1
    assert value("RequiresMountsFor") == value("ReadWritePaths") == value("WorkingDirectory")


def test_torch_may_write_its_machine_code_and_see_the_processor() -> None:
    assert value("MemoryDenyWriteExecute") == "no"
    assert value("ProcSubset") == "all"
