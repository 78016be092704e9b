"""Jobs that end, for tests: claimed files, an outbox, and what the worker left there."""

import json
import os
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from tests.daemon.faults import fill

from stylewatch_daemon.base.model import End, Input, Job, OutputFile, State
from stylewatch_daemon.files.identity import look
from stylewatch_daemon.ledger.claim import Claim, File
from stylewatch_daemon.outbox.ending import (
    Ending,
    Publication,
    PublishedFiles,
    publish_output,
    publish_receipt,
)
from stylewatch_daemon.outbox.publish import RECEIPT, STAGING

PHOTO, STYLE, JOB_FILE = "photo.jpg", "style.jpg", "job.yaml"
PAINTED = ("final.png", "losses.csv", "stages/0001.png")


def digest(text: str) -> str:
    return sha256(os.fsencode(text)).hexdigest()


def output(path: str, part: str = "files", text: str | None = None) -> OutputFile:
    """The record of a file that holds `text`, or its own name as `fill` has it."""
    held = Path(path).name if text is None else text
    return OutputFile(path, part, digest(held), len(os.fsencode(held)))


def receipt() -> dict[str, Any]:
    """The receipt of a job that left PAINTED; files hold their own names."""
    files = [{"file": name, "sha256": digest(Path(name).name)} for name in PAINTED]
    return {
        "job": "album/a",
        "inputs": [{"name": name, "sha256": digest(name)} for name in (PHOTO, STYLE)],
        "stages": files[2:],
        "files": files[:2],
        "final": "final.png",
        "warnings": ["as ever"],
    }


LISTED = (
    *(output(f"album/a/{name}", text=name) for name in PAINTED[:2]),
    *(output(f"album/a/stages/{name}", "stages") for name in ("0001.png", "0009.png")),
)
"""The files of the job by the ledger; 0009.png is of an attempt that started over."""


def make_ending(root: Path, after: str = "archive", **changes: Any) -> Ending:
    """An ending of the job `1`, which was painted; its style belongs to the whole album."""
    inputs, outbox, inbox = root / "state/jobs/1/files", root / "out", root / "in"
    files = []
    for role, name in (("content", PHOTO), ("style", STYLE), ("job", JOB_FILE)):
        fill(inputs, name)
        seen = look(inputs / name)
        assert seen is not None
        files.append(File(role, name, inbox / name, seen, own=role != "style"))
    claim = Claim("1", "album/a", inbox, outbox, after, tuple(files))
    known = [Input(file.role, file.name, "", 9, "" if file.role == "job" else digest(file.name))
             for file in files]  # fmt: skip
    job = Job(
        "1", "album/a", str(inbox), str(outbox), "2026-01-02T12:00:00+00:00", State.ENDING,
        End.DONE, inputs=tuple(known), place="album/a", reason="Bad.",
    )  # fmt: skip
    fill(outbox / "album/a", *PAINTED)
    staging = outbox / STAGING / "1"
    staging.mkdir(parents=True)
    (staging / RECEIPT).write_text(json.dumps(receipt()))
    ending = Ending(job, claim, inputs, listed=LISTED)
    return replace(ending, **changes)


def publish(ending: Ending) -> PublishedFiles:
    """Publish the end of a job in its own folder."""
    published = publish_output(ending)
    assert published is not None
    assert publish_receipt(ending) is Publication.DONE
    return published


def everything(root: Path) -> dict[str, str]:
    """All files under `root`, hidden ones too, with their text."""
    return {
        path.relative_to(root).as_posix(): path.read_text(errors="replace")
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }
