"""Which files certainly came and went is known by scans alone."""

from collections.abc import Mapping
from pathlib import Path

from tests.daemon.clock import Clock

from stylewatch_daemon.files.identity import Look
from stylewatch_daemon.intake.absences import Absences, Order
from stylewatch_daemon.intake.scan import Listing
from stylewatch_daemon.ledger.memory import Seen

IN = Path("/in")
RESCAN_S = 10.0


class Inbox:
    """An inbox on a disk, with the record of a.jpg there."""

    def __init__(self) -> None:
        self.clock, self.disk, self.mount = Clock(), "card", "7"
        self.record = Seen(str(IN / "a.jpg"), str(IN), "card", ord("a"), 6, "12ab")
        self._order = Order(1)
        self.start()

    def start(self) -> None:
        """Begin with a new process."""
        self._absences = Absences(self.clock, RESCAN_S, self._order)

    def scan(self, *names: str, seconds: float = RESCAN_S, **skipped: str) -> Mapping[str, int]:
        """Let time pass, scan, and return when each file was absent, by its name."""
        self.clock.now += seconds
        skips = {IN / name.replace("_", "."): why for name, why in skipped.items()}
        listing = Listing({IN / name: Look(ord(name[0]), 6) for name in names}, skips, root=IN)
        disk = self.disk
        absent, gone = self._absences.update(
            listing, lambda path: disk, frozenset({self.mount}), [self.record]
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


def test_another_disk_in_its_place_says_nothing_of_a_file() -> None:
    inbox = Inbox()
    inbox.disk = "another"
    for _ in range(3):
        inbox.scan()
    inbox.disk = "card"
    assert inbox.scan("a.jpg", "b.jpg") == {"a.jpg": 0, "b.jpg": 0}
    assert inbox.record.gone is None


def test_a_clone_in_its_place_says_nothing_of_a_file() -> None:
    inbox = Inbox()
    inbox.scan("a.jpg")
    inbox.mount = "8"
    for _ in range(3):
        inbox.scan()
    assert inbox.record.gone is not None
    inbox.mount = "7"
    assert inbox.scan("a.jpg", "b.jpg") == {"a.jpg": 0, "b.jpg": 0}


def test_a_file_was_absent_in_the_last_scan_that_certainly_lacked_it() -> None:
    inbox = Inbox()
    assert inbox.scan("b.jpg") == {"b.jpg": 0}, "nobody knows since when it is there"
    assert inbox.scan("b.jpg", "c.jpg") == {"b.jpg": 0, "c.jpg": 1}
    assert inbox.scan("b.jpg", "c.jpg", d_jpg="not readable") == {"b.jpg": 0, "c.jpg": 1}
    assert inbox.scan("c.jpg", "d.jpg") == {"c.jpg": 1, "d.jpg": 0}
    assert inbox.scan("e.jpg") == {"e.jpg": 4}
    inbox.start()
    assert inbox.scan("b.jpg") == {"b.jpg": 0}


def test_what_is_gone_was_absent_also_for_a_later_process() -> None:
    inbox = Inbox()
    for _ in range(2):
        inbox.scan()
    inbox.start()
    assert inbox.scan("a.jpg") == {"a.jpg": 2} and inbox.record.gone == 2


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
