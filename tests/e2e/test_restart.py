"""A daemon that starts anew in its place, by real signals (law 15)."""

import fcntl
import json
import os
import pty
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path
from select import select
from threading import Thread

import pytest
from tests.daemon.world import children
from tests.e2e.daemon import FAST, PAIR, SLOW, Daemon, is_running, until
from tests.nodes import unused_port

import stylewatch_daemon
from stylewatch_daemon.app.restart import VARIABLE
from stylewatch_daemon.cli.main import call

pytestmark = pytest.mark.usefixtures("hears_signals")

STEPS = "job: {{steps: {}}}\n"


def starts(daemon: Daemon) -> int:
    return daemon.log.count("watching")


def reload(daemon: Daemon) -> None:
    """Make the daemon start anew, and wait for that."""
    before = starts(daemon)
    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGHUP)
    until(lambda: starts(daemon) > before)


def environment_of(pid: int) -> set[str]:
    return {*Path(f"/proc/{pid}/environ").read_text().split("\0")}


def descriptors(pid: int) -> int:
    return len([*Path(f"/proc/{pid}/fd").iterdir()])


def test_twenty_signals_in_a_second_lose_nothing_and_leave_nothing_behind(daemon: Daemon) -> None:
    """Painting goes on from its checkpoint, the lock is never free, and the process is the same."""
    file = daemon.root / "config.yaml"
    file.write_text(STEPS.format(200))
    daemon.start("--config", "config.yaml", *SLOW)
    assert daemon.process is not None
    pid, free = daemon.process.pid, list[float]()

    def watch_lock() -> None:
        with (daemon.root / "state/lock").open() as lock:
            while not free and daemon.process is not None and daemon.process.poll() is None:
                with suppress(BlockingIOError):
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    if daemon.process.poll() is None:
                        free.append(time.monotonic())
                    fcntl.flock(lock, fcntl.LOCK_UN)
                time.sleep(0.001)

    daemon.drop("sea")
    until(lambda: daemon.step > 3)
    watcher = Thread(target=watch_lock)
    watcher.start()
    for _ in range(20):
        os.kill(pid, signal.SIGHUP)
        time.sleep(0.05)
    until(lambda: starts(daemon) > 1)  # a slow machine takes all signals, and the edit, for one
    file.write_text(STEPS.format(3))
    reload(daemon)
    until(lambda: daemon.painted == ["sea"])
    assert daemon.process.poll() is None and not free
    assert daemon.end() == 0 and 2 < starts(daemon) < 25
    watcher.join()
    attempts = daemon.receipt("sea")["attempts"]
    assert {attempt["ended"] for attempt in attempts[:-1]} == {"daemon"}
    assert daemon.receipt("sea")["recipe"]["schedule"]["steps"] == 200


def test_a_restart_keeps_arguments_environment_and_descriptors(daemon: Daemon) -> None:
    daemon.environment = {**os.environ, "STYLEWATCH_JOB__STEPS": "4", "MINE": "1"}
    daemon.program = f"import sys; sys.dont_write_bytecode = True; {daemon.program}"
    (daemon.root / "config.yaml").write_text("job: {format: jpg}\n")
    daemon.start("--config", "config.yaml", "--set", "job.seed=5")
    assert daemon.process is not None
    pid = daemon.process.pid
    reload(daemon)
    settled: list[int] = []  # what is opened last may come after the reload
    until(lambda: settled.append(descriptors(pid)), within=2)
    before, opened = environment_of(pid), max(settled)
    for _ in range(5):
        reload(daemon)
    assert until(lambda: descriptors(pid) < opened + 4, within=20), "their number varies a little"
    assert {each for each in environment_of(pid) if not each.startswith(VARIABLE)} == {
        each for each in before if not each.startswith(VARIABLE)
    }
    daemon.drop("sea")
    until(lambda: daemon.painted)
    receipt = daemon.receipt("sea")
    steps = receipt["recipe"]["schedule"]["steps"]
    assert (steps, receipt["seed"], receipt["final"]) == (4, 5, "final.jpg")
    inherited = [environment_of(child) for child in children(pid)]
    assert inherited and not any(
        each.startswith(VARIABLE) for environment in inherited for each in environment
    )


@pytest.mark.parametrize("way", ["console script", "python -m", "nohup"])
def test_a_daemon_starts_anew_however_it_was_started(daemon: Daemon, way: str) -> None:
    script = Path(sys.executable).with_name("stylewatch")
    words = {
        "console script": [str(script)],
        "python -m": [sys.executable, "-m", "stylewatch_daemon"],
        "nohup": ["nohup", str(script)],
    }[way]
    (daemon.root / "config.yaml").write_text(STEPS.format(3))
    with (daemon.root / "daemon.log").open("ab") as log:
        process = daemon.process = subprocess.Popen(
            [*words, "run", *FAST, "--config", "config.yaml"],
            cwd=daemon.root, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    until(lambda: is_running(daemon.root / "state", process.pid))
    process.send_signal(signal.SIGHUP)
    if way == "nohup":
        time.sleep(1)
        assert starts(daemon) == 1, "it is ignored, also after a restart"
        (daemon.root / "config.yaml").write_text(STEPS.format(4))
    until(lambda: starts(daemon) == 2)
    process.send_signal(signal.SIGHUP)
    if way != "nohup":
        until(lambda: starts(daemon) == 3)
    assert call([*PAIR, "--steps", "3", "--wait", "--config", "config.yaml"]) == 0
    assert daemon.end() == 0


def test_a_signal_to_stop_ends_a_restart_whenever_it_comes(daemon: Daemon) -> None:
    (daemon.root / "config.yaml").write_text(STEPS.format(3))
    for number in range(8):
        daemon.start("--config", "config.yaml")
        assert daemon.process is not None
        daemon.process.send_signal(signal.SIGHUP)
        time.sleep(0.15 * number)
        assert daemon.end() in (0, -signal.SIGTERM, 128 + signal.SIGTERM), number


def test_a_drain_goes_on_and_a_long_first_step_costs_no_attempt(daemon: Daemon) -> None:
    (daemon.root / "config.yaml").write_text("job: {steps: 3}\nlimits: {step_timeout_s: 6}\n")
    slow = ("--set", "backends.sketch={seconds_per_step: 3}")
    daemon.start("--config", "config.yaml", *slow)
    assert daemon.process is not None
    daemon.drop("slow")
    until(lambda: daemon.published["running"])
    reload(daemon)
    until(lambda: daemon.published["running"])
    assert call(["drain", "--config", "config.yaml"]) == 0
    daemon.process.send_signal(signal.SIGHUP)
    assert daemon.process.wait(120) == 0
    daemon.begin("--config", "config.yaml", "--once")
    assert daemon.process.wait(120) == 0
    attempts = daemon.receipt("slow")["attempts"]
    assert [each["ended"] for each in attempts[:-1]] == ["daemon"] * (len(attempts) - 1)


def test_an_upload_and_a_hook_that_are_under_way_go_on(daemon: Daemon) -> None:
    port = unused_port()
    hook = "hooks: {done: [sh, -c, 'sleep 3; echo $STYLEWATCH_JOB >> hooked']}\n"
    web = f"web: {{listen: '127.0.0.1:{port}'}}\n"
    (daemon.root / "config.yaml").write_text(STEPS.format(3) + web + hook)
    daemon.start("--config", "config.yaml")
    assert call([*PAIR, "--steps", "3", "--wait", "--config", "config.yaml"]) == 0
    until(lambda: daemon.log.count("the page is at") == 1)
    before = starts(daemon)
    answers = list[int]()
    border, api, host = "b0b0", "/api/v1", f"127.0.0.1:{port}"

    def part(name: str, file: str) -> bytes:
        head = f'--{border}\r\nContent-Disposition: form-data; name="{name}"; filename="{file}"\r\n'
        head += "Content-Type: image/jpeg\r\n\r\n"
        return head.encode() + (daemon.root / file).read_bytes() + b"\r\n"

    body = part("content", "sea.jpg") + part("style", "wave.jpg") + f"--{border}--\r\n".encode()
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    connection.putrequest("POST", f"{api}/jobs")
    connection.putheader("Origin", f"http://{host}")
    connection.putheader("Content-Type", f"multipart/form-data; boundary={border}")
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body[:1000])
    time.sleep(0.5)
    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    connection.send(body[1000:])
    answers.append(connection.getresponse().status)
    connection.close()
    for _ in range(3):  # nobody is turned away meanwhile
        with socket.create_connection(("127.0.0.1", port), timeout=60) as visitor:
            visitor.sendall(f"GET {api}/status HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
            answers.append(int(visitor.makefile("rb").readline().split()[1]))
    until(lambda: starts(daemon) > before)
    assert answers == [200, 200, 200, 200]
    hooked = daemon.root / "hooked"
    until(lambda: len(daemon.painted) == 2)
    until(lambda: hooked.exists() and sorted(hooked.read_text().split()) == daemon.painted)


@pytest.fixture
def copy(daemon: Daemon) -> Iterator[Path]:
    """A copy of the daemon's package, which can be updated."""
    package = daemon.root / "lib/stylewatch_daemon"
    shutil.copytree(Path(stylewatch_daemon.__file__).parent, package)
    yield package


def test_a_package_that_was_updated_meanwhile_runs_after_a_restart(
    daemon: Daemon, copy: Path
) -> None:
    (daemon.root / "config.yaml").write_text(STEPS.format(3))
    paths = [str(copy.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    daemon.environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    daemon.start("--config", "config.yaml")
    module = copy / "cli/run.py"
    text = module.read_text()
    module.write_text(text.replace('"watching %s"', '"newly watching %s"'))
    reload(daemon)
    assert "newly watching" in daemon.log
    assert daemon.end() == 0


def test_a_closed_terminal_stops_the_daemon(daemon: Daemon) -> None:
    (daemon.root / "config.yaml").write_text(STEPS.format(3))
    pid, master = pty.fork()
    if pid == 0:
        os.chdir(daemon.root)
        script = str(Path(sys.executable).with_name("stylewatch"))
        os.execv(script, [script, "run", *FAST, "--config", "config.yaml"])
    state, output = daemon.root / "state", list[bytes]()

    def says(times: int) -> bool:
        while select([master], [], [], 0)[0]:
            output.append(os.read(master, 4096))
        return b"".join(output).count(b"watching") == times

    until(lambda: says(1) and is_running(state, pid))
    os.kill(pid, signal.SIGHUP)
    until(lambda: says(2))
    os.close(master)  # the kernel sends SIGHUP
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert not json.loads((state / "status.json").read_text())["health"]["at_work"]
