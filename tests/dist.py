"""Build the packages to publish into dist/, and check them: `make dist`.

The wheels hold the compiled convolutions, for 64-bit Linux on Intel, AMD and ARM, compiled by
ziglang for versions of glibc that torch itself is too new for; the source distribution is for all
other machines. They have the files of the last commit, and nothing else that lies in its folder.
The packages for this machine are installed with their dependencies into an environment of their
own, and paint the sample pair there. The options for pip in the variable PIP_OPTIONS are used for
that.
"""

import os
import platform
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import venv
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[1]
DIST = ROOT / "dist"
MACHINES = ("x86_64", "aarch64")

GLIBC = "2.17"
"""The version of glibc, of 2012, that the compiled parts of the wheels need."""

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def ignore_signals() -> None:
    """Ignore what ends a process."""
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)


class Held:
    """A signal that arrives while a process is started, whose id is not known yet."""

    is_starting = False
    number: int | None = None


def leave(number: int, _: object) -> None:
    """Raise SystemExit for a signal, once, or hold it back."""
    if Held.is_starting:
        Held.number = number
    else:
        ignore_signals()
        sys.exit(128 + number)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Have a signal that ends the process raise SystemExit, once: nothing is left behind."""
    handlers = {number: signal.getsignal(number) for number in ENDING}
    for number, handler in handlers.items():
        if handler is not signal.SIG_IGN:  # nohup ignores SIGHUP
            signal.signal(number, leave)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def run(*words: str | Path, folder: Path | None = None, **variables: str) -> None:
    """Run a command with more variables, by default in the project's folder; exit if it fails.

    If that raises, as `ended_by_signals` has a signal do, the command ends with all processes that
    it has started: compilers would go on for minutes, and write what nobody waits for.
    """
    print("$", shlex.join(map(str, words)), flush=True)
    environment = {**os.environ, **variables}
    Held.is_starting, Held.number = True, None
    try:
        started = subprocess.Popen(words, cwd=folder or ROOT, env=environment, process_group=0)
    finally:
        Held.is_starting = False
    with started as process:
        try:
            if Held.number is not None:
                leave(Held.number, None)
            code = process.wait()
        except BaseException:
            os.killpg(process.pid, signal.SIGTERM)
            raise
    if code:
        sys.exit(f"{words[0]} failed with exit code {code}")


@contextmanager
def checkout() -> Iterator[Path]:
    """A folder with the files of the last commit.

    Files that git ignores by settings of this machine alone would else be published.
    """
    if not (ROOT / ".git").exists():  # a source distribution
        yield ROOT
        return
    (ROOT / "build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="checkout-", dir=ROOT / "build") as folder:
        tree = Path(folder, "stylewatch")
        run("git", "worktree", "add", "--quiet", "--detach", tree)
        try:
            yield tree
        finally:
            run("git", "worktree", "remove", "--force", tree)


def build(tree: Path, folder: Path) -> tuple[list[Path], Path]:
    """Return the wheels, and the source distribution, which each of them is built from.

    They are made of the files in `tree`, and are all that is in `folder` then.
    """
    shutil.rmtree(folder, ignore_errors=True)
    for machine in MACHINES:
        build_wheel(machine, tree, folder)
    (source,) = folder.glob("*.tar.gz")
    return sorted(folder.glob("*.whl")), source


def build_wheel(machine: str, tree: Path, folder: Path) -> Path:
    """Build the wheel for a machine of Linux into `folder`; exit if it lacks compiled parts."""
    tag = f"manylinux_{GLIBC.replace('.', '_')}_{machine}"
    target = f"{machine}-linux-gnu.{GLIBC}"
    # its scheduler keeps more vectors than there are registers, which takes 1.5 times as long
    flags = ("-mllvm", "-enable-misched=false")
    # without symbols, which name folders of this machine
    compiler = (sys.executable, "-m", "ziglang", "c++", "-target", target, "-s", *flags)
    # the source distribution first, and the wheel from it: not from libraries of the work tree
    with tempfile.TemporaryDirectory() as temporary:  # what the build leaves if it is stopped
        run(sys.executable, "-m", "build", "--outdir", folder, folder=tree, TMPDIR=temporary,
            CXX=shlex.join(compiler),
            _PYTHON_HOST_PLATFORM=tag.replace(f"_{machine}", f"-{machine}"))  # fmt: skip
    (wheel,) = folder.glob(f"*-py3-none-{tag}.whl")
    with zipfile.ZipFile(wheel) as archive:
        compiled = [name for name in archive.namelist() if name.endswith(".so")]
    print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB with {len(compiled)} libraries")
    if not compiled:
        sys.exit(f"{wheel.name} has no compiled convolutions")
    return wheel


def check_painting(package: Path, folder: Path) -> None:
    """Install a package into a new environment in `folder`; exit if it does not paint there."""
    venv.create(folder / "environment", with_pip=True)
    programs = folder / "environment/bin"
    options = shlex.split(os.environ.get("PIP_OPTIONS", ""))
    constraints = ("--constraint", ROOT / "constraints.txt")
    run(programs / "pip", "install", "--quiet", *options, *constraints, package, folder=folder)
    run(programs / "stylewatch", "sample", "pair", folder=folder)
    pair = ("pair/content.jpg", "pair/style.jpg")
    run(programs / "stylewatch", "render", *pair, "-o", "out.png", "--size", "96", folder=folder)
    with Image.open(folder / "out.png") as picture:
        print(f"{package.name} painted {picture.width}x{picture.height} pixels", flush=True)


def build_and_check(tree: Path, folder: Path) -> tuple[list[Path], Path]:
    """Return the wheels and the source distribution; exit if one of them does not paint."""
    wheels, source = build(tree, folder)
    run(sys.executable, "-m", "twine", "check", "--strict", *wheels, source)
    for package in (*(each for each in wheels if platform.machine() in each.name), source):
        with tempfile.TemporaryDirectory() as empty:
            check_painting(package, Path(empty))
    return wheels, source


if __name__ == "__main__":
    with ended_by_signals(), checkout() as last_commit:
        build_and_check(last_commit, DIST)
