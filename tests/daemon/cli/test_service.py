"""`stylewatch service install`, and the units that it writes."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.cli.conftest import Run, files
from tests.surface.table import settings

from stylewatch_daemon.base.errors import SettingsError
from stylewatch_daemon.cli import service
from stylewatch_daemon.cli.service import for_system, for_user, start_line
from stylewatch_daemon.settings import config
from stylewatch_daemon.settings.config import Config

UNIT = "systemd/system/stylewatch.service"
FOLDERS = """
inboxes: [{path: /srv/a/in, outbox: /srv/a/out}]
state: {path: /srv/a/state}
pairing: {styles: /srv/a/styles}
"""
SOCKET = "unix:/run/stylewatch/web.sock"
START = "/usr/bin/stylewatch run --config /etc/stylewatch/config.yaml"


@pytest.fixture(autouse=True)
def etc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that root writes to in place of /etc; the user's folders lie beside it."""
    monkeypatch.setattr(service, "ETC", tmp_path / "etc")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home/.config"))
    return tmp_path / "etc"


def test_it_writes_the_files_and_prints_the_commands(
    etc: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_nvidia", lambda settings: False)
    monkeypatch.setattr(service, "SRV", Path("/srv/nowhere"))
    printed = run("service", "install", "--print").out
    assert f"# {etc / UNIT}\n" in printed and "Type=notify" in printed
    assert not etc.exists()
    ended = run("service", "install")
    assert files(etc) == {
        "stylewatch/config.yaml", UNIT, f"{UNIT}.d/10-torch-cpu.conf",
        "sysusers.d/stylewatch.conf", "tmpfiles.d/stylewatch.conf",
    }  # fmt: skip
    assert config.load(etc / "stylewatch/config.yaml").inboxes[0].path == service.SRV / "inbox"
    assert f"/stylewatch run --config {etc}/stylewatch/config.yaml" in (etc / UNIT).read_text()
    assert ended.code == 0 and "systemctl enable --now stylewatch" in ended.out
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    ended = run("service", "install")
    assert ended.code == 73 and "with sudo, or with --user" in ended.err
    ended = run("service", "install", "--user")
    assert ended.code == 0 and "systemctl --user enable --now stylewatch" in ended.out
    home = etc.parent / "home"
    names = {"stylewatch/config.yaml", "systemd/user/stylewatch.service"}
    assert files(home / ".config") == names
    assert config.load().inboxes[0].path == home / "Pictures/stylewatch/inbox"


def test_files_that_differ_or_are_needless_are_replaced_only_by_force(
    etc: Path, tmp_path: Path, run: Run
) -> None:
    own, web = tmp_path / "own.yaml", etc / f"{UNIT}.d/50-web-unix.conf"
    install = ("service", "install", "--config", own)
    own.write_text(f"{FOLDERS}web: {{listen: '{SOCKET}'}}\n")
    assert run(*install).code == 0
    (etc / UNIT).write_text("mine\n")
    own.write_text(FOLDERS)
    ended = run(*install)
    assert ended.code == 73
    assert f"{etc / UNIT}: already there with another content" in ended.err
    assert f"{web} is not needed: --force removes it" in ended.err
    assert (etc / UNIT).read_text() == "mine\n" and web.exists()
    assert run(*install, "--force").code == 0
    assert "Type=notify" in (etc / UNIT).read_text() and not web.exists()
    assert not (etc / "stylewatch").exists(), "there are settings already"


def units(
    root: str = "/srv", program: tuple[Path, ...] = (), *, nvidia: bool = False, **more: Any
) -> dict[str, str]:
    """The files for a service with inbox, outbox and state below `root`, and `more` settings."""
    inboxes = [{"path": f"{root}/in", "outbox": f"{root}/out"}]
    plain = {"inboxes": inboxes, "state": {"path": f"{root}/state"},
             "job": {"backend": "sketch"}, **more}  # fmt: skip
    return for_system(Config.model_validate(plain), START, program, nvidia=nvidia)


def test_the_service_may_write_to_the_folder_of_final_pictures() -> None:
    inbox = {"path": "/srv/in", "outbox": "/data/out", "finals": "/home/ann/finals"}
    files = units(inboxes=[inbox])
    writable = "/data/out /home/ann/finals /srv/in /srv/state"
    assert values(files[UNIT], "ReadWritePaths") == [writable]
    assert values(files[UNIT], "BindPaths") == ["/home/ann/finals"]
    assert "/home/ann/finals 2755" in files["tmpfiles.d/stylewatch.conf"]


@pytest.mark.parametrize(
    ("devices", "device", "nvidia"),
    [("[cuda:0, cpu]", "null", True), ("[cpu]", "null", False), ("auto", "cpu", False)],
)
def test_the_service_may_use_a_gpu_that_the_settings_name(
    devices: str, device: str, nvidia: bool, tmp_path: Path, run: Run
) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(f"{FOLDERS}executor: {{devices: {devices}}}\njob: {{device: {device}}}\n")
    printed = run("service", "install", "--config", own, "--print").out
    assert ("20-nvidia.conf" in printed) == nvidia


def values(unit: str, key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", unit, re.MULTILINE)


def test_the_shipped_unit_is_the_one_for_its_own_paths() -> None:
    shipped = (config.shipped("systemd") / "stylewatch.service").read_text()
    unit = for_system(service.settings_below(service.SRV, service.SRV / "state"), START)[UNIT]
    assert unit == re.sub("ExecStart=.*", f"ExecStart={START}", shipped)


@pytest.mark.parametrize(
    ("root", "styles", "listen", "writable", "library", "bound"),
    [
        ("/data/a b", "/data/styles", None, '"/data/a b"', "", ([], [])),
        ("/home/ann", "/data/styles", None, "/home/ann/in /home/ann/out /home/ann/state", "",
         (["/home/ann/in /home/ann/out /home/ann/state"], ["-/home/ann"])),
        ("/home/ann/art", "/home/ann/art/styles", None, "/home/ann/art", "",
         (["/home/ann/art"], ["-/home/ann/art/styles"])),
        ("/home/ann/art", "/home/ann/my styles", SOCKET, "/home/ann/art",
         ' "-/home/ann/my styles"', (['/home/ann/art "-/home/ann/my styles"'], [])),
    ],
)  # fmt: skip
def test_the_service_may_write_only_to_its_folders_and_with_a_page_to_the_library(
    root: str, styles: str, listen: str | None, writable: str, library: str,
    bound: tuple[list[str], list[str]],
) -> None:  # fmt: skip
    files = units(root, (Path(root),), web={"listen": listen}, pairing={"styles": styles})
    unit = files[UNIT]
    assert values(unit, "RequiresMountsFor") == [writable]
    assert values(unit, "ReadWritePaths") == [f"{writable}{library}"]
    assert values(unit, "ProtectHome") == ["tmpfs" if any(bound) else "yes"]
    assert (values(unit, "BindPaths"), values(unit, "BindReadOnlyPaths")) == bound
    made = files["tmpfiles.d/stylewatch.conf"].replace('"', "")
    assert (f"{styles} 2775" in made) == bool(library)
    assert f"{root}/out 2755" in made and f"{root}/state 0700" in made


@pytest.mark.parametrize(
    ("more", "nvidia", "drop_ins"),
    [
        ({"job": {"backend": "torch"}}, True, ["10-torch-cpu.conf", "20-nvidia.conf"]),
        ({"alerts": {"urls_file": "/urls"}}, False, ["30-network.conf"]),
        ({"executor": {"kind": "ray"}}, False, ["30-network.conf", "40-ray.conf"]),
        ({"web": {"listen": SOCKET}}, False, ["50-web-unix.conf"]),
        ({"web": {"listen": "127.0.0.1:80"}}, False, ["30-network.conf", "60-low-port.conf"]),
        ({"web": {"listen": "127.0.0.1:1024"}}, False, ["30-network.conf"]),
    ],
)
def test_drop_ins_open_only_what_the_settings_need(
    more: dict[str, Any], nvidia: bool, drop_ins: list[str]
) -> None:
    system = units(nvidia=nvidia, **more)
    assert [Path(name).name for name in system if ".service.d/" in name] == drop_ins
    assert ("modules-load.d/stylewatch.conf" in system) == nvidia
    assert values(system[UNIT], "PrivateNetwork") == ["yes"]
    for name in drop_ins:
        network = values(system[f"{UNIT}.d/{name}"], "PrivateNetwork")
        assert network == (["no"] if name == "30-network.conf" else [])


PATHS = sorted({each.key for each in settings() if Path in each.types} | {"hooks.done",
               "hooks.failed", "job.recipe", "backends.sketch.file"})  # fmt: skip
"""Keys whose values are paths, or may be."""


@pytest.mark.parametrize("folder", ["/home/ann", "/root", "/tmp", "/var/tmp"])
@pytest.mark.parametrize("key", PATHS)
def test_the_service_sees_every_path_of_the_settings(key: str, folder: str) -> None:
    path = f"{folder}/x"
    value = ["/usr/bin/sh", path] if key.startswith("hooks") else path
    value = [path] if key == "recipes" else value
    plain: Any = value
    for part in reversed(key.split(".")):
        plain = {part: plain}
    if key == "state.path" and "tmp" in folder:
        with pytest.raises(SettingsError, match="a service has its own private folder there"):
            units(**plain)
        return
    unit = units(**plain)[UNIT]
    bound = " ".join(values(unit, "BindPaths") + values(unit, "BindReadOnlyPaths"))
    assert path in bound.replace("-/", "/").split()
    assert values(unit, "ProtectHome") == ["tmpfs"]


def test_the_service_may_read_the_program_and_secrets_in_homes_and_paths_are_quoted() -> None:
    program = (Path("/home/ann/venv"), Path("/usr"), Path("/home/ann/venv/lib"))
    web = {"listen": "0.0.0.0:80", "token_file": "/home/ann/token"}
    unit = units(program=program, web=web, alerts={"urls_file": "/home/ann/urls"})[UNIT]
    paths = ["-/home/ann/token -/home/ann/urls -/home/ann/venv"]
    assert values(unit, "BindReadOnlyPaths") == paths
    line = start_line(Path("/usr/my $tools/stylewatch"), Path("/etc/100%/config.yaml"))
    (start,) = values(for_user(line)["systemd/user/stylewatch.service"], "ExecStart")
    assert start == line == '"/usr/my $$tools/stylewatch" run --config /etc/100%%/config.yaml'
    with pytest.raises(SettingsError, match="rename it"):
        units(root="/srv/a\nb")
