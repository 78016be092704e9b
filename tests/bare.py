"""The first commands of the README on a bare Debian without a compiler: `make test-bare`.

mmdebstrap makes a system of Debian's packages python3, python3-venv, make, git and
ca-certificates, for each suite. A user without rights runs `make run` and `make test` there, in a
clone of the last commit, then installs the program by pip and by uv, and paints with each. At the
end root and the user do what the program says about the compiler that is missing.

It takes root and mmdebstrap, downloads several gigabytes where the index that it reaches has no
build of PyTorch for CPUs, and ends with a table of seconds and megabytes. `make test-bare
BARE="--suite oldstable --without-tests"` does a part of it.
"""

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
DIST = ROOT / "dist"
WHEEL = f"*{platform.machine()}.whl"
SUITES = ("oldstable", "stable")
PACKAGES = ("python3", "python3-venv", "make", "git", "ca-certificates")
FIRST = "4bf28d14"
"""The version whose installation, with its ledger, is upgraded."""

USER, HOME = "ann", "/home/ann"
CLONE = f"{HOME}/stylewatch"

TRUSTED = ("/etc/resolv.conf", "/etc/hosts", "/etc/pip.conf", "/etc/ssl/certs/ca-certificates.crt")
"""Files with which this machine reaches the package index."""

PASSED_ON = ("PIP_FIND_LINKS", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "UV_INDEX_URL")
"""Variables with which this machine reaches the package index."""

COMMAND = re.compile(r"`su -c '([^']+)' && ([^`]+)`")
"""Pattern of the doctor's advice without a compiler: a command of root, and one of the user."""

ENTER = """
set -eu
mount --rbind /dev "$0/dev"
mount -t proc proc "$0/proc"
mount -t tmpfs tmpfs "$0/tmp"
exec chroot --userspec="$1" "$0" "${@:2}"
"""
"""Runs in namespaces of its own: enters the system $0 as the user $1, and runs the other words."""


@dataclass(frozen=True)
class Step:
    """Cost of a step: seconds, megabytes that this machine received, and megabytes on disk."""

    name: str
    seconds: float
    received: float
    size: int | None


@dataclass
class System:
    """A bare system below `root`, and the steps that were done there."""

    root: Path
    variables: Mapping[str, str]
    steps: list[Step] = field(default_factory=list)

    def run(
        self, step: str, command: str, *, folder: str = CLONE, makes: str = "", user: str = USER
    ) -> str:
        """Run a command as a user, print what it prints, and return that; exit if it fails.

        `makes` is the path in the user's home whose size on disk is measured.
        """
        print(f"\n$ {command}", flush=True)
        inside = ["env", "--ignore-environment", *(f"{k}={v}" for k, v in self.variables.items()),
                  "bash", "-c", f"cd {folder} && {command}"]  # fmt: skip
        outside = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "bash", "-c", ENTER]
        began, received = time.monotonic(), megabytes_received()
        lines = []
        with subprocess.Popen([*outside, str(self.root), user, *inside], text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT) as process:  # fmt: skip
            assert process.stdout is not None
            for line in process.stdout:
                print(line, end="", flush=True)
                lines.append(line)
        if process.returncode != 0:
            sys.exit(f"{command} failed with exit code {process.returncode}")
        seconds, received = time.monotonic() - began, megabytes_received() - received
        size = None
        if makes:
            disk_usage = ["du", "--summarize", "--block-size=1M", f"{self.root}{HOME}/{makes}"]
            size = int(subprocess.check_output(disk_usage).split()[0])
        self.steps.append(Step(step, seconds, received, size))
        return "".join(lines)


def megabytes_received() -> float:
    """Return how much this machine has received from others since it started."""
    rows = Path("/proc/net/dev").read_text(encoding="ascii").splitlines()[2:]
    received = {name.strip(): int(counts.split()[0])
                for name, _, counts in (row.partition(":") for row in rows)}  # fmt: skip
    return sum(count for name, count in received.items() if name != "lo") / 1e6


@contextmanager
def bare_system(suite: str, folder: Path) -> Iterator[System]:
    """A system of a suite with a user and a clone of the last commit; it is removed at the end."""
    root = folder / suite
    sources = sorted(Path("/etc/apt/sources.list.d").glob("debian.sources"))
    mirrors = [line.split()[1] for path in sources for line in path.read_text().splitlines()
               if line.startswith("URIs:")]  # fmt: skip
    command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(PACKAGES)}"]
    subprocess.run([*command, suite, root, *mirrors[:1]], check=True)
    try:
        subprocess.run(["chroot", root, "useradd", "--create-home", USER], check=True)
        for path in filter(os.path.isfile, TRUSTED):
            shutil.copy(path, f"{root}{path}")
        variables = {
            "HOME": HOME,
            "PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG": "C.UTF-8",
        }
        variables |= {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        if wheels := os.environ.get("PIP_FIND_LINKS"):
            shutil.copytree(wheels, f"{root}{wheels}")
            variables["UV_FIND_LINKS"] = wheels
        variables["SSL_CERT_FILE"] = "/etc/ssl/certs/ca-certificates.crt"
        clone = f"{root}{CLONE}"
        subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", ROOT, clone], check=True)
        subprocess.run(["chroot", root, "chown", "--recursive", USER, CLONE], check=True)
        yield System(root, variables)
    finally:
        shutil.rmtree(root)


def use(system: System, *, with_tests: bool) -> None:
    """Run what the README says, as a user without rights."""
    output = system.run("`make run`", "make run", makes="stylewatch/.venv")
    (last,) = output.splitlines()[-1:]
    assert "g++" in last, f"the last line does not say what a compiler would do: {last}"
    system.run("`make run` again", "make run")
    if with_tests:
        system.run("`make test`", "make test", makes="stylewatch/.venv")
    system.run("", "rm -rf .venv")
    cpu = "" if "PIP_FIND_LINKS" in system.variables else "--torch-backend cpu "
    system.run("uv by pip", "python3 -m venv ~/uv && ~/uv/bin/pip install uv")
    system.run("`uv tool install .`", f"~/uv/bin/uv tool install {cpu}'.[web,heic]'",
               makes=".local/share/uv/tools/stylewatch")  # fmt: skip
    paint(system, f"{HOME}/.local/bin/stylewatch")
    system.run("", "~/uv/bin/uv tool uninstall stylewatch && ~/uv/bin/uv cache clean")
    system.run("`pip install .`", "python3 -m venv ~/pip && ~/pip/bin/pip install .", makes="pip")
    paint(system, "~/pip/bin/stylewatch")


def paint(system: System, program: str) -> None:
    """Paint a small picture, which says what a compiler would do, as the doctor does."""
    system.run("", f"rm -rf ~/sample && {program} sample ~/sample")
    pair = "~/sample/content.jpg ~/sample/style.jpg -o ~/painted.png"
    said = system.run("a picture of 128 pixels", f"{program} render {pair} --size 128 --force")
    assert "apt-get install --yes g++" in said, said
    said = system.run("", f"{program} doctor || true", folder=HOME)
    assert "apt-get install --yes g++" in said, said


def no_upgrade() -> str | None:
    """Return why nothing can be upgraded; None if it can."""
    if not any(DIST.glob(WHEEL)):
        return "run `make dist` first"
    has_first = ["git", "cat-file", "-e", FIRST]
    if subprocess.run(has_first, cwd=ROOT, check=False, capture_output=True).returncode != 0:
        return f"this clone does not have version {FIRST}: fetch its history"
    return None


def upgrade(system: System, wheel: Path) -> None:
    """Install a wheel over the first version, which has painted one job and not yet another."""
    shutil.copy(wheel, f"{system.root}{HOME}")
    Path(f"{system.root}{HOME}/c.yaml").write_text("job: {size: 96}\n", encoding="utf-8")
    folders = "--inbox ~/in --outbox ~/out --state ~/st"
    run = f"~/old/bin/stylewatch run --once --config ~/c.yaml {folders}"
    pip = "~/old/bin/pip install"
    system.run("", f"git worktree add --quiet ~/first {FIRST}")
    system.run("", f"python3 -m venv ~/old && {pip} --constraint constraints.txt ~/first")
    system.run("", f"mkdir ~/in && ~/old/bin/stylewatch sample ~/in/before && {run}")
    system.run("", "~/old/bin/stylewatch sample ~/in/after && "
               "find ~/out/before -type f -exec sha256sum {} + > ~/sums", folder=HOME)  # fmt: skip
    system.run(
        "the wheel over the first version",
        f"{pip} --force-reinstall --no-deps ~/{wheel.name} && {pip} -c constraints.txt ~/*.whl",
    )
    said = system.run("", run)
    assert "g++" not in said, f"the wheel has no convolutions: {said}"
    system.run("", "sha256sum --check ~/sums && ls ~/out/after/receipt.json ~/out && test ! -e "
               "~/out/before-2", folder=HOME)  # fmt: skip


def compile_as_told(system: System) -> None:
    """Do what the doctor says of the installation by pip: then no compiler is missing."""
    said = system.run("", "~/pip/bin/stylewatch doctor || true", folder=HOME)
    commands = COMMAND.search(said)
    assert commands, said
    system.run("a compiler", commands[1], folder="/", user="root")
    system.run("`pip install .` with it", commands[2], folder=HOME)
    program = (
        "from stylewatch_painter.network import kernels; import sys; sys.exit(kernels.problem())"
    )
    system.run("", f"~/pip/bin/python -c '{program}'", folder=HOME)


def main() -> int:
    """Try each suite; without the tools, say so and return 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--suite", action="append", help="stable, oldstable, or a name")
    parser.add_argument("--without-tests", action="store_true", help="not `make test`")
    arguments = parser.parse_args()
    if os.geteuid() != 0 or shutil.which("mmdebstrap") is None:
        print("skipped: no bare Debian: root or mmdebstrap is missing")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        rows = []
        for suite in arguments.suite or SUITES:
            with bare_system(suite, Path(folder)) as system:
                use(system, with_tests=not arguments.without_tests)
                if why := no_upgrade():
                    print(f"skipped: no wheel is upgraded to: {why}")
                else:
                    upgrade(system, sorted(DIST.glob(WHEEL))[-1])
                compile_as_told(system)
                rows += [(suite, step) for step in system.steps if step.name]
    print("\n| suite | step | seconds | MB received | MB on disk |\n" + "| --- " * 5 + "|")
    for suite, step in rows:
        size = "" if step.size is None else step.size
        print(f"| {suite} | {step.name} | {step.seconds:.0f} | {step.received:.0f} | {size} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
