"""The example backend is an ordinary package: installed, found, used, copied, renamed."""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from shutil import copy, copytree, ignore_patterns
from typing import Any

import pytest
from tests.plugins.promises import PROMISES, keeps

EXAMPLE = Path(__file__).parent / "example_backend"
PROGRAM = "from stylewatch_daemon.cli.main import main; main()"
PIP = ("install", "--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check")


@dataclass(frozen=True)
class Installed:
    """A backend that was built from `source` and installed into a folder of its own."""

    source: Path
    site: Path

    @classmethod
    def of(cls, source: Path, site: Path) -> "Installed":
        command = [sys.executable, "-m", "pip", *PIP, "--target", str(site), str(source)]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return cls(source, site)

    def run(self, *words: str, folder: Path) -> subprocess.CompletedProcess[str]:
        """Run Python with the package on its path, in `folder`."""
        path = os.pathsep.join([str(self.site), os.environ.get("PYTHONPATH", "")])
        env = {**os.environ, "PYTHONPATH": path}
        return subprocess.run(
            [sys.executable, *words], cwd=folder, env=env, capture_output=True, text=True,
            check=False,
        )  # fmt: skip


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    root = tmp_path_factory.mktemp("tones")
    copytree(EXAMPLE, root / "source", ignore=ignore_patterns("__pycache__"))
    return Installed.of(root / "source", root / "site")


def test_it_is_listed_with_its_capabilities_and_checks_its_options(
    tones: Installed, tmp_path: Path
) -> None:
    ended = tones.run("-c", PROGRAM, "backends", "--json", folder=tmp_path)
    (listed,) = (entry for entry in json.loads(ended.stdout) if entry["name"] == "tones")
    assert listed == {
        "name": "tones", "version": "1.0", "devices": ["cpu"], "problem": None,
        "can": ["masks", "resume", "deterministic"],
    }  # fmt: skip
    (tmp_path / "config.yaml").write_text("backends: {tones: {pase: 0.5, device: gpu}}\n")
    checked = tones.run("-c", PROGRAM, "config", "check", "config.yaml", folder=tmp_path)
    assert checked.returncode == 78
    assert "unknown key 'pase'; did you mean 'pace'?" in checked.stderr
    assert "device: " in checked.stderr


def test_the_daemon_uses_it_by_its_settings(
    tones: Installed, tmp_path: Path, pictures: Path
) -> None:
    (tmp_path / "config.yaml").write_text(
        "inboxes: [{path: inbox, outbox: outbox}]\nstate: {path: state}\nwatch: {quiet_s: 0}\n"
        "job: {backend: tones, recipe: gatys, size: 24, steps: 4, save_every: 2}\n"
        "backends: {tones: {pace: 0.5}}\n"
    )
    (tmp_path / "inbox" / "job").mkdir(parents=True)
    for name in ("content.jpg", "style.jpg"):
        copy(pictures / name, tmp_path / "inbox" / "job")
    ended = tones.run(
        "-c", PROGRAM, "run", "--once", "--config", "config.yaml", folder=tmp_path
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    receipt = json.loads((tmp_path / "outbox/job/receipt.json").read_text())
    assert receipt["backend"]["name"] == "tones"


def test_renamed_copy_is_installed_and_passes_its_own_tests(tmp_path: Path) -> None:
    """The copy is made by the commands of the README."""
    source, elsewhere = tmp_path / "mine", tmp_path / "elsewhere"
    copytree(EXAMPLE, source, ignore=ignore_patterns("__pycache__"))
    block = (EXAMPLE / "README.md").read_text().partition("```sh\n")[2].partition("```")[0]
    rename = [line for line in block.splitlines() if line.startswith(("grep", "mv"))]
    assert len(rename) == 2
    subprocess.run(["sh", "-ec", "\n".join(rename)], cwd=source, check=True)
    mine = Installed.of(source, tmp_path / "site")
    elsewhere.mkdir()
    for name in ("test_mine.py", "conftest.py", "pyproject.toml"):
        copy(source / name, elsewhere)
    load = "from stylewatch_plugins import registry; print(registry.load('mine', {}).name)"
    assert mine.run("-c", load, folder=elsewhere).stdout == "mine\n"
    report = mine.run("-m", "pytest", "-q", "-p", "no:cacheprovider", folder=elsewhere).stdout
    assert re.search(r"^\d\d+ passed", report, re.M), report


@pytest.mark.parametrize("promise", PROMISES)
def test_backend_of_the_documentation_passes_the_suite(promise: str) -> None:
    page = (EXAMPLE.parents[1] / "docs" / "backends.md").read_text(encoding="utf-8")
    (code,) = (
        block for block in re.findall(r"```python\n(.*?)```", page, re.S) if "class Mine:" in block
    )
    namespace: dict[str, Any] = {}
    exec(compile(code, "backends.md", "exec"), namespace)
    assert keeps(namespace["Mine"], promise)
