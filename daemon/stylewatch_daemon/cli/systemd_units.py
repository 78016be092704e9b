"""The files that make a systemd service of stylewatch on one machine, out of those that ship."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from stylewatch_daemon.errors import SettingsError
from stylewatch_daemon.settings import config, sections
from stylewatch_daemon.settings.config import Config
from stylewatch_daemon.settings.sections import SYSTEMD, parse_address

UNIT = "stylewatch.service"
WEB_SOCKET = "stylewatch-web.socket"
RUN = Path("/run/stylewatch")
"""Where the service may make a socket."""

ACCOUNT = "stylewatch"
HOMES = tuple(map(Path, ("/home", "/root", "/run/user")))
"""Folders that are hidden from the service unless they are named."""

_HIDDEN = tuple(map(Path, ("/tmp", "/var/tmp", "/dev/shm")))
_NO_MACHINE_CODE = ("sketch",)
"""Backends that write no machine code of their own while they paint."""


@dataclass(frozen=True)
class Machine:
    """Values for the units: the `stylewatch` command, `config.yaml`, the program's own folders.

    `nvidia`: paint on a GPU of NVIDIA.
    """

    command: Path
    config: Path
    program: tuple[Path, ...] = ()
    nvidia: bool = False


def for_system(machine: Machine, settings: Config) -> dict[str, str]:
    """Return the files for /etc, by name; SettingsError for a path that no unit can have."""
    written = _written(settings)
    unit = _changed(
        _shipped(UNIT),
        {
            "ExecStart": _start(machine),
            "RequiresMountsFor": _listed(written),
            "ReadWritePaths": _listed(written),
            "ProtectHome": "\n".join(_homes(machine, settings, written)),
        },
    )
    drop_ins = [] if settings.job.backend in _NO_MACHINE_CODE else ["10-torch-cpu.conf"]
    drop_ins += ["20-nvidia.conf"] if machine.nvidia else []
    drop_ins += ["30-alerts.conf"] if settings.alerts.wanted else []
    drop_ins += ["40-ray.conf"] if settings.executor.kind == "ray" else []
    drop_ins += _for_web(settings, anywhere=False)
    files = {f"systemd/system/{UNIT}": unit}
    files |= {f"systemd/system/{UNIT}.d/{name}": _shipped(f"{UNIT}.d/{name}") for name in drop_ins}
    if settings.web.listen == SYSTEMD:
        files[f"systemd/system/{WEB_SOCKET}"] = _shipped(WEB_SOCKET)
    files["sysusers.d/stylewatch.conf"] = _shipped("sysusers.d/stylewatch.conf")
    if folders := "".join(_folders(settings)):
        files["tmpfiles.d/stylewatch.conf"] = folders
    if machine.nvidia:
        files["modules-load.d/stylewatch.conf"] = "nvidia-uvm\n"
    return files


def for_user(machine: Machine, settings: Config) -> dict[str, str]:
    """Return the files for the user's folder of settings, by name; raises as `for_system` does."""
    unit = _changed(_shipped(f"user/{UNIT}"), {"ExecStart": _start(machine)})
    files = {f"systemd/user/{UNIT}": unit}
    if settings.web.listen == SYSTEMD:
        files[f"systemd/user/{WEB_SOCKET}"] = _shipped(WEB_SOCKET)
    drop_ins = _for_web(settings, anywhere=True)
    return files | {
        f"systemd/user/{UNIT}.d/{name}": _shipped(f"{UNIT}.d/{name}") for name in drop_ins
    }


def settings_below(root: Path) -> Config:
    """The settings to begin with: inbox, outbox and state below `root`."""
    inbox = sections.Inbox(path=root / "inbox", outbox=root / "outbox")
    return Config(inboxes=(inbox,), state=sections.State(path=root / "state"))


def as_yaml(settings: Config) -> str:
    """The folders in `settings`, as config.yaml has them."""
    inboxes = [{"path": str(one.path), "outbox": str(one.outbox)} for one in settings.inboxes]
    plain = {"inboxes": inboxes, "state": {"path": str(settings.state.path)}}
    return (
        "# Settings of the service; what is not said here has its default.\n"
        "# `stylewatch config check` tells every mistake, with its line.\n\n"
        f"{yaml.safe_dump(plain, sort_keys=False)}"
    )


def folders(settings: Config) -> list[Path]:
    """Everything that the service writes to."""
    inboxes = settings.inboxes
    found = [*(one.path for one in inboxes), *(one.outbox for one in inboxes), settings.state.path]
    return list(dict.fromkeys(found))


def _for_web(settings: Config, *, anywhere: bool) -> list[str]:
    """The drop-ins for the page; `anywhere`: the service sees the network, and all folders."""
    if settings.web.listen is None:
        return []
    where = parse_address(settings.web.listen)
    if settings.web.listen == SYSTEMD:
        return ["60-web-socket.conf"]
    if anywhere:
        return []
    if where.socket is not None and where.socket.parent != RUN:
        raise SettingsError(
            f"web.listen: the service can make a socket only in {RUN}: say unix:{RUN}/web.sock"
        )
    return ["50-web.conf" if where.socket is None else "70-web-unix.conf"]


def _shipped(name: str) -> str:
    return (config.shipped("systemd") / name).read_text(encoding="utf-8")


def _changed(text: str, values: Mapping[str, str]) -> str:
    """The unit `text` with other values."""
    for key, value in values.items():
        lines = f"{key}={value}".replace("\\", "\\\\")
        text = re.sub(rf"^{key}=.*$", lines, text, count=1, flags=re.MULTILINE)
    return text


def _start(machine: Machine) -> str:
    words = (machine.command, "run", "--config", machine.config)
    return " ".join(_quoted(word).replace("$", "$$") for word in words)


def _written(settings: Config) -> list[Path]:
    """The folders the service may write to: one, if that is not half of the machine."""
    found = folders(settings)
    for path in found:
        if any(path.is_relative_to(hidden) for hidden in _HIDDEN):
            raise SettingsError(
                f"{path}: a service has a folder of its own there, which nobody else sees; "
                "give inbox, outbox and state other places"
            )
    common = Path(os.path.commonpath(found))
    too_much = common.parent == Path("/") or common.parent in HOMES
    return _outermost(found) if too_much else [common]


def _homes(machine: Machine, settings: Config, written: Iterable[Path]) -> Iterator[str]:
    """Return the value of ProtectHome, and the folders that stay visible."""
    read = [*machine.program, machine.config.parent, settings.pairing.styles, *settings.recipes]
    secrets = (settings.alerts.urls_file, settings.web.token_file)
    read += [path for path in secrets if path is not None]
    seen = {
        "BindPaths": _outermost(path for path in written if _at_home(path)),
        "BindReadOnlyPaths": _outermost(path for path in read if _at_home(path)),
    }
    yield "tmpfs" if any(seen.values()) else "yes"
    for key, paths in seen.items():
        if paths:
            yield f"{key}={_listed(paths, optional=key == 'BindReadOnlyPaths')}"


def _at_home(path: Path) -> bool:
    return any(path.is_relative_to(home) for home in HOMES)


def _outermost(paths: Iterable[Path]) -> list[Path]:
    """The paths that lie in none of the others."""
    found: list[Path] = []
    for path in sorted(set(paths)):
        if not any(path.is_relative_to(other) for other in found):
            found.append(path)
    return found


def _folders(settings: Config) -> Iterator[str]:
    """A line of tmpfiles.d for each folder that is not there yet."""
    for one in settings.inboxes:
        yield from _folder(one.path, "2775")
        yield from _folder(one.outbox, "2755")
    yield from _folder(settings.state.path, "0700")


def _folder(path: Path, mode: str) -> Iterator[str]:
    if not path.exists():
        yield f"d {_quoted(path)} {mode} {ACCOUNT} {ACCOUNT} -\n"


def _listed(paths: Iterable[Path], *, optional: bool = False) -> str:
    """Paths as a unit lists them; `optional`: those that are not there are passed over."""
    mark = "-" if optional else ""
    return " ".join(_quoted(f"{mark}{path}") for path in paths)


def _quoted(word: object) -> str:
    """One word, as units and tmpfiles.d have it; SettingsError where they cannot."""
    text = str(word).replace("%", "%%")
    if not text.isprintable() or ":" in text:
        raise SettingsError(
            f"{text!r}: systemd cannot have a path with such a character; rename the folder"
        )
    if re.search(r"[\s\"'\\;]", text):
        text = text.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{text}"'
    return text
