"""What the suite itself keeps to, on whatever machine it runs."""

import signal
from pathlib import Path

import pytest
from tests.conftest import ROOM
from tests.daemon.disks import CAN_MOUNT, small_disk

from stylewatch_daemon.files import disk_space


def test_no_test_depends_on_the_free_space_of_the_real_disk(tmp_path: Path) -> None:
    assert disk_space.free(tmp_path) >= ROOM - (1 << 20)


@pytest.mark.parametrize("kib", [64] if CAN_MOUNT else [])
def test_a_disk_of_a_test_tells_what_it_has(kib: int, tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", kib) as disk:
        assert disk_space.free(disk) == kib << 10


def test_a_test_may_take_sigterm_over() -> None:
    signal.signal(signal.SIGTERM, lambda *_: None)


def test_the_next_one_finds_it_as_it_was() -> None:
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
