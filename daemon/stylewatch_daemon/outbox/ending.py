"""Publishing what a job leaves in its outbox when it ends.

Everything here runs in the mover thread, does not touch the ledger, and may be repeated after a
kill at any moment: what is done already is found, and not done again. The ledger takes the result
afterwards.
"""

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from os.path import lexists
from pathlib import Path, PurePosixPath

from stylewatch_daemon.base.errors import OutputError
from stylewatch_daemon.base.model import Job, OutputFile
from stylewatch_daemon.files import atomic, disks
from stylewatch_daemon.files.identity import look
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.files.permissions import Sharing
from stylewatch_daemon.ledger.claim import Claim, File
from stylewatch_daemon.outbox import finals
from stylewatch_daemon.outbox.job_files import (
    MAX_BYTES,
    Spot,
    digests_of,
    parse_receipt,
    records_of,
    text_of,
)
from stylewatch_daemon.outbox.publish import RECEIPT, STAGES, STAGING, Outbox, stage
from stylewatch_daemon.settings.sections import LARGEST_PICTURE, Limits

_BLOCK = 512
"""Bytes of a block, as `st_blocks` counts them on Linux."""


@dataclass(frozen=True)
class Ending:
    """A job whose end is decided, and what publishing it takes.

    `inputs` is the folder with the claimed files, `staged_at` the folder below `.staging` of the
    last attempt (`staging.place`), `finals` that of the inbox. The sentences in `warnings` are
    added to the receipt.
    """

    job: Job
    claim: Claim
    inputs: Path
    staged_at: str
    sharing: Sharing
    limits: Limits
    finals: Path | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Published:
    """The result: the `files` of the job in its outbox, except its stages, and its `folder`.

    `changed` are the inputs that a program wrote to while the job ran: their SHA-256 now, by name.
    """

    files: tuple[OutputFile, ...]
    folder: Path
    refused_as: str | None = None
    changed: Mapping[str, str] = field(default_factory=dict)


def publish_output(ending: Ending, step: atomic.Step = lambda: None) -> Published:
    """Publish the inputs, the final picture among the finals, and last the receipt.

    The other files were published when they were announced. Raises OutputError, and OSError.
    """
    job, outbox = ending.job, Outbox(ending.claim.outbox, ending.sharing)
    folder, (content, is_staged) = outbox.root / job.title, _receipt(ending)
    receipt = parse_receipt(BytesIO(content))
    # 1. archive the inputs
    archived, changed = _archive(ending, outbox, step)
    # 2. remove the stages of attempts that started over
    if is_staged and receipt:
        outbox.drop_stages(folder, {Path(path).name for path in digests_of(receipt, STAGES)})
    # 3. link the final picture
    files = []
    for name, sha256 in digests_of(receipt, "files").items():
        is_final = name == receipt.get("final")
        size = (folder / name).lstat().st_size if lexists(folder / name) else 0
        file = OutputFile(f"{job.title}/{name}", "final" if is_final else "files", sha256, size)
        files.append(file)
        if is_final and ending.finals is not None:
            link = finals.add(ending.finals, job, file, ending.sharing, step)
            files += [] if link is None else [link]
    # 4. complete the staged receipt, and publish it
    if is_staged:
        staged, content = content, _completed(ending, content, changed)
        if content != staged:
            stage(outbox.root / STAGING / ending.staged_at, RECEIPT, content)
        outbox.publish(ending.staged_at, folder, RECEIPT)
    digest = hashlib.sha256(content).hexdigest()
    published = OutputFile(f"{job.title}/{RECEIPT}", "receipt", digest, len(content))
    # 5. remove the staging folder
    outbox.clear(job.id)
    return Published((*files, *archived, published), folder, changed=changed)


def publish_refusal(ending: Ending, step: atomic.Step = lambda: None) -> Published:
    """Publish the inputs of a refused, failed or canceled job, with the reason.

    Once the ledger has the result, the caller calls `Outbox.clear`: until then the staging folder
    shows what was done. Raises OutputError, and OSError.
    """
    job, claim = ending.job, ending.claim
    outbox = Outbox(claim.outbox, ending.sharing, check_copy=partial(_check_copy, ending))
    own = [ending.inputs / file.name for file in claim.files if file.own]
    inputs = [path for path in own if lexists(path)]
    place, files = outbox.refuse(job.id, job.title, inputs, job.reason, step)
    if job.place is not None:
        outbox.drop_empty(job.place)
    return Published(tuple(files), outbox.root / place, place)


def changed_after_copy(name: str) -> str:
    """Return the sentence about a file that was copied, and whose original changed afterwards."""
    return (
        f"{shown(name)} changed after it was copied: this job uses the copy, and the changed pair "
        "stays in the inbox"
    )


def changed_while_running(name: str) -> str:
    """Return the sentence about a file that a program wrote to while the job ran."""
    return (
        f"{shown(name)} changed while the job ran: the job used what it held before, and "
        f"inputs/{shown(name)} holds what was written since"
    )


def _receipt(ending: Ending) -> tuple[bytes, bool]:
    """Return the receipt, and whether it is staged; after a kill it may be published already."""
    outbox, title = ending.claim.outbox, ending.job.title
    for folder in (f"{STAGING}/{ending.staged_at}", title):
        with suppress(FileNotFoundError), Spot(outbox, folder, RECEIPT).open() as file:
            return file.read(MAX_BYTES), folder != title
    raise OutputError(
        f"{title} is painted, and {outbox} has nothing of it: mount the disk that it was painted "
        "on, or cancel it"
    )


def _archive(
    ending: Ending, outbox: Outbox, step: atomic.Step
) -> tuple[list[OutputFile], dict[str, str]]:
    """Archive the inputs, if wanted; return them, and the SHA-256 of those that have changed.

    A program may go on writing into a file after it was claimed. Such a file is archived in any
    case.
    """
    claim = ending.claim
    used = {file.name: file.sha256 for file in ending.job.inputs if file.sha256}

    def differs(file: File, digest: str) -> bool:
        if file.name in used:
            return used[file.name] != digest
        now = look(ending.inputs / file.name)  # a copy has another inode
        return now is not None and now != file.look and now.inode == file.look.inode

    held = {file.name: file for file in claim.files if claim.holds_only_copy(file)}
    paths = [path for name in held if lexists(path := ending.inputs / name)]
    if claim.after != "archive":
        paths = [path for path in paths if differs(held[path.name], atomic.digest(path, step=step))]
    archived = outbox.archive(ending.job.id, outbox.root / ending.job.title, paths, step)
    digests = {PurePosixPath(file.path).name: file.sha256 for file in archived}
    changed = {name: digest for name, digest in digests.items() if differs(held[name], digest)}
    return archived, changed


def _check_copy(ending: Ending, path: Path) -> None:
    """Raise OutputError if a refused file is too large to be copied, or the disk lacks the room."""
    status, outbox = path.lstat(), ending.claim.outbox
    if status.st_size > max(ending.limits.max_bytes, LARGEST_PICTURE):
        size = disks.amount(status.st_size)
        raise OutputError(
            f"{shown(path.name)} is {size}, too large to be copied to "
            f"{outbox}: it stays in {shown(path.parent)}; move it away, or cancel the job"
        )
    disks.check([(outbox, status.st_blocks * _BLOCK)], ending.limits.free_bytes)


def _completed(ending: Ending, content: bytes, changed: Mapping[str, str]) -> bytes:
    """Return a receipt with what the worker could not know: `changed` inputs, and warnings.

    Repeating this changes nothing. A receipt that cannot be read is returned as it is.
    """
    receipt = dict(parse_receipt(BytesIO(content)))
    copied = [file.name for file in ending.job.inputs if file.changed]
    warnings = [
        *ending.warnings,
        *map(changed_while_running, sorted(changed)),
        *map(changed_after_copy, sorted(copied)),
    ]
    if not receipt or not warnings:
        return content
    for entry in records_of(receipt, "inputs"):
        if (digest := changed.get(text_of(entry, "name"))) is not None:
            entry["changed"] = {"sha256": digest}
    earlier = receipt.get("warnings")
    known = map(str, earlier if isinstance(earlier, list) else ())
    receipt["warnings"] = list(dict.fromkeys((*known, *warnings)))
    return (json.dumps(receipt, indent=2, ensure_ascii=False) + "\n").encode(errors="replace")
