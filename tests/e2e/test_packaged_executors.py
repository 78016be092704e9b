"""Executors of other packages, as the daemon runs them: the example, and that of the page."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from shutil import copytree, ignore_patterns
from typing import Any

import pytest
from tests.daemon.world import descendants
from tests.e2e.daemon import PAIR, SLOW, Daemon, until
from tests.test_example_backend import PROGRAM, install

from stylewatch_daemon.cli.main import call

Ended = subprocess.CompletedProcess[str]

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "tests/example_executor"
PAGE = (ROOT / "tests/example_executor/README.md").read_text(encoding="utf-8")


def block(kind: str, holds: str) -> str:
    """The block of this kind in the documentation that holds a text."""
    found = re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, re.M | re.S)
    (body,) = (each for each in found if holds in each)
    return str(body)


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The ways to run Python where a package is installed, by the kind that it brings."""
    root = tmp_path_factory.mktemp("packages")
    mine = root / "mine"
    mine.mkdir()
    (mine / "pyproject.toml").write_text(block("toml", "stylewatch.executors"))
    (mine / "stylewatch_mine.py").write_text(block("python", "class MineSettings"))
    example = root / "example"
    copytree(EXAMPLE, example, ignore=ignore_patterns("__pycache__"))
    sources = {"mine": mine, "command": example}
    return {kind: install(source, root / f"{kind} site") for kind, source in sources.items()}


@pytest.fixture
def environments(sites: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The environment of a daemon with each of the packages."""
    show = "import os; print(os.environ['PYTHONPATH'])"
    folder = tmp_path_factory.mktemp("folder")
    return {
        kind: {**os.environ, "PYTHONPATH": run("-c", show, folder=folder).stdout.strip()}
        for kind, run in sites.items()
    }


@pytest.mark.parametrize("kind", ["mine", "command"])
def test_it_paints_and_tries_a_job_again_whose_process_was_killed(
    kind: str, daemon: Daemon, environments: dict[str, Any]
) -> None:
    daemon.environment = environments[kind]
    daemon.start("--set", f"executor.kind={kind}", *SLOW)
    assert call([*PAIR, "--name", "painted", "--steps", "30", "--save-every", "5"]) == 0
    until(lambda: [*daemon.root.glob("outbox/painted/stages/*")])
    assert daemon.process is not None
    (process,) = (
        pid
        for pid in descendants(daemon.process.pid)
        if f"stylewatch_{kind}".encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    )
    os.kill(process, signal.SIGKILL)
    until(lambda: daemon.painted == ["painted"])
    lost, _ = daemon.receipt("painted")["attempts"]
    assert lost["ended"].startswith("worker: ") and "ended" in lost["ended"].partition(": ")[2]
    assert daemon.end() == 0


@pytest.mark.usefixtures("hears_signals")
def test_a_daemon_whose_executor_is_gone_goes_on_and_starts_anew_once_it_is_back(
    daemon: Daemon, environments: dict[str, Any], tmp_path: Path
) -> None:
    """A new process would not begin, nor could it go back to the settings that worked."""
    source = Path(environments["command"]["PYTHONPATH"].split(os.pathsep)[0])
    site = tmp_path / "site"
    copytree(source, site)
    environment = environments["command"]
    path = environment["PYTHONPATH"].replace(str(source), str(site))
    daemon.environment = {**environment, "PYTHONPATH": path}
    (daemon.root / "config.yaml").write_text("executor: {kind: command, places: 1}\n")
    daemon.start()
    assert daemon.process is not None
    (metadata,) = site.glob("*command*.dist-info")
    away = metadata.rename(tmp_path / "away")
    os.kill(daemon.process.pid, signal.SIGHUP)
    until(lambda: "the daemon continues with the earlier settings" in daemon.log)
    assert "executor.kind: should be 'local' or 'ray', got 'command'" in daemon.log
    assert "starts anew" not in daemon.log
    away.rename(metadata)
    os.kill(daemon.process.pid, signal.SIGHUP)
    until(lambda: "stylewatch starts anew" in daemon.log)
    until(lambda: daemon.log.count("watching") >= 2, within=60)
    assert daemon.end() == 0


def test_mistakes_in_its_settings_are_told_with_those_of_others(
    sites: dict[str, Any], tmp_path: Path
) -> None:
    def said(text: str) -> list[str]:
        (tmp_path / "config.yaml").write_text(text)
        words = ("config", "check", "--config", "config.yaml")
        ended = sites["command"]("-c", PROGRAM, *words, folder=tmp_path)
        return [line.removeprefix("stylewatch: config.yaml ") for line in ended.stderr.splitlines()]

    assert said(
        "executor:\n  kind: command\n  python: [no-such-program]\nwatch: {quiet_s: x}\n"
    ) == [
        "line 4: watch.quiet_s: should be a number, got 'x'",
        "line 3: executor.python: 'no-such-program' is no program that can be run",
    ]
    assert said("executor:\n  kind: command\n  places: 0\n  workers: 2\n") == [
        "line 3: executor.places: should be greater than or equal to 1, got 0",
        "line 4: executor.workers: this is for kind: local, and kind is command",
    ]
    assert said("executor: {kind: commmand}\n") == [
        "line 1: executor.kind: should be 'local', 'ray' or 'command', got 'commmand'"
    ]


def test_a_package_that_cannot_be_used_hides_no_mistake(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("executor: {kind: odd}\nwatch: {quiet_s: x}\n")
    ended = with_odd(tmp_path, f"{ODD}{MISTAKES}yield 1 / 0", "config", "check")
    mistake, package = ended.stderr.splitlines()
    assert ended.returncode == 78
    assert mistake.endswith("line 2: watch.quiet_s: should be a number, got 'x'")
    assert package == f"stylewatch: {CANNOT}ZeroDivisionError: division by zero"


def test_the_doctor_calls_a_mistake_of_an_executor_one_of_the_settings(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("executor: {kind: odd}\n")
    code = f"{ODD}{MISTAKES}yield 'executor.kind: \\x1b[31mno'"
    ended = with_odd(tmp_path, code, "doctor", "--json")
    (finding,) = json.loads(ended.stdout)
    assert finding["what"] == "settings"
    assert finding["words"].endswith("line 1: executor.kind: ?[31mno")


def with_odd(folder: Path, code: str, *words: str, program: str = PROGRAM) -> Ended:
    """Run a command in a folder with a package that brings the kind `odd`, by this code."""
    (folder / "odd.py").write_text(
        "from pydantic import Field, field_validator\n"
        "from stylewatch_daemon.settings.executors import ExecutorSettings, Extra\n"
        "class Base(ExecutorSettings):\n    def start(self, lock, wake): ...\n"
        f"{code}\n"
    )
    metadata = folder / "odd-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: odd\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[stylewatch.executors]\nodd = odd:OddSettings\n")
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.run(
        [sys.executable, "-c", program, *words, "--config", "config.yaml"],
        cwd=folder, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import not_there", "ModuleNotFoundError: No module named 'not_there'"),
        ("OddSettings = 3", "it is no subclass of ExecutorSettings"),
        ("class OddSettings(ExecutorSettings): pass", "it lacks start"),
        ("class OddSettings(Base): key: int", "its key key has no default"),
        ("class OddSettings(Base):\n    key: int = 1\n    check = field_validator('key')(abs)",
         "the section would not run its validator check: put it into a type (Annotated)"),
        ("class OddSettings(Base):\n    def model_post_init(self, context): 1 / 0",
         "the section would not run its model_post_init: leave it out"),
        ("class OddSettings(Base): copy: int = 1", "no key can be called copy"),
        ("class OddSettings(Base): hours: int = 1",
         "the name hours is that of another kind or of a key of one"),
        ("class OddSettings(Base): address: int = 1",
         "the name address is that of another kind or of a key of one"),
        ("class OddSettings(Base): odd: int = 1",
         "the name odd is that of another kind or of a key of one"),
        ("class OddSettings(Base): amount: int = Field(3, alias='devices')",
         "its key amount has an alias"),
        ("class OddSettings(Base):\n    model_config = {'alias_generator': str.upper}\n"
         "    amount: int = 1", "its key amount has an alias"),
        ("class OddSettings(Base): drop_in = '70-odd.conf'",
         "its drop_in 70-odd.conf is no file of systemd/stylewatch.service.d"),
        ("class OddSettings(Base): drop_in = '../stylewatch.service'",
         "its drop_in ../stylewatch.service is no file of systemd/stylewatch.service.d"),
        ("class OddSettings(Base): extra = 'torch'", "its extra is no Extra, but 'torch'"),
    ],
)  # fmt: skip
def test_a_kind_that_cannot_be_used_is_left_out_with_the_reason(
    code: str, why: str, tmp_path: Path
) -> None:
    (tmp_path / "config.yaml").write_text("executor: {kind: odd}\n")
    ended = with_odd(tmp_path, code, "config", "check")
    assert (ended.returncode, ended.stderr.splitlines()[-1]) == (
        78,
        "stylewatch: config.yaml line 1: executor.kind: should be 'local' or 'ray', as 'odd' of "
        f"the executors of package odd is left out: {why}",
    )


CANNOT = "'odd' of the executors of package odd cannot be used: "

ODD = "class OddSettings(Base):\n    "

START = "def start(self, lock, wake): "
MISTAKES = "def mistakes(self): "
PROBE = "def probe(self): "

SHORT_DOCTOR = (
    "from stylewatch_daemon.doctor import diagnose\n"
    "diagnose.CHECKS = {what: diagnose.CHECKS[what] for what in ('cluster', 'extras', 'alerts')}\n"
    f"{PROGRAM}"
)


@pytest.mark.parametrize(
    ("code", "kind", "entry"),
    [
        ("extra = Extra('far', 'not_there.part', 'it works', '`get far`')", "local",
         {"what": "extra far", "verdict": "note", "words": "with `get far` it works"}),
        ("extra = Extra('far', 'broken.part', 'it works', '`get far`')", "local",
         {"what": "extra far", "verdict": "note", "words": f"{CANNOT}ValueError: a fault"}),
        (f"{PROBE}import not_there", "odd",
         {"what": "cluster", "verdict": "problem",
          "words": f"{CANNOT}ModuleNotFoundError: No module named 'not_there'"}),
        (f"{PROBE}raise OSError('no studio')", "odd",
         {"what": "cluster", "verdict": "problem", "words": f"{CANNOT}OSError: no studio"}),
        (f"{PROBE}return {{}}['x']", "odd",
         {"what": "cluster", "verdict": "problem", "words": f"{CANNOT}KeyError: 'x'"}),
        (f"{MISTAKES}return 'executor.kind: no'", "odd",
         {"what": "cluster", "verdict": "problem",
          "words": f"{CANNOT}TypeError: mistakes() returns the text 'executor.kind: no', and no "
          "list of them"}),
        (f"{MISTAKES}yield 1 / 0", "odd",
         {"what": "cluster", "verdict": "problem",
          "words": f"{CANNOT}ZeroDivisionError: division by zero"}),
    ],
)  # fmt: skip
def test_the_doctor_names_the_package_whose_code_fails_and_goes_on(
    code: str, kind: str, entry: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "broken.py").write_text("raise ValueError('a fault')\n")
    (tmp_path / "config.yaml").write_text(f"executor: {{kind: {kind}}}\nalerts: {{urls: [what]}}\n")
    ended = with_odd(tmp_path, ODD + code, "doctor", "--json", program=SHORT_DOCTOR)
    assert ended.stdout, ended.stderr
    found = json.loads(ended.stdout)
    assert entry in [{key: each[key] for key in entry} for each in found]
    assert tuple(each["what"] for each in found[-2:]) == ("extras", "alerts")


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (f"{START}import not_there", "ModuleNotFoundError: No module named 'not_there'"),
        (f"{START}raise OSError('no studio')", "OSError: no studio"),
        (f"{START}raise RuntimeError('odd')", "RuntimeError: odd"),
        (f"{START}raise SystemExit(3)", "SystemExit: 3"),
        (f"{START}return {{}}", "TypeError: start() returns {}, and no Executor"),
        (f"{MISTAKES}return ['']", "TypeError: mistakes() returns an empty text"),
        (f"{MISTAKES}return 'executor.kind: no'",
         "TypeError: mistakes() returns the text 'executor.kind: no', and no list of them"),
    ],
)  # fmt: skip
def test_a_start_that_fails_names_the_package(code: str, why: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("executor: {kind: odd}\nstate: {path: state}\n")
    ended = with_odd(tmp_path, ODD + code, "run", "--once")
    assert (ended.returncode, ended.stderr.splitlines()[-1]) == (69, f"stylewatch: {CANNOT}{why}")


def test_what_a_package_foresaw_is_told_in_its_words(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("executor: {kind: odd}\nstate: {path: state}\n")
    code = (
        f"{ODD}{START}\n"
        "        from stylewatch_daemon.base.errors import OutputError\n"
        "        raise OutputError('the studio is full')"
    )
    ended = with_odd(tmp_path, code, "run", "--once")
    assert (ended.returncode, ended.stderr.splitlines()[-1]) == (
        73,
        "stylewatch: the studio is full",
    )
