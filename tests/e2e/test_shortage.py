"""A daemon that runs out of file descriptors waits, says why, and goes on by itself."""

import json
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.e2e.daemon import FAST, PROGRAM, Place, until

from stylewatch_daemon.files.shortages import MINIMUM

SOON = ("--set", "watch.rescan_s=1")


def drop(place: Place, *names: str) -> None:
    """Put pairs into the inbox."""
    for name in names:
        folder = place.root / "inbox" / name
        folder.mkdir()
        for picture, role in (("sea.jpg", "content.jpg"), ("wave.jpg", "style.jpg")):
            shutil.copy(place.root / picture, folder / role)


def limit(place: Place, soft: int) -> None:
    """How many file descriptors the daemon may have from now on."""
    assert place.process is not None
    _, hard = resource.prlimit(place.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(place.process.pid, resource.RLIMIT_NOFILE, (soft, hard))


def held(place: Place) -> int:
    """How many it has."""
    assert place.process is not None
    return len(list(Path(f"/proc/{place.process.pid}/fd").iterdir()))


@pytest.mark.parametrize("spare", [-8, 1, 4, 8, 10])
def test_good_pictures_wait_for_file_descriptors_and_cost_no_attempt(
    place: Place, spare: int
) -> None:
    place.start(*SOON)
    limit(place, held(place) + spare)
    drop(place, "a", "b")
    log = place.root / "daemon.log"
    until(lambda: "out of file descriptors (the limit is" in log.read_text())
    if spare >= 3:  # else the report itself lacks one
        until(lambda: "out of file descriptors" in str(place.published["health"]["trouble"]))
        board = place.root / "outbox/_status.txt"
        until(lambda: board.exists() and "out of file desc" in board.read_text())
    limit(place, 1000)
    until(lambda: place.painted == ["a", "b"])
    assert place.end() == 0
    assert not (place.root / "outbox/_refused").exists()
    for name in place.painted:
        receipt = json.loads((place.root / f"outbox/{name}/receipt.json").read_bytes())
        ends = {attempt["ended"].partition(":")[0] for attempt in receipt["attempts"]}
        assert ends <= {"paused", "done"}


def test_a_run_says_why_it_leaves_pictures_and_exits_with_75(place: Place) -> None:
    """The first worker takes a few more descriptors than there are."""
    drop(place, "a")
    program = (
        "import os, resource; from stylewatch_daemon.cli.main import main; "
        "from stylewatch_daemon.files import shortages; "
        "shortages.MINIMUM = 0; resource.setrlimit(resource.RLIMIT_NOFILE, (22, 22)); main()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, "run", "--once", *FAST],
        cwd=place.root, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 75
    assert "out of file descriptors (the limit is 22" in ended.stderr
    assert not (place.root / "outbox/_refused").exists()


@pytest.mark.parametrize("count", [16, MINIMUM - 1])
def test_a_daemon_that_could_do_nothing_does_not_begin(place: Place, count: int) -> None:
    program = f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({count}, {count}));"
    place.program = program + PROGRAM
    place.start()
    assert place.process is not None
    assert place.process.wait() == 78
    assert f"may have {count} file descriptors" in (place.root / "daemon.log").read_text()


def test_the_minimum_is_enough_to_paint(place: Place) -> None:
    program = f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({MINIMUM},) * 2);"
    place.program = program + PROGRAM
    place.start()
    drop(place, "a")
    until(lambda: place.painted == ["a"])
    assert place.end() == 0
    assert "waits: " not in (place.root / "daemon.log").read_text()


def test_the_limit_is_raised_at_the_start(place: Place) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    place.program = f"import resource; resource.setrlimit(7, (50, {hard}));{PROGRAM}"
    place.start()
    assert place.process is not None
    soft, _ = resource.prlimit(place.process.pid, resource.RLIMIT_NOFILE)
    assert soft > 50
    assert place.end() == 0
