"""The example backend is an ordinary package: installed, found, used, copied, renamed."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from shutil import copy, copytree, ignore_patterns
from typing import Any

import pytest
from tests.plugins.promises import PROMISES, keeps

EXAMPLE = Path(__file__).parent / "example_backend"
PROGRAM = "from stylewatch_daemon.cli.main import main; main()"
PIP = ("install", "--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check")


def install(source: Path, site: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Build a package, install it into the folder `site`, and return a way to run Python there."""
    command = [sys.executable, "-m", "pip", *PIP, "--target", str(site), str(source)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    path = os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "PYTHONPATH": path}

    def run(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *words]
        return subprocess.run(
            command, cwd=folder, env=env, capture_output=True, text=True, check=False
        )

    return run


def test_it_is_listed_checked_and_used_by_the_daemon(tmp_path: Path, pictures: Path) -> None:
    copytree(EXAMPLE, tmp_path / "source", ignore=ignore_patterns("__pycache__"))
    run = install(tmp_path / "source", tmp_path / "site")
    ended = run("-c", PROGRAM, "doctor", "--set", "backend=tones", "--json", folder=tmp_path)
    (listed,) = (entry for entry in json.loads(ended.stdout) if entry["what"] == "backend tones")
    words = "1.0 on cpu (NumPy on the processor); can: masks, resume, deterministic"
    assert (listed["verdict"], listed["words"]) == ("ok", words)
    (tmp_path / "wrong.yaml").write_text("backends: {tones: {pase: 0.5, device: gpu}}\n")
    checked = run("-c", PROGRAM, "config", "check", "--config", "wrong.yaml", folder=tmp_path)
    assert checked.returncode == 78
    assert "backends.tones: device: should be" in checked.stderr
    assert "unknown key 'pase'; did you mean 'pace'?" in checked.stderr
    (tmp_path / "config.yaml").write_text(
        "inboxes: [{path: inbox, outbox: outbox}]\nstate: {path: state}\nwatch: {quiet_s: 0}\n"
        "job: {backend: tones, recipe: gatys, size: 24, steps: 4, save_every: 2}\n"
        "backends: {tones: {pace: 0.5}}\n"
    )
    (tmp_path / "inbox" / "job").mkdir(parents=True)
    for name in ("content.jpg", "style.jpg"):
        copy(pictures / name, tmp_path / "inbox" / "job")
    ended = run("-c", PROGRAM, "run", "--once", "--config", "config.yaml", folder=tmp_path)
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
    run = install(source, tmp_path / "site")
    elsewhere.mkdir()
    for name in ("test_mine.py", "conftest.py", "pyproject.toml"):
        copy(source / name, elsewhere)
    load = "from stylewatch_plugins import registry; print(registry.load('mine', {}).name)"
    assert run("-c", load, folder=elsewhere).stdout == "mine\n"
    report = run("-m", "pytest", "-q", "-p", "no:cacheprovider", folder=elsewhere).stdout
    assert re.search(r"^\d\d+ passed", report, re.M), report


@pytest.mark.parametrize("promise", PROMISES)
def test_smallest_backend_of_the_readme_passes_the_suite(promise: str) -> None:
    page = (EXAMPLE / "README.md").read_text(encoding="utf-8")
    (code,) = (
        block for block in re.findall(r"```python\n(.*?)```", page, re.S) if "class Mine:" in block
    )
    namespace: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), namespace)
    assert keeps(namespace["Mine"], promise)
