"""Each command where nobody expects it: no terminal, no home, another locale, root (law 27).

It ends with a documented exit code, in our own words, and what it makes for a daemon belongs to the
account of that.
`python -m tests.surface commands [PART OF A COMMAND OR OF A CONDITION ...]`
"""

import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import typer
from PIL import Image
from tests.surface.check import FOREIGN

from stylewatch_daemon.base.errors import Exit
from stylewatch_daemon.cli import exit_codes
from stylewatch_daemon.cli.main import make_app

ROOT = Path(__file__).parents[2]

DAEMON = 54321
"""The user whom the daemon runs as; it has no home and no entry in the table of accounts."""

STRANGER = DAEMON + 1
"""A user who may put files into the inbox, and not read the state folder."""

DONE, BAD = "写真", "Größe"
"""A finished and a refused job."""

ARGUMENTS: Mapping[str, str] = {
    "render": "content.jpg style.jpg -o out.png --steps 1",
    "try": "content.jpg style.jpg -o out.png --steps 1",
    "submit": f"content.jpg style.jpg --name {DONE}-new",
    "sample": "INBOX/rocket",
    "learn": "style.jpg content.jpg --steps 1 --size 64 -o learned.safetensors",
    "run": "--once",
    "show": DONE,
    "retry": BAD,
    "finish": DONE,
    "cancel": DONE,
    "dismiss": "--all",
    "init": "--pictures NEW",
    "service install": "--print",
    "weights fetch": "unknown",
    "weights import": "content.jpg",
}
"""Arguments with which commands do something, where they need any."""

OTHERWISE_WRONG = ("alerts", "phone", "weights")
"""Commands that find something wrong in a world before they would write."""

TALKATIVE = ("render", "try", "run")
"""Commands that say on stderr what they do."""

_ROWS = re.findall(r"^\| ([0-9, ]+) \|", (ROOT / "docs/cli.md").read_text(), re.MULTILINE)
CODES = {int(code) for row in _ROWS for code in row.split(",")} - {Exit.FAULT}
"""The documented exit codes; none of these commands has a job that fails."""

OURS = "stylewatch"
"""A part of the paths of our modules."""

TIMEOUT_S = 60.0

CONFIG = """\
inboxes: [{path: ../../../inbox, outbox: ../../../outbox}]
state: {path: ../../../state}
pairing: {styles: ../../../styles}
watch: {quiet_s: 0, truncated_s: 0}
job: {backend: sketch, size: 32, steps: 1}
"""


def leaves() -> Iterator[tuple[str, Any]]:
    """Yield each command of the program with its words."""

    def below(command: Any, words: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
        inner = getattr(command, "commands", {})
        for name in inner:
            yield from below(inner[name], (*words, name))
        if not inner:
            yield " ".join(words), command

    yield from below(typer.main.get_command(make_app()), ())


def needs_arguments(command: Any) -> bool:
    """Return whether a command has arguments that must be given."""
    return any(each.required for each in command.params)


class World:
    """A home, a current folder with pictures, and the folders of a daemon that has worked."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.home, self.desk = root / "home", root / "desk"
        self.boxes = [root / name for name in ("inbox", "outbox", "state")]

    def make(self) -> None:
        """Make it, with a job that is done, and a refused one."""
        settings = self.home / ".config/stylewatch/config.yaml"
        for folder in (settings.parent, self.desk, self.root / "styles", *self.boxes):
            folder.mkdir(parents=True)
        settings.write_text(CONFIG, encoding="utf-8")
        for number, name in enumerate(("content.jpg", "style.jpg")):
            Image.linear_gradient("L").resize((40 + number, 30)).save(self.desk / name)
        for name in (DONE, BAD):
            shutil.copytree(self.desk, self.boxes[0] / name)
        (self.boxes[0] / BAD / "content.jpg").write_bytes(b"no picture" * 9)
        subprocess.run(command("run --once"), check=False, cwd=self.desk, env=self.environment(),
                       capture_output=True)  # fmt: skip
        assert (self.boxes[1] / DONE / "receipt.json").exists()

    def copy(self, root: Path) -> "World":
        """Return a copy of it, for one case."""
        shutil.copytree(self.root, root, symlinks=True, ignore=shutil.ignore_patterns("wake"))
        return World(root)

    def environment(self) -> dict[str, str]:
        """Return the variables of a usual start."""
        kept = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH")
        return {
            "HOME": str(self.home), "LC_ALL": "C.UTF-8", "OMP_NUM_THREADS": "1",
            **{name: os.environ[name] for name in kept if name in os.environ},
        }  # fmt: skip

    def give(self, owner: int) -> None:
        """Give all of it to a user."""
        for path in (self.root, *self.root.rglob("*")):
            os.chown(path, owner, owner, follow_symlinks=False)

    def words(self, name: str) -> list[str]:
        """Return the words of a command with its arguments."""
        inbox = self.boxes[0]
        given = ARGUMENTS.get(name, "").replace("INBOX", str(inbox)).replace("NEW", f"{inbox}/new")
        return [*name.split(), *given.split()]


def command(words: str | Sequence[str]) -> list[str]:
    """Return the command line of the program."""
    words = words.split() if isinstance(words, str) else words
    return [sys.executable, "-P", "-m", "stylewatch_daemon", *words]


@dataclass
class Ended:
    """The output of a command and its exit code, which is None if it did not end."""

    code: int | None
    out: str = ""
    err: str = ""


@dataclass
class Start:
    """How a command is started in a world."""

    world: World
    words: list[str]
    variables: dict[str, str]
    stdout: Any = subprocess.PIPE
    stderr: Any = subprocess.PIPE
    prefix: tuple[str, ...] = ()
    """A command that starts the program."""
    signaled_at: float | None = None
    codes: frozenset[int] = field(default_factory=frozenset)
    """Exit codes that are right; empty: all that are documented."""

    def run(self) -> Ended:
        """Run it to its end; one that does not end is killed."""
        with subprocess.Popen(
            [*self.prefix, *command(self.words)], cwd=self.world.desk, env=self.variables,
            stdin=subprocess.DEVNULL, stdout=self.stdout, stderr=self.stderr,
            start_new_session=True,
        ) as process:  # fmt: skip
            try:
                if self.signaled_at is not None:
                    time.sleep(self.signaled_at)
                    process.send_signal(signal.SIGINT)
                out, err = process.communicate(timeout=TIMEOUT_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
                return Ended(None)
        code = 128 - process.returncode if process.returncode < 0 else process.returncode
        texts = [(each or b"").decode(errors="replace") for each in (out, err)]
        return Ended(code, *texts)


Condition = Callable[[Start], object]
"""Changes to a usual start, by condition."""

AS_DAEMON = ("setpriv", f"--reuid={DAEMON}", f"--regid={DAEMON}", "--clear-groups", "--")
"""A command that starts another one as the daemon's account."""


@cache
def no_root() -> bool:
    """Return whether this is not root, or another account cannot run this Python."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        return True
    with tempfile.TemporaryDirectory() as folder:
        ended = subprocess.run([*AS_DAEMON, *command("--help")], check=False, capture_output=True,
                               env={**os.environ, "HOME": folder})  # fmt: skip
    return ended.returncode != 0


def _variables(**changed: str) -> Condition:
    def change(start: Start) -> None:
        start.variables |= changed

    return change


def _help(columns: int) -> Condition:
    def change(start: Start) -> None:
        start.words.append("--help")
        start.variables["COLUMNS"] = str(columns)
        start.codes = frozenset({0})

    return change


def _closed_streams(start: Start) -> None:
    start.prefix = ("sh", "-c", 'exec "$@" <&-', "sh")


def _gone_reader(start: Start) -> None:
    reading, start.stdout = os.pipe()
    os.close(reading)


def _full(start: Start) -> None:
    start.stdout = start.stderr = os.open("/dev/full", os.O_WRONLY)


def _removed_folder(start: Start) -> None:
    start.prefix = ("sh", "-c", 'mkdir gone && cd gone && rmdir ../gone && exec "$@"', "sh")
    start.codes = frozenset({Exit.USAGE})


def _nothing_written(start: Start) -> None:
    """Let no file take a byte, nor any folder for temporary files."""
    start.prefix = ("sh", "-c", 'ulimit -f 0 && exec "$@"', "sh")
    if start.words[0] not in OTHERWISE_WRONG:
        start.codes = frozenset({0, Exit.CANNOT_WRITE})


def _as_daemon(start: Start) -> None:
    """Run it as an account without a home and an entry."""
    start.world.give(DAEMON)
    start.prefix = AS_DAEMON


def _without_home(start: Start) -> None:
    """Leave out HOME, but not the folders that are in the home: its account may have a real one."""
    del start.variables["HOME"]
    for name in ("CONFIG", "STATE", "DATA", "CACHE"):
        start.variables[f"XDG_{name}_HOME"] = str(start.world.home / f".{name.lower()}")


def _homeless(start: Start) -> None:
    _as_daemon(start)
    del start.variables["HOME"]


def _unreadable_folder(start: Start) -> None:
    _as_daemon(start)
    start.world.desk.chmod(0)


def _by_root(start: Start) -> None:
    start.world.give(DAEMON)
    if start.words[0] == "init":
        start.variables["XDG_CONFIG_HOME"] = str(start.world.boxes[1])
    (start.world.desk / "content.jpg").chmod(0o600)
    os.chown(start.world.desk / "content.jpg", 0, 0)


def _by_root_first(start: Start) -> None:
    """The daemon has never run."""
    shutil.rmtree(start.world.root / "state")
    _by_root(start)


def _by_stranger(start: Start) -> None:
    """Run it as another account, to which the inbox alone is open."""
    start.world.give(DAEMON)
    start.world.boxes[0].chmod(0o777)
    start.prefix = tuple(word.replace(str(DAEMON), str(STRANGER)) for word in AS_DAEMON)


def _interrupted(share: float) -> Condition:
    def change(start: Start) -> None:
        for number in range(20_000 if start.words[0] == "status" else 0):
            (start.world.boxes[0] / f"{number}.jpg").touch()
        start.signaled_at = share
        start.codes = frozenset({130, *CODES})

    return change


CONDITIONS: Mapping[str, Condition] = {
    "help, 40 columns": _help(40),
    "help, 200 columns": _help(200),
    "no terminal": lambda start: None,
    "closed stdin": _closed_streams,
    "gone reader": _gone_reader,
    "full disk": _full,
    "locale C": _variables(LC_ALL="C", PYTHONCOERCECLOCALE="0", PYTHONUTF8="0"),
    "locale POSIX": _variables(LC_ALL="POSIX"),
    "unknown locale": _variables(LC_ALL="xx_XX.unknown", LANG="xx"),
    "ascii": _variables(PYTHONIOENCODING="ascii"),
    "latin-1": _variables(PYTHONIOENCODING="latin-1"),
    "no HOME": _without_home,
    "removed folder": _removed_folder,
    "nothing can be written": _nothing_written,
    **{f"Ctrl-C after {s} s": _interrupted(s) for s in (0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 1.0, 1.5)},
}
OF_ACCOUNTS: Mapping[str, Condition] = {
    "no account": _homeless,
    "unreadable folder": _unreadable_folder,
    "another account": _by_stranger,
    "root for a daemon": _by_root,
    "root before a daemon": _by_root_first,
}
"""Conditions for which root has to become another user."""

OF_ROOT = ("root for a daemon", "root before a daemon")


def breaches(name: str, condition: str, start: Start, ended: Ended) -> Iterator[str]:
    """Yield how the end of a command breaks a law."""
    if ended.code is None:
        yield "it hangs"
        return
    if start.signaled_at is not None and "Traceback" in ended.err and OURS not in ended.err:
        return  # Python itself had not started
    if ended.code not in (start.codes or CODES):
        yield f"it ends with {ended.code}: {ended.err.strip()[-300:]}"
    if found := FOREIGN.search(_sentences(ended.err)):
        yield f"it says {found[0]}: {ended.err.strip()[-300:]}"
    if ended.out and not ended.out.endswith("\n"):
        yield f"half a line: {ended.out[-80:]!r}"
    if ended.code == exit_codes.INTERRUPTED and ended.err and name not in TALKATIVE:
        yield f"it ends by Ctrl-C with a message: {ended.err.strip()[-300:]}"
    if condition in OF_ROOT and name != "run":  # that is another daemon, of its own account
        yield from _strange_owners(start.world)


def _sentences(err: str) -> str:
    """Return what a command says, without paths and options."""
    return re.sub(r"\S*[/=]\S*|`[^`]*`|--\S+", "", err)


def _strange_owners(world: World) -> Iterator[str]:
    for path in (path for box in world.boxes for path in (box, *box.rglob("*"))):
        status = path.lstat() if path.exists() else None
        if status and (status.st_uid, status.st_gid) != (DAEMON, DAEMON):
            yield f"{path.relative_to(world.root)} belongs to {status.st_uid}:{status.st_gid}"
    state = world.boxes[-1]
    if state.exists() and state.stat().st_mode & 0o077:
        yield f"others can enter the state folder: {state.stat().st_mode:o}"


OF_HOMES = (".config/stylewatch/config.yaml", ".config/systemd/user/stylewatch.service",
            ".local/state/stylewatch", ".local/share/stylewatch", ".cache/stylewatch",
            "Pictures/stylewatch")  # fmt: skip
"""Files that the program makes in a home."""


def real_home() -> dict[Path, int]:
    """Return what the program has made in the home of whoever runs this, with its inodes."""
    found = {}
    with suppress(KeyError):  # an account without an entry
        for path in (Path(pwd.getpwuid(os.getuid()).pw_dir, name) for name in OF_HOMES):
            if path.exists():
                found[path] = path.stat().st_ino
    return found


Case = tuple[str, str]
"""A command and a condition."""


def cases() -> list[Case]:
    """Return all of them, which root is needed for at the end."""
    names = [name for name, _ in leaves()]
    return [(name, condition) for condition in (*CONDITIONS, *OF_ACCOUNTS) for name in names]


def skipped(case: Case) -> bool:
    """Return whether a case needs root, which this is not."""
    return case[1] in OF_ACCOUNTS and no_root()


def try_all(tried: Sequence[Case]) -> Iterator[tuple[Case, list[str]]]:
    """Yield each case that can be tried with its breaches.

    Raises AssertionError, and goes no further, if one has made something in the real home.
    """
    before = real_home()
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(2) as pool:
        root = Path(name)
        root.chmod(0o755)
        world = World(root / "world")
        world.make()

        def attempt(number: int, case: Case) -> tuple[Case, list[str]]:
            own = world.copy(root / str(number))
            start = Start(own, own.words(case[0]), own.environment())
            {**CONDITIONS, **OF_ACCOUNTS}[case[1]](start)
            try:
                found = [*breaches(*case, start, start.run())]
            finally:
                for stream in {start.stdout, start.stderr} - {subprocess.PIPE}:
                    os.close(stream)
            shutil.rmtree(own.root)
            touched = [str(path) for path, _ in real_home().items() - before.items()]
            assert not touched, f"{case} has written to the real home: {touched}"
            return case, found

        able = [case for case in tried if not skipped(case)]
        yield from pool.map(attempt, range(len(able)), able)


def main(words: Sequence[str]) -> int:
    """Try all cases with one of the `words` in their names; print each breach of a law."""
    chosen = [case for case in cases() if not words or any(w in " ".join(case) for w in words)]
    found, began = Counter[str](), time.monotonic()
    for case, said in try_all(chosen):
        for breach in said:
            found[" ".join(case)] += 1
            print(f"{case[0]} ({case[1]})\n    {breach}", flush=True)
    left_out = sum(map(skipped, chosen))
    print(f"{len(chosen)} commands and conditions in {time.monotonic() - began:.0f} s, {left_out} "
          f"left out, as they take root; {found.total()} breaches in {len(found)}")  # fmt: skip
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
