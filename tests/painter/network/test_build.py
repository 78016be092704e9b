"""The build hook, which compiles the kernels, and the refusal of damaged libraries."""

import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch

from stylewatch_painter import installation
from stylewatch_painter.network import kernels

VERSION = version("stylewatch")
HOOK = Path(__file__).parents[3] / "plugins/build_kernels.py"


def test_without_a_compiler_the_wheel_is_built_without_libraries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = build_hook(tmp_path)
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    warnings: list[str] = []
    assert hook.compile_all(tmp_path, warnings.append) == []
    assert "no C++ compiler was found" in warnings[0]


HAS_COMPILER = any(map(shutil.which, ("c++", "g++", "clang++")))


@pytest.mark.skipif(not HAS_COMPILER, reason="there is no C++ compiler")
@pytest.mark.parametrize("content", [b"", b"\x7fELF\x02\x01 cut off", None])
def test_whatever_lies_there_a_compiler_replaces_it(tmp_path: Path, content: bytes | None) -> None:
    """The library in its place is damaged, empty, or of another source with an older date."""
    hook = build_hook(tmp_path)
    warnings: list[str] = []
    compiled = hook.compile_all(tmp_path, warnings.append)
    assert (bool(compiled), warnings) == (True, [])
    wanted = [library.read_bytes() for library in compiled]
    if content is None:
        hook.SOURCE.write_text('extern "C" int answer() { return 43; }\n')
        os.utime(hook.SOURCE, (0, 0))
    else:
        for library in compiled:
            library.write_bytes(content)
    hook.compile_all(tmp_path, warnings.append)
    assert ([library.read_bytes() for library in compiled] == wanted) is (content is not None)


@pytest.mark.parametrize(
    ("compiler", "said"),
    [
        ("sh -c 'exit 0'", "No such file or directory"),  # it writes nothing
        ("sh -c 'echo no space here >&2; exit 1'", "no space here"),
        ("sh -c 'printf \"\\377\" >&2; exit 1'", "\N{REPLACEMENT CHARACTER}"),
        ('g++ "', "No such file or directory"),
        ("missing-compiler", "No such file or directory"),
    ],
)
def test_a_compiler_that_fails_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiler: str, said: str
) -> None:
    hook = build_hook(tmp_path)
    monkeypatch.setenv("CXX", compiler)
    warnings: list[str] = []
    assert hook.compile_all(tmp_path, warnings.append) == []
    assert warnings and all(said in warning for warning in warnings)


def build_hook(folder: Path) -> Any:
    """Return the module of the build hook, with a small source in `folder`."""
    spec = importlib.util.spec_from_file_location("build_kernels", HOOK)
    assert spec is not None and spec.loader is not None
    hook: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hook)
    hook.SOURCE = folder / "kernels.cpp"
    hook.SOURCE.write_text('extern "C" int answer() { return 42; }\n')
    return hook


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
    """The test runs in a child process, because the system would end the process."""
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
    start = f"its convolutions are cut off in {tmp_path / name}: `"
    assert all(problem.startswith(start) for _, problem in cut[2:])


def test_a_library_that_is_slower_than_another_one_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"avx512": tmp_path / "missing.so", "avx2": tmp_path / "there.so"}
    monkeypatch.setattr(kernels, "_files", lambda: files)
    monkeypatch.setattr(kernels, "variants", lambda: {"avx2": object()})
    said = kernels.delay() or ""
    assert said.startswith("painting on the CPU takes longer: its fastest convolutions are not")
    monkeypatch.setattr(kernels, "variants", lambda: {"avx512": object()})
    assert kernels.delay() is None


def record(site: Path, recorded: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that the program is installed in the folder `site`, from the recorded origin."""
    installed = site / f"stylewatch-{VERSION}.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text(f"Name: stylewatch\nVersion: {VERSION}\n")
    if recorded:
        (installed / "direct_url.json").write_text(json.dumps(recorded))
    monkeypatch.syspath_prepend(str(site))


@pytest.mark.parametrize(
    ("programs", "recorded", "command"),
    [
        (
            ("apt-get",),
            {"url": "file:///home/ann/my%20clone", "dir_info": {"editable": True}},
            "su -c 'apt-get update && apt-get install --yes g++' && {pip} --force-reinstall "
            "--no-deps --no-cache-dir --editable '/home/ann/my clone'",
        ),
        (
            ("dnf", "g++"),
            {"url": "file:///clone", "dir_info": {}},
            "{pip} --force-reinstall --no-deps --no-cache-dir --verbose /clone",
        ),
        (
            ("pacman", "sudo"),
            {},
            "sudo pacman --sync --noconfirm gcc && {pip} --force-reinstall --no-deps "
            "--no-cache-dir --no-binary stylewatch stylewatch",
        ),
        (
            ("apt-get", "sudo"),
            {"url": "file:///my%20files/stylewatch-1.tar.gz", "archive_info": {}},
            "sudo apt-get update && sudo apt-get install --yes g++ && {pip} --force-reinstall "
            "--no-deps --no-cache-dir '/my files/stylewatch-1.tar.gz'",
        ),
        (
            (),
            {"url": "https://example.org/stylewatch-1.tar.gz", "archive_info": {}},
            "{pip} --force-reinstall --no-deps --no-cache-dir https://example.org/stylewatch-1.tar.gz",
        ),
        (
            (),
            {"url": "https://example.org/s.git", "vcs_info": {"vcs": "git", "commit_id": "a1"}},
            "{pip} --force-reinstall --no-deps --no-cache-dir git+https://example.org/s.git@a1",
        ),
        (
            (),
            {"url": "file:///stylewatch-1-py3-none-any.whl", "archive_info": {}},
            f"{{pip}} --force-reinstall --no-deps --no-cache-dir stylewatch-{VERSION}.tar.gz",
        ),
    ],
)
def test_one_command_compiles_them(
    programs: tuple[str, ...],
    recorded: dict[str, object],
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The command installs the system's compiler, and the program from its origin."""
    record(tmp_path, recorded, monkeypatch)
    monkeypatch.setattr(shutil, "which", lambda name: name if name in programs else None)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(kernels, "variants", dict)
    pip = installation.command().strip("`")
    or_why = " or shows why not" if "g++" in programs else ""
    said = f"its convolutions are not compiled: `{command.format(pip=pip)}` compiles them{or_why}"
    assert kernels.problem() == said
    assert (kernels.delay() or "").endswith(said)


def test_root_needs_no_sudo_and_a_python_of_the_system_is_changed_as_it_was_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: name if name in ("apt-get", "sudo") else None)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert installation.compile_command().startswith("`apt-get update && apt-get install")
    assert "--break" not in installation.install_command("web")
    (tmp_path / "EXTERNALLY-MANAGED").touch()
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    assert " install --break-system-packages " in installation.install_command("web")


@pytest.mark.parametrize(
    ("recorded", "origin"),
    [
        ({}, "stylewatch"),
        ({"url": "file:///s/stylewatch-1-py3-none-any.whl", "archive_info": {}},
         "/s/stylewatch-1-py3-none-any.whl"),
        ({"url": "file:///clone", "dir_info": {"editable": True}}, "--editable /clone"),
    ],
)  # fmt: skip
def test_a_repair_takes_the_program_from_where_it_came_with_its_compiled_parts(
    recorded: dict[str, object], origin: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(tmp_path, recorded, monkeypatch)
    said = installation.repair_command("stylewatch")
    assert said.endswith(f" install --force-reinstall --no-deps {origin}`")


def test_where_nothing_can_be_compiled_no_command_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    assert kernels.problem() == "compiled convolutions are for processors with AVX2"
    assert kernels.delay() is None
