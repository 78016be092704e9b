"""A program that still writes into what was dropped: nothing that it writes is lost."""

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from shutil import copy
from typing import Any

import pytest
from tests.daemon.disks import CAN_MOUNT, small_disk
from tests.daemon.ingest.inspection.files import photograph
from tests.e2e.daemon import SLOW, Place, until

from stylewatch_daemon.files.atomic import digest

LITTLE = ("--set", "limits.free_bytes=0", "--set", "job.recipe=gatys", "--set", "job.size=24",
          "--set", "watch.rescan_s=0.2", "--set", "limits.max_pixels=100000")  # fmt: skip
SHORT = ("--set", "watch.truncated_s=0.5")
LONG = (*SLOW, "--set", "job.steps=100", "--set", "job.save_every=50")


def drop(place: Place, content: bytes) -> Path:
    """A pair with that content."""
    folder = place.root / "inbox/sea"
    folder.mkdir(parents=True)
    copy(place.root / "wave.jpg", folder / "style.jpg")
    (folder / "content.jpg").write_bytes(content)
    return folder / "content.jpg"


def is_awaited(place: Place) -> bool:
    told = json.dumps(place.published.get("incomplete", []))
    return "content.jpg, which is still being written: a program has it open" in told


def warnings(place: Place) -> list[str]:
    """What the receipt says of the inputs."""
    return [one for one in receipt(place)["warnings"] if "content.jpg" in one]


def receipt(place: Place) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((place.root / "outbox/sea/receipt.json").read_bytes())
    return read


@pytest.fixture
def far(place: Place) -> Iterator[None]:
    """The state folder on a disk of its own."""
    with ExitStack() as stack:
        if CAN_MOUNT:
            stack.enter_context(small_disk(place.root / "state", 1 << 15))
        yield
        place.end()
        place.process = None


def test_a_pair_waits_until_the_program_that_writes_it_has_closed_it(place: Place) -> None:
    whole = photograph("png")
    source = drop(place, whole)
    with source.open("r+b"):
        place.start(*LITTLE)
        until(lambda: is_awaited(place))
        assert place.published["counts"]["waiting"] == 0
        assert source.exists()
    until(lambda: place.painted == ["sea"])
    assert warnings(place) == []


def test_a_file_that_is_open_but_stands_still_is_painted_after_a_time(place: Place) -> None:
    source = drop(place, photograph("png"))
    with source.open("r+b"):
        place.start(*LITTLE, *SHORT)
        until(lambda: place.painted == ["sea"])


@pytest.mark.parametrize("after", ["archive", "delete"])
def test_what_is_written_while_the_job_runs_is_kept_and_the_receipt_says_so(
    after: str, place: Place
) -> None:
    """The file was renamed, so the program goes on writing into the one that we hold."""
    half, whole = photograph("png"), photograph("png") + b"what came later"
    source = drop(place, half)
    with source.open("r+b") as writer:
        place.start(*LITTLE, *SHORT, *LONG, "--set", f"inboxes=[{{after: {after}}}]")
        until(lambda: place.step > 0)
        writer.seek(len(half))
        writer.write(whole[len(half) :])
        writer.flush()
        until(lambda: place.painted == ["sea"])
    held = place.root / "outbox/sea/inputs/content.jpg"
    assert held.read_bytes() == whole
    assert (held.parent / "style.jpg").exists() == (after == "archive")
    content, style = receipt(place)["inputs"]
    assert content["changed"] == {"sha256": digest(held)}
    assert content["sha256"] != digest(held)
    assert "changed" not in style
    (warning,) = warnings(place)
    assert warning.startswith("content.jpg changed while the job ran")
    assert warning in (place.root / "daemon.log").read_text()


@pytest.mark.usefixtures("far")
@pytest.mark.parametrize("name", ["sea"] if CAN_MOUNT else [])
def test_what_changed_after_it_was_copied_stays_and_is_painted_as_a_new_pair(
    name: str, place: Place
) -> None:
    half, whole = photograph("png"), photograph("png") + b"what came later"
    source = drop(place, half)
    with source.open("r+b") as writer:
        place.start(*LITTLE, *SHORT)
        until(lambda: place.painted == ["sea"])
        assert source.read_bytes() == half  # it is open, so it stays
        writer.seek(len(half))
        writer.write(whole[len(half) :])
    (warning,) = warnings(place)
    assert warning.startswith("content.jpg changed after it was copied")
    assert warning in (place.root / "daemon.log").read_text()
    until(lambda: place.painted == [name, f"{name}-2"])
    assert (place.root / "outbox/sea-2/inputs/content.jpg").read_bytes() == whole
    assert not source.parent.exists()


@pytest.mark.usefixtures("far")
def test_long_copies_wait_in_no_ones_way(place: Place) -> None:
    """A picture of many bytes is copied, and archived, while another pair is painted."""
    padding = os.urandom(9 << 20)
    drop(place, photograph("png") + padding)
    place.start(*LITTLE)
    until(lambda: place.painted == ["sea"])
    held = place.root / "outbox/sea/inputs/content.jpg"
    assert held.read_bytes().endswith(padding)
    assert receipt(place)["inputs"][0]["sha256"] == digest(held)
    assert not (place.root / "inbox/sea").exists()
