"""Properties of the test suite itself, on whatever machine it runs."""

import signal
from pathlib import Path

import pytest
from tests.conftest import FREE_BYTES
from tests.daemon.disks import CAN_MOUNT, small_disk

from stylewatch_daemon.files import disk_space


def test_tests_see_much_free_space_except_on_disks_of_their_own(tmp_path: Path) -> None:
    assert disk_space.free(tmp_path) >= FREE_BYTES - (1 << 20)
    if CAN_MOUNT:
        with small_disk(tmp_path / "small", 64) as disk:
            assert disk_space.free(disk) == 64 << 10


@pytest.mark.parametrize("number", [1, 2])
def test_a_changed_handler_of_sigterm_is_restored(number: int) -> None:
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    signal.signal(signal.SIGTERM, lambda *_: None)
