"""The build hook: what it compiles, and what it does without a compiler that works."""

import importlib.util
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
