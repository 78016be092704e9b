"""Once a full disk has room again, all jobs that waited for it go on."""

import shutil

import pytest
from tests.daemon.disks import CAN_MOUNT, fill_up, small_disk
from tests.e2e.daemon import SLOW, Place, until

JOBS = ("a", "b", "c", "d", "e", "f")


@pytest.mark.parametrize("disk", ["outbox", "state"] if CAN_MOUNT else [])
@pytest.mark.timeout(90)
def test_all_jobs_go_on_within_seconds_once_the_disk_is_freed(place: Place, disk: str) -> None:
    with small_disk(place.root / disk, 100_000):
        place.start("--set", "job.steps=4", "--set", "job.size=24")
        place.end()
        for name in JOBS:
            folder = place.root / "inbox" / name
            folder.mkdir()
            for picture, role in (("sea.jpg", "content.jpg"), ("wave.jpg", "style.jpg")):
                shutil.copy(place.root / picture, folder / role)
        place.start("--set", "job.steps=60", "--set", "job.size=24", *SLOW)
        until(lambda: place.published["running"])
        filler = fill_up(place.root / disk)
        log = place.root / "daemon.log"
        until(lambda: log.read_text().count("waits: ") >= 2)
        filler.unlink()
        until(lambda: place.painted == list(JOBS))
        assert place.end() == 0
    assert not (place.root / "outbox/_refused").exists()
