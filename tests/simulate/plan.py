"""Plans of worlds: settings, and deeds of users and disks at given times, all drawn from one seed.

A deed has its own seed, from which it draws its details when it is done, so that a plan from which
other deeds were removed keeps its meaning: `shrink` removes what is not needed for a violation.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from random import Random
from typing import Literal

from tests.simulate.disks import SYSTEM
from tests.simulate.seam import Times

After = Literal["archive", "keep", "delete"]

DAY = 60.0
"""Seconds of a day in the worlds whose trash is emptied."""

CARD = "card"
"""Name of a disk that is mounted in a folder of the first inbox, and of that folder."""

ROLES = ("in", "in2", "out", "out2", "finals", "state", "styles", "waves")
"""Folders of a world; `waves` is a folder of the outbox that may be a disk of its own."""

USER = {
    "drop": 10, "again": 4, "edit": 4, "remove": 4, "rename": 3, "move": 3, "copy": 3,
    "add yaml": 2, "add style": 2, "library": 3, "stranger": 3, "debris": 1,
    "cancel": 2, "retry": 2, "delete": 3, "pause": 1, "resume": 1, "restart": 3,
}  # fmt: skip
"""What users do, and how often."""

FAULTS = {
    "unplug": 4, "renumber": 2, "read-only": 2, "full": 2, "hang": 3, "errors": 10, "dead": 2,
    "kill": 4, "power": 2, "ledger": 2, "clock": 1, "summer": 1,
}  # fmt: skip
"""What disks and the machine do, and how often."""

MORE = (
    ("finish", "crash"),
    ("unreadable",),
    ("cards",),
    ("undo", "take", "off"),
    ("ignore",),
    ("grab",),
    ("restore",),
    ("write on", "forge"),
    ("reload",),
    ("memory",),
    ("submit",),
    ("install",),
    ("trash", "favorite"),
    ("try",),
    ("learn",),
    ("deny",),
    ("leave",),
    ("after",),
    ("chown",),
    ("once",),
    ("nested",),
    ("pick",),
    ("clone",),
    ("astray",),
)
"""Deeds of users and of the machine that are drawn apart, each sort by itself, so that a number
still is the same world."""

RARE = {
    "deny": "denials", "chown": "chowns", "once": "runs", "nested": "nests", "pick": "picks",
    "clone": "clones", "astray": "strays",
}  # fmt: skip
"""Those of MORE that are in few worlds, with the names by which that is drawn."""

AMID = ("unreadable",)
"""Those of MORE that may happen in the middle of a call."""

SETTINGS = ("two inboxes", "two outboxes", "finals", "retention", "default style", "all styles",
            "nested disk", "inner disk", "no events", "hours", "slow painter", "library disk",
            "hooks", "trash days", "learning", "long lanes")  # fmt: skip
"""Features of settings."""

DETAILS = ("union", "NFD", "conflict", "recycle bin", "empty first", "half", "live photo")
"""Details that can be left out, to see what they hide."""


@dataclass(frozen=True)
class Inbox:
    """An inbox: the names of its folder and of its outbox's, among ROLES."""

    name: str
    outbox: str
    after: After


@dataclass(frozen=True)
class Settings:
    """What does not change in a world."""

    seed: int
    base: str = ""
    """Folder of all files of the world."""
    inboxes: tuple[Inbox, ...] = (Inbox("in", "out", "archive"),)
    disks: tuple[tuple[str, str], ...] = ()
    """Names of the disks other than the system's, and the kinds of their file systems."""
    homes: tuple[tuple[str, str], ...] = ()
    """Roles that are on a disk other than the system's, and its name."""
    has_finals: bool = False
    has_retention: bool = False
    trash_days: int = 0
    """`retention.trash`, in days of DAY seconds; 0: longer than the world lasts."""
    has_hooks: bool = False
    default_style: str = ""
    quiet_s: float = 2.0
    rescan_s: float = 10.0
    truncated_s: float = 30.0
    hours: str | None = None
    """`executor.hours`, which close for some minutes while the world lasts."""
    learn_minutes: float = 0.0
    """`limits.learn_minutes`."""
    workers: int = 1
    has_events: bool = True
    scan_s: float = 5.0
    stage_s: float = 0.5
    """Seconds that a painter takes for a step."""
    without: tuple[str, ...] = ()
    """Those of DETAILS that do not occur."""
    long_bytes: int = 1 << 20
    """Number of bytes of the files of a claim from which on another lane moves them."""
    pace: float = 1.0
    """How much the work of threads is delayed and interrupted: 0 to 2."""

    def disk_of(self, role: str) -> str:
        """Return the name of the disk of a role."""
        return dict(self.homes).get(role, SYSTEM)

    def root(self, disk: str) -> str:
        """Return the mount point of a disk."""
        if disk == "waves":
            return f"{self.path('out')}/waves"
        if disk == CARD:
            return f"{self.path('in')}/{CARD}"
        return f"{self.base}/w/{disk}-disk"

    def path(self, role: str) -> str:
        """Return the folder of a role, which is a disk itself if nothing else is on that disk."""
        if role == "waves":
            return f"{self.path('out')}/waves"
        disk = self.disk_of(role)
        if disk == SYSTEM:
            return f"{self.base}/w/{role}"
        shares = sum(home == disk for _, home in self.homes) > 1
        return f"{self.root(disk)}/{role}" if shares else self.root(disk)

    @property
    def has_card(self) -> bool:
        """True if a disk is mounted in a folder of the first inbox."""
        return CARD in dict(self.disks)

    @property
    def roles(self) -> list[str]:
        """The folders that this world uses."""
        names = [name for inbox in self.inboxes for name in (inbox.name, inbox.outbox)]
        return [*dict.fromkeys(names), "state", "styles", *(["finals"] if self.has_finals else [])]

    @property
    def features(self) -> list[str]:
        """The features of these settings."""
        flags = {
            "two inboxes": len(self.inboxes) > 1,
            "two outboxes": len({inbox.outbox for inbox in self.inboxes}) > 1,
            "finals": self.has_finals,
            "retention": self.has_retention,
            "trash days": self.trash_days > 0,
            "learning": self.learn_minutes > 0,
            "hooks": self.has_hooks,
            "long lanes": self.long_bytes < 1000,
            "default style": self.default_style not in ("", "all"),
            "all styles": self.default_style == "all",
            "nested disk": any(disk == "waves" for disk, _ in self.disks),
            "inner disk": self.has_card,
            "no events": not self.has_events,
            "hours": self.hours is not None,
            "slow painter": self.stage_s > 10,
            "library disk": self.disk_of("styles") != SYSTEM,
        }
        kinds = [f"{kind} for {role}" for role, home in self.homes for disk, kind in self.disks
                 if disk == home and role in self.roles]  # fmt: skip
        after = [inbox.after for inbox in self.inboxes]
        return [*(name for name, is_set in flags.items() if is_set), *after, *kinds]


@dataclass(frozen=True)
class Deed:
    """Something that a user or a disk does at a time; `what` is in USER or FAULTS."""

    at: float
    """Seconds since the start of the world."""
    what: str
    seed: int
    amid: int = 0
    """Number of calls of the daemon after that time, in whose middle it happens; 0: between."""


@dataclass(frozen=True)
class Plan:
    """A world to be."""

    settings: Settings
    deeds: tuple[Deed, ...] = field(default=())

    @property
    def features(self) -> list[str]:
        """What occurs in this plan."""
        return sorted({*self.settings.features, *(deed.what for deed in self.deeds)})

    def without(self, deeds: Collection[Deed]) -> "Plan":
        """Return this plan without some deeds."""
        return replace(self, deeds=tuple(deed for deed in self.deeds if deed not in deeds))


_KINDS = {
    "in": ("ext4", "btrfs", "vfat", "exfat", "fuseblk", "nfs4", "cifs", "fuse.sshfs",
           "fuse.mergerfs"),
    "out": ("ext4", "btrfs", "exfat", "nfs4", "cifs", "fuse.mergerfs", "fuse.mergerfs"),
}  # fmt: skip
"""Kinds of the disks of inboxes, and of the others."""


def draw(seed: int, only: Collection[str] = (), without: Collection[str] = ()) -> Plan:
    """Return the plan of the world with this seed.

    Deeds and features of settings are limited to `only`, if it names any of their sort, and those
    in `without` do not occur.
    """
    random = Random(f"plan {seed}")
    settings = _with_library(_Drawer(random, without).settings(seed), without)
    settings = _with_card(settings, only, without)
    if "long lanes" not in without and Random(f"long lanes {seed}").random() < 1 / 3:
        settings = replace(settings, long_bytes=350)
    has_hooks = "hooks" not in without and Random(f"hooks {seed}").random() < 0.4
    settings = replace(settings, has_hooks=has_hooks)
    users = _weights(USER, only, without)
    faults = _weights(FAULTS, only, without)
    deeds = [
        Deed(at, "drop" if number == 0 else _pick(random, users), random.getrandbits(32),
             random.randint(1, 80) if random.random() < 0.2 else 0)
        for number, at in enumerate(_times(random, random.randint(3, 30)))
    ]  # fmt: skip
    last = deeds[-1].at
    for _ in range(random.randint(1, 5) if faults else 0):
        at = random.uniform(0, last + 30)
        near = random.choice(deeds).at + random.uniform(0, 12)
        amid = random.choice([0, random.randint(1, 30), random.randint(1, 200)])
        fault, seed_of = _pick(random, faults), random.getrandbits(32)
        deeds.append(Deed(random.choice([at, near]), fault, seed_of, amid))
    for number, sort in enumerate(MORE):
        deeds += _more(Random(f"more {seed}" + "+" * number), sort, last, only, without)
    if any(deed.what == "clock" for deed in deeds) and "retention" not in without:
        settings = replace(settings, has_retention=random.random() < 0.7)
    plan = Plan(settings, tuple(sorted(deeds, key=lambda deed: deed.at)))
    plan = _with_learning(_with_trash_days(plan, only, without), only, without)
    return _with_changes(_with_leaves(_without_rare(plan, only), only))


def _with_learning(plan: Plan, only: Collection[str], without: Collection[str]) -> Plan:
    """Let styles be learned in some of the worlds with albums for that, drawn apart."""
    random = Random(f"learning {plan.settings.seed}")
    albums = [deed for deed in plan.deeds if deed.what == "learn"]
    is_rare = not {"learn", "learning"} & {*only} and random.random() < 0.75
    if not albums or is_rare or "learning" in without:
        return plan.without(albums)
    minutes, workers = random.choice([0.5, 2.0, 5.0]), random.choice([1, 1, 2])
    return replace(plan, settings=replace(plan.settings, learn_minutes=minutes, workers=workers))


def _without_rare(plan: Plan, only: Collection[str]) -> Plan:
    """Let rare deeds be in few of the worlds that drew them, drawn apart."""
    is_in = {what: Random(f"{name} {plan.settings.seed}").random() >= 0.75 or what in only
             for what, name in RARE.items()}  # fmt: skip
    return plan.without([deed for deed in plan.deeds if not is_in.get(deed.what, True)])


def _with_leaves(plan: Plan, only: Collection[str]) -> Plan:
    """Let one of two inboxes leave the settings in a sixth of all worlds, drawn apart."""
    is_rare = "leave" not in only and Random(f"leaves {plan.settings.seed}").random() < 1 / 3
    is_rare = is_rare or len(plan.settings.inboxes) < 2
    return plan.without([deed for deed in plan.deeds if is_rare and deed.what == "leave"])


def _with_changes(plan: Plan) -> Plan:
    """Let `after` change in the worlds in which all files of an inbox can be told at any moment.

    These have no cards that take turns, no backups, and no files that may not be renamed.
    """
    others = {"cards", "restore", "deny"} & {deed.what for deed in plan.deeds}
    is_clear = not (others or plan.settings.has_card)
    return plan if is_clear else plan.without([d for d in plan.deeds if d.what == "after"])


def _with_trash_days(plan: Plan, only: Collection[str], without: Collection[str]) -> Plan:
    """Let the trash of some worlds be emptied, drawn apart; no backup brings back its jobs there.

    Such worlds have short days, and no other retention.
    """
    random = Random(f"trash days {plan.settings.seed}")
    is_rare = "trash days" not in only and random.random() < 0.4
    is_unused = all(deed.what != "trash" for deed in plan.deeds)
    if is_unused or is_rare or "trash days" in without:
        return plan
    settings = replace(plan.settings, trash_days=random.choice([1, 2]), has_retention=False)
    backups = [deed for deed in plan.deeds if deed.what == "restore"]
    return replace(plan, settings=settings).without(backups)


def _with_library(settings: Settings, without: Collection[str]) -> Settings:
    """Give the style library of some worlds a disk, drawn apart like MORE."""
    random = Random(f"library disk {settings.seed}")
    if not settings.default_style or "library disk" in without or random.random() < 0.5:
        return settings
    disk = ("styles", random.choice(["ext4", "nfs4", "cifs", "fuse.sshfs"]))
    return replace(
        settings,
        disks=(*settings.disks, disk),
        homes=(*settings.homes, ("styles", "styles")),
    )


def _with_card(settings: Settings, only: Collection[str], without: Collection[str]) -> Settings:
    """Mount a disk in the first inbox of some worlds, if its files leave it; drawn apart."""
    random = Random(f"inner disk {settings.seed}")
    is_kept = settings.inboxes[0].after == "keep"
    is_rare = "inner disk" not in only and random.random() < 0.8
    if is_kept or is_rare or "inner disk" in without:
        return settings
    disk = (CARD, random.choice(["ext4", "vfat", "exfat", "fuse.sshfs"]))
    return replace(settings, disks=(*settings.disks, disk))


def _more(
    random: Random,
    sort: Collection[str],
    last: float,
    only: Collection[str],
    without: Collection[str],
) -> Iterator[Deed]:
    """Yield up to two deeds of a sort among MORE."""
    names = [name for name in sort if name not in without and (not only or name in only)]
    numbers = [1, 2, 3] if only else [0, 0, 1, 2]
    for _ in range(random.choice(numbers) if names else 0):
        at, seed = random.uniform(0, last + 10), random.getrandbits(32)
        what = random.choice(names)
        yield Deed(at, what, seed, random.randint(1, 200) if what in AMID and seed % 2 else 0)


def _weights(
    weights: dict[str, int], only: Collection[str], without: Collection[str]
) -> dict[str, int]:
    wanted = {name: weight for name, weight in weights.items() if name in only} or weights
    return {name: weight for name, weight in wanted.items() if name not in without}


def _pick(random: Random, weights: dict[str, int]) -> str:
    return random.choices([*weights], [*weights.values()])[0]


def _times(random: Random, number: int) -> Iterator[float]:
    """Yield the times of users' deeds: often close together, sometimes after minutes."""
    now = random.uniform(0.0, 3.0)
    for _ in range(number):
        yield now
        now += random.choice(
            [0.0, random.uniform(0, 3), random.uniform(0, 3), random.uniform(3, 20),
             random.uniform(3, 20), random.uniform(20, 60), random.uniform(60, 200)]
        )  # fmt: skip


@dataclass
class _Drawer:
    """Draws the settings of a world."""

    random: Random
    without: Collection[str]

    def _is(self, feature: str, chance: float) -> bool:
        drawn = self.random.random() < chance
        return drawn and feature not in self.without

    def settings(self, seed: int) -> Settings:
        random = self.random
        after: After = random.choice(["archive", "archive", "keep", "keep", "delete"])
        inboxes = [Inbox("in", "out", after)]
        if self._is("two inboxes", 0.5):
            outbox = "out2" if self._is("two outboxes", 0.5) else "out"
            other: After = random.choice([after, after, "archive", "keep", "delete"])
            inboxes.append(Inbox("in2", outbox, other))
        style = random.choice(["", "", "wave", "all", "all"])
        if style and ("all styles" if style == "all" else "default style") in self.without:
            style = ""
        settings = Settings(
            seed,
            inboxes=tuple(inboxes),
            has_finals=self._is("finals", 0.3),
            has_retention=self._is("retention", 0.15),
            default_style=style,
            quiet_s=random.choice([1.0, 2.0]),
            rescan_s=random.choice([5.0, 10.0, 30.0]),
            truncated_s=random.choice([20.0, 60.0]),
            has_events=not self._is("no events", 0.25),
            stage_s=600.0 if self._is("slow painter", 0.1) else random.choice([0.2, 1.0, 4.0]),
            without=tuple(name for name in DETAILS if name in self.without),
            pace=random.choice([0.0, 1.0, 1.0, 2.0]),
        )
        if self._is("hours", 0.1):
            settings = replace(settings, hours=self._hours(), stage_s=20.0)
        return self._with_disks(settings)

    def _hours(self) -> str:
        """Return hours that close for up to three minutes, soon after the world begins."""
        began = datetime.fromtimestamp(Times().wall()).astimezone()
        closes = began + timedelta(minutes=self.random.randint(1, 4))
        opens = closes + timedelta(minutes=self.random.randint(1, 3))
        return f"{opens:%H:%M}-{closes:%H:%M}"

    def _with_disks(self, settings: Settings) -> Settings:
        """Give some folders disks of their own, of one kind or another."""
        disks, homes = self._own_disks(settings)
        random = self.random
        if disks.get("in") in ("ext4", "btrfs", "fuse.mergerfs"):
            if random.random() < 0.5:
                homes["state"] = "in"
            if random.random() < 0.3:
                homes["out"] = "in"
        elif random.random() < 0.2:
            disks["state"] = random.choice(["ext4", "btrfs"])
            homes["state"] = "state"
        if homes.get("out") != "out":
            disks.pop("out", None)
        if self._is("nested disk", 0.12):
            disks["waves"] = "ext4"
        return replace(settings, disks=tuple(disks.items()), homes=tuple(homes.items()))

    def _own_disks(self, settings: Settings) -> tuple[dict[str, str], dict[str, str]]:
        """Return disks with their kinds, and roles with their disks."""
        random = self.random
        disks: dict[str, str] = {}
        homes: dict[str, str] = {}
        for role in settings.roles:
            if role in ("in", "in2", "out", "out2", "finals") and random.random() < 0.55:
                disks[role] = random.choice(_KINDS["in" if role.startswith("in") else "out"])
                if "union" in self.without:
                    disks[role] = disks[role].replace("fuse.mergerfs", "ext4")
                homes[role] = role
        return disks, homes
