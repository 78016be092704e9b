"""The memory of this process and its machine."""

from pathlib import Path

import pytest

from stylewatch_painter import process_memory
from stylewatch_painter.process_memory import available, installed


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
