"""The laws, checked from outside: by the bytes of files, the list of jobs, and the clock."""

import json
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from tests.simulate import wiring
from tests.simulate.contents import Content, Token
from tests.simulate.expected import Key, Pair, folded
from tests.simulate.plan import CARD, Inbox

from stylewatch_daemon.files import disks

if TYPE_CHECKING:
    from tests.simulate.account import Submission
    from tests.simulate.world import World

CLAIM_WITHIN = 60.0
"""Seconds within which a pair is claimed if nothing concerns its folders."""

PAINTED_WITHIN = 60.0
"""Seconds within which a job or the one before it is painted if nothing concerns its folders."""

LEFT_BEHIND = 12.0
"""Seconds from which on a file in the folder of a job is claimed with it: those of a pause between
the last look and the claim, and of one within each."""

FOUND_WITHIN = 15.0
"""Seconds within which the daemon has found what was dropped again."""

STYLED_WITHIN = 20.0
"""Seconds from which on a style of the library is claimed with each photograph."""

MAX_NOTES = 15
"""Number of notes from which on some may be left out."""

BACKOFF = 150.0
"""Seconds for which the daemon may wait after an obstacle is gone."""

LOOKS_EVERY = 2.0
"""Seconds between two looks at what the daemon believes of its workers, and has been asked."""

ANSWERED_WITHIN = 120.0
"""Seconds within which a request is carried out if nothing concerns the folders of its job."""

SAID_WITHIN = 60.0
"""Seconds within which the status says that a folder for results is away, also if none waits."""

TAKEN_WITHIN = 60.0
"""Seconds within which new settings are in force if no disk keeps the daemon from them."""

_STAGING = re.compile(r".*/\.staging/(?P<job>\d{8}T\d{6}\.\d{6}-[0-9a-f]{6})")


class ViolationError(BaseException):
    """A law does not hold: its number, the kind of violation, and what was seen."""

    def __init__(self, law: int, kind: str, details: str) -> None:
        super().__init__(f"law {law}: {kind}: {details}")
        self.law, self.kind, self.details = law, kind, details

    @property
    def signature(self) -> str:
        """What is the same for all violations of a kind."""
        return f"law {self.law}: {self.kind}"

    @property
    def base(self) -> str:
        """What is the same when the circumstances are fewer."""
        return f"law {self.law}: {re.split('[:,]', self.kind)[0]}"


@dataclass(frozen=True)
class Receipt:
    """A receipt in an outbox."""

    job: str
    """Id of the job."""
    key: Key
    tokens: frozenset[Token]
    is_retry: bool
    files: tuple[str, ...]
    """Its final picture and its stages."""
    early_step: int | None
    """The last step that it shows if its job was stopped early."""


@dataclass
class Seen:
    """What was seen of the outboxes since the world began."""

    receipts: dict[str, Receipt] = field(default_factory=dict)
    """Receipts by the id of the job."""
    first_at: dict[str, float] = field(default_factory=dict)
    by_key: defaultdict[Key, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Ids of jobs, without retries, by what they painted."""
    of_token: defaultdict[Token, set[str]] = field(default_factory=lambda: defaultdict(set))


class Laws:
    """The laws of a world."""

    def __init__(self, world: "World") -> None:
        self._world, self.seen = world, Seen()
        self._progress = (0, world.times.now)
        """Number of outputs in the outboxes, and since when."""
        self._progress_beside = (0, world.times.now)
        """The same while the settings lack an inbox."""
        self._looked_at = 0.0
        self._amiss: dict[tuple[str, str], float] = {}
        """Wrong beliefs of the daemon about its workers, and when each began."""
        self._notes: list[str] = []
        """Notes in the latest status of the running daemon."""
        self._unsaid: dict[str, float] = {}
        """Absences of disks that the status does not tell of, and when each began."""
        self._asked: dict[int, float] = {}
        """Requests that wait, and since when."""
        inboxes = world.plan.settings.inboxes
        roles = {role for each in inboxes for role in (each.name, each.outbox)}
        folders = [Path(world.path(role)) for role in roles]
        if world.plan.settings.has_card:
            folders.append(Path(world.plan.settings.root(CARD)))
        marks = [folder.joinpath(*disks.MARK) for folder in folders]
        self._marks = frozenset(str(path) for mark in marks for path in (mark, mark.parent))
        """The marks of disks, and their folders."""

    # -- after each step

    def check(self) -> None:
        """Check what holds at any moment; raises ViolationError."""
        world = self._world
        files = world.snapshot.files
        self._take(files)
        self._check_strangers(files)
        self._read_receipts(world.snapshot.below)
        self._read_receipts(files)
        self._check_owed(files)
        self._check_outboxes(files)
        self._check_numbers()
        self._check_below()

    def take(self) -> None:
        """Notice which files have left the inboxes, or were put back."""
        self._take(self._world.snapshot.files)

    def _take(self, files: dict[str, bytes]) -> None:
        account, settings = self._world.account, self._world.plan.settings
        for inbox in settings.inboxes:
            folder = self._world.path(inbox.name)
            for path in [path for path in account.placed if path.startswith(f"{folder}/")]:
                content, data = account.placed[path], files.get(path)
                if data == content.data:
                    continue
                if data is not None:
                    raise ViolationError(4, "a file was changed", self._short(path))
                self._left(inbox, path, content)
            for path, data in files.items():
                if path.startswith(f"{folder}/") and path not in account.placed:
                    self._put_back(path, data)

    def _left(self, inbox: Inbox, path: str, content: Content) -> None:
        """Account for a file that has left its inbox."""
        account = self._world.account
        began = account.claimed_at.get(path, self._world.times.now)
        if account.keeps(inbox) and began > account.new_after_since.get(inbox.name, 0.0):
            raise ViolationError(4, "a file was removed in spite of after: keep", self._short(path))
        if path in account.untouchable or path in account.shared:
            kind = f"a file was taken that is no job's: {self._sort(path)}"
            raise ViolationError(4, kind, self._short(path))
        if path not in account.ever_paired:
            raise ViolationError(4, "a file was taken that has no partner", self._short(path))
        del account.placed[path]
        account.taken[content.token].append(self._jobs_of(inbox, path))
        account.vacated.add(path)
        if account.is_surely_painted(path):
            kind = "a file was removed that was painted while files stayed"
            raise ViolationError(4, kind, self._short(path))
        if inbox.name in account.unwatched and began > account.in_force_since:
            raise ViolationError(4, "a file was taken that is in no inbox", self._short(path))
        for since, pair in account.whole_pairs.get(path, []):
            if began - since > LEFT_BEHIND:
                mine = (each for each in pair.files if each != path and each not in account.shared)
                account.left_behind.update(dict.fromkeys(mine, path))

    def _jobs_of(self, inbox: Inbox, path: str) -> int:
        """Return the number of jobs for which a file has just been taken: those of its claim.

        A style that is added to the library at this moment is not among them, and the photograph
        goes when these are done (laws 1 and 5).
        """
        account, now = self._world.account, self._world.times.now
        claimed = {
            job.id
            for job in wiring.jobs(Path(self._world.path("state")))
            if path in job.sources and job.state == "claimed" and job.id not in account.counted_jobs
        }
        latest = max(claimed, default="").partition("-")[0]  # an older claim may be stuck
        jobs = {each for each in claimed if each.startswith(latest)}
        account.counted_jobs |= jobs
        quiet = self.quiet_since(inbox)
        pairs = [
            pair
            for since, pair in account.whole_pairs.get(path, [])
            if quiet is not None and now - max(since, quiet) > STYLED_WITHIN
            if not self._is_concerned(pair)
        ]
        if len(pairs) > len(jobs) > 0 and not self._is_unreadable(self._world.path("styles")):
            kind = "a photograph is claimed without a style"
            raise ViolationError(5, kind, f"{self._short(path)}: {len(jobs)} of {len(pairs)}")
        return max(1, len(jobs))

    def _put_back(self, path: str, data: bytes) -> None:
        account = self._world.account
        content = self._world.contents.of(data)
        is_ours = self._is_hidden(path) or path.endswith((".part", ".tmp"))
        if content is None or is_ours or path in account.untouchable:
            return
        is_card = any(path.startswith(f"{disk.root}/") for disk in self._world.faults.cards)
        # it was away when its job was deleted, perhaps one of several with the same pictures
        is_doomed = is_card and content.token in account.doomed
        if account.taken[content.token]:
            account.taken[content.token].pop()
            left_behind = account.left_behind.items()
            account.left_behind = {each: main for each, main in left_behind if main != path}
        elif not (is_doomed or self._is_of_backup(path, content)):
            return
        account.placed[path] = content
        account.allow_put_back(path, again=is_doomed)

    def _is_of_backup(self, path: str, content: Content) -> bool:
        """Return whether a file may come from a claim in a state folder that was restored."""
        account = self._world.account
        return account.has_restored and content.token in account.tokens_at.get(path, ())

    def _is_hidden(self, path: str) -> bool:
        below = path.removeprefix(self._world.disks.root)
        return any(part.startswith((".", "#")) for part in below.split("/") if part)

    def _is_no_receipt(self, path: str) -> bool:
        return self._is_hidden(path) or path in self._world.account.untouchable

    def _short(self, path: str) -> str:
        return path.removeprefix(f"{self._world.disks.root}/")

    def _check_strangers(self, files: dict[str, bytes]) -> None:
        for path, data in self._world.account.untouchable.items():
            if files.get(path) != data:
                how = "changed" if path in files else "removed"
                kind = f"a stranger's file was {how}: {self._sort(path)}"
                raise ViolationError(4, kind, self._short(path))

    def _sort(self, path: str) -> str:
        """Return what sort of file, of those that are no job's, is at a path."""
        account = self._world.account
        if path in account.left_out:
            return "the clip of a live photo" if path.endswith(".mp4") else "left by version 1"
        if "/#recycle/" in path:
            return "in a recycle bin"
        if path in account.shared:
            return "an album's style"
        return "a sync conflict" if "conflict" in path else "of somebody"

    def _check_owed(self, files: dict[str, bytes]) -> None:
        """Check that what was taken is somewhere."""
        account, world = self._world.account, self._world
        taken = {token for token, files in account.taken.items() if files}
        if not taken:
            return
        there = set[Token]()
        for path, data in files.items():
            content = world.contents.of(data)
            if content is not None and content.token in taken and self._counts(path):
                there.add(content.token)
        for data in (*world.snapshot.below.values(), *world.snapshot.spare.values()):
            if (content := world.contents.of(data)) is not None:
                there.add(content.token)
        for token in sorted(taken - there):
            if not self._is_forgiven(token):
                is_late = token in account.completed_late
                kind = "late bytes are lost" if is_late else "a picture is lost"
                raise ViolationError(1, kind, f"<{token}>, dropped as {self._name_of(token)}")

    def _counts(self, path: str) -> bool:
        """Return whether a file at a path is safe there."""
        world, short = self._world, self._short(path)
        name = path.rpartition("/")[2]
        if "/trash/" in short or (name.startswith(".") and name.endswith(".tmp")):
            return False
        roles = [role for role in world.plan.settings.roles if role not in ("styles", "finals")]
        return any(path.startswith(f"{world.path(role)}/") for role in roles)

    def _is_forgiven(self, token: Token) -> bool:
        """Return whether the settings said that a file be deleted, after its jobs were done."""
        is_delete = "delete" in self._world.account.had_after
        done = len(self.seen.of_token[token])
        return is_delete and done >= sum(self._world.account.taken[token])

    def _name_of(self, token: Token) -> str:
        names = (
            drop.at(path)
            for drop in self._world.account.drops
            for path, content in drop.files.items()
            if content.token == token
        )
        return next(names, "?")

    # -- the outboxes

    def _read_receipts(self, files: dict[str, bytes]) -> None:
        for path, data in files.items():
            if path.endswith("/receipt.json") and not self._is_no_receipt(path):
                receipt = self._parsed(path, data)
                if receipt.job not in self.seen.receipts:
                    self._add(receipt)

    def _add(self, receipt: Receipt) -> None:
        seen = self.seen
        lacking = self._world.account.came_in_time.get(receipt.key.content, set()) - receipt.tokens
        if lacking and not receipt.is_retry:
            kind = "a part that came before its pair could be moved is left behind"
            raise ViolationError(5, kind, f"{receipt.key} lacks {sorted(lacking)}")
        self._check_early(receipt)
        seen.receipts[receipt.job] = receipt
        seen.first_at[receipt.job] = self._world.times.now
        for token in receipt.tokens:
            seen.of_token[token].add(receipt.job)
        if not receipt.is_retry:
            seen.by_key[receipt.key].add(receipt.job)

    def _check_early(self, receipt: Receipt) -> None:
        """Check that a job shows what it had when it was asked to finish."""
        account = self._world.account
        had = account.finish_steps.get(receipt.job, 0)
        if receipt.early_step is not None and receipt.early_step < had and not account.has_restored:
            kind = "a job that was asked to finish shows less than it had"
            raise ViolationError(1, kind, f"{receipt.key}: step {receipt.early_step}, not {had}")

    def _parsed(self, path: str, data: bytes) -> Receipt:
        try:
            plain: dict[str, Any] = json.loads(data)
            roles = [(role, int(token)) for role, token in plain["tokens"]]
            styles = tuple(token for role, token in roles if role == "style")
            of = dict(roles)
            key = Key(of.get("content", 0), styles, of.get("content-mask", 0), plain["seed"])
            tokens = frozenset({*(token for _, token in roles), plain["seed"]})
            files = (plain["final"], *(stage["file"] for stage in plain["stages"]))
            last = max((stage["step"] for stage in plain["stages"]), default=0)
            early_step = last if plain["state"] == "stopped early" else None
            is_retry = bool(plain["retry_of"])
            return Receipt(plain["id"], key, tokens, is_retry, files, early_step)
        except (ValueError, KeyError) as error:
            raise ViolationError(3, "half a receipt", self._short(path)) from error

    def _check_outboxes(self, files: dict[str, bytes]) -> None:
        world = self._world
        settings = world.plan.settings
        folders = {world.path(inbox.outbox) for inbox in settings.inboxes}
        if settings.has_finals:
            folders.add(world.path("finals"))
        for path, data in files.items():
            folder = next((each for each in folders if path.startswith(f"{each}/")), "")
            if folder and not self._is_hidden(path):
                self._check_output(path.removeprefix(f"{folder}/"), path, data)
                if path.endswith("/receipt.json") and not self._is_no_receipt(path):
                    self._check_complete(path.removesuffix("/receipt.json"), files)

    def _check_output(self, short: str, path: str, data: bytes) -> None:
        world, name = self._world, path.rpartition("/")[2]
        if name in ("_status.txt", "receipt.json", "job.yaml") or path in world.account.untouchable:
            return
        if name == "reason.txt" and data.endswith(b"\n"):
            if short.startswith("_refused/") and data == b"canceled\n":
                raise ViolationError(5, "a canceled job is in _refused", self._short(path))
            return
        is_input = short.startswith(("_refused/", "_canceled/")) or "/inputs/" in short
        if is_input and data in world.contents.unfinished:
            if not data:
                raise ViolationError(5, "an empty file was taken", self._short(path))
            return
        if (is_input and data in world.contents.by_data) or data in world.outputs:
            return
        raise ViolationError(3, "half a file in the outbox", f"{self._short(path)}: {data[:60]!r}")

    def _check_complete(self, folder: str, files: dict[str, bytes]) -> None:
        """Check that a folder with a receipt has all that the receipt names."""
        world = self._world
        receipt = self._parsed(folder, files[f"{folder}/receipt.json"])
        if receipt.job in world.account.deleted_jobs | world.account.outlived_jobs:
            return
        for name in receipt.files:
            if f"{folder}/{name}" not in files:
                raise ViolationError(
                    3, "a receipt before its files", f"{folder}: {name} is missing"
                )
        if world.account.new_after:
            return
        outboxes = {world.path(inbox.outbox): inbox.after for inbox in world.plan.settings.inboxes}
        after = next(outboxes[each] for each in outboxes if folder.startswith(f"{each}/"))
        is_alone = list(outboxes.values()) == ["archive"] * len(world.plan.settings.inboxes)
        is_plain = not (receipt.is_retry or receipt.key.content in world.account.completed_late)
        if after == "archive" and is_alone and is_plain and not world.plan.settings.default_style:
            inputs = {files[path] for path in files if path.startswith(f"{folder}/inputs/")}
            tokens = {known.token for data in inputs if (known := world.contents.of(data))}
            if receipt.key.content not in tokens:
                raise ViolationError(3, "a receipt before its inputs", self._short(folder))

    def _check_numbers(self) -> None:
        """Check that nothing was painted twice."""
        account = self._world.account
        for key, jobs in self.seen.by_key.items():
            times = account.times_allowed[key] + (not account.removed_styles.isdisjoint(key.tokens))
            if times and account.has_restored:
                continue  # the ledger has forgotten what it did since
            if len(jobs) > times and account.completed_late.isdisjoint(key.tokens):
                kind = self._twice(key) if times else "painted, though no pair"
                raise ViolationError(2, kind, f"{key}: {len(jobs)} times instead of {times}")
        retries = [receipt for receipt in self.seen.receipts.values() if receipt.is_retry]
        for receipt in retries:
            content = receipt.key.content
            number = sum(each.key.content == content for each in retries)
            if number > account.retries[content]:
                raise ViolationError(2, "retried twice", f"{receipt.key}: {number} times")

    def _twice(self, key: Key) -> str:
        """Describe what came before something was painted twice."""
        world = self._world
        _, what = world.account.stories.get(key.content) or max(
            [(0.0, "is dropped"), *world.disturbances.stories]
        )
        keeps = "keep" in world.account.had_after
        return f"painted twice, {'with keep, ' * keeps}after it {what}"

    def _check_below(self) -> None:
        """Check that nothing is written below the mount point of a disk that was there."""
        for path in self._world.snapshot.below:
            name = path.rpartition("/")[2]
            is_job = name != "_status.txt" and not name.endswith(".tmp")
            if is_job and path not in self._world.snapshot.excused_below:
                raise ViolationError(2, "written below the mount point", self._short(path))

    # -- as time passes

    def check_waiting(self) -> None:
        """Check that no pair waits for folders that are not its own."""
        world = self._world
        account, now = world.account, world.times.now
        if not world.daemon.is_up or account.being_written:
            return
        self._check_beside_finals()
        late: list[tuple[Inbox, Pair]] = []
        inboxes = world.plan.settings.inboxes
        for inbox in (each for each in inboxes if each.name not in account.unwatched):
            folder = f"{world.path(inbox.name)}/"
            waiting = [
                (main, placed, pair)
                for main, pairs in account.whole_pairs.items()
                for placed, pair in pairs
                if now - placed > CLAIM_WITHIN
                and main.startswith(folder)
                and main in account.placed
                and not (account.may_stay(inbox, pair) and self.is_settled(pair.key))
            ]
            for has_default in {pair.has_default for _, _, pair in waiting}:
                since = self.quiet_since(inbox, has_default=has_default)
                if since is None or now - since < CLAIM_WITHIN:
                    continue
                late += [
                    (inbox, pair)
                    for _, placed, pair in waiting
                    if pair.has_default is has_default
                    and now - max(placed, since) > self._claim_within(pair)
                    and not self._is_concerned(pair)
                ]
        if late:
            self._check_claimed(late)

    def check_heart(self) -> None:
        """Check that workers and jobs know each other, and that requests are answered."""
        heart, now = self._world.daemon.heart, self._world.times.now
        if heart is None or not self._world.daemon.is_up or heart.is_disturbed:
            self._amiss.clear()
            self._asked.clear()
            self._unsaid.clear()
        elif heart.is_crowded:
            raise ViolationError(12, "a worker in the place of a training", "")
        elif now - self._looked_at >= LOOKS_EVERY:
            self._looked_at = now
            self._check_workers(heart)
            self._check_requests(heart)
            self._check_settings(heart)
            self._check_unwatched()
            self._check_said(heart)
            self._notes = heart.notes

    def _check_said(self, heart: wiring.Heart) -> None:
        """Check that the status tells of outboxes and finals folders that are away (law 16)."""
        world, settings, now = self._world, self._world.plan.settings, self._world.times.now
        watched = [each for each in settings.inboxes if each.name not in world.account.unwatched]
        roles = {inbox.outbox for inbox in watched}
        disks = {settings.disk_of(role) for role in {*roles, *["finals"] * settings.has_finals}}
        away = [each for each in world.faults.active if each.is_absence and each.disk in disks]
        unsaid = [each.what for each in away if heart.says_all_is_well]
        self._unsaid = {what: self._unsaid.get(what, now) for what in unsaid}
        for what, since in self._unsaid.items():
            if now - max(since, world.daemon.up_since) > SAID_WITHIN:
                raise ViolationError(16, "all is well while a folder for results is away", what)

    def _check_workers(self, heart: wiring.Heart) -> None:
        now = self._world.times.now
        if any(disk.is_hung for disk in self._world.disks):
            self._amiss.clear()  # a worker may be held up in its last call
            return
        lasting = dict.fromkeys(heart.amiss(), wiring.HEARD_WITHIN)
        if self._world.plan.settings.learn_minutes:
            lasting |= {(kind, which): most for kind, which, most in heart.amiss_in_learning()}
        self._amiss = {each: self._amiss.get(each, now) for each in lasting}
        for (kind, which), since in self._amiss.items():
            if now - since > lasting[kind, which]:
                raise ViolationError(12, kind, which)

    def _check_requests(self, heart: wiring.Heart) -> None:
        world, now = self._world, self._world.times.now
        asked = heart.requests()
        self._asked = {id_: self._asked.get(id_, now) for id_, _, _ in asked}
        late = [each for each in asked if now - self._asked[each[0]] > ANSWERED_WITHIN]
        if not late or world.account.being_written:
            return
        jobs = {job.id: job for job in wiring.jobs(Path(world.path("state")))}
        quiet = [self.quiet_since(inbox) for inbox in world.plan.settings.inboxes]
        for id_, verb, job_id in late:
            job = jobs.get(job_id)
            if None in quiet or (job is not None and self._concerns(job)):
                continue
            since = max(self._asked[id_], *(each for each in quiet if each is not None))
            if now - since > ANSWERED_WITHIN:
                what = f"{job.title}, {job.state}" if job else job_id
                raise ViolationError(5, f"a request is not answered: {verb}", what)

    def _check_settings(self, heart: wiring.Heart) -> None:
        """Check that new settings are in force, or that the status says why not (law 15)."""
        world, written = self._world, self._world.account.written
        quiet = [self.quiet_since(inbox) for inbox in world.plan.settings.inboxes]
        if None in quiet:
            return
        since = max(written.since, *(each for each in quiet if each is not None))
        if world.times.now - since > TAKEN_WITHIN:
            if bool(heart.problem) is not written.is_wrong:
                raise ViolationError(15, "wrong settings", heart.problem or "nothing is said")
            of_now = heart.quiet_s, world.account.in_force
            if of_now != (written.quiet_s, world.account.wanted) and not written.is_wrong:
                raise ViolationError(15, "new settings are not in force", str(written))

    def _check_beside_finals(self) -> None:
        """Check that pictures come into the outboxes while the finals folder is away (law 9)."""
        world, now = self._world, self._world.times.now
        settings = world.plan.settings
        if not settings.has_finals:
            return
        disk = settings.disk_of("finals")
        is_away = any(fault.disk == disk and fault.is_absence for fault in world.faults.active)
        others = (settings.disk_of(role) for role in settings.roles if role != "finals")
        if not is_away or disk in others:
            return
        quiet = [
            self.quiet_since(inbox, with_finals=False, with_memory=True)
            for inbox in settings.inboxes
        ]
        number, unpainted = self._unpainted()
        since = self._progress[1]
        if number != self._progress[0] or not unpainted or None in quiet or self._is_slow:
            self._progress = number, now
        elif now - max(since, *(each for each in quiet if each is not None)) > PAINTED_WITHIN:
            kind = "a job of an outbox waits for the finals folder of another"
            raise ViolationError(9, kind, ", ".join(job.title for job in unpainted))

    def _unpainted(self) -> tuple[int, list[wiring.JobSeen]]:
        """Return the jobs that nothing keeps from being painted, and the number of all others."""
        world = self._world
        jobs = wiring.jobs(Path(world.path("state")))
        unpainted = [
            job
            for job in jobs
            if job.state in ("queued", "running", "ending")
            and job.end in ("", "done", "stopped early")
            and job.id not in {*self.seen.receipts, *world.crashes}
            and not self._concerns(job)
        ]
        return len(jobs) - len(unpainted), unpainted

    @property
    def is_held(self) -> bool:
        """True if jobs may wait although nothing is in their way."""
        settings = self._world.plan.settings
        is_paused = Path(self._world.path("state"), "paused").exists()
        return is_paused or settings.hours is not None or settings.learn_minutes > 0

    @property
    def _is_slow(self) -> bool:
        """True if jobs may take long although nothing is in their way."""
        return self.is_held or self._world.plan.settings.stage_s > 10

    def _check_unwatched(self) -> None:
        """Check that jobs go on whose inbox has left the settings (law 15)."""
        world, now = self._world, self._world.times.now
        folders = {world.path(name) for name in world.account.unwatched}
        if not folders:
            return
        quiet = [self.quiet_since(each, with_memory=True) for each in world.plan.settings.inboxes]
        number, unpainted = self._unpainted()
        waiting = [job.title for job in unpainted if job.inbox in folders]
        known, since = self._progress_beside
        if number != known or not waiting or None in quiet or self._is_slow:
            self._progress_beside = number, now
        elif now - max(since, *(each for each in quiet if each is not None)) > PAINTED_WITHIN:
            kind = "a job waits for its inbox to be in the settings"
            raise ViolationError(15, kind, ", ".join(waiting))

    def _claim_within(self, pair: Pair) -> float:
        """Return the seconds within which a pair is claimed; one that was open is tried again."""
        is_slow = not self._world.account.written_slowly.isdisjoint(pair.key.tokens)
        return BACKOFF if is_slow else CLAIM_WITHIN

    def quiet_since(
        self,
        inbox: Inbox,
        *,
        has_default: bool = True,
        with_finals: bool = True,
        with_memory: bool = False,
    ) -> float | None:
        """Return since when nothing has concerned pairs of an inbox; None if a fault does now.

        The library concerns only pairs with a style of it (law 9).
        """
        world, settings = self._world, self._world.plan.settings
        roles = [inbox.name, inbox.outbox, "state"]
        if has_default:
            roles.append("styles")
        if settings.has_finals and with_finals:
            roles.append("finals")
        names = {*(settings.disk_of(role) for role in roles), "", "system"}
        if "waves" in dict(settings.disks):
            names.add("waves")
        if settings.has_card and inbox.name == "in":
            names.add(CARD)
        if with_memory:
            names.add("memory")
        if any(fault.disk in names for fault in world.faults.active):
            return None
        disturbed = [at for disk, at in world.disturbances.last.items() if disk in names]
        backoff = [at + BACKOFF for at in disturbed]
        touched = world.account.touched_at.get(inbox.name, 0.0)
        return max(touched, world.daemon.up_since, *backoff)

    def _check_claimed(self, late: list[tuple[Inbox, Pair]]) -> None:
        world = self._world
        jobs = wiring.jobs(Path(world.path("state")))
        contents = [world.contents_of(job) for job in jobs]
        unread = [world.tokens_of(job) for job in jobs if self._concerns(job)]
        for inbox, pair in late:
            main, key = pair.main, pair.key
            is_known = key.pictures in contents  # under one name or another
            is_known = is_known or any(key.pictures <= tokens for tokens in unread)
            if world.account.may_stay(inbox, pair) and is_known:
                continue
            since = world.times.now - CLAIM_WITHIN
            absent = [what for what, until in world.faults.absences.items() if until > since]
            where = f"{self._short(main)} in {inbox.name}"
            if absent:
                kind = f"a pair waits for another folder: {absent[0].partition(' ')[0]}"
                raise ViolationError(6, kind, f"{where}: {absent[0]}")
            raise ViolationError(5, f"a pair is not claimed in time{self._why(main)}", where)

    def _why(self, main: str) -> str:
        """Describe what may keep a pair from being claimed."""
        world = self._world
        folder = main.rpartition("/")[0]
        names = [path for path in world.account.placed if path.startswith(folder)]
        if any(unicodedata.normalize("NFC", name) != name for name in names):
            return ", with a name in NFD"
        if world.daemon.blocked:
            return f", while {'; '.join(sorted({*map(_bare, world.daemon.blocked.values())}))}"
        return ""

    def is_settled(self, key: Key) -> bool:
        """Return whether a pair was painted, or will not be."""
        account = self._world.account
        return bool(self.seen.by_key[key]) or key.content in account.given_up

    # -- beside what stays unreadable

    def _is_unreadable(self, *paths: str) -> bool:
        """Return whether one of these is unreadable, or was so until a while ago, or what is in it.

        A folder other than the world's folders counts whole.
        """
        since = self._world.times.now - BACKOFF
        recent = [path for path, until in self._world.faults.unreadable.items() if until > since]
        return any(
            path == each or path.startswith(f"{each}/") or each.startswith(f"{path}/")
            for path in paths
            for each in recent
        )

    def _is_concerned(self, pair: Pair) -> bool:
        """Return whether a pair may wait for something unreadable in its folder, or for a mark."""
        inboxes = {self._world.path(inbox.name) for inbox in self._world.plan.settings.inboxes}
        folders = {path.rpartition("/")[0] for path in pair.files} - inboxes
        styles = [self._world.path("styles")] if pair.has_default else []
        clip = f"{pair.main.rpartition('.')[0]}.mp4"  # it may be that of a live photo, or a job
        waits = self._is_unreadable(*pair.files, clip, *folders, *styles, *_marks(pair.files))
        return waits or self._is_ignored(pair) or self._has_begun_claim(pair)

    def _has_begun_claim(self, pair: Pair) -> bool:
        """Return whether a claim of a pair has begun that cannot be read, as the daemon says."""
        inbox = next(each for each in self._world.plan.settings.inboxes
                     if pair.main.startswith(f"{self._world.path(each.name)}/"))  # fmt: skip
        short = pair.main.removeprefix(f"{self._world.path(inbox.name)}/")
        claims = self._world.path("state") + "/claims/"
        daemon, since = self._world.daemon, self._world.times.now - BACKOFF
        unreadable = self._world.faults.unreadable.items()
        if not any(path.startswith(claims) and until > since for path, until in unreadable):
            return False
        lately = {name: why for name, (at, why) in daemon.waited.items() if at > since}
        is_said = any(
            "/claims/" in why and folded(short).startswith(folded(name))
            for name, why in {**lately, **daemon.blocked}.items()
        )
        jobs = wiring.jobs(Path(self._world.path("state")))
        return is_said or any(job.state == "claimed" and pair.main in job.sources for job in jobs)

    def _is_ignored(self, pair: Pair) -> bool:
        """Return whether a file of a pair is ignored, or was so until a while ago."""
        account, since = self._world.account, self._world.times.now - BACKOFF
        names = {name for name, until in account.ignored_until.items() if until > since}
        return any(not names.isdisjoint(path.split("/")) for path in pair.files)

    def _concerns(self, job: wiring.JobSeen) -> bool:
        """Return whether a job may wait for something that is unreadable."""
        world = self._world
        outboxes = {world.path(inbox.outbox) for inbox in world.plan.settings.inboxes}
        places = [f"{outbox}/{inner}{name}" for outbox in outboxes
                  for name in (job.name, job.title)
                  for inner in ("", "_refused/", "_canceled/")]  # fmt: skip
        places += [f"{outbox}/.staging/{job.id}" for outbox in outboxes]
        state = world.path("state")
        places += [f"{state}/jobs/{job.id}", f"{state}/claims/{job.id}"]
        folders = {path.rpartition("/")[0] for path in job.sources}
        folders -= {world.path(inbox.name) for inbox in world.plan.settings.inboxes}
        if job.inbox in {world.path(inbox.name) for inbox in world.faults.cards.values()}:
            return True  # its originals may be on the card that has no turn
        is_held = any(job.id in path for path in world.faults.unreadable)
        return is_held or self._is_unreadable(*job.sources, *folders, *places, *_marks(job.sources))

    def check_beside(self) -> None:
        """Check that all is done that is not concerned; raises ViolationError."""
        for kind, what in self._open_jobs(self._concerns):
            raise ViolationError(9, f"beside what is unreadable, {kind}", what)
        waiting = [
            self._world.tokens_of(job)
            for job in wiring.jobs(Path(self._world.path("state")))
            if not job.has_ended
        ]

        def is_excused(pair: Pair) -> bool:
            is_begun = any(pair.key.pictures <= tokens for tokens in waiting)
            return is_begun or self._is_concerned(pair)

        for kind, what in self._open_pairs(is_excused):
            raise ViolationError(9, f"beside what is unreadable, {kind}", what)

    def check_card(self) -> None:
        """Check that all is done of cards before others take their turns; raises ViolationError."""
        for kind, what in self._open_pairs():
            raise ViolationError(5, f"a card has had its turn, {kind}", what)
        for path in self._temporary():
            name = path.rpartition("/")[2]
            if any(path.startswith(f"{disk.root}/") for disk in self._world.faults.cards):
                raise ViolationError(5, f"a card has had its turn, with {name}", self._short(path))

    # -- once all faults have ceased

    def unfinished(self) -> str:
        """Return what is still to be done; empty if nothing is."""
        for _, what in self._open():
            return what
        return ""

    def check_end(self) -> None:
        """Check what holds once nothing more happens; raises ViolationError."""
        for kind, what in self._open():
            raise ViolationError(5, kind, what)
        if Path(self._world.path("state"), "paused").exists():  # the world asks to resume last
            raise ViolationError(5, "a request was undone by an earlier one", "paused")
        self._check_jobs()
        self._check_finals()
        self._check_published()
        self._check_left()
        if tries := wiring.tries_left(Path(self._world.path("state"))):
            raise ViolationError(7, "a try has left its files", f"{tries}")
        self._check_notes()
        self._check_hooks()
        for submission in self._world.account.followed:
            where = f"{submission.drop.name} in {submission.drop.inbox.name}"
            raise ViolationError(5, "a follower waits for good", where)
        for path in self._world.account.left_behind:
            if path in self._world.account.placed:
                raise ViolationError(5, "a file of a pair is left behind", self._short(path))

    def check_follower(self, submission: "Submission") -> None:
        """Check that whoever follows a submission names its job, and an end that it has."""
        world, account, said = self._world, self._world.account, submission.said
        if account.has_restored:
            return  # the ledger has forgotten jobs since
        drop, name = submission.drop, submission.follower.job
        folder = f"{world.path(drop.inbox.name)}/{drop.name}/"
        others = {each.job for each in account.submissions if each is not submission}
        of_drop = {each.token for each in drop.files.values()}
        tokens = submission.tokens | of_drop | account.completed_late
        mine = {
            job.id: job
            for job in wiring.jobs(Path(world.path("state")))
            if not (job.retry_of or job.id in submission.before | others)
            if any(path.startswith(folder) for path in job.sources)
            if not (contents := world.contents_of(job)) or contents & tokens
        }
        what = f"{self._short(folder)} {said}"
        if name and name not in mine:
            raise ViolationError(5, "a follower names another job", f"{what} {name}")
        if not said:
            return
        if name and mine[name].end != said:
            raise ViolationError(5, "a follower says an end that its job does not have", what)
        is_deleted = submission.job in account.deleted_jobs | account.outlived_jobs
        if not (name or is_deleted) and mine:
            raise ViolationError(5, "a follower does not know its job", what)
        is_there = any(
            account.placed.get(path) is each and path.startswith(f"{folder}content")
            for path, each in drop.paths(world.path(drop.inbox.name)).items()
        )
        if "was removed" in said and is_there and not is_deleted:
            raise ViolationError(5, "a follower takes a pair for removed that is there", what)
        names = {drop.name, *map(drop.at, drop.files)}
        is_ignored = not names.isdisjoint(account.ignored_until)
        # the inbox may not have kept files when it was submitted
        has_changed = drop.inbox.name in account.new_after
        if "is skipped" in said and not (is_ignored or has_changed):
            raise ViolationError(3, "what was submitted is not painted", what)

    def _check_published(self) -> None:
        """Check that jobs know their inputs as they were published last, in one folder (law 1)."""
        for job, files in wiring.published(Path(self._world.path("state"))):
            folders = {path.rpartition("/")[0] for path, part in files.items() if part == "refused"}
            if len(folders) > 1:
                where = ", ".join(sorted(folders))
                raise ViolationError(1, "a refused pair is in two folders", where)
            if unknown := wiring.unknown_inputs(job, files):
                raise ViolationError(1, "a published input is not known to its job", unknown)

    def _check_hooks(self) -> None:
        """Check that each end had its hook; a kill may have come before its command began."""
        world = self._world
        deeds = {deed.what for deed in world.plan.deeds}
        if not world.plan.settings.has_hooks or deeds & {"kill", "power", "grab", "restore"}:
            return
        for job in wiring.jobs(Path(world.path("state"))):
            if (
                job.end in ("done", "stopped early", "refused", "failed")
                and not world.hooks[job.id]
            ):
                raise ViolationError(5, "an end has had no hook", f"{job.title}: {job.end}")

    def _check_notes(self) -> None:
        """Check that pairs under other names than those that were painted are named (law 3)."""
        world = self._world
        kept = [each for each in world.plan.settings.inboxes if world.account.keeps(each)]
        folders = {world.path(each.name) for each in kept}
        jobs = [job for job in wiring.jobs(Path(world.path("state"))) if job.inbox in folders]
        for inbox in kept:
            for pair in world.account.pairs_in(inbox):
                mine = [job for job in jobs if world.contents_of(job) == pair.key.pictures]
                is_own = any(pair.main in job.sources for job in mine)
                if not mine or is_own or pair.key.content in world.account.given_up:
                    continue
                short = pair.main.removeprefix(f"{world.path(inbox.name)}/")
                is_named = any(short in note for note in self._notes)
                if len(self._notes) < MAX_NOTES and not is_named:
                    where = f"{self._short(pair.main)} in {inbox.name}, not in {self._notes}"
                    raise ViolationError(3, "a second copy is not named", where)
        for pair in world.account.surely_painted:
            name = pair.main.rpartition("/")[2]
            is_named = any(name in note for note in self._notes)
            if pair.main in world.account.placed and len(self._notes) < MAX_NOTES and not is_named:
                where = f"{self._short(pair.main)}, not in {self._notes}"
                raise ViolationError(3, "what stays though `after` has changed is not named", where)

    def _open(self) -> Iterator[tuple[str, str]]:
        """Yield what is still to be done: kinds of violations, once it is too late, and where."""
        yield from self._open_jobs()
        yield from self._open_pairs()
        for path in self._temporary():
            parts = [part for part in path.split("/") if part.startswith((".st", ".pr"))]
            name = (
                re.sub(r"-.*", "-", parts[0])
                if parts
                else path.rpartition("/")[0].rpartition("/")[2]
            )
            yield f"something temporary is left in {name}", self._short(path)

    def _open_jobs(
        self, excused: Callable[[wiring.JobSeen], bool] = lambda job: False
    ) -> Iterator[tuple[str, str]]:
        world = self._world
        for job in wiring.jobs(Path(world.path("state"))):
            if not (job.has_ended or excused(job)):
                reason = world.daemon.blocked.get(job.title) or job.reason
                kind = f"a job does not end: {job.state} {job.end} {_bare(reason)}"
                yield kind, f"{job.title}: {reason}"

    def _open_pairs(
        self, excused: Callable[[Pair], bool] = lambda pair: False
    ) -> Iterator[tuple[str, str]]:
        account = self._world.account
        for inbox in self._world.plan.settings.inboxes:
            for pair in account.pairs_in(inbox):
                if not pair.is_whole or excused(pair):
                    continue
                if not account.may_stay(inbox, pair):
                    yield f"a pair is not claimed{self._why(pair.main)}", self._short(pair.main)
                elif (missing := self._missing(pair)) and pair.main in account.placed:
                    yield missing, f"{self._short(pair.main)}: {pair.key}"

    def _missing(self, pair: Pair) -> str:
        """Return what a pair that stays in its inbox lacks."""
        account = self._world.account
        key, presence = pair.key, account.presences.get(pair.key)
        excused = account.completed_late | self._world.contents.odd
        if key.content in account.given_up or presence is None or key.tokens & excused:
            return ""
        jobs = self.seen.by_key[key]
        if not jobs:
            return "a pair is not painted"
        gone, world = presence.gone_since, self._world
        settings = world.plan.settings
        if gone is None or presence.since - gone < 2 * settings.rescan_s + CLAIM_WITHIN:
            return ""
        seen = presence.since + FOUND_WITHIN  # what the last scans lacked is forgotten at a start
        is_disturbed = any(gone - 1 <= at <= seen for at in world.disturbances.all)
        if is_disturbed or key.tokens <= self._kept_beside(pair):
            return ""
        if all(self.seen.first_at[job] < presence.since for job in jobs):
            return "a pair that was removed and dropped again is not painted"
        return ""

    def _kept_beside(self, pair: Pair) -> set[Token]:
        """Return the contents that stay in inboxes in other files than those of a pair."""
        world = self._world
        account, inboxes = world.account, world.plan.settings.inboxes
        kept = [each for each in inboxes if account.keeps(each) or each.name in account.new_after]
        folders = tuple(f"{world.path(each.name)}/" for each in kept)
        others = {path: each for path, each in account.placed.items() if path not in pair.files}
        beside = {each.token for path, each in others.items() if path.startswith(folders)}
        return beside | account.hidden_tokens

    def _temporary(self) -> Iterator[str]:
        world = self._world
        for folder in wiring.temporary_names(world.plan.settings):
            spot = Path(folder)
            if spot.is_dir():
                yield from (str(path) for path in spot.iterdir())
        account, unknown = world.account, self._unknown_staging()
        for path in world.snapshot.paths():
            is_theirs = any(f"{each}/".startswith(f"{path}/") for each in account.untouchable)
            is_excused = is_theirs or path in self._marks or path.startswith(unknown)
            if not is_excused and _is_temporary(path):
                yield path

    def _unknown_staging(self) -> tuple[str, ...]:
        """Return the folders in `.staging` of jobs that a restored ledger does not know.

        They may be those of another stylewatch with the same outbox.
        """
        world = self._world
        if not world.account.has_restored:
            return ()
        known = {job.id for job in wiring.jobs(Path(world.path("state")))}
        found = (_STAGING.match(path) for path in world.snapshot.paths())
        return tuple({match[0] for match in found if match and match["job"] not in known})

    def _check_marks(self) -> None:
        """Check that the trash and the favorites have the jobs that users marked last."""
        account = self._world.account
        if account.has_restored:
            return  # the backup has other marks
        jobs = wiring.jobs(Path(self._world.path("state")))
        gone = account.outlived_jobs - {job.id for job in jobs}
        trashed = {job.id for job in jobs if job.is_trashed}
        favorites = {job.id for job in jobs if job.is_favorite}
        if wrong := trashed ^ (account.trashed_jobs - gone):
            raise ViolationError(5, "the trash has other jobs than users moved there", f"{wrong}")
        if wrong := favorites ^ (account.favorite_jobs - gone):
            raise ViolationError(5, "other jobs are favorites than users marked", f"{wrong}")

    def _check_trash(self) -> None:
        """Check that no job has stayed in the trash for much longer than its days."""
        world = self._world
        for job in wiring.jobs(Path(world.path("state"))):
            if job.id in world.account.outlived_jobs and job.id in world.account.trashed_jobs:
                raise ViolationError(5, "the trash was not emptied", job.title)

    def _check_jobs(self) -> None:
        world = self._world
        self._check_marks()
        self._check_trash()
        was_restored = world.account.has_restored  # an old ledger knows nothing of later receipts
        for job in wiring.jobs(Path(world.path("state"))):
            if job.id in world.account.deleted_jobs:
                raise ViolationError(5, "a deleted job is back", f"{job.title}")
            if job.faults > world.crashes[job.id]:
                raise ViolationError(5, "a fault of a disk cost an attempt", f"{job.title}")
            if job.end == "canceled" and job.id in self.seen.receipts and not was_restored:
                raise ViolationError(5, "a job with a receipt is canceled", f"{job.title}")
            if job.end == "failed":
                raise ViolationError(5, "a job failed", f"{job.title}: {job.reason}")
            if job.end == "refused":
                self._check_refusal(job)

    def _check_finals(self) -> None:
        """Check that each painted job has a picture of its own in the finals folder (law 1)."""
        world = self._world
        if not world.plan.settings.has_finals:
            return
        there = {*world.snapshot.files, *world.snapshot.spare, *world.account.finals_taken}
        for job in wiring.jobs(Path(world.path("state"))):
            is_painted = job.end in ("done", "stopped early")
            # a retry of what had no final finds the folder only if the settings name it at its end
            returned = {world.path(name): at for name, at in world.account.returned_at.items()}
            ended = self.seen.first_at.get(job.id, 0.0)
            is_blind = bool(job.retry_of) and ended < returned.get(job.inbox, -1.0)
            is_excused = not is_painted or is_blind or job.id in world.account.without_final
            if not is_excused and there.isdisjoint(job.finals):
                what = f"{job.title}: {', '.join(map(self._short, job.finals)) or 'none'}"
                raise ViolationError(1, "a painted job has no final picture", what)

    def _check_refusal(self, job: wiring.JobSeen) -> None:
        """Check that a job was refused because of its pictures."""
        world = self._world
        folders = [f"{world.path(inbox.outbox)}/_refused/" for inbox in world.plan.settings.inboxes]
        inside = {
            path: data
            for path, data in world.snapshot.files.items()
            if any(path.startswith(f"{folder}{job.name}") for folder in folders)
        }
        if not any(data in world.contents.unfinished for data in inside.values()):
            tokens = world.tokens_of(job)
            if not tokens & (world.account.written_slowly | world.contents.odd):
                raise ViolationError(5, "a good job was refused", f"{job.title}: {job.reason}")

    def _check_left(self) -> None:
        """Check that folders of jobs are gone if only debris is in them, or were named.

        What still cannot be removed at the end of its job is left to people: it costs nothing.
        """
        world = self._world
        debris = (".ds_store", "thumbs.db", "desktop.ini")
        for drop in world.account.drops:
            folder = Path(f"{world.path(drop.inbox.name)}/{drop.name}")
            if world.account.keeps(drop.inbox) or drop.shared or not folder.is_dir():
                continue
            names = [path.name for path in folder.iterdir()]
            was_job = any(PurePosixPath(path).parent.name == "{name}" for path in drop.files)
            is_named = any(f"ignores {folder.name}: it stays" in line for line in world.history)
            if was_job and not is_named and all(folded(name) in debris for name in names):
                if any(deed.what == "power" for deed in world.plan.deeds):
                    continue  # its removal, and that of what is in it, was not durable
                if drop.paths(world.path(drop.inbox.name)).keys() <= world.account.vacated:
                    raise ViolationError(
                        10, "a folder with debris is left", f"{folder.name}: {names}"
                    )


def _marks(paths: Iterable[str]) -> set[str]:
    """Return where the disks of files may have their marks."""
    return {mark for path in paths for mark in _marks_of(path)}


@lru_cache(1000)
def _marks_of(path: str) -> tuple[str, ...]:
    return tuple(f"{folder}/.stylewatch" for folder in PurePosixPath(path).parents)


def _is_temporary(path: str) -> bool:
    """Return whether nothing may be at this path once all jobs have ended."""
    name = path.rpartition("/")[2]
    is_staged = "/.staging/" in path and not path.endswith("/.staging/trash")
    is_held = "/.stylewatch/" in path or name.startswith(".stylewatch")
    return is_staged or is_held or name.endswith(".tmp")


def _bare(reason: str) -> str:
    """Return the part of a reason that says what is wrong, without names."""
    inside = re.findall(r"\(([^()]*)\)", reason)
    return inside[0] if inside else re.sub(r"\S*[/\d]\S*", "", reason)[:60]


def digest(data: bytes) -> str:
    """Return the SHA-256 of bytes."""
    return sha256(data).hexdigest()
