"""The units that ship say only what systemd knows and what the stylewatch command can do."""

import os
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from stylewatch_daemon.cli.exit_codes import BY_SIGNAL
from stylewatch_daemon.cli.main import app
from stylewatch_daemon.errors import SettingsError, UsageError

UNITS = Path(__file__).parents[1] / "systemd"
SERVICE, USER_SERVICE = UNITS / "stylewatch.service", UNITS / "user/stylewatch.service"
FILES = sorted((*UNITS.rglob("*.service"), *UNITS.rglob("*.socket"))) + sorted(
    (UNITS / "stylewatch.service.d").iterdir()
)
TORCH, NVIDIA, ALERTS = "10-torch-cpu.conf", "20-nvidia.conf", "30-alerts.conf"
RAY = "40-ray.conf"
WEB, WEB_SOCKET, WEB_UNIX = "50-web.conf", "60-web-socket.conf", "70-web-unix.conf"
ADD_UP = {"DeviceAllow", "Environment", "RestrictAddressFamilies", "SystemCallFilter"}
"""What may be said more than once."""
KNOWN = {
    "Unit": "After Description Documentation RequiresMountsFor StartLimitBurst"
    " StartLimitIntervalSec Wants",
    "Service": "AmbientCapabilities CacheDirectory CapabilityBoundingSet ConfigurationDirectory"
    " DeviceAllow DevicePolicy Environment ExecReload ExecStart Group IOSchedulingClass"
    " IOSchedulingPriority KillMode LimitCORE LimitNOFILE LockPersonality MemoryDenyWriteExecute"
    " MemoryHigh MemoryMax Nice NoNewPrivileges NotifyAccess OOMPolicy OOMScoreAdjust"
    " PrivateDevices PrivateIPC PrivateMounts PrivateNetwork PrivateTmp PrivateUsers ProcSubset"
    " ProtectClock ProtectControlGroups ProtectHome ProtectHostname ProtectKernelLogs"
    " ProtectKernelModules ProtectKernelTunables ProtectProc ProtectSystem ReadWritePaths"
    " RemoveIPC Restart RestartPreventExitStatus RestartSec RestrictAddressFamilies"
    " RestrictNamespaces RestrictRealtime RestrictSUIDSGID RuntimeDirectory RuntimeDirectoryMode"
    " Sockets StateDirectory SuccessExitStatus"
    " SystemCallArchitectures SystemCallErrorNumber SystemCallFilter TasksMax TimeoutStartSec"
    " TimeoutStopSec Type UMask User WatchdogSec",
    "Socket": "ListenStream Service",
    "Install": "WantedBy",
}
ANALYZE = [tool for tool in ("systemd-analyze",) if shutil.which(tool)]
"""None where it is not installed; what is known of the files without it is tested anyway."""


def settings(path: Path) -> Iterator[tuple[str, str, str]]:
    """The settings of a unit file in their order: section, key, value."""
    section = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if header := re.fullmatch(r"\[(\w+)\]", line):
            section = header[1]
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            yield section, key, value


def value(key: str, path: Path = SERVICE) -> str:
    (only,) = [value for _, name, value in settings(path) if name == key]
    return only


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_setting_is_known_to_systemd_and_said_once(path: Path) -> None:
    said = [(section, key) for section, key, _ in settings(path)]
    assert not [(section, key) for section, key in said if key not in KNOWN[section].split()]
    assert not [
        key for section, key in said if said.count((section, key)) > 1 and key not in ADD_UP
    ]


@pytest.mark.parametrize("path", [SERVICE, USER_SERVICE], ids=["system", "user"])
def test_the_service_starts_a_command_that_exists(path: Path) -> None:
    env, program, name, *words = shlex.split(value("ExecStart", path))
    assert (env, program) == ("/usr/bin/env", "stylewatch")
    command: Any = typer.main.get_command(app)
    options = {option for param in command.commands[name].params for option in param.opts}
    assert {word for word in words if word.startswith("-")} <= options


@pytest.mark.parametrize("path", [SERVICE, USER_SERVICE], ids=["system", "user"])
def test_mistakes_of_the_user_are_not_tried_again_and_a_stop_is_no_failure(path: Path) -> None:
    mistakes = {UsageError.exit_code, SettingsError.exit_code}
    assert {int(code) for code in value("RestartPreventExitStatus", path).split()} == mistakes
    assert int(value("SuccessExitStatus", path)) == BY_SIGNAL + signal.SIGTERM


@pytest.mark.parametrize("path", [SERVICE, USER_SERVICE], ids=["system", "user"])
def test_the_daemon_says_when_it_is_ready_and_well_and_reloads_by_signal(path: Path) -> None:
    said = {key: text for _, key, text in settings(path)}
    assert (said["Type"], said["NotifyAccess"], said["KillMode"]) == ("notify", "main", "mixed")
    assert said["ExecReload"].endswith(f"kill -{signal.SIGHUP.name.removeprefix('SIG')} $MAINPID")
    assert {"WatchdogSec", "TimeoutStartSec", "TimeoutStopSec"} <= said.keys()


def test_one_path_can_be_written_so_that_renames_stay_renames() -> None:
    assert len(value("ReadWritePaths").split()) == 1
    assert value("RequiresMountsFor") == value("ReadWritePaths")


def test_torch_may_write_its_machine_code_and_see_the_processor() -> None:
    assert value("MemoryDenyWriteExecute") == "yes"
    assert value("MemoryDenyWriteExecute", UNITS / "stylewatch.service.d" / TORCH) == "no"
    assert value("ProcSubset") == "all"


def test_the_folders_of_the_unit_are_made_and_belong_to_its_account() -> None:
    made = (UNITS / "tmpfiles.d/stylewatch.conf").read_text(encoding="utf-8")
    rows = [line.split() for line in made.splitlines() if not line.startswith("#")]
    assert {row[1] for row in rows} >= {value("ReadWritePaths")}
    assert {name for row in rows for name in row[3:5]} == {value("User"), value("Group")}
    accounts = (UNITS / "sysusers.d/stylewatch.conf").read_text(encoding="utf-8")
    assert f"\nu {value('User')} " in accounts


def analyzed(*words: str | Path, folder: Path) -> str:
    """What systemd-analyze says of a unit; it must have nothing against it."""
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(folder)}
    ended = subprocess.run(
        ["systemd-analyze", *map(str, words)], env=environment, check=False, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout
    return ended.stdout


@pytest.mark.parametrize("tool", ANALYZE)
@pytest.mark.parametrize(
    ("drop_ins", "most"),
    [
        ((), 1.0),
        ((TORCH,), 1.0),
        ((TORCH, NVIDIA), 1.5),
        ((TORCH, ALERTS), 1.1),
        ((TORCH, RAY), 1.1),
        ((TORCH, NVIDIA, ALERTS), 1.5),
        ((TORCH, WEB), 1.1),
        ((TORCH, WEB_SOCKET), 1.0),
        ((TORCH, WEB_UNIX), 1.0),
    ],
    ids=[
        "plain",
        "torch",
        "nvidia",
        "alerts",
        "ray",
        "nvidia and alerts",
        "web",
        "web socket",
        "web unix",
    ],
)
def test_systemd_finds_no_fault_and_little_exposure(
    tool: str, drop_ins: tuple[str, ...], most: float, tmp_path: Path
) -> None:
    unit = Path(shutil.copy(SERVICE, tmp_path))
    folder = tmp_path / f"{unit.name}.d"
    folder.mkdir()
    shutil.copy(UNITS / "stylewatch-web.socket", tmp_path)
    for name in drop_ins:
        shutil.copy(UNITS / folder.name / name, folder)
    assert analyzed("verify", unit, folder=tmp_path) == ""
    limit = f"--threshold={most * 10:.0f}"
    told = analyzed("security", "--offline=true", limit, unit, folder=tmp_path)
    found = re.search(r"exposure level for stylewatch.service: ([\d.]+)", told)
    assert found is not None
    assert float(found[1]) <= most
    assert ("✗ MemoryDenyWriteExecute" in told) == (TORCH in drop_ins)


@pytest.mark.parametrize("tool", ANALYZE)
def test_systemd_finds_no_fault_in_the_users_unit(tool: str, tmp_path: Path) -> None:
    unit = shutil.copy(USER_SERVICE, tmp_path)
    assert analyzed("--user", "verify", unit, folder=tmp_path) == ""


@pytest.mark.parametrize("tool", ANALYZE)
@pytest.mark.parametrize("unit", sorted((UNITS / "cluster").iterdir()), ids=lambda unit: unit.stem)
def test_systemd_finds_no_fault_in_the_units_of_a_cluster_and_little_exposure(
    tool: str, unit: Path, tmp_path: Path
) -> None:
    copied = shutil.copy(unit, tmp_path)
    assert analyzed("verify", copied, folder=tmp_path) == ""
    assert exposure(unit, 1.5, tmp_path) <= 1.5


def exposure(unit: Path, most: float, folder: Path) -> float:
    """How exposed systemd finds a unit that was copied to `folder`: 0 to 10."""
    limit = f"--threshold={most * 10:.0f}"
    told = analyzed("security", "--offline=true", limit, folder / unit.name, folder=folder)
    found = re.search(rf"exposure level for {unit.name}: ([\d.]+)", told)
    assert found is not None
    return float(found[1])
