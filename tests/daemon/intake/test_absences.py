"""Which files certainly came and went is known by scans alone."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.daemon.clock import Clock

from stylewatch_daemon.files.identity import Look
from stylewatch_daemon.intake.absences import Absences, ScanNumbers
from stylewatch_daemon.intake.scan import InboxListing
from stylewatch_daemon.ledger.memory import Seen

IN = Path("/in")
RESCAN_S = 10.0


class Inbox:
    """An inbox on a disk, with the record of a.jpg there."""

    def __init__(self) -> None:
        self.clock, self.disk, self.mount = Clock(), "card", "7"
        self.more: list[Seen] = []
        self.has_begun = False
        self.record = Seen(str(IN / "a.jpg"), str(IN), "card", ord("a"), 6, "12ab")
        self._numbers = ScanNumbers(1)
        self.start()

    def start(self) -> None:
        """Begin with a new process."""
        self.absences = Absences(self.clock, RESCAN_S, self._numbers)

    def scan(self, *names: str, seconds: float = RESCAN_S, **skipped: str) -> Mapping[str, int]:
        """Let time pass, scan, and return when each file was absent, by its name."""
        self.clock.now += seconds
        if not self.has_begun:
            self.absences.begin()
        skips = {IN / name.replace("_", "."): why for name, why in skipped.items()}
        listing = InboxListing({IN / name: Look(ord(name[0]), 6) for name in names}, skips, root=IN)
        disk = self.disk
        absent, gone = self.absences.update(
            listing, lambda path: disk, frozenset({self.mount}), [self.record, *self.more]
        )
        self.record = gone[0] if gone else self.record
        return {path.name: number for path, number in absent.items()}


def test_a_file_is_gone_once_two_scans_apart_certainly_lacked_it() -> None:
    inbox = Inbox()
    inbox.scan("a.jpg")
    for seconds, names, skipped, gone in (
        (RESCAN_S, [], {}, None),
        (RESCAN_S - 1, [], {}, None),
        (1, ["a.jpg"], {}, None),
        (RESCAN_S, [], {}, None),
        (RESCAN_S, [], {"a_jpg": "not readable"}, None),
        (RESCAN_S, [], {}, None),
        (RESCAN_S, [], {}, 8),
    ):
        inbox.scan(*names, seconds=seconds, **skipped)
        assert inbox.record.gone == gone


@pytest.mark.parametrize("what", ["another disk", "no mark", "a clone", "a failure", "a start"])
def test_of_a_file_that_may_be_elsewhere_nothing_is_known(what: str) -> None:
    inbox = Inbox()
    inbox.scan("a.jpg")
    if what == "another disk":
        inbox.disk = "another"
    elif what == "no mark":
        inbox.disk = ""
    elif what == "a clone":
        inbox.mount = "8"
    elif what == "a failure":
        inbox.absences.interrupt()
    else:
        inbox.start()
    for _ in range(3):
        inbox.scan()
    assert inbox.record.gone is None
    inbox.disk, inbox.mount = "card", "7"
    assert inbox.scan("a.jpg")["a.jpg"] in (0, 4)


def test_what_was_gone_before_a_start_or_an_exchange_is_expected_again() -> None:
    inbox = Inbox()
    for is_start in (True, False):
        for names in (["a.jpg"], [], []):
            inbox.scan(*names)
        assert inbox.record.gone is not None
        inbox.start() if is_start else inbox.absences.interrupt()
        assert inbox.scan("a.jpg") == {"a.jpg": 0}
        assert inbox.record.gone is None


def test_a_scan_has_the_number_of_its_begin_as_a_file_may_come_after_its_folder_was_listed() -> (
    None
):
    one, other = Inbox(), Inbox()
    other.absences = Absences(other.clock, RESCAN_S, one._numbers)
    one.scan("a.jpg")
    other.scan()
    other.absences.begin()
    one.scan()
    one.scan()
    other.has_begun = True
    other.scan()
    other.has_begun = False
    assert other.scan("b.jpg")["b.jpg"] < (one.record.gone or 0)


def test_what_was_moved_before_the_start_is_gone_from_its_old_place() -> None:
    inbox = Inbox()
    moved = inbox.record._replace(path=str(IN / "b.jpg"), size=ord("b"))
    inbox.more = [moved]
    for _ in range(2):
        inbox.scan("b.jpg")
    assert inbox.record.gone is not None


def test_a_file_was_absent_in_the_last_scan_that_certainly_lacked_it() -> None:
    inbox = Inbox()
    assert inbox.scan("b.jpg") == {"b.jpg": 0}, "nobody knows since when it is there"
    assert inbox.scan("b.jpg", "c.jpg") == {"b.jpg": 0, "c.jpg": 1}
    assert inbox.scan("b.jpg", "c.jpg", d_jpg="not readable") == {"b.jpg": 0, "c.jpg": 1}
    assert inbox.scan("c.jpg", "d.jpg") == {"c.jpg": 1, "d.jpg": 0}
    assert inbox.scan("e.jpg") == {"e.jpg": 4}
    inbox.start()
    assert inbox.scan("b.jpg") == {"b.jpg": 0}


def test_a_file_that_cannot_be_read_may_have_the_content_of_any_other_of_its_size() -> None:
    inbox = Inbox()
    inbox.scan("a.jpg")
    for _ in range(3):
        inbox.scan("a2.jpg")
    assert inbox.record.gone == 3
    assert inbox.scan("a2.jpg", "a.jpg", "b.jpg") == {"a2.jpg": 1, "a.jpg": 1, "b.jpg": 4}


def test_a_file_that_was_moved_into_another_inbox_and_is_not_read_there_is_not_dropped_again() -> (
    None
):
    one, other = Inbox(), Inbox()
    other.absences = Absences(other.clock, RESCAN_S, one._numbers)
    one.scan("a.jpg")
    other.scan()
    other.scan("a2.jpg")  # no record says what it contains
    for _ in range(2):
        one.scan()
    assert one.record.gone == 5
    assert one.scan("a.jpg", "b.jpg") == {"a.jpg": 2, "b.jpg": 5}


def test_what_went_before_its_content_was_known_may_be_any_file_of_its_size_since() -> None:
    inbox = Inbox()
    inbox.scan("a.jpg")
    for _ in range(4):
        inbox.scan("a2.jpg")
    assert inbox.record.gone is not None
    absent = inbox.scan("a3.jpg", "b.jpg")
    assert absent == {"a3.jpg": 1, "b.jpg": 5}, "it was a.jpg, then a2.jpg"
    inbox.scan()
    assert inbox.scan("a.jpg") == {"a.jpg": 1}
    for _ in range(3):
        inbox.scan()
    assert inbox.scan("a4.jpg") == {"a4.jpg": 11}, "a3.jpg is gone, as two scans missed it"
    inbox.scan()
    inbox.absences.interrupt()
    inbox.scan()
    assert inbox.scan("a5.jpg") == {"a5.jpg": 11}, "a4.jpg may be anywhere since a scan failed"
