"""The build hook, which compiles the kernels."""

import importlib.util
from pathlib import Path

import pytest

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
