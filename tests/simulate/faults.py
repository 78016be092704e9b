"""Faults of disks and of the machine: each begins, lasts for a while, and ceases."""

import errno
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from tests.daemon.faults import replaced
from tests.simulate import wiring
from tests.simulate.disks import SYSTEM, Disk
from tests.simulate.laws import ViolationError
from tests.simulate.plan import Inbox
from tests.simulate.seam import CallFault

from stylewatch_daemon.files.disks import MARK
from stylewatch_painter import installation, sample
from stylewatch_painter.recipes import book

if TYPE_CHECKING:
    from tests.simulate.world import World

ERRORS: dict[tuple[str, ...], tuple[str, ...]] = {
    ("stat",): ("EIO", "ESTALE", "ENOMEM", "EACCES", "ENOTCONN", "ETIMEDOUT"),
    ("open",): ("EIO", "EACCES", "EMFILE", "ENFILE", "ENOMEM", "ESTALE"),
    ("scandir",): ("EIO", "ESTALE", "EACCES", "ENOMEM"),
    ("read",): ("EIO", "ESTALE"),
    ("fstat",): ("EIO", "ESTALE"),
    ("create",): ("EIO", "ENOSPC", "EDQUOT", "EACCES", "EMFILE"),
    ("write",): ("EIO", "ENOSPC", "EDQUOT", "EFBIG"),
    ("fsync",): ("EIO", "ENOSPC", "EDQUOT"),
    ("rename",): ("EXDEV", "EIO", "EACCES", "EROFS", "ENOSPC", "EBUSY"),
    ("link",): ("EPERM", "EXDEV", "EMLINK", "EOPNOTSUPP", "EIO"),
    ("unlink",): ("EIO", "EACCES", "EROFS", "EBUSY"),
    ("mkdir",): ("EIO", "ENOSPC", "EROFS", "EACCES"),
    ("rmdir",): ("EBUSY", "EIO"),
    ("utime",): ("EPERM", "EIO"),
    ("chmod",): ("EPERM", "EOPNOTSUPP"),
    ("statvfs",): ("EIO", "ESTALE"),
    ("access",): ("EIO",),
}
"""Errors that calls may get."""

READS: list[tuple[str, ...]] = [("stat",), ("stat",), ("open",), ("scandir",), ("read",)]
"""Calls that fail more often than others, because a read is trusted too easily."""

ALL_CALLS = tuple(call for calls in ERRORS for call in calls)

UNREADABLE: list[tuple[tuple[str, ...], str]] = [
    (("open", "scandir", "read"), "EACCES"),
    (("read", "scandir"), "EIO"),
    ((*ALL_CALLS, "lease", "readlink"), "EIO"),
]
"""Calls on a file or folder that stays unreadable, and their error: it belongs to somebody else, it
has a bad sector, or its inode is damaged."""


_SHARED = {".staging": 1, "_refused": 1, "_canceled": 1, "#recycle": 1, "waves": 1,
           ".stylewatch": 2}  # fmt: skip
"""Folders that several jobs have in common, and how deep they are."""


@dataclass
class Active:
    """A fault that has begun; `disk` is the name of its disk, empty if it concerns everything."""

    what: str
    disk: str
    is_absence: bool
    """True if the disk is hung, away or dead: no other folder may suffer from that."""
    end: Callable[[], object]
    lasts: bool = False
    """True if all that it does not concern must go on, also once all others have ceased."""


class Faults:
    """The faults of a world."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.active: list[Active] = []
        self.absences: dict[str, float] = {}
        """Until when each disk was away, hung or dead."""
        self.unreadable: dict[str, float] = {}
        """Until when each file or folder that stayed unreadable was so."""
        self.cards: dict[Disk, Inbox] = {}
        """Disks with two cards that take turns, and the inboxes that they are."""
        self.is_memory_short = False
        """True while painters have no memory for two of three photographs."""
        self.is_state_astray = False
        """True while the state folder has another name, on the same disk."""
        self._being_installed: ExitStack | None = None
        self.sql: list[int] = []
        """Codes of SQLite's errors that the next commits get."""

    def begin(self, what: str, random: Random) -> None:
        """Begin the fault called `what`, if it is possible now."""
        begins: dict[str, Callable[[Random], Iterator[str] | None]] = {
            "unplug": self._unplug,
            "renumber": self._renumber,
            "read-only": self._read_only,
            "full": self._full,
            "hang": self._hang,
            "errors": self._errors,
            "dead": self._dead,
            "ledger": self._ledger,
            "clock": self._clock,
            "summer": self._summer,
            "unreadable": self._unreadable,
            "cards": self._cards,
            "memory": self._memory,
            "install": self._install,
            "chown": self._chown,
            "astray": self._lead_astray,
        }
        for line in begins[what](random) or ():
            self._world.note(f"fault: {line}")
            self._world.disturbances.stories.append((self._world.times.now, f"meets: {what}"))

    def cease(self) -> None:
        """End all faults but those that last."""
        for fault in [fault for fault in self.active if not fault.lasts]:
            self._end(fault)
        self.sql.clear()

    def cease_all(self) -> None:
        """End all faults."""
        while self.active:
            self._end(self.active[0])

    def close(self) -> None:
        """Undo what a fault has replaced in this process, in which the next world runs."""
        if self._being_installed is not None:
            self._being_installed.close()

    def gone(self, path: str) -> None:
        """End what kept a file unreadable that is gone: another one under its name is readable."""
        for fault in [fault for fault in self.active if fault.lasts and fault.disk == path]:
            self._end(fault)

    def _start(self, fault: Active, seconds: float) -> None:
        self.active.append(fault)
        if fault.is_absence:
            self.absences[fault.what] = float("inf")
        self._world.disturbed(fault.disk)
        self._world.later(seconds, lambda: self._end(fault))

    def _end(self, fault: Active) -> None:
        if fault in self.active:
            self.active.remove(fault)
            if fault.is_absence:
                self.absences[fault.what] = self._world.times.now
            fault.end()
            self._world.note(f"fault: {fault.what} ends")
            what = fault.what.partition(" ")[0]
            self._world.disturbances.stories.append((self._world.times.now, f"met: {what}"))
            self._world.disturbed(fault.disk)
            self._world.daemon.file_event()

    def _disks(self, *, may_be_away: bool) -> list[Disk]:
        """Return the disks that are healthy, and may be away at all."""
        settings = self._world.plan.settings
        busy = {fault.disk for fault in self.active}
        disks = [disk for disk in self._world.disks if disk.name not in busy]
        if may_be_away:
            fixed = {SYSTEM, settings.disk_of("state")}
            if "waves" in dict(settings.disks):
                fixed.add(settings.disk_of("out"))
            if settings.has_card:
                fixed.add(settings.disk_of("in"))
            disks = [disk for disk in disks if disk.name not in fixed]
        return disks

    def _choose(self, random: Random, *, may_be_away: bool = False) -> Disk | None:
        disks = self._disks(may_be_away=may_be_away)
        return random.choice(disks) if disks else None

    # -- kinds

    def _unplug(self, random: Random) -> Iterator[str]:
        if (disk := self._choose(random, may_be_away=True)) is None:
            return
        seconds = random.choice([random.uniform(1, 20), random.uniform(20, 200)])
        other = random.random() < 0.4
        renumbers = not disk.kind.keeps_inodes or random.random() < 0.3
        shifts = disk.kind.has_local_time and random.random() < 0.3
        self._world.disks.unplug(disk)

        def end() -> None:
            self._world.disks.plug(disk, other_device=other)
            if renumbers:
                self._world.seam.renumber(disk)
            if shifts:
                disk.shift_s = 3600 - disk.shift_s

        yield f"{disk.name} ({disk.kind.name}) is unplugged for {seconds:.0f} s" + (
            f"{', then has another device' * other}{', other inodes' * renumbers}"
            f"{', times shifted by an hour' * shifts}"
        )
        self._start(Active(f"absence of {disk.name}", disk.name, True, end), seconds)

    def _lead_astray(self, random: Random) -> Iterator[str]:
        """Move the state folder away while the daemon runs, and back before its next start."""
        world = self._world
        state = Path(world.path("state"))
        is_own = all(str(state) != disk.root for disk in world.disks)
        if self.is_state_astray or not is_own or not world.daemon.is_up or world.seam.is_dead:
            return
        if any(deed.what == "restore" for deed in world.plan.deeds):
            return
        seconds = random.choice([0.01, random.uniform(1, 20), random.uniform(20, 200)])
        state.rename(f"{state}-astray")
        self.is_state_astray = True
        yield f"the state folder is moved away for {seconds:.0f} s"
        disk = world.plan.settings.disk_of("state")
        self._start(Active("absence of the state", disk, False, self._move_state_back), seconds)

    def _move_state_back(self) -> None:
        astray = Path(self._world.path("state"))
        self.is_state_astray = False
        state = Path(self._world.path("state"))
        if state.exists():
            made = sorted(str(path.relative_to(state)) for path in state.rglob("*"))
            raise ViolationError(2, "something is made in place of the state folder", f"{made}")
        astray.rename(state)

    def put_state_back(self) -> None:
        """Move the state folder back, if it is away, before the daemon starts."""
        for fault in [fault for fault in self.active if fault.what == "absence of the state"]:
            self._end(fault)

    def _cards(self, random: Random) -> Iterator[str]:
        """Let another card take the place of that in an inbox: empty at first, or a copy of it."""
        settings, world = self._world.plan.settings, self._world
        alone = {
            each.name: each
            for each in settings.inboxes
            if settings.path(each.name) == settings.root(settings.disk_of(each.name))
        }
        disks = [disk for disk in self._disks(may_be_away=True) if disk.name in alone]
        if not disks:
            return
        disk = random.choice(disks)
        seconds, inbox = random.choice([0.01, random.uniform(1, 60)]), alone[disk.name]
        is_copy = inbox.after == "keep" and random.random() < 0.3
        if not disk.kind.has_ctime or any(deed.what == "clock" for deed in world.plan.deeds):
            is_copy = False  # two cards with one mark, and times to come: one card to the daemon
        is_first = disk not in self.cards
        if is_first:
            self.cards[disk] = inbox
        other = random.random() < 0.4
        world.disks.unplug(disk)

        def end() -> None:
            if is_first:
                world.account.add_card(inbox, is_copy=is_copy)
                world.disks.add_spare(disk, is_copy=is_copy)
            self._take_turns(disk, inbox, other_device=other)

        kind = " a copy of it" if is_copy and is_first else ""
        yield f"{disk.name} ({disk.kind.name}) is unplugged for {seconds:.0f} s for another{kind}"
        self._start(Active(f"absence of {disk.name}", disk.name, True, end), seconds)

    def _take_turns(self, disk: Disk, inbox: Inbox, *, other_device: bool = False) -> None:
        """Let the other card come in the place of one that is away."""
        world = self._world
        world.see()
        world.account.exchange(inbox)
        world.disks.exchange(disk)
        world.disks.plug(disk, other_device=other_device)
        world.account.renew_pairs(inbox)
        if not disk.kind.keeps_inodes:
            world.seam.renumber(disk)

    def turn_cards(self) -> None:
        """Exchange all cards at once."""
        for disk, inbox in self.cards.items():
            self._world.note(f"world: the other card of {disk.name} takes its turn")
            self._world.disks.unplug(disk)
            self._take_turns(disk, inbox)
            self._world.disturbed(disk.name)
        self._world.daemon.file_event()

    def _renumber(self, random: Random) -> Iterator[str]:
        disks = [disk for disk in self._disks(may_be_away=False) if not disk.kind.keeps_inodes]
        if disks:
            disk = random.choice(disks)
            self._world.seam.renumber(disk)
            yield f"the files of {disk.name} ({disk.kind.name}) get other inodes"

    def _chown(self, random: Random) -> Iterator[str]:
        """Let disks have other identities, with the same files.

        `chown -R`, or a copy of the file system, changes all times of change; some copies also the
        times and inodes of files that stay. A mark is lost, or is that of another disk, only in an
        inbox that holds no claim, which would be of that disk. Users rename folders, too.
        """
        world, how = self._world, random.choice(["chown", "chown", "copy", "no mark", "new mark"])
        there = [disk for disk in self._disks(may_be_away=False) if disk.is_there]
        for disk in there if random.random() < 0.5 else random.sample(there, min(1, len(there))):
            inboxes = [each for each in world.plan.settings.inboxes
                       if disk is world.disks.of(world.path(each.name))]  # fmt: skip
            yield f"the files of {disk.name} ({disk.kind.name}) are changed by {how}"
            if "mark" not in how:
                world.seam.chown(disk)
            if how == "copy":
                world.seam.renumber(disk)
                world.users.files.touch(filter(world.account.keeps, inboxes))
            if Random(f"rename {random.getrandbits(32)}").random() < 0.5:
                world.users.old_albums.rename(inboxes)
            for inbox in inboxes if "mark" in how and disk not in self.cards else ():
                text = f"{random.getrandbits(64):016x}\n" if how == "new mark" else ""
                self._replace_mark(world.path(inbox.name), text)
            world.disturbed(disk.name)
        world.daemon.file_event()

    def _replace_mark(self, folder: str, text: str) -> None:
        """Let an inbox have another mark, or none without a text, unless a claim needs its own."""
        path, state = Path(folder, *MARK), Path(self._world.path("state"))
        is_free = not wiring.held(state) & {
            job.id for job in wiring.jobs(state) if job.inbox == folder
        }
        if is_free and path.exists() and [*path.parent.iterdir()] == [path]:
            path.write_text(text)
            self._world.seam.user_wrote(str(path))
            if not text:
                path.unlink()
                path.parent.rmdir()

    def _summer(self, random: Random) -> Iterator[str]:
        for disk in self._world.disks:
            if disk.kind.has_local_time:
                disk.shift_s = 3600 - disk.shift_s
                yield f"the times on {disk.name} ({disk.kind.name}) shift by an hour"

    def _read_only(self, random: Random) -> Iterator[str]:
        if (disk := self._choose(random)) is None:
            return
        seconds = random.uniform(1, 120)
        disk.is_read_only = True

        def end() -> None:
            disk.is_read_only = False

        yield f"{disk.name} is read-only for {seconds:.0f} s"
        self._start(Active(f"read-only {disk.name}", disk.name, False, end), seconds)

    def _full(self, random: Random) -> Iterator[str]:
        if (disk := self._choose(random)) is None:
            return
        seconds = random.uniform(1, 120)
        disk.full = random.choice([errno.ENOSPC, errno.ENOSPC, errno.EDQUOT])
        disk.room = random.choice([0, 0, random.randint(1, 2000)])

        def end() -> None:
            disk.full = 0

        name = errno.errorcode[disk.full]
        yield f"{disk.name} is full ({name}, {disk.room} bytes left) for {seconds:.0f} s"
        self._start(Active(f"full {disk.name}", disk.name, False, end), seconds)

    def _hang(self, random: Random) -> Iterator[str]:
        if (disk := self._choose(random, may_be_away=True)) is None:
            return
        seconds = random.choice([random.uniform(5, 60), random.uniform(60, 300)])
        disk.is_hung = True

        def end() -> None:
            disk.is_hung = False
            self._world.answers(disk)

        yield f"{disk.name} does not answer for {seconds:.0f} s"
        self._start(Active(f"hang of {disk.name}", disk.name, True, end), seconds)

    def _dead(self, random: Random) -> Iterator[str]:
        if (disk := self._choose(random, may_be_away=True)) is None:
            return
        seconds = random.uniform(5, 120)
        name = random.choice(["ENOTCONN", "EIO", "ESTALE", "EHOSTDOWN"])
        calls = [*ALL_CALLS, "lease", "readlink", "flock"]
        faults = [
            CallFault(tuple(calls), getattr(errno, name), disk.root, 1 << 30, who)
            for who in ("daemon", "worker", "client", "follower")
        ]
        self._world.seam.faults += faults
        yield f"all calls on {disk.name} fail with {name} for {seconds:.0f} s"
        end = self._without(faults)
        self._start(Active(f"dead {disk.name}", disk.name, True, end), seconds)

    def _errors(self, random: Random) -> Iterator[str]:
        """Let calls of one to four sorts fail, mostly once, somewhere."""
        faults, seconds = [], random.choice([random.uniform(1, 60), 120.0])
        settings = self._world.plan.settings
        for _ in range(random.randint(1, 4)):
            calls = random.choice([*ERRORS, *READS])
            name = random.choice(ERRORS[calls])
            under, times = self._place(random), random.choice([1, 1, 1, 2, 3, 1 << 30])
            after = random.choice([0, 0, random.randint(1, 10), random.randint(1, 60)])
            faults.append(CallFault(calls, getattr(errno, name), under, times, after=after))
            short = under.removeprefix(f"{settings.base}/w/")
            often = f"{times} times" if times < 100 else f"for {seconds:.0f} s"
            yield f"{calls[0]} below {short} fails with {name} {often}" + (
                f" after {after} others" * (after > 0)
            )
        faults += [replace(fault, who="follower") for fault in faults]
        self._world.seam.faults += faults
        for disk in {self._world.disks.home_of(fault.under).name: 0 for fault in faults}:
            self._start(Active("errors of calls", disk, False, self._without(faults)), seconds)

    def _place(self, random: Random) -> str:
        """Return a folder in which calls fail."""
        settings = self._world.plan.settings
        state = settings.path("state")
        return random.choice(
            [
                *(settings.path(role) for role in settings.roles),
                *(f"{state}/{name}" for name in ("jobs", "jobs", "claims", "paused", "trash")),
                f"{settings.path('out')}/.staging",
                state,
            ]
        )

    def _without(self, faults: list[CallFault]) -> Callable[[], None]:
        def end() -> None:
            seam = self._world.seam
            seam.faults = [fault for fault in seam.faults if fault not in faults]

        return end

    def _unreadable(self, random: Random) -> Iterator[str]:
        """Let all calls on one file or folder fail from now on, and none beside it."""
        roles = ["in", "in", "out", "state", "styles"]
        random.shuffle(roles)
        path = next(filter(None, (self._one_of(role, random) for role in roles)), "")
        if not path or path in self.unreadable:
            return
        calls, name = random.choice(UNREADABLE)
        faults = [
            CallFault(calls, getattr(errno, name), path, 1 << 30, who)
            for who in ("daemon", "worker", "client", "follower")
        ]
        self._world.seam.faults += faults
        self.unreadable[path] = float("inf")
        remove = self._without(faults)

        def end() -> None:
            remove()
            self.unreadable[path] = self._world.times.now

        short = path.removeprefix(f"{self._world.disks.root}/")
        yield f"{short} stays unreadable: {calls[0]} ... fail with {name}"
        self._start(Active(f"unreadable {short}", path, False, end, lasts=True), 1e6)

    def deny(self, path: str, seconds: float) -> Callable[[], bool]:
        """Let no rename of one file be permitted for a while; return whether that still lasts."""
        world, fault = self._world, CallFault(("rename",), errno.EPERM, path, 1 << 30)
        world.seam.faults.append(fault)
        short = path.removeprefix(f"{world.disks.root}/")
        world.note(f"fault: {short} cannot be renamed for {seconds:.0f} s")
        disk, end = world.disks.home_of(path).name, self._without([fault])
        self._start(Active(f"denial of {short}", disk, False, end), seconds)
        return lambda: fault in world.seam.faults

    def _one_of(self, role: str, random: Random) -> str:
        """Return a file or a folder in one of the folders of a sort; empty if there is none."""
        settings = self._world.plan.settings
        roots = {
            "in": [settings.path(inbox.name) for inbox in settings.inboxes],
            "out": [settings.path(inbox.outbox) for inbox in settings.inboxes],
            "state": [f"{settings.path('state')}/jobs", f"{settings.path('state')}/claims"],
            "styles": [settings.path("styles")],
        }[role]
        found = set[str]()
        for path in self._world.snapshot.files:
            for root in roots:
                if path.startswith(f"{root}/"):
                    names = path.removeprefix(f"{root}/").split("/")
                    least = _SHARED.get(names[0], 0)
                    found |= {"/".join((root, *names[: end + 1]))
                              for end in range(least, len(names))}  # fmt: skip
        mounts = {disk.root for disk in self._world.disks}
        found = {path for path in found - mounts if not path.endswith(("/_status.txt", "/disk"))}
        return random.choice(sorted(found)) if found else ""

    def _memory(self, random: Random) -> Iterator[str]:
        """Let painters have too little memory for a while, but not for every photograph."""
        if self.is_memory_short:
            return

        def end() -> None:
            self.is_memory_short = False

        self.is_memory_short, seconds = True, random.uniform(60, 900)
        yield f"two of three photographs are too large for the memory, for {seconds:.0f} s"
        self._start(Active("too little memory", "memory", False, end), seconds)

    def _install(self, random: Random) -> Iterator[str]:
        """Let the program be installed anew: its recipes, or their folder, are away for a while."""
        if self._being_installed is not None:
            return
        folder = random.choice([Path(sample.__file__).parent, Path("/away")])
        self._being_installed, seconds = ExitStack(), random.uniform(0.1, 60)

        def end() -> None:
            assert self._being_installed is not None
            self._being_installed.close()
            self._being_installed = None

        self._being_installed.callback(book.packaged.cache_clear)
        self._being_installed.enter_context(replaced(book, _OWN=folder))
        self._being_installed.enter_context(
            replaced(
                installation, _project=lambda: None, _recorded_files=lambda: [Path("/away/file")]
            )
        )
        book.packaged.cache_clear()
        yield f"stylewatch is installed anew for {seconds:.1f} s"
        self._start(Active("installed anew", "", False, end), seconds)

    def _ledger(self, random: Random) -> Iterator[str]:
        code = random.choice([wiring.BUSY, wiring.FULL, wiring.IO_ERROR, wiring.READ_ONLY])
        times = random.choice([1, 1, 2, 5])
        self.sql += [code] * times
        yield f"the next {times} changes of the ledger fail: {wiring.sql_error(code)}"
        self._start(
            Active("errors of the ledger", "", False, self.sql.clear), random.uniform(1, 60)
        )

    def _clock(self, random: Random) -> Iterator[str]:
        world, times = self._world, self._world.times
        shift = random.choice([-times.wall(), -3e8, 4e8, 86400.0, 4e5])
        seconds = random.uniform(1, 200)
        is_running = random.choice([True, False]), random.choice([True, False])

        def put(by: float, *, is_running: bool) -> None:
            if not is_running:
                world.cut(restart_in=random.uniform(0.5, 60))
            times.shift += by

        def end() -> None:
            put(-shift, is_running=is_running[1])

        put(shift, is_running=is_running[0])
        yield f"the wall clock is wrong by {shift / 86400:.0f} days for {seconds:.0f} s"
        self._start(Active("wrong clock", "", False, end), seconds)
