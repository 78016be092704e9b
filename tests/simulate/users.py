"""Users of a world: what they do with files and jobs, and what they are owed for it."""

import json
import os
import shutil
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Literal

from tests.simulate import wiring
from tests.simulate.contents import PICTURES, SIZES, Content, Token
from tests.simulate.disks import Disk
from tests.simulate.expected import Key, Pair, folded, pairs
from tests.simulate.laws import BACKOFF, ViolationError
from tests.simulate.plan import CARD, DAY, After, Inbox

if TYPE_CHECKING:
    from tests.simulate.world import World

Script = Iterator[float]
"""A deed in several steps: yields the seconds until the next one."""

_OLD = 1_100_000_000 * 10**9
_NAMES = ("sea", "IMG_1", "Café", "Übung", "waves", "sea 2", "Holiday")
_STRANGERS = ("notes.txt", "README.md", "film.srt", "raw.xmp", "list.csv")
_CONFLICTS = (
    "style.sync-conflict-20310301-120000-ABCDEFG.jpg",
    "content.sync-conflict-20310301-120000-ABCDEFG.jpg",
    "style (conflicted copy 2031-03-01 120000).jpg",
)

_CLAIMS = (
    ".stylewatch/0f1e2d3c/20310301T120000.000000-abcdef/content.jpg",
    ".stylewatch-0f1e2d3c-20310301T120000.000000-abcdef-content.jpg",
)
"""Files that the daemon of another machine has claimed in an inbox that both have."""


NOTICED_AFTER = 2.5
"""Seconds after a change from which another one of the same size has another time (law 3)."""

ONCE_WAITS = 2.5
"""Least number of seconds for which a run with `--once` waits for the rest of a file."""

ANSWERED_WITHIN = 5.0
"""Seconds after which the page gives up a try that the daemon has not begun."""

TRIED_WITHIN = 300.0
"""Seconds within which a photograph is shown in every style, while nothing disturbs it."""

SEEN_WITHIN = 45.0
"""Seconds of quiet within which the daemon reads what is in an inbox."""

_COMPOSED, _DECOMPOSED = (
    partial(unicodedata.normalize, "NFC"),
    partial(unicodedata.normalize, "NFD"),
)


BY_PATH = ("placed", "stays", "shared", "left_out", "taken_at", "claims", "pairs", "behind")
"""Attributes of Users that describe files by their paths."""


@dataclass
class Drop:
    """Files that were dropped together: contents by paths with `{name}` in them."""

    inbox: Inbox
    name: str
    files: dict[str, Content]
    left_out: frozenset[str] = frozenset()
    """Paths of clips of live photos."""
    stays: frozenset[str] = frozenset()
    """Paths of files that several jobs share."""
    before: dict[str, Content] = field(default_factory=dict)
    """Contents of files before they were edited."""

    def paths(self, folder: str) -> dict[str, Content]:
        """Return the contents by their paths in the inbox at `folder`."""
        return {f"{folder}/{self.at(path)}": content for path, content in self.files.items()}

    def at(self, path: str) -> str:
        """Return a path in the inbox."""
        return path.replace("{name}", self.name)


@dataclass
class Submission:
    """A pair that a user has submitted, and the command that waits for its end."""

    drop: Drop
    follower: wiring.Follower
    before: frozenset[str]
    """Ids of the jobs that were there before it."""
    tokens: frozenset[Token]
    """Contents of its files."""
    job: str = ""
    """Id of the latest job that the follower has named."""
    said: str = ""
    """The end that the follower has printed; empty while it waits."""


@dataclass
class Presence:
    """How often a key was in inboxes whose files stay, and since when."""

    since: float
    gone_since: float | None = None
    """When it was removed before."""


@dataclass(frozen=True)
class Written:
    """The file of the settings, as it was written last, and when it was written or asked for."""

    quiet_s: float = 0.0
    away: frozenset[str] = frozenset()
    """Names of the inboxes that it lacks."""
    after: Mapping[str, After] = field(default_factory=dict)
    """The `after` of each inbox in which it has changed."""
    is_wrong: bool = False
    since: float = 0.0


@dataclass
class Users:
    """The users of a world, and the account of what they have dropped."""

    world: "World"
    settings: Written = field(default_factory=Written)
    submissions: list[Submission] = field(default_factory=list)
    in_force_since: float = 0.0
    """When the latest daemon has read its settings."""
    unwatched: frozenset[str] = frozenset()
    """Names of the inboxes that these lack."""
    changed: dict[str, After] = field(default_factory=dict)
    """The `after` that is in force for each inbox in which it has changed."""
    changed_at: dict[str, float] = field(default_factory=dict)
    """When each of these came into force."""
    had_after: set[After] = field(default_factory=set)
    """All values of `after` that were ever in force."""
    staying: set[Pair] = field(default_factory=set)
    """The pairs, in inboxes whose files leave now, that may have been painted while files stayed
    there, and that no user has changed since."""
    known: set[Pair] = field(default_factory=set)
    """The pairs of `staying` that certainly were painted while files stayed."""
    returned_at: dict[str, float] = field(default_factory=dict)
    """When inboxes came back into the settings in force, by their names."""
    drops: list[Drop] = field(default_factory=list)
    placed: dict[str, Content] = field(default_factory=dict)
    """Whole files in the inboxes."""
    placed_at: dict[str, float] = field(default_factory=dict)
    """When a user last wrote or moved a file to each path."""
    stays: dict[str, bytes] = field(default_factory=dict)
    """Files that the daemon must not touch."""
    left_out: set[str] = field(default_factory=set)
    shared: set[str] = field(default_factory=set)
    """Files of albums that several jobs share."""
    taken: defaultdict[Token, list[int]] = field(default_factory=lambda: defaultdict(list))
    """The files with a content that left the inboxes without a user, in order: jobs of each."""
    taken_at: set[str] = field(default_factory=set)
    """Paths from which files left, and at which there is none since."""
    restored_at: float = 0.0
    """When the state folder was restored; jobs have other ids since."""
    claims: dict[str, float] = field(default_factory=dict)
    """When the last claim of each path began, which may wait for a disk."""
    begun: set[str] = field(default_factory=set)
    """Ids of the jobs of all claims; one that the ledger has lost is entered anew."""
    counted: set[str] = field(default_factory=set)
    """Ids of those jobs."""
    slow: set[Token] = field(default_factory=set)
    """Contents that were written in parts."""
    late: set[Token] = field(default_factory=set)
    """Contents that were completed after their files had been taken."""
    allowed: Counter[Key] = field(default_factory=Counter)
    """How often a pair may be painted at most."""
    retried: Counter[Token] = field(default_factory=Counter)
    """How often a retry of a job with a content was asked for."""
    given_up: set[Token] = field(default_factory=set)
    """Contents of jobs that were canceled or deleted."""
    presences: dict[Key, Presence] = field(default_factory=dict)
    ever_paired: set[str] = field(default_factory=set)
    """Files that were part of a complete pair at some time."""
    touched_at: dict[str, float] = field(default_factory=dict)
    """When a user last changed something in an inbox, by its name."""
    pairs: dict[str, list[tuple[float, Pair]]] = field(default_factory=dict)
    """The whole pairs by their main files, and since when each is there."""
    behind: dict[str, str] = field(default_factory=dict)
    """Files whose pairs were taken, which must leave too, and their main files."""
    library: dict[str, Content] = field(default_factory=dict)
    ever_styles: set[Token] = field(default_factory=set)
    tokens_at: dict[str, set[Token]] = field(default_factory=dict)
    """Contents that were at a path in an inbox."""
    stories: dict[Token, tuple[float, str]] = field(default_factory=dict)
    """What a user did last with a content, and when."""
    deleted: set[str] = field(default_factory=set)
    """Ids of the jobs whose deletion was asked for."""
    trashed: set[str] = field(default_factory=set)
    favorites: set[str] = field(default_factory=set)
    """Ids of the jobs that are to be in the trash, and of those that are to be favorites."""
    trashed_at: dict[str, float] = field(default_factory=dict)
    """When the jobs in the trash were last moved there."""
    outlived: set[str] = field(default_factory=set)
    """Ids of the jobs that were in the trash for their days, and that may be gone."""
    styles_to_learn: list[Content] = field(default_factory=list)
    """The styles of albums and pairs with `learn: true`."""
    _plain: Mapping[str, str] = field(default_factory=dict)
    """The style in a library that only visitors of the page use."""
    removed_styles: set[Token] = field(default_factory=set)
    """Styles that left the library; a claim that was just being made may still have them."""
    grabs: int = 0
    """Number of results that are to be taken away as soon as they appear."""
    finals_taken: set[str] = field(default_factory=set)
    """Paths of pictures that a user removed from the finals folder."""
    without_final: set[str] = field(default_factory=set)
    """Ids of the jobs whose end was asked for, or whose output was taken away before its final was
    certainly linked."""
    came_in_time: dict[Token, set[Token]] = field(default_factory=dict)
    """Parts that came before a file of their pair could be renamed, by its content."""
    doomed: set[Token] = field(default_factory=set)
    """Contents of those jobs, which may go while they are still written (law 1)."""
    _card: dict[Inbox, dict[str, Any]] = field(default_factory=dict)
    """Files on the other card of an inbox: the attributes named in BY_PATH, for that card."""
    ignored: dict[str, float] = field(default_factory=dict)
    """Names that `watch.ignore` has or had, and until when: from restart to restart."""
    has_restored: bool = False
    """True once the state folder was restored from a backup."""
    writing: int = 0
    """Number of files that are being written."""
    _numbers: int = 0
    _seen: set[tuple[Token, Inbox]] = field(default_factory=set)
    """Contents that the daemon has certainly seen in an inbox before they were edited."""
    _out_of_sight: set[str] = field(default_factory=set)
    """Main files that came to inboxes which did not answer."""

    # -- the account

    def pairs_in(self, inbox: Inbox) -> list[Pair]:
        """Return the pairs of an inbox by their whole paths, wherever its disk is."""
        folder = self.world.path(inbox.name)
        spot = self.world.disks.spot(folder)
        bytes_ = _files(spot)
        settings, disks = self.world.plan.settings, self.world.disks
        if settings.has_card and inbox.name == "in" and not disks.by_name[CARD].is_there:
            card = _files(disks.spot(settings.root(CARD)))
            bytes_ = {f"{CARD}/{path}": data for path, data in card.items()}
            bytes_ |= {path: data for path, data in _files(spot).items() if path not in bytes_}
        files = {path: self.world.contents.of(data) for path, data in bytes_.items()}
        left_out = {path.removeprefix(f"{folder}/") for path in self.left_out}
        found = pairs(files, self.library.values(), left_out)
        return [
            replace(
                pair,
                main=f"{folder}/{pair.main}",
                files=tuple(f"{folder}/{path}" for path in pair.files),
            )
            for pair in found
        ]

    def _whole(self, *, keep: bool) -> list[Pair]:
        """Return the whole pairs of the inboxes whose files stay, or leave."""
        found = []
        for inbox in self.world.plan.settings.inboxes:
            if self.keeps(inbox) is keep:
                for pair in self.pairs_in(inbox):
                    self.ever_paired.update(pair.files)
                    found += [pair] if pair.is_whole else []
        return found

    def _count(self, *, keep: bool) -> Counter[Key]:
        hidden = self.hidden_pairs if keep else ()
        pairs = (*self._whole(keep=keep), *hidden)
        return Counter(pair.key for pair in pairs if pair not in self.staying)

    @property
    def hidden_pairs(self) -> list[Pair]:
        """The pairs that stay in an inbox on cards in whose place another one is."""
        cards = [card for inbox, card in self._card.items() if inbox.after == "keep"]
        return [pair for card in cards for each in card["pairs"].values() for _, pair in each]

    @property
    def hidden_tokens(self) -> set[Token]:
        """The contents that stay in an inbox on such cards."""
        cards = [card for inbox, card in self._card.items() if inbox.after == "keep"]
        return {content.token for card in cards for content in card["placed"].values()}

    def add_card(self, inbox: Inbox, *, is_copy: bool) -> None:
        """Prepare another card for an inbox that is away: an empty one, or a copy."""
        disk = self.world.disks.home_of(self.world.path(inbox.name))
        spot, spare = self.world.disks.spot(disk.root), self.world.disks.spare(disk)
        self._card[inbox] = self._known_of(inbox) if is_copy else self._known_of(None)
        if is_copy:
            shutil.copytree(spot, spare)
        else:
            Path(spare).mkdir()

    def exchange(self, inbox: Inbox) -> None:
        """Let another card take the place of that in an inbox."""
        known, other = self._known_of(inbox), self._card[inbox]
        for name in BY_PATH:
            mine = getattr(self, name)
            for path in known[name]:
                mine.discard(path) if isinstance(mine, set) else mine.pop(path)
            mine.update(other[name])
        self._card[inbox] = known
        self.touched_at[inbox.name] = self.world.times.now

    def learn_styles(self, inbox: Inbox) -> None:
        """Account for what became of the library while a card was away: it has other pairs now."""
        folder, now = f"{self.world.path(inbox.name)}/", self.world.times.now
        mine = [main for main in self.pairs if main.startswith(folder)]
        known = {pair: since for main in mine for since, pair in self.pairs.pop(main)}
        numbers = Counter(pair.key for pair in known)
        for pair in (pair for pair in self.pairs_in(inbox) if pair.is_whole):
            self.ever_paired.update(pair.files)
            self.pairs.setdefault(pair.main, []).append((known.get(pair, now), pair))
            if numbers[pair.key] == 0:
                self.allowed[pair.key] += 1
                self.presences.setdefault(pair.key, Presence(now))

    def _known_of(self, inbox: Inbox | None) -> dict[str, Any]:
        """Return what is known by path of the files in an inbox; None is for none."""
        folder = f"{self.world.path(inbox.name)}/" if inbox else "none"
        return {
            name: {path for path in mine if path.startswith(folder)}
            if isinstance(mine := getattr(self, name), set)
            else {path: each for path, each in mine.items() if path.startswith(folder)}
            for name in BY_PATH
        }

    @contextmanager
    def changing(self, *inboxes: Inbox) -> Iterator[None]:
        """Account for what a user changes in inboxes or in the library."""
        before = self._count(keep=False), self._count(keep=True)
        known_before = self._in_sight()
        self.world.see()  # what left the inboxes before
        files = dict(self.placed)
        yield
        dropped, kept = self._whole(keep=False), self._whole(keep=True)
        now = self.world.times.now
        if self.unwatched or not self.world.daemon.is_up:  # it sees no absence
            self.world.disturbances.all.append(now)
        self.staying.intersection_update(dropped)
        self.known &= self.staying
        new = Counter(pair.key for pair in dropped if pair not in self.staying)
        for key, number in new.items():
            self.allowed[key] += max(0, number - before[0][key])
        keys = {pair.key for pair in (*kept, *self.hidden_pairs)}
        for key in keys - before[1].keys():
            presence = self.presences.get(key)
            gone = presence.gone_since if presence else None
            self.presences[key] = Presence(now, gone)
        for key in keys - before[1].keys() | self._in_sight() - known_before:
            self.allowed[key] += 1
        edited = {each.token for path, each in files.items() if self.placed.get(path, each) != each}
        for key in before[1].keys() - keys:
            is_edited = bool(key.tokens & edited)  # its contents stay known
            self.presences[key].gone_since = None if is_edited else now
        known = {pair: since for pairs in self.pairs.values() for since, pair in pairs}
        self.pairs = {}
        for pair in (*dropped, *kept):
            self.pairs.setdefault(pair.main, []).append((known.get(pair, now), pair))
        for inbox in inboxes or self.world.plan.settings.inboxes:
            self.touched_at[inbox.name] = now
        self.world.later(0.01, self.world.daemon.file_event)

    def _in_sight(self) -> set[Key]:
        """Return the pairs in inboxes whose files stay that the daemon can know of.

        It knows nothing of a pair that came to an inbox which did not answer meanwhile, or which
        the settings lacked, nor of one whose name is ignored.
        """
        faults, disturbances = self.world.faults, self.world.disturbances
        settings, kept = self.world.plan.settings, self._whole(keep=True)
        away = {fault.disk for fault in faults.active if fault.is_absence}
        for inbox in settings.inboxes:
            folder, disk = f"{self.world.path(inbox.name)}/", settings.disk_of(inbox.name)
            mains = {pair.main for pair in kept if pair.main.startswith(folder)}
            last = max(disturbances.last.get(disk, 0.0), self.returned_at.get(inbox.name, 0.0))
            if disk in away or inbox.name in self.unwatched:
                self._out_of_sight |= mains - self.pairs.keys()
            elif self.world.times.now - last > BACKOFF:
                self._out_of_sight -= mains
        ignored = {*self.names_ignored}
        return {
            pair.key
            for pair in kept
            if pair.main not in self._out_of_sight and ignored.isdisjoint(pair.main.split("/"))
        }

    def allow_put_back(self, path: str, *, again: bool = False) -> None:
        """Allow the pairs that a user changed while a file was away, which has been put back."""
        for inbox in self.world.plan.settings.inboxes:
            for pair in () if self.keeps(inbox) else self.pairs_in(inbox):
                if path in pair.files and pair.is_whole and (again or not self.allowed[pair.key]):
                    self.allowed[pair.key] += 1
                    self.ever_paired.update(pair.files)

    def claim_begins(self, job_id: str, paths: Iterable[str]) -> None:
        """Note when the claim of the files of a job begins."""
        if job_id not in self.begun:
            self.begun.add(job_id)
            self.claims.update(dict.fromkeys(paths, self.world.times.now))

    # -- files

    def _tell(self, what: str, *contents: Content) -> None:
        for content in contents:
            self.stories[content.token] = self.world.times.now, what

    def _register(self, drop: Drop) -> None:
        """Note the files of a new drop that several jobs share, or that are left out."""
        self.drops.append(drop)
        folder = self.world.path(drop.inbox.name)
        self.shared -= {f"{folder}/{drop.at(path)}" for path in drop.files}  # what was there
        self.shared.update(f"{folder}/{drop.at(path)}" for path in drop.files.keys() & drop.stays)
        clips = drop.files.keys() & drop.left_out
        self.left_out.update(f"{folder}/{drop.at(path)}" for path in clips)

    def _write(self, path: str, content: Content, *, old: bool = False) -> None:
        """Write a whole file."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(content.data)
        self.world.seam.user_wrote(path, _OLD + content.token * 10**9 if old else None)
        self._place(path, content)

    def _place(self, path: str, content: Content) -> None:
        self.placed[path] = content
        self.placed_at[path] = self.world.times.now
        self.staying = {pair for pair in self.staying if path not in pair.files}
        self.taken_at.discard(path)
        self.behind.pop(path, None)
        self.tokens_at.setdefault(path, set()).add(content.token)
        if path in self.left_out:
            self.stays[path] = content.data

    def _unlink(self, path: str) -> None:
        Path(path).unlink()
        self._forget(path)

    def _inboxes(self) -> list[Inbox]:
        """Return the inboxes that users can write to."""
        disks, settings = self.world.disks, self.world.plan.settings
        return [
            inbox
            for inbox in settings.inboxes
            if disks.by_name[settings.disk_of(inbox.name)].is_there
        ]

    def _present(self, drop: Drop) -> dict[str, str]:
        """Return those files of a drop that are still as they were dropped: paths by their own."""
        folder = self.world.path(drop.inbox.name)
        found = {}
        for path, content in drop.files.items():
            whole = f"{folder}/{drop.at(path)}"
            if self.placed.get(whole) is content and _read(whole) == content.data:
                found[path] = whole
        return found

    def _choose(self, random: Random, *, whole: bool = False) -> Drop | None:
        """Return a drop that is still there, at least in part."""
        inboxes = self._inboxes()
        drops = [
            drop
            for drop in self.drops
            if drop.inbox in inboxes and (present := self._present(drop))
            if not (whole or drop.left_out) or len(present) == len(drop.files)
        ]
        return random.choice(drops) if drops else None

    def _name(self, random: Random, shape: str, inbox: Inbox) -> str:
        """Return a name that no file in an inbox has, but perhaps had."""
        names = [name for name in _NAMES if name != "waves" or shape == "album"]
        name = random.choice(names)
        settings, on_card = self.world.plan.settings, shape not in ("lone", "live")
        if settings.has_card and inbox.name == "in" and on_card and random.random() < 0.6:
            self._numbers += 1
            if self._can_write(settings.root(CARD)):
                return f"{CARD}/{name}{self._numbers}"
        if random.random() < 0.7 or self._is_used(inbox, name):
            self._numbers += 1
            name = f"{name}{self._numbers}"
        return name

    def _is_used(self, inbox: Inbox, name: str) -> bool:
        """Return whether an inbox has files of this name, or a folder.

        Files dropped there would change another pair, which may have been claimed.
        """
        path = Path(self.world.path(inbox.name), name)
        there = (folded(each.name) for each in path.parent.glob("*"))
        is_there = self._can_write(str(path))
        return not is_there or any(each.partition(".")[0] == folded(path.name) for each in there)

    # -- deeds

    def do(self, what: str, random: Random) -> Script:
        """Do something; yields pauses."""
        deeds: Mapping[str, Callable[[Random], Script]] = {
            "drop": self._drop,
            "again": self._again,
            "edit": self._edit,
            "remove": self._remove,
            "rename": self._rename,
            "move": self._move,
            "copy": self._copy,
            "add yaml": self._add_yaml,
            "add style": self._add_style,
            "library": self._library,
            "stranger": self._stranger,
            "debris": self._debris,
            "cancel": partial(self._request, "cancel"),
            "finish": partial(self._request, "finish"),
            "retry": partial(self._request, "retry"),
            "delete": partial(self._request, "delete"),
            "pause": partial(self._leave, "pause"),
            "resume": partial(self._leave, "resume"),
            "restart": self._restart,
            "once": self._run_once,
            "undo": self._undo,
            "take": self._take,
            "off": self._off,
            "grab": self._grab,
            "ignore": self._ignore,
            "restore": self._restore,
            "write on": self._write_on,
            "forge": self._forge,
            "reload": self._reload,
            "submit": self._submit,
            "trash": partial(self._mark, "trash", "restore", self.trashed),
            "try": self._try,
            "learn": self._learn,
            "deny": self._deny,
            "nested": self._nest,
            "leave": self._take_from_settings,
            "pick": self._pick,
            "clone": self._clone,
            "after": self._change_after,
            "favorite": partial(self._mark, "favorite", "unfavorite", self.favorites),
        }
        return deeds[what](random)

    def _if(self, detail: str, chance: float) -> float:
        """Return a chance, which is zero in a world without a detail."""
        return 0.0 if detail in self.world.plan.settings.without else chance

    def _picture(self, random: Random) -> Content:
        return self.world.contents.new(random.choice(PICTURES), random.choice(SIZES))

    def _drop(self, random: Random) -> Script:
        if not (inboxes := self._inboxes()):
            return
        drop = self._new_drop(random, random.choice(inboxes))
        self._register(drop)
        folder = self.world.path(drop.inbox.name)
        how = random.choices(
            ["at once", "spaced", "part", "slow", "reopened", "empty first", "old"],
            [6, 3, 2, self._if("half", 3), self._if("half", 1), self._if("empty first", 1), 2],
        )[0]
        self.world.note(f"user: drops {self._told(drop)} ({how})")
        paths = [*drop.paths(folder).items()]
        if not drop.left_out:  # else the photograph comes before its clip
            random.shuffle(paths)
        if how in ("at once", "old"):
            with self.changing(drop.inbox):
                for path, content in paths:
                    self._write(path, content, old=how == "old")
        else:
            yield from self._drop_one_by_one(random, drop, paths, how)

    def _learn(self, random: Random) -> Script:
        """Drop an album, or a pair, whose style is to be learned; some albums grow."""
        if not (inboxes := self._inboxes()):
            return
        inbox, contents = random.choice(inboxes), self.world.contents
        name, style = self._name(random, "album", inbox), self._picture(random)
        if self.styles_to_learn and random.random() < 0.4:
            style = random.choice(self.styles_to_learn)
        self.styles_to_learn.append(style)
        yaml = contents.new("yaml", learns=True)
        files = {f"{{name}}/style.{style.kind}": style, "{name}/job.yaml": yaml}
        stays = frozenset(files)
        is_album = random.random() < 0.7
        are_odd = Random(f"odd {random.getrandbits(32)}").random() < 0.3
        for number in range(random.choice([1, 2, 4, 16]) if is_album else 1):
            content = self._picture(random)
            while (are_odd or random.random() < 0.2) and not content.is_odd:
                content = self._picture(random)
            files[f"{{name}}/{f'p{number}' if is_album else 'content'}.{content.kind}"] = content
        drop = Drop(inbox, name, files, stays=stays if is_album else frozenset())
        self._register(drop)
        self.world.note(f"user: drops {self._told(drop)} to learn")
        with self.changing(inbox):
            for path, content in drop.paths(self.world.path(inbox.name)).items():
                self._write(path, content)
        for number in range(random.choice([0, 1, 4]) if is_album else 0):
            yield random.choice([1.0, 15.0, 40.0, 200.0])
            is_there = inbox in self._inboxes() and stays <= self._present(drop).keys()
            if self.world.is_at_rest or not is_there:
                return
            content = self._picture(random)
            self._add(drop, f"{{name}}/more{number}.{content.kind}", content)

    def _deny(self, random: Random) -> Script:
        """Drop a pair of which one file cannot be renamed for minutes, and add files meanwhile.

        No other deed touches it. Whatever is painted of it has the files that came in time.
        """
        inboxes = [inbox for inbox in self._inboxes() if not self.keeps(inbox)]
        if not inboxes:
            return
        inbox = random.choice(inboxes)
        content, style = self._picture(random), self._picture(random)
        files = {f"{{name}}/content.{content.kind}": content, f"{{name}}/style.{style.kind}": style}
        drop = Drop(inbox, self._name(random, "folder", inbox), files)
        folder = self.world.path(inbox.name)
        paths = drop.paths(folder)
        path = random.choice([*paths])
        paths |= self._beside(Random(f"other {random.getrandbits(32)}"), f"{folder}/{drop.name}")
        self.came_in_time[content.token] = set()
        lasts = self.world.faults.deny(path, random.uniform(60, 300))
        self.world.note(f"user: drops {self._told(drop)}, which may not be renamed")
        with self.changing(inbox):
            for each_path, each in paths.items():
                self._write(each_path, each)
        for _ in range(random.choice([1, 2])):
            yield random.uniform(1, 100)
            disk = self.world.disks.home_of(path)
            is_there = inbox in self._inboxes() and disk.is_there and not disk.is_hung
            if self.world.is_at_rest or not (lasts() and is_there and Path(path).exists()):
                return
            second = self._picture(random)
            name = random.choice(["job.yaml", f"style-2.{second.kind}"])
            if any(each.startswith(f"{{name}}/{name.partition('.')[0]}") for each in drop.files):
                continue
            part = second if name.startswith("style") else self.world.contents.new("yaml")
            self._add(drop, f"{{name}}/{name}", part)
            # the rest of the pair may have been moved
            self.ever_paired.add(f"{folder}/{drop.name}/{name}")
            self.came_in_time.setdefault(content.token, set()).add(part.token)

    def _beside(self, random: Random, folder: str) -> dict[str, Content]:
        """Return, perhaps, a picture beside a pair in a folder, which is no part of it."""
        if random.random() < 0.5:
            return {}
        content = self._picture(random)
        path = f"{folder}/other.{content.kind}"
        self.left_out.add(path)
        return {path: content}

    def _nest(self, random: Random) -> Script:
        """Drop an album in which a folder has a pair of its own, and a picture beside that.

        No other deed touches it. The picture beside the pair is not painted, also if a file of the
        pair cannot be renamed for a while. The album gets more pictures meanwhile.
        """
        if not (inboxes := self._inboxes()):
            return
        inbox = random.choice(inboxes)
        names = ["style", "p0", "job/content", "job/style", "job/other"]
        pictures = {name: self._picture(random) for name in names}
        files = {f"{{name}}/{name}.{each.kind}": each for name, each in pictures.items()}
        drop = Drop(inbox, self._name(random, "album", inbox), files)
        folder = f"{self.world.path(inbox.name)}/{drop.name}"
        self.world.note(f"user: drops {self._told(drop)}, an album with a pair")
        paths = drop.paths(self.world.path(inbox.name))
        if not self.keeps(inbox) and random.random() < 0.5:
            is_job = [
                path
                for path in paths
                if path.startswith((f"{folder}/job/content", f"{folder}/job/style"))
            ]
            self.world.faults.deny(random.choice(is_job), random.uniform(10, 100))
        with self.changing(inbox):
            for path, content in paths.items():
                if path.startswith(f"{folder}/job/other."):
                    self.left_out.add(path)
                if path.startswith(f"{folder}/style."):
                    self.shared.add(path)
                self._write(path, content)
        for number in range(random.randint(1, 4)):
            yield random.uniform(0.5, 6)
            if self.world.is_at_rest or not (inbox in self._inboxes() and self._can_write(folder)):
                return
            content = self._picture(random)
            path = f"{folder}/more{number}.{content.kind}"
            with self.changing(inbox):
                self._write(path, content)

    def _submit(self, random: Random) -> Script:
        """Submit a pair as commands and the page do, wherever the disk of the inbox is.

        Some submit known contents, under a known name, several times, or to several inboxes. New
        settings for an inbox are in force by then.
        """
        world, wanted = self.world, self.wanted
        watched = [each for each in world.plan.settings.inboxes
                   if wanted.get(each.name, "") == self.in_force.get(each.name)]  # fmt: skip
        if world.seam.is_dead or not (watched and world.daemon.is_first_start_over):
            return
        inboxes = [random.choice(watched)]
        content, style = self._picture(random), self._picture(random)
        name, times = self._name(random, "lone", inboxes[0]), 1
        random = Random(f"known {random.getrandbits(32)}")
        known = [(drop, *found) for drop in self.drops if (found := self._pictures_of(drop))]
        if known and random.random() < 0.6:
            old, content, styles = random.choice(known)
            style, times = (*styles, style)[0], random.choice([1, 1, 2, 3])
            name = random.choice([name, old.name.rpartition("/")[2]])
            inboxes = random.choice([inboxes, watched])
        files = {f"content.{content.kind}": content, f"style.{style.kind}": style}
        mine = [each for inbox in inboxes for each in self._put(inbox, name, files, times)]
        self.submissions += mine
        began = world.times.now
        while waiting := [each for each in mine if not each.said]:
            yield random.choice([1.0, 4.0] if world.times.now - began < 60 else [4.0, 15.0])
            for submission in waiting if not world.seam.is_dead else ():
                try:
                    submission.said = submission.follower.look()
                except Exception as error:
                    kind = f"a follower ends with {type(error).__name__}"
                    raise ViolationError(7, kind, f"{submission.drop.name}: {error}") from error
                submission.job = submission.follower.job or submission.job
                world.laws.check_follower(submission)

    @property
    def followed(self) -> list[Submission]:
        """The submissions whose followers wait; none for a ledger that has forgotten jobs."""
        waiting = [each for each in self.submissions if not each.said]
        return [] if self.has_restored else waiting

    def _pictures_of(self, drop: Drop) -> tuple[Content, list[Content]] | None:
        """Return the photograph and the styles of a drop, without those that another deed owns."""
        pictures = {path: each for path, each in drop.files.items() if each.kind in PICTURES}
        styles = [each for path, each in pictures.items() if "style" in folded(path)]
        mains = [each for path, each in pictures.items()
                 if not ("style" in folded(path) or ".mask." in path)]  # fmt: skip
        is_ours = mains and mains[0].token not in self.came_in_time
        return (mains[0], styles) if is_ours else None

    def _put(
        self, inbox: Inbox, name: str, files: Mapping[str, Content], times: int
    ) -> Iterator[Submission]:
        """Put a pair into an inbox so many times, as a command does, and account for it."""
        world, folder = self.world, self.world.path(inbox.name)
        disk, state = world.disks.home_of(folder), Path(world.path("state"))
        before = frozenset(job.id for job in wiring.jobs(state))
        drops = list[Drop]()
        self._tell("is submitted", *files.values())
        with self.changing(inbox):
            is_kept = self.keeps(inbox)
            names = wiring.submit(world, inbox, name, files, times, is_kept=is_kept)
            if names and not disk.is_there and disk.root in world.snapshot.ever_met:
                raise ViolationError(2, "submitted below the mount point", f"{folder}/{names}")
            own = {f"{{name}}/{path}": each for path, each in files.items()}
            for given in names:
                drop = Drop(inbox, given, {**own})
                if data := _read(f"{folder}/{given}/job.yaml"):
                    drop.files["{name}/job.yaml"] = world.contents.own("yaml", data)
                if not disk.is_there:  # the daemon may find it before the disk
                    content, style, *yaml = (each.token for each in drop.files.values())
                    self.allowed[Key(content, (style,), 0, *yaml)] += 1
                    continue
                drops.append(drop)
                self._register(drop)
                for path, each in drop.paths(folder).items():
                    self._place(path, each)
        told = ", ".join(map(self._told, drops))
        world.note(f"user: submits {told}" if drops else f"user: cannot submit into {inbox.name}")
        for drop in drops:
            follower = wiring.Follower(world, inbox.name, drop.name)
            tokens = frozenset(content.token for content in drop.files.values())
            yield Submission(drop, follower, before, tokens)

    def touch(self, inboxes: Iterable[Inbox]) -> None:
        """Let the files of inboxes have the time of now, but for what is known by its time."""
        folders = tuple(f"{self.world.path(inbox.name)}/" for inbox in inboxes)
        for path in self.placed:
            is_there = path.startswith(folders) and Path(path).exists()  # it may just have left
            if is_there and path not in self.left_out:
                self.world.seam.user_wrote(path)

    def leave_pictures(self, name: str, *, is_marked: bool) -> None:
        """Let each inbox have an album with a picture that an earlier version painted and left.

        `name` is that of the album, with `{inbox}` for the name of its inbox.
        """
        for inbox in self.world.plan.settings.inboxes:
            album = f"{self.world.path(inbox.name)}/{name.replace('{inbox}', inbox.name)}"
            content, style = (self._picture(Random(f"{each} {inbox.name}")) for each in range(2))
            picture, of_style = (
                f"{album}/painted before.{content.kind}",
                f"{album}/style.{style.kind}",
            )
            self.left_out.add(picture)
            self.shared.add(of_style)
            self._write(picture, content)
            self._write(of_style, style)
            wiring.leave_out(self.world, inbox, picture, is_marked=is_marked)

    def rename_folders(self, inboxes: Iterable[Inbox]) -> None:
        """Rename these albums, whose pictures stay known (law 3)."""
        for inbox in inboxes:
            before, after = (f"{self.world.path(inbox.name)}/{name}/" for name in ("old", "older"))
            if Path(before).is_dir() and not Path(after).exists():
                with self.changing(inbox):
                    Path(before).rename(after)
                    for path in [path for path in self.placed if path.startswith(before)]:
                        mine = self.left_out if path in self.left_out else self.shared
                        content, now = self.placed[path], path.replace(before, after)
                        self._forget(path)
                        mine.add(now)
                        self._place(now, content)

    def _left_pictures(self, inbox: Inbox) -> list[str]:
        """Return the pictures of an inbox that an earlier version painted and left."""
        folder = f"{self.world.path(inbox.name)}/"
        return sorted(
            path
            for path in self.left_out & self.placed.keys()
            if path.startswith(folder) and self.placed[path].kind in PICTURES
        )

    def _pick(self, random: Random) -> Script:
        """Move a picture that was left out by itself into a new album beside its own.

        The daemon has seen the album before: else that may have been renamed.
        """
        seen = [each for each in self._inboxes() if self._has_been_seen(each)]
        found = [(each, path) for each in seen for path in self._left_pictures(each)]
        if not found:
            return
        inbox, path = random.choice(found)
        name = f"picked{self._numbers}"
        self._numbers += 1
        content, style = self.placed[path], self._picture(random)
        of_style = f"{{name}}/style.{style.kind}"
        files = {f"{{name}}/{Path(path).name}": content, of_style: style}
        drop = Drop(inbox, name, files, stays=frozenset({of_style}))
        self._register(drop)
        self.world.note(f"user: moves what was left out to {self._told(drop)}")
        self._tell("is moved", content)
        picture, beside = drop.paths(self.world.path(inbox.name))
        with self.changing(inbox):
            self._write(beside, style)
            Path(path).rename(picture)
            self._forget(path)
            self._place(picture, content)
        yield 0.0

    def _has_been_seen(self, inbox: Inbox) -> bool:
        """Return whether the daemon that runs has certainly scanned an inbox."""
        since = self.world.laws.quiet_since(inbox)
        is_watched = self.world.daemon.is_up and inbox.name not in self.unwatched
        return is_watched and since is not None and self.world.times.now - since > SEEN_WITHIN

    def _clone(self, random: Random) -> Script:
        """Copy an album from an inbox that leaves the settings, as `cp -a` does.

        It comes to the same path in another inbox, and the original stays.
        """
        inboxes = self.world.plan.settings.inboxes
        if self.settings.away or self.world.is_at_rest or len(inboxes) < 2:
            return
        inbox, other = random.sample(inboxes, 2)
        self._change_settings(random, f"takes {inbox.name} out of", away=frozenset({inbox.name}))
        yield random.choice([0.0, random.uniform(1, 60)])
        if {inbox, other} <= {*self._inboxes()} and not self.world.is_at_rest:
            self._copy_album(inbox, other, f"of {inbox.name}")
        yield random.uniform(20, 200)
        self.put_inboxes_back(random)

    def _copy_album(self, inbox: Inbox, other: Inbox, name: str) -> None:
        """Copy an album to another inbox; its files keep their times."""
        album = f"{self.world.path(inbox.name)}/{name}"
        files = {
            path: each for path, each in self.placed.items() if Path(path).parent == Path(album)
        }
        own = {f"{{name}}/{Path(path).name}": each for path, each in files.items()}
        drop = Drop(other, name, own, stays=frozenset(each for each in own if "style" in each))
        if not self._left_pictures(inbox) or self._is_used(other, name):
            return
        self._register(drop)
        self.world.note(f"user: copies an album of {inbox.name} to {self._told(drop)}")
        self._tell("is copied", *files.values())
        with self.changing(other):
            for path, target in zip(files, drop.paths(self.world.path(other.name)), strict=True):
                Path(target).parent.mkdir(exist_ok=True)
                shutil.copy2(path, target)
                self.world.seam.user_wrote(target, Path(path).stat().st_mtime_ns)
                self._place(target, files[path])

    def _drop_one_by_one(
        self, random: Random, drop: Drop, paths: list[tuple[str, Content]], how: str
    ) -> Script:
        """Write the files of a drop one after the other; one of them slowly, unless `spaced`."""
        slow = random.choice([path for path, content in paths if content.kind != "yaml"])
        if drop.left_out:
            slow = paths[1][0]
        disk = self.world.disks.home_of(slow)
        generation = disk.generation
        for path, content in paths:
            if not disk.is_there or disk.generation != generation:
                self.world.note("user: cannot write the rest")
                return
            if path == slow and how != "spaced":
                yield from self._write_slowly(random, drop.inbox, path, content, how)
            else:
                with self.changing(drop.inbox):
                    self._write(path, content)
            if how == "spaced":
                yield random.choice([0.1, 1.0, 3.0, 15.0])

    def _told(self, drop: Drop) -> str:
        files = ", ".join(
            f"{drop.at(path)} <{content.token}>" for path, content in drop.files.items()
        )
        return f"{files} into {drop.inbox.name}"

    def _new_drop(self, random: Random, inbox: Inbox) -> Drop:
        """Draw a drop of one of the shapes of docs/folders.md."""
        has_default = bool(self.library)
        shape = random.choices(
            ["folder", "flat", "album", "lone", "clip", "live"],
            [5, 2, 2, 4 * has_default, 1, self._if("live photo", 1.5) * has_default],
        )[0]
        name, picture = self._name(random, shape, inbox), self._picture
        left_out, stays = frozenset[str](), frozenset[str]()
        content, style = picture(random), picture(random)
        if shape == "album":
            stays = frozenset({f"{{name}}/style.{style.kind}"})
            files = {f"{{name}}/style.{style.kind}": style}
            for number in range(random.randint(1, 3)):
                content = picture(random)
                files[f"{{name}}/p{number}.{content.kind}"] = content
        elif shape == "lone":
            files = {f"{{name}}.{content.kind}": content}
        elif shape == "live":
            clip = self.world.contents.new("mp4")
            files = {f"{{name}}.{content.kind}": content, "{name}.mp4": clip}
            left_out = frozenset({"{name}.mp4"})
        else:
            if shape == "clip":
                content = self.world.contents.new("mp4")
            start = "{name}." if shape == "flat" else "{name}/"
            files = {f"{start}content.{content.kind}": content, f"{start}style.{style.kind}": style}
            if shape == "flat":
                files = self._spelled(random, name, files)
            files |= self._extras(random, start, shape)
        return Drop(inbox, name, files, left_out, stays)

    def _spelled(self, random: Random, name: str, files: dict[str, Content]) -> dict[str, Content]:
        """Spell the names of two files as some programs do: in NFD, or in capitals."""
        if not name.isascii():
            forms = [_COMPOSED, _COMPOSED]
            if self._if("NFD", 1):
                forms = random.choice(
                    [[_COMPOSED, _DECOMPOSED], [_DECOMPOSED, _COMPOSED], [_COMPOSED, _COMPOSED]]
                )
            files = {
                form(name) + path.removeprefix("{name}"): content
                for form, (path, content) in zip(forms, files.items(), strict=True)
            }
        if random.random() < 0.2:
            files = {_upper(path): content for path, content in files.items()}
        return files

    def _extras(self, random: Random, start: str, shape: str) -> dict[str, Content]:
        """Draw a second style, a mask, a job.yaml."""
        if shape == "flat":
            return {}
        files = {}
        if random.random() < 0.15:
            second = self._picture(random)
            files[f"{start}style-2.{second.kind}"] = second
        if random.random() < 0.1:
            files[f"{start}content.mask.png"] = self.world.contents.new("png")
        if random.random() < 0.15:
            files[f"{start}job.yaml"] = self.world.contents.new("yaml")
        return files

    def _write_slowly(
        self, random: Random, inbox: Inbox, path: str, content: Content, how: str
    ) -> Script:
        """Write a file in two parts, or under another name first."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        self.slow.add(content.token)
        self.tokens_at.setdefault(path, set()).add(content.token)
        longest = 3 * self._truncated_s
        pause = random.choice([random.uniform(0.2, 6), random.uniform(6, longest)])
        self.writing += 1
        try:
            if how == "part":
                yield from self._write_part(inbox, path, content, min(pause, 5.0))
            elif how == "slow":
                yield from self._write_in_parts(random, inbox, path, content, pause)
            else:
                half = b"" if how == "empty first" else content.cut(random)
                yield from self._write_again(inbox, path, content, half, pause)
        finally:
            self.writing -= 1

    def _write_part(self, inbox: Inbox, path: str, content: Content, pause: float) -> Script:
        """Write a file under another name, pause, and rename it."""
        part = f"{path}.part"
        with self.changing(inbox):
            Path(part).write_bytes(content.data)
            self.world.seam.user_wrote(part)
        yield pause
        if Path(part).exists():
            with self.changing(inbox):
                Path(part).rename(path)
                self._place(path, content)

    def _write_again(
        self, inbox: Inbox, path: str, content: Content, half: bytes, pause: float
    ) -> Script:
        """Write half of a file, pause, and write all of it anew.

        A clip that is left out is not written beside the pictures of another card.
        """
        self.world.contents.unfinished.add(half)
        with self.changing(inbox):
            Path(path).write_bytes(half)
            self.world.seam.user_wrote(path)
        is_clip = path in self.left_out
        yield pause
        if self._can_write(path) and (not is_clip or Path(path).exists()):
            with self.changing(inbox):
                self._write(path, content)
            self.world.note(f"user: has written the rest of <{content.token}>")

    def _can_write(self, path: str) -> bool:
        return self.world.disks.home_of(path).is_there

    def _write_in_parts(
        self, random: Random, inbox: Inbox, path: str, content: Content, pause: float
    ) -> Script:
        """Write half of a file, pause, and write the rest through the same handle."""
        seam, disk = self.world.seam, self.world.disks.home_of(path)
        half = content.cut(random)
        self.world.contents.unfinished.add(half)
        with self.changing(inbox):
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666)
            os.write(handle, half)
            seam.user_wrote(path)
        inode, generation = os.fstat(handle).st_ino, disk.generation
        seam.writers[inode] += 1
        try:
            yield pause
            if disk.generation != generation:
                self.world.note(f"user: cannot write the rest of <{content.token}>")
                return
            with self.changing(inbox):
                os.write(handle, content.data[len(half) :])
                seam.user_wrote(f"/proc/self/fd/{handle}")
                # the same may have been dropped again, once the file was taken
                is_there = Path(path).exists() and Path(path).stat().st_ino == inode
                if is_there:
                    self._place(path, content)
                elif content.token not in self.doomed and (
                    disk.kind.sees_writers or pause < 0.9 * self._truncated_s
                ):
                    self.taken[content.token].append(1)
                    self.late.add(content.token)
            where = "" if is_there else ", which is not at its place any more"
            self.world.note(f"user: has written the rest of <{content.token}>{where}")
        finally:
            seam.writers[inode] -= 1
            os.close(handle)

    def _write_on(self, random: Random) -> Script:
        """Let a program that had opened a file before its claim write to it in pieces, for long."""
        held = [*self._claimed_files()]
        if not held:
            return
        path, job_id, source = random.choice(sorted(held))
        seam, contents = self.world.seam, self.world.contents
        old = contents.of(_read(path) or b"")
        if old is None or seam.writers[Path(path).stat().st_ino]:
            return
        new = contents.like(old, same_size=random.random() < 0.5)
        self.world.note(f"user: a program writes <{new.token}> over {source.rpartition('/')[2]}")
        self.world.see()
        self._begin_late(old, new, source)
        handle, began = os.open(path, os.O_RDWR), self.world.times.now
        inode = os.fstat(handle).st_ino
        seam.writers[inode] += 1
        if random.random() < 0.5:
            seam.foreign.add(inode)
        try:
            yield from self._write_pieces(random, handle, new.data, self.world.disks.home_of(path))
            is_doomed = job_id in self.deleted | self.outlived  # the file may vanish at any moment
            is_known = not is_doomed and self.restored_at < began
            if is_known and os.pread(handle, len(new.data) + 1, 0) == new.data:
                self.world.note(f"user: has written <{new.token}>")
                self.taken[new.token].append(1)
        finally:
            seam.writers[inode] -= 1
            os.close(handle)

    def _begin_late(self, old: Content, new: Content, source: str) -> None:
        """Note that a taken content is written over by another one."""
        if self.taken[old.token]:
            self.taken[old.token].pop()
        self.slow |= {old.token, new.token}
        self.late |= {old.token, new.token}
        self.tokens_at.setdefault(source, set()).add(new.token)

    def _write_pieces(self, random: Random, handle: int, data: bytes, disk: Disk) -> Script:
        """Write over an opened file, with pauses so short that its job waits."""
        generation = disk.generation
        cuts = sorted(random.sample(range(1, len(data)), random.randint(1, 4)))
        for start, end in pairwise([0, *cuts, len(data)]):
            if disk.generation != generation:
                return
            os.pwrite(handle, data[start:end], start)
            if end == len(data):
                os.ftruncate(handle, end)
            self.world.seam.user_wrote(f"/proc/self/fd/{handle}")
            self.world.contents.unfinished.add(os.pread(handle, 1 << 16, 0))
            if end < len(data):
                yield random.uniform(0.1, 0.8) * self._truncated_s

    @property
    def _truncated_s(self) -> float:
        """Seconds for which the daemon surely waits for the rest of a file.

        A run with `--once` waits for less, whatever the settings say.
        """
        settings = self.world.plan.settings
        has_once = any(deed.what == "once" for deed in self.world.plan.deeds)
        return min(settings.truncated_s, ONCE_WAITS) if has_once else settings.truncated_s

    def _claimed_files(self) -> Iterator[tuple[str, str, str]]:
        """Yield the files that left inboxes: path, id of the job, and source of each."""
        disks, state = self.world.disks, self.world.path("state")
        for path in Path(state).glob("jobs/*/claim.json"):
            claim = json.loads(path.read_bytes())
            if claim["after"] == "keep" or claim["retry_of"] or claim["id"] in self.deleted:
                continue
            for file in (each for each in claim["files"] if each["own"]):
                source, disk = Path(file["source"]), disks.home_of(file["source"])
                held = f".stylewatch-*-{claim['id']}-{file['name']}"
                spots = [*Path(claim["inbox"], ".stylewatch").glob(f"*/{claim['id']}/**/*"),
                         *source.parent.glob(held)]  # fmt: skip
                own = [each for each in spots if each.name == source.name or each.match(held)]
                if not own and disk is disks.home_of(state) and not disk.kind.is_union:
                    own = [path.parent / "files" / file["name"]]
                yield from (
                    (str(spot), claim["id"], str(source))
                    for spot in own
                    if disk.is_there and spot.is_file()
                )

    def _forge(self, random: Random) -> Script:
        """Put a receipt of one's own into the folder of a job, which may have one."""
        settings, disks = self.world.plan.settings, self.world.disks
        folders = [
            folder
            for outbox in sorted({inbox.outbox for inbox in settings.inboxes})
            if disks.by_name[settings.disk_of(outbox)].is_there
            for folder in sorted(Path(self.world.path(outbox)).glob("[!._]*"))
            if folder.is_dir() and disks.home_of(str(folder)).is_there
            if f"{folder}/receipt.json" not in self.stays
        ]
        if folders:
            path = random.choice(folders) / "receipt.json"
            beside = path.with_name("receipt.new")
            self._numbers += 1
            beside.write_bytes(b'{"shop": "photo lab", "total": %d}\n' % self._numbers)
            self.world.see()
            self.world.seam.user_wrote(str(beside))
            beside.rename(path)
            self.stays[str(path)] = path.read_bytes()
            self.world.note(f"user: puts a receipt of a shop into {path.parent.name}")
        yield 0.0

    def _again(self, random: Random) -> Script:
        inboxes = self._inboxes()
        drops = [drop for drop in self.drops if drop.inbox in inboxes and not self._present(drop)
                 and not drop.left_out]  # fmt: skip
        if not drops:
            return
        old = random.choice(drops)
        inbox = random.choice([old.inbox, old.inbox, *inboxes])
        drop = Drop(inbox, old.name, dict(old.files), stays=old.stays)
        folder = self.world.path(inbox.name)
        if self._is_used(inbox, drop.name):
            return
        self._register(drop)
        self._tell("is dropped again", *drop.files.values())
        self.world.note(f"user: drops again {self._told(drop)}")
        with self.changing(inbox):
            for path, content in drop.paths(folder).items():
                self._write(path, content)
        yield 0.0

    def _edit(self, random: Random) -> Script:
        if (drop := self._choose(random)) is None:
            return
        present = {path: whole for path, whole in self._present(drop).items()
                   if path not in drop.left_out}  # fmt: skip
        if not present:
            return
        path = random.choice(sorted(present))
        age = self.world.times.wall() - Path(present[path]).stat().st_mtime
        same = random.random() < 0.5 and not 0 <= age < NOTICED_AFTER
        new = self.world.contents.like(drop.files[path], same_size=same)
        size = "the same size" if same else "another size"
        self.world.note(f"user: edits {drop.at(path)} to <{new.token}> with {size}")
        self._replace(random, drop, path, new)
        yield 0.0

    def _replace(self, random: Random, drop: Drop, path: str, new: Content) -> None:
        """Let a file that is there have another content."""
        whole = f"{self.world.path(drop.inbox.name)}/{drop.at(path)}"
        quiet = self.world.laws.quiet_since(drop.inbox)
        is_quiet = quiet is not None and self.world.times.now - quiet > SEEN_WITHIN
        if self.keeps(drop.inbox) and is_quiet and drop.inbox.name not in self.unwatched:
            self._seen.add((drop.files[path].token, drop.inbox))
        in_place = random.random() < 0.6
        self.world.note(f"user: saves {drop.at(path)} {'in place' if in_place else 'by a rename'}")
        with self.changing(drop.inbox):
            if in_place:
                self._write(whole, new)
            else:
                beside = f"{whole}.tmp"
                Path(beside).write_bytes(new.data)
                self.world.seam.user_wrote(beside)
                Path(beside).rename(whole)
                self._place(whole, new)
            drop.before[path], drop.files[path] = drop.files[path], new

    def _undo(self, random: Random) -> Script:
        """Let an edited file have its former bytes, which are known in an inbox where it stays."""
        inboxes = self._inboxes()
        edited = [(drop, path) for drop in self.drops if drop.inbox in inboxes
                  for path in self._present(drop) if path in drop.before]  # fmt: skip
        if edited:
            drop, path = random.choice(edited)
            old = drop.before[path]
            self.world.note(f"user: undoes the edit of {drop.at(path)}, to <{old.token}>")
            known = {key for key, presence in self.presences.items() if presence.gone_since is None}
            allowed = {key: self.allowed[key] for key in known if old.token in key.tokens}
            was_seen = (old.token, drop.inbox) in self._seen and self.keeps(drop.inbox)
            self._replace(random, drop, path, old)
            if was_seen:
                self.allowed = Counter({**self.allowed, **allowed})
        yield 0.0

    def _take(self, random: Random) -> Script:
        """Take a result away: remove it, or move it to another place in the outbox."""
        settings, disks = self.world.plan.settings, self.world.disks
        outboxes = {inbox.outbox for inbox in settings.inboxes}
        folders = [
            receipt.parent
            for outbox in sorted(outboxes)
            if disks.by_name[settings.disk_of(outbox)].is_there
            for receipt in sorted(Path(self.world.path(outbox)).glob("*/receipt.json"))
        ]
        finals = [*Path(self.world.path("finals")).glob("*.png")] if settings.has_finals else []
        if finals and random.random() < 0.3:
            final = random.choice(sorted(finals))
            if str(final) not in self.stays:
                self.world.note(f"user: removes {final.name} from the finals")
                jobs = wiring.jobs(Path(self.world.path("state")))
                # another job may get the name, after which the ledger lists nothing of this one
                self.without_final |= {job.id for job in jobs if str(final) in job.finals}
                final.unlink()
                self.finals_taken.add(str(final))
        elif folders:
            folder = random.choice(folders)
            self._move_result(folder, is_removed=random.random() < 0.5)
        yield 0.0

    def _grab(self, random: Random) -> Script:
        """Wait for the next receipt, in order to take its result away at once."""
        self.grabs += 1
        yield 0.0

    def grab(self, folder: Path) -> None:
        """Take away a result that has just appeared."""
        self._move_result(folder, is_removed=False)

    def _move_result(self, folder: Path, *, is_removed: bool) -> None:
        files = _files(str(folder))
        has_running = any("/stages/" in path for path in files)  # of an album of that name
        if has_running or any(f"{folder}/{path}" in self.stays for path in files):
            return
        self.world.see()
        with suppress(KeyError, ValueError):
            self.without_final.add(json.loads(files["receipt.json"])["id"])
        if not is_removed:
            self._numbers += 1
            target = folder.with_name(f"album{self._numbers}") / folder.name
            target.parent.mkdir()
            folder.rename(target)
            self.world.note(f"user: moves the result {folder.name} to {target.parent.name}")
            return
        self.world.note(f"user: removes the result {folder.name}")
        shutil.rmtree(folder)
        for data in files.values():
            if (content := self.world.contents.of(data)) is not None:
                self.taken[content.token] = []
                self._tell("is removed from the outbox", content)

    def _ignore(self, random: Random) -> Script:
        """Ignore the files of a drop for a while."""
        if (drop := self._choose(random)) is None or drop.name.startswith(f"{CARD}/"):
            return
        names = {drop.at(path).partition("/")[0] for path in self._present(drop)}
        self.world.note(f"user: ignores {', '.join(sorted(names))}")
        self.ignored.update(dict.fromkeys(names, float("inf")))
        self.world.stop_daemon(0.1)
        yield random.choice([random.uniform(5, 60), random.uniform(60, 300)])
        self.cease_ignoring(names)

    @property
    def names_ignored(self) -> list[str]:
        """The names that are ignored now."""
        return [name for name, until in self.ignored.items() if until == float("inf")]

    def cease_ignoring(self, names: Iterable[str]) -> None:
        """Ignore these names no more."""
        if names := [name for name in names if self.ignored[name] == float("inf")]:
            self.world.note(f"user: ignores {', '.join(sorted(names))} no more")
            self.ignored.update(dict.fromkeys(names, self.world.times.now))
            self.world.stop_daemon(0.1)

    def _restore(self, random: Random) -> Script:
        """Restore the state folder from a backup, as the machine dies with files that are held.

        Some drop meanwhile other files under the names of these.
        """
        settings, world = self.world.plan.settings, self.world
        state, backup = world.path("state"), f"{world.disks.base}/backup"
        is_kept = any(inbox.after == "keep" for inbox in settings.inboxes)
        if is_kept or settings.default_style or self.has_restored or not world.daemon.is_at_work:
            return
        self.has_restored = True
        taken = {*self.without_final}
        shutil.copytree(state, backup, symlinks=True, ignore=shutil.ignore_patterns("wake"))
        # the backup has these requests, too, and results that were taken away are not expected
        doomed = {*self.deleted, *self.without_final}
        for _ in range(300):
            if held := self._held(doomed):
                break
            yield 0.2
        else:
            return
        if self.without_final != taken:  # the backup expects a result that a user has taken since
            return
        if world.daemon.wakeup is None or world.seam.is_dead:  # killed, and about to start
            return
        world.note(f"user: restores the state folder, while {len(held)} files are held")
        world.cut(restart_in=30.0)
        yield 1.0
        self._put_state_back(backup, self._held(doomed))  # a program may write to one
        gone = [
            drop
            for drop in self.drops
            if drop.inbox in self._inboxes() and not (self._present(drop) or drop.left_out)
        ]
        if gone and random.random() < 0.7 and not self.writing:
            self._drop_others(random.choice(gone))

    def _put_state_back(self, backup: str, held: list[bytes]) -> None:
        """Restore the state folder; what was in it alone is lost."""
        state, of = self.world.path("state"), self.world.contents.of
        self.world.see()
        files = self.world.snapshot.files
        lost = [data for path, data in files.items() if path.startswith(f"{state}/")]
        for content in filter(None, map(of, lost)):
            self.taken[content.token] = []
        for content in filter(None, map(of, held)):
            self.taken[content.token] = [1]
        self.restored_at = self.world.times.now
        shutil.rmtree(state)
        shutil.copytree(backup, state, symlinks=True)
        self.without_final |= self.deleted  # the ledger lists them again
        self.deleted.clear()
        self.behind.clear()

    def _held(self, doomed: Collection[str]) -> list[bytes]:
        """Return the files that are held in inboxes for jobs, but for those of `doomed` jobs."""
        folders = [f"{self.world.path(inbox.name)}/" for inbox in self.world.plan.settings.inboxes]
        self.world.see()
        return [
            data
            for path, data in self.world.snapshot.files.items()
            if path.startswith(tuple(folders)) and "/.stylewatch" in path
            and path not in self.stays and self.world.contents.of(data) is not None
            and not any(job in path for job in doomed)
        ]  # fmt: skip

    def _drop_others(self, old: Drop) -> None:
        """Drop other contents under the names of files that are gone."""
        files = {path: self.world.contents.like(content, same_size=False)
                 for path, content in old.files.items()}  # fmt: skip
        drop = Drop(old.inbox, old.name, files, stays=old.stays)
        self._register(drop)
        self.world.note(f"user: drops others, {self._told(drop)}")
        with self.changing(drop.inbox):
            for path, content in drop.paths(self.world.path(drop.inbox.name)).items():
                if self._can_write(path):
                    self._write(path, content)

    def _off(self, random: Random) -> Script:
        """Let the daemon be down for a while, and do something meanwhile."""
        self.world.stop_daemon(random.uniform(60, 400))
        yield 20.0
        deeds = [self._move, self._rename, self._remove, self._edit, self._again, self._copy,
                 self._drop, self._undo, self._take]  # fmt: skip
        for _ in range(random.randint(1, 3)):
            yield from random.choice(deeds)(random)

    def _remove(self, random: Random) -> Script:
        if (drop := self._choose(random)) is None:
            return
        folder = self.world.path(drop.inbox.name)
        present = self._present(drop)
        bin_ = random.random() < self._if("recycle bin", 0.25)
        self.world.note(
            f"user: removes {', '.join(map(drop.at, present))} of {drop.inbox.name}"
            f"{' into its recycle bin' * bin_}"
        )
        story = "is recycled" if bin_ else "is removed"
        self._tell(story, *(drop.files[path] for path in present))
        with self.changing(drop.inbox):
            for path, whole in present.items():
                if bin_:
                    target = f"{folder}/#recycle/{drop.at(path)}"
                    Path(target).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(whole, target)
                    self.stays[target] = drop.files[path].data
                self._unlink(whole)
        yield 0.0

    def _transfer(self, verb: str, drop: Drop, inbox: Inbox, name: str) -> None:
        """Move or copy the files of a drop to another inbox or name."""
        if self._is_used(inbox, name):
            return
        present = self._present(drop)
        files = {path: drop.files[path] for path in present}
        new = Drop(inbox, name, files, drop.left_out, drop.stays)
        folder = self.world.path(inbox.name)
        targets = {path: f"{folder}/{new.at(path)}" for path in present}
        self.world.note(f"user: {verb} {', '.join(map(drop.at, present))} to {self._told(new)}")
        self._register(new)
        known = {path for pair in self.staying for path in pair.files}
        is_renamed = verb != "copies" and inbox is drop.inbox
        stay = {targets[path] for path, whole in present.items() if is_renamed and whole in known}
        past = {"renames": "is renamed", "moves": "is moved", "copies": "is copied"}
        self._tell(past[verb], *new.files.values())
        with self.changing(drop.inbox, inbox):
            for path, target in targets.items():
                Path(target).parent.mkdir(parents=True, exist_ok=True)
                content = drop.files[path]
                same_disk = self.world.disks.of(target) is self.world.disks.of(present[path])
                if verb == "copies" or not same_disk:
                    Path(target).write_bytes(content.data)
                    self.world.seam.user_wrote(target)
                    if verb != "copies":
                        self._unlink(present[path])
                else:
                    Path(present[path]).rename(target)
                    self._forget(present[path])
                self._place(target, content)
        # as if their folder alone had been renamed, or their files one by one
        self.staying.update(pair for pair in self.pairs_in(inbox) if stay.issuperset(pair.files))

    def _forget(self, path: str) -> None:
        self.world.faults.gone(path)
        self.placed.pop(path, None)
        self.stays.pop(path, None)
        self.shared.discard(path)
        self.left_out.discard(path)
        self.behind.pop(path, None)
        inboxes = [self.world.path(inbox.name) for inbox in self.world.plan.settings.inboxes]
        roots = {*inboxes, *(disk.root for disk in self.world.disks)}
        with suppress(OSError):
            if (above := Path(path).parent) not in map(Path, roots):
                above.rmdir()

    def _rename(self, random: Random) -> Script:
        if (drop := self._choose(random)) is not None and "{name}" in "".join(drop.files):
            self._transfer("renames", drop, drop.inbox, self._name(random, "folder", drop.inbox))
        yield 0.0

    def _move(self, random: Random) -> Script:
        others = self._inboxes()
        if (drop := self._choose(random)) is not None:
            inbox = random.choice(others)
            name = drop.name if inbox is not drop.inbox else self._name(random, "folder", inbox)
            self._transfer("moves", drop, inbox, name)
        yield 0.0

    def _copy(self, random: Random) -> Script:
        if (drop := self._choose(random, whole=True)) is not None:
            inbox = random.choice([drop.inbox, *self._inboxes()])
            self._transfer("copies", drop, inbox, f"{drop.name}-copy")
        yield 0.0

    def _folder_drop(self, random: Random, missing: str) -> Drop | None:
        """Return a drop in a folder of its own that lacks a file."""
        inboxes = self._inboxes()
        drops = [
            drop
            for drop in self.drops
            if drop.inbox in inboxes
            and any(path.startswith("{name}/content") for path in self._present(drop))
            and not [*Path(f"{self.world.path(drop.inbox.name)}/{drop.name}").glob(f"{missing}*")]
        ]
        return random.choice(drops) if drops else None

    def _add_yaml(self, random: Random) -> Script:
        if (drop := self._folder_drop(random, "job.yaml")) is not None:
            self._add(drop, "{name}/job.yaml", self.world.contents.new("yaml"))
        yield 0.0

    def _add_style(self, random: Random) -> Script:
        if (drop := self._folder_drop(random, "style-2")) is not None:
            style = self._picture(random)
            self._add(drop, f"{{name}}/style-2.{style.kind}", style)
        yield 0.0

    def _add(self, drop: Drop, path: str, content: Content) -> None:
        drop.files[path] = content
        self.world.note(f"user: adds {drop.at(path)} <{content.token}> to {drop.inbox.name}")
        with self.changing(drop.inbox):
            self._write(f"{self.world.path(drop.inbox.name)}/{drop.at(path)}", content)

    def start_library(self, random: Random) -> None:
        """Fill the library of styles."""
        settings = self.world.plan.settings
        Path(self.world.path("styles")).mkdir(parents=True, exist_ok=True)
        if settings.default_style:
            self._put_style("wave", self._picture(random))

    def _put_style(self, name: str, content: Content) -> None:
        path = f"{self.world.path('styles')}/{name}.{content.kind}"
        Path(path).write_bytes(content.data)
        self.world.seam.user_wrote(path)
        self.stays[path] = content.data
        self.library[name] = content
        self.ever_styles.add(content.token)
        self.tokens_at.setdefault(path, set()).add(content.token)

    def _library(self, random: Random) -> Script:
        is_there = self._can_write(self.world.path("styles"))
        if self.world.plan.settings.default_style != "all" or not is_there:
            return
        names = [name for name in self.library if name != "wave"]
        for drop in self.drops:
            if len(drop.files) < 3:
                self._tell("gets another library", *drop.files.values())
        with self.changing():
            if names and random.random() < 0.4:
                name = random.choice(names)
                content = self.library.pop(name)
                self.removed_styles.add(content.token)
                path = f"{self.world.path('styles')}/{name}.{content.kind}"
                Path(path).unlink()
                del self.stays[path]
                self.world.note(f"user: removes the style {name} from the library")
            else:
                self._numbers += 1
                name, content = f"style{self._numbers}", self._picture(random)
                self._put_style(name, content)
                self.world.note(f"user: adds the style {name} <{content.token}> to the library")
        yield 0.0

    def _try(self, random: Random) -> Script:
        """See a photograph in every style, until the visitor goes, or only the window is closed."""
        styles = self._styles_to_try()
        if not (styles and self.world.daemon.is_first_start_over):
            return
        visit = wiring.Try(self.world, random.randbytes(16).hex())
        visit.ask(styles, "content.jpg")
        self.world.note(f"user: tries {len(styles)} styles")
        yield ANSWERED_WITHIN
        if not visit.has_begun():
            return
        for _ in range(random.choice([1, 5, 30, 90])):
            yield 2.0
            previews = visit.beat()
            if previews is None:
                return
            if random.random() < 0.1:
                visit.ask(self._styles_to_try())
        if random.random() < 0.5:
            visit.end()

    def last_try(self) -> Script:
        """Try all styles while nothing disturbs it; raises ViolationError if one is not shown."""
        styles = self._styles_to_try()
        visit = wiring.Try(self.world, self.world.random.randbytes(16).hex())
        visit.ask(styles, "content.jpg")
        began, previews = self.world.times.now, None
        while self.world.times.now - began < TRIED_WITHIN:
            yield 2.0
            previews = visit.beat()
            if previews and all(each["done"] or each["reason"] for each in previews):
                break
        odd = {name for name, content in self.library.items() if content.is_odd}
        seen = {each["name"] for each in previews or () if each["done"]}
        if styles.keys() - odd != seen - odd:
            raise ViolationError(5, "a style is not shown", f"{previews}")

    def _styles_to_try(self) -> Mapping[str, str]:
        """Return the pictures of the library by name; it gets one if jobs do not use it."""
        folder = self.world.path("styles")
        if not self.library and not self._plain and self._can_write(folder):
            content = self._picture(Random(0))
            while content.is_odd:
                content = self._picture(Random(0))
            self._plain = {"plain": f"{folder}/plain.{content.kind}"}
            Path(self._plain["plain"]).write_bytes(content.data)
            self.world.seam.user_wrote(self._plain["plain"])
            self.stays[self._plain["plain"]] = content.data
        own = {name: f"{folder}/{name}.{content.kind}" for name, content in self.library.items()}
        return own or self._plain

    def _stranger(self, random: Random) -> Script:
        """Put a file that is no input into an inbox, an outbox or the finals folder."""
        settings = self.world.plan.settings
        roles = [role for role in settings.roles if role not in ("state", "styles")]
        role = random.choice(roles)
        if not self.world.disks.by_name[settings.disk_of(role)].is_there:
            return
        folder, content = self.world.path(role), self.world.contents.new("text")
        drop = random.choice(self.drops) if self.drops else None
        if role.startswith("in"):
            conflicts = _CONFLICTS if self._if("conflict", 1) else ()
            name = random.choice([*_STRANGERS, *conflicts, *_CLAIMS])
            inside = drop and drop.inbox.name == role and "/" in next(iter(drop.files))
            path = f"{folder}/{drop.name}/{name}" if drop and inside else f"{folder}/{name}"
            if name in _CLAIMS:
                path = f"{folder}/{name}"
            elif not Path(path).parent.is_dir():
                return
            if name.endswith(".jpg"):
                content = self._picture(random)
        else:
            name = drop.name if drop else "sea"
            path = f"{folder}/" + random.choice(["mine.txt", f"{name}/mine.txt", f"{name}.png"])
        if not Path(path).exists():
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            with self.changing():
                Path(path).write_bytes(content.data)
                self.world.seam.user_wrote(path)
            self.stays[path] = content.data
            self.world.note(f"user: puts {path.removeprefix(folder)[1:]} of their own into {role}")
        yield 0.0

    def _debris(self, random: Random) -> Script:
        if (drop := self._choose(random)) is not None:
            folder = self.world.path(drop.inbox.name)
            above = Path(f"{folder}/{drop.at(next(iter(self._present(drop))))}").parent
            name = random.choice([".DS_Store", "Thumbs.db", "desktop.ini"])
            (above / name).write_bytes(b"debris")
            self.world.seam.user_wrote(str(above / name))
            self.world.note(f"user: their computer leaves {name} beside {drop.name}")
        yield 0.0

    # -- jobs

    def _leave(self, verb: Literal["pause", "resume"], random: Random) -> Script:
        if self.world.daemon.is_first_start_over:
            wiring.leave(Path(self.world.path("state")), verb)
            self.world.note(f"user: asks to {verb}")
        yield 0.0

    def _request(self, verb: wiring.Verb, random: Random) -> Script:
        ended = verb in ("retry", "delete")
        jobs = [job for job in wiring.jobs(Path(self.world.path("state")))
                if job.has_ended is ended and job.id not in self.deleted]  # fmt: skip
        if jobs:
            self._ask(verb, random.choice(jobs))
        yield 0.0

    def _mark(self, on: wiring.Verb, off: wiring.Verb, marked: set[str], random: Random) -> Script:
        """Mark a job that has ended, or take its mark away, once or several times."""
        state = Path(self.world.path("state"))
        pauses = [0.0, 1.0, 0.8 * DAY] if self.world.plan.settings.trash_days else [0.0, 1.0]
        for _ in range(300):
            if jobs := [job for job in wiring.jobs(state)
                        if job.has_ended and job.id not in self.deleted]:  # fmt: skip
                job = random.choice(jobs)
                for _ in range(random.randint(1, 3)):
                    if job.id in self.deleted:
                        return
                    verb = off if job.id in marked else on
                    if wiring.ask(state, verb, job.id):
                        self.world.note(f"user: asks to {verb} {job.title}")
                        marked.symmetric_difference_update({job.id})
                        if verb == "trash":
                            self._count_days(job)
                    yield random.choice(pauses)
                return
            yield 0.5

    def _count_days(self, job: wiring.JobSeen) -> None:
        """Let a job that was moved into the trash stay there for its days at least."""
        world = self.world
        days, asked_at = world.plan.settings.trash_days, world.times.now
        self.trashed_at[job.id] = asked_at

        def outlive() -> None:
            is_there = job.id in self.trashed and self.trashed_at[job.id] == asked_at
            if job.id in self.outlived or not is_there:
                return
            if all(each.id != job.id for each in wiring.jobs(Path(world.path("state")))):
                raise ViolationError(5, "a job left the trash before its days were over", job.title)
            world.see()
            self.outlived.add(job.id)
            self._write_off(job)

        if days:
            world.later(days * DAY, outlive)

    def _ask(self, verb: wiring.Verb, job: wiring.JobSeen) -> None:
        self.world.see()
        if not wiring.ask(Path(self.world.path("state")), verb, job.id):
            return
        self.world.note(f"user: asks to {verb} {job.title}")
        tokens = self.world.tokens_of(job)
        contents = self.world.contents.by_data.values()
        self._tell(f"is to {verb}", *(each for each in contents if each.token in tokens))
        if verb == "retry":
            self.retried.update(tokens)
        if verb in ("retry", "finish"):
            return
        self.given_up.update(tokens)
        if verb == "cancel":
            self.without_final.add(job.id)
        if verb == "delete":
            self.deleted.add(job.id)
            self.trashed.discard(job.id)
            self.favorites.discard(job.id)
            self._write_off(job)

    def _write_off(self, job: wiring.JobSeen) -> None:
        """Expect no longer that the pictures of a job are kept."""
        tokens = self.world.tokens_of(job)
        self.given_up.update(tokens)
        self.doomed.update(tokens)
        is_all = self.world.plan.settings.default_style == "all"
        for token in tokens:
            self.taken[token] = [] if is_all else self.taken[token][:-1]

    def _restart(self, random: Random) -> Script:
        self.world.stop_daemon(random.choice([0.1, 2.0, random.uniform(2, 60)]))
        yield 0.0

    def _run_once(self, random: Random) -> Script:
        """Stop the service, and let it start again after a run with `--once`."""
        if self.world.daemon.is_first_start_over:
            self.world.note("user: is to run it with --once")
            self.world.daemon.is_once_next = True
            self.world.stop_daemon(pause := random.choice([0.1, 2.0, random.uniform(2, 60)]))
            if random.random() < 0.7:
                yield random.uniform(0, pause)
                yield from self._drop(random)

    def _reload(self, random: Random) -> Script:
        """Edit the settings, or send SIGHUP; some edits are wrong, and are corrected later."""
        what = random.choice(["SIGHUP", "a number", "a number", "a comment", "a mistake"])
        if what == "SIGHUP":
            self.world.reload_daemon()
            self.settings = replace(self.settings, since=self.world.times.now)
        elif what == "a number":
            self.write_settings(random.choice([0.5, 1.0, 2.0, 3.0]))
        elif what == "a comment":
            self.write_settings(self.settings.quiet_s, f" # {random.random()}")
        else:
            self.write_settings(self.settings.quiet_s, "s")
        yield random.uniform(5, 100)
        if what == "a mistake":
            self.correct_settings()

    def write_settings(self, quiet_s: float, more: str = "") -> None:
        """Write the file of the settings, with more text after the number."""
        self.world.note(f"user: writes quiet_s: {quiet_s}{more} into config.yaml")
        inboxes = (f"{name}: {after}" for name, after in self.wanted.items())
        lines = [f"quiet_s: {quiet_s}{more}", *inboxes]
        Path(self.world.config).write_text("\n".join(lines))
        self.world.seam.user_wrote(self.world.config)
        self.settings = replace(
            self.settings, quiet_s=quiet_s, is_wrong=more == "s", since=self.world.times.now
        )

    def _take_from_settings(self, random: Random) -> Script:
        """Take one of two inboxes out of the settings for a while, and do something meanwhile."""
        inboxes = self.world.plan.settings.inboxes
        inbox = random.choice(inboxes)
        if random.random() < 0.7 and inbox in self._inboxes():
            yield from self._until_claimed(random, inbox)
        if self.settings.away or self.world.is_at_rest or len(inboxes) < 2:
            return
        self._change_settings(random, f"takes {inbox.name} out of", away=frozenset({inbox.name}))
        left = random.choice([random.uniform(20, 60), random.uniform(60, 400)])
        deeds = [self._drop, self._move, self._rename, self._remove, self._edit, self._again,
                 self._copy, self._undo]  # fmt: skip
        for _ in range(random.randint(0, 3)):
            yield (pause := random.uniform(0, left / 3))
            if self.world.is_at_rest:
                return
            left -= pause
            yield from random.choice(deeds)(random)
        yield left
        self.put_inboxes_back(random)

    def _change_after(self, random: Random) -> Script:
        """Let the files of an inbox stay, or leave, or be deleted from now on."""
        inbox = random.choice(self.world.plan.settings.inboxes)
        if random.random() < 0.7 and inbox in self._inboxes():
            yield from self._until_claimed(random, inbox)
        others: list[After] = ["archive", "keep", "delete"]
        others.remove(self.settings.after.get(inbox.name, inbox.after))
        if not self.world.is_at_rest:
            after = {**self.settings.after, inbox.name: random.choice(others)}
            what = f"changes `after` of {inbox.name} to {after[inbox.name]} in"
            self._change_settings(random, what, after=after)

    def _until_claimed(self, random: Random, inbox: Inbox) -> Script:
        """Drop something into an inbox, and wait until its claim begins, or for a little longer."""
        drop = self._new_drop(random, inbox)
        self._register(drop)
        self.world.note(f"user: drops {self._told(drop)}")
        files, began = drop.paths(self.world.path(inbox.name)), self.world.times.now
        with self.changing(inbox):
            for path, content in files.items():
                self._write(path, content)
        for _ in range(800):
            if any(self.claims.get(path, 0.0) > began for path in files):
                break
            yield 0.05
        yield random.choice([0.0, 0.0, 0.1, random.uniform(0, 5), random.uniform(0, 20)])

    def _change_settings(self, random: Random, what: str, **changes: Any) -> None:
        """Write other inboxes into the settings: for a restart or a reload, or to be noticed."""
        self.world.note(f"user: {what} the settings")
        self.settings = replace(self.settings, **changes)
        how = random.choice(["restart", "restart", "reload", "edit"])
        if how == "restart":
            self.world.stop_daemon(random.choice([0.1, 2.0, random.uniform(2, 60)]))
        self.write_settings(self.settings.quiet_s)
        if how == "reload":
            self.world.reload_daemon()

    def put_inboxes_back(self, random: Random) -> None:
        """Put the inboxes back into the settings that they lack."""
        if self.settings.away:
            self._change_settings(random, "puts all inboxes back into", away=frozenset())

    def come_into_force(self, after: Mapping[str, After]) -> None:
        """Note that a daemon begins, and the `after` of the inboxes of its settings, by folder."""
        now, away = self.world.times.now, set[str]()
        for inbox in self.world.plan.settings.inboxes:
            new, old = after.get(self.world.path(inbox.name)), self.after(inbox)
            if new is None:
                away.add(inbox.name)
            elif new != old:
                self.world.see()
                self.changed[inbox.name], self.changed_at[inbox.name] = new, now
                if new == "keep":
                    self._begin_to_keep(inbox)
                elif old == "keep":
                    self._cease_to_keep(inbox)
            self.had_after.add(self.after(inbox))
        self.returned_at |= dict.fromkeys(self.unwatched - away, now)
        self.unwatched, self.in_force_since = frozenset(away), now

    @property
    def wanted(self) -> Mapping[str, After]:
        """The inboxes in the file of the settings, by name, with the `after` of each."""
        after = {each.name: each.after for each in self.world.plan.settings.inboxes}
        after |= self.settings.after
        return {name: after[name] for name in after if name not in self.settings.away}

    @property
    def in_force(self) -> Mapping[str, After]:
        """The same in the settings of the latest daemon."""
        inboxes = self.world.plan.settings.inboxes
        return {each.name: self.after(each) for each in inboxes if each.name not in self.unwatched}

    def after(self, inbox: Inbox) -> After:
        """Return the `after` of an inbox that is in force, or was before the inbox left."""
        return self.changed.get(inbox.name, inbox.after)

    def keeps(self, inbox: Inbox) -> bool:
        """Return whether the files of an inbox stay there."""
        return self.after(inbox) == "keep"

    def may_stay(self, inbox: Inbox, pair: Pair) -> bool:
        """Return whether a pair in an inbox is not to be painted again if it was painted."""
        return self.keeps(inbox) or pair in self.staying

    def is_known(self, path: str) -> bool:
        """Return whether all pairs with a file were certainly painted while files stayed."""
        pairs = [pair for pairs in self.pairs.values() for _, pair in pairs if path in pair.files]
        return bool(pairs) and self.known.issuperset(pairs)

    def _begin_to_keep(self, inbox: Inbox) -> None:
        """Account for an inbox whose files stay from now on: what is there is to be painted."""
        for pair in self.pairs_in(inbox):
            self.staying.discard(pair)
            self.known.discard(pair)
            if pair.is_whole:
                self.presences.setdefault(pair.key, Presence(self.world.times.now))

    def _cease_to_keep(self, inbox: Inbox) -> None:
        """Account for an inbox whose files leave from now on: what was painted or claimed stays.

        A second copy of what was painted may be known where it is, or is painted.
        """
        claimed = {token for path in self.claims for token in self.tokens_at.get(path, ())}
        jobs = wiring.jobs(Path(self.world.path("state")))
        begun = {pair.key for pair in self._whole(keep=True)}
        pairs = [pair for pair in self.pairs_in(inbox) if pair.is_whole]
        for pair in sorted(pairs, key=lambda pair: not self._is_claimed(pair)):
            if self._is_claimed(pair):
                mine = (job for job in jobs if pair.main in job.sources and job.state != "claimed")
                if any(self.world.contents_of(job) == pair.key.pictures for job in mine):
                    self.known.add(pair)
            elif pair.key in begun or pair.key.content in claimed:
                self.allowed[pair.key] += 1
            begun.add(pair.key)
        self.staying.update(pairs)

    def _is_claimed(self, pair: Pair) -> bool:
        """Return whether a pair was claimed where it is, and has not changed since."""
        since = next((at for at, each in self.pairs.get(pair.main, ()) if each == pair), None)
        claimed = self.claims.get(pair.main, 0.0)
        written = (self.placed_at.get(path, 0.0) for path in pair.files)
        return since is not None and claimed >= max(since, *written)

    def correct_settings(self) -> None:
        """Correct a mistake in the file of the settings."""
        if self.settings.is_wrong:
            self.write_settings(self.settings.quiet_s)


def _upper(path: str) -> str:
    stem, _, suffix = path.rpartition(".")
    return f"{stem}.{suffix.upper()}"


def _read(path: str) -> bytes | None:
    try:
        return Path(path).read_bytes()
    except OSError:
        return None


def _files(folder: str) -> dict[str, bytes]:
    """Return the files in a folder with their bytes, by their paths in it."""
    found = {}
    for above, _, names in os.walk(folder):
        for name in names:
            path = f"{above}/{name}"
            data = _read(path)
            if data is not None:
                found[path.removeprefix(f"{folder}/")] = data
    return found
