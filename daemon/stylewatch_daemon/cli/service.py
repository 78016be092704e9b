"""`stylewatch service install`: writes the files that make a systemd service of stylewatch here."""

import os
import shutil
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from stylewatch_daemon.cli import options, systemd_units
from stylewatch_daemon.cli.console import note, say
from stylewatch_daemon.errors import OutputError, UnavailableError
from stylewatch_daemon.settings import config
from stylewatch_daemon.settings.config import Config, service_settings

app = typer.Typer(no_args_is_help=True, help="Run stylewatch as a service of systemd.")

ETC = Path("/etc")
SRV = Path("/srv/stylewatch")
_PACKAGES = ("stylewatch_daemon", "stylewatch_plugins", "stylewatch_painter")
_SYSTEM = """\
systemd-sysusers stylewatch.conf
systemd-tmpfiles --create stylewatch.conf
systemctl daemon-reload
systemctl enable --now stylewatch
journalctl --unit stylewatch --follow"""
_USER = """\
systemctl --user daemon-reload
systemctl --user enable --now stylewatch
loginctl enable-linger
journalctl --user-unit stylewatch --follow"""


@app.callback()
def service() -> None:
    """Run stylewatch as a service of systemd."""


@app.command()
def install(
    user: Annotated[
        bool, typer.Option("--user", help="For you alone, without root; not for the machine.")
    ] = False,
    config_file: options.Config = None,
    only_print: Annotated[
        bool, typer.Option("--print", help="Print the files, and write nothing.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", "-f", help="Replace files that are there and differ.")
    ] = False,
) -> None:
    """Write the unit files for this machine, and tell the commands that start the service."""
    files = _files(config_file, user=user)
    if only_print:
        say("\n".join(f"# {path}\n\n{text}" for path, text in files.items()).rstrip())
        return
    if not user and os.geteuid() != 0:
        raise OutputError(
            f"{ETC} can be written by root alone: run this with sudo, or with --user for a "
            "service of your own"
        )
    kept = [path for path, text in files.items() if not _written(path, text, force=force)]
    for path in _needless(files):
        _take_away(path, force=force)
    say(f"These commands start it, now and at every boot:\n\n{_USER if user else _SYSTEM}")
    if kept:
        raise OutputError(
            f"{', '.join(map(str, kept))}: there already, and other than it would be written; "
            "it was left as it is, and --force replaces it"
        )


def _files(config_file: Path | None, *, user: bool) -> dict[Path, str]:
    """All files, in the order in which they are written."""
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    root = home if user else ETC
    path = (config_file or root / "stylewatch" / "config.yaml").expanduser().absolute()
    files: dict[Path, str] = {}
    if config_file is not None or path.exists():
        settings = config.load(path)
    else:
        settings = systemd_units.settings_below(Path.home() / "stylewatch" if user else SRV)
        files[path] = systemd_units.as_yaml(settings)
    service_settings(settings, {})
    machine = systemd_units.Machine(_command(), path, _program(), _nvidia(settings))
    named: Mapping[str, str]
    named = (
        systemd_units.for_user(machine, settings)
        if user
        else systemd_units.for_system(machine, settings)
    )
    return files | {root / name: text for name, text in named.items()}


def _written(path: Path, text: str, *, force: bool) -> bool:
    """Write the file, unless it is there and differs; whether it now says `text`."""
    before = path.read_text(encoding="utf-8", errors="replace") if path.exists() else None
    if before == text:
        note(f"{path} is as it should be")
        return True
    if before is not None and not force:
        return False
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if before is not None:
            path.replace(path.with_name(f"{path.name}.old"))
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from error
    note(f"{path} written" if before is None else f"{path} replaced; before, it was {path}.old")
    return True


def _needless(files: Mapping[Path, str]) -> list[Path]:
    """Drop-ins of ours that are there, and that the settings do not ask for any more."""
    (unit,) = (path for path in files if path.name == systemd_units.UNIT)
    folder = unit.with_name(f"{unit.name}.d")
    ours = sorted(one.name for one in (config.shipped("systemd") / folder.name).iterdir())
    there = [folder / name for name in ours if (folder / name).exists()]
    return [path for path in there if path not in files]


def _take_away(path: Path, *, force: bool) -> None:
    """Have systemd not read a drop-in any more, or say how that is done."""
    if not force:
        note(f"{path} is there, and the settings do not ask for it: --force takes it away")
        return
    try:
        path.replace(path.with_name(f"{path.name}.old"))
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from error
    note(f"{path} taken away; it is {path}.old now")


def _command() -> Path:
    """The `stylewatch` command of this installation."""
    beside = Path(sys.executable).with_name("stylewatch")
    found = str(beside) if beside.exists() else shutil.which("stylewatch")
    if found is None:
        raise UnavailableError(
            "the command `stylewatch` is not there, only its package is; install it with pip"
        )
    return Path(found).absolute()


def _program() -> tuple[Path, ...]:
    """The folders that Python and our packages are in."""
    python = Path(sys.executable).resolve().parents[1]
    origins = [spec.origin for name in _PACKAGES if (spec := find_spec(name)) and spec.origin]
    packages = [Path(origin).parents[1] for origin in origins]
    ours = config.shipped("systemd").parent
    return (Path(sys.prefix), Path(sys.base_prefix), python, *packages, ours)


def _nvidia(settings: Config) -> bool:
    """Return True if jobs run on an NVIDIA GPU: one is named, or there is one."""
    wanted = settings.job.device
    there = Path("/proc/driver/nvidia").exists()
    return there if wanted is None else wanted.startswith("cuda")
