"""What users ask of jobs by commands or the page, and results that they take away."""

import json
import shutil
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Literal

from tests.simulate import wiring
from tests.simulate.account import Account
from tests.simulate.deeds import Script
from tests.simulate.deeds.files import Files
from tests.simulate.laws import ViolationError
from tests.simulate.plan import DAY
from tests.simulate.snapshot import files_in

if TYPE_CHECKING:
    from tests.simulate.world import World


class Requests:
    """Users who do something with jobs and their results."""

    def __init__(self, world: "World", account: Account, files: Files) -> None:
        self._world, self._account, self._files = world, account, files
        self._trashed_at = dict[str, float]()
        """When the jobs in the trash were last moved there."""
        self.awaited_results = 0
        """Number of results that are to be taken away as soon as they appear."""

    def pause_or_resume(self, verb: Literal["pause", "resume"], random: Random) -> Script:
        """Ask the daemon to pause, or to go on."""
        if self._world.daemon.is_first_start_over:
            wiring.leave(Path(self._world.path("state")), verb)
            self._world.note(f"user: asks to {verb}")
        yield 0.0

    def request(self, verb: wiring.Verb, random: Random) -> Script:
        """Ask for something about a job that has ended, or has not, as the verb demands."""
        if jobs := self._jobs(has_ended=verb in ("retry", "delete")):
            self._ask(verb, random.choice(jobs))
        yield 0.0

    def _jobs(self, *, has_ended: bool) -> list[wiring.JobSeen]:
        """Return the jobs that have ended, or have not, but for those that are to be deleted."""
        jobs, deleted = wiring.jobs(Path(self._world.path("state"))), self._account.deleted_jobs
        return [job for job in jobs if job.has_ended is has_ended and job.id not in deleted]

    def mark(self, on: wiring.Verb, off: wiring.Verb, marked: set[str], random: Random) -> Script:
        """Mark a job that has ended, or take its mark away, once or several times."""
        for _ in range(300):
            if jobs := self._jobs(has_ended=True):
                break
            yield 0.5
        else:
            return
        job = random.choice(jobs)
        pauses = [0.0, 1.0, 0.8 * DAY] if self._world.plan.settings.trash_days else [0.0, 1.0]
        for _ in range(random.randint(1, 3)):
            if job.id in self._account.deleted_jobs:
                return
            verb = off if job.id in marked else on
            if wiring.ask(Path(self._world.path("state")), verb, job.id):
                self._world.note(f"user: asks to {verb} {job.title}")
                marked.symmetric_difference_update({job.id})
                if verb == "trash":
                    self._count_days(job)
            yield random.choice(pauses)

    def _count_days(self, job: wiring.JobSeen) -> None:
        """Let a job that was moved into the trash stay there for its days at least."""
        world, account = self._world, self._account
        days, asked_at = world.plan.settings.trash_days, world.times.now
        self._trashed_at[job.id] = asked_at

        def outlive() -> None:
            is_there = job.id in account.trashed_jobs and self._trashed_at[job.id] == asked_at
            if job.id in account.outlived_jobs or not is_there:
                return
            if all(each.id != job.id for each in wiring.jobs(Path(world.path("state")))):
                raise ViolationError(5, "a job left the trash before its days were over", job.title)
            world.see()
            account.outlived_jobs.add(job.id)
            self._write_off(job)

        if days:
            world.later(days * DAY, outlive)

    def _ask(self, verb: wiring.Verb, job: wiring.JobSeen) -> None:
        """Ask for something about a job, and account for what it changes."""
        account = self._account
        self._world.see()
        if not wiring.ask(Path(self._world.path("state")), verb, job.id):
            return
        self._world.note(f"user: asks to {verb} {job.title}")
        tokens = self._world.tokens_of(job)
        contents = self._world.contents.by_data.values()
        account.tell(f"is to {verb}", *(each for each in contents if each.token in tokens))
        if verb == "retry":
            account.retries.update(tokens)
        if verb == "finish":
            self._account.finish_steps[job.id] = self._published_step(job)
        if verb in ("retry", "finish"):
            return
        account.given_up.update(tokens)
        if verb == "cancel":
            account.without_final.add(job.id)
        if verb == "delete":
            account.deleted_jobs.add(job.id)
            account.trashed_jobs.discard(job.id)
            account.favorite_jobs.discard(job.id)
            self._write_off(job)

    def _published_step(self, job: wiring.JobSeen) -> int:
        """Return the highest step of which a job has a stage in its outbox; 0 if it has none."""
        world = self._world
        outboxes = {world.path(each.name): each.outbox for each in world.plan.settings.inboxes}
        if not job.place or not self._files.is_there(outboxes[job.inbox]):
            return 0
        stages = Path(world.path(outboxes[job.inbox]), job.place, "stages").glob("*.png")
        return max((int(stage.stem) for stage in stages), default=0)

    def _write_off(self, job: wiring.JobSeen) -> None:
        """Expect no longer that the pictures of a job are kept."""
        tokens = self._world.tokens_of(job)
        self._account.given_up.update(tokens)
        self._account.doomed.update(tokens)
        is_all = self._world.plan.settings.default_style == "all"
        for token in tokens:
            self._account.taken[token] = [] if is_all else self._account.taken[token][:-1]

    # -- results

    def take(self, random: Random) -> Script:
        """Take a result away: remove it, or move it to another place in the outbox."""
        settings, world = self._world.plan.settings, self._world
        folders = [
            receipt.parent
            for outbox in sorted({inbox.outbox for inbox in settings.inboxes})
            if self._files.is_there(outbox)
            for receipt in sorted(Path(world.path(outbox)).glob("*/receipt.json"))
        ]
        finals = [*Path(world.path("finals")).glob("*.png")] if settings.has_finals else []
        if finals and random.random() < 0.3:
            self._take_final(random.choice(sorted(finals)))
        elif folders:
            folder = random.choice(folders)
            self._take_result(folder, is_removed=random.random() < 0.5)
        yield 0.0

    def _take_final(self, final: Path) -> None:
        """Remove a picture from the finals folder, unless it is a user's own."""
        if str(final) not in self._account.untouchable:
            self._world.note(f"user: removes {final.name} from the finals")
            jobs = wiring.jobs(Path(self._world.path("state")))
            # another job may get the name, after which the ledger lists nothing of this one
            self._account.without_final |= {job.id for job in jobs if str(final) in job.finals}
            final.unlink()
            self._account.finals_taken.add(str(final))

    def await_result(self, random: Random) -> Script:
        """Wait for the next receipt, in order to take its result away at once."""
        self.awaited_results += 1
        yield 0.0

    def grab_result(self, folder: Path) -> None:
        """Take away a result that has just appeared."""
        self.awaited_results -= 1
        self._take_result(folder, is_removed=False)

    def _take_result(self, folder: Path, *, is_removed: bool) -> None:
        """Remove the folder of a result, or move it, unless it has files of others."""
        files = files_in(str(folder))
        has_running = any("/stages/" in path for path in files)  # of an album of that name
        if has_running or any(f"{folder}/{path}" in self._account.untouchable for path in files):
            return
        self._world.see()
        with suppress(KeyError, ValueError):
            self._account.without_final.add(json.loads(files["receipt.json"])["id"])
        if not is_removed:
            target = folder.with_name(f"album{self._files.new_number()}") / folder.name
            target.parent.mkdir()
            folder.rename(target)
            self._world.note(f"user: moves the result {folder.name} to {target.parent.name}")
            return
        self._world.note(f"user: removes the result {folder.name}")
        shutil.rmtree(folder)
        for data in files.values():
            if (content := self._world.contents.of(data)) is not None:
                self._account.taken[content.token] = []
                self._account.tell("is removed from the outbox", content)
