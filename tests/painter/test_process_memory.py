"""Memory of this process and machine, also where the system does not tell."""

import gc
import sys
from pathlib import Path

import pytest

from stylewatch_painter.process_memory import available, import_uncollected, resident


def test_memory_is_reported_or_unlimited(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 50 * 2**20 < resident() < 2**40
    assert available() > 2**20

    def fail(*_: object, **__: object) -> str:
        raise OSError

    monkeypatch.setattr(Path, "read_text", fail)
    assert (resident(), available()) == (0, float("inf"))


def test_a_module_is_imported_on_an_empty_stack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "deep.py").write_text("import traceback\ndepth = len(traceback.extract_stack())\n")

    def depth_below(calls: int) -> int:
        if calls:
            return depth_below(calls - 1)
        monkeypatch.delitem(sys.modules, "deep", raising=False)
        depth: int = import_uncollected("deep").depth
        return depth

    assert depth_below(0) == depth_below(9)


def test_objects_of_an_imported_module_are_not_searched_for_garbage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "many_objects.py").write_text("kept = [[] for _ in range(20_000)]\n")
    (tmp_path / "faulty.py").write_text("raise ValueError\n")
    phases: list[str] = []
    gc.collect()  # so that none is due
    frozen = gc.get_freeze_count()
    gc.callbacks.append(lambda phase, _: phases.append(phase))
    try:
        module = import_uncollected("many_objects")
        assert phases == [] and gc.isenabled()
        assert gc.get_freeze_count() >= frozen + 20_000
        assert import_uncollected("many_objects") is module
        with pytest.raises(ValueError):
            import_uncollected("faulty")
        assert gc.isenabled()
    finally:
        gc.callbacks.pop()
        gc.unfreeze()
