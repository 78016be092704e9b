"""The service under a real systemd, as `service install` sets it up: `make test-systemd`."""

import subprocess
import sys
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from tests.e2e.invariants import Workspace
from tests.systemd.machine import Machine, booted, obstacle

CONFIG = Path("etc/stylewatch/config.yaml")
COMMAND = str(Path(sys.executable).with_name("stylewatch"))
SHORT = """
[Service]
RestartSec=1
WatchdogSec=8
"""
JOB = """
watch: {quiet_s: 0.5}
job: {size: 48, steps: STEPS, save_every: 5}
"""
TOKEN = Path("/var/tmp/token")
PAGE = f"""
web: {{listen: "127.0.0.1:80", token_file: {TOKEN}}}
"""
ASK = """
from urllib.request import urlopen

answer = urlopen("http://127.0.0.1/readyz", timeout=10)
print(answer.status, answer.read().decode().strip())
"""


def settings(machine: Machine, steps: int, more: str = "", config: Path = CONFIG) -> None:
    """The installed settings, with a small job."""
    path = machine.root / config
    kept = path.read_text(encoding="utf-8").partition("\nwatch:")[0].rstrip("\n")
    path.write_text(f"{kept}\n{JOB.replace('STEPS', str(steps))}{more}", encoding="utf-8")


def drop(machine: Machine, job: str) -> None:
    account = ("runuser", "--user", "stylewatch", "--")
    machine.run(*account, "cp", "-r", "/srv/pair", f"/srv/stylewatch/inbox/{job}")


def stages(machine: Machine, job: str) -> list[Path]:
    return list((machine.root / "srv/stylewatch/outbox" / job).glob("stages/*.png"))


def done(machine: Machine, job: str) -> bool:
    return (machine.root / "srv/stylewatch/outbox" / job / "receipt.json").exists()


def installed(machine: Machine) -> None:
    """Install as a person would: the command, then the commands that it prints."""
    output = machine.run(COMMAND, "service", "install")
    settings(machine, steps=10)
    short = machine.root / "etc/systemd/system/stylewatch.service.d/50-short.conf"
    short.write_text(SHORT, encoding="ascii")
    follow(machine, output)
    assert machine.property("ActiveState") == "active"
    machine.until("it is ready and says its status", lambda: machine.property("StatusText"))


def follow(machine: Machine, output: str) -> None:
    """Run the commands that `service install` printed, but for watching the log."""
    for line in output.splitlines():
        if line.startswith(("systemd-", "systemctl")):
            machine.run(*line.split())


def paints(machine: Machine) -> None:
    drop(machine, "sea")
    machine.until("painted with torch under the unit's hardening", lambda: done(machine, "sea"))
    assert machine.receipt("sea")["backend"]["name"] == "torch"


def starts(machine: Machine) -> int:
    return machine.log().count("watching")


def has_started(machine: Machine, before: int) -> bool:
    return starts(machine) > before


def reload(machine: Machine) -> None:
    before = starts(machine)
    machine.run("systemctl", "reload", "stylewatch")
    machine.until("it starts anew", partial(has_started, machine, before))


def starts_anew(machine: Machine) -> None:
    """A reload is a restart in the place of the process, which systemd sees as the same one."""
    pid = machine.property("MainPID")
    settings(machine, steps=4000)
    reload(machine)
    drop(machine, "reloaded")
    machine.until("a first stage", lambda: stages(machine, "reloaded"))
    for _ in range(3):
        reload(machine)
        machine.until("it paints on", lambda: "painting" in machine.property("StatusText"))
    settings(machine, steps=20, more="loge: {}\n")
    machine.until("wrong settings are named", lambda: "loge" in machine.log())
    settings(machine, steps=20)
    machine.until("the job is done", lambda: done(machine, "reloaded"))
    assert (machine.property("MainPID"), machine.property("NRestarts")) == (pid, "0")
    assert machine.property("ActiveState") == "active"
    ends = [attempt["ended"] for attempt in machine.receipt("reloaded")["attempts"]]
    assert len(ends) > 1 and {*ends} == {"daemon", "done"}
    print("  reloaded three times while it painted, by the same process")


def killed(machine: Machine) -> None:
    settings(machine, steps=300)
    reload(machine)
    drop(machine, "killed")
    machine.until("a first stage", lambda: stages(machine, "killed"))
    first = min(stages(machine, "killed"))
    painted_at = first.stat().st_mtime_ns
    machine.until("a second", lambda: len(stages(machine, "killed")) > 1)
    machine.run("kill", "-KILL", machine.property("MainPID"))
    machine.until("restarted after kill -9", lambda: machine.property("NRestarts") == "1")
    machine.until("the job is done", lambda: done(machine, "killed"))
    attempts = machine.receipt("killed")["attempts"]
    print(f"  its attempts: {[attempt['ended'] for attempt in attempts]}")
    assert len(attempts) == 2
    assert first.stat().st_mtime_ns == painted_at, "it began anew"


def hangs(machine: Machine) -> None:
    machine.run("kill", "-STOP", machine.property("MainPID"))
    machine.until("the watchdog restarts what hangs", lambda: machine.property("NRestarts") == "2")
    machine.until("it is active again", lambda: machine.property("ActiveState") == "active")
    assert "watchdog" in machine.run("journalctl", "--unit=stylewatch", "--no-pager").casefold()


def stops(machine: Machine) -> None:
    settings(machine, steps=2000)
    machine.run("systemctl", "reload", "stylewatch")
    drop(machine, "long")
    machine.until("a long job's first stage", lambda: stages(machine, "long"))
    began = time.monotonic()
    machine.run("systemctl", "stop", "stylewatch")
    print(f"  stopped while painting, in {time.monotonic() - began:.1f} s")
    assert machine.property("Result") == "success"
    assert machine.property("ExecMainStatus") == "0"


def loops_not(machine: Machine) -> None:
    settings(machine, steps=5, more="loge: {}\n")
    machine.run("systemctl", "start", "stylewatch", check=False)
    machine.until("it has failed", lambda: machine.property("ActiveState") == "failed")
    assert machine.property("ExecMainStatus") == "78"
    assert machine.property("NRestarts") == "0"
    print("  a wrong config: exit code 78, and no second start")


def hardened(machine: Machine) -> None:
    """The unit without the drop-in for torch, with a backend that does without."""
    unit = machine.root / "etc/systemd/system/stylewatch.service.d/10-torch-cpu.conf"
    unit.unlink()
    settings(machine, steps=5, more="backends: {}\n")
    path = machine.root / CONFIG
    text = path.read_text(encoding="utf-8").replace("job: {", "job: {backend: sketch, ")
    path.write_text(text, encoding="utf-8")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "start", "stylewatch")
    assert machine.property("MemoryDenyWriteExecute") == "yes"
    drop(machine, "sketched")
    machine.until("painted without machine code of its own", lambda: done(machine, "sketched"))
    machine.run("systemctl", "stop", "stylewatch")


def shows(machine: Machine) -> None:
    """The page at a port of root's, through drop-ins, with a token in a folder that is hidden."""
    path = machine.root / CONFIG
    text = path.read_text(encoding="utf-8")
    path.write_text(text + PAGE, encoding="utf-8")
    machine.run("sh", "-c", f"umask 077; echo {'t' * 32} > {TOKEN}; chown stylewatch {TOKEN}")
    follow(machine, machine.run(COMMAND, "service", "install", "--force"))
    assert machine.property("PrivateNetwork") == "no"
    request = (sys.executable, "-c", ASK)
    machine.until("the page is ready", lambda: machine.run(*request, check=False) == "200 ok")
    machine.run("systemctl", "stop", "stylewatch")
    path.write_text(text, encoding="utf-8")


def below_a_home(machine: Machine) -> None:
    """Folders in a home that is hidden but for them."""
    path = machine.root / CONFIG
    path.write_text(path.read_text(encoding="utf-8").replace("/srv/stylewatch", "/home/bob/art"))
    follow(machine, machine.run(COMMAND, "service", "install", "--force"))
    account = ("runuser", "--user", "stylewatch", "--")
    machine.run(*account, "cp", "-r", "/srv/pair", "/home/bob/art/inbox/sea")
    receipt = machine.root / "home/bob/art/outbox/sea/receipt.json"
    machine.until("painted from and to a home", receipt.exists)
    machine.run("systemctl", "stop", "stylewatch")


def for_a_user(machine: Machine) -> None:
    """The unit that a user installs, under that user's own systemd."""
    for folder in Path(sys.base_prefix).parents:
        machine.run("chmod", "a+x", str(folder))  # Python itself may lie in a home
    machine.run("useradd", "--create-home", "ann")
    number = machine.run("id", "--user", "ann")
    machine.run("systemctl", "start", f"user@{number}")
    as_ann = ("runuser", "--user", "ann", "--", "env", f"XDG_RUNTIME_DIR=/run/user/{number}",
              "HOME=/home/ann")  # fmt: skip
    output = machine.run(*as_ann, COMMAND, "service", "install", "--user")
    settings(machine, steps=5, config=Path("home/ann/.config/stylewatch/config.yaml"))
    for line in output.splitlines():
        if line.startswith("systemctl"):
            machine.run(*as_ann, *line.split())
    machine.run(*as_ann, "cp", "-r", "/srv/pair", "/home/ann/Pictures/stylewatch/inbox/sea")
    receipt = machine.root / "home/ann/Pictures/stylewatch/outbox/sea/receipt.json"
    machine.until("painted by a user's own service", receipt.exists)
    machine.run(*as_ann, "systemctl", "--user", "stop", "stylewatch")
    result = ("show", "stylewatch", "--value", "--property=Result")
    assert machine.run(*as_ann, "systemctl", "--user", *result) == "success"


CHECKS = (installed, paints, starts_anew, killed, hangs, stops, loops_not, hardened, shows,
          below_a_home, for_a_user)  # fmt: skip
"""In this order: each goes on from where the one before left the machine."""


def main() -> int:
    """Boot, try everything in turn, power off; 0 also where no machine can be booted."""
    if why := obstacle():
        print(f"skipped: no systemd can be booted here: {why}")
        return 0
    with ExitStack() as stack:
        try:
            machine = stack.enter_context(booted())
        except (AssertionError, OSError, subprocess.CalledProcessError) as error:
            print(f"skipped: no systemd can be booted here: {error}")
            return 0
        made = Workspace(machine.root / "srv/made").make("pair")
        made.rename(machine.root / "srv/pair")
        for check in CHECKS:
            print(check.__name__.replace("_", " "), flush=True)
            check(machine)
    return 0


if __name__ == "__main__":
    sys.exit(main())
