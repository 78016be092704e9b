"""`stylewatch service install`, and the units that it writes."""

import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.cli.conftest import Run, files
from tests.surface.table import settings
from tests.test_units import ANALYZE, analyze

from stylewatch_daemon.base.errors import SettingsError
from stylewatch_daemon.cli import service
from stylewatch_daemon.cli.service import for_system, for_user, start_line
from stylewatch_daemon.settings import config, paths
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


@dataclass(frozen=True)
class Machine:
    """Homes, folders that are private to a service, and others, below a folder."""

    root: Path

    def shown(self, unit: str) -> set[str]:
        """The paths that a unit makes visible, relative to the root."""
        lines = values(unit, "BindPaths") + values(unit, "BindReadOnlyPaths")
        words = {word.removeprefix("-") for line in lines for word in shlex.split(line)}
        return {word.replace("%%", "%").removeprefix(f"{self.root}/") for word in words}

    def units(self, **more: Any) -> str:
        """The unit for folders in `srv`, with `more` settings."""
        return units(f"{self.root}/srv", **more)[UNIT]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    root = tmp_path / "machine"
    for folder in ("home/ann/pics", "home/ann/sw", "home/ann/a:b", "home/ann/a b", "home/bob",
                   "root/sw", "tmp/x", "srv"):  # fmt: skip
        (root / folder).mkdir(parents=True)
    (root / "home/ann/run.sh").touch()
    for name, target in (("homes", "../home"), ("pics", "../home/ann/latest"), ("colon",
                         "../home/ann/a:b"), ("loop", "loop/x")):  # fmt: skip
        (root / "srv" / name).symlink_to(target)
    (root / "home/ann/latest").symlink_to("pics")
    monkeypatch.setattr(service, "_OF_HOMES", (root / "home",))
    monkeypatch.setattr(service, "HOMES", (root / "home", root / "root"))
    monkeypatch.setattr(service, "_PRIVATE", (root / "tmp",))
    return Machine(root)


WORDS = ("home", "home/", "home/ann/..", "srv/../home", "srv/homes", "root", "tmp", "tmp/.",
         "srv/loop", "srv/colon", "home/ann/a:b", "home/ann/pics:/data", "home/{name}",
         "home/ann/run.sh\necho", 'home/ann/run.sh "$STYLEWATCH_PICTURE"', "home/ann/" + "x" * 300,
         "home/ann/\0", "home/ann/run.sh", "home/ann/a b", "home/ann/latest", "srv/pics",
         "home/ann/sw/../run.sh", "tmp/x", "home/bob/new")  # fmt: skip
"""Texts after the root in words that begin like paths; some of them are none."""

MEANT = {
    "home/ann/run.sh": {"home/ann/run.sh"}, "home/ann/sw/../run.sh": {"home/ann/run.sh"},
    "home/ann/a b": {"home/ann/a b"}, "tmp/x": {"tmp/x"},
    "home/ann/latest": {"home/ann/latest", "home/ann/pics"},
    "srv/pics": {"home/ann/latest", "home/ann/pics"},
}  # fmt: skip
"""Those that are, and what a service needs for them."""


@pytest.mark.parametrize("words", [*((word,) for word in WORDS), WORDS], ids=repr)
def test_a_unit_shows_what_is_a_path_by_its_type_and_words_that_name_a_file(
    words: tuple[str, ...], machine: Machine
) -> None:
    paths = [f"{machine.root}/{word}" for word in words]
    texts = [f"{machine.root}/{text}" for text in ("home", "root", "tmp", "home/{name}")]
    needed = set().union(*(MEANT.get(word, set()) for word in words))
    for more in (
        {"hooks": {"done": ["/bin/echo", "-v", *paths]}},
        {"hooks": {"failed": ["/bin/echo", "-v", *paths]}},
        {"backends": {"sketch": {"any": paths}}},
    ):
        unit = machine.units(
            watch={"ignore": texts}, pairing={"default_style": texts[0]},
            job={"backend": "sketch", "name": texts[-1]}, web={"path": texts[0]}, **more,
        )  # fmt: skip
        assert machine.shown(unit) == needed


@pytest.mark.parametrize("tool", ANALYZE)
def test_systemd_takes_every_line_of_a_unit_for_odd_settings(
    tool: str, machine: Machine, tmp_path: Path
) -> None:
    inboxes = [{"path": f"{machine.root}/srv/pics", "outbox": f"{machine.root}/srv/100% a b"}]
    hook = ["/bin/echo", *(f"{machine.root}/{word}" for word in WORDS)]
    unit = tmp_path / "stylewatch.service"
    text = machine.units(inboxes=inboxes, hooks={"done": hook})
    unit.write_text(text.replace(START, "/usr/bin/true"))
    assert analyze("verify", unit, folder=tmp_path) == ""


def test_links_of_folders_lead_somewhere_in_the_service(machine: Machine) -> None:
    root = machine.root
    inboxes = [{"path": f"{root}/srv/pics", "outbox": f"{root}/srv/out"}]
    web = {"listen": SOCKET, "token_file": f"{root}/srv/token"}
    for name, target in (("styles", "home/bob/styles"), ("token", "home/ann/token")):
        (root / "srv" / name).symlink_to(root / target)
    unit = machine.units(inboxes=inboxes, web=web, pairing={"styles": f"{root}/srv/styles"})
    (writable,) = values(unit, "ReadWritePaths")
    folders = ["srv", "home/ann/latest", "home/ann/pics", "home/bob/styles"]
    assert {word.removeprefix("-") for word in writable.split()} == {
        f"{root}/{folder}" for folder in folders}  # fmt: skip
    assert machine.shown(unit) == {*folders[1:], "home/ann/token"}
    (root / "srv/private").symlink_to(root / "tmp/x")
    inboxes[0]["path"] = f"{root}/srv/private"
    with pytest.raises(SettingsError, match=f"{root}/tmp/x: a service has its own private folder"):
        machine.units(inboxes=inboxes)


def test_a_hook_may_write_where_the_service_may(machine: Machine) -> None:
    gallery = machine.root / "home/ann/art/out/gallery"
    gallery.mkdir(parents=True)
    art = f"{machine.root}/home/ann/art"
    hook = ["/bin/echo", str(gallery)]
    unit = units(art, hooks={"done": hook}, pairing={"styles": "/srv/styles"})[UNIT]
    assert machine.shown(unit) == {"home/ann/art"}


@pytest.mark.parametrize(
    ("given", "started", "shown"),
    [
        ("../run.yaml", "home/ann/run.yaml", {"home/ann/run.yaml"}),
        ("MACHINE/home/ann/run.yaml", "home/ann/run.yaml", {"home/ann/run.yaml"}),
        ("MACHINE/home/run.yaml", "home/run.yaml", {"home/run.yaml"}),
        ("MACHINE/root/run.yaml", "root/run.yaml", {"root/run.yaml"}),
        ("MACHINE/tmp/run.yaml", "tmp/run.yaml", {"tmp/run.yaml"}),
        ("MACHINE/root/sw/run.yaml", "root/sw/run.yaml", {"root/sw"}),
        ("../sw/run.yaml", "home/ann/sw/run.yaml", {"home/ann/sw"}),
        ("MACHINE/srv/run.yaml", "srv/run.yaml", {"home/ann/sw"}),
    ],
)
def test_the_folder_of_the_settings_is_visible_unless_it_is_a_home(
    given: str, started: str, shown: set[str], machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(machine.root / "home/ann/pics")
    monkeypatch.setattr(service, "_program", lambda: ())
    monkeypatch.setattr(service, "_nvidia", lambda settings: False)
    path = Path(given.replace("MACHINE", str(machine.root)))
    if given == "MACHINE/srv/run.yaml":
        path.symlink_to("../home/ann/sw/run.yaml")
    path.write_text(FOLDERS)
    named = {str(path): text for path, text in service.files_of(path, user=False).items()}
    (unit,) = (text for path, text in named.items() if path.endswith(UNIT))
    assert machine.shown(unit) == shown
    assert values(unit, "ExecStart")[0].endswith(f"--config {machine.root}/{started}")


def values(unit: str, key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", unit, re.MULTILINE)


def test_the_shipped_unit_is_the_one_for_its_own_paths() -> None:
    shipped = (paths.shipped("systemd") / "stylewatch.service").read_text()
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


PATHS = sorted({each.key for each in settings() if Path in each.types} | {"job.recipe"})
"""Keys whose values are paths."""


@pytest.mark.parametrize("folder", ["/home/ann", "/root", "/tmp", "/var/tmp"])
@pytest.mark.parametrize("key", PATHS)
def test_the_service_sees_every_path_of_the_settings(key: str, folder: str) -> None:
    path = f"{folder}/x.yaml"
    plain: Any = [path] if key == "recipes" else path
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
