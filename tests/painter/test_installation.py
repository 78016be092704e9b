"""A message about a missing extra names a command that fits how stylewatch was installed."""

import json
import re
import shlex
import sys
import tomllib
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from stylewatch_painter import installation
from stylewatch_painter.installation import install_command

CLONE = {"url": "file:///home/ann/my%20clone", "dir_info": {}}
EDITABLE = {**CLONE, "dir_info": {"editable": True}}
WHEEL = {"url": "https://example.org/stylewatch.whl", "archive_info": {}}
BRANCH = {"url": "https://example.org/s.git", "vcs_info": {"vcs": "git", "commit_id": "f00"}}
TAG = {**BRANCH, "vcs_info": {"vcs": "git", "commit_id": "f00", "requested_revision": "v1"}}

PARTS = ("daemon", "export", "plugins")
PIP = "PYTHON -m pip install"
UV = "uv pip install --python PYTHON"
TOOL = "uv tool install"


class Prefix:
    """A small environment with stylewatch, as an installer leaves it, and torch."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.packages = folder, folder / "packages"

    def install(
        self, installer: str, origin: dict[str, Any] | None = None, torch: str = "2.13.0"
    ) -> None:
        """Write what is recorded about packages that `installer` installed."""
        for name, version in (("stylewatch", "0.1.0"), ("torch", torch)):
            info = self.packages / f"{name}-{version}.dist-info"
            info.mkdir(parents=True)
            (info / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n")
            (info / "INSTALLER").write_text(f"{installer}\n")
        if origin is not None:
            own = self.packages / "stylewatch-0.1.0.dist-info" / "direct_url.json"
            own.write_text(json.dumps(origin))

    def write(self, name: str, text: str) -> None:
        """Write a file beside the packages."""
        (self.folder / name).write_text(text)


@pytest.fixture
def prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Prefix:
    """An environment without packages, in which this process seems to run."""
    made = Prefix(tmp_path / "my env")
    made.packages.mkdir(parents=True)
    monkeypatch.setattr(sys, "prefix", str(made.folder))
    monkeypatch.setattr(sys, "executable", "/my env/bin/python")
    monkeypatch.syspath_prepend(made.packages)
    return made


def command(extra: str = "web") -> str:
    """The command of the message, with a short name for this Python."""
    answer = install_command(extra)
    assert answer[0] == answer[-1] == "`"
    return shlex.join(
        "PYTHON" if word == sys.executable else word for word in shlex.split(answer[1:-1])
    )


@pytest.mark.parametrize(
    ("installer", "origin", "expected"),
    [
        ("pip", None, f"{PIP} 'stylewatch[web]'"),
        ("pip", CLONE, f"{PIP} 'stylewatch[web]'"),
        ("pip", EDITABLE, f"{PIP} -e '/home/ann/my clone[web]'"),
        ("conda", None, f"{PIP} 'stylewatch[web]'"),
        ("uv", None, f"{UV} 'stylewatch[web]'"),
        ("uv", WHEEL, f"{UV} 'stylewatch[web]'"),
        ("uv", EDITABLE, f"{UV} -e '/home/ann/my clone[web]'"),
    ],
)
def test_an_environment_gets_the_extra_from_its_installer(
    prefix: Prefix, installer: str, origin: dict[str, Any] | None, expected: str
) -> None:
    prefix.install(installer, origin)
    assert command() == expected


@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_pipx_installs_into_the_environment_by_its_name(prefix: Prefix, installer: str) -> None:
    prefix.install(installer)
    prefix.write("pipx_metadata.json", "{}")
    assert command() == "pipx runpip 'my env' install 'stylewatch[web]'"


@pytest.mark.parametrize(
    ("origin", "own", "expected"),
    [
        (None, "", f"{TOOL} 'stylewatch[web]'"),
        (None, 'specifier = "==0.1.0"', f"{TOOL} 'stylewatch[web]==0.1.0'"),
        (CLONE, 'extras = ["heic", "web"]', f"{TOOL} 'stylewatch[heic,web] @ {CLONE['url']}'"),
        (WHEEL, 'extras = ["plots"]', f"{TOOL} 'stylewatch[plots,web] @ {WHEEL['url']}'"),
        (EDITABLE, "", f"{TOOL} --editable '/home/ann/my clone[web]'"),
        (BRANCH, "", f"{TOOL} 'stylewatch[web] @ git+https://example.org/s.git'"),
        (TAG, "", f"{TOOL} 'stylewatch[web] @ git+https://example.org/s.git@v1'"),
    ],
)
def test_a_tool_of_uv_keeps_its_source_and_its_extras(
    prefix: Prefix, origin: dict[str, Any] | None, own: str, expected: str
) -> None:
    prefix.install("uv", origin)
    own = f", {own}" if own else ""
    prefix.write("uv-receipt.toml", f'[tool]\nrequirements = [{{ name = "stylewatch"{own} }}]')
    assert command() == expected


def test_a_tool_of_uv_keeps_other_packages_its_python_and_its_build_of_torch(
    prefix: Prefix,
) -> None:
    prefix.install("uv", torch="2.13.0+cu130")
    others = '{ name = "a", specifier = "<4" }, { name = "b", directory = "/home/ann/b" }'
    requirements = f'requirements = [{{ name = "stylewatch" }}, {others}]'
    prefix.write("uv-receipt.toml", f'[tool]\n{requirements}\npython = "3.12"')
    assert command() == (
        f"{TOOL} 'stylewatch[web]' --with 'a<4' --with /home/ann/b --python 3.12 "
        "--torch-backend cu130"
    )


def test_onnx_comes_without_cuda_where_torch_has_none(prefix: Prefix) -> None:
    prefix.install("pip", torch="2.13.0+cpu")
    assert command("onnx") == f"{PIP} 'stylewatch[onnx-cpu]'"
    assert command("web") == f"{PIP} 'stylewatch[web]'"


def test_a_program_run_from_its_source_names_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = Mock(side_effect=PackageNotFoundError)
    monkeypatch.setattr(installation, "distribution", missing)
    monkeypatch.setattr(installation, "version", missing)
    assert command("onnx") == f"{PIP} 'stylewatch[onnx]'"


def test_all_has_every_extra_that_a_message_names() -> None:
    root = Path(__file__).parents[2]
    sources = (path for part in PARTS for path in (root / part).rglob("*.py"))
    named = {
        extra
        for path in sources
        for extra in re.findall(r"install_command\('([\w-]+)'\)", path.read_text("utf-8"))
    }
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    assert extras["all"] == [f"stylewatch[{','.join(sorted(named))}]"]
    assert named <= {*extras}
