"""Faults planted in the daemon, which the worlds must find."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

from tests.daemon.faults import replaced

from stylewatch_daemon.app import learner, learning_main
from stylewatch_daemon.app.commands import Commands
from stylewatch_daemon.app.learner import Group, Learner
from stylewatch_daemon.app.loop import Loop
from stylewatch_daemon.app.settings_file import SettingsFile
from stylewatch_daemon.base.errors import MemoryShortError
from stylewatch_daemon.base.lanes import Step
from stylewatch_daemon.base.model import Cause, Job, Pair
from stylewatch_daemon.base.wakeup import Backoff
from stylewatch_daemon.cli.submit import _Submitted
from stylewatch_daemon.client import submit as submission
from stylewatch_daemon.client.operations import open_ledger
from stylewatch_daemon.files import atomic, disks, entries
from stylewatch_daemon.files.disks import MountGuard
from stylewatch_daemon.files.identity import Look
from stylewatch_daemon.intake import scanner
from stylewatch_daemon.intake.claim import Claiming, Taken, folder_of
from stylewatch_daemon.intake.kept import Kept
from stylewatch_daemon.intake.pairing import Pairing
from stylewatch_daemon.intake.scanner import Scanner
from stylewatch_daemon.jobs.attempts import Attempts
from stylewatch_daemon.jobs.endings import Endings
from stylewatch_daemon.jobs.jobs import Also
from stylewatch_daemon.jobs.live import Worker
from stylewatch_daemon.jobs.upkeep import Upkeep
from stylewatch_daemon.ledger import schema
from stylewatch_daemon.ledger.claim import Claim, File
from stylewatch_daemon.ledger.memory import Memory, Seen
from stylewatch_daemon.ledger.writer import LedgerWriter
from stylewatch_daemon.outbox.job_files import Spot
from stylewatch_daemon.outbox.publish import Outbox
from stylewatch_daemon.settings.sections import HookSettings
from stylewatch_daemon.worker import messages
from stylewatch_painter import installation


@contextmanager
def _claims_without_a_copy() -> Iterator[None]:
    """Remove an upload before its copy is written."""
    copy, kept = Claiming._copy, dict[Path, bytes]()

    def rename(claiming: Claiming, claim: Claim, file: File) -> Spot:
        with folder_of(claim.inbox, file.source) as folder:
            with atomic.open_regular(file.source.name, folder) as reading:
                kept[file.source] = reading.read()
            entries.unlink(file.source.name, folder)
        return claiming._spots(claim, file)[0]

    def copied(
        claiming: Claiming, claim: Claim, file: File, spot: Spot | None, target: Path, step: Step
    ) -> str:
        if spot is None:
            return copy(claiming, claim, file, spot, target, step)
        atomic.write(target, kept[file.source])
        return atomic.digest(target)

    with replaced(Claiming, _rename=rename, _copy=copied):
        yield


@contextmanager
def _claims_what_it_found_first() -> Iterator[None]:
    """Do not look again for further parts of a pair whose claim waits."""
    with replaced(Claiming, _has_left=lambda claiming, claim: True):
        yield


@contextmanager
def _publishes_without_a_rename() -> Iterator[None]:
    """Leave the final picture where it was staged."""
    publish = Outbox.publish

    def published(
        outbox: Outbox, staged_at: str, place: str, path: str, *step: Step, is_first: bool = False
    ) -> None:
        if path != "final.png":
            publish(outbox, staged_at, place, path, *step, is_first=is_first)

    with replaced(Outbox, publish=published):
        yield


@contextmanager
def _hears_no_end() -> Iterator[None]:
    """Take no notice of the end of a worker."""
    handle = Attempts._handle

    def handled(attempts: Attempts, worker: Worker, event: messages.Event) -> None:
        if not isinstance(event, messages.AttemptEnd):
            handle(attempts, worker, event)

    with replaced(Attempts, _handle=handled):
        yield


@contextmanager
def _answers_nobody() -> Iterator[None]:
    """Act on no request."""
    with replaced(Commands, _act=lambda commands, request: None):
        yield


@contextmanager
def _works_at_all_hours() -> Iterator[None]:
    """Let jobs go on when the hours end."""
    with replaced(Loop, _keep_hours=lambda loop: None):
        yield


@contextmanager
def _runs_no_hook() -> Iterator[None]:
    """Forget a hook instead of running it."""
    with replaced(HookSettings, of=lambda hooks, end: ("", ())):
        yield


@contextmanager
def _has_no_priorities() -> Iterator[None]:
    """Begin jobs in the order of their arrival."""
    with replaced(schema, IN_INBOX_ORDER="id"):
        yield


@contextmanager
def _keeps_its_settings() -> Iterator[None]:
    """Never notice that the file of the settings has changed."""
    with replaced(SettingsFile, _noticed=lambda file, lanes, versions: None):
        yield


@contextmanager
def _has_one_memory() -> Iterator[None]:
    """Let all jobs with the same needs wait if the memory is not enough for one."""
    with replaced(MemoryShortError, cause=Cause.DEVICE):
        yield


@contextmanager
def _knows_no_installer() -> Iterator[None]:
    """Take a recipe that is away while the program is installed anew for one that is missing."""
    with replaced(installation, incomplete=lambda: ""):
        yield


@contextmanager
def _submits_to_any_disk() -> Iterator[None]:
    """Let clients know of no disk that was there before."""
    with replaced(submission, disks_of=lambda *folders: MountGuard()):
        yield


@contextmanager
def _knows_what_is_submitted() -> Iterator[None]:
    """Let a submission to an inbox where files stay be no wish to paint known contents again."""
    with replaced(submission, _text=lambda job, is_kept: submission._yaml(job.job_yaml)):
        yield


@contextmanager
def _follows_a_name() -> Iterator[None]:
    """Follow whichever job had the name of a submission last."""
    look = _Submitted.look

    def looked(pair: _Submitted) -> None:
        look(pair)
        with open_ledger(pair._state) as ledger:
            pair.job = ledger.find(pair.name) if ledger else None

    with replaced(_Submitted, look=looked):
        yield


@contextmanager
def _knows_disks_by_identity() -> Iterator[None]:
    """Know what was left out only on the disk with the same identity."""
    of = Memory.of

    def found(memory: Memory, disk: str, path: Path, look: Look, **more: bool) -> Seen | None:
        record = of(memory, disk, path, look, **more)
        return record if record is None or record.disk == disk or not record.left_out else None

    with replaced(Memory, of=found):
        yield


@contextmanager
def _takes_moves_for_renames() -> Iterator[None]:
    """Take a file that was moved to a folder beside its own for one whose folder was renamed."""

    def is_renamed(scanner: Scanner, former: Path, path: Path) -> bool:
        return former.parent.parent == path.parent.parent and scanner._listing.lacks(former)

    with replaced(Scanner, _is_below_a_renamed_folder=is_renamed):
        yield


@contextmanager
def _takes_copies_for_renames() -> Iterator[None]:
    """Take the copy of an inbox that is not watched for the inbox itself."""
    with replaced(disks, has_moved=lambda *_: True):
        yield


@contextmanager
def _knows_no_renamed_folders() -> Iterator[None]:
    """Know what was left out by its path alone."""
    with replaced(Scanner, _renamed=lambda *_: None):
        yield


@contextmanager
def _empties_no_trash() -> Iterator[None]:
    """Keep what is in the trash for good."""
    with replaced(Upkeep, _empty_trash=lambda upkeep, sight: None):
        yield


@contextmanager
def _counts_from_the_first_day() -> Iterator[None]:
    """Let a job that is moved into the trash again have the age of its first time there."""
    with replaced(LedgerWriter, forget_age=lambda writer, job_id: None):
        yield


@contextmanager
def _trains_without_a_place() -> Iterator[None]:
    """Let workers begin jobs while a style is learned."""
    begin = Learner._begin

    def begun(learner: Learner, group: Group) -> None:
        begin(learner, group)
        learner._attempts.lent = 0

    with replaced(Learner, _begin=begun):
        yield


@contextmanager
def _trains_beside_previews() -> Iterator[None]:
    """Let a training go on although a preview waits for its place."""
    end = Learner.end

    def ended(learner: Learner, why: str = "") -> None:
        if "preview" not in why:
            end(learner, why)

    with replaced(Learner, end=ended):
        yield


@contextmanager
def _learns_nothing() -> Iterator[None]:
    """Learn no style."""
    with replaced(Learner, go_on=lambda learner: None):
        yield


@contextmanager
def _waits_for_silence() -> Iterator[None]:
    """Wait for a training that hangs."""
    with replaced(learner, SILENT_S=float("inf")):
        yield


@contextmanager
def _refuses_at_once() -> Iterator[None]:
    """Take pictures that cannot be read now for pictures that can never be used."""
    with replaced(learning_main, as_end=lambda error: messages.Refused(str(error))):
        yield


@contextmanager
def _refuses_later_photographs() -> Iterator[None]:
    """Refuse photographs that came after the training of their group had begun, too."""
    refuse = Learner._refuse

    def refused(learner: Learner, group: Group, reason: str) -> None:
        jobs, _ = learner._jobs.ledger.queued_with(group.lead.needs, group.waiting + 100)
        refuse(learner, replace(group, photographs={job.id: Path() for job in jobs}), reason)

    with replaced(Learner, _refuse=refused):
        yield


@contextmanager
def _trains_again_at_once() -> Iterator[None]:
    """Begin a training again at once after it has failed."""
    with replaced(learner, RETRY=Backoff(first=1.0, most=1.0)):
        yield


@contextmanager
def _records_what_is_watched() -> Iterator[None]:
    """Record what stays in an inbox only if the settings of now have the inbox."""
    remembering = Kept.remembering

    def watched(kept: Kept, claim: Claim, taken: Taken) -> Also:
        is_watched = any(inbox.path == claim.inbox for inbox in kept._inboxes)
        return remembering(kept, claim, taken) if is_watched else lambda ledger: None

    with replaced(Kept, remembering=watched):
        yield


@contextmanager
def _links_what_is_watched() -> Iterator[None]:
    """Look the finals folder of a job up in the settings of now."""

    def configured(endings: Endings, job: Job) -> Path | None:
        inbox = endings._jobs.settings.inbox(Path(job.inbox))
        return None if inbox is None else inbox.finals

    with replaced(Endings, _finals_of=configured):
        yield


@contextmanager
def _forgets_what_stayed() -> Iterator[None]:
    """Paint all that is in an inbox once its files are to leave it."""
    is_known = Scanner._is_known

    def known(
        scanner: Scanner, pair: Pair, memory: Memory, equal: dict[Path, str], unknown: list[Path]
    ) -> bool:
        return scanner._is_kept and is_known(scanner, pair, memory, equal, unknown)

    with replaced(Scanner, _is_known=known):
        yield


@contextmanager
def _knows_claims_by_path() -> Iterator[None]:
    """Take a pair for one that is being claimed if that has its path on another disk."""
    with replaced(disks, are_different=lambda one, other: False):
        yield


@contextmanager
def _pairs_what_is_claimed() -> Iterator[None]:
    """Pair what is left of claims in work, except their main files, and what lies beside them."""
    paired = Scanner._paired

    def without_mains(
        scan: Scanner,
        files: Iterable[Path],
        records: Mapping[Path, Seen | None],
        claims: Iterable[Claim],
    ) -> Pairing:
        mains = [replace(claim, folder=None, files=(claim.main,)) for claim in claims]
        return paired(scan, files, records, mains)

    with (
        replaced(Scanner, _paired=without_mains),
        replaced(scanner, _left_out_with=lambda claims, files: {}),
    ):
        yield


@contextmanager
def _ends_before_its_jobs() -> Iterator[None]:
    """End a run with `--once` although jobs could begin."""

    def without_jobs(loop: Loop) -> bool:
        return not (loop.attempts.are_at_work() or loop.endings.in_work or loop.intake.is_claiming)

    with replaced(Loop, _is_idle=property(without_jobs)):
        yield


@contextmanager
def _waits_for_no_writers() -> Iterator[None]:
    """End a run with `--once` although a program may still write to inputs, for a moment."""
    with replaced(Endings, awaits_writers=property(lambda endings: False)):
        yield


@contextmanager
def _finishes_with_any_picture() -> Iterator[None]:
    """Let an attempt that starts over finish with its first picture."""
    order_of = Attempts._order_of

    def ordered(
        attempts: Attempts, job: Job, worker: Worker, checkpoint: Path, folder: Path
    ) -> messages.Order:
        return replace(order_of(attempts, job, worker, checkpoint, folder), shown_step=0)

    with replaced(Attempts, _order_of=ordered):
        yield


@contextmanager
def _blames_who_was_to_stop() -> Iterator[None]:
    """Count the loss of a worker as a fault although it was asked to stop."""
    with replaced(Worker, is_to_stop=property(lambda worker: False)):
        yield


@contextmanager
def _takes_any_state_folder() -> Iterator[None]:
    """Do not notice that the state folder was moved away or replaced."""
    with replaced(MountGuard, check_held=lambda guard, folder: None):
        yield


BROKEN: Mapping[str, Callable[[], AbstractContextManager[None]]] = {
    "": nullcontext,
    "claim": _claims_without_a_copy,
    "listing": _claims_what_it_found_first,
    "publish": _publishes_without_a_rename,
    "worker": _hears_no_end,
    "request": _answers_nobody,
    "hook": _runs_no_hook,
    "memory": _has_one_memory,
    "settings": _keeps_its_settings,
    "priority": _has_no_priorities,
    "hours": _works_at_all_hours,
    "install": _knows_no_installer,
    "submit": _submits_to_any_disk,
    "wish": _knows_what_is_submitted,
    "follow": _follows_a_name,
    "chown": _knows_disks_by_identity,
    "renamed": _knows_no_renamed_folders,
    "picked": _takes_moves_for_renames,
    "cloned": _takes_copies_for_renames,
    "trash": _empties_no_trash,
    "days": _counts_from_the_first_day,
    "place": _trains_without_a_place,
    "preview": _trains_beside_previews,
    "learn": _learns_nothing,
    "hang": _waits_for_silence,
    "refuse": _refuses_at_once,
    "later": _refuses_later_photographs,
    "again": _trains_again_at_once,
    "records": _records_what_is_watched,
    "finals": _links_what_is_watched,
    "stays": _forgets_what_stayed,
    "elsewhere": _knows_claims_by_path,
    "beside": _pairs_what_is_claimed,
    "once": _ends_before_its_jobs,
    "writers": _waits_for_no_writers,
    "anew": _finishes_with_any_picture,
    "blame": _blames_who_was_to_stop,
    "astray": _takes_any_state_folder,
}
