"""Publishing of a job's results in its outbox when it ends.

Everything here runs in the lane of the outbox and does not use the ledger. It may be repeated after
a kill at any moment: completed work is detected and not repeated. The caller records the results in
the ledger; the receipt of an output is published only after that.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from io import BytesIO
from pathlib import Path, PurePosixPath

from stylewatch_daemon.base.errors import OutputError, TakenError
from stylewatch_daemon.base.lanes import Step
from stylewatch_daemon.base.model import PICTURES, Job, OutputFile
from stylewatch_daemon.files import atomic, entries, strangers
from stylewatch_daemon.files.identity import look
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.ledger.claim import Claim
from stylewatch_daemon.outbox import removal, staging
from stylewatch_daemon.outbox.job_files import MAX_BYTES, Listing, Spot, parse_receipt
from stylewatch_daemon.outbox.publish import (
    RECEIPT,
    STAGES,
    STAGING,
    Outbox,
    keep_staged,
    stage,
)


@dataclass(frozen=True)
class Ending:
    """A job whose end is decided, and the data needed to publish it.

    `inputs` is the folder with the files of the `claim`. `listed` are the published files of the
    job in the ledger.
    """

    job: Job
    claim: Claim
    inputs: Path
    listed: tuple[OutputFile, ...] = ()


@dataclass(frozen=True)
class PublishedFiles:
    """Published `files` of a job for the ledger to list: all but stages, with a staged receipt.

    `inputs` has the published inputs among these files, by the names of the inputs. `news` are
    sentences about inputs that a program modified after they were used.
    """

    files: tuple[OutputFile, ...]
    inputs: Mapping[str, OutputFile] = field(default_factory=dict)
    news: tuple[str, ...] = ()


class Publication(StrEnum):
    """Result of an attempt to publish the receipt of an output."""

    DONE = "the receipt is published, now or before a kill"
    GONE = "its owner has moved the folder away, and no receipt may be without its files"
    TAKEN = "another job has ended in the folder"


def publish_output(ending: Ending, step: Step = lambda: None) -> PublishedFiles | None:
    """Archive the inputs, complete the receipt, and remove stages of attempts that started over.

    All other files were published when they were announced. `publish_receipt` publishes the receipt
    once the ledger lists it. Returns None if the folder has the receipt of another job. Raises
    OutputError or OSError.
    """
    job = ending.job
    outbox = Outbox(ending.claim.outbox, disk=job.disk)
    published = _receipt_in(outbox.root, job.title)
    staged = _staged_receipt(ending)
    if published is not None and not _is_own(published, ending):
        return None
    content = published if staged is None else staged
    if content is None:
        raise OutputError(
            f"{job.title} is painted, but {outbox.root} has no files of it: mount the disk that it "
            "was painted on, or cancel it"
        )
    outbox.reopen(job.title)  # its owner may have moved it away
    inputs, changed = _archive(ending, outbox, step)
    files = [*_complete(ending, outbox, content, step), *inputs.values()]
    files.append(_stage_receipt(ending, outbox, content, changed))
    return PublishedFiles(tuple(files), inputs, tuple(map(_changed_while_running, sorted(changed))))


def publish_receipt(ending: Ending, step: Step = lambda: None) -> Publication:
    """Publish the staged receipt, which the ledger lists; return the result.

    If no receipt is staged, it was published before, and the result is DONE. Raises OutputError or
    OSError.
    """
    job = ending.job
    outbox = Outbox(ending.claim.outbox, disk=job.disk)
    if _staged_receipt(ending) is None:
        return Publication.DONE
    if not entries.is_folder(outbox.root / job.title):
        return Publication.GONE
    published = _receipt_in(outbox.root, job.title)
    if published is not None and not _is_own(published, ending):
        return Publication.TAKEN
    outbox.tidy(job.title)
    latest = staging.latest(outbox.root, job.id)
    is_first = published is None
    try:
        outbox.publish(latest, job.title, RECEIPT, step, is_first=is_first)
    except TakenError:
        return Publication.TAKEN
    return Publication.DONE


def publish_late(
    ending: Ending, names: Collection[str], step: Step = lambda: None
) -> PublishedFiles:
    """Publish the inputs with these `names`, which changed after the job had ended.

    The folder of the job may have been changed by people since: only these inputs are added, and
    the receipt is completed only if it is still that of the job. Returns the published files.
    Raises OutputError or OSError.
    """
    job = ending.job
    outbox = Outbox(ending.claim.outbox, disk=job.disk)
    late = {
        ending.inputs / file.name: file.look.size
        for file in ending.claim.files
        if file.name in names
    }
    if job.end not in PICTURES:
        assert job.refused_as is not None
        outbox.reopen(job.refused_as)
        inputs = outbox.archive(job.id, job.refused_as, late, step, ending.listed, "refused")
        news = (f"{shown(name)} changed after the end: {job.refused_as} has the new one; "
                "`stylewatch retry` uses it" for name in inputs)  # fmt: skip
        return PublishedFiles(tuple(inputs.values()), inputs, tuple(news))
    content = _receipt_in(outbox.root, job.title)
    outbox.reopen(job.title)
    inputs = outbox.archive(job.id, job.title, late, step, ending.listed)
    files = [*inputs.values()]
    if content is not None and _is_own(content, ending):
        files.append(_stage_receipt(ending, outbox, content, inputs))
        if _staged_receipt(ending) is not None:
            outbox.publish(staging.latest(outbox.root, job.id), job.title, RECEIPT)
    return PublishedFiles(tuple(files), inputs, tuple(map(_changed_while_running, sorted(inputs))))


def _stage_receipt(
    ending: Ending, outbox: Outbox, content: bytes, changed: Mapping[str, OutputFile]
) -> OutputFile:
    """Complete the receipt `content` with the `changed` inputs and stage it; return its record.

    Without changed inputs it stays as it is: staged by the worker or, before a kill, published.
    """
    job = ending.job
    staged_at = staging.latest(outbox.root, ending.job.id)
    completed = _completed(content, changed)
    if completed != content:
        folder = outbox.staging(staged_at)
        stage(folder, RECEIPT, completed)
        keep_staged(folder, ["."])  # the ledger lists it next
    digest = hashlib.sha256(completed).hexdigest()
    return OutputFile(f"{job.title}/{RECEIPT}", "receipt", digest, len(completed))


def _complete(ending: Ending, outbox: Outbox, content: bytes, step: Step) -> list[OutputFile]:
    """Remove the stages of attempts that started over; return the other files of the painting.

    These are the listed files except stages, inputs and the receipt. The final picture, by the
    receipt `content`, gets the part `final`.
    """
    job = ending.job
    receipt = Listing.of(parse_receipt(BytesIO(content)))
    kept = {f"{job.title}/{each.file}" for each in receipt.stages}
    if receipt.final:
        left = [each for each in ending.listed if each.part == STAGES and each.path not in kept]
        removal.remove(outbox.root, left, step)
    final = f"{job.title}/{receipt.final}"
    return [
        file._replace(part="final") if file.path == final else file
        for file in ending.listed
        if file.part in ("files", "final")
    ]


def publish_refusal(ending: Ending, step: Step = lambda: None) -> PublishedFiles | None:
    """Publish the inputs of a refused, failed or canceled job with the reason, as `refused_as`.

    Also remove the job's output folder if it is empty. Returns None if `refused_as` is a folder of
    somebody else. Raises OutputError or OSError.
    """
    job = ending.job
    claim = ending.claim
    outbox = Outbox(claim.outbox, disk=job.disk)
    place = job.refused_as
    assert place is not None
    inputs = {ending.inputs / file.name: file.look.size for file in claim.published}
    files = outbox.refuse(job.id, place, inputs, job.reason, step)
    if job.place is not None:
        outbox.drop_empty(job.place)
    if files is None:
        return None
    by_name = {PurePosixPath(file.path).name: file for file in files if file.part == "refused"}
    return PublishedFiles(tuple(files), by_name)


def _changed_while_running(name: str) -> str:
    """Return a sentence about a file that a program modified while the job ran."""
    return (
        f"{shown(name)} changed while the job ran: the job used its earlier content, and "
        f"inputs/{shown(name)} has the new one"
    )


def _staged_receipt(ending: Ending) -> bytes | None:
    """Return the staged receipt of the latest attempt; empty if it is no file, None if missing."""
    outbox = ending.claim.outbox
    return _receipt_in(outbox, f"{STAGING}/{staging.latest(outbox, ending.job.id)}")


def _receipt_in(outbox: Path, folder: str) -> bytes | None:
    """Return the receipt in a folder; empty if it is no file, and None if there is none."""
    path = outbox / folder / RECEIPT
    if not entries.is_file(path):
        return b"" if entries.exists(path) else None
    with Spot(outbox, folder, RECEIPT).open() as file:
        return file.read(MAX_BYTES)


def _is_own(content: bytes, ending: Ending) -> bool:
    """Return whether a published receipt is that of the job (law 1).

    It is if the ledger lists the receipt itself or, until then, all files that the receipt names. A
    receipt that names no file is that of somebody else.
    """
    listed = {(file.path, file.sha256) for file in ending.listed}
    receipt = Listing.of(parse_receipt(BytesIO(content)))
    title = ending.job.title
    named = {(f"{title}/{each.file}", each.sha256) for each in (*receipt.files, *receipt.stages)}
    is_listed = (f"{title}/{RECEIPT}", hashlib.sha256(content).hexdigest()) in listed
    return is_listed or (bool(named) and named <= listed)


def _archive(
    ending: Ending, outbox: Outbox, step: Step
) -> tuple[dict[str, OutputFile], dict[str, OutputFile]]:
    """Archive the inputs that the claim wants archived, and all that changed since the claim.

    A program may continue writing to a file after it was claimed. Return the archived files, and
    those of them that changed, both by the names of the inputs.
    """
    job = ending.job
    claim = ending.claim
    used = {file.name: file.sha256 for file in job.inputs if file.sha256}
    held = {file.name: file for file in claim.files if not claim.stays_elsewhere(file)}

    def differs(name: str, digest: str) -> bool:
        if name in used:
            return used[name] != digest
        now = look(ending.inputs / name)  # a copy has the time of its original
        return now is not None and now.mtime_ns != held[name].look.mtime_ns

    def is_due(path: Path, size: int) -> bool:
        return claim.is_archived(held[path.name]) or differs(path.name, _digest(path, size, step))

    sizes = {ending.inputs / name: file.look.size for name, file in held.items()}
    due = {path: size for path, size in sizes.items() if is_due(path, size)}
    archived = outbox.archive(job.id, job.title, due, step, ending.listed)
    changed = {name: file for name, file in archived.items() if differs(name, file.sha256)}
    return archived, changed


def _digest(path: Path, size: int, step: Step) -> str:
    """Return the SHA-256 of an input; empty, without reading it, unless it has `size` bytes."""
    with atomic.open_regular(path) as file:
        if strangers.length_of(file) != size:
            return ""
        return atomic.digest_of(file, strangers.in_time(size, step), most=size)


def _completed(content: bytes, changed: Mapping[str, OutputFile]) -> bytes:
    """Return a receipt with the digests of `changed` inputs, and a warning about each, added.

    Repeating this changes nothing. A receipt that cannot be read, or names no final picture, is
    returned unchanged.
    """
    receipt = dict(parse_receipt(BytesIO(content)))
    listing = Listing.of(receipt)
    if not (listing.final and changed):
        return content
    for entry in receipt.get("inputs", ()):
        file = changed.get(entry.get("name", ""))
        if file is not None:
            entry["changed"] = {"sha256": file.sha256}
    warnings = (*listing.warnings, *map(_changed_while_running, sorted(changed)))
    receipt["warnings"] = list(dict.fromkeys(warnings))
    return (json.dumps(receipt, indent=2, ensure_ascii=False) + "\n").encode(errors="replace")
