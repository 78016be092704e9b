"""The example of a backend is a package like anybody's: installed, found, used, copied, renamed."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from shutil import copy, copytree, ignore_patterns
from typing import Any

import pytest
from tests.plugins.promises import keeps, promises

EXAMPLE = Path(__file__).parent / "example_backend"
PROGRAM = "from stylewatch_daemon.cli.main import main; main()"
PIP = ("install", "--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check")


@dataclass(frozen=True)
class Installed:
    """A backend in a folder of its own on the path of the programs that are run."""

    name: str
    site: Path

    def run(self, *words: str, folder: Path) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join([str(self.site), os.environ.get("PYTHONPATH", "")])
        env = {**os.environ, "PYTHONPATH": path}
        command = (sys.executable, *words)
        return subprocess.run(
            command, cwd=folder, env=env, capture_output=True, text=True, check=False
        )

    def stylewatch(self, *words: str, folder: Path) -> subprocess.CompletedProcess[str]:
        return self.run("-c", PROGRAM, *words, folder=folder)

    def tests(self, source: Path, folder: Path) -> str:
        """What its own tests say, run in `folder`, away from its source."""
        folder.mkdir()
        for name in (f"test_{self.name}.py", "conftest.py", "pyproject.toml"):
            copy(source / name, folder)
        return self.run("-m", "pytest", "-q", "-p", "no:cacheprovider", folder=folder).stdout


def install(source: Path, site: Path, name: str) -> Installed:
    """Build and install the package at `source`, without the network."""
    command = [sys.executable, "-m", "pip", *PIP, "--target", str(site), str(source)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return Installed(name, site)


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    root = tmp_path_factory.mktemp("tones")
    copytree(EXAMPLE, root / "source", ignore=ignore_patterns("__pycache__"))
    return install(root / "source", root / "site", "tones")


@pytest.fixture
def drop(pictures: Path, tmp_path: Path) -> Callable[[str, str], None]:
    """Puts a pair into the inbox, with its job.yaml."""

    def drop_(job: str, settings: str) -> None:
        folder = tmp_path / "inbox" / job
        folder.mkdir(parents=True)
        for name in ("content.jpg", "style.jpg"):
            copy(pictures / name, folder)
        (folder / "job.yaml").write_text(settings)

    return drop_


def test_it_is_found_and_listed_with_what_it_can(tones: Installed, tmp_path: Path) -> None:
    listed = tones.stylewatch("backends", "--json", folder=tmp_path)
    (found,) = (one for one in json.loads(listed.stdout) if one["name"] == "tones")
    assert found == {
        "name": "tones", "version": "1.0", "devices": ["cpu"], "problem": None,
        "can": ["masks", "resume", "deterministic"],
    }  # fmt: skip
    (line,) = re.findall("^tones .*", tones.stylewatch("backends", folder=tmp_path).stdout, re.M)
    assert line.split(maxsplit=2) == ["tones", "1.0", "cpu; masks, resume, deterministic"]


def test_its_options_are_checked_by_its_own_model(tones: Installed, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("backends: {tones: {pase: 0.5, device: gpu}}\n")
    checked = tones.stylewatch("config", "check", "config.yaml", folder=tmp_path)
    assert checked.returncode == 78
    assert "backends.tones: backend tones: " in checked.stderr
    assert "unknown key 'pase'; did you mean 'pace'?" in checked.stderr
    assert "device: " in checked.stderr
    (tmp_path / "config.yaml").write_text("backends: {tones: {pace: 0.5}}\n")
    assert tones.stylewatch("config", "check", "config.yaml", folder=tmp_path).returncode == 0


def test_the_daemon_uses_it_by_the_settings_alone(
    tones: Installed, tmp_path: Path, drop: Callable[[str, str], None]
) -> None:
    (tmp_path / "config.yaml").write_text(
        "inboxes: [{path: inbox, outbox: outbox}]\nstate: {path: state}\nwatch: {quiet_s: 0}\n"
        "job: {backend: tones, recipe: gatys, size: 24, steps: 4, save_every: 2}\n"
        "backends: {tones: {pace: 0.5}}\n"
    )
    drop("fine", "seed: 3")
    drop("sketched", "backend: sketch")
    ended = tones.stylewatch("run", "--once", "--config", "config.yaml", folder=tmp_path)
    assert ended.returncode == 0, ended.stderr
    receipts = {
        path.parent.name: json.loads(path.read_text())
        for path in (tmp_path / "outbox").glob("*/receipt.json")
    }
    painted = {job: one["backend"]["name"] for job, one in receipts.items()}
    assert painted == {"fine": "tones", "sketched": "sketch"}
    assert receipts["fine"]["seed"] == 3
    assert len(list((tmp_path / "outbox/fine/stages").iterdir())) == 2


def test_it_passes_the_suite_where_it_is_installed(tones: Installed, tmp_path: Path) -> None:
    told = tones.tests(EXAMPLE, tmp_path / "elsewhere")
    assert re.search(r"^\d\d+ passed", told, re.M), told


def test_a_copy_under_another_name_is_a_backend_of_its_own(
    tones: Installed, tmp_path: Path
) -> None:
    """Made by the very commands that its README gives."""
    source = tmp_path / "mine"
    copytree(EXAMPLE, source, ignore=ignore_patterns("__pycache__"))
    block = (EXAMPLE / "README.md").read_text().partition("```sh\n")[2].partition("```")[0]
    rename = [line for line in block.splitlines() if line.startswith(("grep", "mv"))]
    assert len(rename) == 2
    subprocess.run(["sh", "-ec", "\n".join(rename)], cwd=source, check=True)
    mine = install(source, tmp_path / "site", "mine")
    both = Installed("mine", Path(f"{mine.site}{os.pathsep}{tones.site}"))
    listed = json.loads(both.stylewatch("backends", "--json", folder=tmp_path).stdout)
    found = {one["name"]: one["problem"] for one in listed}
    assert (found["mine"], found["tones"]) == (None, None)
    told = mine.tests(source, tmp_path / "elsewhere")
    assert re.search(r"^\d\d+ passed", told, re.M), told


@pytest.mark.parametrize("promise", promises())
def test_the_backend_on_the_page_for_authors_keeps_what_every_backend_promises(
    promise: str,
) -> None:
    page = (EXAMPLE.parents[1] / "docs" / "backends.md").read_text(encoding="utf-8")
    (code,) = (
        block for block in re.findall(r"```python\n(.*?)```", page, re.S) if "class Mine:" in block
    )
    namespace: dict[str, Any] = {}
    exec(compile(code, "backends.md", "exec"), namespace)
    assert keeps(namespace["Mine"], promise)
