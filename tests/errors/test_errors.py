"""A short form of `make errors`: one scenario, and a few of its calls."""

from itertools import islice
from pathlib import Path

import pytest
from tests.errors.bench import Bench, Setting, cases, representatives
from tests.errors.calls import Call, Fault
from tests.errors.disks import Disks
from tests.errors.scenarios import SCENARIOS

from stylewatch_daemon.files import entries
from stylewatch_daemon.files.system import system

STRIDE = 41
"""The short form tries each case whose number this divides."""


@pytest.mark.parametrize("apart", [False, True])
def test_a_call_that_fails_loses_and_changes_nothing(apart: bool, tmp_path: Path) -> None:
    setting = Setting(SCENARIOS[0], apart)
    bench = Bench(setting, tmp_path / "bench")
    tried = islice(cases(setting, bench.calls, representatives(bench.calls, 0)), 0, None, STRIDE)
    found = {case.command: bench.violations(case) for case in tried}
    assert len(found) > 20
    assert {command: wrong for command, wrong in found.items() if wrong} == {}


def test_disks_count_calls_and_fail_as_told(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    disks = Disks(tmp_path, ["in"], tmp_path / "empty", Fault(2, "EIO", times=2))
    with disks.planted():
        assert not entries.exists(tmp_path / "in/a")
        for _ in range(2):
            with pytest.raises(OSError, match="Input/output error"):
                entries.exists(tmp_path / "in/a")
        assert not entries.exists(tmp_path / "in/a")
        assert not entries.exists(tmp_path / "elsewhere"), "not counted"
    assert disks.is_over
    assert disks.count == 4
    assert isinstance(disks.hit, Call)
    assert disks.hit.name == "stat"


def test_a_mount_that_is_away_is_an_empty_folder_on_another_device(tmp_path: Path) -> None:
    for name in ("in", "out", "empty"):
        (tmp_path / name).mkdir()
    (tmp_path / "in/a").write_bytes(b"a")
    disks = Disks(tmp_path, ["in", "out"], tmp_path / "empty", Fault(2, "AWAY"))
    with disks.planted():
        with pytest.raises(OSError, match="cross-device"):
            system.rename(tmp_path / "in/a", tmp_path / "out/a")
        assert not entries.exists(tmp_path / "in/a")
        beside = entries.target_status(tmp_path)
        below = entries.target_status(tmp_path / "in")
        disks.end_step()
        found = entries.target_status(tmp_path / "in")
        assert entries.exists(tmp_path / "in/a")
    assert beside is not None
    assert below is not None
    assert found is not None
    assert below.st_dev == beside.st_dev != found.st_dev
