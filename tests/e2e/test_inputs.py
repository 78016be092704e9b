"""Files that arrive slowly, or still change."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.daemon.disks import CAN_MOUNT, small_disk
from tests.daemon.intake.inspection.files import photograph
from tests.e2e.daemon import SLOW, Daemon, until

from stylewatch_daemon.cli.main import call
from stylewatch_daemon.files.atomic import digest

SMALL = ("--set", "job.recipe=gatys", "--set", "job.size=24", "--set", "watch.rescan_s=0.2",
         "--set", "limits.max_pixels=100000")  # fmt: skip
SHORT = ("--set", "watch.truncated_s=0.5")
DISK_KIB = 64 << 10
LATER = b"what came later"
UNFINISHED = ("jpeg", "tiff")


def finish_writing(path: Path, whole: bytes) -> Callable[[], None]:
    """Cut a file in half, filled up with zeros; return a function that writes the rest."""
    half = len(whole) // 2
    path.write_bytes(whole[:half].ljust(len(whole), b"\0"))

    def write() -> None:
        with path.open("r+b") as writer:
            writer.seek(half)
            writer.write(whole[half:])

    return write


@pytest.fixture(params=["one mount", "three mounts"])
def is_far(request: pytest.FixtureRequest, daemon: Daemon) -> Iterator[bool]:
    """Put inbox, outbox and state folder beside each other, or each on a disk of its own."""
    with ExitStack() as stack:
        is_far = request.param == "three mounts" and CAN_MOUNT
        if is_far:
            (daemon.root / "inbox").rmdir()
            for name in ("inbox", "outbox", "state"):
                stack.enter_context(small_disk(daemon.root / name, DISK_KIB))
        yield is_far
        if daemon.process is not None:
            daemon.end()
            daemon.process = None


def test_pictures_wait_for_their_rest_and_are_painted_whole(is_far: bool, daemon: Daemon) -> None:
    whole = {kind: photograph(kind) for kind in UNFINISHED}
    rests = [finish_writing(daemon.drop(kind) / "content.jpg", whole[kind]) for kind in whole]
    with (daemon.drop("open") / "content.jpg").open("r+b"):
        daemon.start(*SMALL)
        until(lambda: all(f'"{job}"' in daemon.awaited for job in [*UNFINISHED, "open"]))
        daemon.drop("good")
        until(lambda: daemon.painted == ["good"])
    for write in rests:
        write()
    until(lambda: daemon.painted == sorted([*UNFINISHED, "good", "open"]))
    for kind, content in whole.items():
        folder = daemon.root / "outbox" / kind
        assert (folder / "inputs/content.jpg").read_bytes() == content
        assert not (daemon.root / "inbox" / kind).exists()
    assert not (daemon.root / "outbox/_refused").exists()


def test_what_is_written_while_the_job_runs_is_kept_and_the_receipt_says_so(
    daemon: Daemon,
) -> None:
    """The file was renamed, so the program goes on writing into the claimed one."""
    whole = photograph("png")
    with (daemon.drop("sea", whole) / "content.jpg").open("ab") as writer:
        long = (*SLOW, "--set", "job.steps=10000")
        daemon.start(*SMALL, *SHORT, *long, "--set", "inboxes=[{after: delete}]")
        until(lambda: daemon.step > 0)
        writer.write(LATER)
        writer.flush()
        assert call(["finish", "sea"]) == 0
        until(lambda: daemon.painted == ["sea"])
    held = daemon.root / "outbox/sea/inputs/content.jpg"
    assert held.read_bytes() == whole + LATER
    assert not (held.parent / "style.jpg").exists()
    receipt = daemon.receipt("sea")
    content, style = receipt["inputs"]
    assert content["changed"] == {"sha256": digest(held)} != {"sha256": content["sha256"]}
    assert "changed" not in style
    (warning,) = (text for text in receipt["warnings"] if text.startswith("content.jpg changed"))
    assert "while the job ran" in warning
    until(lambda: warning in daemon.log)
