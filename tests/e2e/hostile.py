"""Faults around a daemon, not at a step of a job: folders that go, floods, poison, a second one."""

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.daemon.disks import CAN_MOUNT, small_disk
from tests.e2e.fault_injection import DEADLY
from tests.e2e.invariants import Place
from tests.e2e.plan import Plan

GOOD = 300
"""How many jobs there are beside the poisonous ones."""

FLOOD = 20_000
"""Files: more than the kernel keeps events (fs.inotify.max_queued_events is 16384)."""

WITHIN = 90.0
"""Seconds in which all this is over, many times what it takes."""


def until(it_is_so: Callable[[], object]) -> None:
    """Wait; raises TimeoutError where it does not come."""
    deadline = time.monotonic() + WITHIN
    while not it_is_so():
        if time.monotonic() > deadline:
            raise TimeoutError("it did not come to that")
        time.sleep(0.05)


@contextmanager
def watching(place: Place, rescan_s: float = 1.0) -> Iterator[subprocess.Popen[bytes]]:
    """A daemon that watches, and has painted the job `first`."""
    place.drop("first")
    daemon = Plan(str(place.root), mode="watch", rescan_s=rescan_s).start()
    try:
        until(lambda: place.done() == ["first"])
        yield daemon
    finally:
        daemon.send_signal(signal.SIGCONT)
        daemon.terminate()
        daemon.wait(WITHIN)


def wrong_with(place: Place, daemon: subprocess.Popen[bytes]) -> list[str]:
    """What is wrong once all jobs are done, or will not be."""
    until(lambda: place.done() == sorted(place.dropped))
    daemon.terminate()
    code = daemon.wait(WITHIN)
    wrong = [f"it ended with {code}"] if code else []
    return [*wrong, *place.wrong_at_the_end(place.pictures())]


def inbox_goes(root: Path) -> list[str]:
    """The inbox is renamed away under a daemon, and a new one comes with a pair in it."""
    place = Place(root)
    with watching(place) as daemon:
        place.inbox.rename(root / "away")
        time.sleep(2)
        place.inbox.mkdir()
        place.drop("second")
        return wrong_with(place, daemon)


def flood(root: Path) -> list[str]:
    """The kernel drops events while the daemon does not read them; a pair is among them."""
    place = Place(root)
    with watching(place, rescan_s=3600.0) as daemon:  # so that only the overflow can tell it
        daemon.send_signal(signal.SIGSTOP)
        for number in range(FLOOD):
            (place.inbox / f"{number}.txt").touch()
        place.drop("second")
        daemon.send_signal(signal.SIGCONT)
        until(lambda: place.done() == ["first", "second"])
        for number in range(FLOOD):
            (place.inbox / f"{number}.txt").unlink()
        return wrong_with(place, daemon)


def poison(root: Path) -> list[str]:
    """No picture, a wrong job.yaml, one that kills every worker; and many good ones."""
    place = Place(root)
    good = [f"good-{number:03}" for number in range(GOOD)]
    bad = {"broken": "content.jpg", "typo": "job.yaml", DEADLY: "the worker process died"}
    place.drop(*good[: GOOD // 2], *bad, *good[GOOD // 2 :])
    (place.inbox / "broken/content.jpg").write_text("this is no picture")
    (place.inbox / "typo/job.yaml").write_text("stepps: 10\n")
    code = Plan(str(root)).start().wait(WITHIN)
    wrong = [] if code == 70 else [f"it ended with {code}"]
    if place.done() != good:
        wrong.append(f"done are {place.done()}")
    refused = {path.name: path for path in place.outbox.glob("_refused/*")}
    if refused.keys() != bad.keys():
        wrong.append(f"refused are {sorted(refused)}")
    for job, why in bad.items():
        if job in refused and why not in (refused[job] / "reason.txt").read_text():
            wrong.append(f"{job} is refused for another reason")
    del place.dropped["broken"]
    return [*wrong, *place.wrong_now({})]


def poison_at_once(root: Path) -> list[str]:
    """One that kills every worker, amid others that are painted at once with it."""
    place = Place(root)
    good = [f"a-{number}" for number in range(8)]  # of which the first is painted alone
    place.drop(*good, DEADLY)
    code = Plan(str(root), batch=8).start().wait(WITHIN)
    wrong = [] if code == 70 else [f"it ended with {code}"]
    if place.done() != good:
        wrong.append(f"done are {place.done()}")
    if [path.name for path in place.outbox.glob("_refused/*")] != [DEADLY]:
        wrong.append("it is not the one that is set aside")
    if place.most_at_once() != len(good):
        wrong.append(f"{place.most_at_once()} were painted at once")
    return [*wrong, *place.wrong_now({})]


def two_daemons(root: Path) -> list[str]:
    """A second one on the same state folder, while the first paints."""
    place = Place(root)
    with watching(place) as daemon:
        place.drop("second")
        code = Plan(str(root)).start().wait(WITHIN)
        wrong = [] if code == 78 else [f"the second one ended with {code}"]
        return [*wrong, *wrong_with(place, daemon)]


def stalls(root: Path) -> list[str]:
    """A program writes half of a photograph, sees it taken and given back, and writes the rest."""
    place = Place(root)

    def is_awaited() -> bool:
        told = (place.state / "status.json").read_text(encoding="utf-8")
        return "the rest of content.jpg" in told

    with watching(place) as daemon:
        place.drop_slowly("second", lambda: until(is_awaited))
        return wrong_with(place, daemon)


def stalls_over_mounts(root: Path) -> list[str] | None:
    """The same, where it is copied, and the copy dropped."""
    if not CAN_MOUNT:
        return None
    with small_disk(root / "state", 4096):
        return stalls(root)


WHOLE = "it is painted whole, all once"
CASES: list[tuple[str, str, str, Callable[[Path], list[str] | None]]] = [
    ("half a photograph, then the rest", "watching", WHOLE, stalls),
    ("the same, over mounts", "watching", WHOLE, stalls_over_mounts),
    ("inbox removed, and back", "watching", "the next pair is painted, all once", inbox_goes),
    ("event queue overflows", "watching", f"a pair behind {FLOOD} files is painted", flood),
    (
        f"poison: 3 jobs among {GOOD} good ones",
        "whole run",
        "the good ones are done, 3 set aside with the reason",
        poison,
    ),
    (
        "poison: 1 job among 7 that are painted at once",
        "whole run",
        "the good ones are done, 1 set aside with the reason",
        poison_at_once,
    ),
    ("two daemons, one state", "watching", "the second refused, all painted once", two_daemons),
]
