"""`stylewatch service install`, which writes the files of a systemd service for this machine."""

import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib.util import find_spec
from itertools import chain
from pathlib import Path

import typer
from platformdirs import user_config_path, user_pictures_path, user_state_path

from stylewatch_daemon.base.errors import OutputError, SettingsError, UnavailableError
from stylewatch_daemon.cli import options
from stylewatch_daemon.cli.exit_codes import echo, note
from stylewatch_daemon.cli.output_target import reporting_write_errors
from stylewatch_daemon.files import account, entries
from stylewatch_daemon.settings import config, sections
from stylewatch_daemon.settings.job import is_file
from stylewatch_daemon.settings.paths import absolute, shipped, without_dots
from stylewatch_daemon.settings.sections import Address, parse_address

service = typer.Typer(no_args_is_help=True, help="Run stylewatch as a systemd service.")

ETC = Path("/etc")
SRV = Path("/srv/stylewatch")
UNIT = "stylewatch.service"
RUN = Path("/run/stylewatch")
"""The folder where the service may create a socket."""

ACCOUNT = "stylewatch"
_OF_HOMES = (Path("/home"), Path("/run/user"))
"""Folders that contain the homes of several accounts."""

HOMES = (*_OF_HOMES, Path("/root"))
"""Folders in which the service sees only the paths that the unit names."""

FREE_PORTS = 1024
"""The first port that every account may listen at."""

_MOST_LINKS = 40
"""Maximum number of links on the way to a file, as in Linux."""

_PRIVATE = tuple(map(Path, ("/tmp", "/var/tmp", "/dev/shm")))

_PACKAGES = ("stylewatch_daemon", "stylewatch_plugins", "stylewatch_painter")
_SYSTEM_COMMANDS = """\
systemd-sysusers stylewatch.conf
systemd-tmpfiles --create stylewatch.conf
systemctl daemon-reload
systemctl enable --now stylewatch
journalctl --unit stylewatch --follow"""
_USER_COMMANDS = """\
systemctl --user daemon-reload
systemctl --user enable --now stylewatch
loginctl enable-linger
journalctl --user-unit stylewatch --follow"""

PAGE = "127.0.0.1:8787"
"""Address of a page that only this machine can reach."""


@service.command()
def install(
    user: bool = typer.Option(False, "--user", help="Install for your account only, without root."),
    config_file: options.Config = None,
    only_print: bool = typer.Option(False, "--print", help="Print the files, and write nothing."),
    force: bool = typer.Option(False, "--force", "-f", help="Replace files that differ."),
) -> None:
    """Write the unit files for this machine, and print the commands that start the service."""
    files = files_of(config_file, user=user)
    if only_print:
        echo("\n".join(f"# {path}\n\n{text}" for path, text in files.items()).rstrip())
        return
    if not user and os.geteuid() != 0:
        raise OutputError(
            f"only root can write to {ETC}: run this with sudo, or with --user for a service of "
            "your own"
        )
    write_files(files, force=force)
    commands = _USER_COMMANDS if user else _SYSTEM_COMMANDS
    echo(f"These commands start it, now and at every boot:\n\n{commands}")


def write_files(files: Mapping[Path, str], *, force: bool = False) -> None:
    """Write the files of the service, and report shipped drop-ins that are no longer needed.

    With `force`, files that differ are replaced, and such drop-ins are removed. Without `force`,
    files that differ stay unchanged, and OutputError names them.
    """
    kept = []
    for path, text in files.items():
        with reporting_write_errors(path), account.owning(path):
            before = path.read_text("utf-8", "replace") if entries.exists(path) else None
            if before is not None and before != text and not force:
                kept.append(str(path))
                continue
            if before != text:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
        note(f"{path} {'is up to date' if before == text else 'written'}")
    (drop_ins,) = (path.with_name(f"{UNIT}.d") for path in files if path.name == UNIT)
    ours = [drop_ins / path.name for path in (shipped("systemd") / drop_ins.name).iterdir()]
    for path in sorted(path for path in ours if entries.exists(path) and path not in files):
        if force:
            with reporting_write_errors(path):
                path.unlink()
        note(f"{path} {'removed' if force else 'is not needed: --force removes it'}")
    if kept:
        raise OutputError(
            f"{', '.join(kept)}: already there with another content; left unchanged, "
            "and `service install` with --force replaces it"
        )


def files_of(config_file: Path | None = None, *, user: bool) -> dict[Path, str]:
    """Return the texts of all files of the service by path, in the order in which to write them.

    With `user`, it is the service of this account, else that of the machine. If `config_file` is
    None and the service has no config.yaml yet, one is included. Raises SettingsError for settings
    with which no service can run, and UnavailableError if the command is missing.
    """
    root = user_config_path() if user else ETC
    path = without_dots((config_file or root / "stylewatch" / "config.yaml").absolute())
    files: dict[Path, str] = {}
    if config_file is not None or entries.exists(path):
        settings: config.Config = config.load(path)
    else:
        settings = user_settings() if user else settings_below(SRV, SRV / "state")
        files[path] = as_yaml(settings)
    settings.check()
    near = Path(sys.executable).with_name("stylewatch")
    command = str(near) if entries.exists(near) else shutil.which("stylewatch")
    if command is None:
        raise UnavailableError(
            "the command `stylewatch` is missing, only its package is there; install it with pip"
        )
    program = without_dots(Path(command).absolute())
    start = start_line(program, path)
    named = for_user(start)
    if not user:
        needed = (*_near(path), program, *_program())
        named = for_system(settings, start, needed, nvidia=_nvidia(settings))
    return {root / name: text for name, text in named.items()} | files


def start_command(source: Path, config_file: Path | None, state: Path | None) -> str:
    """Return the command that starts a daemon with the settings file `source`.

    The command starts the service if one is installed for this file and `state` is not given.
    `config_file` and `state` are the options of the command line.
    """
    services = {
        config.user_file(): (user_config_path() / "systemd/user", "systemctl --user"),
        ETC / "stylewatch/config.yaml": (ETC / "systemd/system", "sudo systemctl"),
    }
    folder, systemctl = services.get(source, (None, ""))
    if state is None and folder and entries.exists(folder / UNIT):
        return f"{systemctl} start stylewatch"
    given = {"--config": config_file, "--state": state}
    words = [str(word) for option in given.items() if option[1] for word in option]
    return shlex.join(["stylewatch", "run", *words])


def _program() -> tuple[Path, ...]:
    """Return the folders of Python, of our packages and of their data files."""
    python = Path(sys.executable).resolve().parents[1]
    origins = [spec.origin for name in _PACKAGES if (spec := find_spec(name)) and spec.origin]
    packages = [Path(origin).parents[1] for origin in origins]
    data = shipped("systemd").parent
    return (Path(sys.prefix), Path(sys.base_prefix), python, *packages, data)


def _near(config_file: Path) -> Iterator[Path]:
    """Yield the paths that a service must see to read a config.yaml.

    Each is the folder of the file or of a link to it, because editors replace files; in a home
    folder, only the file is yielded.
    """
    for path in _followed([config_file]):
        yield path if _is_home(path.parent) else path.parent


def _nvidia(settings: config.Config) -> bool:
    """Return whether the settings name an NVIDIA GPU or, if they name no device, there is one."""
    devices = (*settings.executor.own.named_devices, *filter(None, [settings.job.device]))
    if devices:
        return any(device.startswith("cuda") for device in devices)
    return entries.exists("/proc/driver/nvidia")


def for_system(
    settings: config.Config, start: str, program: Iterable[Path] = (), *, nvidia: bool = False
) -> dict[str, str]:
    """Return the texts of the files for /etc, by name relative to it.

    `start` is the command line of the service, which may read the folders of the `program`.
    `nvidia` is set if jobs run on an NVIDIA GPU. Raises SettingsError if a path cannot be written
    in a unit, or if the service cannot use a folder or socket.
    """
    writable = _writable(settings)
    library = [] if settings.web.listen is None else [*_followed([settings.pairing.styles])]
    outside = [path for path in library if not _lies_in(path, writable)]
    page = Address() if settings.web.listen is None else parse_address(settings.web.listen)
    if page.socket is not None and page.socket.parent != RUN:
        raise SettingsError(
            f"web.listen: the service can create a socket only in {RUN}: set unix:{RUN}/web.sock"
        )
    executor = settings.executor.own
    unit = {
        "ExecStart": start,
        "RequiresMountsFor": _paths(writable),
        "ReadWritePaths": _paths(writable, outside),
        "ProtectHome": "\n".join(_hidden(program, settings, writable, library)),
    }
    drop_ins = {
        "10-torch-cpu.conf": settings.job.backend != "sketch",  # others write machine code
        "20-nvidia.conf": nvidia,
        "30-network.conf": settings.alerts.wanted or executor.is_remote or bool(page.host),
        "50-web-unix.conf": page.socket is not None,
        "60-low-port.conf": bool(page.host) and 0 < page.port < FREE_PORTS,
    }
    files = {f"systemd/system/{UNIT}": _shipped(UNIT, unit)}
    names = [*(name for name, needed in drop_ins.items() if needed), executor.drop_in]
    for name in sorted(f"{UNIT}.d/{name}" for name in names if name):
        files[f"systemd/system/{name}"] = _shipped(name)
    files["sysusers.d/stylewatch.conf"] = _shipped("sysusers.d/stylewatch.conf")
    modes = {box.path: "2775" for box in settings.inboxes}
    modes |= dict.fromkeys((*settings.outboxes, *settings.finals), "2755")
    modes |= dict.fromkeys(outside, "2775")
    modes[settings.state.path] = "0700"
    missing = [
        f"d {_quoted(path)} {mode} {ACCOUNT} {ACCOUNT} -\n"
        for path, mode in modes.items()
        if _is_missing(path)
    ]
    if missing:
        files["tmpfiles.d/stylewatch.conf"] = "".join(missing)
    if nvidia:
        files["modules-load.d/stylewatch.conf"] = "nvidia-uvm\n"
    return files


def _is_missing(path: Path) -> bool:
    """Return whether `path` certainly does not exist; False if an error hides that."""
    try:
        return not entries.exists(path)
    except OSError:
        return False


def for_user(start: str) -> dict[str, str]:
    """Return the texts of the files for the user's folder of settings, by name relative to it."""
    return {f"systemd/user/{UNIT}": _shipped(f"user/{UNIT}", {"ExecStart": start})}


def user_settings(
    pictures: Path | None = None, web: sections.WebSettings | None = None
) -> config.Config:
    """Return initial settings for a user.

    The folder `pictures` has inbox, outbox and styles; by default it is `stylewatch` in the user's
    pictures folder. `web` has the settings of the page.
    """
    state = user_state_path("stylewatch")
    if state == config.user_file().parent:  # as on macOS
        state /= "state"
    pictures = pictures or user_pictures_path() / "stylewatch"
    return settings_below(absolute(pictures, Path.cwd()), state, web)


def settings_below(
    pictures: Path, state: Path, web: sections.WebSettings | None = None
) -> config.Config:
    """Return initial settings with inbox, outbox and styles in the folder `pictures`.

    `state` is the state folder. `web` has the settings of the page; None: no page.
    """
    inbox = sections.InboxSettings(path=pictures / "inbox", outbox=pictures / "outbox")
    pairing = sections.PairingSettings(styles=pictures / "styles")
    state_settings = sections.StateSettings(path=state)
    page = web or sections.WebSettings()
    return config.Config(inboxes=(inbox,), state=state_settings, pairing=pairing, web=page)


def as_yaml(settings: config.Config) -> str:
    """Return a config.yaml with comments, and with the folders and the address in `settings`."""
    (inbox,) = settings.inboxes
    values = {
        "inbox": inbox.path,
        "outbox": inbox.outbox,
        "state": settings.state.path,
        "styles": settings.pairing.styles,
        "listen": settings.web.listen or PAGE,
    }
    quoted = {key: json.dumps(str(value), ensure_ascii=False) for key, value in values.items()}
    template = shipped("initial.yaml").read_text(encoding="utf-8")
    text = template.format(**quoted, web="# " if settings.web.listen is None else "")
    file = settings.web.token_file
    return text if file is None else f"{text}  token_file: {json.dumps(str(file))}\n"


def _shipped(name: str, values: Mapping[str, str] | None = None) -> str:
    """Return the text of a shipped systemd file, with `values` in the lines of their keys."""
    text = (shipped("systemd") / name).read_text(encoding="utf-8")
    for key, value in (values or {}).items():
        lines = f"{key}={value}".replace("\\", "\\\\")
        text = re.sub(rf"^{key}=.*$", lines, text, count=1, flags=re.MULTILINE)
    return text


def start_line(command: Path, config_file: Path) -> str:
    """Return the command line of the service; SettingsError if a unit cannot contain a path."""
    words = (command, "run", "--config", config_file)
    return " ".join(_quoted(word).replace("$", "$$") for word in words)


def _written(settings: config.Config) -> list[Path]:
    """Return the folders that the daemon itself writes to."""
    inboxes = (inbox.path for inbox in settings.inboxes)
    return [*inboxes, *settings.outboxes, *settings.finals, settings.state.path]


def _writable(settings: config.Config) -> list[Path]:
    """Return the folders that the service may write to, without those inside others.

    These are the folders of the daemon, the folders to which links lead, and the common parent of
    all, unless it is too general, such as a home folder or /srv. Raises SettingsError for a folder
    in /tmp or another place of which each service has its own private version.
    """
    paths = _written(settings)
    for path in _followed(paths):
        if _lies_in(path, _followed(_PRIVATE)):
            raise SettingsError(
                f"{path}: a service has its own private folder there, which nobody else sees; "
                "move inbox, outbox, finals and state elsewhere"
            )
    common = Path(os.path.commonpath(paths))
    too_much = common.parent == Path("/") or _is_home(common)
    return _outermost(_followed(paths if too_much else [common, *paths]))


def _hidden(
    program: Iterable[Path],
    settings: config.Config,
    writable: Iterable[Path],
    library: Iterable[Path],
) -> Iterator[str]:
    """Yield the value of ProtectHome, then the settings that keep some hidden paths visible.

    The service may write in the folders `writable`, and the page in the `library`. A folder that
    both settings name would be read-only, so each folder is named in only one.
    """
    written = {*_followed(_written(settings)), *writable, *library}
    words = (path for path in _words_of(settings) if not _lies_in(path, written))
    read = {*_followed(program), *_followed(_paths_of(settings)), *words} - written
    visible = {
        "BindPaths": _paths(_below_hidden(writable), _below_hidden(library)),
        "BindReadOnlyPaths": _paths((), _below_hidden(read)),
    }
    yield "tmpfs" if any(visible.values()) else "yes"
    yield from (f"{key}={paths}" for key, paths in visible.items() if paths)


def _paths_of(settings: config.Config) -> Iterator[Path]:
    """Yield the values of settings whose type is a path, and the recipe if it is a file."""
    yield from (leaf for leaf in _leaves(settings.model_dump()) if isinstance(leaf, Path))
    if is_file(settings.job.recipe):
        yield Path(settings.job.recipe)


def _words_of(settings: config.Config) -> Iterator[Path]:
    """Yield the existing paths that hooks and options of backends seem to name.

    A word that looks like a path may mean something else. So folders such as /home (see `_hiding`)
    are left out, and so are paths that a unit cannot contain, instead of raising an error.
    """
    for word in _leaves((settings.hooks.done, settings.hooks.failed, settings.backends)):
        if not (isinstance(word, str) and word.startswith("/") and _can_hold(word)):
            continue
        places = [*_followed([without_dots(Path(word))])] if os.access(word, os.F_OK) else []
        if _hiding().isdisjoint(places) and all(_can_hold(str(place)) for place in places):
            yield from places


def _leaves(plain: object) -> Iterator[object]:
    """Yield all values in plain settings that are neither mappings nor lists."""
    match plain:
        case Mapping():
            yield from chain.from_iterable(map(_leaves, plain.values()))
        case list() | tuple():
            yield from chain.from_iterable(map(_leaves, plain))
        case _:
            yield plain


def _followed(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield each path, and then the paths to which links on the way to it lead."""
    for path in paths:
        places = [path]
        while places[-1] not in places[:-1] and len(places) <= _MOST_LINKS:
            places.append(_past_a_link(places[-1]))
        yield from dict.fromkeys(places)


def _past_a_link(path: Path) -> Path:
    """Return `path` with the first link on the way replaced by its target, if there is one."""
    for above in reversed((path, *path.parents)):
        try:
            target = above.parent / above.readlink() / path.relative_to(above)
        except OSError:  # the path is no link, or this account may not see it
            continue
        plain = os.path.normpath(target)  # realpath would skip the links that follow
        final = os.path.realpath(target)
        return Path(plain if os.path.realpath(plain) == final else final)
    return path


def _hiding() -> set[Path]:
    """Return the folders in which the service sees only the paths that the unit names.

    Folders to which links lead are included, because /home is a link on some systems.
    """
    return {*_followed((*HOMES, *_PRIVATE))}


def _is_home(folder: Path) -> bool:
    """Return whether a folder is a home folder, or one of `_hiding`, such as /home or /tmp."""
    return folder in _hiding() or folder.parent in _followed(_OF_HOMES)


def _lies_in(path: Path, folders: Iterable[Path]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)


def _below_hidden(paths: Iterable[Path]) -> list[Path]:
    hiding = _hiding()
    return _outermost(path for path in paths if _lies_in(path, hiding))


def _outermost(paths: Iterable[Path]) -> list[Path]:
    """Return the paths, sorted and without duplicates, that are not inside another one."""
    outermost: list[Path] = []
    for path in sorted(set(paths)):
        if not _lies_in(path, outermost):
            outermost.append(path)
    return outermost


def _paths(needed: Iterable[Path], optional: Iterable[Path] = ()) -> str:
    """Return the paths as text for a unit; the service starts only if all `needed` paths exist.

    Some of the `optional` paths may be missing.
    """
    return " ".join(map(_quoted, (*needed, *(f"-{path}" for path in optional))))


def _quoted(word: object) -> str:
    """Return `word` quoted for units and tmpfiles.d; raises SettingsError if that is impossible."""
    text = str(word).replace("%", "%%")
    if not _can_hold(text):
        raise SettingsError(f"{text!r}: systemd can't have a path with such a character; rename it")
    if re.search(r"[\s\"'\\;]", text):
        text = text.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{text}"'
    return text


def _can_hold(path: str) -> bool:
    """Return whether a unit can contain a path with these characters."""
    return path.isprintable() and ":" not in path
