"""The shipped systemd units: accepted by systemd, existing commands, little exposure."""

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

from stylewatch_daemon.base.errors import SettingsError, UsageError
from stylewatch_daemon.cli.exit_codes import BY_SIGNAL
from stylewatch_daemon.cli.main import make_app

UNITS = Path(__file__).parents[1] / "systemd"
SERVICE, USER_SERVICE = UNITS / "stylewatch.service", UNITS / "user/stylewatch.service"
DROP_INS = UNITS / "stylewatch.service.d"
TORCH = "10-torch-cpu.conf"
ANALYZE = [tool for tool in ("systemd-analyze",) if shutil.which(tool)]
"""Empty where it is not installed."""


def settings(path: Path) -> Iterator[tuple[str, str, str]]:
    """Yield section, key and value of the settings in a unit file."""
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


@pytest.mark.parametrize("path", [SERVICE, USER_SERVICE], ids=["system", "user"])
def test_the_service_starts_an_existing_command_and_fits_the_daemon(path: Path) -> None:
    env, program, name, *words = shlex.split(value("ExecStart", path))
    assert (env, program) == ("/usr/bin/env", "stylewatch")
    command: Any = typer.main.get_command(make_app())
    options = {option for param in command.commands[name].params for option in param.opts}
    assert {word for word in words if word.startswith("-")} <= options
    mistakes = {UsageError.exit_code, SettingsError.exit_code}
    assert {int(code) for code in value("RestartPreventExitStatus", path).split()} == mistakes
    assert int(value("SuccessExitStatus", path)) == BY_SIGNAL + signal.SIGTERM
    given = {key: text for _, key, text in settings(path)}
    assert (given["Type"], given["NotifyAccess"], given["KillMode"]) == ("notify", "main", "mixed")
    assert given["ExecReload"].endswith("kill -HUP $MAINPID")
    assert {"WatchdogSec", "TimeoutStartSec", "TimeoutStopSec"} <= given.keys()


def test_paths_and_accounts_of_the_unit_are_made_and_renames_stay_on_one_mount() -> None:
    assert len(value("ReadWritePaths").split()) == 1
    assert value("RequiresMountsFor") == value("ReadWritePaths")
    assert value("MemoryDenyWriteExecute") == "yes"
    assert value("MemoryDenyWriteExecute", DROP_INS / TORCH) == "no"
    assert value("ProcSubset") == "all", "torch reads /proc/cpuinfo"
    made = (UNITS / "tmpfiles.d/stylewatch.conf").read_text(encoding="utf-8")
    rows = [line.split() for line in made.splitlines() if not line.startswith("#")]
    assert {row[1] for row in rows} >= {value("ReadWritePaths")}
    assert {name for row in rows for name in row[3:5]} == {value("User"), value("Group")}
    accounts = (UNITS / "sysusers.d/stylewatch.conf").read_text(encoding="utf-8")
    assert f"\nu {value('User')} " in accounts


def analyze(*words: str | Path, folder: Path) -> str:
    """Return the output of systemd-analyze, which must accept the unit."""
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(folder)}
    ended = subprocess.run(
        ["systemd-analyze", *map(str, words)], env=environment, check=False, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout
    return ended.stdout


EXPOSURES = [  # unit, its drop-ins, the most exposure of 10
    *((SERVICE, names, most) for names, most in (
        ("", 1.0), (f"{TORCH} 20-nvidia.conf 30-network.conf", 1.5),
        (f"{TORCH} 30-network.conf 40-ray.conf", 1.1), (f"{TORCH} 50-web-unix.conf", 1.0),
        (f"{TORCH} 30-network.conf 60-low-port.conf", 1.8),
    )),
    *((unit, "", 1.5) for unit in sorted((UNITS / "cluster").iterdir())),
]  # fmt: skip


@pytest.mark.parametrize("tool", ANALYZE)
@pytest.mark.parametrize(("source", "drop_ins", "most"), EXPOSURES)
def test_systemd_accepts_the_units_and_finds_little_exposure(
    tool: str, source: Path, drop_ins: str, most: float, tmp_path: Path
) -> None:
    unit = Path(shutil.copy(source, tmp_path))
    folder = tmp_path / DROP_INS.name
    folder.mkdir()
    for name in drop_ins.split():
        shutil.copy(DROP_INS / name, folder)
    assert analyze("verify", unit, folder=tmp_path) == ""
    limit = f"--threshold={most * 10:.0f}"
    text = analyze("security", "--offline=true", limit, unit, folder=tmp_path)
    exposure = re.search(rf"exposure level for {unit.name}: ([\d.]+)", text)
    assert exposure is not None and float(exposure[1]) <= most
    if source == SERVICE:
        assert ("✗ MemoryDenyWriteExecute" in text) == (TORCH in drop_ins)


@pytest.mark.parametrize("tool", ANALYZE)
def test_systemd_accepts_the_users_unit(tool: str, tmp_path: Path) -> None:
    unit = shutil.copy(USER_SERVICE, tmp_path)
    assert analyze("--user", "verify", unit, folder=tmp_path) == ""
