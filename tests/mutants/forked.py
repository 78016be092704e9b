"""Run pytest in forks of a process that has loaded the slow libraries: seconds less for each run.

As a script this is that process: it reads a Run as a line of JSON, and writes pytest's exit code.
"""

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from tempfile import NamedTemporaryFile

HUNG = -1
"""Exit code of tests that hang."""

LIMIT_S = 300.0
"""Seconds after which tests hang."""


@dataclass(frozen=True)
class Run:
    """The tests to run in the folder `tree`, whose packages are in the folders `packages`."""

    tree: str
    packages: tuple[str, ...]
    tests: tuple[str, ...]
    output: str


class Forks:
    """A process that forks for each run of tests."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(
        self, tree: Path, packages: tuple[str, ...], tests: tuple[str, ...]
    ) -> tuple[int, list[str]]:
        """Run `tests` up to the first failure; return pytest's exit code and its output."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with NamedTemporaryFile(prefix="mutant-") as output:
            run = Run(str(tree), packages, tests, output.name)
            print(json.dumps(asdict(run)), file=self._process.stdin, flush=True)
            code = int(self._process.stdout.readline())
            return code, Path(output.name).read_text("utf-8", "replace").splitlines()

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def _fork(run: Run) -> int:
    pid = os.fork()
    if not pid:
        try:
            os.setsid()
            _pytest(run)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(3)
    deadline = time.monotonic() + LIMIT_S
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
            break
        if time.monotonic() > deadline:
            code = HUNG
            break
        time.sleep(0.05)
    with suppress(ProcessLookupError):  # what the tests left behind, too
        os.killpg(pid, signal.SIGKILL)
    if code == HUNG:
        os.waitpid(pid, 0)
    return code


def _pytest(run: Run) -> None:
    """Run the tests in this process, which ends."""
    import pytest

    output = os.open(run.output, os.O_WRONLY)
    for number, handle in enumerate((os.open(os.devnull, os.O_RDONLY), output, output)):
        os.dup2(handle, number)
    os.chdir(run.tree)
    os.environ["PYTHONPATH"] = os.pathsep.join(run.packages)
    sys.path[:1] = [run.tree, *run.packages]
    code = pytest.main(["-x", "-q", "-p", "no:cacheprovider", "--timeout=120", *run.tests])
    sys.stdout.flush()
    os._exit(code)


def main() -> None:
    """Load the libraries, none of which starts a thread, and serve."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for library in ("numpy", "PIL.Image", "pydantic", "torch"):
        import_module(library)

    for line in sys.stdin:
        plain = json.loads(line)
        run = Run(plain["tree"], tuple(plain["packages"]), tuple(plain["tests"]), plain["output"])
        print(_fork(run), flush=True)


if __name__ == "__main__":
    main()
