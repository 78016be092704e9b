"""Memory of this process and machine, also where the system does not tell."""

import gc
import sys
from pathlib import Path

import pytest

from stylewatch_painter import process_memory
from stylewatch_painter.process_memory import available, import_uncollected, installed, resident


def test_memory_is_reported_or_unlimited(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 50 * 2**20 < resident() < 2**40
    assert available() > 2**20

    def fail(*_: object, **__: object) -> str:
        raise OSError

    monkeypatch.setattr(Path, "read_text", fail)
    assert (resident(), available()) == (0, float("inf"))


def test_the_limits_of_all_control_groups_hold_and_files_in_memory_are_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service has a group in that of all services; the root has no limit."""
    service = tmp_path / "system.slice/stylewatch.service"
    service.mkdir(parents=True)
    monkeypatch.setattr(process_memory, "_GROUP", tmp_path)
    monkeypatch.setattr(process_memory, "_OWN_GROUP", tmp_path / "own")
    (tmp_path / "own").write_text("1:name=systemd:/\n0::/system.slice/stylewatch.service\n")
    for group, limit, high in ((service.parent, "50000", "max"), (service, "30000", "20000")):
        (group / "memory.max").write_text(f"{limit}\n")
        (group / "memory.high").write_text(f"{high}\n")
        (group / "memory.current").write_text("19000\n")
        stat = "anon 500\ninactive_file 4000\nactive_file 3000\nworkingset_activate_file 9\n"
        (group / "memory.stat").write_text(stat)
    assert (available(), installed()) == (20_000 - 19_000 + 7000, 30_000)
    (service / "memory.max").write_text("max\n")
    (service / "memory.high").write_text("max\n")
    assert (available(), installed()) == (50_000 - 19_000 + 7000, 50_000)


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
