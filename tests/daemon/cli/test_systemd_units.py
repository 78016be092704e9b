"""The units for a machine have its paths, and open no more than the service must have."""

import re
import shlex
from pathlib import Path

import pytest

from stylewatch_daemon.cli import systemd_units
from stylewatch_daemon.cli.systemd_units import Machine, for_system, for_user
from stylewatch_daemon.errors import SettingsError
from stylewatch_daemon.settings import config
from stylewatch_daemon.settings.config import Config
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_daemon.settings.sections import Alerts, Executor, Inbox, State

MACHINE = Machine(Path("/usr/bin/stylewatch"), Path("/etc/stylewatch/config.yaml"))
UNIT = "systemd/system/stylewatch.service"


def settings(inbox: str = "/srv/in", outbox: str = "/srv/out", state: str = "/srv/state") -> Config:
    inboxes = (Inbox(path=Path(inbox), outbox=Path(outbox)),)
    return Config(inboxes=inboxes, state=State(path=Path(state)))


def said(unit: str, key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", unit, re.MULTILINE)


def test_the_unit_that_ships_is_the_one_for_its_own_paths() -> None:
    shipped = (config.shipped("systemd") / "stylewatch.service").read_text()
    unit = for_system(MACHINE, systemd_units.settings_below(Path("/srv/stylewatch")))[UNIT]
    start = "ExecStart=/usr/bin/stylewatch run --config /etc/stylewatch/config.yaml"
    assert unit == re.sub("ExecStart=.*", start, shipped)


def test_folders_with_a_parent_of_their_own_are_one_path() -> None:
    unit = for_system(MACHINE, settings("/data/art/in", "/data/art/out", "/data/art/state"))[UNIT]
    assert said(unit, "ReadWritePaths") == said(unit, "RequiresMountsFor") == ["/data/art"]
    assert said(unit, "ProtectHome") == ["yes"]


def test_folders_all_over_the_machine_are_named_one_by_one() -> None:
    unit = for_system(MACHINE, settings("/srv/in", "/data/nas/out", "/srv/state"))[UNIT]
    assert said(unit, "ReadWritePaths") == ["/data/nas/out /srv/in /srv/state"]


def test_of_the_homes_only_what_is_needed_is_seen() -> None:
    program = (Path("/home/ann/venv"), Path("/usr"), Path("/home/ann/venv/lib"))
    machine = Machine(Path("/home/ann/venv/bin/stylewatch"), MACHINE.config, program)
    art = "/home/ann/art"
    unit = for_system(machine, settings(f"{art}/in", f"{art}/out", f"{art}/state"))[UNIT]
    assert said(unit, "ProtectHome") == ["tmpfs"]
    assert said(unit, "BindPaths") == said(unit, "ReadWritePaths") == [art]
    assert said(unit, "BindReadOnlyPaths") == ["-/home/ann/venv"]


def test_a_whole_home_is_never_opened() -> None:
    ann = "/home/ann"
    unit = for_system(MACHINE, settings(f"{ann}/in", f"{ann}/out", f"{ann}/state"))[UNIT]
    assert said(unit, "BindPaths") == [f"{ann}/in {ann}/out {ann}/state"]


@pytest.mark.parametrize(
    ("backend", "nvidia", "drop_ins"),
    [
        ("sketch", False, []),
        ("torch", False, ["10-torch-cpu.conf"]),
        ("torch", True, ["10-torch-cpu.conf", "20-nvidia.conf"]),
    ],
)
def test_the_drop_ins_are_those_of_the_backend(
    backend: str, nvidia: bool, drop_ins: list[str]
) -> None:
    machine = Machine(MACHINE.command, MACHINE.config, nvidia=nvidia)
    given = settings().model_copy(update={"job": JobSettings(backend=backend)})
    files = for_system(machine, given)
    assert [Path(name).name for name in files if ".service.d/" in name] == drop_ins
    assert ("modules-load.d/stylewatch.conf" in files) == nvidia


def test_alerts_open_the_network_and_let_their_file_be_seen() -> None:
    alerts = Alerts(urls_file=Path("/home/ann/private/urls"))
    files = for_system(MACHINE, settings().model_copy(update={"alerts": alerts}))
    opened = files[f"{UNIT}.d/30-alerts.conf"]
    assert said(opened, "PrivateNetwork") == ["no"]
    assert said(files[UNIT], "PrivateNetwork") == ["yes"]
    assert said(files[UNIT], "BindReadOnlyPaths") == ["-/home/ann/private/urls"]


def test_a_cluster_opens_the_network() -> None:
    given = settings().model_copy(update={"executor": Executor(kind="ray")})
    opened = for_system(MACHINE, given)[f"{UNIT}.d/40-ray.conf"]
    assert said(opened, "PrivateNetwork") == ["no"]


def test_only_folders_that_are_not_there_are_made(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    places = [f"/srv{tmp_path}/{name}" for name in ("out", "state")]
    made = "".join(systemd_units._folders(settings(str(tmp_path / "in"), *places)))
    assert [line.split()[1:3] for line in made.splitlines()] == [
        [places[0], "2755"],
        [places[1], "0700"],
    ]


def test_paths_are_quoted_as_systemd_wants_it() -> None:
    machine = Machine(Path("/usr/my $tools/stylewatch"), Path("/etc/100%/config.yaml"))
    (start,) = said(for_user(machine, settings())["systemd/user/stylewatch.service"], "ExecStart")
    assert start == '"/usr/my $$tools/stylewatch" run --config /etc/100%%/config.yaml'
    assert shlex.split(start)[1:3] == ["run", "--config"]
    unit = for_system(machine, settings("/data/a b/in", "/data/a b/out", "/data/a b/state"))[UNIT]
    assert said(unit, "ReadWritePaths") == ['"/data/a b"']


@pytest.mark.parametrize("path", ["/srv/a\nb", "/srv/a:b", "/var/tmp/in", "/dev/shm/in"])
def test_a_path_that_no_service_can_have_is_refused_in_words(path: str) -> None:
    with pytest.raises(SettingsError, match=r"give inbox|rename the folder"):
        for_system(MACHINE, settings(path))


def test_the_settings_to_begin_with_can_be_read_again(tmp_path: Path) -> None:
    begun = systemd_units.settings_below(Path("/srv/a: b"))
    (tmp_path / "config.yaml").write_text(systemd_units.as_yaml(begun))
    found = config.load(tmp_path / "config.yaml")
    assert systemd_units.folders(found) == systemd_units.folders(begun)


def with_page(listen: str, **more: str) -> Config:
    plain = {**settings().model_dump(mode="json"), "web": {"listen": listen, **more}}
    plain["job"]["backend"] = "sketch"
    return Config.model_validate(plain)


@pytest.mark.parametrize(
    ("listen", "drop_ins", "users"),
    [
        ("127.0.0.1:8787", ["50-web.conf"], []),
        ("unix:/run/stylewatch/web.sock", ["70-web-unix.conf"], []),
        ("systemd", ["60-web-socket.conf"], ["60-web-socket.conf"]),
    ],
)
def test_a_page_is_given_what_it_needs_and_no_more(
    listen: str, drop_ins: list[str], users: list[str]
) -> None:
    files = for_system(MACHINE, with_page(listen))
    assert [Path(name).name for name in files if ".service.d/" in name] == drop_ins
    own = for_user(MACHINE, with_page(listen))
    assert [Path(name).name for name in own if ".service.d/" in name] == users
    sockets = [name for name in (*files, *own) if name.endswith(".socket")]
    assert bool(sockets) == (listen == "systemd")


def test_a_socket_where_the_service_cannot_make_one_is_a_mistake() -> None:
    with pytest.raises(SettingsError, match=r"unix:/run/stylewatch/web\.sock"):
        for_system(MACHINE, with_page("unix:/run/other.sock"))


def test_a_token_in_a_home_can_be_read() -> None:
    page = with_page("0.0.0.0:80", token_file="/home/ann/token")
    assert said(for_system(MACHINE, page)[UNIT], "BindReadOnlyPaths") == ["-/home/ann/token"]
