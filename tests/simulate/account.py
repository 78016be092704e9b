"""The account of a world: what users have placed, what they are owed, and which settings hold."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.simulate import wiring
from tests.simulate.contents import Content, Token
from tests.simulate.expected import Key, Pair, pairs
from tests.simulate.laws import BACKOFF
from tests.simulate.plan import CARD, After, Inbox
from tests.simulate.snapshot import files_in

if TYPE_CHECKING:
    from tests.simulate.world import World

BY_PATH = (
    "placed", "untouchable", "shared", "left_out", "vacated", "claimed_at", "whole_pairs",
    "left_behind",
)  # fmt: skip
"""Attributes of Account that describe files by their paths."""


@dataclass
class Drop:
    """Files that were dropped together: contents by paths with `{name}` in them."""

    inbox: Inbox
    name: str
    files: dict[str, Content]
    left_out: frozenset[str] = frozenset()
    """Paths of clips of live photos."""
    shared: frozenset[str] = frozenset()
    """Paths of files that several jobs share."""
    before: dict[str, Content] = field(default_factory=dict)
    """Contents of files before they were edited."""

    def paths(self, folder: str) -> dict[str, Content]:
        """Return the contents by their paths in the inbox at `folder`."""
        return {f"{folder}/{self.at(path)}": content for path, content in self.files.items()}

    def at(self, path: str) -> str:
        """Return a path in the inbox."""
        return path.replace("{name}", self.name)

    def __str__(self) -> str:
        files = (f"{self.at(path)} <{content.token}>" for path, content in self.files.items())
        return f"{', '.join(files)} into {self.inbox.name}"


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
    """Since when a key is in inboxes whose files stay."""

    since: float
    gone_since: float | None = None
    """When it was removed last; None if it was not, or if its contents were edited."""


@dataclass(frozen=True)
class WrittenSettings:
    """The file of the settings as it was written last."""

    quiet_s: float = 0.0
    away: frozenset[str] = frozenset()
    """Names of the inboxes that it lacks."""
    after: Mapping[str, After] = field(default_factory=dict)
    """The `after` of each inbox in which it has changed."""
    is_wrong: bool = False
    since: float = 0.0
    """When it was written, or the daemon was last asked to read it."""


@dataclass
class Account:
    """What the laws know of the deeds of users, and what the daemon owes them."""

    world: "World"

    # the settings

    written: WrittenSettings = field(default_factory=WrittenSettings)
    in_force_since: float = 0.0
    """When the latest daemon has read its settings."""
    unwatched: frozenset[str] = frozenset()
    """Names of the inboxes that the settings in force lack."""
    returned_at: dict[str, float] = field(default_factory=dict)
    """When inboxes came back into the settings in force, by their names."""
    new_after: dict[str, After] = field(default_factory=dict)
    """The `after` that is in force for each inbox in which it has changed."""
    new_after_since: dict[str, float] = field(default_factory=dict)
    """When each `after` of `new_after` came into force."""
    had_after: set[After] = field(default_factory=set)
    """All values of `after` that were ever in force."""
    ignored_until: dict[str, float] = field(default_factory=dict)
    """Names that `watch.ignore` has or had, and until when: from restart to restart."""
    has_restored: bool = False
    """True once a user has begun to restore the state folder from a backup."""
    restored_at: float = 0.0
    """When the state folder was restored; jobs have other ids since."""

    # files in the inboxes, and beside them

    drops: list[Drop] = field(default_factory=list)
    """What users have dropped, but for what no other deed may touch."""
    placed: dict[str, Content] = field(default_factory=dict)
    """Whole files in the inboxes."""
    placed_at: dict[str, float] = field(default_factory=dict)
    """When a user last wrote or moved a file to each path."""
    tokens_at: dict[str, set[Token]] = field(default_factory=dict)
    """Contents that were ever at a path."""
    untouchable: dict[str, bytes] = field(default_factory=dict)
    """Files that the daemon must not touch."""
    left_out: set[str] = field(default_factory=set)
    """Pictures and clips in inboxes that are not to be painted."""
    shared: set[str] = field(default_factory=set)
    """Files of albums that several jobs share."""
    being_written: int = 0
    """Number of files that are being written slowly."""
    written_slowly: set[Token] = field(default_factory=set)
    """Contents that were written in parts."""
    completed_late: set[Token] = field(default_factory=set)
    """Contents that were completed after their files had been taken."""
    came_in_time: dict[Token, set[Token]] = field(default_factory=dict)
    """Parts that came before a file of their pair could be renamed, by its content."""
    touched_at: dict[str, float] = field(default_factory=dict)
    """When a user last changed something in an inbox, by its name."""
    stories: dict[Token, tuple[float, str]] = field(default_factory=dict)
    """What a user did last with a content, and when."""
    library: dict[str, Content] = field(default_factory=dict)
    """Styles of the library that jobs use, by their names."""
    removed_styles: set[Token] = field(default_factory=set)
    """Styles that left the library; a claim that was just being made may still have them."""

    # pairs, and how often they may be painted

    whole_pairs: dict[str, list[tuple[float, Pair]]] = field(default_factory=dict)
    """The whole pairs by their main files, and since when each is there."""
    ever_paired: set[str] = field(default_factory=set)
    """Files that were part of a complete pair at some time."""
    times_allowed: Counter[Key] = field(default_factory=Counter)
    """How often a pair may be painted at most."""
    presences: dict[Key, Presence] = field(default_factory=dict)
    """Keys that are or were in inboxes whose files stay."""
    maybe_painted: set[Pair] = field(default_factory=set)
    """The pairs, in inboxes whose files leave now, that may have been painted while files stayed
    there, and that no user has changed since."""
    surely_painted: set[Pair] = field(default_factory=set)
    """Those of `maybe_painted` that certainly were painted while files stayed."""
    _out_of_sight: set[str] = field(default_factory=set)
    """Main files that came to inboxes which did not answer."""
    _other_cards: dict[Inbox, dict[str, Any]] = field(default_factory=dict)
    """Files on the other card of an inbox: the attributes named in BY_PATH, for that card."""

    # files that the daemon has claimed

    claimed_at: dict[str, float] = field(default_factory=dict)
    """When the last claim of each path began, which may wait for a disk."""
    claimed_jobs: set[str] = field(default_factory=set)
    """Ids of the jobs of all claims; one that the ledger has lost is entered anew."""
    counted_jobs: set[str] = field(default_factory=set)
    """Ids of the jobs for which a file was seen to leave."""
    taken: defaultdict[Token, list[int]] = field(default_factory=lambda: defaultdict(list))
    """The files with a content that left the inboxes without a user, in order: jobs of each."""
    vacated: set[str] = field(default_factory=set)
    """Paths from which files left, and at which there is none since."""
    left_behind: dict[str, str] = field(default_factory=dict)
    """Files whose pairs were taken, which must leave too, and their main files."""

    # jobs and their results

    submissions: list[Submission] = field(default_factory=list)
    retries: Counter[Token] = field(default_factory=Counter)
    """How often a retry of a job with a content was asked for."""
    given_up: set[Token] = field(default_factory=set)
    """Contents of jobs that were canceled or deleted."""
    doomed: set[Token] = field(default_factory=set)
    """Contents of jobs that were deleted, which may go while they are still written (law 1)."""
    deleted_jobs: set[str] = field(default_factory=set)
    """Ids of the jobs whose deletion was asked for."""
    trashed_jobs: set[str] = field(default_factory=set)
    """Ids of the jobs that are to be in the trash."""
    outlived_jobs: set[str] = field(default_factory=set)
    """Ids of the jobs that were in the trash for their days, and that may be gone."""
    favorite_jobs: set[str] = field(default_factory=set)
    """Ids of the jobs that are to be favorites."""
    finals_taken: set[str] = field(default_factory=set)
    """Paths of pictures that a user removed from the finals folder."""
    finish_steps: dict[str, int] = field(default_factory=dict)
    """Highest steps that were published when jobs were last asked to finish, by their ids."""
    without_final: set[str] = field(default_factory=set)
    """Ids of the jobs whose end was asked for, or whose output was taken away before its final was
    certainly linked."""

    # -- pairs

    def pairs_in(self, inbox: Inbox) -> list[Pair]:
        """Return the pairs of an inbox by their whole paths, wherever its disk is."""
        folder = self.world.path(inbox.name)
        settings, disks = self.world.plan.settings, self.world.disks
        bytes_ = files_in(disks.spot(folder))
        if settings.has_card and inbox.name == "in" and not disks.by_name[CARD].is_there:
            card = files_in(disks.spot(settings.root(CARD)))
            of_card = {f"{CARD}/{path}": data for path, data in card.items()}
            bytes_ = of_card | {path: data for path, data in bytes_.items() if path not in of_card}
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
        """Return the whole pairs of the inboxes whose files stay, or of those whose files leave."""
        found = []
        for inbox in self.world.plan.settings.inboxes:
            if self.keeps(inbox) is keep:
                for pair in self.pairs_in(inbox):
                    self.ever_paired.update(pair.files)
                    found += [pair] if pair.is_whole else []
        return found

    def _count(self, *, keep: bool) -> Counter[Key]:
        """Return how often each key is in these inboxes, but for what may have been painted."""
        hidden = self.hidden_pairs if keep else ()
        pairs = (*self._whole(keep=keep), *hidden)
        return Counter(pair.key for pair in pairs if pair not in self.maybe_painted)

    @contextmanager
    def changing(self, *inboxes: Inbox) -> Iterator[None]:
        """Account for what a user changes in these inboxes; if none is named, in any of them."""
        numbers, kept_before = self._count(keep=False), self._count(keep=True).keys()
        seen_before = self._in_sight()
        self.world.see()  # what left the inboxes before
        files = dict(self.placed)
        yield
        dropped, kept = self._whole(keep=False), self._whole(keep=True)
        now = self.world.times.now
        if self.unwatched or not self.world.daemon.is_up:  # it sees no absence
            self.world.disturbances.all.append(now)
        self.maybe_painted.intersection_update(dropped)
        self.surely_painted &= self.maybe_painted
        new = Counter(pair.key for pair in dropped if pair not in self.maybe_painted)
        for key, number in new.items():
            self.times_allowed[key] += max(0, number - numbers[key])
        keys = {pair.key for pair in (*kept, *self.hidden_pairs)}
        for key in keys - kept_before:
            presence = self.presences.get(key)
            self.presences[key] = Presence(now, presence.gone_since if presence else None)
        for key in keys - kept_before | self._in_sight() - seen_before:
            self.times_allowed[key] += 1
        edited = {each.token for path, each in files.items() if self.placed.get(path, each) != each}
        for key in kept_before - keys:
            is_edited = bool(key.tokens & edited)  # its contents stay known
            self.presences[key].gone_since = None if is_edited else now
        known = {pair: since for pairs in self.whole_pairs.values() for since, pair in pairs}
        self.whole_pairs = {}
        for pair in (*dropped, *kept):
            self.whole_pairs.setdefault(pair.main, []).append((known.get(pair, now), pair))
        for inbox in inboxes or self.world.plan.settings.inboxes:
            self.touched_at[inbox.name] = now
        self.world.later(0.01, self.world.daemon.file_event)

    def _in_sight(self) -> set[Key]:
        """Return the keys in inboxes whose files stay that the daemon can know of.

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
                self._out_of_sight |= mains - self.whole_pairs.keys()
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
                is_owed = again or not self.times_allowed[pair.key]
                if path in pair.files and pair.is_whole and is_owed:
                    self.times_allowed[pair.key] += 1
                    self.ever_paired.update(pair.files)

    def claim_begins(self, job_id: str, paths: Iterable[str]) -> None:
        """Note when the claim of the files of a job begins."""
        if job_id not in self.claimed_jobs:
            self.claimed_jobs.add(job_id)
            self.claimed_at.update(dict.fromkeys(paths, self.world.times.now))

    # -- files

    def tell(self, what: str, *contents: Content) -> None:
        """Note what a user has done with some contents, for the kinds of violations."""
        for content in contents:
            self.stories[content.token] = self.world.times.now, what

    def register(self, drop: Drop) -> None:
        """Note the files of a new drop that several jobs share, or that are left out."""
        self.drops.append(drop)
        folder = self.world.path(drop.inbox.name)
        self.shared -= {f"{folder}/{drop.at(path)}" for path in drop.files}  # what was there
        self.shared.update(f"{folder}/{drop.at(path)}" for path in drop.files.keys() & drop.shared)
        clips = drop.files.keys() & drop.left_out
        self.left_out.update(f"{folder}/{drop.at(path)}" for path in clips)

    def place(self, path: str, content: Content) -> None:
        """Note a whole file that a user has written or moved to a path."""
        self.placed[path] = content
        self.placed_at[path] = self.world.times.now
        self.maybe_painted = {pair for pair in self.maybe_painted if path not in pair.files}
        self.vacated.discard(path)
        self.left_behind.pop(path, None)
        self.tokens_at.setdefault(path, set()).add(content.token)
        if path in self.left_out:
            self.untouchable[path] = content.data

    def forget(self, path: str) -> None:
        """Note that a user has removed the file at a path, or has moved it away."""
        self.placed.pop(path, None)
        self.untouchable.pop(path, None)
        self.shared.discard(path)
        self.left_out.discard(path)
        self.left_behind.pop(path, None)

    @property
    def followed(self) -> list[Submission]:
        """The submissions whose followers wait; none for a ledger that has forgotten jobs."""
        waiting = [each for each in self.submissions if not each.said]
        return [] if self.has_restored else waiting

    # -- cards that take turns

    @property
    def hidden_pairs(self) -> list[Pair]:
        """The pairs that stay in an inbox on cards in whose place another one is."""
        cards = [card for inbox, card in self._other_cards.items() if inbox.after == "keep"]
        return [pair for card in cards for each in card["whole_pairs"].values() for _, pair in each]

    @property
    def hidden_tokens(self) -> set[Token]:
        """The contents that stay in an inbox on cards in whose place another one is."""
        cards = [card for inbox, card in self._other_cards.items() if inbox.after == "keep"]
        return {content.token for card in cards for content in card["placed"].values()}

    def add_card(self, inbox: Inbox, *, is_copy: bool) -> None:
        """Account for another card of an inbox: an empty one, or a copy."""
        self._other_cards[inbox] = self._records_of(inbox if is_copy else None)

    def exchange(self, inbox: Inbox) -> None:
        """Let another card take the place of that in an inbox."""
        known, other = self._records_of(inbox), self._other_cards[inbox]
        for name in BY_PATH:
            mine = getattr(self, name)
            for path in known[name]:
                mine.discard(path) if isinstance(mine, set) else mine.pop(path)
            mine.update(other[name])
        self._other_cards[inbox] = known
        self.touched_at[inbox.name] = self.world.times.now

    def renew_pairs(self, inbox: Inbox) -> None:
        """Account for what became of the library while a card was away: it has other pairs now."""
        folder, now = f"{self.world.path(inbox.name)}/", self.world.times.now
        mine = [main for main in self.whole_pairs if main.startswith(folder)]
        known = {pair: since for main in mine for since, pair in self.whole_pairs.pop(main)}
        numbers = Counter(pair.key for pair in known)
        for pair in (pair for pair in self.pairs_in(inbox) if pair.is_whole):
            self.ever_paired.update(pair.files)
            self.whole_pairs.setdefault(pair.main, []).append((known.get(pair, now), pair))
            if numbers[pair.key] == 0:
                self.times_allowed[pair.key] += 1
                self.presences.setdefault(pair.key, Presence(now))

    def _records_of(self, inbox: Inbox | None) -> dict[str, Any]:
        """Return the entries of the attributes in BY_PATH for an inbox; empty ones for None."""
        folder = f"{self.world.path(inbox.name)}/" if inbox else "none"
        return {
            name: {path for path in mine if path.startswith(folder)}
            if isinstance(mine := getattr(self, name), set)
            else {path: each for path, each in mine.items() if path.startswith(folder)}
            for name in BY_PATH
        }

    # -- settings

    @property
    def names_ignored(self) -> list[str]:
        """The names that are ignored now."""
        return [name for name, until in self.ignored_until.items() if until == float("inf")]

    @property
    def wanted(self) -> Mapping[str, After]:
        """The inboxes in the file of the settings, by name, with the `after` of each."""
        after = {each.name: each.after for each in self.world.plan.settings.inboxes}
        after |= self.written.after
        return {name: after[name] for name in after if name not in self.written.away}

    @property
    def in_force(self) -> Mapping[str, After]:
        """The inboxes in the settings of the latest daemon, by name, with the `after` of each."""
        inboxes = self.world.plan.settings.inboxes
        return {each.name: self.after(each) for each in inboxes if each.name not in self.unwatched}

    def after(self, inbox: Inbox) -> After:
        """Return the `after` of an inbox that is in force, or was before the inbox left."""
        return self.new_after.get(inbox.name, inbox.after)

    def keeps(self, inbox: Inbox) -> bool:
        """Return whether the files of an inbox stay there."""
        return self.after(inbox) == "keep"

    def may_stay(self, inbox: Inbox, pair: Pair) -> bool:
        """Return whether a pair in an inbox is not to be painted again if it was painted."""
        return self.keeps(inbox) or pair in self.maybe_painted

    def is_surely_painted(self, path: str) -> bool:
        """Return whether all pairs with a file were certainly painted while files stayed."""
        every = (pair for pairs in self.whole_pairs.values() for _, pair in pairs)
        mine = {pair for pair in every if path in pair.files}
        return bool(mine) and mine <= self.surely_painted

    def come_into_force(self, after: Mapping[str, After]) -> None:
        """Note that a daemon begins, and the `after` of the inboxes of its settings, by folder."""
        now, away = self.world.times.now, set[str]()
        for inbox in self.world.plan.settings.inboxes:
            new, old = after.get(self.world.path(inbox.name)), self.after(inbox)
            if new is None:
                away.add(inbox.name)
            elif new != old:
                self.world.see()
                self.new_after[inbox.name], self.new_after_since[inbox.name] = new, now
                if new == "keep":
                    self._begin_to_keep(inbox)
                elif old == "keep":
                    self._cease_to_keep(inbox)
            self.had_after.add(self.after(inbox))
        self.returned_at |= dict.fromkeys(self.unwatched - away, now)
        self.unwatched, self.in_force_since = frozenset(away), now

    def _begin_to_keep(self, inbox: Inbox) -> None:
        """Account for an inbox whose files stay from now on: what is there is to be painted."""
        for pair in self.pairs_in(inbox):
            self.maybe_painted.discard(pair)
            self.surely_painted.discard(pair)
            if pair.is_whole:
                self.presences.setdefault(pair.key, Presence(self.world.times.now))

    def _cease_to_keep(self, inbox: Inbox) -> None:
        """Account for an inbox whose files leave from now on: what was painted or claimed stays.

        A second copy of what was painted may be known where it is, or is painted. A claim that the
        ledger could not record was withdrawn.
        """
        claimed = {token for path in self.claimed_at for token in self.tokens_at.get(path, ())}
        jobs = wiring.jobs(Path(self.world.path("state")))
        begun = {pair.key for pair in self._whole(keep=True)}
        pairs = [pair for pair in self.pairs_in(inbox) if pair.is_whole]
        for pair in sorted(pairs, key=lambda pair: not self._is_claimed(pair)):
            own_jobs = [job for job in jobs if pair.main in job.sources]
            is_withdrawn = not own_jobs and pair.key not in self.world.laws.seen.by_key
            if self._is_claimed(pair) and not is_withdrawn:
                mine = (job for job in own_jobs if job.state != "claimed")
                if any(self.world.contents_of(job) == pair.key.pictures for job in mine):
                    self.surely_painted.add(pair)
            elif pair.key in begun or pair.key.content in claimed:
                self.times_allowed[pair.key] += 1
            begun.add(pair.key)
        self.maybe_painted.update(pairs)

    def _is_claimed(self, pair: Pair) -> bool:
        """Return whether a pair was claimed where it is, and has not changed since."""
        since = next((at for at, each in self.whole_pairs.get(pair.main, ()) if each == pair), None)
        claimed = self.claimed_at.get(pair.main, 0.0)
        written = (self.placed_at.get(path, 0.0) for path in pair.files)
        return since is not None and claimed >= max(since, *written)
