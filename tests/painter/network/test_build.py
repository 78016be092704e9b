"""The build hook, which compiles the kernels, and what becomes of a library that was damaged."""

import importlib.util
import json
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from stylewatch_painter import installation
from stylewatch_painter.network import kernels

HOOK = Path(__file__).parents[3] / "plugins/build_kernels.py"


def test_without_a_compiler_the_wheel_is_built_without_libraries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = importlib.util.spec_from_file_location("build_kernels", HOOK)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    source = tmp_path / "kernels.cpp"
    source.write_text('extern "C" int answer() { return 42; }\n')
    monkeypatch.setattr(module, "SOURCE", source)
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    warnings: list[str] = []
    assert module.compile_all(warnings.append) == []
    assert "no C++ compiler was found" in warnings[0]


LOADED = """
import json, sys
from pathlib import Path
from stylewatch_painter.network import kernels
kernels.SOURCE, library = map(Path, sys.argv[1:])
whole = library.read_bytes()
for length in (0, 3, 40, 64, 500, 4096, len(whole) // 2, len(whole) - 1, len(whole)):
    library.write_bytes(whole[:length])
    kernels.variants.cache_clear()
    print(json.dumps([kernels.variant(), kernels.problem()]), flush=True)
"""


@pytest.mark.skipif(kernels.library() is None, reason="there is no compiled library")
def test_a_library_that_is_cut_off_is_not_loaded_and_named(tmp_path: Path) -> None:
    """In a process of its own, which the system would end."""
    name = f"_kernels_{kernels.variant()}.so"
    source = tmp_path / kernels.SOURCE.name
    for file in (kernels.SOURCE, kernels.SOURCE.with_name(name)):
        shutil.copy(file, tmp_path)
    command = [sys.executable, "-c", LOADED, str(source), str(tmp_path / name)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    *cut, whole = map(json.loads, ended.stdout.splitlines())
    assert whole == [kernels.variant(), None]
    assert [used for used, _ in cut] == ["none"] * 8
    sentence = f"{tmp_path / name} is cut off: install stylewatch again"
    assert [problem for _, problem in cut[2:]] == [sentence] * 6


@pytest.mark.parametrize(
    ("programs", "url", "command"),
    [
        (
            ("apt-get",),
            {"url": "file:///home/ann/my%20clone", "dir_info": {"editable": True}},
            "sudo apt-get install --yes g++ && {pip} --force-reinstall --no-deps --editable "
            "'/home/ann/my clone'",
        ),
        (
            ("dnf", "g++"),
            {"url": "file:///clone", "dir_info": {}},
            "{pip} --force-reinstall --no-deps --verbose /clone",
        ),
        (("pacman",), None, "sudo pacman --sync --noconfirm gcc && {pip} --force-reinstall "
         "--no-deps --no-binary stylewatch stylewatch"),
        ((), {"url": "file:///a.whl", "archive_info": {}}, "{pip} --force-reinstall --no-deps "
         "--no-binary stylewatch stylewatch"),
    ],
)  # fmt: skip
def test_one_command_compiles_them(
    programs: tuple[str, ...],
    url: dict[str, object] | None,
    command: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the compiler of the system, from where the program was installed."""
    direct_url = None if url is None else json.dumps(url)
    monkeypatch.setattr(installation, "_read_direct_url", lambda: direct_url)
    monkeypatch.setattr(shutil, "which", lambda name: name if name in programs else None)
    monkeypatch.setattr(kernels, "library", lambda: None)
    pip = installation._command().strip("`")
    said = f"its convolutions are not compiled: `{command.format(pip=pip)}` compiles them"
    assert kernels.problem() == said
    assert (kernels.delay() or "").endswith(said)


def test_where_nothing_can_be_compiled_no_command_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    assert kernels.problem() == "compiled convolutions are for processors with AVX2"
    assert kernels.delay() is None
