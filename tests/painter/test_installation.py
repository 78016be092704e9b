"""A message about a missing extra names a command that fits this installation."""

import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from unittest.mock import Mock

import pytest

from stylewatch_painter import installation
from stylewatch_painter.installation import install_command

PARTS = ("daemon", "export", "plugins")


@pytest.mark.parametrize(
    ("has_pip", "words"),
    [(True, "{python} -m pip install"), (False, "uv pip install --python {python}")],
)
def test_command_is_for_this_environment(
    has_pip: bool, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/my env/bin/python")
    monkeypatch.setattr(installation, "find_spec", lambda _: Mock() if has_pip else None)
    command = words.format(python="'/my env/bin/python'")
    assert install_command("web") == f"`{command} 'stylewatch[web]'`"


@pytest.mark.parametrize(
    ("version", "extra"),
    [
        (Mock(return_value="2.13.0+cpu"), "onnx-cpu"),
        (Mock(return_value="2.13.0"), "onnx"),
        (Mock(side_effect=PackageNotFoundError), "onnx"),
    ],
)
def test_onnx_comes_without_cuda_where_torch_has_none(
    version: Mock, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installation, "version", version)
    assert install_command("onnx").endswith(f" 'stylewatch[{extra}]'`")


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
