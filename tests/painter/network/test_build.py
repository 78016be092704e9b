"""The build hook: what it compiles, and what it does without a compiler that works."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

HOOK = Path(__file__).parents[3] / "plugins/build_kernels.py"


@pytest.fixture
def hook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The hook, for a copy of the source in an empty folder."""
    spec = importlib.util.spec_from_file_location("build_kernels", HOOK)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    source = tmp_path / "kernels.cpp"
    source.write_text('extern "C" int answer() { return 42; }\n')
    monkeypatch.setattr(module, "SOURCE", source)
    return module


def test_without_a_compiler_the_wheel_is_built_without_libraries(
    hook: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    warnings: list[str] = []
    assert hook.compile_all(warnings.append) == []
    assert "no C++ compiler was found" in warnings[0]


def test_what_a_compiler_refuses_is_left_out(
    hook: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This one is too old for one of the instruction sets, and takes two words to start."""
    script = hook.SOURCE.with_name("compiler.py")
    script.write_text(
        "import sys\n"
        "if '-mavx512bf16' in sys.argv: sys.exit('unrecognized option -mavx512bf16')\n"
        "open(sys.argv[sys.argv.index('-o') + 1], 'w').close()\n"
    )
    monkeypatch.setenv("CXX", f"{sys.executable} {script}")
    monkeypatch.setenv("_PYTHON_HOST_PLATFORM", "linux-x86_64")
    warnings: list[str] = []
    built = hook.compile_all(warnings.append)
    assert [path.name for path in built] == ["_kernels_avx2.so", "_kernels_avx512.so"]
    assert warnings == ["_kernels_avx512bf16.so was not built: unrecognized option -mavx512bf16\n"]
    times = [path.stat().st_mtime_ns for path in built]
    hook.compile_all(warnings.append)
    assert [path.stat().st_mtime_ns for path in built] == times, "compiled once"


@pytest.mark.parametrize(
    ("python", "machine", "system"),
    [
        ("linux-x86_64", "x86_64", "linux-x86_64"),
        ("linux-aarch64", "x86_64", "linux-aarch64"),
        ("macosx-10.9-universal2", "arm64", "macosx-11.0-arm64"),
        ("macosx-10.9-universal2", "x86_64", "macosx-10.9-x86_64"),
    ],
)
def test_a_wheel_is_for_the_machine_that_it_was_compiled_for(
    python: str, machine: str, system: str, hook: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a tag that the machine names is taken by pip."""
    monkeypatch.setenv("_PYTHON_HOST_PLATFORM", python)
    monkeypatch.setattr(hook.platform, "machine", lambda: machine)
    assert hook.system() == system
    assert system.endswith(hook.target())
